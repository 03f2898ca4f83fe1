"""Environments of the local engine and the apps in them: how they come, and go with all that was theirs. Called by
`engine`, under its lock.
"""

import os

from msgspec.structs import replace

from homeport.engines.local import certificate
from homeport.engines.local.record import EnvironmentRecord, Records
from homeport.engines.local.removal import Remover
from homeport.engines.local.session_watch import SessionWatch
from homeport.engines.local.task import Tasks
from homeport.engines.local.traffic import Traffic
from homeport.engines.local.zone import Zones
from homeport.errors import Conflict, NotFound
from homeport.instance.address import Addresses, Claim
from homeport.model.fleet import State
from homeport.model.platform import Place
from homeport.ports.clock import Clock
from homeport.system.home import Home


class Environments:
    def __init__(
        self,
        home: Home,
        records: Records,
        *,
        addresses: Addresses,
        traffic: Traffic,
        tasks: Tasks,
        watched: SessionWatch,
        zones: Zones,
        remover: Remover,
        clock: Clock,
    ) -> None:
        self.home = home
        self.records = records
        self.addresses = addresses
        self.traffic = traffic
        self.tasks = tasks
        self.watched = watched
        self.zones = zones
        self.remover = remover
        self.clock = clock

    def open(self, place: Place) -> str:
        """As the port's `open_environment`."""
        known = self.records.environments().get(place.id)
        if known is not None and known.place == place:
            return url(known)
        if place.tls is not None and (known is None or known.place.tls != place.tls):
            certificate.check_new(place.tls, self.clock.now())
        listen = place.listen or f"127.0.0.1:{self.addresses.public_port(place.id)}"
        uid = self.addresses.uid(place.id) if os.getuid() == 0 else None
        opened = EnvironmentRecord(place=place, listen=listen, uid=uid, closing=known.closing if known else False)
        self.traffic.sync(opened)
        self.records.keep_environment(opened)
        self.traffic.write_hosts(place.id)
        return url(opened)

    def close(self, environment: str) -> None:
        """As the port's `close_environment`."""
        self.records.environment(environment)
        self._check_over(environment)
        # Its record goes last: without it nobody would look for the rest.
        self.remover.begin(self.home.instances / environment)
        self.records.forget_environment(environment)
        self.zones.forget(environment)
        self.traffic.sync()
        self.addresses.release(environment)
        self.tasks.forget(environment)

    def begin_leave(self, environment: str, app: str) -> None:
        """As the port's."""
        known = self.records.apps(environment).get(app)
        if known is None:
            raise NotFound(f"{app} isn't in {environment}")
        self.records.keep_app(environment, app, replace(known, leaving=True))
        self.traffic.sync()

    def forget_app(self, environment: str, app: str) -> None:
        """As the port's."""
        self._check_over(environment, app)
        self.records.forget_app(environment, app)
        self.tasks.forget_app(environment, app)
        self.traffic.sync()
        self.traffic.write_hosts(environment)

    def _check_over(self, environment: str, app: str | None = None) -> None:
        """Raises `Conflict` where anything lives, of that app if one is named."""
        instances = [each.seen for each in self.records.instances(environment).values()]
        live = [(each.app, each.id) for each in instances if each.state is not State.TERMINATED]
        live += [(each.app, each.id) for each in self.watched.all(environment) if each.ended_at is None]
        if found := [id_ for owner, id_ in live if app in (None, owner)]:
            raise Conflict(f"{app or environment} still has {', '.join(found)}")

    def is_claimed(self, claim: Claim) -> bool:
        """Whether a record speaks of what has this claim."""
        platform, _, rest = claim.key.partition("/")
        name, _, below = rest.partition("/")
        environment = f"{platform}/{name}"
        if not name:
            return True
        if environment not in self.records.environments():
            return False
        if claim.kind not in ("instance", "port"):
            return True
        id_, _, port = below.partition("/")
        found = self.records.instance(environment, id_)
        if found is None or found.seen.state is State.TERMINATED:
            return False
        return not port or port.partition("/")[0] == str(found.seen.generation)


def url(kept: EnvironmentRecord) -> str:
    scheme, standard = ("https", ":443") if kept.place.tls else ("http", ":80")
    address = kept.listen.removesuffix(standard)
    return f"{scheme}://{address.replace('0.0.0.0', 'localhost', 1)}"
