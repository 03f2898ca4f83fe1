"""Commands that people run: in a one-off instance, which is one of EC2's, or inside a live one, by Run Command.
Implements `ports.session.Sessions`, in the process of the command line.

Nobody's standard input reaches that far, nor is there a terminal.
"""

import os
import shlex
from datetime import timedelta

from msgspec.structs import replace

from homeport.engines.aws import one_off
from homeport.engines.aws.command import DELIVERY_SECONDS, Result
from homeport.engines.aws.engine import AwsEngine
from homeport.engines.aws.kept import Kept
from homeport.errors import Conflict, HomeportError, Invalid, NotUp, Unavailable
from homeport.instance.task import NEVER_STARTED
from homeport.model.action import RunTask
from homeport.model.fleet import Instance, State
from homeport.model.session import Session
from homeport.plan import session_choice as choice
from homeport.plan.task import GRACE
from homeport.plan.task_object import task_prefix
from homeport.ports.session import Asked, Ending, Streams
from homeport.system.clock import pause

LOOK_SECONDS = 1.0
KILLED, TIMED_OUT = 137, 124
LONGEST = timedelta(hours=1)
"""Of a command inside an instance, where none is stated."""


class AwsSessions:
    def __init__(self, engine: AwsEngine) -> None:
        self.engine = engine
        self.place = engine.place

    def prepared(self, environment: str, app: str, release: int) -> bool:
        return True  # its instance fetches it

    def app(self, environment: str, asked: str | None) -> str:
        return choice.app(environment, self._kept(environment).fences, asked)

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
        session = self._begin(environment, asked, app, group, release, variables, detached=False)
        try:
            return self._follow(environment, session, asked, streams)
        except KeyboardInterrupt:
            self.engine.end_session(environment, session.id, by_force=False)
            return self._follow(environment, session, asked, streams)

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
        return self._begin(environment, asked, app, group, release, variables, detached=True)

    def exec(
        self, environment: str, asked: Asked, *, instance: str, process_type: str | None, streams: Streams
    ) -> Ending:
        if asked.argv == ("bash",):
            shell = f"aws ssm start-session --target {instance}"
            raise Invalid(
                "engine aws has no terminal for a shell inside an instance: say a command",
                hint=f"homeport exec -e {environment} {instance} -- ps aux; or {shell}",
            )
        found = self._instance(environment, instance)
        argv = ["homeport-agent", "exec", *(["--process", process_type] if process_type else [])]
        limit = asked.timeout or LONGEST
        argv += ["--timeout", f"{limit.total_seconds():g}s", "--", *asked.argv]
        session = self._session(environment, asked, found.app, found.group, found.release, kind="exec")
        session = replace(session, instance=instance)
        seconds = int((limit + GRACE).total_seconds()) + 30
        result = self._carried_out(instance, argv, seconds, why=f"{asked.by}: exec")
        _write(streams.stdout, result.output)
        _write(streams.stderr, result.errors)
        reason = "" if result.code >= 0 else f"{instance} didn't carry it out: {result.unheard or result.status}"
        code = result.code if result.code >= 0 else KILLED
        if code == TIMED_OUT:
            reason = f"ended at its time limit of {limit.total_seconds():g} s"
        ended = replace(session, ended_at=self.engine.clock.now(), exit_code=code, reason=reason)
        return Ending(session=ended, exit_code=code, reason=reason)

    def stop(self, environment: str, session: str) -> None:
        choice.session(environment, self.engine.sessions(environment), session)
        self.engine.end_session(environment, session, by_force=False)

    def _carried_out(self, instance: str, argv: list[str], seconds: int, *, why: str) -> Result:
        """Raises `Unavailable` where nothing is ever heard of it."""
        clock, commands = self.engine.clock, self.engine.commands
        command = commands.send([instance], argv, seconds=seconds, why=why)
        until = clock.monotonic() + seconds + 2 * DELIVERY_SECONDS
        while not (result := commands.result(command, instance)).ended:
            if clock.monotonic() > until:
                raise Unavailable(f"Systems Manager doesn't say what became of the command on {instance}")
            pause(LOOK_SECONDS / 3)
        return result

    # --- inside -------------------------------------------------------------------------------------------------------

    def _kept(self, environment: str) -> Kept:
        kept = self.engine.memory.read() if environment == self.place.id else None
        if kept is None:
            raise NotUp(f"environment {environment!r} isn't up", hint=f"homeport up -e {environment}")
        if kept.closing:
            raise Conflict(f"{environment} is going down", hint="homeport up, in a moment")
        return kept

    def _begin(
        self,
        environment: str,
        asked: Asked,
        app: str,
        group: str | None,
        release: int | None,
        variables: dict[str, str],
        *,
        detached: bool,
    ) -> Session:
        if variables:
            raise Invalid(
                "--env: what a one-off instance on AWS is told can be read by whoever may describe it",
                hint=f"homeport config set {next(iter(variables))}=…",
            )
        number = choice.release(environment, app, self._kept(environment).launch.get(app), release)
        resolved = self.engine.catalogue.get(app, self.place.name, number).resolved
        chosen = choice.group(resolved, number, group)
        session = self._session(environment, asked, app, chosen.name, number, kind="run")
        session = replace(session, instance=session.id, detached=detached)
        limit = () if asked.timeout is None else ("timeout", "--kill-after=10", f"{asked.timeout.total_seconds():g}")
        task = RunTask(app=app, task=session.id, release=number, command=shlex.join((*limit, *asked.argv)))
        try:
            self.engine.begin_session(task, chosen.name, session)
        except HomeportError:
            self.engine.end_session(environment, session.id, by_force=False)
            raise
        return session

    def _session(self, environment: str, asked: Asked, app: str, group: str, release: int, *, kind: str) -> Session:
        id_ = f"{kind}.{self.engine.number_session(environment)}"
        return Session(
            id=id_,
            kind="exec" if kind == "exec" else "run",
            app=app,
            group=group,
            instance="",
            release=release,
            command=asked.shown,
            by=asked.by,
            grace=GRACE,
            began_at=self.engine.clock.now(),
        )

    def _instance(self, environment: str, id_: str) -> Instance:
        self._kept(environment)
        seen = {each.id: each for each in self.engine.observe(environment).instances}
        choice.instance(environment, {name: _against(each) for name, each in seen.items()}, id_)
        return seen[id_]

    def _follow(self, environment: str, session: Session, asked: Asked, streams: Streams) -> Ending:
        """What it writes is handed on as it comes, line by line."""
        prefix, after = task_prefix(session.app, self.place.name, session.id), ""
        while True:
            kept = self.engine.one_offs.followed(self._read())
            seen = kept.tasks[session.id]
            lines, after = self.engine.one_offs.piece(prefix, after)
            _write(streams.stdout, "".join(f"{each.text}\n" for each in lines))
            if seen.ended:
                break
            pause(LOOK_SECONDS)
        (ended,) = (each for each in one_off.sessions(kept) if each.id == session.id)
        if seen.lost:
            return Ending(session=ended, exit_code=KILLED, reason=ended.reason)
        code = seen.exit_code or 0
        if code == NEVER_STARTED and not after:
            return Ending(session=ended, exit_code=code, reason="; ".join(seen.tail))
        limit = f"ended at its time limit of {asked.timeout.total_seconds():g} s" if asked.timeout is not None else ""
        return Ending(session=ended, exit_code=code, reason=limit if code == TIMED_OUT else "")

    def _read(self) -> Kept:
        kept = self.engine.memory.read()
        if kept is None:
            raise NotUp(f"environment {self.place.id!r} isn't up any more", hint=f"homeport up -e {self.place.id}")
        return kept


def _against(found: Instance) -> str:
    """Why nothing can be done inside it; empty: it lives."""
    if found.state in (State.IN_SERVICE, State.STANDBY):
        return ""
    return "has ended" if found.state is State.TERMINATED else f"is {found.state.value}"


def _write(descriptor: int, text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(descriptor, data) :]
