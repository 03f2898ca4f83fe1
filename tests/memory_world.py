"""Worlds on the memory engine: the same releases as `tests.local_world`, of which only the formation is real."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from homeport.engines.memory.behaviour import Behaviour
from homeport.model.platform import Deploy, Group, Health, Instances, Place, Resolved, Route, Strategy
from homeport.ports.objects import ObjectStore
from homeport.stores.objects import open_store
from homeport.testing.builder import put_release, release
from homeport.testing.world import APP, BAD_TASK, BETTER, DEAF, GOOD, NEVER_HEALTHY, HealingMemoryWorld, MemoryWorld

TASK = "python3 task.py"


def formation(
    *,
    web: int = 2,
    worker: int = 1,
    strategy: Strategy = "replace",
    max_unavailable: int = 1,
    task: str | None = TASK,
    work: str = "exec python3 worker.py",
    after: tuple[str, ...] = (),
    **deploy: Any,
) -> Resolved:
    """What `tests/apps/plain` resolves to, with short times. `after`: what web comes after; `work`: the worker's
    command; `deploy`: of [deploy]."""
    health = Health(path="/healthz", interval=timedelta(milliseconds=200), grace=timedelta(seconds=10))
    groups = [
        Group(
            name="web",
            run=("web",),
            instances=Instances(min=1, desired=web, max=10),
            health=health,
            balanced=True,
            stop_grace=timedelta(seconds=3),
            after=after,
        )
    ]
    if worker:
        groups.append(
            Group(
                name="worker",
                run=("worker",),
                instances=Instances(min=1, desired=worker, max=10),
                health=msgspec.structs.replace(health, path=None),
                stop_grace=timedelta(seconds=3),
            )
        )
    return Resolved(
        app=APP,
        place=Place(platform=APP, name="staging"),
        groups=tuple(groups),
        routes=(Route(to="web"),),
        deploy=Deploy(
            strategy=strategy, max_unavailable=max_unavailable, **{"bake": timedelta(milliseconds=500), **deploy}
        ),
        processes={"web": "exec python3 web.py", "worker": work},
        release_task=task,
    )


def memory_world(
    tmp_path: Path,
    formations: Mapping[int, Resolved] | None = None,
    behaviours: Mapping[int, Behaviour] | None = None,
    *,
    same_code: Collection[int] = (),
    store: ObjectStore | None = None,
    heals: bool = False,
) -> MemoryWorld:
    """Releases 1 to 9, in the store and on the engine; all good ones but for the named. Each has code of its own, those
    of `same_code` that of the first."""
    if store is None:
        root = tmp_path / "store"
        root.mkdir(parents=True)
        store = open_store(str(root))
    releases = {number: release(number, (formations or {}).get(number, formation())) for number in range(1, 10)}
    releases |= {number: msgspec.structs.replace(releases[number], slug=releases[1].slug) for number in same_code}
    for each in releases.values():
        put_release(store, each)
    world = (HealingMemoryWorld if heals else MemoryWorld)(releases, store)
    world.memory.behaviours |= dict(behaviours or {})
    return world


__all__ = ["BAD_TASK", "BETTER", "DEAF", "GOOD", "NEVER_HEALTHY", "formation", "memory_world"]
