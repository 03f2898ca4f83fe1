"""How the fleet decider cares for what isn't well, isn't wanted where it is, or was asked for by people."""

from datetime import timedelta

from homeport.model.action import AskHook, Drain, EnterStandby, FailOpen, Launch, Plan, PutInService, Stop, Terminate
from homeport.model.asked import CycleAsked, GroupAsked, StandbyAsked, Suspendable
from homeport.model.breaker import BreakerPhase
from homeport.model.fleet import (
    Check,
    Cohort,
    HookWait,
    Instance,
    Observation,
    Probe,
    Process,
    Run,
    Silence,
    State,
    Target,
)
from homeport.model.platform import Breaker, Hook
from homeport.plan.fleet import reconcile
from homeport.testing.builder import NOW, after, desired, instance, observation

HUNG = Probe(asked="GET /healthz", ok=False, at=NOW, error="no answer within 2 s", silence=Silence.TIMEOUT)
HOOK = Hook(command="./warm", heartbeat=timedelta(seconds=30))


def web(ordinal: int, **fields: object) -> Instance:
    times = {"created_at": after(-1000), "started_at": after(-1000), "in_service_at": after(-999)}
    return instance(f"web-{ordinal}", **({"zone": "abc"[(ordinal - 1) % 3]} | times | fields))


def sick(ordinal: int, since: float = -10, **fields: object) -> Instance:
    values = {"check": Check.UNHEALTHY, "check_since_at": after(since), "probe": HUNG}
    return web(ordinal, **(values | fields))


def pending(ordinal: int, age: float = 1, **fields: object) -> Instance:
    at = after(-age)
    values = {"state": State.PENDING, "target": Target.UNUSED, "check": Check.INITIAL, "in_service_at": None}
    return web(ordinal, **(values | {"created_at": at, "started_at": at} | fields))


def failed(ordinal: int, began: float, ended: float) -> Instance:
    """A launch that never got in service and was ended."""
    ends = {"state": State.TERMINATED, "run": Run.STOPPED, "ended_at": after(ended)}
    return pending(ordinal, -began, **ends)


def asked(**fields: object) -> GroupAsked:
    return GroupAsked(app="shop", group="web", **fields)


def plan(count: int, *seen: Instance, cohorts: tuple[Cohort, ...] = (), **fields: object) -> Plan:
    """Of a group of `count`. `fields`: of the observation, else of what is desired."""
    seeing = {key: fields.pop(key) for key in list(fields) if key in Observation.__struct_fields__}
    wanted = cohorts or (Cohort(release=1, count=count),)
    return reconcile(desired(*wanted, **({"max": 10} | fields)), observation(*seen, **seeing), NOW)


def launched(found: Plan) -> list[tuple[str, str]]:
    return [(each.instance, each.zone) for each in found.actions if isinstance(each, Launch)]


def said(found: Plan, subject: str) -> str:
    return " ".join(each.reason for each in found.decisions if each.subject == subject)


# --- unhealthy -------------------------------------------------------------------------------------------------------


def check_replacement_comes_before_the_sick_one_goes() -> None:
    found = plan(3, web(1), web(2), sick(3))
    assert (launched(found), len(found.actions)) == ([("web-4", "c")], 1)
    assert "hung: GET /healthz: no answer within 2 s" in said(found, "web-3")
    assert plan(3, web(1), web(2), sick(3), pending(4)).actions == ()
    assert plan(3, web(1), web(2), sick(3), web(4)).actions == (Drain(instance="web-3"),)


def check_not_before_its_time_is_over() -> None:
    found = plan(3, web(1), web(2), sick(3, since=-4))
    assert (found.actions, found.wake_at) == ((), after(6))
    young = sick(3, started_at=after(-20))
    assert plan(3, web(1), web(2), young).wake_at == after(10), "its grace time holds"
    assert plan(3, web(1), web(2), sick(3, check_since_at=None)).actions == ()


def check_one_that_recovers_stays() -> None:
    assert plan(3, web(1), web(2), web(3), pending(4)).actions == (Stop(instance="web-4"),)


