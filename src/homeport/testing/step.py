"""What cases of the engines' contract do: each step brings about what it says in the engine's own way, so that a case
doesn't ask which engine it has. Called by `contract`, `contract_…`, and tests that drive an engine by hand.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from homeport.control.log import FencedLog
from homeport.model.action import Action, Launch, Prepare, PutInService, SetCapacity, Start, Stop, Terminate
from homeport.model.fleet import Check, Instance, Observation, Run, State, Target
from homeport.plan.release import LaunchPointer, launch_prefix
from homeport.testing.world import APP, GOOD, World

GONE = (State.TERMINATED, None)


def find(observed: Observation, id_: str) -> Instance:
    return next(each for each in observed.instances if each.id == id_)


def state(observed: Observation, id_: str) -> State | None:
    """None: an engine that forgets who has ended doesn't show it any more."""
    return next((each.state for each in observed.instances if each.id == id_), None)


def run(world: World, action: Action, fence: int = 1) -> None:
    world.engine.execute(world.place.id, action, fence=fence)


def when(world: World, id_: str, ready: Callable[[Instance], bool]) -> Instance:
    return find(world.until(lambda seen: ready(find(seen, id_))), id_)


def waited(observed: Observation, since_at: datetime | None, seconds: float) -> bool:
    return since_at is not None and observed.at - since_at > timedelta(seconds=seconds)


def prepare(world: World, number: int) -> None:
    run(world, Prepare(app=APP, release=number))
    world.until(lambda seen: any(each.release == number and each.ready for each in seen.prepared))


# --- of an engine that launches what it is told to --------------------------------------------------------------------


def launch(world: World, number: int = GOOD, id_: str = "web-1", zone: str = "a") -> None:
    prepare(world, number)
    run(world, Launch(app=APP, group=id_.rpartition("-")[0], instance=id_, zone=zone, release=number))


def healthy(world: World, id_: str = "web-1", number: int = GOOD) -> Instance:
    launch(world, number, id_)
    return when(world, id_, lambda each: each.check is Check.HEALTHY)


# --- of every engine --------------------------------------------------------------------------------------------------


def living(observed: Observation) -> list[Instance]:
    return [each for each in observed.instances if each.state is not State.TERMINATED]


def capacity(observed: Observation, group: str) -> int | None:
    """None: on an engine that keeps none by itself."""
    return next((each.count for each in observed.capacity if (each.app, each.group) == (APP, group)), None)


def bring(world: World, number: int = GOOD, group: str = "web") -> str:
    """Id of a new instance that is to run this release: it was launched, or its group launches one by itself."""
    observed = world.engine.observe(world.place.id)
    if not world.engine.heals:
        id_ = f"{group}-{observed.last_ordinal.get(group, 0) + 1}"
        launch(world, number, id_)
        return id_
    prepare(world, number)
    point(world, number, group)
    before = {each.id for each in observed.instances}
    run(world, SetCapacity(app=APP, group=group, count=(capacity(observed, group) or 0) + 1))

    def fresh(seen: Observation) -> list[str]:
        return [each.id for each in living(seen) if each.id not in before]

    return fresh(world.until(lambda seen: bool(fresh(seen))))[0]


def point(world: World, number: int, group: str) -> None:
    """What the group's new instances pull from the store."""
    pointers = FencedLog(world.store, launch_prefix(APP, world.place.name, group))
    newest = pointers.newest()
    if newest is None or msgspec.json.decode(newest, type=LaunchPointer).release != number:
        pointers.append(1000, msgspec.json.encode(LaunchPointer(release=number)))


def serving(world: World, number: int = GOOD, group: str = "web") -> Instance:
    """One that serves, and is well: where a case before left one as it found it, that one."""
    left = [each for each in world.engine.observe(world.place.id).instances if each.group == group]
    spare = [each.id for each in left if each.release == number and serves(each)]
    if spare:
        prepare(world, number)
        return when(world, spare[0], serves)
    id_ = bring(world, number, group)
    when(world, id_, lambda each: each.check is Check.HEALTHY)
    run(world, PutInService(instance=id_))
    return when(world, id_, serves)


def is_well(instance: Instance) -> bool:
    return (instance.run, instance.check) == (Run.RUNNING, Check.HEALTHY)


def serves(instance: Instance) -> bool:
    target = Target.UNUSED if instance.port is None else Target.READY
    return is_well(instance) and (instance.state, instance.target) == (State.IN_SERVICE, target)


def turn(world: World, id_: str, number: int) -> None:
    """It gets its next generation in place: where its agent ends the last one by itself, it is only told to start."""
    prepare(world, number)
    if not world.engine.heals:
        run(world, Stop(instance=id_, next_release=number))
        when(world, id_, lambda each: each.run is Run.STOPPED)
    run(world, Start(instance=id_, release=number))


def end(world: World, id_: str) -> Instance | None:
    """As it was seen last; None: by an engine that forgets who has ended."""
    if world.engine.heals:
        run(world, Terminate(instance=id_))
        waits = (State.TERMINATING_WAIT, *GONE)
        if state(world.until(lambda seen: state(seen, id_) in waits), id_) not in GONE:
            run(world, Stop(instance=id_))
    else:
        run(world, Stop(instance=id_))
        when(world, id_, lambda each: each.run is Run.STOPPED)
        run(world, Terminate(instance=id_))
    ended = world.until(lambda seen: state(seen, id_) in GONE)
    return next((each for each in ended.instances if each.id == id_), None)
