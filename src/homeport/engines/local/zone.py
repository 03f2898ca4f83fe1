"""Zones that fail on purpose: what is in them is killed or frozen, and none is launched there, until they are restored.

Called by `engine` and `generation`, under the engine's lock. The word is recorded first; whoever comes back after a
crash, or finishes a launch meanwhile, makes it so again."""

from msgspec.structs import replace

from homeport.engines.local.record import InstanceRecord, Records
from homeport.errors import Unavailable
from homeport.instance import frozen, supervision
from homeport.model.asked import ZoneAsked
from homeport.model.fleet import Check, Instance, Run, State


class Zones:
    def __init__(self, records: Records) -> None:
        self.records = records
        self._failed: dict[tuple[str, str], ZoneAsked] = {}
        for environment in records.environments():
            self._failed |= {(environment, each.zone): each for each in records.asked(environment).zones}

    def failed(self, environment: str) -> tuple[str, ...]:
        return tuple(sorted(zone for place, zone in self._failed if place == environment))

    def ask(self, environment: str, said: ZoneAsked) -> None:
        """It is kept, and so."""
        self.records.keep_asked(environment, said)
        if said.failure is None:
            self._failed.pop((environment, said.zone), None)
        else:
            self._failed[environment, said.zone] = said
        for each in self.records.instances(environment).values():
            if each.seen.zone == said.zone:
                self.apply(environment, each)

    def forget(self, environment: str) -> None:
        """The environment is gone."""
        self._failed = {key: each for key, each in self._failed.items() if key[0] != environment}

    def apply(self, environment: str, found: InstanceRecord) -> None:
        """The instance fares as its zone does. Repeating it is harmless."""
        seen = found.seen
        if seen.pid is None or found.started is None or seen.state is State.TERMINATED:
            return
        match self._failure(environment, seen):
            case "kill":
                supervision.kill(seen.pid, found.started)
            case "freeze":
                frozen.freeze(seen.pid, found.started)
            case None:
                frozen.thaw(seen.pid, found.started)

    def check_launch(self, environment: str, zone: str) -> None:
        """Raises `Unavailable` where nothing can be launched there."""
        if (environment, zone) in self._failed:
            raise Unavailable(
                f"zone {zone} of {environment} has failed on purpose", hint=f"homeport zone restore {zone}"
            )

    def seen(self, environment: str, instance: Instance) -> Instance:
        """As it looks from outside of its zone: nobody knows what one that is frozen does."""
        failure = self._failure(environment, instance)
        if failure == "kill" and instance.died:
            return replace(instance, reason=f"zone {instance.zone} failed", zone_failed=True)
        if failure == "freeze" and instance.run in (Run.RUNNING, Run.STOPPING):
            return replace(instance, run=Run.UNKNOWN, check=Check.UNKNOWN, check_since_at=None)
        return instance

    def _failure(self, environment: str, instance: Instance) -> str | None:
        said = self._failed.get((environment, instance.zone))
        return said.failure if said is not None else None
