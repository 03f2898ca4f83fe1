"""A deployment from its beginning to its verdict, as the terminal sees it. The daemon drives: this only looks on, so
a terminal that dies stops nothing. Called by every command that deploys."""

from collections import Counter
from contextlib import suppress

from msgspec import Struct

from homeport.cli import hint, remote
from homeport.cli.client import Client
from homeport.cli.output import Progress, printable
from homeport.errors import Failed, HomeportError, Unavailable
from homeport.model.deployment import Ended, Entry, Started, TaskStarted, Verdict
from homeport.model.fleet import State
from homeport.plan.words import in_words
from homeport.system.clock import SystemClock, pause

POLL_SECONDS, ECHO_SECONDS = 20.0, 2.0
PATIENCE_SECONDS = 60.0
"""How long the daemon may be away in the middle of it; its supervisor restarts it in milliseconds."""
LOOK_SECONDS = 1.0
OVER_SECONDS = 180.0
"""How long who was launched too many is seen off: a server boots first."""
LIVING = (State.PENDING.value, State.PENDING_WAIT.value, State.IN_SERVICE.value)


class Outcome(Struct, frozen=True, kw_only=True):
    """How it ended, for `--json` too."""

    environment: str
    urls: tuple[str, ...]
    app: str
    release: str
    deployment: int | None
    verdict: str | None
    """None: it goes on, and nobody waits for it."""
    changed: bool
    """False: it ran already, nothing was done."""
    notes: tuple[str, ...] = ()
    """What people shall know about the environment, such as a certificate that ends soon."""


def follow(api: Client, environment: str, app: str, number: int, progress: Progress) -> Ended:
    """The deployment's last entry. It is shown only if it is good: else the error says it. Ctrl-C leaves the
    deployment alone, and says so."""
    what = "waits for somebody who carries it on" if api.inside else "goes on without this terminal"
    progress.goes_on(
        f"deployment {number} of {app} {what}",
        f"homeport deployment show {number} --follow -e {environment}",
    )
    task = _TaskOutput(environment, f"{app}-release-d{number}", progress) if api.inside else None
    seen = 0
    known = ""
    first = False
    away_since: float | None = None
    clock = SystemClock()
    while True:
        try:
            patience = ECHO_SECONDS if api.inside else POLL_SECONDS
            found = api.journal(environment, app, number, after=seen, known=known, seconds=patience)
            away_since = None
        except Unavailable:
            away_since = clock.monotonic() if away_since is None else away_since
            if clock.monotonic() - away_since > PATIENCE_SECONDS:
                raise
            pause(0.2)
            continue
        echo(api, progress)
        for entry in found.entries:
            if isinstance(entry, Started):
                first = entry.previous is None
            if task is not None:
                task.see(entry)
            if not isinstance(entry, Ended) or entry.verdict is Verdict.GOOD:
                _show(entry, progress, first=first)
            if isinstance(entry, Ended):
                progress.goes_on("")
                return entry
        seen += len(found.entries)
        if task is not None and task.runs:
            task.echo()
        known = found.waits_for
        progress.waiting(f"waiting for {hint.completed(known)}" if known else "")


def see_through(api: Client, environment: str, app: str, number: int, progress: Progress) -> Ended:
    """As `follow`, for who drives where nobody does after this command: what the deployment has left is gone, too."""
    ended = follow(api, environment, app, number, progress)
    if api.inside and ended.verdict is not Verdict.GOOD:
        see_off(api, environment, app, progress)
    progress.clear()
    return ended


def see_off(api: Client, environment: str, app: str, progress: Progress) -> None:
    """An engine that heals may have launched one more while a deployment went back, and nobody is there after this
    command: no group has more than it wants, or `OVER_SECONDS` have passed, or nobody can know."""
    clock = SystemClock()
    until = clock.monotonic() + OVER_SECONDS
    with suppress(HomeportError):  # it is the verdict that counts
        while clock.monotonic() < until:
            apps = api.status(environment).apps
            wanted = {row.name: row.desired for each in apps if each.app == app for row in each.groups}
            there = [each for each in api.instances(environment).instances if each.app == app and each.state in LIVING]
            living = Counter(each.group for each in there)
            over = [name for name, count in wanted.items() if count is not None and living[name] > count]
            if not over:
                return
            progress.waiting(f"one more than wanted of {', '.join(over)}: it ends")
            pause(LOOK_SECONDS)


def echo(api: Client, progress: Progress) -> None:
    """What instances wrote. Also called by `scale`, which may carry on a deployment."""
    for instance, text in api.heard():
        for line in text.split("\n"):
            if line.strip():
                progress.say(f"    {instance}: {printable(line)}")


class _TaskOutput:
    """What the release task writes, shown as it comes."""

    def __init__(self, environment: str, task: str, progress: Progress) -> None:
        self.runs = False
        self._environment = environment
        self._task = task
        self._progress = progress
        self._shown = 0

    def see(self, entry: Entry) -> None:
        if isinstance(entry, TaskStarted):
            self.runs = True
        elif self.runs:
            self.echo()
            self.runs = False

    def echo(self) -> None:
        from homeport.cli import place
        from homeport.ports.engine import LogQuery
        from homeport.wiring import engine

        try:
            lines = list(engine.logs(place.home(), self._environment, LogQuery(instance=self._task), follow=False))
        except HomeportError:
            return  # it is kept, and shown by `deployment show`
        for each in lines[self._shown :]:
            self._progress.say(f"    {printable(each.text)}")
        self._shown = max(self._shown, len(lines))


def left(outcome: Outcome) -> str:
    """What to say of a deployment that has begun and that nobody waits for."""
    environment, number = outcome.environment, outcome.deployment
    what = "goes on" if remote.chosen() is None else "waits for somebody who carries it on"
    follow_it = f"homeport deployment show {number} --follow -e {environment}"
    return f"deployment {number} of {outcome.app} {outcome.release} {what}: {follow_it}"


def take_back(
    api: Client, environment: str, app: str, number: int | None, *, by: str, why: str, progress: Progress
) -> Ended:
    """The last entry of the deployment that goes on, which is taken back. Raises `Conflict` where none goes on,
    `Failed` where what was before it can't be brought back."""
    found = api.abort(environment, app=app, number=number, by=by, why=why)
    ended = see_through(api, environment, app, found, progress)
    if ended.verdict is not Verdict.ABORTED:
        verdict(ended, app=app, release="the release", number=found, environment=environment)
    return ended


def _show(entry: Entry, progress: Progress, *, first: bool) -> None:
    mark = "" if isinstance(entry, Started) else "  "
    progress.say(f"{mark}{in_words(entry, first=first)}")


def verdict(ended: Ended, *, app: str, release: str, number: int, environment: str) -> None:
    """Nothing for a good one. Raises `Failed` with the evidence."""
    if ended.verdict is Verdict.GOOD:
        return
    evidence = ended.evidence
    raise Failed(
        f"deployment {number}: {release} of {app} in {environment}: {ended.verdict.value}: {evidence.summary}",
        hint=evidence.hint or f"homeport deployment show {number} -e {environment}",
        details=evidence.lines,
    )
