"""Short ways to make the model's values in tests."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

from homeport.errors import Conflict
from homeport.model.fleet import Check, Cohort, GroupDesired, Instance, Observation, Run, State, Target
from homeport.model.platform import ZONES, Deploy, Group, Health, Instances, Place, Resolved, Route
from homeport.model.release import Layer, Release, Slug
from homeport.plan.release import release_key
from homeport.plan.retention import parts
from homeport.ports.objects import ObjectStore
from homeport.releases.publish import encode

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def instance(id_: str, release: int = 1, **fields: Any) -> Instance:
    """A healthy instance in service, started a minute ago, unless said otherwise."""
    values: dict[str, Any] = {
        "app": "shop",
        "group": id_.rpartition("-")[0],
        "zone": "a",
        "state": State.IN_SERVICE,
        "run": Run.RUNNING,
        "check": Check.HEALTHY,
        "target": Target.READY,
        "created_at": after(-60),
        "started_at": after(-60),
        "in_service_at": after(-59),
    }
    return Instance(id=id_, release=release, **(values | fields))


def observation(*instances: Instance, **fields: Any) -> Observation:
    ordinals: dict[str, int] = {}
    for each in instances:
        group, _, ordinal = each.id.rpartition("-")
        ordinals[group] = max(ordinals.get(group, 0), int(ordinal))
    values: dict[str, Any] = {"at": NOW, "last_ordinal": ordinals}
    return Observation(instances=instances, **(values | fields))


def desired(*cohorts: Cohort, name: str = "web", **fields: Any) -> GroupDesired:
    values: dict[str, Any] = {
        "app": "shop",
        "zones": ZONES,
        "balanced": True,
        "stop_grace": timedelta(seconds=10),
        "drain": timedelta(seconds=30),
    }
    return GroupDesired(name=name, cohorts=cohorts, **(values | fields))


def resolved(
    *,
    app: str = "shop",
    web: int = 3,
    jobs: int = 0,
    deploy: Deploy | None = None,
    task: str | None = None,
    health: Health | None = None,
    place: Place | None = None,
) -> Resolved:
    """A formation of `web` (balanced, routed at /) and, if `jobs`, `jobs` (no targets)."""
    groups = [
        Group(
            name="web",
            run=("web",),
            instances=Instances(min=0, desired=web, max=20),
            balanced=True,
            health=health or Health(grace=timedelta(seconds=10)),
        )
    ]
    if jobs:
        groups.append(Group(name="jobs", run=("worker",), instances=Instances(min=0, desired=jobs, max=20)))
    return Resolved(
        app=app,
        place=place or Place(platform="shop", name="staging"),
        groups=tuple(groups),
        routes=(Route(to="web"),),
        deploy=deploy or Deploy(),
        processes={"web": "serve", "worker": "work"},
        release_task=task,
    )


def release(number: int, formation: Resolved | None = None, **fields: Any) -> Release:
    """Release `number` with a slug of one layer, of one byte, that doesn't exist: see `put_release`."""
    formation = formation or resolved()
    layer = Layer(sha256=f"{number:064x}", kind="source", size_bytes=1)
    values: dict[str, Any] = {
        "slug": Slug(layers=(layer,), image="image", commit=f"{number:040x}"),
        "config": "0" * 64,
        "created_at": NOW,
        "created_by": "tester",
        "why": "test",
        "origin": number,
    }
    return Release(
        app=formation.app,
        environment=formation.place.name,
        number=number,
        resolved=formation,
        **(values | fields),
    )


def put_release(store: ObjectStore, made: Release) -> None:
    """It is in the store, with something in the place of all that it names."""
    for key in parts(made):
        with contextlib.suppress(Conflict):
            store.create(key, b"-")
    store.create(release_key(made.app, made.environment, made.number), encode(made))
