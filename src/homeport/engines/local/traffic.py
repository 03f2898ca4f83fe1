"""From the engine's records to what the balancer shall be (pure), and the balancer kept equal to that.

Called by `engines.local.engine` and its parts."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from homeport.engines.local.balancer import HaproxyBalancer
from homeport.engines.local.record import AppRecord, EnvironmentRecord, Records
from homeport.errors import HomeportError
from homeport.instance.address import Addresses
from homeport.model.asked import MaintenanceAsked
from homeport.model.canary import Share
from homeport.model.fleet import Instance, State, Target
from homeport.model.platform import Group, Health, Resolved
from homeport.plan.balancer import (
    UNRELEASED,
    Backend,
    Balancer,
    Forward,
    Frontend,
    Server,
    ServerState,
    backend_name,
    private_frontend,
    public_name,
    spare_of,
    upstream_backend,
)
from homeport.plan.canary import weights
from homeport.plan.maintenance import closed
from homeport.plan.route import first_host
from homeport.system.effect import effect
from homeport.system.home import Home

PRIVATE_PORT = 8080
log = logging.getLogger("homeport.traffic")


def environment_traffic(
    environment: EnvironmentRecord,
    apps: Mapping[str, AppRecord],
    resolved: Mapping[tuple[str, int], Resolved],
    instances: Iterable[Instance],
    private_addresses: Mapping[tuple[str, str], str],
    maintenance: tuple[MaintenanceAsked, ...] = (),
) -> tuple[list[Frontend], list[Backend]]:
    """Frontends and backends of one environment. `resolved`: (app, release) → its platform file, of every release that
    an app's routes, launches or instances name. `private_addresses`: (app, group) → address of its private name.
    `maintenance`: of its apps, or of all of it."""
    place = environment.place
    live = [each for each in instances if each.state is not State.TERMINATED]
    routes: list[Forward] = []
    backends: dict[str, Backend] = {}
    frontends: list[Frontend] = []
    routed_by: dict[str, Resolved] = {}
    for app, record in sorted(apps.items()):
        wanted = {record.routes, record.launch} | {each.release for each in live if each.app == app}
        known = [
            resolved[app, number] for number in sorted(n for n in wanted if n is not None) if (app, number) in resolved
        ]
        routed = None
        if record.routes is not None and not record.leaving:
            routed = resolved.get((app, record.routes))
        if routed is not None:
            routed_by[app] = routed
        host = first_host(routed or (known[-1] if known else None), environment.listen)
        for name in sorted({group.name for each in known for group in each.groups if group.balanced}):
            versions = [group for each in known if (group := each.group(name)) is not None and group.balanced]
            targets = [each for each in live if each.app == app and each.group == name and each.port]
            share = next((each for each in record.shares if each.group == name), None)
            servers = with_spares(map(server, targets) if share is None else weighted(targets, share))
            backends[backend_name(place.id, app, name)] = Backend(
                name=backend_name(place.id, app, name),
                servers=servers,
                health=common_health(versions),
                host=host,
                proto="https" if place.tls else "http",
                drain=max(group.drain for group in versions),
                fail_open=name in record.fail_open,
                by_weight=share is not None,
            )
            if (app, name) in private_addresses:
                listen = f"{private_addresses[app, name]}:{PRIVATE_PORT}"
                frontends.append(private_frontend(place.id, app, name, listen))
        for route in routed.routes if routed else ():
            if route.upstream:
                upstream = upstream_backend(place.id, route.to)
                backends[upstream.name] = upstream
                target = upstream.name
            else:
                target = backend_name(place.id, app, route.to)
            routes.append(Forward(backend=target, host=route.host, path=route.path, strip_prefix=route.strip_prefix))
    if all(record.routes is None for record in apps.values()):
        routes.append(Forward(backend=UNRELEASED))
    public = Frontend(name=public_name(place.id), listen=environment.listen, routes=tuple(routes), tls=place.tls)
    public = replace(public, redirect_from=place.redirect, closed=closed(maintenance, place.id, routed_by))
    return [public, *frontends], list(backends.values())


def server(instance: Instance) -> Server:
    """The balancer's server of an instance's present generation."""
    state: ServerState = "maint"
    if instance.target is Target.READY:
        state = "ready"
    elif instance.target is Target.DRAINING:
        state = "drain"
    assert instance.port is not None
    return Server(name=server_name(instance), address=instance.address, port=instance.port, state=state)


def weighted(targets: Iterable[Instance], share: Share) -> Iterator[Server]:
    """The servers of a group's instances, with weights by which the ready ones of the share's release get it."""
    found = list(targets)
    ready = [each.release == share.release for each in found if each.target is Target.READY]
    new, old = weights(share.percent, ready.count(True), ready.count(False))
    for each in found:
        yield replace(server(each), weight=new if each.release == share.release else old)


def with_spares(servers: Iterable[Server]) -> tuple[Server, ...]:
    """One that drains while others serve is their spare: should all of those die at once, it is there before anybody
    has decided anything. Not where none serves, or what is to end would never be done."""
    found = tuple(servers)
    if not any(each.state == "ready" for each in found):
        return found
    return (*found, *(spare_of(each) for each in found if each.state == "drain"))


def server_name(instance: Instance) -> str:
    return f"{instance.id}.{instance.generation}"


def common_health(versions: list[Group]) -> Health:
    """One check that instances of all releases in the group can pass: where they differ, that they accept connections;
    the engine's own probe asks each what its release says."""
    first = versions[-1].health
    if all(group.health.path == first.path for group in versions):
        return first
    return Health(path=None, interval=first.interval, timeout=first.timeout, grace=first.grace, settle=first.settle)