def check_without_room_the_sick_one_goes_first() -> None:
    full = {"max": 3, "surge": 0}
    assert plan(3, web(1), web(2), sick(3), **full).actions == (Drain(instance="web-3"),)
    assert launched(plan(3, web(1), web(2), sick(3, state=State.TERMINATING, run=Run.STOPPING, stop_at=NOW), **full))
    both = (web(1), web(2), sick(3), sick(4), web(5))
    assert len(launched(plan(5, *both, max=5, surge=1))) == 1, "one at a time fits"


def check_suspended_replacement_says_so() -> None:
    for each in (Suspendable.REPLACE_UNHEALTHY, Suspendable.HEALTH_CHECK):
        found = plan(3, web(1), web(2), sick(3), asked=asked(suspended=(each,)))
        assert found.actions == ()
        assert f"{each.value} suspended" in said(found, "web")


def check_dead_is_left_where_replacement_is_suspended() -> None:
    dead = web(3, run=Run.STOPPED, died=True)
    found = plan(3, web(1), web(2), dead, asked=asked(suspended=(Suspendable.REPLACE_UNHEALTHY,)))
    assert found.actions == ()
    assert "ReplaceUnhealthy is suspended" in said(found, "web-3")


def check_what_a_deployment_tries_is_its_own() -> None:
    assert plan(3, web(1), web(2), sick(3), trial=1).actions == ()
    assert plan(1, pending(1, age=60), trial=1).actions == ()


# --- most of them ----------------------------------------------------------------------------------------------------


def check_most_at_once_are_replaced_one_at_a_time() -> None:
    found = plan(4, sick(1, since=-30), sick(2, since=-20), web(3), web(4))
    assert launched(found) == [("web-5", "a")]
    assert "2 of 4 in service are unhealthy at once, all in the same way: hung" in said(found, "web")
    assert len(launched(plan(4, sick(1), sick(2), web(3), web(4), replace_budget=2))) == 2
    assert plan(4, sick(1), sick(2), web(3), web(4), pending(5)).actions == ()
    goes = plan(4, sick(1), sick(2), web(3), web(4), web(5))
    assert goes.actions == (Drain(instance="web-1"),), "one that proved well takes the place of one"


def check_none_while_a_new_one_is_no_better() -> None:
    found = plan(3, sick(1), sick(2), sick(3), pending(4, age=40, probe=HUNG), fail_open=(("shop", "web"),))
    assert found.actions == ()
    assert "it fares like those in service" in said(found, "web-4")
    assert "one is tried" in said(found, "web")
    alone = plan(1, sick(1), pending(2, age=40, probe=HUNG), fail_open=(("shop", "web"),))
    assert alone.actions == (), "of one, too"
    better = plan(3, sick(1), sick(2), sick(3), pending(4, age=40, check=Check.HEALTHY), fail_open=(("shop", "web"),))
    assert better.actions == (PutInService(instance="web-4"),)


def check_routing_stays_open_while_all_are_sick() -> None:
    every = (sick(1, since=-1), sick(2, since=-1))
    assert plan(2, *every).actions == (FailOpen(app="shop", group="web", open=True),)
    opened = {"fail_open": (("shop", "web"),)}
    assert plan(2, *every, **opened).actions == ()
    assert plan(2, web(1), web(2), **opened).actions == (FailOpen(app="shop", group="web", open=False),)
    assert plan(2, web(1), sick(2, since=-1)).actions == ()


# --- launches that fail ----------------------------------------------------------------------------------------------


def check_launch_that_never_serves_is_ended_and_made_again() -> None:
    found = plan(2, web(1), pending(2, age=31))
    assert (launched(found), Stop(instance="web-2") in found.actions) == ([("web-3", "b")], True)
    assert plan(2, web(1), pending(2, age=29)).wake_at == after(1)
    assert plan(2, web(1), pending(2, age=31, check=Check.UNKNOWN)).actions == ()
    slow = pending(2, age=31, run=Run.STARTING)
    assert plan(2, web(1), slow).actions == (), "its code is still being fetched"


