"""What brings a running HAProxy to the desired state: runtime commands where they can, a reload where they can't.

Pure. `engines.local.balancer` reads `Running` over the runtime API, carries the `Change` out and asks again until
nothing is left.
"""

from msgspec import Struct

from homeport.plan.balancer import WEIGHT, Backend, Balancer, Server, ServerId, ServerState, spare_name
from homeport.plan.balancer_text import SPARE, routes, server_options


class RunningServer(Struct, frozen=True, kw_only=True):
    """A server as a worker has it. `checked`: its health checks are on. `up`: None before a check has told; where
    they are off, False or None."""

    address: str
    port: int
    state: ServerState
    checked: bool = True
    up: bool | None = None
    weight: int = WEIGHT


class Running(Struct, frozen=True, kw_only=True):
    """A worker's state: backend name → server name → server; map entries as a set of (key, value)."""

    fingerprint: str
    backends: dict[str, dict[str, RunningServer]]
    routes: frozenset[tuple[str, str]]


class Change(Struct, frozen=True, kw_only=True):
    """In this order, so that no request finds a route without servers: `first` (commands: new servers, servers that
    become ready), `routes` (the whole new table; None: leave it), `then` (commands: drain, maintenance), `removed`
    (servers to end the connections of, and delete), `reload`."""

    first: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] | None = None
    then: tuple[str, ...] = ()
    removed: tuple[ServerId, ...] = ()
    reload: bool = False

    def __bool__(self) -> bool:
        return bool(self.first or self.routes is not None or self.then or self.removed or self.reload)


def difference(desired: Balancer, fingerprint: str, running: Running) -> Change:
    """The change from `running` to `desired`, whose text has `fingerprint`; false when there is nothing to do.
    With `reload`, the commands still make the worker that will be replaced right for the connections it keeps. A spare
    server that isn't wanted any more keeps the requests that it has, and then goes together with its target."""
    first: list[str] = []
    then: list[str] = []
    removed: list[ServerId] = []
    for backend in sorted(desired.backends, key=lambda each: each.name):
        if backend.name not in running.backends or backend.upstream is not None:
            continue
        present = running.backends[backend.name]
        wanted = {each.name: each for each in backend.servers}
        for name in sorted(wanted):
            now = present.get(name)
            if now is not None and (now.address, now.port) != (wanted[name].address, wanted[name].port):
                removed.append((backend.name, name))  # and added by the next change
            elif wanted[name].state == "ready":
                first += _server(backend, wanted[name], now)
            else:
                then += _server(backend, wanted[name], now)
        retired = {spare_name(name) for name in wanted} & set(present) - set(wanted)
        for name in sorted(each for each in retired if present[each].state != "maint"):
            # HAProxy refuses the second where the server has requests
            then += [f"set server {backend.name}/{name} state maint", f"del server {backend.name}/{name}"]
        removed += [(backend.name, name) for name in sorted(present) if name not in wanted and name not in retired]
    table = routes(desired)
    return Change(
        first=tuple(first),
        routes=None if frozenset(table) == running.routes else table,
        then=tuple(then),
        removed=tuple(removed),
        reload=running.fingerprint != fingerprint,
    )


def _server(backend: Backend, server: Server, now: RunningServer | None) -> list[str]:
    target = f"{backend.name}/{server.name}"
    commands = []
    if now is None:
        spare = SPARE if server.spare else ""
        commands.append(f"add server {target} {server.address}:{server.port} {server_options(backend)}{spare}")
    if backend.fail_open:
        # what its last check said would hold on
        open_now = now is None or (not now.checked and now.up is not False)
        commands += [] if open_now else [f"disable health {target}", f"set server {target} health up"]
    elif now is None or not now.checked:
        commands.append(f"enable health {target}")
    # Without a state yet (just added) a server is in maintenance.
    if (now.state if now is not None else "maint") != server.state:
        if server.state == "ready":
            commands.append(f"set server {target} weight {server.weight}")  # 0 where it came drained out of the text
        commands.append(f"set server {target} state {server.state}")
    elif server.state == "ready" and now is not None and now.weight != server.weight:
        commands.append(f"set server {target} weight {server.weight}")
    return commands
