"""What follows at once from a deployment's state, in the store and on the engine: which release new instances get,
whose routes hold, how requests are shared. Called by `control.deployment`, under the lease."""

import msgspec

from homeport.control.lease import Lease
from homeport.control.log import FencedLog
from homeport.model.action import SetLaunch, SetRoutes, SetShare
from homeport.model.deployment import Deployment
from homeport.model.fleet import Observation
from homeport.model.platform import Place
from homeport.plan.canary_step import canaries
from homeport.plan.journal import launch_release, pulled_release, routes_release, shares
from homeport.ports.engine import Engine
from homeport.ports.objects import ObjectStore


class Pointers:
    """Of one app in one environment."""

    def __init__(self, app: str, place: Place, *, engine: Engine, store: ObjectStore, lease: Lease) -> None:
        self.app = app
        self.place = place
        self.engine = engine
        self.store = store
        self.lease = lease
        self._moved: dict[str, int | None] = {}
        """Group → what this very control plane has its launch pointer name."""

    def follow(self, deployment: Deployment, observed: Observation) -> None:
        """All are as the journal has it, and `observed` says so."""
        if self.engine.heals:
            self._pulled(deployment)
        launch = launch_release(deployment)
        if observed.launch.get(self.app) != launch:
            for change in deployment.started.groups if not self.engine.heals else ():
                self.move(f"launch/{change.name}", launch)
            self.engine.execute(self.place.id, SetLaunch(app=self.app, release=launch), fence=self.lease.fence)
            observed.launch.pop(self.app, None)
            if launch is not None:
                observed.launch[self.app] = launch
        self._share(deployment, observed)
        routes = routes_release(deployment)
        if routes is not None and observed.routes.get(self.app) != routes:
            self.engine.execute(self.place.id, SetRoutes(app=self.app, release=routes), fence=self.lease.fence)
            observed.routes[self.app] = routes

    def forget(self) -> None:
        """Somebody else may have moved them."""
        self._moved.clear()

    def _pulled(self, deployment: Deployment) -> None:
        """What instances that the engine launches by itself come upon in the store."""
        for change in deployment.started.groups:
            release = pulled_release(deployment, change)
            if self._moved.get(change.name, -1) != release:
                self.move(f"launch/{change.name}", release)
                self._moved[change.name] = release

    def share_evenly(self, deployment: Deployment) -> None:
        """Nothing is left of a canary's shares."""
        if deployment.step:
            for change in canaries(deployment):
                self._set(change.name, deployment.started.release, None)

    def move(self, pointer: str, release: int | None) -> None:
        """In the store."""
        log = FencedLog(self.store, f"{self.app}/{self.place.name}/{pointer}/")
        newest = log.newest()
        if newest is None or msgspec.json.decode(newest)["release"] != release:
            log.append(self.lease.fence, msgspec.json.encode({"release": release}))

    def _share(self, deployment: Deployment, observed: Observation) -> None:
        wanted, present = shares(deployment), observed.shares.get(self.app, ())
        for each in wanted:
            if each not in present:
                self._set(each.group, each.release, each.percent)
        for each in present:
            if each.group not in {other.group for other in wanted}:
                self._set(each.group, each.release, None)
        observed.shares[self.app] = wanted

    def _set(self, group: str, release: int, percent: int | None) -> None:
        action = SetShare(app=self.app, group=group, release=release, percent=percent)
        self.engine.execute(self.place.id, action, fence=self.lease.fence)
