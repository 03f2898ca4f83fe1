"""`homeport down`: everything of an environment ends, or one app of it."""

import sys
from pathlib import Path

import click

from homeport.cli import candidates, hint, options, output, place, remote
from homeport.cli.client import Client
from homeport.errors import Invalid, NotFound, Unavailable

POLL_SECONDS = 0.1
AWAY_SECONDS = 30.0


@click.command(
    epilog=options.example(
        "homeport down", "homeport down -e review-42 --yes --purge", "homeport down --app blog", see="up, engine stop"
    )
)
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--purge", is_flag=True, help="Remove its releases and config too.")
@click.option(
    "-a",
    "--app",
    metavar="APP",
    shell_complete=candidates.apps,
    help="Only this app; also one that isn't in the platform file any more.",
)
@options.common
def down(environment: str | None, directory: Path, as_json: bool, yes: bool, purge: bool, app: str | None) -> None:
    """End an environment, or one app in it.

    Instances, balancer and addresses go; releases are kept unless --purge. The engine ends with the last environment.
    One of several apps ends alone: its routes hold no longer, requests that it has are answered, the others go on.
    """
    from homeport.wiring import storage

    home = storage.home()
    api = place.running_engine()
    try:
        where = place.environment_id(directory, environment, api)
        apps = _apps(api, where)
        if app is not None:
            _one(api, where, app, apps, purge=purge, yes=yes, as_json=as_json)
            return
        if apps is not None or purge or remote.chosen() is not None:
            _confirm(where, yes=yes, purge=purge, as_json=as_json)
        if apps is not None:
            with output.Progress(quiet=as_json) as progress:
                api.down(where)
                progress.goes_on(
                    f"{where} {'is half down' if api.inside else 'goes down all the same'}",
                    f"homeport down --yes -e {where}   # sees it to its end",
                )
                _wait(api, where, progress)
        gone = _take_down(directory, as_json=as_json)
        removed = _purge(where, apps or _apps_of_file(directory, where)) if purge else 0
    finally:
        last = place.stop_if_empty(api)
    if as_json:
        output.emit(
            {"environment": where, "was_up": apps is not None, "removed_objects": removed, "engine_stopped": last}
        )
        return
    was_up = apps is not None or gone
    print(f"{where} is down" if was_up else f"{where} isn't up: nothing to do")
    if purge:
        print(f"removed {output.plural(removed, 'object')} of {where} from the store")
    elif apps:
        back = hint.completed("homeport up brings it back")
        print(f"its releases are kept in {storage.store(home).place}; {back}")


def _take_down(directory: Path, *, as_json: bool) -> tuple[str, ...]:
    """Names of the stacks of AWS that went with it."""
    if remote.chosen() is None:
        return ()
    from homeport.cli import environment_stacks

    return environment_stacks.take_down(directory, as_json=as_json)


def _one(
    api: Client, where: str, app: str, apps: tuple[str, ...] | None, *, purge: bool, yes: bool, as_json: bool
) -> None:
    """`app` ends, and nothing else."""
    from homeport.wiring import storage

    if apps is None or app not in apps:
        there = ", ".join(apps or ()) or "nothing"
        raise NotFound(f"{app} isn't up in {where}; there is {there}")
    command = f"homeport down --app {app} --yes"
    _confirm(f"{app} in {where}", yes=yes, purge=purge, as_json=as_json, command=command)
    with output.Progress(quiet=as_json) as progress:
        api.down(where, app)
        progress.goes_on(f"{app} goes down all the same", f"homeport status -e {where}")
        _wait(api, where, progress, app)
    removed = _purge(where, (app,)) if purge else 0
    if as_json:
        output.emit({"environment": where, "app": app, "was_up": True, "removed_objects": removed})
        return
    print(f"{app} is down in {where}; what else is there goes on: {', '.join(each for each in apps if each != app)}")
    if purge:
        print(f"removed {output.plural(removed, 'object')} of it from the store")
    else:
        print(f"its releases are kept in {storage.home().store}")


def _apps(api: Client, where: str) -> tuple[str, ...] | None:
    """None: the environment isn't up."""
    try:
        return tuple(each.app for each in api.status(where).apps)
    except NotFound:
        return None


def _apps_of_file(directory: Path, where: str) -> tuple[str, ...]:
    """Of a platform that isn't up: the file's, else the one that is called like it."""
    platform = place.names_here(directory)
    named = where.partition("/")[0]
    return platform.apps if platform and platform.name == named else (named,)


def _confirm(where: str, *, yes: bool, purge: bool, as_json: bool, command: str = "homeport down --yes") -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise Invalid(f"down ends {where}, and nobody is here to confirm it", hint=command)
    what = f"End {where}, and remove its releases and config?" if purge else f"End {where}?"
    click.confirm(what, abort=True)


def _wait(api: Client, where: str, progress: output.Progress, app: str | None = None) -> None:
    """Until the environment isn't there any more, or `app` isn't in it."""
    from homeport.system.clock import SystemClock, pause

    clock = SystemClock()
    seen_at = clock.monotonic()
    while True:
        try:
            if app is not None and app not in [each.app for each in api.status(where).apps]:
                return
            found = api.instances(where)
            seen_at = clock.monotonic()
            left = [
                f"{each.id} ({each.target if each.target == 'draining' else each.state})"
                for each in found.instances
                if app in (None, each.app)
            ]
            left += [each.id for each in found.tasks if app in (None, each.app)]
            left += [each.id for each in found.sessions if app in (None, each.app)]
            progress.waiting(f"ending: {', '.join(left) or 'the balancer'}")
        except NotFound:
            return
        except Unavailable:
            if clock.monotonic() - seen_at > AWAY_SECONDS:
                raise
        pause(POLL_SECONDS)


def _purge(where: str, apps: tuple[str, ...]) -> int:
    """How many objects were removed: everything of the environment, and layers that no other environment may need."""
    from homeport.wiring import storage

    store = storage.store(storage.home())
    name = where.partition("/")[2]
    removed = 0
    for app in apps:
        keys = store.list(f"{app}/{name}/")
        others = [key for key in store.list(f"{app}/") if not key.startswith((f"{app}/{name}/", f"{app}/layers/"))]
        if not others:
            keys += store.list(f"{app}/layers/")
        # releases first: what is left of an interrupted purge must not look whole
        for key in sorted(keys, key=lambda each: not each.endswith("/release.json")):
            store.delete(key)
        removed += len(keys)
    return removed
