"""What people ask of a fleet: its routes, and what it comes to in the views. Called by `console.api` and `.queries`."""

from collections.abc import Mapping

from litestar import post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody
from msgspec.structs import replace

from homeport.console import views
from homeport.control.environment import Care
from homeport.control.fleet import Fleets
from homeport.model.asked import Asked
from homeport.model.breaker import BreakerState
from homeport.model.fleet import Observation
from homeport.model.fleet import State as InstanceState
from homeport.model.platform import ZONES
from homeport.plan.asked import to_cycle

_FLEET = "/v1/environments/{platform:str}/{name:str}/fleet"


def fleets(state: State) -> Fleets:
    found: Fleets = state.fleets
    return found


@post(f"{_FLEET}/zones", sync_to_thread=True)
def zones(state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[views.ZoneRequest]) -> views.Done:
    where = f"{platform}/{name}"
    if data.failure is None:
        return views.Done(changed=fleets(state).restore_zone(where, data.zone, by=data.by))
    return views.Done(changed=fleets(state).fail_zone(where, data.zone, data.failure, by=data.by))


@post(f"{_FLEET}/processes", sync_to_thread=True)
def processes(
    state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[views.ProcessesRequest]
) -> views.Done:
    call = fleets(state).resume if data.resume else fleets(state).suspend
    call(f"{platform}/{name}", data.groups, data.processes, by=data.by)
    return views.Done()


@post(f"{_FLEET}/standby", sync_to_thread=True)
def standby(
    state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[views.StandbyRequest]
) -> views.Done:
    where = f"{platform}/{name}"
    if data.enter:
        changed = fleets(state).enter_standby(where, data.instance, decrement=data.decrement, by=data.by)
        return views.Done(changed=changed)
    fleets(state).exit_standby(where, data.instance, by=data.by)
    return views.Done()


@post(f"{_FLEET}/cycle", sync_to_thread=True)
def cycle(state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[views.CycleRequest]) -> views.Done:
    where, group = f"{platform}/{name}", (data.app, data.group)
    if data.cancel:
        return views.Done(changed=fleets(state).cancel_cycle(where, group, by=data.by))
    fleets(state).cycle(where, group, max_age_seconds=data.max_age_seconds, batch=data.batch, by=data.by)
    return views.Done()


@post(f"{_FLEET}/breakers", sync_to_thread=True)
def breakers(
    state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[views.BreakerRequest]
) -> views.Done:
    fleets(state).reset_breakers(f"{platform}/{name}", data.groups, by=data.by)
    return views.Done()


HANDLERS = (zones, processes, standby, cycle, breakers)


# --- views ------------------------------------------------------------------------------------------------------------


def with_care(
    app: views.AppView, observed: Observation, asked: Asked, care: Mapping[tuple[str, str], Care]
) -> views.AppView:
    """The app with what is asked of its groups, and how they fare."""
    return replace(app, groups=tuple(_cared(app.app, each, observed, asked, care) for each in app.groups))


def _cared(
    app: str, group: views.GroupView, observed: Observation, asked: Asked, care: Mapping[tuple[str, str], Care]
) -> views.GroupView:
    found, said = care.get((app, group.name), Care()), asked.of(app, group.name)
    members = [each for each in observed.instances if (each.app, each.group) == (app, group.name)]
    cycle = None
    if said.cycle is not None:
        cycle = views.CycleView(
            left=len(to_cycle(said, members)),
            batch=said.cycle.batch,
            by=said.cycle.by,
            since_at=said.cycle.since_at,
            older_than_at=said.cycle.older_than_at,
            stopped=found.cycle_stopped,
        )
    return replace(
        group,
        breakers=tuple(_breaker(each) for each in found.breakers),
        notes=found.notes,
        fail_open=(app, group.name) in observed.fail_open,
        suspended=tuple(each.value for each in said.suspended),
        standby=tuple(each.instance for each in said.standby),
        cycle=cycle,
    )


def _breaker(found: BreakerState) -> views.BreakerView:
    return views.BreakerView(
        release=f"r{found.release}",
        phase=found.phase.value,
        failures=found.failures,
        launches=found.launches,
        spent_hours=round(found.spent.total_seconds() / 3600, 4),
        last_at=found.last_at,
        until_at=found.until_at,
        reason=found.reason,
        specimen=found.specimen,
    )


def zone_views(observed: Observation, asked: Asked) -> tuple[views.ZoneView, ...]:
    failed = {each.zone: each for each in asked.zones}
    live = [each.zone for each in observed.instances if each.state is not InstanceState.TERMINATED]
    return tuple(
        views.ZoneView(
            zone=zone,
            failure=(failed[zone].failure or "") if zone in failed else "",
            since_at=failed[zone].since_at if zone in failed else None,
            instances=live.count(zone),
        )
        for zone in ZONES
    )