def check_open_breaker_suspends_launches_and_keeps_a_specimen() -> None:
    settings = {"breaker": Breaker(failures=3), "grace": timedelta(seconds=10)}
    history = (failed(2, -60, -45), failed(3, -44, -30))
    looping = pending(4, age=11, processes=(Process(name="web", up=False, exits=7, last_exit="status 1"),))
    found = plan(2, web(1), *history, looping, **settings)
    assert (found.actions, found.wake_at) == ((), after(1)), "failed a second ago, two seconds' pause"
    (breaker,) = found.breakers
    assert (breaker.phase, breaker.failures, breaker.launches) == (BreakerPhase.OPEN, 3, 3)
    assert (breaker.specimen, breaker.spent) == ("web-4", timedelta(seconds=15 + 14 + 11))
    assert "looping: web ended 7 times, last with status 1" in said(found, "web-4")
    later = plan(2, web(1), *history, pending(4, age=13), **settings)
    assert launched(later) == [("web-5", "b")], "half-open: one is tried"
    tried = plan(3, web(1), *history, pending(4, age=13), pending(5), **settings)
    assert (tried.actions, tried.breakers[0].phase) == ((), BreakerPhase.HALF_OPEN)
    proved = plan(3, web(1), *history, pending(4, age=20), web(5, started_at=after(-5)), **settings)
    assert launched(proved) == [("web-6", "c")], "it serves: the others follow"


def check_breaker_is_closed_by_a_reset_and_by_time() -> None:
    settings = {"breaker": Breaker(failures=3), "grace": timedelta(seconds=10)}
    history = (failed(2, -60, -45), failed(3, -44, -30), failed(4, -12, -1))
    assert launched(plan(2, web(1), *history, **settings)) == []
    assert launched(plan(2, web(1), *history, asked=asked(breaker_reset_at=after(-5)), **settings))
    lived = web(5, started_at=after(-110), in_service_at=after(-109))
    assert plan(3, lived, *history, **settings).breakers, "what served before the first failure says nothing"
    well = plan(2, *history[:2], web(5, started_at=after(-89), in_service_at=after(-88)), **settings)
    assert well.breakers == (), "one that has served for long since: as good as new"
    other = (Cohort(release=2, count=1),)
    assert launched(plan(1, *history, cohorts=other, **settings)), "a new release is another matter"


def check_deaths_of_one_moment_are_one_failure() -> None:
    dead = [
        web(each, state=State.TERMINATED, run=Run.STOPPED, died=True, started_at=after(-9), ended_at=after(-1))
        for each in range(1, 10)
    ]
    assert len(launched(plan(9, *dead))) == 9


# --- zones -----------------------------------------------------------------------------------------------------------


def check_a_lost_zone_is_made_up_in_the_others() -> None:
    frozen = web(2, run=Run.UNKNOWN, check=Check.UNKNOWN)
    found = plan(3, web(1), frozen, web(3), failed_zones=("b",))
    assert found.actions == (
        Drain(instance="web-2", at_once=True),
        Launch(app="shop", group="web", instance="web-4", zone="a", release=1),
    )
    killed = plan(3, web(1), web(2, run=Run.STOPPED, died=True), web(3), web(4), failed_zones=("b",))
    assert killed.actions == (Drain(instance="web-2", at_once=True),)
    gone = plan(
        3, web(1), web(2, run=Run.STOPPED, died=True, target=Target.UNUSED), web(3), web(4), failed_zones=("b",)
    )
    assert gone.actions == (Terminate(instance="web-2"),)
    silent = web(2, target=Target.DRAINING, in_flight=0)
    assert plan(3, web(1), silent, web(3), web(4), failed_zones=("b",)).actions == (), "what can't be reached is left"
    none = plan(1, failed_zones=("a", "b", "c"))
    assert (none.actions, "all zones have failed" in said(none, "web")) == ((), True)


