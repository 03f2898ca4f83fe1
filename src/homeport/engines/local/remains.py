"""What lies on this machine that may not be needed any more: told with the reason why it must stay, if any, and removed
one by one. What goes is decided by `plan.remains`. Used by `engine`.

Only what is known is listed: anything else below the home stays.
"""

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from homeport.engines.local.record import Records
from homeport.engines.local.removal import put_aside, remove_tree
from homeport.engines.local.task import Tasks
from homeport.instance import log
from homeport.model.fleet import State
from homeport.model.retention import Remain, RemainKind, Usage
from homeport.plan.remains import GRACE
from homeport.ports.clock import Clock
from homeport.ports.engine import Needed
from homeport.ports.objects import ObjectStore
from homeport.system.disk import used_bytes
from homeport.system.home import Home

Size = Callable[[Path], int]
_PID = re.compile(r"[.-](?P<pid>[0-9]+)-[0-9a-f]+")


class Remains:
    def __init__(
        self, home: Home, store: ObjectStore, records: Records, *, tasks: Tasks, clock: Clock, lock: threading.RLock
    ) -> None:
        self.home = home
        self.store = store
        self.records = records
        self.tasks = tasks
        self.clock = clock
        self.lock = lock

    def all(self, needed: Needed) -> list[Remain]:
        """Sizes only of what nothing needs: looking at the rest would take long."""
        with self.lock:
            found = [*self._releases(needed), *self._layers(needed), *self._directories(needed)]
        return [*found, *self._builds(), *self._logs()]

    def remove(self, remain: Remain, needed: Needed) -> bool:
        """Whether it is gone. Looked at again first: what is needed by now stays. Raises `Unavailable`."""
        path = self.home.root / remain.name
        if remain.kind == "log":
            with self.lock:
                live = path in self._live_logs()
            if not live:
                log.remove(path)
            return not live
        with self.lock:
            if self._needed(remain, needed):
                return False
            match remain.kind:
                case "release":
                    app, _, number = path.name.rpartition("-r")
                    self.records.forget_release(remain.environment, app, int(number))
                    self.tasks.forget_release(remain.environment, app, int(number))
                    return True
                case "task":
                    self.records.forget_task(remain.environment, path.name)
            aside = put_aside(path)
        if aside is not None:
            remove_tree(aside)
        return True

    def usage(self) -> Usage:
        """Takes a walk over everything: not for often."""
        home = self.home
        environments = {
            id_: (used_bytes(home.instances / id_), used_bytes(home.logs / id_)) for id_ in self.records.environments()
        }
        return Usage(
            measured_at=self.clock.now(),
            store_bytes=used_bytes(Path(self.store.place)),  # a bucket is no directory: 0
            layers_bytes=used_bytes(home.layers),
            instances_bytes=used_bytes(home.instances),
            logs_bytes=used_bytes(home.logs) + used_bytes(home.engine_logs),
            builds_bytes=used_bytes(home.builds) + used_bytes(home.sources),
            environments=environments,
        )

    def _needed(self, remain: Remain, needed: Needed) -> bool:
        """Whether it must stay by now; also where it isn't there any more."""
        match remain.kind:
            case "release":
                listed = self._releases(needed)
            case "layer":
                listed = self._layers(needed, size=_unsized)
            case "build" | "cache":
                listed = self._builds(size=_unsized)
            case _:
                listed = self._directories(needed, size=_unsized)
        return next((each.needed for each in listed if each.name == remain.name), "it is gone") != ""

    def directories(self) -> Iterator[Path]:
        """In which something may lie that was put aside."""
        yield from (self.home.layers, self.home.builds)
        for platform in _inside(self.home.instances):
            yield platform
            yield from _inside(platform)

    # --- what there is ------------------------------------------------------------------------------------------------

    def _releases(self, needed: Needed) -> Iterator[Remain]:
        """The engine's own copies; one that goes is prepared again from the store."""
        for environment in self.records.environments():
            running = self._running(environment)
            for key, kept in self.records.releases(environment).items():
                app, _, number = key.rpartition("/")
                why = running.get((app, int(number)), "")
                known = needed.get(environment, {}).get(app)
                if not why and self.tasks.preparing():
                    why = "a release is being prepared"
                if not why and (known is None or int(number) in known):
                    why = "a deployment may go back to it" if known is not None else "what needs it isn't known"
                yield Remain(
                    kind="release",
                    name=f"state.db/{environment}/{app}-r{number}",
                    size_bytes=0,
                    modified_at=kept.prepared_at or datetime.fromtimestamp(0, UTC),
                    environment=environment,
                    needed=why,
                )

    def _running(self, environment: str) -> dict[tuple[str, int], str]:
        """(app, release) → what of it runs, or is about to."""
        found: dict[tuple[str, int], str] = {}
        for app, kept in self.records.apps(environment).items():
            for number in (kept.launch, kept.routes):
                if number is not None:
                    found[app, number] = "what new instances get"
        for id_, each in self.records.instances(environment).items():
            if each.seen.state is not State.TERMINATED:
                for number in (each.seen.release, each.seen.next_release):
                    if number is not None:
                        found[each.seen.app, number] = f"{id_} runs it"
        for task in self.tasks.running(environment):
            found[task.app, task.release] = f"{task.id} runs it"
        for id_, session in self.records.sessions(environment).items():
            if session.seen.ended_at is None:
                found[session.seen.app, session.seen.release] = f"{id_} runs it"
        return found

    def _layers(self, needed: Needed, *, size: Size = used_bytes) -> Iterator[Remain]:
        named: dict[str, str] = {}
        for each in self._releases(needed):
            if each.needed or self.clock.now() - each.modified_at <= GRACE:
                app, _, number = Path(each.name).name.rpartition("-r")
                kept = self.records.release(each.environment, app, int(number))
                for layer in kept.slug.layers if kept is not None else ():
                    named[layer.sha256] = f"r{number} of {app} in {each.environment} has it"
        for path in _inside(self.home.layers):
            why = named.get(path.name, "")
            if not why and (self.tasks.preparing() or (path.name.startswith(".") and _maker_lives(path))):
                why = "a release is being prepared"
            yield self._remain(size, "layer", path, needed=why)

    def _directories(self, needed: Needed, *, size: Size = used_bytes) -> Iterator[Remain]:
        """Of instances, tasks and one-offs."""
        there = self.records.environments()
        for platform in _inside(self.home.instances):
            for path in _inside(platform):
                if str(path.relative_to(self.home.instances)) not in there:
                    yield self._remain(size, "instance", path)
        for environment in there:
            instances, tasks = self.records.instances(environment), self.records.tasks(environment)
            sessions = self.records.sessions(environment)
            live = {id_ for id_, each in instances.items() if each.seen.state is not State.TERMINATED}
            live |= {id_ for id_, session in sessions.items() if session.seen.ended_at is None}
            for path in _inside(self.home.instances / environment):
                task = tasks.get(path.name)
                if task is None:
                    why = "it runs" if path.name in live or not path.is_dir() else ""
                    yield self._remain(size, "instance", path, environment, why)
                    continue
                known = needed.get(environment, {}).get(task.app)
                why = "" if known is not None and task.release not in known else "its deployment may ask for it"
                yield self._remain(size, "task", path, environment, why)

    def _builds(self, *, size: Size = used_bytes) -> Iterator[Remain]:
        at_work = False
        caches = []
        for path in _inside(self.home.builds):
            if path.name.startswith("scratch-"):
                lives = _maker_lives(path)
                at_work = at_work or lives
                yield self._remain(size, "build", path, needed="a build goes on" if lives else "")
            elif path.name.startswith("."):
                yield self._remain(size, "build", path, needed="it is being removed" if _maker_lives(path) else "")
            elif path.name.startswith(("cache-", "modules-")):
                caches.append(path)
        for path in caches:
            yield self._remain(size, "cache", path, needed="a build goes on" if at_work else "")

    def _live_logs(self) -> set[Path]:
        """Directories of what may still write."""
        live = set()
        for environment in self.records.environments():
            instances = self.records.instances(environment)
            known = [id_ for id_, each in instances.items() if each.seen.state is not State.TERMINATED]
            known += [each.id for each in self.tasks.running(environment)]
            known += [id_ for id_, each in self.records.sessions(environment).items() if each.seen.ended_at is None]
            live |= {self.home.logs / environment / id_ for id_ in known}
        return live

    def _logs(self) -> Iterator[Remain]:
        with self.lock:
            live = self._live_logs()
        for each in log.ended(self.home.logs, live):
            yield Remain(
                kind="log",
                name=str(each.path.relative_to(self.home.root)),
                size_bytes=each.size_bytes,
                modified_at=each.modified_at,
                environment=str(each.path.parent.relative_to(self.home.logs)),
            )

    def _remain(self, size: Size, kind: RemainKind, path: Path, environment: str = "", needed: str = "") -> Remain:
        try:
            modified = path.lstat().st_mtime
        except OSError:
            modified = self.clock.now().timestamp()
        return Remain(
            kind=kind,
            name=str(path.relative_to(self.home.root)),
            size_bytes=0 if needed else size(path),
            modified_at=datetime.fromtimestamp(modified, UTC),
            environment=environment,
            needed=needed,
        )


def _unsized(_: Path) -> int:
    return 0


def _inside(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _maker_lives(path: Path) -> bool:
    """Whether the process whose pid is in the name is there."""
    match = _PID.search(path.name)
    return match is not None and Path("/proc", match["pid"]).exists()
