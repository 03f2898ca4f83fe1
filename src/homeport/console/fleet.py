"""What people ask of a fleet: its routes. Called by `console.api`."""

from litestar import post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from homeport.console import views
from homeport.console.asking import Asking
from homeport.console.request import BreakerRequest, CycleRequest, ProcessesRequest, StandbyRequest, ZoneRequest

_FLEET = "/v1/environments/{platform:str}/{name:str}/fleet"


def asking(state: State) -> Asking:
    found: Asking = state.asking
    return found


@post(f"{_FLEET}/zones", sync_to_thread=True)
def zones(state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[ZoneRequest]) -> views.Done:
    return asking(state).zone(f"{platform}/{name}", data)


@post(f"{_FLEET}/processes", sync_to_thread=True)
def processes(
    state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[ProcessesRequest]
) -> views.Done:
    return asking(state).processes(f"{platform}/{name}", data)


@post(f"{_FLEET}/standby", sync_to_thread=True)
def standby(state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[StandbyRequest]) -> views.Done:
    return asking(state).standby(f"{platform}/{name}", data)


@post(f"{_FLEET}/cycle", sync_to_thread=True)
def cycle(state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[CycleRequest]) -> views.Done:
    return asking(state).cycle(f"{platform}/{name}", data)


@post(f"{_FLEET}/breakers", sync_to_thread=True)
def breakers(state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[BreakerRequest]) -> views.Done:
    return asking(state).breakers(f"{platform}/{name}", data)


HANDLERS = (zones, processes, standby, cycle, breakers)
