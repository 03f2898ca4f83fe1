"""What a deployment begins with: its journal's first entry, in which all is fixed that depends on the moment. Called by
`control.deployment`."""

from collections.abc import Callable

from msgspec import Struct

from homeport.errors import HomeportError
from homeport.model.deployment import Deployment, Started
from homeport.model.fleet import Observation
from homeport.model.platform import Amount, Place
from homeport.model.release import Release, Snapshot
from homeport.plan.content import unchanged_groups
from homeport.plan.desired import Aside, group_changes, population
from homeport.plan.journal import kept_aside
from homeport.ports.objects import ObjectStore
from homeport.releases.publish import read_snapshot


class Wish(Struct, frozen=True, kw_only=True):
    """What whoever deploys says. `restart`: every instance is replaced, also where nothing has changed.
    `pause_after`: over what the release says; None: as it says. `over_freeze`: why a freeze doesn't count."""

    by: str
    why: str
    restart: bool = False
    pause_after: Amount | None = None
    over_freeze: str = ""


class Opening:
    """`read`: a release by its number; raises `NotFound`, `Unavailable`."""

    def __init__(self, app: str, place: Place, *, store: ObjectStore, read: Callable[[int], Release]) -> None:
        self.app = app
        self.place = place
        self.store = store
        self.read = read

    def started(
        self,
        release: Release,
        observed: Observation,
        wish: Wish,
        *,
        number: int,
        newest: Deployment | None,
        sizes: dict[str, int],
    ) -> Started:
        """`newest`: the app's deployment before this one. Raises what `read` raises."""
        new = release.resolved
        previous = observed.launch.get(self.app)
        before = None if previous is None else self.read(previous)
        unchanged = frozenset[str]() if before is None or wish.restart else self._unchanged(before, release)
        deploy = new.deploy
        groups = group_changes(
            old=None if before is None else before.resolved,
            new=new,
            sizes=sizes,
            unchanged=unchanged,
            zones=population(observed, self.app),
            aside=None if wish.restart else self._aside(release, observed, newest),
            canary=release.origin == release.number,
        )
        return Started(
            at=observed.at,
            app=self.app,
            environment=self.place.name,
            number=number,
            release=release.number,
            previous=previous,
            strategy=deploy.strategy,
            groups=groups,
            bake=deploy.bake,
            grace=max((group.health.grace for group in new.groups), default=deploy.bake),
            task=new.release_task if release.run_release_task else None,
            keep_old=deploy.keep_old if deploy.strategy == "blue-green" else None,
            pause_after=deploy.pause_after if wish.pause_after is None else wish.pause_after,
            timeout=deploy.timeout,
            alarms=deploy.alarms,
            steps=deploy.steps if any(each.canary for each in groups) else (),
            min_requests=deploy.min_requests,
            inconclusive=deploy.inconclusive,
            by=wish.by,
            why=wish.why,
            over_freeze=wish.over_freeze,
        )

    def _aside(self, release: Release, observed: Observation, newest: Deployment | None) -> Aside | None:
        """The instances that are kept for a way back, of the groups in which they run what this release runs."""
        kept = None if newest is None else kept_aside(newest, observed.at)
        if kept is None:
            return None
        try:
            groups = self._unchanged(self.read(kept), release)
        except HomeportError:
            return None
        found = population(observed, self.app, release=kept)
        return Aside(release=kept, counts={name: found[name].total() for name in groups if name in found})

    def _unchanged(self, old: Release, new: Release) -> frozenset[str]:
        """Groups in which the two run the same. What can't be read counts as changed."""
        try:
            before, after = (self._variables(each, old.config == new.config) for each in (old, new))
        except HomeportError:
            return frozenset()
        return unchanged_groups(old, new, before, after)

    def _variables(self, release: Release, same: bool) -> Snapshot:
        """Needn't be read to be compared where both have the same."""
        if same:
            return Snapshot(groups={})
        return read_snapshot(self.store, self.app, self.place.name, release.config)
