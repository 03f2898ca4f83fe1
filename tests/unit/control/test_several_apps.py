"""Two apps in one environment, on the memory engine: one route table, no two winners."""

from pathlib import Path

import msgspec
import pytest

from homeport.errors import Conflict, Invalid, NotFound
from homeport.model.action import Launch
from homeport.model.deployment import Ended, Verdict
from homeport.model.platform import Place, Route
from homeport.testing.builder import put_release, release
from homeport.testing.world import APP, GOOD, Controlled
from tests.memory_world import formation, memory_world


def blog(world: Controlled, number: int, *routes: Route, place: Place | None = None) -> int:
    """A release of the app `blog`, in the store."""
    place = place or world.world.place
    resolved = msgspec.structs.replace(formation(), app="blog", routes=routes, place=place)
    made = msgspec.structs.replace(release(number, resolved), app="blog", environment=place.name)
    put_release(world.world.store, made)
    return number


def deploy(world: Controlled, number: int, place: Place | None = None) -> int:
    return world.control.deploy(place or world.world.place, "blog", number, by="tester", why="test")


def up(path: Path) -> Controlled:
    world = Controlled(memory_world(path))
    world.deploy(GOOD)
    return world


@pytest.mark.parametrize("ended", [True, False], ids=["after the other's deployment", "during it"])
def test_a_route_that_another_app_has_is_refused_before_anything_changes(tmp_path: Path, ended: bool) -> None:
    world = up(tmp_path)
    if ended:
        assert world.verdict() is Verdict.GOOD
    actions = len(world.recorder.actions)
    number = blog(world, 1, Route(to="web"))
    with pytest.raises(Conflict, match=rf"r1 of blog .*: the route / belongs to {APP} \(r{GOOD}\)"):
        deploy(world, number)
    observed = world.world.engine.observe(world.world.place.id)
    assert set(observed.fence) == {APP}
    assert len(world.recorder.actions) == actions
    assert deploy(world, blog(world, 2, Route(to="web", path="/blog"))) == 1


def test_an_app_is_up_in_one_platform(tmp_path: Path) -> None:
    world = up(tmp_path)
    other = Place(platform="market", name=world.world.place.name)
    deploy(world, blog(world, 1, Route(to="web", path="/blog")))
    with pytest.raises(Conflict, match="blog is up in"):
        deploy(world, blog(world, 2, place=other), other)
    assert other.id not in world.control.environments


def test_an_app_leaves_alone(tmp_path: Path) -> None:
    world = up(tmp_path)
    assert world.verdict() is Verdict.GOOD
    place = world.world.place.id
    with pytest.raises(Invalid, match=f"{APP} is all there is"):
        world.control.down(place, APP)
    deploy(world, blog(world, 1, Route(to="web", path="/blog")))
    with pytest.raises(NotFound, match=r"bolg isn't up .*did you mean"):
        world.control.down(place, "bolg")
    world.settle(lambda: "blog" in world.world.engine.observe(place).routes)  # in the middle of its deployment
    before = {each.id for each in world.world.engine.observe(place).instances if each.app == APP}

    world.control.down(place, "blog")
    with pytest.raises(Conflict, match="blog is going down"):
        deploy(world, 1)
    with pytest.raises(Invalid):
        world.control.down(place, APP)
    world.settle(lambda: set(world.world.engine.observe(place).fence) == {APP})
    assert {each.id for each in world.world.engine.observe(place).instances} == before
    assert world.world.engine.observe(place).launch == {APP: GOOD}
    (entries,) = world.control.deployments(place, "blog")
    assert isinstance(entries[-1], Ended)
    assert entries[-1].verdict is Verdict.ABORTED
    assert deploy(world, blog(world, 2, Route(to="web", path="/blog"))) == 2


def test_instances_of_two_apps_are_told_apart(tmp_path: Path) -> None:
    world = up(tmp_path)
    deploy(world, blog(world, 2, Route(to="web", path="/blog")))
    world.settle(lambda: len({each.app for each in world.recorder.actions if isinstance(each, Launch)}) == 2)
    launched = [each.instance for each in world.recorder.actions if isinstance(each, Launch)]
    assert sorted(launched) == sorted(set(launched))
