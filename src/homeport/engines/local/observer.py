"""What instances and tasks do, found out from records, processes, probes. Watches, and says when to look again.

Used by `engines.local.engine`, under its lock. An instance's processes are believed gone only when pid and start time
say so.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from homeport.engines.local.death import Deaths
from homeport.engines.local.launcher import Launcher
from homeport.engines.local.record import EnvironmentRecord, InstanceRecord, TaskRecord
from homeport.engines.local.restart import Restarts
from homeport.engines.local.traffic import server_name
from homeport.instance import log, supervision
from homeport.instance.assemble import service_directory
from homeport.instance.probe import Prober
from homeport.instance.probe import Target as ProbeTarget
from homeport.instance.sandbox import BwrapSandbox, written_pid
from homeport.instance.task import exit_code
from homeport.model.fleet import Check, Instance, Probe, Process, Run, State, Target, Task
from homeport.model.platform import Group
from homeport.plan.balancer import backend_name, spare_name
from homeport.ports.clock import Clock
from homeport.ports.engine import LogQuery
from homeport.system import process
from homeport.system.disk import is_full

DRAIN_LOOK_SECONDS = 0.05
TAIL_LINES = 20


class _Starved(Struct, frozen=True, kw_only=True):
    """Processes of a generation that were killed for want of memory: how many, since when that is known, and how many
    there were when it was well last."""

    count: int
    at: datetime
    well: int = 0


class Observer:
    def __init__(
        self, launcher: Launcher, sandbox: BwrapSandbox, clock: Clock, *, on_change: Callable[[], None]
    ) -> None:
        self.launcher = launcher
        self.sandbox = sandbox
        self.clock = clock
        self.on_change = on_change
        self.prober = Prober(clock, lambda _: on_change())
        self.deaths = Deaths(lambda _: on_change())
        self.restarts = Restarts(on_change)
        self.boot_id = process.boot_id()
        self.began_at = clock.now()
        self._timers: dict[str, tuple[threading.Timer, float]] = {}
        self._settled: dict[str, datetime | None] = {}
        """Generations without a port that were healthy once → since when they aren't; None: they are."""
        self._starved: dict[str, _Starved] = {}
        self._ended: dict[tuple[str, str, int | None, int | None], Task] = {}
        """Tasks that have ended: nothing about them changes any more."""

    # --- watching -----------------------------------------------------------------------------------------------------

    def watch(self, kept: EnvironmentRecord, found: InstanceRecord, group: Group | None, host: str) -> None:
        """Say when it dies, and when its health changes. Repeating it is harmless."""
        seen, environment = found.seen, kept.place.id
        if seen.pid is not None and found.started is not None:
            self.deaths.watch(_key(environment, seen), seen.pid, found.started)
            self.restarts.watch(_key(environment, seen), self.services(environment, seen.id))
        if group is not None and seen.port is not None:
            target = ProbeTarget(
                address=seen.address,
                port=seen.port,
                health=group.health,
                host=host,
                proto="https" if kept.place.tls else "http",
                writes_to=self._writes_to(seen),
            )
            self.prober.watch(_key(environment, seen), target)
        elif group is not None:
            self.look_in(_key(environment, seen), group.health.settle.total_seconds() + 0.02)

    def forget(self, environment: str, seen: Instance) -> None:
        """A generation that has ended."""
        key = _key(environment, seen)
        self.deaths.unwatch(key)
        self.restarts.unwatch(key)
        self.prober.unwatch(key)
        self._settled.pop(key, None)
        self._starved.pop(key, None)
        self.sandbox.forget(self.launcher.info(environment, seen))

    def watch_task(self, environment: str, task: TaskRecord) -> None:
        if task.pid is not None and task.started is not None:
            self.deaths.watch(f"{environment} {task.id}", task.pid, task.started)

    def close(self) -> None:
        for timer, _ in list(self._timers.values()):
            timer.cancel()
        self.prober.close()
        self.deaths.close()
        self.restarts.close()

    def look_in(self, key: str, seconds: float) -> None:
        """Have an observation made in a moment: of something that sends no event. The soonest that is asked for
        holds."""
        due = self.clock.monotonic() + seconds
        waiting, waiting_due = self._timers.get(key, (None, 0.0))
        if waiting is not None and waiting.is_alive():
            if waiting_due <= due:
                return
            waiting.cancel()
        timer = threading.Timer(seconds, self.on_change)
        timer.daemon = True
        self._timers[key] = (timer, due)
        timer.start()

    # --- adoption -----------------------------------------------------------------------------------------------------

    def adopted(self, environment: str, found: InstanceRecord) -> InstanceRecord:
        """The record of an instance that another daemon left, brought up to date: one that was being started is found
        by what bubblewrap wrote, or is known never to have run."""
        seen = found.seen
        if seen.state is State.TERMINATED or seen.run is not Run.STARTING:
            return found
        pid = written_pid(self.launcher.info(environment, seen))
        # Only a sandbox's: it may have ended long ago, and another process have its pid.
        started = process.start_time_of_first(pid) if pid is not None and found.boot_id == self.boot_id else None
        if started is None:
            reason = "the engine ended while it was being started"
            return replace(found, seen=replace(seen, run=Run.STOPPED, reason=reason))
        return replace(found, seen=replace(seen, pid=pid, run=Run.RUNNING), started=started)

    def adopted_task(self, environment: str, task: TaskRecord) -> TaskRecord | None:
        """As `adopted`; None: it never ran, and may be started."""
        if task.pid is not None or task.exit_code is not None or task.lost:
            return task
        pid = written_pid(self.launcher.directory(environment, task.id) / "bwrap.json")
        if pid is None:
            return None
        started = process.start_time_of_first(pid)
        return replace(task, pid=pid, started=started if started is not None else -1)

    # --- observing ----------------------------------------------------------------------------------------------------

    def observe(
        self,
        environment: str,
        found: InstanceRecord,
        group: Group | None,
        in_flight: Mapping[tuple[str, str], int] | None,
        *,
        busy: bool,
    ) -> Instance:
        """The instance, which hasn't ended, as it is now."""
        seen = found.seen
        processes = tuple(
            replace(each, port=found.ports.get(each.name))
            for each in supervision.processes(self.services(environment, seen.id))
        )
        run, died, reason = self._run(environment, found, processes, busy=busy)
        check, probe = self._check(environment, found, group, processes, run)
        flying = self._in_flight(environment, seen, in_flight)
        return replace(
            seen,
            run=run,
            died=died,
            reason=reason or seen.reason,
            processes=processes,
            check=check,
            check_since_at=self._unhealthy_since(environment, seen) if check is Check.UNHEALTHY else None,
            probe=probe,
            disk_full=seen.disk_full or (check is not Check.HEALTHY and self._disk_full(environment, seen)),
            **self._oom_kills(environment, seen, group, check, probe),
            in_flight=flying,
        )

    def _oom_kills(
        self, environment: str, seen: Instance, group: Group | None, check: Check, probe: Probe | None
    ) -> dict[str, int]:
        if group is None or group.memory_bytes is None:
            return {}
        key, count = _key(environment, seen), self.sandbox.oom_kills(self.launcher.info(environment, seen))
        known = self._starved.get(key, _Starved(count=0, at=self.began_at))
        if count != known.count:
            known = replace(known, count=count, at=self.clock.now())
        # what was answered before the last of them says nothing
        if check is Check.HEALTHY and (probe is None or probe.at > known.at):
            known = replace(known, well=count)
        self._starved[key] = known
        return {"oom_kills": count, "oom_kills_well": known.well}

    def _disk_full(self, environment: str, seen: Instance) -> bool:
        result = self.prober.result(_key(environment, seen))
        return (result is not None and result.disk_full) or any(is_full(each) for each in self._writes_to(seen))

    def _writes_to(self, seen: Instance) -> tuple[Path, ...]:
        """Our disk, also where only its sandbox sees it mounted."""
        inside = () if seen.pid is None else (Path(f"/proc/{seen.pid}/root/tmp"),)
        return (self.launcher.home.root, *inside)

    def services(self, environment: str, instance: str) -> Path:
        return service_directory(self.launcher.directory(environment, instance))

    def _run(
        self, environment: str, found: InstanceRecord, processes: tuple[Process, ...], *, busy: bool
    ) -> tuple[Run, bool, str]:
        """(what it does, whether it died unasked, why)."""
        seen = found.seen
        if seen.run is Run.STARTING:
            return (Run.STARTING if busy else Run.UNKNOWN), False, ""
        if seen.run is Run.STOPPED:
            return Run.STOPPED, seen.died, ""
        assert seen.pid is not None
        if found.boot_id == self.boot_id and found.started is not None and process.alive(seen.pid, found.started):
            return (Run.RUNNING if seen.stop_at is None else Run.STOPPING), False, ""
        if found.boot_id != self.boot_id:
            return Run.STOPPED, False, "the machine was restarted"
        if seen.stop_at is not None:
            return Run.STOPPED, False, ""
        return Run.STOPPED, True, self._why_dead(environment, seen, processes)

    def _why_dead(self, environment: str, seen: Instance, processes: tuple[Process, ...]) -> str:
        if kills := self.sandbox.oom_kills(self.launcher.info(environment, seen)):
            return f"out of memory: the kernel killed {kills} of its processes"
        ended = [f"{each.name} ended with {each.last_exit}" for each in processes if each.last_exit]
        return "; ".join(ended) or "its whole process tree was killed"

    def _check(
        self,
        environment: str,
        found: InstanceRecord,
        group: Group | None,
        processes: tuple[Process, ...],
        run: Run,
    ) -> tuple[Check, Probe | None]:
        seen = found.seen
        if run is Run.UNKNOWN or group is None:
            return Check.UNKNOWN, None
        if run is not Run.RUNNING:
            return Check.INITIAL if run is Run.STARTING else Check.UNHEALTHY, None
        key = _key(environment, seen)
        up = bool(processes) and all(each.up for each in processes)
        if seen.port is None:
            return self._settled_check(key, seen, processes, group, up=up), None
        result = self.prober.result(key)
        if result is None or result.ok is None:
            # One that another daemon started may be well for long: nobody has asked it yet.
            adopted = seen.started_at is not None and seen.started_at < self.began_at
            return Check.UNKNOWN if adopted or seen.in_service_at is not None else Check.INITIAL, None
        if result.ok and (up or result.succeeded):
            return Check.HEALTHY, result.probe
        well_before = result.succeeded or seen.in_service_at is not None
        return (Check.UNHEALTHY if well_before else Check.INITIAL), result.probe

    def _unhealthy_since(self, environment: str, seen: Instance) -> datetime | None:
        """Since when its probes fail, or its processes don't stay up; None: nobody knows, or they do."""
        if seen.port is None:
            return self._settled.get(_key(environment, seen))
        result = self.prober.result(_key(environment, seen))
        return None if result is None or result.ok is not False else result.since_at

    def _settled_check(
        self, key: str, seen: Instance, processes: tuple[Process, ...], group: Group, *, up: bool
    ) -> Check:
        """Without a port: healthy when everything has stayed up for the settling time, each time anew."""
        since = [each.since_at for each in processes]
        settle = group.health.settle
        youngest: datetime | None = max((each for each in since if each is not None), default=None)
        if up and youngest is not None and None not in since:
            stayed_up = self.clock.now() - youngest
            if stayed_up >= settle:
                self._settled[key] = None
                return Check.HEALTHY
            self.look_in(key, (settle - stayed_up).total_seconds())
        else:
            self.look_in(key, settle.total_seconds())
        if key not in self._settled and seen.in_service_at is None:
            return Check.INITIAL
        self._settled[key] = self._settled.get(key) or self.clock.now()
        return Check.UNHEALTHY

    def _in_flight(
        self, environment: str, seen: Instance, in_flight: Mapping[tuple[str, str], int] | None
    ) -> int | None:
        if seen.target is not Target.DRAINING:
            return None
        self.look_in("draining", DRAIN_LOOK_SECONDS)
        backend = backend_name(environment, seen.app, seen.group)
        if in_flight is None:
            return None
        name = server_name(seen)
        return sum(in_flight.get((backend, each), 0) for each in (name, spare_name(name)))

    def tasks(self, environment: str, kept: Mapping[str, TaskRecord]) -> tuple[Task, ...]:
        return tuple(self._task(environment, each) for each in kept.values())

    def _task(self, environment: str, task: TaskRecord) -> Task:
        key = (environment, task.id, task.pid, task.started)
        if key not in self._ended:
            found = self._look_at_task(environment, task)
            if not found.ended:
                return found
            self._ended[key] = found
        return self._ended[key]

    def _look_at_task(self, environment: str, task: TaskRecord) -> Task:
        seen = Task(id=task.id, app=task.app, exit_code=task.exit_code, stop_at=task.stop_at)
        if task.exit_code is None:
            if task.pid is None or (task.started is not None and process.alive(task.pid, task.started)):
                return seen
            code = exit_code(self.launcher.task_exit(environment, task.id))
            seen = replace(seen, exit_code=code, lost=code is None)
        return replace(seen, tail=self._tail(environment, task))

    def _tail(self, environment: str, task: TaskRecord) -> tuple[str, ...]:
        directory = self.launcher.logs(environment, task.id).parent
        query = LogQuery(instance=task.id, last=TAIL_LINES)
        return tuple(line.text for line in log.read(directory, query))


def _key(environment: str, seen: Instance) -> str:
    return f"{environment} {seen.id}.{seen.generation}"
