"""A program that is started anew each time it dies: forks, so that a start costs milliseconds. For `e2e/test_crash.py`
and `e2e/test_agent.py`.

    python -m tests.crash_daemon daemon '<goal as JSON>'    what the daemon runs, until the goal is reached
    python -m tests.crash_daemon command release create …   the command line
    python -m tests.crash_daemon agent deploy <url>         the agent
    python -m tests.crash_daemon claim <directory>          claims an address in a machine's directory of its own

Each does what the installed program does (`daemon.run` without its API, `cli.main`, `agent.main`), in a process
that ends with SIGKILL wherever `HOMEPORT_CRASH` says. It ends when a process ends in another way, with that one's exit
status.
"""

import ctypes
import fcntl
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

import homeport.agent.deployment
import homeport.agent.fetch
import homeport.agent.main
import homeport.agent.status
import homeport.cli.config
import homeport.cli.main
import homeport.cli.release
from homeport.control.control import Control
from homeport.control.fleet import Fleets
from homeport.engines.local.balancer import HaproxyBalancer
from homeport.engines.local.engine import LocalEngine
from homeport.engines.local.watch_tree import WatchTree
from homeport.engines.local.watchman import Watchman
from homeport.instance.address import Addresses
from homeport.model.fleet import Check, Instance, State, Target
from homeport.model.platform import Place
from homeport.system.clock import SystemClock
from homeport.system.home import Home
from homeport.testing.world import APP
from homeport.wiring import storage

SECONDS = 120.0
PR_SET_PDEATHSIG = 1


class Goal(Struct, frozen=True, kw_only=True):
    """What one life after another works towards. Exactly one of the fields beside `place`.

    `deployment`: the `deployment`th has a verdict, and brought `release`; at its gate it is let go on. `sizes`: so many
    instances of each group are in service and well, and nothing else is there. `down`: the environment is gone.
    `clean`: nothing is left that is to be cleaned up."""

    place: Place
    deployment: int = 0
    release: int = 0
    sizes: dict[str, int] = {}
    zones: dict[str, Literal["kill", "freeze"] | None] = {}
    """Beside sizes: how each of these is to have failed; None: it is well."""
    down: bool = False
    clean: bool = False

    def want(self, control: Control) -> None:
        """Asks for it; harmless where it was asked for before."""
        if self.deployment:
            control.open(self.place)
            newest = control.newest(self.place.id, APP)
            if newest is None or newest.started.number < self.deployment:
                control.deploy(self.place, APP, self.release, by="tester", why="test")
        for zone, failure in self.zones.items():
            fleets = Fleets(control)
            if failure is None:
                fleets.restore_zone(self.place.id, zone, by="tester")
            else:
                fleets.fail_zone(self.place.id, zone, failure, by="tester")
        for group, count in self.sizes.items():
            control.scale(self.place.id, APP, group, count)
        if self.down and self.place.id in control.environments:
            control.down(self.place.id)

    def reached(self, control: Control) -> bool:
        if self.down:
            return self.place.id not in control.environments
        observed = control.observation(self.place.id)[0]
        there = [each for each in observed.instances if each.state is not State.TERMINATED]
        if self.deployment:
            newest = control.newest(self.place.id, APP)
            if newest is not None and newest.waits_at_gate:
                control.go_on(self.place.id, APP, None, by="tester")
            settled = not control.environments[self.place.id].app(APP).unfinished
            return newest is not None and newest.ended is not None and settled and all(well(each) for each in there)
        counts = {group: sum(1 for each in there if each.group == group) for group in self.sizes}
        return all(well(each) for each in there) and counts == self.sizes


def well(instance: Instance) -> bool:
    return (
        instance.state is State.IN_SERVICE
        and instance.check is Check.HEALTHY
        and instance.target is (Target.UNUSED if instance.port is None else Target.READY)
    )


def daemon(home: Home, goal: Goal) -> int:
    """0: reached; 1: not in time."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    lock = home.lock.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # whoever died a moment ago lets go of it when its last thread has ended
    clock, store = SystemClock(), storage.store(home)
    tree = WatchTree(home)
    tree.start(("/bin/sleep", "infinity"), {})
    engine = LocalEngine(
        home, store=store, encryption=storage.encryption(home), clock=clock, balancer=HaproxyBalancer(home)
    )
    watchman = Watchman(engine, tree)
    watchman.look()
    control = Control(engine, store, clock, holder="crashing")
    loop = threading.Thread(target=control.run)
    loop.start()
    watchman.start()
    try:
        goal.want(control)
        if goal.clean:
            control.cleaner.clean()
            left = control.cleaner.clean(dry_run=True)
            return 1 if left.problems or left.machine.going or any(each.going for each in left.store.values()) else 0
        reached = control.wait(lambda: goal.reached(control), SECONDS)
        engine.refresh()  # as the watchman does every few seconds
        return 0 if reached else 1
    finally:
        control.end()
        loop.join()
        watchman.stop()
        engine.close()


def claim(home: Home, machine: Path) -> int:
    """A claims file of a home that is gone is in the way."""
    (machine / f"{os.getuid()}-gone.json").write_text('{"home": "/nowhere/at/all"}')
    Addresses(home, SystemClock(), machine=machine).port("a/b/c")
    return 0


def again_and_again(work: Callable[[], int]) -> int:
    """Exit status of the first life that wasn't ended by SIGKILL."""
    while True:
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os._exit(one_life(work))
        _, status = os.waitpid(pid, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            return os.waitstatus_to_exitcode(status)


def one_life(work: Callable[[], int]) -> int:
    try:
        return work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def main(what: str, *words: str) -> int:
    home = storage.home()
    match what:
        case "daemon":
            goal = msgspec.json.decode(words[0], type=Goal)
            return again_and_again(lambda: daemon(home, goal))
        case "command":
            return again_and_again(lambda: homeport.cli.main.run(list(words)))
        case "agent":
            return again_and_again(lambda: homeport.agent.main.run(list(words)))
        case _:
            return again_and_again(lambda: claim(home, Path(words[0])))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
