"""`homeport engine`: the daemon that keeps things running, and the balancer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from homeport import __version__
from homeport.cli import options, output, place
from homeport.cli.commands import Commands
from homeport.errors import HomeportError

if TYPE_CHECKING:
    from homeport.engines.local.boot import Installed


@click.group(cls=Commands)
def engine() -> None:
    """The engine: a daemon and HAProxy.

    `homeport up` starts it. Killing it harms nothing that serves.
    """


@engine.command(
    epilog=options.example(
        "homeport engine start", "homeport engine start --store s3://bucket/prefix", see="engine status, engine install"
    )
)
@click.option(
    "--store",
    metavar="STORE",
    help="The object store, at this home's first use: s3://bucket/prefix or a directory. Else: HOMEPORT_STORE, else a "
    "directory of the home's own.",
)
@options.as_json
def start(store: str | None, as_json: bool) -> None:
    """Start the engine; what ran before it comes back."""
    from homeport.wiring import storage

    storage.choose_store(storage.home(), store)
    with _waiting("the engine starts", as_json=as_json):
        api = place.running_engine()
    _told(as_json, "the engine runs", pid=api.daemon().pid)


@engine.command(epilog=options.example("homeport engine stop", see="engine start, down"))
@options.as_json
def stop(as_json: bool) -> None:
    """Stop daemon and balancer. Instances run on, unwatched and without traffic; `engine start` takes them back."""
    from homeport import daemon
    from homeport.wiring import storage

    try:
        up = [each.environment for each in place.client().environments()]
    except HomeportError:
        up = []
    with _waiting("the engine stops", as_json=as_json):
        daemon.stop(storage.home())
    _told(as_json, "the engine is stopped", environments=up)
    if up and not as_json:
        print(f"still there, but not served: {', '.join(up)}; homeport engine start brings them back")


@engine.command(epilog=options.example("homeport engine restart", see="engine status"))
@options.as_json
def restart(as_json: bool) -> None:
    """Start the engine anew, such as after an upgrade. Instances run on; the balancer is away for a moment."""
    from homeport import daemon
    from homeport.wiring import storage

    home = storage.home()
    with _waiting("the engine starts anew", as_json=as_json):
        daemon.stop(home)
        daemon.start(home)
    _told(as_json, "the engine runs anew", pid=place.client().daemon().pid)


@engine.command(
    epilog=options.example(
        "homeport engine status",
        "homeport engine status --json",
        codes={5: "it doesn't run"},
        see="engine logs, doctor",
    )
)
@options.as_json
def status(as_json: bool) -> None:
    """Show whether the engine runs, and where it keeps things. Exit code 5 where it doesn't."""
    home = place.home()
    api = place.client()
    daemon = api.daemon()
    same = daemon.version == __version__
    up = api.environments() if same else ()
    store = api.store() if same else None
    if as_json:
        output.emit(
            {
                "version": daemon.version,
                "pid": daemon.pid,
                "home": str(home.root),
                "socket": str(home.socket),
                "store": store,
                "environments": up,
            }
        )
        return
    print(f"the engine runs: Homeport {daemon.version}, pid {daemon.pid}")
    rows = [("home", str(home.root)), ("socket", str(home.socket))]
    if store is not None:
        rows.append(("store", store.place))
    output.table(("", ""), rows, indent="  ")
    if store is not None and store.problem:
        print(f"  trouble: {output.printable(store.problem)}")
    for each in up:
        print(f"  {each.environment}  {' '.join(each.urls)}")
    if daemon.version != __version__:
        print(f"this command is Homeport {__version__}: homeport engine restart")


@engine.command(
    epilog=options.example(
        "homeport engine install", "homeport engine install --print", see="engine uninstall, engine status"
    )
)
@click.option("--print", "only_print", is_flag=True, help="Show the unit; write nothing.")
@options.as_json
def install(only_print: bool, as_json: bool) -> None:
    """Have the engine started when the machine boots; every environment comes back then.

    Writes a unit for systemd: the machine's as root, else the user's own.
    """
    from homeport import daemon

    home = place.home()
    path, text = daemon.unit(home)
    if only_print:
        if as_json:
            output.emit({"unit": str(path), "text": text})
        else:
            print(f"# {path}\n{text}", end="")
        return
    _installed(as_json, daemon.install(home), f"the engine of {home.root} starts when the machine boots")


@engine.command(epilog=options.example("homeport engine uninstall", see="engine install, engine stop"))
@options.as_json
def uninstall(as_json: bool) -> None:
    """Don't start the engine at boot any more. One that runs goes on until it is stopped."""
    from homeport import daemon

    home = place.home()
    done = daemon.uninstall(home)
    _installed(as_json, done, f"the engine of {home.root} doesn't start at boot any more")


@engine.command(
    epilog=options.example(
        "homeport engine logs", "homeport engine logs -f", "homeport engine logs -n 500", see="logs, engine status"
    )
)
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come.")
@click.option("-n", "--lines", metavar="N", type=click.IntRange(0), default=50, help="The newest so many. Default: 50.")
@options.as_json
def logs(as_json: bool, lines: int, follow: bool) -> None:
    """Show what daemon and balancer wrote.

    In order of time. With --json, one document a line.
    """
    from homeport.cli.logs import show
    from homeport.ports.engine import LogQuery
    from homeport.wiring import engine

    show(engine.own_logs(place.home(), LogQuery(last=lines), follow=follow), as_json=as_json, flush=follow)


@engine.command(hidden=True, epilog=options.example("homeport engine run   # what runit does"))
@options.as_json
def run(as_json: bool) -> None:
    """Be the daemon, in the foreground, until TERM."""
    from homeport import daemon
    from homeport.wiring import storage

    os.umask(0o077)
    daemon.run(storage.home())


@engine.command(hidden=True, epilog=options.example("homeport engine boot   # what systemd does"))
@options.as_json
def boot(as_json: bool) -> None:
    """Be the root of the tree that keeps the engine running, in the foreground."""
    from homeport import daemon
    from homeport.wiring import storage

    os.umask(0o077)
    daemon.boot(storage.home())


def _installed(as_json: bool, done: "Installed", text: str) -> None:
    if as_json:
        output.emit({"unit": str(done.unit), "changed": done.changed, "enabled": done.enabled, "left": done.left})
        return
    wrote = "removed" if not done.unit.exists() else "wrote"
    print(f"{wrote} {done.unit}" if done.changed else f"{done.unit}: nothing to do")
    if done.left:
        print("systemd has yet to be told; type:")
        print("\n".join(f"  {each}" for each in done.left))
    else:
        print(text)


@contextmanager
def _waiting(what: str, *, as_json: bool) -> Iterator[None]:
    with output.Progress(quiet=as_json) as progress:
        progress.goes_on("it may be half done", "homeport engine status")
        if output.live():  # a second or two: no line for a log
            progress.waiting(what)
        yield


def _told(as_json: bool, text: str, **facts: object) -> None:
    if as_json:
        output.emit(facts)
    else:
        print(text)
