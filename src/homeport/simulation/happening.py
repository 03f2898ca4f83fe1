"""What each kind of fault does to a simulated environment. Called by `simulation.run`."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from homeport.engines.memory.behaviour import Behaviour
from homeport.errors import HomeportError
from homeport.model.asked import CycleAsked, GroupAsked, StandbyAsked, Suspendable, ZoneAsked
from homeport.model.platform import Strategy
from homeport.simulation.fault import Fault
from homeport.simulation.world import Crash, World

LAUNCHES: dict[str, Behaviour | None] = {
    "failing-launches": Behaviour(dies_after=1.0),
    "hanging-launches": Behaviour(healthy_after=None),
    "slow-launches": Behaviour(starts_after=5.0, healthy_after=20.0),
    "good-launches": None,
}
"""What new instances do from then on; None: as their release does."""


def bring(world: World, fault: Fault) -> None:
    """It happens. What the platform refuses is noted."""
    world.note("fault", fault.words)
    try:
        _HAPPENS[fault.kind](world, fault)
    except (HomeportError, LookupError) as error:
        world.note("refused", f"{fault.words}: {error}")
    except Crash:
        world.crashes += 1
        world.control = world.new_control()
        if fault.kind == "continue":
            bring(world, fault)  # whoever got no answer says it again


def _zone(failure: Any) -> Callable[[World, Fault], None]:
    def happens(world: World, fault: Fault) -> None:
        asked = ZoneAsked(zone=fault.value, failure=failure, since_at=world.clock.now())
        world.memory.ask(world.place.id, asked)

    return happens


def _word(_: int) -> None:
    """A person's, which tells a number."""


def _recover(world: World, fault: Fault) -> None:
    world.memory.own.clear()
    world.lying.clear()


def _outage(world: World, fault: Fault) -> None:
    world.memory.outage_since_at = world.memory.outage_since_at or world.clock.now()


def _outage_ends(world: World, fault: Fault) -> None:
    world.memory.outage_since_at = None


def _launches(world: World, fault: Fault) -> None:
    world.launch_behaviour = LAUNCHES[fault.kind]
    if world.launch_behaviour is None:
        world.memory.own.clear()


def _suspend(world: World, fault: Fault) -> None:
    world.ask(fault, suspended=(Suspendable(fault.value),))


def _resume(world: World, fault: Fault) -> None:
    said = world.memory.asked(world.place.id).of(world.app, fault.group)
    world.memory.ask(world.place.id, GroupAsked(app=said.app, group=said.group, desired=said.desired))


def _standby(world: World, fault: Fault) -> None:
    said = world.memory.asked(world.place.id).of(world.app, fault.group)
    world.ask(fault, standby=(*said.standby, StandbyAsked(instance=world.chosen(fault).id)))


def _cycle(world: World, fault: Fault) -> None:
    now = world.clock.now()
    world.ask(fault, cycle=CycleAsked(since_at=now, older_than_at=now, batch=1 + fault.choice % 2))


def _crash(world: World, fault: Fault) -> None:
    world.crash_in = int(fault.value or 1 + fault.choice % 12)


def _blind(world: World, fault: Fault) -> None:
    world.blind = 1 + fault.choice % 3


def _stale(world: World, fault: Fault) -> None:
    world.stale = 1 + fault.choice % 3


def _deploy_as(world: World, fault: Fault) -> None:
    strategy, how = fault.value.split()
    world.deploy(strategy=cast(Strategy, strategy), how=how)


def _lose_task(world: World, fault: Fault) -> None:
    now = world.clock.now()
    for id_, each in world.memory.places[world.place.id].tasks.items():
        if not each.seen(id_, now).ended:
            each.end(now, by_force=True)


def _store(away: bool) -> Callable[[World, Fault], None]:
    def happens(world: World, fault: Fault) -> None:
        world.judge.away = away

    return happens


def _usurp(world: World, fault: Fault) -> None:
    """The control plane hangs, and another one is started elsewhere."""
    app = world.app_control()
    if not app.active:
        raise LookupError("no deployment goes on")
    world.sleepers.append((world.seconds + 5 + fault.choice % 90, app))
    world.holders += 1
    world.control = world.new_control()


def _scale(world: World, fault: Fault) -> None:
    group = world.formation.group(fault.group)
    assert group is not None
    count = max(group.instances.min, min(group.instances.max, int(fault.value)))
    world.control.scale(world.place.id, world.app, fault.group, count)


_HAPPENS: Mapping[str, Callable[[World, Fault], None]] = {
    "deploy": lambda world, _: world.deploy(),
    "bad-deploy": lambda world, _: world.deploy(how="never-healthy"),
    "deploy-as": _deploy_as,
    "abort": lambda world, _: _word(world.control.abort(world.place.id, world.app, None, by="eve", why="no")),
    "continue": lambda world, _: _word(world.control.go_on(world.place.id, world.app, None, by="eve")),
    "lose-task": _lose_task,
    "store-away": _store(away=True),
    "store-back": _store(away=False),
    "usurp": _usurp,
    "scale": _scale,
    "die": lambda world, fault: world.memory.die(world.place.id, world.chosen(fault).id),
    "hang": lambda world, fault: world.afflict(fault),
    "flap": lambda world, fault: world.afflict(fault, recovers_after=20.0),
    "recover": _recover,
    "lie": lambda world, fault: world.lying.add(world.chosen(fault).id),
    "lose-sight": lambda world, fault: world.memory.unknown.add(world.chosen(fault).id),
    "see-again": lambda world, _: world.memory.unknown.clear(),
    "fail-zone": _zone("kill"),
    "freeze-zone": _zone("freeze"),
    "restore-zone": _zone(None),
    "outage": _outage,
    "outage-ends": _outage_ends,
    **dict.fromkeys(LAUNCHES, _launches),
    "suspend": _suspend,
    "resume": _resume,
    "standby": _standby,
    "cycle": _cycle,
    "crash": _crash,
    "blind": _blind,
    "stale": _stale,
    "jump": lambda world, fault: world.clock.jump(float(fault.value)),
}
