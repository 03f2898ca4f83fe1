"""Commands in one-off instances and inside live ones, on this machine. Implements `ports.session.Sessions`.

Used in the process of the command line, which starts, feeds and ends them by itself: they need no daemon, and outlive
it. The daemon reads the records, and clears up after a process of ours that was killed (`session_watch`).
"""

import contextlib
import os
from collections.abc import Callable
from typing import NoReturn

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from homeport.engines.local import session_choice as choice
from homeport.engines.local.launcher import Launcher
from homeport.engines.local.record import EnvironmentRecord, Records, SessionRecord
from homeport.engines.local.session_log import SessionLog
from homeport.engines.local.session_watch import clear_up, conclude, record_begin, tell_to_stop
from homeport.errors import BY_KIND, HomeportError, Unavailable
from homeport.instance.attend import attend, explained, is_terminal
from homeport.instance.enter import begin, enter
from homeport.instance.keeper import Command
from homeport.instance.sandbox import BwrapSandbox
from homeport.model.platform import Group
from homeport.model.session import Session
from homeport.plan.session_choice import app as choose_app
from homeport.plan.session_choice import process_type as choose_process_type
from homeport.ports.clock import Clock
from homeport.ports.encryption import Encryption
from homeport.ports.objects import ObjectStore
from homeport.ports.session import Asked, Ending, Streams
from homeport.stores.state import State
from homeport.system import process, terminal
from homeport.system.home import Home

NEVER_STARTED = 125


class _Inside(Struct, frozen=True, kw_only=True):
    """A sandbox to enter, by its pid 1, and the environment of what is begun there. `owned`: made for it alone."""

    pid: int
    started: int
    variables: dict[bytes, bytes]
    owned: bool


class _Begun(Struct, frozen=True, kw_only=True):
    """What a session that is to go on by itself has come to, or the error."""

    session: Session | None = None
    kind: str = ""
    message: str = "it was killed before it began"
    hint: str | None = None
    details: tuple[str, ...] = ()


