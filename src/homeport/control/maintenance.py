"""Maintenance, switched on: the page and whom it lets through, from the release whose routes hold. Called by
`control.control`; what it means for the balancer says `plan.maintenance`."""

from homeport.control.environment import EnvironmentControl
from homeport.errors import Invalid
from homeport.model.asked import MaintenanceAsked
from homeport.model.event import Event
from homeport.model.platform import Maintenance
from homeport.plan.maintenance import check_page, who_says
from homeport.plan.platform_value import network


def begin(found: EnvironmentControl, app: str | None, *, by: str, why: str, allow: tuple[str, ...]) -> MaintenanceAsked:
    """It holds from now on, and again with another page or other networks. `app` None: the whole environment. `allow`:
    beside those of the file. Raises `Invalid` for what is no network or a page that can't be shown; then nothing is
    changed."""
    observed = found.observe()
    routed = {}
    for name, number in observed.routes.items():
        if app in (None, name):
            routed[name] = found.app(name).resolve(number)[number]
    told = who_says(routed, app)
    file, page = Maintenance(), ""
    if told is not None:
        file, number = told.maintenance, observed.routes[told.app]
        if file.page is not None:
            page = check_page(file.page, found.engine.file(found.place.id, told.app, number, file.page))
    extra = []
    for each in allow:
        try:
            extra.append(network(each))
        except Invalid as error:
            raise Invalid(f"--allow: {error.message}") from error
    said = MaintenanceAsked(
        app=app or "",
        on=True,
        since_at=observed.at,
        by=by,
        why=why,
        page=page,
        allow=tuple(dict.fromkeys((*file.allow, *extra))),
        retry_after=file.retry_after,
    )
    _ask(found, said, f"{by} closes {app or 'it'} to the public{f': {why}' if why else ''}", "maintenance_on")
    return said


def end(found: EnvironmentControl, app: str | None, *, by: str) -> MaintenanceAsked | None:
    """What was; None: it wasn't closed."""
    was = next((each for each in found.engine.asked(found.place.id).maintenance if each.app == (app or "")), None)
    if was is not None:
        over = MaintenanceAsked(app=was.app, on=False, since_at=found.clock.now(), by=by)
        _ask(found, over, f"{by} opens {app or 'it'} to the public again", "maintenance_off")
    return was


def _ask(found: EnvironmentControl, said: MaintenanceAsked, message: str, kind: str) -> None:
    found.engine.ask(found.place.id, said)
    found.engine.record(
        Event(
            at=found.clock.now(),
            environment=found.place.id,
            app=said.app,
            kind=kind,
            subject=said.app or found.place.name,
            message=message,
        )
    )
