"""What `up` and `deploy` share: from code to releases that run. Called by them, `rollback` and `config`."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from homeport.cli import follow, freeze, place, publish
from homeport.cli.client import Client
from homeport.cli.code import Asked, Code
from homeport.cli.follow import Outcome
from homeport.cli.hook import Hooks
from homeport.cli.output import Progress, size
from homeport.console.views import AppView, DeploymentView, StatusView
from homeport.errors import Conflict, Failed, HomeportError, Invalid, NotFound, Unavailable
from homeport.model.platform import Resolved
from homeport.model.release import Release
from homeport.plan.release import parse_number, shared_name
from homeport.releases.catalogue import Catalogue
from homeport.releases.source import Source, tag_release
from homeport.system.clock import SystemClock, pause

PREPARE_SECONDS = 20.0
"""How long one question after it waits for an answer."""
LOOK_SECONDS = 1.0
PATIENCE = timedelta(seconds=5)
"""Beyond what somebody who may be dead is waited for: the first look comes after their last sign of life."""
T = TypeVar("T")


def make_release(code: Code, asked: Asked, progress: Progress, catalogue: Catalogue) -> tuple[Release, bool]:
    """The release that is exactly what is asked for, and whether it was made just now."""
    from homeport.wiring import engine, storage

    wanted = code.wanted
    check_alone(wanted.resolved.place.id, code.app)
    for notice in (*code.notices, *wanted.notices):
        progress.say(f"note: {notice}")
    release = None if asked.force else publish.fitting(wanted, catalogue)
    if release is not None:
        # Once more, for a command that was killed before it came to that.
        tag_release(wanted.source, release.app, release.environment, release.number, alone=wanted.alone)
        return release, False
    freeze.check(catalogue.store, wanted.resolved.place.id, asked.over_freeze)
    home = storage.home()
    current = catalogue.current(code.app, wanted.environment)
    engine.check_certificate(wanted.resolved.place, None if current is None else current.resolved.place)
    what = "the work tree" if wanted.source.dirty else f"{wanted.source.commit[:10]} {wanted.source.subject}"
    where = f" of {wanted.source.url}" if wanted.source.url else ""
    progress.say(f"building {code.app} from {what}{where}")
    progress.goes_on(
        f"nothing of {code.app} is released; what runs goes on",
        f"homeport deploy -e {wanted.environment}   # takes it up again",
    )
    by = place.person(asked.directory)
    now = SystemClock().now()

    def say(line: str) -> None:
        progress.say(f"  {line}")

    def heard(line: str) -> None:
        progress.passing(f"    {line}")

    hooks = _hooks(asked, wanted.resolved, progress, by=by, commit=wanted.source.commit)
    hooks.told["HOMEPORT_PREVIOUS"] = "" if current is None else current.id
    with hooks.failing("pre-build"):
        hooks.before("pre-build", f"nothing of {code.app} is built")
    builder = engine.builder(home, catalogue.store)
    with hooks.failing("build"):
        release = publish.create(wanted, builder, catalogue, by=by, why=asked.why, now=now, say=say, output=heard)
    progress.say(f"released {release.id} of {release.app}")
    progress.goes_on(
        f"{release.id} of {release.app} isn't deployed",
        f"homeport deploy --release {release.id} -e {release.resolved.place.id}",
    )
    return release, True


def check_alone(environment: str, app: str) -> None:
    """Asked before anything is kept for it: releases and config are those of another platform's environment of that
    name, where the app is up there. The engine looks again before it deploys. Raises `Conflict`."""
    from homeport.cli import remote

    if remote.chosen() is not None:
        return  # each platform there has a bucket of its own
    api = place.client()
    with suppress(NotFound, Unavailable):  # no engine runs, or that environment has just ended
        for other in api.environments():
            same_name = other.name == environment.partition("/")[2] and other.environment != environment
            if same_name and app in (each.app for each in api.status(other.environment).apps):
                raise shared_name(app, environment, other.environment)


def check_platform(release: Release, environment: str) -> None:
    """Nothing, where the release was made for that environment, not for one of the same name. Raises `Conflict`."""
    made_for = release.resolved.place.id
    if made_for != environment:
        raise Conflict(
            f"{release.app} {release.id} was released for {made_for}, not for {environment}",
            hint=f"an app belongs to one platform: homeport deploy --release {release.id} where that one's file is",
        )


def leaves_rollback(running: Release, source: Source) -> str | None:
    """A sentence for whoever might not expect it: what runs was rolled back to, and this goes forward again. None:
    that isn't so."""
    if running.origin == running.number or running.slug.commit == source.commit:
        return None
    was = f"{running.app} runs {running.id}, rolled back to r{running.origin} ({running.slug.commit[:10]})"
    return f"{was}; now comes what is newest: {source.commit[:10]} {source.subject}"


