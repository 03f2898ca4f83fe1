"""`homeport simulate aws`: the simulated AWS, for a command, for a rehearsal of all of them, or until Ctrl-C. Called by
`simulate`.

What runs in it gets variables that lead there, and a home of its own: nothing of the user's is touched.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from homeport.cli import output, place
from homeport.errors import Failed, Invalid, NotFound

if TYPE_CHECKING:
    from homeport.model.platform import Place
    from homeport.simulation.aws.simulator import Simulator

FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
EXTRA = "pip install 'homeport[simulator]'"
ACCOUNT, REGION = "123456789012", "eu-west-1"
ASK_SECONDS, LONGEST_SECONDS, LOOK_SECONDS = 0.05, 10.0, 0.2


class Step(Struct, frozen=True, kw_only=True):
    """One command of a rehearsal, and how it went."""

    command: str
    status: int
    seconds: float


class Traffic:
    """Requests to the environment, one after the other, until `stop`."""

    def __init__(self, aws: "Simulator") -> None:
        self.sent = self.failed = 0
        self.words: list[str] = []
        self._aws = aws
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._stopped.wait(ASK_SECONDS):
            for url in self._aws.urls().values():
                problem = _asked(url)
                self.sent += 1
                self.failed += bool(problem)
                if problem and problem not in self.words:
                    self.words.append(problem)


def _asked(url: str) -> str:
    """What went wrong; empty: an answer below 500."""
    try:
        with urllib.request.urlopen(url, timeout=LONGEST_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"answer {error.code}" if error.code >= 500 else ""
    except OSError as error:
        return str(error)


def run(
    command: Sequence[str], directory: Path, environment: str | None, *, serve: bool, pace: float, as_json: bool
) -> int:
    """Exit status. Raises `NotFound` without an environment on AWS to rehearse, `Invalid` without the extra."""
    where = _place(directory, environment, needed=not (serve or command))
    account = where.aws.account if where is not None and where.aws is not None else ACCOUNT
    region = where.aws.region if where is not None and where.aws is not None else REGION
    # boto3 and moto look at profiles as soon as they are imported; the user's have no place here
    kept = _environment({})
    for name in [each for each in os.environ if each not in kept]:
        del os.environ[name]
    os.environ |= kept
    try:
        from homeport.simulation.aws.simulator import simulator
    except ImportError as error:
        raise Invalid(f"the simulator isn't installed: {error}", hint=EXTRA) from error

    with _ended_in_order(), simulator(region=region, account=account, pace=pace) as aws:
        if where is not None and where.aws is not None:
            aws.keep_image(where.aws.image)
        variables = aws.variables | {"HOMEPORT_HOME": str(aws.root / "home")}
        if command:
            try:
                return _call(command, directory, variables)
            finally:
                _tell_of_pace(aws)
        if serve:
            return _serve(aws, variables, as_json=as_json)
        assert where is not None
        return _rehearse(aws, directory, where, variables, as_json=as_json)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """A terminal that is closed, or a TERM, ends it as Ctrl-C does: nothing of it is left on this machine."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {each: signal.signal(each, end) for each in (signal.SIGHUP, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _place(directory: Path, asked: str | None, *, needed: bool) -> "Place | None":
    """The environment on AWS that is meant: `asked`, else the first; None: there is none, and none is needed."""
    from homeport.plan.platform import place_of

    described = place.platform_here(directory)
    names = () if described is None else (asked,) if asked else described.environments
    found = [place_of(described, each) for each in names] if described is not None else []
    chosen = next((each for each in found if each.engine == "aws"), None)
    if chosen is None and needed:
        what = f"{asked} in {place.FILE}" if asked else f"no environment in {place.FILE}"
        raise NotFound(
            f"{what} is on AWS" if not asked and described else f"there is no environment on AWS: {what}",
            hint="homeport init --engine aws --region eu-west-1 --account 123456789012",
        )
    return chosen


