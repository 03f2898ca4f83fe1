"""The one instance of a server: its generation started, looked at, ended. Called by `agent.deployment` and `status`.

Whoever starts one has recorded it before; whoever finds one recorded learns here whether it runs.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from msgspec.structs import replace

from homeport.agent.record import Bound, Generation
from homeport.errors import Conflict, Invalid, Unavailable
from homeport.instance import supervision
from homeport.instance.address import Addresses
from homeport.instance.assemble import Assembly, assemble, service_directory
from homeport.instance.release import Tenant, assembly_of
from homeport.instance.sandbox import BwrapSandbox, written_pid
from homeport.instance.turn import Turns
from homeport.model.fleet import Process
from homeport.model.platform import Group
from homeport.model.release import ConfigValue
from homeport.ports.clock import Clock
from homeport.stores.encryption import AgeEncryption
from homeport.system import process, program
from homeport.system.effect import effect
from homeport.system.home import Home
from homeport.system.sockets import port_is_free, tcp_sockets

PROGRAMS = {"bwrap": "bubblewrap", "chpst": "runit", "runsv": "runit", "svlogd": "runit", "setpriv": "util-linux"}
"""Program → Debian's package."""
_AGAIN_SECONDS = 0.05
_KILLED_SECONDS = 30.0


class Generations:
    """`identity`: path of what decrypts secrets."""

    def __init__(self, home: Home, *, sandbox: BwrapSandbox, identity: Path, clock: Clock) -> None:
        self.home = home
        self.sandbox = sandbox
        self.identity = identity
        self.encryption = AgeEncryption(identity)
        self.clock = clock

    # --- what one is --------------------------------------------------------------------------------------------------

    def new(self, number: int, bound: Bound, *, instance: str, zone: str, listen: str) -> Generation:
        """Not begun yet. The process that serves gets the port of `listen`, the others those after it. Raises `Invalid`
        where they are too many."""
        address, _, first = listen.rpartition(":")
        members = groups(bound)
        serving = next((each.serving for each in members if each.serving is not None), None)
        names = list(dict.fromkeys(name for each in members for name in each.run))
        names.sort(key=lambda name: name != serving)
        ports = {name: int(first) + place for place, name in enumerate(names)}
        if max(ports.values()) > 65535:
            raise Invalid(f"{bound.name} has {len(names)} processes, and no ports are left for them after {listen}")
        return Generation(
            number=number,
            bound=bound,
            instance=instance,
            zone=zone,
            address=address.strip("[]"),
            ports=ports,
            boot_id=process.boot_id(),
            begun_at=self.clock.now(),
        )

    def directory(self, generation: Generation) -> Path:
        return self.home.instances / generation.instance

    def logs(self, generation: Generation) -> Path:
        return self.home.logs / generation.instance

    def info(self, generation: Generation) -> Path:
        return self.directory(generation) / f"bwrap-{generation.number}.json"

    @cached_property
    def _uid(self) -> int | None:
        """Whose rights its processes have; None: ours."""
        return Addresses(self.home, self.clock).uid("agent") if os.getuid() == 0 else None

    def assembly(self, generation: Generation) -> Assembly:
        """What its sandbox is made from, secrets in clear. Raises `Unavailable` where one can't be decrypted, `Invalid`
        for groups that can't be on one instance."""
        bound = generation.bound
        members = groups(bound)
        limits = [each.memory_bytes for each in members]
        tenant = Tenant(
            name=generation.instance,
            directory=self.directory(generation),
            logs=self.logs(generation),
            processes={name: bound.release.resolved.processes[name] for name in generation.ports},
            ports=generation.ports,
            told={
                "HOST": generation.address,
                "HOMEPORT_GROUP": ",".join(bound.groups),
                "HOMEPORT_INSTANCE": generation.instance,
                "HOMEPORT_ZONE": generation.zone,
            },
            uid=self._uid,
            memory_bytes=None if None in limits else sum(each for each in limits if each is not None),
            turns=Turns(
                types=bound.release.resolved.types,
                settle=max(each.health.settle for each in members),
                stop_grace=stop_grace(bound),
                serving=next((each.serving for each in members if each.serving is not None), None),
            ),
        )
        config = _config(bound)
        return assembly_of(bound.release, config, tenant, layers=self.home.layers, encryption=self.encryption)

    # --- what is needed -----------------------------------------------------------------------------------------------

    def check(self, generation: Generation, instead_of: Generation | None) -> None:
        """Nothing, where it could be started once `instead_of` has ended. Raises `Unavailable` for what the machine
        lacks, `Conflict` for a port that somebody else listens on, and what `assembly` does."""
        missing = [name for name in PROGRAMS if program.find(name) is None]
        if missing:
            packages = " ".join(dict.fromkeys(PROGRAMS[name] for name in missing))
            raise Unavailable(
                f"this machine lacks {', '.join(missing)}", hint=f"apt-get install --no-install-recommends {packages}"
            )
        problem = self.sandbox.problem()
        if problem is not None:
            raise problem
        if any(each.secret for each in _config(generation.bound).values()) and not self.identity.exists():
            raise Unavailable(
                f"{generation.bound.name} has secrets, and {self.identity}, which would decrypt them, isn't there",
                hint="HOMEPORT_IDENTITY=<path of the identity.age that they were set with>",
            )
        self.assembly(generation)
        self.check_ports(generation, instead_of)

    def check_ports(self, generation: Generation, instead_of: Generation | None = None) -> None:
        """Nothing, where nobody but `instead_of` listens on the generation's ports. Raises `Conflict`."""
        own = () if instead_of is None or self.pid(instead_of) is None else instead_of.ports.values()
        alone = "" if generation.address in ("0.0.0.0", "::") else generation.address
        for name, port in generation.ports.items():
            if port not in own and not port_is_free(port, but_closing=True, address=alone):
                listens = (each.address for each in tcp_sockets() if each.listens and each.port == port)
                others = ", ".join(f"{each}:{port}" for each in sorted(set(listens)))
                raise Conflict(
                    f"port {port}, which {name} of {generation.bound.release.app} shall have, is taken by {others}",
                    hint=f"ss -ltnp 'sport = :{port}'; or another port: HOMEPORT_LISTEN={generation.address}:…",
                )

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self, generation: Generation) -> Generation:
        """The same with its pid. Nothing else of the instance runs. Raises `Unavailable`, `Invalid`."""
        spec = assemble(self.assembly(generation))
        output = self.directory(generation) / "boot.log"
        pid = self.sandbox.start(spec, info=self.info(generation), output=output)
        return replace(generation, pid=pid, started=process.start_time(pid))

    def pid(self, generation: Generation | None) -> tuple[int, int] | None:
        """Pid and start time of the first process of its sandbox; None: it doesn't run."""
        if generation is None or generation.boot_id != process.boot_id():
            return None
        if generation.pid is not None:
            alive = generation.started is not None and process.alive(generation.pid, generation.started)
            return (generation.pid, generation.started or 0) if alive else None
        # Whoever started it was killed before that was written down.
        pid = written_pid(self.info(generation))
        started = None if pid is None else process.start_time_of_first(pid)
        return None if pid is None or started is None else (pid, started)

    def stop(self, generation: Generation) -> None:
        """It has ended: told to, and after its grace time killed. Harmless where it had. Raises `Unavailable` where it
        can't be killed."""
        living = self.pid(generation)
        pidfd = None if living is None else process.open_pidfd(*living)
        if living is not None and pidfd is not None:
            try:
                self._end(generation, pidfd, living)
            finally:
                os.close(pidfd)
        self.sandbox.forget(self.info(generation))
        _remove(self.info(generation))

    def _end(self, generation: Generation, pidfd: int, living: tuple[int, int]) -> None:
        services = service_directory(self.directory(generation))
        until = self.clock.monotonic() + stop_grace(generation.bound).total_seconds()
        told: set[str] = set()
        # A supervisor that has only just begun doesn't listen yet.
        while not supervision.stop(services, told) and self.clock.monotonic() < until:
            if process.ended(pidfd, _AGAIN_SECONDS):
                return
        if process.ended(pidfd, max(0.0, until - self.clock.monotonic())):
            return
        supervision.kill(*living)
        if not process.ended(pidfd, _KILLED_SECONDS):
            raise Unavailable(f"generation {generation.number} (pid {living[0]}) doesn't end, though it was killed")

    def processes(self, generation: Generation) -> tuple[Process, ...]:
        return supervision.processes(service_directory(self.directory(generation)))

    def why_dead(self, generation: Generation) -> str:
        """In words, of one that has ended by itself."""
        if kills := self.sandbox.oom_kills(self.info(generation)):
            return f"out of memory: the kernel killed {kills} of its processes"
        ended = [f"{each.name} ended with {each.last_exit}" for each in self.processes(generation) if each.last_exit]
        return "; ".join(ended) or "its whole process tree was killed"


