"""HAProxy's files as text, made from a `Balancer`. Pure: the same desired state gives the same bytes.

Called by `engines.local.balancer`, which writes them. Two kinds of lines: *servers and routes*, which change over the
runtime API, and all the rest, whose hash (the fingerprint) the running HAProxy tells as its description: if that
differs, a reload is needed. The text always says the current servers with `disabled` or `weight 0`, because a
(re)started HAProxy knows nothing else.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from homeport.errors import Bug
from homeport.plan.balancer import (
    MAX_STRIP_DEPTH,
    UNRELEASED,
    WEIGHT,
    Backend,
    Balancer,
    Closed,
    Forward,
    Frontend,
    Server,
    check,
    depth,
    normal_path,
    split_upstream,
)
from homeport.plan.balancer_pages import PAGES, UNRELEASED_PAGE

CONFIG = "haproxy.cfg"
ROUTES = "haproxy/routes.map"
STATE = "haproxy/servers.state"
SOCKET = "haproxy.sock"
SPARE = " backup"
OLD_WORKER_LIFE = timedelta(hours=1)
"""How long a WebSocket may go on in a worker that a reload has replaced, unless a group drains for longer."""


class Setting(Struct, frozen=True, kw_only=True):
    """What the text needs to know about the machine. `directory` holds all files, absolute. `certificates`: frontend
    name → PEM file with chain and key. `user`, `group`, `chroot`: None where HAProxy isn't started by root.
    `resolver`: whether the machine has a name server to ask."""

    directory: str
    maxconn: int = 4000
    threads: int = 2
    user: str | None = None
    group: str | None = None
    chroot: str | None = None
    resolver: bool = True
    certificates: dict[str, str] = {}


class Files(Struct, frozen=True, kw_only=True):
    """`texts`: path relative to the directory → content. `fingerprint`: of all that a runtime command can't change."""

    texts: dict[str, str]
    fingerprint: str


def render(desired: Balancer, setting: Setting) -> Files:
    """All files. Raises `Invalid` where `desired` can't be (`plan.balancer.check`)."""
    check(desired)
    backends = sorted(desired.backends, key=lambda each: each.name)
    lines: list[str] = [*_global(desired, setting), *_defaults(setting)]
    for frontend in sorted(desired.frontends, key=lambda each: each.name):
        lines += _frontend(frontend, setting)
    for backend in backends:
        lines += _backend(backend, setting)
    lines += _unreleased(setting)
    own = {f"closed.{each.name}": each.page for frontend in desired.frontends for each in frontend.closed}
    pages = {f"haproxy/{name}.html": text for name, text in {**PAGES, UNRELEASED: UNRELEASED_PAGE, **own}.items()}
    fixed = "\n".join([*lines, *pages.values()])
    fingerprint = hashlib.sha256(fixed.encode()).hexdigest()[:16]
    servers = {
        backend.name: [_server(each) for each in sorted(backend.servers, key=lambda each: each.name)]
        for backend in backends
    }
    text: list[str] = []
    for line in lines:
        text.append(line.replace(FINGERPRINT, fingerprint))
        if line.startswith("    # servers of "):
            text += servers[line.removeprefix("    # servers of ")]
    table = "".join(f"{key} {value}\n" for key, value in routes(desired))
    return Files(texts={**pages, ROUTES: table, CONFIG: "\n".join(text) + "\n"}, fingerprint=fingerprint)


FINGERPRINT = "FINGERPRINT"


def routes(desired: Balancer) -> tuple[tuple[str, str], ...]:
    """The route table as map entries, sorted: `<frontend>|<host or *><path>/` → `<backend>|<segments to take off>`.
    HAProxy takes the longest key that the request's begins with."""
    return tuple(
        sorted({_entry(frontend, route) for frontend in desired.frontends for route in frontend.routes}, key=str)
    )


def _entry(frontend: Frontend, route: Forward) -> tuple[str, str]:
    host = route.host.lower() if route.host else "*"
    taken = depth(route.path) if route.strip_prefix else 0
    return f"{frontend.name}|{host}{normal_path(route.path)}", f"{route.backend}|{taken}"