def _environment(variables: dict[str, str]) -> dict[str, str]:
    """This program's, with nothing of it that leads to the real AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HOMEPORT_"))}
    return kept | dict.fromkeys(FILES, os.devnull) | variables


def _call(command: Sequence[str], directory: Path, variables: dict[str, str]) -> int:
    try:
        status = subprocess.call(command, cwd=directory, env=_environment(variables))
    except OSError as error:
        raise Invalid(f"can't run {command[0]}: {error.strerror}") from error
    return status if status >= 0 else 128 - status


def _tell_of_pace(aws: "Simulator", told: int = 0) -> int:
    """How much of what happened because of `--pace` has been told by now. `told`: before."""
    new = aws.hurried[told:]
    for each in new:
        output.line(f"note: {each}; a smaller --pace gives it longer", error=True)
    return told + len(new)


def _serve(aws: "Simulator", variables: dict[str, str], *, as_json: bool) -> int:
    """Until Ctrl-C; says where load balancers answer, as they come."""
    if as_json:
        output.emit({"endpoint_url": aws.endpoint_url, "variables": variables})
    else:
        print("\n".join(f"export {name}={value}" for name, value in variables.items()))
        print("unset AWS_PROFILE AWS_SESSION_TOKEN   # in the shell that shall use it", flush=True)
    told: dict[str, str] = {}
    hurried = 0
    stopped = threading.Event()
    try:
        while not stopped.wait(LOOK_SECONDS):
            for name, url in aws.urls().items():
                if told.get(name) != url:
                    told[name] = url
                    print(f"{name} answers at {url}", file=sys.stderr, flush=True)
            hurried = _tell_of_pace(aws, hurried)
    except KeyboardInterrupt:
        return 0
    return 0


def _rehearse(aws: "Simulator", directory: Path, where: "Place", variables: dict[str, str], *, as_json: bool) -> int:
    """up, ps, deploy, rollback, down; requests between the first and the last. Raises `Failed` with what went wrong."""
    copy = _copied(directory, aws.root)
    commands = (("up", "--yes"), ("ps",), ("deploy", "--force"), ("rollback",), ("down", "--yes"))
    steps = [_step(commands[0], copy, where.name, variables, quiet=as_json)]
    for name, url in aws.urls().items():
        print(f"{name} answers at {url}", file=sys.stderr)
    traffic = Traffic(aws)
    try:
        for command in commands[1:-1]:
            if not steps[-1].status:
                steps.append(_step(command, copy, where.name, variables, quiet=as_json))
    finally:
        traffic.stop()
    if not steps[-1].status:
        steps.append(_step(commands[-1], copy, where.name, variables, quiet=as_json))
    _tell_of_pace(aws)
    if as_json:
        output.emit({"steps": steps, "requests": traffic.sent, "failed": traffic.failed, "broken": aws.broken})
    else:
        print(f"{traffic.sent} requests meanwhile, {traffic.failed} failed" + _listed(traffic.words))
    wrong = [f"{each.command}: exit code {each.status}" for each in steps if each.status]
    wrong += [f"{traffic.failed} of {traffic.sent} requests failed"] if traffic.failed else []
    wrong += [f"not simulated: {each}" for each in aws.broken]
    if wrong:
        raise Failed("the rehearsal went wrong", details=tuple(wrong))
    return 0


def _copied(directory: Path, root: Path) -> Path:
    """The same directory in a clone of its repository: releases are tagged there, not in the user's. As everywhere, a
    homeport.toml that isn't committed yet is taken as it lies there, and other changes aren't. Raises `Invalid` outside
    of a repository."""
    from homeport.releases import git
    from homeport.releases.source import committed_text

    top = git.run(directory, "rev-parse", "--show-toplevel")
    if top.returncode:
        raise Invalid(f"{directory.resolve()} isn't in a git repository", hint="git init && git add . && git commit")
    above = Path(top.stdout.decode().strip())
    root.mkdir(parents=True, exist_ok=True)
    made = git.run(root, "clone", "--quiet", "--no-tags", str(above), "repository")
    if made.returncode:
        raise Invalid(f"can't clone {above}: {made.stderr.decode().strip()}")
    file = place.find_file(directory)
    if file is not None and file.resolve().is_relative_to(above.resolve()) and committed_text(file) is None:
        shutil.copy(file, root / "repository" / file.resolve().relative_to(above.resolve()))
    elif git.is_dirty(above):
        print("note: changes that aren't committed are left out", file=sys.stderr)
    return root / "repository" / directory.resolve().relative_to(above.resolve())


def _listed(words: Sequence[str]) -> str:
    return f" ({'; '.join(words)})" if words else ""


def _step(command: Sequence[str], directory: Path, name: str, variables: dict[str, str], *, quiet: bool) -> Step:
    argv = (sys.executable, "-m", "homeport", *command, "-e", name)
    shown = " ".join(("homeport", *command, "-e", name))
    print(f"$ {shown}", file=sys.stderr, flush=True)
    begun = time.monotonic()
    status = subprocess.call(
        argv, cwd=directory, env=_environment(variables), stdout=subprocess.DEVNULL if quiet else None
    )
    return Step(command=shown, status=status, seconds=round(time.monotonic() - begun, 3))
