"""What the local engine is told of an app: its launch pointer, routes, shares, maintenance. Recorded, and the balancer
follows. Called by `engine`, under its lock.
"""

from msgspec.structs import replace

from homeport.engines.local.record import Records
from homeport.engines.local.traffic import Traffic
from homeport.errors import Conflict, Invalid
from homeport.model.action import FailOpen, SetLaunch, SetRoutes, SetShare
from homeport.model.asked import MaintenanceAsked
from homeport.model.canary import Share


class Apps:
    def __init__(self, records: Records, traffic: Traffic) -> None:
        self.records = records
        self.traffic = traffic

    def admit(self, environment: str, app: str, fence: int) -> None:
        """As the port's."""
        known = self.records.app(environment, app)
        if fence < known.fence:
            raise Conflict(f"fence {fence} of {app} in {environment} is over: {known.fence} was seen")
        if fence > known.fence:
            self.records.keep_app(environment, app, replace(known, fence=fence))

    def set_launch(self, environment: str, action: SetLaunch) -> None:
        known = self.records.app(environment, action.app)
        self.records.keep_app(environment, action.app, replace(known, launch=action.release))
        self.traffic.sync()

    def set_routes(self, environment: str, action: SetRoutes) -> None:
        """Routes that no balancer can have are refused: recorded, they would be in the way of every later change."""
        known = self.records.app(environment, action.app)
        self.records.keep_app(environment, action.app, replace(known, routes=action.release))
        try:
            self.traffic.sync()
        except Invalid:
            self.records.keep_app(environment, action.app, known)
            raise

    def set_share(self, environment: str, action: SetShare) -> None:
        known = self.records.app(environment, action.app)
        shares = tuple(each for each in known.shares if each.group != action.group)
        if action.percent is not None:
            share = Share(app=action.app, group=action.group, release=action.release, percent=action.percent)
            shares = (*shares, share)
        self.records.keep_app(environment, action.app, replace(known, shares=shares))
        self.traffic.sync()

    def set_fail_open(self, environment: str, action: FailOpen) -> None:
        known = self.records.app(environment, action.app)
        others = tuple(each for each in known.fail_open if each != action.group)
        groups = (*others, action.group) if action.open else others
        self.records.keep_app(environment, action.app, replace(known, fail_open=groups))
        self.traffic.sync_soon()

    def maintain(self, environment: str, said: MaintenanceAsked) -> None:
        """What no balancer can be is refused: recorded, it would be in the way of every later change."""
        asked = self.records.asked(environment).maintenance
        before = next((each for each in asked if each.app == said.app), None)
        self.records.keep_asked(environment, said)
        try:
            self.traffic.sync()
        except Invalid:
            self.records.keep_asked(environment, before or replace(said, on=False))
            raise