def private_names(environment: str, addresses: Mapping[tuple[str, str], str]) -> list[str]:
    """Lines of a hosts file. `addresses`: by (app, group). The short name only where one app has such a group."""
    groups = [group for _, group in addresses]
    lines = []
    for (app, group), address in addresses.items():
        short = f" {group}.{environment}.internal" if groups.count(group) == 1 else ""
        lines.append(f"{address} {group}.{app}.{environment}.internal{short}")
    return lines


class Traffic:
    """Keeps the balancer, and the private names in the sandboxes' hosts files, equal to the records. Called under the
    engine's lock."""

    def __init__(self, home: Home, records: Records, addresses: Addresses, balancer: HaproxyBalancer) -> None:
        self.home = home
        self.records = records
        self.addresses = addresses
        self.balancer = balancer
        self._synced: Balancer | None = None
        self._blocked: frozenset[str] = frozenset()
        self._held = self._due = False
        self._cut: list[tuple[str, str]] = []
        """(backend, server) whose requests are to be ended once the balancer sends it no more."""

    def hold(self) -> None:
        """Changes that can wait a moment do so, until `let_go`."""
        self._held = True

    def let_go(self) -> None:
        """As `sync`, for all that has waited."""
        self._held = False
        if self._due:
            self.sync()

    def cut(self, environment: str, seen: Instance) -> None:
        """With the next change, which is to drain it, what it still has in flight is ended; GET, HEAD and OPTIONS go to
        another."""
        self._cut.append((backend_name(environment, seen.app, seen.group), server_name(seen)))

    def sync_soon(self) -> None:
        """As `sync`; with other changes, where they are held."""
        if self._held:
            self._due = True
        else:
            self.sync()

    def sync(self, opened: EnvironmentRecord | None = None, *, again: bool = False) -> None:
        """The balancer equals the records, and `opened` beside them. `again`: look even where the records say the same
        as last time. One environment's address that somebody else has taken keeps no other from being served: it is
        logged, and tried again at each call. Raises `Invalid`, and `Conflict` where the address is that of `opened`
        (then nothing was changed), `Unavailable`."""
        self._due = False
        environments = self.records.environments()
        if opened is not None:
            environments[opened.place.id] = opened
        frontends: list[Frontend] = []
        backends: list[Backend] = []
        for id_, kept in environments.items():
            one, other = environment_traffic(
                kept,
                self.records.apps(id_),
                self._resolved(id_),
                [each.seen for each in self.records.instances(id_).values()],
                self._private_addresses(id_),
                self.records.asked(id_).maintenance,
            )
            frontends += one
            backends += other
        wanted = Balancer(frontends=tuple(frontends), backends=tuple(backends))
        if again or wanted != self._synced:
            self._synced = None
            blocked = self.balancer.blocked(wanted)
            if opened is not None and (error := blocked.get(public_name(opened.place.id))) is not None:
                raise error
            self.balancer.sync(replace(wanted, frontends=tuple(each for each in frontends if each.name not in blocked)))
            self._synced = None if blocked else wanted
            self._complain(blocked)
        if self._cut:
            cut, self._cut = self._cut, []
            self.balancer.end_requests(cut)

    def _complain(self, blocked: Mapping[str, HomeportError]) -> None:
        """Of each once."""
        for name, error in blocked.items():
            if name not in self._blocked:
                log.warning("%s: tried again", error.message)
        self._blocked = frozenset(blocked)

    def in_flight(self) -> dict[tuple[str, str], int] | None:
        """(backend, server) → requests and connections; None: not known."""
        try:
            return self.balancer.in_flight()
        except HomeportError:
            return None

    def hosts(self, environment: str) -> Path:
        """The hosts file of all sandboxes of the environment."""
        return self.home.instances / environment / "hosts"

    def write_hosts(self, environment: str) -> None:
        name = self.records.environment(environment).place.name
        lines = ["127.0.0.1 localhost", *private_names(name, self._private_addresses(environment))]
        write_in_place(self.hosts(environment), "\n".join(lines) + "\n")

    def _resolved(self, environment: str) -> dict[tuple[str, int], Resolved]:
        kept = self.records.releases(environment)
        return {(each.release.app, each.release.number): each.release.resolved for each in kept.values()}

    def _private_addresses(self, environment: str) -> dict[tuple[str, str], str]:
        balanced = {
            (app, group.name)
            for (app, _), resolved in self._resolved(environment).items()
            for group in resolved.groups
            if group.balanced
        }
        return {
            (app, group): self.addresses.balancer(f"{environment}/{app}/{group}") for app, group in sorted(balanced)
        }


@effect("traffic.write_hosts")
def write_in_place(path: Path, text: str) -> None:
    """Written over, not replaced: sandboxes have this very file as their /etc/hosts."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("r+" if path.exists() else "w") as file:
        file.write(text)
        file.truncate()
    path.chmod(0o644)
