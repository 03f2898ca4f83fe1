"""What people ask of a fleet, one method per request. Called by the routes in `console.fleet`, and by the command line
where the control plane is inside it.
"""

from homeport.console import views
from homeport.console.request import BreakerRequest, CycleRequest, ProcessesRequest, StandbyRequest, ZoneRequest
from homeport.control.control import Control
from homeport.control.fleet import Fleets


class Asking:
    """`where` is `<platform>/<name>` everywhere. Raises as `Fleets` does."""

    def __init__(self, control: Control) -> None:
        self._fleets = Fleets(control)

    def zone(self, where: str, said: ZoneRequest) -> views.Done:
        if said.failure is None:
            return views.Done(changed=self._fleets.restore_zone(where, said.zone, by=said.by))
        return views.Done(changed=self._fleets.fail_zone(where, said.zone, said.failure, by=said.by))

    def processes(self, where: str, said: ProcessesRequest) -> views.Done:
        call = self._fleets.resume if said.resume else self._fleets.suspend
        call(where, said.groups, said.processes, by=said.by)
        return views.Done()

    def standby(self, where: str, said: StandbyRequest) -> views.Done:
        if said.enter:
            changed = self._fleets.enter_standby(where, said.instance, decrement=said.decrement, by=said.by)
            return views.Done(changed=changed)
        self._fleets.exit_standby(where, said.instance, by=said.by)
        return views.Done()

    def cycle(self, where: str, said: CycleRequest) -> views.Done:
        group = (said.app, said.group)
        if said.cancel:
            return views.Done(changed=self._fleets.cancel_cycle(where, group, by=said.by))
        self._fleets.cycle(where, group, max_age_seconds=said.max_age_seconds, batch=said.batch, by=said.by)
        return views.Done()

    def breakers(self, where: str, said: BreakerRequest) -> views.Done:
        self._fleets.reset_breakers(where, said.groups, by=said.by)
        return views.Done()
