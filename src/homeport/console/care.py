"""How the groups and zones of an environment fare, and what is asked of them, in the views. Called by `queries`."""

from collections.abc import Mapping

from msgspec.structs import replace

from homeport.console import views
from homeport.control.environment import Care
from homeport.model.asked import Asked
from homeport.model.breaker import BreakerState
from homeport.model.fleet import Observation, State
from homeport.model.platform import ZONES
from homeport.plan.asked import to_cycle


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
    live = [each.zone for each in observed.instances if each.state is not State.TERMINATED]
    return tuple(
        views.ZoneView(
            zone=zone,
            failure=(failed[zone].failure or "") if zone in failed else "",
            since_at=failed[zone].since_at if zone in failed else None,
            instances=live.count(zone),
        )
        for zone in ZONES
    )