class LocalSessions:
    def __init__(self, home: Home, *, store: ObjectStore, encryption: Encryption, clock: Clock) -> None:
        self.home = home
        self.store = store
        self.encryption = encryption
        self.clock = clock
        self.sandbox = BwrapSandbox()
        self._open()

    def app(self, environment: str, asked: str | None) -> str:
        choice.environment(self.records, environment)
        return choose_app(environment, self.records.apps(environment), asked)

    def prepared(self, environment: str, app: str, release: int) -> bool:
        return self.records.release(environment, app, release) is not None

    def run(
        self,
        environment: str,
        asked: Asked,
        *,
        app: str,
        group: str | None,
        release: int | None,
        variables: dict[str, str],
        streams: Streams,
    ) -> Ending:
        kept = choice.environment(self.records, environment)
        chosen = choice.one_off(self.records, environment, app, release=release, group=group)
        session = self._session(kept, "run", asked, chosen)
        return self._run(kept, session, asked, chosen.group, variables, streams)

    def detach(
        self,
        environment: str,
        asked: Asked,
        *,
        app: str,
        group: str | None,
        release: int | None,
        variables: dict[str, str],
    ) -> Session:
        kept = choice.environment(self.records, environment)
        chosen = choice.one_off(self.records, environment, app, release=release, group=group)
        session = replace(self._session(kept, "run", asked, chosen), detached=True)
        read, write = os.pipe()
        # SQLite mustn't be carried over a fork: its locks aren't, and the file would be written by two without them.
        self.records.state.close()
        begin(lambda: self._apart(write, kept, session, asked, chosen.group, variables))
        os.close(write)
        self._open()
        with open(read, "rb") as heard:
            said = msgspec.json.decode(heard.readline() or b"{}", type=_Begun)
        if said.session is None:
            raise BY_KIND.get(said.kind, Unavailable)(said.message, hint=said.hint, details=said.details)
        return said.session

    def exec(
        self, environment: str, asked: Asked, *, instance: str, process_type: str | None, streams: Streams
    ) -> Ending:
        kept = choice.environment(self.records, environment)
        found = choice.instance(self.records, environment, instance)
        seen = found.seen
        group = self.records.group(environment, seen)
        if group is None:
            raise Unavailable(f"r{seen.release} of {seen.app} isn't known in {environment}")
        name = choose_process_type(instance, group, process_type)
        chosen = choice.Chosen(app=seen.app, release=seen.release, group=group)
        session = replace(self._session(kept, "exec", asked, chosen), instance=instance)
        variables = self.launcher.variables(kept, found, name)
        assert seen.pid is not None
        assert found.started is not None
        inside = _Inside(pid=seen.pid, started=found.started, variables=variables, owned=False)
        return self._carry_out(kept, session, asked, group, lambda: inside, streams)

    def stop(self, environment: str, session: str) -> None:
        choice.environment(self.records, environment)
        tell_to_stop(choice.session(self.records, environment, session))

    # --- inside -------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.records = Records(State(self.home.state))
        self.launcher = Launcher(
            self.home, records=self.records, store=self.store, sandbox=self.sandbox, encryption=self.encryption
        )

    def _session(self, kept: EnvironmentRecord, kind: str, asked: Asked, chosen: choice.Chosen) -> Session:
        id_ = self.records.next_session(kept.place.id, kind)
        return Session(
            id=id_,
            kind="exec" if kind == "exec" else "run",
            app=chosen.app,
            group=chosen.group.name,
            instance=id_,
            release=chosen.release,
            command=asked.shown,
            by=asked.by,
            grace=chosen.group.stop_grace,
            began_at=self.clock.now(),
        )

    def _run(
        self,
        kept: EnvironmentRecord,
        session: Session,
        asked: Asked,
        group: Group,
        variables: dict[str, str],
        streams: Streams,
        began: Callable[[], None] = lambda: None,
    ) -> Ending:
        environment = kept.place.id

        def make() -> _Inside:
            hosts = self.home.instances / environment / "hosts"
            pid, given = self.launcher.start_one_off(kept, session, variables, hosts)
            started = process.start_time(pid)
            if started is None:
                raise Unavailable(f"the sandbox of {session.id} has just ended", hint="homeport doctor")
            return _Inside(pid=pid, started=started, variables=given, owned=True)

        return self._carry_out(kept, session, asked, group, make, streams, began)

    def _carry_out(
        self,
        kept: EnvironmentRecord,
        session: Session,
        asked: Asked,
        group: Group,
        inside: Callable[[], _Inside],
        streams: Streams,
        began: Callable[[], None] = lambda: None,
    ) -> Ending:
        """The record goes first; in the end all that was made for the session is gone, however it went."""
        environment = kept.place.id
        own = process.start_time(os.getpid())
        assert own is not None
        record = SessionRecord(seen=session, holder=os.getpid(), started=own, boot_id=process.boot_id())
        self.records.keep_session(environment, record)
        try:
            choice.environment(self.records, environment)
        except HomeportError:
            # It began to go down before anybody could know of the session.
            self.records.forget_session(environment, session.id)
            raise
        record_begin(self.records, environment, session)
        exit_code, reason = NEVER_STARTED, "it was interrupted"
        try:
            where = inside()
            if where.owned:
                record = replace(record, pid=where.pid, pid_started=where.started)
                self.records.keep_session(environment, record)
            exit_code, reason = self._attend(kept, session, asked, group, where, streams, began)
        except HomeportError as error:
            reason = error.message
            raise
        finally:
            clear_up(self.launcher, self.sandbox, environment, record)
            final = conclude(self.records, environment, record, at=self.clock.now(), exit_code=exit_code, reason=reason)
        return Ending(session=final, exit_code=exit_code, reason=reason)

    def _attend(
        self,
        kept: EnvironmentRecord,
        session: Session,
        asked: Asked,
        group: Group,
        where: _Inside,
        streams: Streams,
        began: Callable[[], None],
    ) -> tuple[int, str]:
        """Exit code, and what to say about it."""
        info = self.launcher.session_info(kept.place.id, session.id)
        cgroup = self.sandbox.limit(info, group.memory_bytes)
        at_terminal = is_terminal(streams)
        kind = {b"TERM": os.environb[b"TERM"]} if at_terminal and b"TERM" in os.environb else {}
        command = Command(
            argv=asked.argv,
            environment={**where.variables, **kind},
            directory="/app",
            uid=kept.uid,
            grace_seconds=group.stop_grace.total_seconds(),
            data_bytes=group.memory_bytes if cgroup is None else None,
            terminal=terminal.size(streams.stdin) if at_terminal else None,
        )
        entered = enter(where.pid, where.started, command, cgroup=cgroup, owned=where.owned)
        try:
            began()
            attended = attend(entered, streams, asked.timeout)
        finally:
            entered.close()
        exit_code, reason = explained(attended, asked)
        if not reason and exit_code == 137:
            if self.sandbox.oom_kills(info):
                reason = f"out of memory: more than {group.memory_bytes} bytes"
            elif not process.alive(where.pid, where.started):
                reason = f"{session.instance} has ended"
        return exit_code, reason

    def _apart(
        self,
        tell: int,
        kept: EnvironmentRecord,
        session: Session,
        asked: Asked,
        group: Group,
        variables: dict[str, str],
    ) -> NoReturn:
        """In a process of its own, which needs nobody: the session begun and kept; `tell` hears of its beginning."""
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for each in range(3):
            os.dup2(nothing, each)
        told = False

        def say(begun: _Begun) -> None:
            nonlocal told
            if not told:
                with contextlib.suppress(OSError):
                    os.write(tell, msgspec.json.encode(begun) + b"\n")
                os.close(tell)
            told = True

        try:
            self._open()
            with SessionLog(self.launcher.logs(kept.place.id, session.id) / "run") as log:
                streams = Streams(nothing, log.descriptor, log.descriptor)
                ended = self._run(kept, session, asked, group, variables, streams, lambda: say(_Begun(session=session)))
                log.say(f"[homeport] ended with exit code {ended.exit_code}" + (ended.reason and f": {ended.reason}"))
        except HomeportError as error:
            say(_Begun(kind=error.kind, message=error.message, hint=error.hint, details=error.details))
        finally:
            os._exit(0)