def check_zones_are_balanced_again_one_at_a_time() -> None:
    shifted = [web(1), web(2, zone="a"), web(3), web(4, zone="c"), web(5, zone="a"), web(6)]
    found = plan(6, *shifted)
    assert launched(found) == [("web-7", "b")], "a 3, b 0, c 3"
    assert len(found.actions) == 1
    assert plan(6, *shifted, pending(7, zone="b")).actions == ()
    assert plan(6, *shifted, web(7, zone="b")).actions == (Drain(instance="web-5"),)
    kept = plan(6, *shifted, asked=asked(suspended=(Suspendable.AZ_REBALANCE,)))
    assert kept.actions == ()
    assert plan(6, *shifted, trial=2).actions == ()


# --- what people ask -------------------------------------------------------------------------------------------------


def check_cycle_goes_oldest_first_in_batches() -> None:
    cycle = CycleAsked(since_at=after(-50), older_than_at=after(-50), batch=2)
    wish = {"asked": asked(cycle=cycle), "surge": 2}
    found = plan(3, web(1), web(2), web(3, created_at=after(-2000)), **wish)
    assert launched(found) == [("web-4", "a"), ("web-5", "c")]
    half = plan(
        3, web(1), web(2), web(3, created_at=after(-2000)), web(4, created_at=after(-2)), pending(5, zone="c"), **wish
    )
    assert half.actions == ()
    new = [web(4, created_at=after(-2)), web(5, created_at=after(-2), zone="c")]
    through = plan(3, web(1), web(2), web(3, created_at=after(-2000)), *new, **wish)
    assert through.actions == (Drain(instance="web-3"), Drain(instance="web-1"))
    assert plan(3, web(1), web(2), web(3), asked=asked(cycle=cycle), trial=2).actions == (), "a deployment goes on"
    assert "no room" in said(plan(3, web(1), web(2), web(3), asked=asked(cycle=cycle), max=3, surge=0), "web")


def check_cycle_stops_at_a_replacement_that_fails() -> None:
    cycle = CycleAsked(since_at=after(-50), older_than_at=after(-50))
    found = plan(3, web(1), web(2), web(3), failed(4, -45, -10), asked=asked(cycle=cycle))
    assert found.actions == ()
    assert "the cycle has stopped, 3 instances left: web-4 failed" in said(found, "web")
    earlier = failed(4, -95, -60)
    assert plan(3, web(1), web(2), web(3), earlier, asked=asked(cycle=cycle)).actions != (), "one that failed before it"


def check_nobody_gets_older_than_may_be() -> None:
    aged = web(2, created_at=after(-3600))
    life = {"max_lifetime": timedelta(hours=1)}
    assert launched(plan(3, web(1), aged, web(3), **life)) == [("web-4", "b")]
    assert plan(3, web(1), web(2, created_at=after(-3500)), web(3), **life).wake_at == after(100)
    tried = plan(3, web(1), aged, web(3), failed(4, -45, -10), **life)
    assert (tried.actions, tried.wake_at) == ((), after(290)), "a failed launch gives a pause"


def check_standby_goes_out_of_traffic_and_is_replaced() -> None:
    wish = {"asked": asked(standby=(StandbyAsked(instance="web-2"),))}
    found = plan(3, web(1), web(2), web(3), **wish)
    assert (Drain(instance="web-2") in found.actions, launched(found)) == (True, [("web-4", "b")])
    drained = web(2, target=Target.DRAINING, drain_at=after(-1), in_flight=0)
    assert plan(3, web(1), drained, web(3), web(4, zone="b"), **wish).actions == (EnterStandby(instance="web-2"),)
    there = web(2, state=State.STANDBY, target=Target.UNUSED, check=Check.UNHEALTHY)
    assert plan(3, web(1), there, web(3), web(4, zone="b"), **wish).actions == (), "kept, however it is"