def server_options(backend: Backend) -> str:
    """What every server of the backend is given, in the text (`default-server`) and by `add server`, which inherits
    nothing. A connection that fails counts as a failed check, so that a dead server is out after two; its supervisor
    needs a tenth of a second, so it is asked again soon."""
    every = _ms(backend.health.interval)
    fast = max(100, every // 4)
    return (
        f"check inter {every}ms fastinter {fast}ms downinter {min(fast, 1000)}ms fall 2 rise 1 weight {WEIGHT}"
        " observe layer4 error-limit 1 on-error fail-check pool-purge-delay 1s"
    )


def _server(server: Server) -> str:
    match server.state:
        case "ready":
            state = "" if server.weight == WEIGHT else f" weight {server.weight}"
        case "drain":
            state = " weight 0"
        case "maint":
            state = " disabled"
        case _:
            raise Bug(f"server {server.name} has the state {server.state!r}")
    return f"    server {server.name} {server.address}:{server.port}{SPARE if server.spare else ''}{state}"


def _global(desired: Balancer, setting: Setting) -> list[str]:
    life = max([OLD_WORKER_LIFE, *(each.drain for each in desired.backends)])
    lines = [
        "# Written by Homeport at every change of routes and servers: what you change here is lost.",
        "global",
        f"    description homeport {FINGERPRINT}",
        "    log stdout len 4096 format raw local0 info",
        f"    stats socket {setting.directory}/{SOCKET} mode 600 level admin expose-fd listeners",
        f"    server-state-file {setting.directory}/{STATE}",
        f"    maxconn {setting.maxconn}",
        f"    nbthread {setting.threads}",
        f"    hard-stop-after {_ms(life)}ms",
        "    mworker-max-reloads 20",
        "    ssl-default-bind-options ssl-min-ver TLSv1.2",
    ]
    for word, value in (("user", setting.user), ("group", setting.group), ("chroot", setting.chroot)):
        if value is not None:
            lines.append(f"    {word} {value}")
    if setting.resolver and any(each.upstream is not None for each in desired.backends):
        # The last address that was known stays in use while names can't be resolved.
        lines += ["", "resolvers system", "    parse-resolv-conf", "    accepted_payload_size 1232"]
        lines += [f"    hold {why} 20d" for why in ("nx", "obsolete", "other", "refused", "timeout")]
    return lines


def _defaults(setting: Setting) -> list[str]:
    routes_map = f"{setting.directory}/{ROUTES}"
    pages = [f"    http-error {_answer(status, status, setting)}" for status in PAGES]
    strip = [
        f"    http-request set-path /%[path,field({taken + 2},/,0)] if {{ var(txn.route),field(2,|) {taken} }}"
        for taken in range(1, MAX_STRIP_DEPTH + 1)
    ]
    return [
        "",
        "defaults common",
        "    mode http",
        "    log global",
        "    option dontlognull",
        "    timeout http-request 30s",
        "    timeout http-keep-alive 10s",
        "    timeout client 60s",
        "    timeout client-fin 30s",
        "    timeout connect 5s",
        "    timeout queue 30s",
        "    timeout server 60s",
        "    timeout tunnel 1h",
        *pages,
        "",
        "defaults front from common",
        # Without it a reload closes idle connections on which a request may just be coming.
        "    option idle-close-on-response",
        "    option forwardfor",
        f"    log-format '{ACCESS_LOG}'",
        "    http-request set-var(txn.host) req.hdr(host),host_only,lower",
        "    http-request set-var(txn.path) path",
        "    http-request set-header X-Request-ID %[uuid()]"
        " unless { req.hdr(x-request-id) -m reg ^[A-Za-z0-9._=+/-]{8,128}$ }",
        "    http-request set-var(txn.id) req.hdr(x-request-id)",
        # A proxy on this machine may say how its client came; nobody else may.
        "    acl proxied src 127.0.0.0/8 ::1",
        "    acl says_proto req.hdr(x-forwarded-proto) -m str http https",
        "    http-request set-header X-Forwarded-Port %[dst_port] unless proxied says_proto",
        "    http-request set-header X-Forwarded-Host %[req.hdr(host)]"
        " if { req.hdr(host) -m found } !proxied or { req.hdr(host) -m found } !says_proto",
        # The last of them, for it is what the others ask about.
        "    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)] unless proxied says_proto",
        f"    http-request set-var(txn.route) fe_name,concat(|,txn.host),concat(,txn.path,/),map_beg({routes_map})",
        f"    http-request set-var(txn.route) fe_name,concat(|*,txn.path,/),map_beg({routes_map})"
        " unless { var(txn.route) -m found }",
        "    http-request return status 404 default-errorfiles unless { var(txn.route) -m found }",
        *strip,
        "    http-after-response set-header X-Request-ID %[var(txn.id)] if { var(txn.id) -m found }",
        "",
        "defaults back from common",
        "    balance leastconn",
        "    load-server-state-from-file global",
        "    option redispatch 1",
        "    option allbackups",
        # Those with the fewest connections are tried first, and so the dead: enough for three of them, each of which is
        # out after two, and one that dies of being asked.
        "    retries 7",
        # What reached no server may go to another; what may have been carried out is repeated only where that is safe.
        "    retry-on conn-failure empty-response",
        "    http-request disable-l7-retry unless { method GET HEAD OPTIONS }",
        "    http-request set-timeout server 1h if { req.hdr(accept) -m sub text/event-stream }",
    ]


def _answer(status: str, page: str, setting: Setting, again_seconds: int = 5) -> str:
    """What an `http-error` or `http-request return` says to answer with a page."""
    again = f" hdr Retry-After {again_seconds}" if status == "503" else ""
    return (
        f'status {status} content-type "text/html; charset=utf-8"'
        f" file {setting.directory}/haproxy/{page}.html hdr Cache-Control no-store{again}"
    )


def _unreleased(setting: Setting) -> list[str]:
    answer = _answer("503", UNRELEASED, setting)
    return ["", f"backend {UNRELEASED} from back", f"    http-request return {answer}"]


ACCESS_LOG = (
    '{"frontend":"%f","backend":"%b","server":"%s","client":"%ci","method":"%HM",'
    '"host":"%[var(txn.host),json(utf8s)]","path":"%[var(txn.path),bytes(0,1024),json(utf8s)]","status":%ST,'
    '"bytes":%B,"request_id":"%[var(txn.id)]","wait_ms":%Tw,"connect_ms":%Tc,"response_ms":%Tr,"total_ms":%Ta,'
    '"retries":"%rc","end":"%ts"}'
)
"""Without the query: it may hold tokens."""


def _frontend(frontend: Frontend, setting: Setting) -> list[str]:
    bind = f"    bind {frontend.listen}"
    if frontend.tls is not None:
        bind += f" ssl crt {setting.certificates[frontend.name]} alpn h2,http/1.1"
    lines = ["", f"frontend {frontend.name} from front", bind]
    lines += _closed(frontend.closed, setting)
    lines.append("    use_backend %[var(txn.route),field(1,|)]")
    if frontend.redirect_from is not None:
        port = frontend.listen.rpartition(":")[2]
        suffix = "" if port == "443" else f":{port}"
        lines += [
            "",
            f"frontend r{frontend.name[1:]} from common",
            "    no log",
            f"    bind {frontend.redirect_from}",
            "    http-request return status 400 unless { req.hdr(host) -m found }",
            f"    http-request redirect code 308 location https://%[req.hdr(host),host_only]{suffix}%[pathq]",
        ]
    return lines


def _closed(closed: Sequence[Closed], setting: Setting) -> list[str]:
    """After the rules of `front`: the route is known."""
    if not closed:
        return []
    lines = [
        "    http-request set-var(txn.client) src",
        # a proxy on this machine says whom it speaks for; nobody else may
        "    http-request set-var(txn.client) req.hdr_ip(x-forwarded-for,-1)"
        " if { src 127.0.0.0/8 ::1 } { req.hdr(x-forwarded-for) -m found }",
    ]
    for each in sorted(closed, key=lambda each: each.name):
        answer = _answer("503", f"closed.{each.name}", setting, max(1, round(each.retry_after.total_seconds())))
        conditions = []
        if each.backends:
            conditions.append(f"{{ var(txn.route),field(1,|) -m str {' '.join(each.backends)} }}")
        if each.allow:
            conditions.append(f"!{{ var(txn.client) -m ip {' '.join(each.allow)} }}")
        if each.open_paths:
            paths = " ".join(f"'{path}'" for path in each.open_paths)
            conditions.append(f"!{{ var(txn.path) -m str {paths} }}")
        lines.append(f"    http-request return {answer}{' if ' if conditions else ''}{' '.join(conditions)}")
    return lines


def _backend(backend: Backend, setting: Setting) -> list[str]:
    lines = ["", f"backend {backend.name} from back"]
    if backend.upstream is not None:
        return lines + _upstream(backend.upstream, setting)
    if backend.health.path is not None:
        lines += [
            "    option httpchk",
            f"    http-check send meth GET uri '{backend.health.path}' ver HTTP/1.1"
            f" hdr Host {backend.host} hdr X-Forwarded-Proto {backend.proto} hdr User-Agent Homeport",
            "    http-check expect status 200-299",
        ]
    if backend.by_weight:
        # of few requests leastconn gives all to the heaviest
        lines.append("    balance roundrobin")
    return [
        *lines,
        f"    timeout check {_ms(backend.health.timeout)}ms",
        f"    default-server {server_options(backend)}",
        f"    # servers of {backend.name}",
    ]


def _upstream(url: str, setting: Setting) -> list[str]:
    scheme, host, port, path = split_upstream(url)
    usual = 443 if scheme == "https" else 80
    server = f"    server upstream {host}:{port} init-addr libc,none"
    if scheme == "https":
        server += f" ssl verify required ca-file @system-ca sni str({host}) alpn http/1.1"
    if setting.resolver and "." in host and not host.replace(".", "").isdigit():
        server += " resolvers system"
    lines = ["    retries 3"]  # there is no other to go to: each waits a second
    lines.append(f"    http-request set-header Host {host}{'' if port == usual else f':{port}'}")
    if path:
        lines.append(f"    http-request set-path {path.replace('%', '%%')}%[path]")
    return [*lines, server]


def _ms(duration: timedelta) -> int:
    return max(1, round(duration.total_seconds() * 1000))
