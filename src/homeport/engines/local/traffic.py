"""From the engine's records to what the balancer shall be. Pure. Called by `engines.local.engine`."""

from collections.abc import Iterable, Mapping

from homeport.engines.local.record import AppRecord, EnvironmentRecord
from homeport.model.fleet import Instance, State, Target
from homeport.model.platform import Group, Health, Resolved
from homeport.plan.balancer import (
    Backend,
    Forward,
    Frontend,
    Server,
    ServerState,
    backend_name,
    private_frontend,
    public_name,
    upstream_backend,
)

PRIVATE_PORT = 8080


def environment_traffic(
    environment: EnvironmentRecord,
    apps: Mapping[str, AppRecord],
    resolved: Mapping[tuple[str, int], Resolved],
    instances: Iterable[Instance],
    private_addresses: Mapping[tuple[str, str], str],
) -> tuple[list[Frontend], list[Backend]]:
    """Frontends and backends of one environment. `resolved`: (app, release) → its platform file, of every release that
    an app's routes, launches or instances name. `private_addresses`: (app, group) → address of its private name."""
    place = environment.place
    live = [each for each in instances if each.state is not State.TERMINATED]
    routes: list[Forward] = []
    backends: dict[str, Backend] = {}
    frontends: list[Frontend] = []
    for app, record in sorted(apps.items()):
        wanted = {record.routes, record.launch} | {each.release for each in live if each.app == app}
        known = [
            resolved[app, number] for number in sorted(n for n in wanted if n is not None) if (app, number) in resolved
        ]
        routed = resolved.get((app, record.routes)) if record.routes is not None else None
        host = first_host(routed or (known[-1] if known else None), environment.listen)
        for name in sorted({group.name for each in known for group in each.groups if group.balanced}):
            versions = [group for each in known if (group := each.group(name)) is not None and group.balanced]
            servers = tuple(server(each) for each in live if each.app == app and each.group == name and each.port)
            backends[backend_name(place.id, app, name)] = Backend(
                name=backend_name(place.id, app, name),
                servers=servers,
                health=common_health(versions),
                host=host,
                proto="https" if place.tls else "http",
                drain=max(group.drain for group in versions),
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
    public = Frontend(name=public_name(place.id), listen=environment.listen, routes=tuple(routes), tls=place.tls)
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


def server_name(instance: Instance) -> str:
    return f"{instance.id}.{instance.generation}"


def first_host(resolved: Resolved | None, listen: str) -> str:
    """The Host that clients of the first route send, without a port."""
    for route in resolved.routes if resolved else ():
        if route.host is not None:
            return route.host
    return listen.rpartition(":")[0]


def common_health(versions: list[Group]) -> Health:
    """One check that instances of all releases in the group can pass: where they differ, that they accept connections;
    the engine's own probe asks each what its release says."""
    first = versions[-1].health
    if all(group.health.path == first.path for group in versions):
        return first
    return Health(path=None, interval=first.interval, timeout=first.timeout, grace=first.grace, settle=first.settle)
