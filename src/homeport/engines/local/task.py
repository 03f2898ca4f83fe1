"""Preparing releases and running one-off tasks on the local engine. Called by `engine`, under its lock."""

import logging
import threading
from typing import Any

from msgspec.structs import replace

from homeport.engines.local.launcher import Launcher
from homeport.engines.local.observer import Observer
from homeport.engines.local.record import EnvironmentRecord, Records, TaskRecord
from homeport.engines.local.traffic import Traffic
from homeport.engines.local.work import Key, Work
from homeport.errors import HomeportError, Unavailable
from homeport.instance import supervision
from homeport.instance.task import NEVER_STARTED, tell_to_end
from homeport.model.action import EndTask, RunTask
from homeport.model.fleet import Preparation
from homeport.ports.clock import Clock
from homeport.system import process
from homeport.system.disk import is_full

log = logging.getLogger("homeport.engine")


class Tasks:
    def __init__(
        self,
        records: Records,
        *,
        launcher: Launcher,
        observer: Observer,
        traffic: Traffic,
        work: Work,
        clock: Clock,
        lock: threading.RLock,
    ) -> None:
        self.records = records
        self.launcher = launcher
        self.observer = observer
        self.traffic = traffic
        self.work = work
        self.clock = clock
        self.lock = lock
        self._preparing: dict[Key, Preparation] = {}

    def adopt(self, kept: EnvironmentRecord) -> None:
        """What another daemon began: watched again; one that never ran is forgotten, so that it may."""
        environment = kept.place.id
        for task in self.records.tasks(environment).values():
            known = self.observer.adopted_task(environment, task)
            if known is None:
                self.records.forget_task(environment, task.id)
            else:
                self.records.keep_task(environment, known)
                self.observer.watch_task(environment, known)
                if known.stop_at is not None:
                    _tell_to_stop(known)  # nobody knows whether it has heard it

    def prepare(self, kept: EnvironmentRecord, app: str, number: int) -> None:
        key = (kept.place.id, f"{app}/{number}")
        if self.work.goes_on(key):
            return
        self._preparing[key] = Preparation(app=app, release=number)

        def work() -> None:
            try:
                self.launcher.prepare(kept, app, number)
            except HomeportError as error:
                said = "; ".join((error.message, *error.details))
                full = is_full(self.launcher.home.root)
                self._preparing[key] = Preparation(app=app, release=number, failed=said, disk_full=full)
                return
            with self.lock:
                self.traffic.write_hosts(kept.place.id)

        self.work.begin(key, work)

    def prepared(self, environment: str) -> tuple[Preparation, ...]:
        kept = self.records.releases(environment)
        ready = [Preparation(app=each.release.app, release=each.release.number, ready=True) for each in kept.values()]
        others = [each for key, each in self._preparing.items() if key[0] == environment and key[1] not in kept]
        return (*ready, *others)

    def running(self, environment: str) -> list[TaskRecord]:
        """Those that haven't ended, as far as is known."""
        kept = self.records.tasks(environment)
        seen = self.observer.tasks(environment, kept)
        return [kept[each.id] for each in seen if each.exit_code is None and not each.lost]

    def preparing(self) -> bool:
        """Whether a release is being unpacked just now."""
        return any(self.work.goes_on(key) for key in list(self._preparing))

    def forget_release(self, environment: str, app: str, number: int) -> None:
        """It isn't prepared any more."""
        self._preparing.pop((environment, f"{app}/{number}"), None)

    def forget_app(self, environment: str, app: str) -> None:
        """None of its releases is prepared any more."""
        self._preparing = {
            key: each for key, each in self._preparing.items() if (key[0], each.app) != (environment, app)
        }

    def forget(self, environment: str) -> None:
        self._preparing = {key: each for key, each in self._preparing.items() if key[0] != environment}

    def run(self, kept: EnvironmentRecord, action: RunTask) -> None:
        environment = kept.place.id
        if self.records.task(environment, action.task) is not None:
            return
        begun = TaskRecord(
            id=action.task,
            app=action.app,
            release=action.release,
            command=action.command,
            begun_at=self.clock.now(),
        )
        self.records.keep_task(environment, begun)

        def work() -> None:
            try:
                if self._told_to_stop(environment, begun.id):
                    raise Unavailable("it was told to end before it began")
                pid = self.launcher.start_task(kept, begun, self.traffic.hosts(environment))
                found: dict[str, Any] = {"pid": pid, "started": process.start_time(pid) or -1}
            except HomeportError as error:
                log.warning("task %s: %s", begun.id, error.message)
                found = {"exit_code": NEVER_STARTED}
            with self.lock:
                running = replace(self.records.task(environment, begun.id) or begun, **found)
                self.records.keep_task(environment, running)
                self.observer.watch_task(environment, running)
                if running.stop_at is not None:
                    _tell_to_stop(running)

        self.work.begin((environment, action.task), work)

    def _told_to_stop(self, environment: str, task: str) -> bool:
        known = self.records.task(environment, task)
        return known is not None and known.stop_at is not None

    def end(self, environment: str, action: EndTask) -> None:
        """TERM is sent once; what hasn't begun yet never does."""
        found = self.records.task(environment, action.task)
        if found is None or not _goes_on(found):
            return
        if action.by_force:
            if found.pid is not None and found.started is not None:
                supervision.kill(found.pid, found.started)
        elif found.stop_at is None:
            told = replace(found, stop_at=self.clock.now())
            self.records.keep_task(environment, told)
            _tell_to_stop(told)


def _goes_on(task: TaskRecord) -> bool:
    """Or is only being started."""
    if task.exit_code is not None or task.pid is None or task.started is None:
        return task.exit_code is None
    return process.alive(task.pid, task.started)


def _tell_to_stop(task: TaskRecord) -> None:
    if task.pid is not None and _goes_on(task):
        tell_to_end(task.pid)
