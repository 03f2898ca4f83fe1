"""A one-off process of a release, once, on a server that is there for nothing else: a release task on AWS. What it
writes and how it ends lies in the store (`plan.task_object`), for the server goes. Called by `agent.main`.
"""

import contextlib
import os
from datetime import timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from homeport.agent.generation import Generations
from homeport.agent.record import Bound
from homeport.errors import Conflict, NotAllowed, NotFound, Unavailable
from homeport.instance import log, supervision
from homeport.instance.address import Addresses
from homeport.instance.assemble import Assembly, assemble
from homeport.instance.release import Tenant, assembly_of
from homeport.instance.task import NAME, exit_code, one_off, tell_to_end
from homeport.plan.task import GRACE
from homeport.plan.task_object import Begun, EndedTask, Written, lines_key, stop_key
from homeport.ports.clock import Clock
from homeport.ports.engine import LogQuery
from homeport.ports.objects import ObjectStore
from homeport.system import process
from homeport.system.clock import pause
from homeport.system.effect import effect

KILLED = 128 + 9
LOOK_SECONDS = 1.0
MOST_BYTES = 4_000_000
"""Of its output, what is told; of what comes after it only the end."""
TAIL_LINES = 20
PATIENCE = timedelta(minutes=30)
"""For a store that doesn't hear how it ended."""


class Told:
    """What is told of one task, under its prefix in the store."""

    def __init__(self, store: ObjectStore, prefix: str, clock: Clock) -> None:
        self._store = store
        self._prefix = prefix
        self._clock = clock
        self._pieces = 0

    def begin(self, instance: str) -> None:
        """Nobody else begins it from here on. Raises `Conflict` where somebody has, or it isn't wanted any more."""
        begun = Begun(at=self._clock.now(), instance=instance)
        try:
            _tell(self._store, f"{self._prefix}begun", msgspec.json.encode(begun))
        except Conflict:
            try:
                known = msgspec.json.decode(self._store.get(f"{self._prefix}begun"), type=Begun)
            except NotFound:
                known = begun
            who = f"by {known.instance}" if known.instance else "by nobody, ever: it was given up"
            raise Conflict(f"{self._prefix}: this task was begun before {who}") from None

    def write(self, lines: list[Written]) -> None:
        """Raises `Unavailable`, `NotAllowed`: the same may be told again."""
        with contextlib.suppress(Conflict):  # only the answer was lost
            _tell(self._store, lines_key(self._prefix, self._pieces + 1), msgspec.json.encode(lines))
        self._pieces += 1

    def stopping(self) -> bool:
        """Whether it is to end."""
        key = stop_key(self._prefix)
        return key in self._store.list(key[: key.rindex("/") + 1])

    def end(self, code: int, tail: tuple[str, ...]) -> None:
        """Raises `Unavailable`, `NotAllowed` once the store has been away, or has refused it, for too long: a role's
        rights may come back, what the task did doesn't."""
        ended = msgspec.json.encode(EndedTask(at=self._clock.now(), exit_code=code, tail=tail))
        until = self._clock.monotonic() + PATIENCE.total_seconds()
        while True:
            try:
                _tell(self._store, f"{self._prefix}ended", ended)
            except Conflict:
                return
            except (Unavailable, NotAllowed):
                if self._clock.monotonic() >= until:
                    raise
                pause(LOOK_SECONDS)
            else:
                return


class Ended(Struct, frozen=True):
    exit_code: int
    tail: tuple[str, ...]


def run(generations: Generations, bound: Bound, told: Told, id_: str, line: str) -> Ended:
    """How the command line, run as a process of the release, ended; its output is told meanwhile. Raises `Unavailable`
    and `Invalid` where it can't be started."""
    directory = generations.home.instances / id_
    assembly = _assembly(generations, bound, directory, id_, line)
    exit_directory = directory / "exit"
    spec = one_off(assemble(assembly), assembly, exit_directory)
    pid = generations.sandbox.start(spec, info=directory / "bwrap.json", output=directory / "boot.log")
    watched = _Watched(pid, told, generations.clock)
    try:
        for each in log.read(generations.home.logs, LogQuery(instance=id_), follow=True, stopped=watched.over):
            watched.hear(Written(at=each.at, process=each.process, text=each.text))
    finally:
        watched.close()
    generations.sandbox.forget(directory / "bwrap.json")
    code = exit_code(exit_directory)
    return Ended(KILLED if code is None else code, tuple(watched.tail))


class _Watched:
    """One that runs: what it writes, and whether it is to end."""

    def __init__(self, pid: int, told: Told, clock: Clock) -> None:
        self.tail: list[str] = []
        self._pid = pid
        self._started = process.start_time(pid) or -1
        self._pidfd = process.open_pidfd(pid, self._started)
        self._told = told
        self._clock = clock
        self._fresh: list[Written] = []
        self._bytes = 0
        self._look_at = self._give_up_at = 0.0
        self._kill_at: float | None = None
        self._ended = False

    def hear(self, line: Written) -> None:
        self.tail = [*self.tail, line.text][-TAIL_LINES:]
        if self._bytes < MOST_BYTES:
            self._fresh.append(line)
            self._bytes += len(line.text) + 100
            if self._bytes >= MOST_BYTES:
                self._fresh.append(Written(at=line.at, process=NAME, text="[homeport] too much: the rest isn't kept"))

    def over(self) -> bool:
        """Asked between two looks at its output: once it has ended and been looked at again, all has been heard."""
        if self._ended:
            self._write()
            return not self._fresh or self._clock.monotonic() >= self._give_up_at
        self._ended = self._pidfd is None or process.ended(self._pidfd)
        self._give_up_at = self._clock.monotonic() + PATIENCE.total_seconds()
        if self._clock.monotonic() >= self._look_at:
            self._look_at = self._clock.monotonic() + LOOK_SECONDS
            self._write()
            self._end_if_told()
        return False

    def close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)

    def _write(self) -> None:
        if self._fresh:
            try:
                self._told.write(self._fresh)
            except (Unavailable, NotAllowed):
                return  # with what comes until the next look
            self._fresh = []

    def _end_if_told(self) -> None:
        if self._kill_at is not None:
            if self._clock.monotonic() >= self._kill_at:
                supervision.kill(self._pid, self._started)
            return
        try:
            stopping = self._told.stopping()
        except Unavailable:
            return
        if stopping:
            self._kill_at = self._clock.monotonic() + GRACE.total_seconds()
            tell_to_end(self._pid)


def _assembly(generations: Generations, bound: Bound, directory: Path, id_: str, line: str) -> Assembly:
    group = bound.groups[0]
    tenant = Tenant(
        name=id_,
        directory=directory,
        logs=generations.home.logs / id_,
        processes={NAME: line},
        ports={NAME: 0},
        told={"HOMEPORT_GROUP": group, "HOMEPORT_INSTANCE": id_},
        uid=Addresses(generations.home, generations.clock).uid("agent") if os.getuid() == 0 else None,
    )
    config = bound.snapshot.groups.get(group, {})
    return assembly_of(bound.release, config, tenant, layers=generations.home.layers, encryption=generations.encryption)


@effect("agent.tell_task")
def _tell(store: ObjectStore, key: str, data: bytes) -> None:
    store.create(key, data)
