"""The long actions of the local engine: preparing a release, starting a generation, running a task.

Each is called in a thread of the engine's pool; what it needs is in the records, and what it finds out goes there. A
record is written before the thing is made, so a daemon killed in between finds it again.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from homeport.engines.local import record
from homeport.engines.local.record import EnvironmentRecord, InstanceRecord, Records, ReleaseRecord, TaskRecord
from homeport.errors import Unavailable
from homeport.instance import log
from homeport.instance.assemble import Assembly, assemble, variables
from homeport.instance.release import Tenant, assembly_of, sweep, unpacked
from homeport.instance.task import NAME, one_off
from homeport.instance.turn import Turns, turns_of
from homeport.model.fleet import Instance
from homeport.model.session import Session
from homeport.ports.encryption import Encryption
from homeport.ports.objects import ObjectStore
from homeport.ports.sandbox import Mount, Sandbox, SandboxSpec
from homeport.releases.catalogue import Catalogue
from homeport.releases.publish import read_snapshot
from homeport.system.clock import SystemClock
from homeport.system.home import Home

_IDLE = ("/bin/sleep", "infinity")
"""First process of a sandbox that is there to be entered."""


class Launcher:
    def __init__(
        self, home: Home, *, records: Records, store: ObjectStore, sandbox: Sandbox, encryption: Encryption
    ) -> None:
        self.home = home
        self.state = records.state
        self.store = store
        self.sandbox = sandbox
        self.encryption = encryption

    def sweep(self) -> None:
        """What a daemon that was killed left of its downloads is gone; nothing may be prepared meanwhile."""
        sweep(self.home.layers)

    # --- releases -----------------------------------------------------------------------------------------------------

    def prepare(self, environment: EnvironmentRecord, app: str, number: int) -> None:
        """Layers unpacked and checked, release and config kept. Raises `HomeportError`: nothing is kept then."""
        release = Catalogue(self.store).get(app, environment.place.name, number)
        snapshot = read_snapshot(self.store, app, environment.place.name, release.config)
        for layer in release.slug.layers:
            unpacked(self.store, self.home.layers, app, layer)
        kept = ReleaseRecord(release=release, snapshot=snapshot, prepared_at=SystemClock().now())
        self.state.put(record.RELEASE, environment.place.id, f"{app}/{number}", kept)

    def file(self, environment: str, app: str, number: int, path: str) -> bytes | None:
        """The content of a file of the release's code; None: there is none. Raises `Unavailable`, `NotFound`."""
        release = self._release(environment, app, number).release
        source = next(layer for layer in release.slug.layers if layer.kind == "source")
        root = self.home.layers / source.sha256
        place = (root / path).resolve()
        # a link may lead out of the code, into the image
        return place.read_bytes() if place.is_relative_to(root.resolve()) and place.is_file() else None

    # --- generations --------------------------------------------------------------------------------------------------

    def directory(self, environment: str, instance: str) -> Path:
        return self.home.instances / environment / instance

    def info(self, environment: str, instance: Instance) -> Path:
        """Where bubblewrap writes the pid of this generation."""
        return self.directory(environment, instance.id) / f"bwrap-{instance.generation}.json"

    def logs(self, environment: str, instance: str) -> Path:
        return self.home.logs / environment / instance

    def start(self, environment: EnvironmentRecord, kept: InstanceRecord, hosts: Path) -> int:
        """Pid 1 of the new generation's sandbox. Raises `Unavailable`, `Invalid`."""
        place, seen = environment.place, kept.seen
        found = self._release(place.id, seen.app, seen.release)
        spec = _named(assemble(self._of_instance(environment, kept, found)), hosts)
        console = log.console(self.logs(place.id, seen.id))
        return self.sandbox.start(spec, info=self.info(place.id, seen), output=console)

    def variables(self, environment: EnvironmentRecord, kept: InstanceRecord, process: str) -> dict[bytes, bytes]:
        """What that process of the instance has been given as its environment. Raises `Unavailable`."""
        found = self._release(environment.place.id, kept.seen.app, kept.seen.release)
        return variables(self._of_instance(environment, kept, found), kept.ports[process])

    def _of_instance(self, environment: EnvironmentRecord, kept: InstanceRecord, found: ReleaseRecord) -> Assembly:
        seen, resolved = kept.seen, found.release.resolved
        group = resolved.group(seen.group)
        assert group is not None
        return self._assembly(
            environment,
            found,
            seen.group,
            name=seen.id,
            processes={name: resolved.processes[name] for name in group.run},
            ports=kept.ports,
            told={
                "HOST": seen.address,
                "HOMEPORT_GROUP": seen.group,
                "HOMEPORT_INSTANCE": seen.id,
                "HOMEPORT_ZONE": seen.zone,
            },
            memory_bytes=group.memory_bytes,
            turns=turns_of(group, resolved.types),
        )

    def start_one_off(
        self, environment: EnvironmentRecord, session: Session, given: Mapping[str, str], hosts: Path
    ) -> tuple[int, dict[bytes, bytes]]:
        """Pid 1 of a sandbox in which nothing runs yet, and what a command in it is given as its environment: as a new
        instance of the session's group has them, with the variables `given` over its config. Raises `Unavailable`,
        `Invalid`."""
        place = environment.place
        found = self._release(place.id, session.app, session.release)
        group = found.release.resolved.group(session.group)
        assert group is not None
        assembly = self._assembly(
            environment,
            found,
            session.group,
            name=session.id,
            processes={},
            ports={},
            told={"HOST": "127.0.0.1", "HOMEPORT_GROUP": session.group, "HOMEPORT_INSTANCE": session.id, **given},
            memory_bytes=group.memory_bytes,
        )
        spec = _named(assemble(assembly), hosts)
        pid = self.sandbox.start(
            replace(spec, command=_IDLE),
            info=self.session_info(place.id, session.id),
            output=self.directory(place.id, session.id) / "boot.log",
        )
        return pid, variables(assembly, 0)

    def session_info(self, environment: str, session: str) -> Path:
        """Where bubblewrap writes the pid of a one-off; names the session's memory limit as well."""
        return self.directory(environment, session) / "bwrap.json"

    def start_task(self, environment: EnvironmentRecord, task: TaskRecord, hosts: Path) -> int:
        """Pid 1 of the task's sandbox; its exit code will lie in `task_exit`."""
        place = environment.place
        found = self._release(place.id, task.app, task.release)
        group = next(iter(found.release.resolved.groups)).name
        if (left := self.logs(place.id, task.id)).exists():
            # after a purge deployments are counted anew: what another task of this name wrote, perhaps as another user
            log.remove(left)
        assembly = self._assembly(
            environment,
            found,
            group,
            name=task.id,
            processes={NAME: task.command},
            ports={NAME: 0},
            told={"HOMEPORT_GROUP": group, "HOMEPORT_INSTANCE": task.id},
            memory_bytes=None,
        )
        spec = one_off(_named(assemble(assembly), hosts), assembly, self.task_exit(place.id, task.id))
        return self.sandbox.start(
            spec,
            info=self.directory(place.id, task.id) / "bwrap.json",
            output=self.directory(place.id, task.id) / "boot.log",
        )

    def task_exit(self, environment: str, task: str) -> Path:
        return self.directory(environment, task) / "exit"

    # --- inside -------------------------------------------------------------------------------------------------------

    def _release(self, environment: str, app: str, number: int) -> ReleaseRecord:
        found = self.state.get(record.RELEASE, environment, f"{app}/{number}", ReleaseRecord)
        if found is None:
            raise Unavailable(f"r{number} of {app} isn't prepared in {environment}")
        for layer in found.release.slug.layers:
            unpacked(self.store, self.home.layers, app, layer)
        return found

    def _assembly(
        self,
        environment: EnvironmentRecord,
        found: ReleaseRecord,
        group: str,
        *,
        name: str,
        processes: Mapping[str, str],
        ports: Mapping[str, int],
        told: Mapping[str, str],
        memory_bytes: int | None,
        turns: Turns = Turns(),
    ) -> Assembly:
        release, place = found.release, environment.place
        logs = self.logs(place.id, name)
        log.keep_app(logs, release.app)
        tenant = Tenant(
            name=name,
            directory=self.directory(place.id, name),
            logs=logs,
            processes=processes,
            ports=ports,
            told=told,
            uid=environment.uid,
            memory_bytes=memory_bytes,
            turns=turns,
        )
        config = found.snapshot.groups.get(group, {})
        return assembly_of(release, config, tenant, layers=self.home.layers, encryption=self.encryption)


def _named(spec: SandboxSpec, hosts: Path) -> SandboxSpec:
    """With the private names, which change while it runs."""
    return replace(spec, mounts=(*spec.mounts, Mount(kind="read_only", source=hosts, target="/etc/hosts")))
