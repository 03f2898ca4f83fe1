"""Whether the machine's memory suffices for what a release or a person asks for, beside what all other groups may take.
Called by `control`, under its lock.
"""

import contextlib
from collections.abc import Iterator, Mapping

from homeport.control.environment import EnvironmentControl
from homeport.errors import HomeportError
from homeport.model.platform import Group, Place, Resolved
from homeport.model.release import Release
from homeport.plan import capacity
from homeport.plan.capacity import Promise
from homeport.plan.desired import size
from homeport.ports.engine import Engine


class Promises:
    """`environments`: those that are up, as they come and go."""

    def __init__(self, engine: Engine, environments: Mapping[str, EnvironmentControl]) -> None:
        self._engine = engine
        self._environments = environments

    def check_release(self, place: Place, release: Release) -> None:
        """Raises `Invalid`."""
        machine = self._engine.memory_bytes()
        if machine is None:
            return
        up = place.id in self._environments
        sizes = self._engine.asked(place.id).sizes(release.app) if up else {}
        others = list(self._made(place.id, release.app))
        held = sum(each.total_bytes for each in self._made()) - sum(each.total_bytes for each in others)
        capacity.check_release(release.id, list(_of(release.resolved, sizes)), others, machine, held_bytes=held)

    def check_size(self, environment: str, app: str, group: Group, count: int) -> None:
        """Raises `Invalid`."""
        machine = self._engine.memory_bytes()
        if group.memory_bytes is not None and machine is not None:
            wanted = Promise(group=f"{app}/{group.name}", count=count, memory_bytes=group.memory_bytes)
            capacity.check(wanted, self._made(environment, app, group.name), machine)

    def _made(self, place: str = "", app: str = "", group: str = "") -> Iterator[Promise]:
        """The memory of every group that says how much it may take, but for this one, or all of the app's there."""
        for id_, environment in self._environments.items():
            asked = self._engine.asked(id_)
            for name, launch in environment.observe().launch.items():
                with contextlib.suppress(HomeportError):  # not known while the store is gone
                    for each in _of(environment.app(name).resolve(launch)[launch], asked.sizes(name)):
                        if (id_, name) != (place, app) or (group and each.group != f"{app}/{group}"):
                            yield each


def _of(resolved: Resolved, sizes: Mapping[str, int]) -> Iterator[Promise]:
    """Of the groups that say how much memory an instance may take."""
    for each in resolved.groups:
        if each.memory_bytes is not None:
            name = f"{resolved.app}/{each.name}"
            yield Promise(group=name, count=size(each, sizes), memory_bytes=each.memory_bytes)
