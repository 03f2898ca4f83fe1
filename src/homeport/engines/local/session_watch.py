"""Sessions as the daemon sees them, and their end: told to stop, cleared up after, remembered. Used by `engine`, under
its lock, and by `session` for its own."""

import os
import signal
import threading
from datetime import datetime
from functools import partial

from msgspec.structs import replace

from homeport.engines.local.death import Deaths
from homeport.engines.local.launcher import Launcher
from homeport.engines.local.record import Records, SessionRecord
from homeport.engines.local.removal import remove_tree
from homeport.engines.local.work import Key, Work
from homeport.instance.sandbox import BwrapSandbox, written_pid
from homeport.instance.supervision import kill
from homeport.model.event import Event
from homeport.model.session import Session
from homeport.ports.clock import Clock
from homeport.system import process

KEPT_ENDED = 20
"""Ended sessions that are remembered per environment."""
_END_SECONDS = 10


class SessionWatch:
    def __init__(
        self,
        records: Records,
        *,
        launcher: Launcher,
        sandbox: BwrapSandbox,
        deaths: Deaths,
        work: Work,
        clock: Clock,
        lock: threading.RLock,
    ) -> None:
        self.records = records
        self.launcher = launcher
        self.sandbox = sandbox
        self.deaths = deaths
        self.work = work
        self.clock = clock
        self.lock = lock
        self._watched: set[Key] = set()
        self._told: dict[Key, datetime] = {}
        """When each was told to end. Not in its record, which is written by who keeps it."""

    @property
    def watched(self) -> frozenset[Key]:
        """(environment, session) of those that go on, as far as is known."""
        return frozenset(self._watched)

    def all(self, environment: str) -> tuple[Session, ...]:
        """As they are now. What a killed process of the command line has left is being cleared up from now on."""
        found = self.records.sessions(environment)
        for id_, each in found.items():
            key = (environment, id_)
            if each.seen.ended_at is not None:
                self._watched.discard(key)
                self._told.pop(key, None)
            elif kept_by_somebody(each):
                if key not in self._watched:
                    self._watched.add(key)
                    self.deaths.watch(" ".join(key), each.holder, each.started)
            elif not self.work.goes_on(key):
                self.work.begin(key, partial(self._succeed, environment, each))
        return tuple(replace(each.seen, stop_at=self._told.get((environment, id_))) for id_, each in found.items())

    def end(self, environment: str, id_: str, *, by_force: bool) -> None:
        """Told to end; `by_force`: its process is killed, and what is left cleared up."""
        found = self.records.session(environment, id_)
        if found is not None and found.seen.ended_at is None:
            if by_force:
                kill(found.holder, found.started)
            else:
                self._told.setdefault((environment, id_), self.clock.now())
                tell_to_stop(found)

    def _succeed(self, environment: str, record: SessionRecord) -> None:
        clear_up(self.launcher, self.sandbox, environment, record)
        with self.lock:
            here = environment in self.records.environments()
            now = self.records.session(environment, record.seen.id)
            if here and now is not None and now.seen.ended_at is None:
                reason = "its `homeport` was killed"
                conclude(self.records, environment, now, at=self.clock.now(), exit_code=None, reason=reason)


def kept_by_somebody(record: SessionRecord) -> bool:
    return record.boot_id == process.boot_id() and process.alive(record.holder, record.started)


def tell_to_stop(record: SessionRecord) -> None:
    """TERM to whoever keeps it: they see to the rest. Harmless to repeat."""
    process.send(record.holder, record.started, signal.SIGTERM)


def clear_up(launcher: Launcher, sandbox: BwrapSandbox, environment: str, record: SessionRecord) -> None:
    """The one-off's sandbox has ended, and nothing of the session is left but its record and its log. Repeatable."""
    id_ = record.seen.id
    info = launcher.session_info(environment, id_)
    if record.boot_id == process.boot_id():
        pid, started = record.pid, record.pid_started
        if pid is None:
            pid = written_pid(info)
            started = None if pid is None else process.start_time_of_first(pid)
        if pid is not None and started is not None:
            _end(pid, started)
    sandbox.forget(info)
    remove_tree(launcher.directory(environment, id_))


def _end(pid: int, started: int) -> None:
    pidfd = process.open_pidfd(pid, started)
    if pidfd is not None:
        kill(pid, started)
        process.ended(pidfd, _END_SECONDS)
        os.close(pidfd)


def record_begin(records: Records, environment: str, session: Session) -> None:
    apart = ", detached" if session.detached else ""
    where = "" if session.kind == "run" else f" in {session.instance}"
    message = f"{session.by}{where}: {session.command} (r{session.release} of {session.group}{apart})"
    inside = (session.instance,) if session.kind == "exec" else ()
    _record(records, environment, session, kind=session.kind, at=session.began_at, message=message, asked=inside)


def conclude(
    records: Records, environment: str, record: SessionRecord, *, at: datetime, exit_code: int | None, reason: str
) -> Session:
    """It is remembered as ended. The event goes first: killed in between, there are rather two than none."""
    seen = record.seen
    ended = replace(seen, ended_at=at, exit_code=exit_code, reason=reason)
    code = "exit code not known" if exit_code is None else f"exit code {exit_code}"
    seconds = (at - seen.began_at).total_seconds()
    message = f"{code} after {seconds:.1f} s" + (f": {reason}" if reason else "")
    _record(records, environment, seen, kind=f"{seen.kind}_ended", at=at, message=message)
    records.keep_session(environment, replace(record, seen=ended))
    others = sorted(
        (each.seen.ended_at, id_)
        for id_, each in records.sessions(environment).items()
        if each.seen.ended_at is not None
    )
    for _, id_ in others[:-KEPT_ENDED]:
        records.forget_session(environment, id_)
    return ended


def _record(
    records: Records,
    environment: str,
    session: Session,
    *,
    kind: str,
    at: datetime,
    message: str,
    asked: tuple[str, ...] = (),
) -> None:
    event = Event(
        at=at, environment=environment, app=session.app, kind=kind, subject=session.id, message=message, asked=asked
    )
    records.state.record(event)
