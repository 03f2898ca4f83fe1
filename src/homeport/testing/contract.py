"""What every engine must do: `ports.engine` in cases that hold on each, whoever launches its instances.

A test module gives the fixture `world`, and inherits `EngineContract` and the one of these that its engine is:
`SingleActionContract` (`heals` False: whoever drives it launches, starts and kills), `HealingContract` (`heals` True:
its groups keep their capacity by themselves). Not in common, since they are the engine's own there: ordinals (EC2 names
its instances), zones that fail on purpose, hooks that are asked, shares, and to let requests through to the sick.
"""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from homeport.errors import Conflict, NotFound, Unavailable
from homeport.model.action import SetLaunch, SetRoutes
from homeport.model.asked import Asked, GroupAsked, MaintenanceAsked, Suspendable
from homeport.model.event import Event
from homeport.testing.contract_instance import InstanceContract
from homeport.testing.contract_task import TaskContract
from homeport.testing.step import end, prepare, run, serving
from homeport.testing.world import APP, GOOD, World


class EnvironmentContract:
    """What is kept of an environment, its apps, and what people ask for."""

    def test_preparing_an_unknown_release_fails_and_says_so(self, world: World) -> None:
        with pytest.raises((NotFound, KeyError)):
            world.release(99)
        assert not any(each.ready for each in world.engine.observe(world.place.id).prepared)

    def test_prepared_release_is_remembered(self, world: World) -> None:
        assert world.engine.release(world.place.id, APP, GOOD) is None
        prepare(world, GOOD)
        assert world.engine.release(world.place.id, APP, GOOD) == world.release(GOOD)

    def test_files_of_a_release_can_be_read(self, world: World) -> None:
        prepare(world, GOOD)
        assert world.engine.file(world.place.id, APP, GOOD, "web.py")
        with pytest.raises((NotFound, Unavailable)):
            world.engine.file(world.place.id, APP, 99, "web.py")

    def test_pointers(self, world: World) -> None:
        prepare(world, GOOD)
        run(world, SetLaunch(app=APP, release=GOOD))
        run(world, SetRoutes(app=APP, release=GOOD))
        seen = world.engine.observe(world.place.id)
        assert (seen.launch, seen.routes) == ({APP: GOOD}, {APP: GOOD})
        run(world, SetLaunch(app=APP, release=None))
        assert world.engine.observe(world.place.id).launch == {}

    def test_lower_fence_is_refused(self, world: World) -> None:
        prepare(world, GOOD)
        run(world, SetLaunch(app=APP, release=GOOD), fence=7)
        with pytest.raises(Conflict):
            run(world, SetLaunch(app=APP, release=None), fence=6)
        assert world.engine.observe(world.place.id).launch == {APP: GOOD}

    def test_an_app_is_known_before_anything_is_done_to_it(self, world: World) -> None:
        world.engine.admit(world.place.id, APP, fence=7)
        assert world.engine.observe(world.place.id).fence == {APP: 7}
        with pytest.raises(Conflict):
            world.engine.admit(world.place.id, APP, fence=6)
        with pytest.raises(Conflict):
            prepare(world, GOOD)

    def test_what_is_asked_of_a_group_is_kept(self, world: World) -> None:
        said = GroupAsked(app=APP, group="web", desired=4, suspended=(Suspendable.LAUNCH,))
        world.engine.ask(world.place.id, said)
        assert world.engine.asked(world.place.id).of(APP, "web") == said
        world.engine.ask(world.place.id, GroupAsked(app=APP, group="web"))
        assert world.engine.asked(world.place.id) == Asked()

    def test_maintenance_is_kept_until_it_is_over(self, world: World) -> None:
        prepare(world, GOOD)
        said = MaintenanceAsked(app="", on=True, since_at=world.clock.now(), by="ada", page="<p>ours")
        for each in (said, replace(said, allow=("10.0.0.0/8",)), replace(said, app=APP)):
            world.engine.ask(world.place.id, each)
        assert set(world.engine.asked(world.place.id).maintenance) == {
            replace(said, allow=("10.0.0.0/8",)),
            replace(said, app=APP),
        }
        for app in ("", APP, APP):
            world.engine.ask(world.place.id, replace(said, app=app, on=False))
        assert world.engine.asked(world.place.id) == Asked()

    def test_events(self, world: World) -> None:
        event = Event(
            at=datetime(2026, 1, 1, tzinfo=UTC), environment=world.place.id, kind="test", subject="web-1", message="it"
        )
        world.engine.record(event)
        world.engine.record(event)
        first, second = world.engine.events(world.place.id)
        assert world.engine.events(world.place.id, after=first.number) == [second]

    def test_an_app_leaves_once_its_instances_have_ended(self, world: World) -> None:
        one = serving(world).id
        run(world, SetLaunch(app=APP, release=GOOD))
        run(world, SetRoutes(app=APP, release=GOOD))
        world.engine.begin_leave(world.place.id, APP)
        seen = world.engine.observe(world.place.id)
        assert (seen.leaving, seen.routes, seen.launch) == (frozenset({APP}), {}, {APP: GOOD})
        with pytest.raises(Conflict):
            world.engine.forget_app(world.place.id, APP)
        end(world, one)
        for _ in range(2):
            world.engine.forget_app(world.place.id, APP)
            seen = world.engine.observe(world.place.id)
            assert (seen.leaving, seen.fence, seen.launch) == (frozenset(), {}, {})
            assert (seen.instances, seen.prepared) == ((), ())
        with pytest.raises(NotFound):
            world.engine.begin_leave(world.place.id, APP)

    def test_closing_waits_for_instances(self, world: World) -> None:
        one = serving(world).id
        world.engine.begin_close(world.place.id)
        assert world.engine.observe(world.place.id).closing
        with pytest.raises(Conflict):
            world.engine.close_environment(world.place.id)
        end(world, one)
        world.engine.close_environment(world.place.id)
        assert world.engine.environments() == {}
        with pytest.raises(NotFound):
            world.engine.observe(world.place.id)


class EngineContract(InstanceContract, TaskContract, EnvironmentContract):
    """Inherit, and give a fixture `world`."""