def bring(api: Client, release: Release, asked: Asked, *, by: str, progress: Progress) -> Outcome:
    """The release runs in its environment; with `force`, in new instances only; with `detach`, is on its way there.
    Raises `Failed` with the evidence, or where a hook says no, `Conflict` where another deployment goes on, or the
    environment is frozen."""
    if asked.detach and api.inside:
        raise Invalid("--detach: nobody would carry it on, since on this engine that is what the command does")
    environment = release.resolved.place.id
    try:
        found = _app(api, environment, release.app)
    except NotFound:
        before, goes_on = None, None
    else:
        before, goes_on = found.release, _unfinished(found)
    if before == release.id and goes_on is None:
        if api.inside:
            with suppress(Conflict):  # they live: what is left to do they do
                _patiently(lambda: api.settle(environment, app=release.app), progress)
        return _outcome(api, release, None, "good", changed=False)
    hooks = _hooks(asked, release.resolved, progress, by=by, commit=release.slug.commit)
    hooks.told |= {"HOMEPORT_RELEASE": release.id, "HOMEPORT_PREVIOUS": before or ""}
    as_it_is = not asked.force and asked.pause_after is None
    if goes_on is not None and goes_on.release == release.id and as_it_is:
        progress.say(f"deployment {goes_on.number} of {release.id} of {release.app} goes on: by {goes_on.by}")
        hooks.skip(("post-deploy", "on-failure"), "another command began the deployment")
        if asked.detach:
            return _outcome(api, release, goes_on.number, None, changed=True)
        ended = follow.see_through(api, environment, release.app, goes_on.number, progress)
        follow.verdict(ended, app=release.app, release=release.id, number=goes_on.number, environment=environment)
        return _outcome(api, release, goes_on.number, ended.verdict.value, changed=True)
    progress.goes_on(
        f"{release.id} of {release.app} isn't deployed", f"homeport deploy --release {release.id} -e {environment}"
    )
    with hooks.failing("pre-deploy"):
        hooks.before("pre-deploy", f"{release.id} of {release.app} isn't deployed")
    with hooks.failing("deploy"):
        if before is not None and not api.inside:
            _check_usable(api, release, progress)

        def begin() -> int:
            return api.deploy(
                environment,
                app=release.app,
                release=release.number,
                by=by,
                why=asked.why,
                restart=asked.force,
                pause_after=asked.pause_after,
                over_freeze=asked.over_freeze,
            )

        number = _patiently(begin, progress) if api.inside else begin()
        if asked.detach:
            hooks.skip(("post-deploy", "on-failure"), "nobody waits for its end")
            return _outcome(api, release, number, None, changed=True)
        ended = follow.see_through(api, environment, release.app, number, progress)
        hooks.told |= {"HOMEPORT_DEPLOYMENT": str(number), "HOMEPORT_VERDICT": ended.verdict.value}
        follow.verdict(ended, app=release.app, release=release.id, number=number, environment=environment)
    outcome = _outcome(api, release, number, ended.verdict.value, changed=True)
    hooks.after(HOMEPORT_URL=" ".join(outcome.urls))
    return outcome


def _patiently(call: Callable[[], T], progress: Progress) -> T:
    """What it gives, once it is known that who was first is dead: a command that was killed. Raises `Conflict` where
    they live."""
    clock = SystemClock()
    begun = clock.monotonic()
    while True:
        try:
            return call()
        except Conflict as error:
            patience = error.retry_after
            if patience is None or clock.monotonic() - begun > (patience + PATIENCE).total_seconds():
                raise
            progress.waiting(f"{error.message}: waiting for a sign of life, {patience.total_seconds():g} s")
        pause(LOOK_SECONDS)


def _check_usable(api: Client, release: Release, progress: Progress) -> None:
    """Its code and config have come to the engine, and have the digests that they should; or the disk is full, which is
    for the deployment to say. Raises `Failed`: then nothing has begun."""
    environment = release.resolved.place.id
    while True:
        found = api.prepare(environment, app=release.app, release=release.number, seconds=PREPARE_SECONDS)
        if found.ready or found.disk_full:
            return
        if found.failed:
            raise Failed(
                f"{release.app} {release.id} for {environment} can't be deployed: {found.failed}",
                hint=f"homeport deploy --force -e {release.resolved.place.name}   "
                "# builds it again; what is damaged must be removed from the store",
            )
        progress.waiting(f"fetching {release.id} of {release.app}")


