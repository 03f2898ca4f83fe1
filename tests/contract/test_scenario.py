"""One recorded scenario gives the same list of actions on the memory engine and on the local one.

Instances act independently of each other, so the list is compared as what each instance, and each app, was told, in
order."""

from collections import defaultdict
from pathlib import Path

from homeport.model.action import Action
from homeport.model.deployment import Verdict
from homeport.testing.world import APP, BETTER, GOOD, NEVER_HEALTHY, Controlled, World
from tests.local_world import local_world
from tests.memory_world import memory_world

ROLLED = 6
"""A release that is deployed in place."""


def play(world: World) -> dict[str, list[Action]]:
    """Up, a better release, a death, a release that never gets healthy, more and fewer instances, down."""
    told = Controlled(world)
    told.deploy(GOOD)
    assert told.verdict() is Verdict.GOOD
    told.deploy(BETTER)
    assert told.verdict() is Verdict.GOOD
    told.quiet()
    told.world.destroy("web-3")
    told.settle(lambda: told.serving() == [("web-4", BETTER), ("web-5", BETTER)])
    told.deploy(NEVER_HEALTHY)
    assert told.verdict() is Verdict.FAILED
    told.quiet()
    told.control.scale(world.place.id, APP, "web", 3)
    told.settle(lambda: len(told.serving()) == 3)
    told.deploy(ROLLED)
    assert told.verdict() is Verdict.GOOD
    told.quiet()
    told.control.scale(world.place.id, APP, "web", 1)
    told.settle(lambda: len(told.serving()) == 1)
    told.quiet()
    told.control.down(world.place.id)
    told.settle(lambda: not told.control.environments)
    heard: dict[str, list[Action]] = defaultdict(list)
    for action in told.recorder.actions:
        heard[getattr(action, "instance", APP)].append(action)
    return {subject: without_repeats(actions) for subject, actions in heard.items()}


def without_repeats(actions: list[Action]) -> list[Action]:
    """Waiting for a long action may mean asking for it twice; that is harmless and says nothing."""
    return [each for index, each in enumerate(actions) if index == 0 or each != actions[index - 1]]


def test_same_actions_on_memory_and_local(tmp_path: Path) -> None:
    with local_world(tmp_path / "local", rolled=ROLLED) as local:
        formations = {number: release.resolved for number, release in local.published.releases.items()}
        memory = memory_world(tmp_path / "memory", formations)
        expected = play(memory)
        assert play(local) == expected
    assert len(expected) > 9
