"""The daemon of a home, which the command line calls the engine: begun, awaited, ended, tied to the machine's boot, and
what it is. Called by `cli`; imports lazily, as `wiring` does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from homeport import __version__
from homeport.errors import Conflict, Unavailable
from homeport.system.home import Home
from homeport.wiring import storage

if TYPE_CHECKING:
    from homeport.engines.local.boot import Installed

START_SECONDS = 20.0


def running(home: Home) -> bool:
    """Whether the daemon answers."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(home.socket))
        except OSError:
            return False
    return True


def begin(home: Home) -> None:
    """As `start`, but the API may have yet to answer: for whoever has other things to do in the meantime."""
    from homeport.engines.local.watch_tree import WatchTree

    storage.choose_store(home)
    if not running(home):
        WatchTree(home).start(_program("run"), _environment(home), _store_environment(home))


def start(home: Home) -> None:
    """Daemon and HAProxy run under their watch tree, and the API answers. Harmless to repeat. Raises `Unavailable`,
    and what `choose_store` raises."""
    begin(home)
    wait(home)


def wait(home: Home) -> None:
    """The API of an engine that was begun answers. Raises `Unavailable`."""
    from homeport.system.clock import pause
    from homeport.system.disk import is_full

    waited = 0.0
    while not running(home):
        if waited > START_SECONDS:
            log = home.engine_logs / "daemon" / "current"
            lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
            caches = f"{home.builds}/cache-* {home.builds}/modules-*"
            room = f"rm -r {caches}   # it makes builds slower, no more; or make room otherwise: df -h {home.root}"
            raise Unavailable(
                f"the engine doesn't answer at {home.socket} after {START_SECONDS:g} s",
                hint=room if is_full(home.root) else "homeport doctor",
                details=tuple(lines),
            )
        pause(0.005)
        waited += 0.005


def stop(home: Home) -> None:
    """Daemon and HAProxy have ended; instances run on."""
    from homeport.engines.local.watch_tree import WatchTree

    WatchTree(home).stop()


def boot(home: Home) -> NoReturn:
    """This process becomes the root of the watch tree: what the installed unit runs. Raises `Unavailable`."""
    from homeport.engines.local.watch_tree import WatchTree

    WatchTree(home).become(_program("run"), _environment(home), _store_environment(home))


def unit(home: Home) -> tuple[Path, str]:
    """Where the unit that starts the engine at boot belongs, and its text."""
    from homeport.engines.local.boot import unit_path
    from homeport.plan.unit import Unit, render, unit_name

    kept = ("PATH", "HOME", "LANG", "XDG_DATA_HOME", "PYTHONPATH")
    said = Unit(
        home=str(home.root),
        start=_program("boot"),
        stop=_program("stop"),
        environment={key: os.environ[key] for key in kept if key in os.environ} | {"HOMEPORT_HOME": str(home.root)},
        user=os.getuid() != 0,
    )
    return unit_path(unit_name(home.runtime.name)), render(said)


def install(home: Home) -> Installed:
    """The engine is started at boot. Harmless to repeat. Raises `Unavailable`."""
    from homeport.engines.local import boot as at_boot

    return at_boot.install(*unit(home))


def uninstall(home: Home) -> Installed:
    """The engine isn't started at boot any more. Harmless to repeat. Raises `Unavailable`."""
    from homeport.engines.local import boot as at_boot

    return at_boot.uninstall(unit(home)[0])


def _program(*words: str) -> tuple[str, ...]:
    """A command line of this very program."""
    return (sys.executable, "-m", "homeport", "engine", *words)


def _environment(home: Home) -> dict[str, str]:
    """What the daemon is started with: no more of the caller's environment than it needs."""
    kept = ("PATH", "HOME", "LANG", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "HOMEPORT_CRASH", "HOMEPORT_CRASH_ONCE")
    own = {key: os.environ[key] for key in kept if key in os.environ}
    return own | {"HOMEPORT_HOME": str(home.root), "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}


def _store_environment(home: Home) -> dict[str, str]:
    """What leads to a store that isn't a directory: variables that may be secret."""
    from homeport.stores.choice import chosen

    if not chosen(home, None, os.environ).bucket:
        return {}
    names = {"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    return {key: value for key, value in os.environ.items() if value and (key.startswith("AWS_") or key in names)}


def run(home: Home) -> None:
    """Until TERM: control, local engine and API, for the holder of the home's lock. Raises `Conflict` for another."""
    import ctypes
    import fcntl
    import logging
    import signal

    from homeport.console.server import Server
    from homeport.control.control import Control
    from homeport.engines.local.balancer import HaproxyBalancer
    from homeport.engines.local.engine import LocalEngine
    from homeport.engines.local.watch_tree import WatchTree
    from homeport.engines.local.watchman import Watchman
    from homeport.system.clock import SystemClock
    from homeport.system.memory import tidied_as_usual

    tidied_as_usual()
    # Its supervisor gone, it would be started a second time.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    lock = home.lock.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Conflict(f"another engine holds {home.lock}", hint="homeport engine status") from error
    clock = SystemClock()
    # What runs is kept well without the store. Fetching layers holds nobody up, and may take its time.
    objects, layers = (storage.store(home, must_exist=False, hurried=each) for each in (True, False))
    tree = WatchTree(home)
    balancer, encryption = HaproxyBalancer(home), storage.encryption(home)
    engine = LocalEngine(home, store=layers, encryption=encryption, clock=clock, balancer=balancer)
    watchman = Watchman(engine, tree)
    watchman.look()
    control = Control(engine, objects, clock, holder=f"{os.uname().nodename}:{home.root}")
    server = Server(control, home.socket, version=__version__)
    signal.signal(signal.SIGTERM, lambda *_: control.end())
    signal.signal(signal.SIGINT, lambda *_: control.end())
    server.start()
    watchman.start()
    try:
        control.run()
    finally:
        watchman.stop()
        server.stop()
        engine.close()