def groups(bound: Bound) -> tuple[Group, ...]:
    """Those of the release that run here."""
    return tuple(each for each in bound.release.resolved.groups if each.name in bound.groups)


def stop_grace(bound: Bound) -> timedelta:
    return max(each.stop_grace for each in groups(bound))


def _config(bound: Bound) -> Mapping[str, ConfigValue]:
    """The variables, the same for all groups that run here. Raises `Invalid` where they differ."""
    first, *others = (bound.snapshot.groups.get(name, {}) for name in bound.groups)
    different = sorted({key for other in others for key in _differing(first, other)})
    if different:
        raise Invalid(
            f"the groups {', '.join(bound.groups)} of {bound.name} differ in {', '.join(different)}: they can't share "
            "an instance",
            hint=f"one of them here: HOMEPORT_GROUP={bound.groups[0]}",
        )
    return first


def _differing(one: Mapping[str, ConfigValue], other: Mapping[str, ConfigValue]) -> Iterator[str]:
    for key in one.keys() | other.keys():
        mine, theirs = one.get(key), other.get(key)
        if mine is None or theirs is None or (mine.text, mine.secret) != (theirs.text, theirs.secret):
            yield key


@effect("agent.remove_info")
def _remove(info: Path) -> None:
    info.unlink(missing_ok=True)