def _hooks(asked: Asked, resolved: Resolved, progress: Progress, *, by: str, commit: str) -> Hooks:
    told = {
        "HOMEPORT_APP": resolved.app,
        "HOMEPORT_PLATFORM": resolved.place.platform,
        "HOMEPORT_ENVIRONMENT": resolved.place.name,
        "HOMEPORT_COMMIT": commit,
        "HOMEPORT_BY": by,
        "HOMEPORT_WHY": asked.why,
    }
    unknown = ("RELEASE", "PREVIOUS", "DEPLOYMENT", "VERDICT", "STAGE", "REASON", "URL")
    told |= {f"HOMEPORT_{each}": "" for each in unknown}
    return Hooks(asked.directory, progress, limit=resolved.deploy.hook_timeout, told=told)


def running_release(api: Client, catalogue: Catalogue, environment: str, app: str) -> Release:
    """The release that new instances get. Raises `NotFound`."""
    found = _app(api, environment, app)
    if found.release is None:
        raise no_release(environment, found)
    return catalogue.get(app, environment.partition("/")[2], parse_number(found.release))


def no_release(environment: str, app: AppView) -> NotFound:
    """What to say of an app that is there, but of which no release was good so far."""
    name = environment.partition("/")[2]
    said = f"{app.app} has no good release in {environment} yet"
    if app.deployment is None:
        return NotFound(said, hint=f"homeport deploy -e {name}")
    number, went = app.deployment.number, app.deployment.verdict
    if not went:
        hint = f"homeport deployment show {number} --follow -e {name}"
        return NotFound(f"{said}: deployment {number} of {app.deployment.release} goes on", hint=hint)
    return NotFound(
        f"{said}: deployment {number} of {app.deployment.release} was the last, {went}: {app.deployment.summary}",
        hint=f"homeport deployment show {number} -e {name}   # mend what it says, then: homeport deploy",
    )


def left_behind(api: Client, outcomes: Sequence[Outcome]) -> list[str]:
    """Notes on apps that are up beside these, which are all that the platform file has."""
    where = outcomes[0].environment
    name = where.partition("/")[2]
    others = {each.app for each in api.status(where).apps} - {each.app for each in outcomes}
    return [
        f"{each} is up in {where}, but not in {publish.FILE} any more; to end it: homeport down --app {each} -e {name}"
        for each in sorted(others)
    ]


def _app(api: Client, environment: str, name: str) -> AppView:
    """Raises `NotFound` where the environment or the app isn't up."""
    found = next((each for each in api.status(environment).apps if each.app == name), None)
    if found is None:
        raise NotFound(f"{name} isn't up in {environment}", hint="homeport up")
    return found


def running_if_up(catalogue: Catalogue, environment: str, app: str) -> Release | None:
    """As `running_release`; None where the engine or the environment isn't up."""
    try:
        return running_release(place.client(), catalogue, environment, app)
    except (NotFound, Unavailable):
        return None


def going_on(api: Client, environment: str, app: str) -> DeploymentView | None:
    """The app's deployment that has no verdict yet; None: there is none. Raises `NotFound`."""
    return _unfinished(_app(api, environment, app))


def _unfinished(app: AppView) -> DeploymentView | None:
    found = app.deployment
    return found if found is not None and not found.verdict else None


def _notes(found: StatusView) -> tuple[str, ...]:
    """What will soon be trouble, whatever was deployed."""
    certificate, disk = found.certificate, found.disk
    notes = () if certificate is None else tuple(f"the certificate {each}" for each in certificate.problems)
    if disk is None or not disk.nearly_full:
        return notes
    free, total = size(disk.free_bytes), size(disk.total_bytes)
    return (*notes, f"the engine's disk is nearly full, {free} of {total} are free: homeport gc")


def _outcome(api: Client, release: Release, number: int | None, said: str | None, *, changed: bool) -> Outcome:
    environment = release.resolved.place.id
    notes: tuple[str, ...] = ()
    try:
        found = api.status(environment)
        urls, notes = found.urls, _notes(found)
    except HomeportError:
        urls = ()
    return Outcome(
        environment=environment,
        urls=urls,
        app=release.app,
        release=release.id,
        deployment=number,
        verdict=said,
        changed=changed,
        notes=notes,
    )