def check_back_from_standby_through_the_health_gate() -> None:
    there = web(2, state=State.STANDBY, target=Target.UNUSED)
    deputy = web(4, zone="b", created_at=after(-5))
    assert plan(3, web(1), there, web(3), deputy).actions == (PutInService(instance="web-2"),)
    assert plan(3, web(1), web(2), web(3), deputy).actions == (Drain(instance="web-4"),)
    ill = web(2, state=State.STANDBY, target=Target.UNUSED, check=Check.UNHEALTHY)
    assert plan(3, web(1), ill, web(3), deputy).actions == (Stop(instance="web-2"),)


def check_suspended_launches_and_ends() -> None:
    none = plan(3, web(1), web(2), asked=asked(suspended=(Suspendable.LAUNCH,)))
    assert (none.actions, "1 of r1 missing: Launch is suspended" in said(none, "web")) == ((), True)
    stays = plan(1, web(1), web(2), asked=asked(suspended=(Suspendable.TERMINATE,)))
    assert (stays.actions, "Terminate is suspended" in said(stays, "web-2")) == ((), True)


# --- hooks -----------------------------------------------------------------------------------------------------------


def waiting(ordinal: int, state: State, beat: float = -10, result: str | None = None) -> Instance:
    wait = HookWait(hook=HOOK, asked_at=after(-100), beat_at=after(beat), result=result)
    if state is State.PENDING_WAIT:
        return pending(ordinal, state=state, check=Check.HEALTHY, hook=wait)
    return web(ordinal, state=state, target=Target.UNUSED, hook=wait)


def check_launching_hook_before_service() -> None:
    fit = pending(1, check=Check.HEALTHY)
    assert plan(1, fit, launching=HOOK).actions == (AskHook(instance="web-1", hook=HOOK),)
    open_ = plan(1, waiting(1, State.PENDING_WAIT), launching=HOOK)
    assert (open_.actions, open_.wake_at) == ((), after(20))
    assert plan(1, waiting(1, State.PENDING_WAIT, result="CONTINUE")).actions == (PutInService(instance="web-1"),)
    aside = plan(1, fit, launching=HOOK, cohorts=(Cohort(release=1, count=1, serving=False),))
    assert aside.actions == (AskHook(instance="web-1", hook=HOOK),), "a deployment's new ones before the switch"
    again = web(1, state=State.PENDING, target=Target.UNUSED)
    assert plan(1, again, launching=HOOK).actions == (PutInService(instance="web-1"),), "once in an instance's life"


def check_abandoned_launch_ends() -> None:
    for each in (waiting(2, State.PENDING_WAIT, result="ABANDON"), waiting(2, State.PENDING_WAIT, beat=-30)):
        found = plan(2, web(1), each)
        assert (Stop(instance="web-2") in found.actions, len(launched(found))) == (True, 1)
        assert Stop(instance="web-2") in plan(2, web(1), each, trial=1).actions, "whoever tries it"


def check_terminating_hook_before_the_end() -> None:
    idle = web(2, target=Target.DRAINING, drain_at=after(-1), in_flight=0)
    assert plan(1, web(1), idle, terminating=HOOK).actions == (AskHook(instance="web-2", hook=HOOK, terminating=True),)
    open_ = plan(1, web(1), waiting(2, State.TERMINATING_WAIT), terminating=HOOK)
    assert (open_.actions, open_.wake_at) == ((), after(20))
    for each in (waiting(2, State.TERMINATING_WAIT, result="ABANDON"), waiting(2, State.TERMINATING_WAIT, beat=-30)):
        assert plan(1, web(1), each, terminating=HOOK).actions == (Stop(instance="web-2"),)
    assert plan(1, web(1), pending(2), terminating=HOOK).actions == (Stop(instance="web-2"),), "it never served"


CHECKS = [each for name, each in list(globals().items()) if name.startswith("check_")]


def pytest_generate_tests(metafunc) -> None:
    if "check" in metafunc.fixturenames:
        metafunc.parametrize("check", CHECKS, ids=lambda each: each.__name__.removeprefix("check_"))


def test_care(check) -> None:
    check()
