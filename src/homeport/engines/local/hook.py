"""Life-cycle hooks: who asks them, and what they have said so far. Called by `generation`, under the engine's lock."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from homeport.engines.local.hook_program import Answer, Question
from homeport.engines.local.launcher import Launcher
from homeport.engines.local.observer import Observer
from homeport.engines.local.record import EnvironmentRecord, InstanceRecord, Records
from homeport.errors import Unavailable
from homeport.model.fleet import HookWait, Instance, State
from homeport.system.effect import effect

LOOK_SECONDS = 0.2
LOG = "hook"
"""The log of an instance that holds what its hooks write."""
_WAITS = {State.PENDING_WAIT: "launching", State.TERMINATING_WAIT: "terminating"}


class Hooks:
    def __init__(self, records: Records, launcher: Launcher, observer: Observer) -> None:
        self.records = records
        self.launcher = launcher
        self.observer = observer

    def ask(self, kept: EnvironmentRecord, found: InstanceRecord) -> None:
        """The hook that the instance waits for is asked, unless it has been; nothing where it waits for none. Raises
        `Unavailable`."""
        seen = found.seen
        if seen.state in _WAITS and seen.hook is not None and seen.pid is not None and found.started is not None:
            begin(msgspec.msgpack.encode(self._question(kept, found, seen.hook, seen.pid, found.started)))

    def seen(self, environment: str, instance: Instance) -> Instance:
        """With what its hook has said."""
        wait = instance.hook
        if instance.state not in _WAITS or wait is None or wait.result is not None:
            return instance
        answer = self._answer(environment, instance, wait)
        if answer is not None:
            return replace(instance, hook=replace(wait, result=answer.result, said=answer.said))
        self.observer.look_in(f"hook {environment} {instance.id}", LOOK_SECONDS)
        beat_at = max(wait.beat_at, _written_at(self._log(environment, instance) / "current") or wait.beat_at)
        return replace(instance, hook=replace(wait, beat_at=beat_at))

    def _question(
        self, kept: EnvironmentRecord, found: InstanceRecord, wait: HookWait, pid: int, started: int
    ) -> Question:
        seen, environment = found.seen, kept.place.id
        group = self.records.group(environment, seen)
        if group is None:
            raise Unavailable(f"r{seen.release} of {seen.app} isn't prepared in {environment}")
        about = {
            "transition": _WAITS[seen.state],
            "environment": environment,
            "app": seen.app,
            "group": seen.group,
            "instance": seen.id,
            "zone": seen.zone,
            "release": f"r{seen.release}",
        }
        given = self.launcher.variables(kept, found, group.serving or group.run[0])
        info = self.launcher.info(environment, seen)
        cgroup = self.observer.sandbox.limit(info, group.memory_bytes)
        return Question(
            hook=wait.hook,
            answer=str(self._place(environment, seen, wait)),
            log=str(self._log(environment, seen)),
            about=about,
            pid=pid,
            started=started,
            variables={**given, b"HOMEPORT_HOOK": about["transition"].encode()},
            uid=kept.uid,
            cgroup=None if cgroup is None else str(cgroup),
        )

    def _place(self, environment: str, instance: Instance, wait: HookWait) -> Path:
        name = f"hook-{wait.asked_at:%Y%m%dT%H%M%S%f}.json"
        return self.launcher.directory(environment, instance.id) / name

    def _log(self, environment: str, instance: Instance) -> Path:
        return self.launcher.logs(environment, instance.id) / LOG

    def _answer(self, environment: str, instance: Instance, wait: HookWait) -> Answer | None:
        try:
            return msgspec.json.decode(self._place(environment, instance, wait).read_bytes(), type=Answer)
        except (OSError, msgspec.DecodeError):
            return None


def _written_at(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None


@effect("hook.ask")
def begin(question: bytes) -> None:
    # `setsid --fork` ends at once: the program then belongs to init, and outlives us.
    argv = ("/usr/bin/setsid", "--fork", sys.executable, "-m", "homeport.engines.local.hook_program")
    try:
        subprocess.run(argv, input=question, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, cwd="/")
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"can't ask a hook: {error}") from error
