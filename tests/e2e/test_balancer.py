"""The balancer with its real parts: HAProxy under runit, targets of their own, traffic while it changes."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import structs

from homeport.errors import Conflict, Invalid
from homeport.model.platform import Tls
from homeport.plan.balancer import Backend, Closed, Forward, Server, private_frontend, spare_of, upstream_backend
from homeport.system import process
from homeport.system.effect import SITES
from tests.certificates import certificate
from tests.e2e.balanced import BACKEND, ENVIRONMENT, Load, Proxy, echoes, free_port, get, until, websocket


@pytest.fixture(scope="module")
def only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    made = Proxy(tmp_path_factory.mktemp("b"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def proxy(only: Proxy) -> Proxy:
    """One HAProxy for all tests, balancing nothing at first."""
    only.reset()
    return only


@pytest.fixture
def serving(only: Proxy) -> Proxy:
    """Three targets, all up."""
    only.reset("web-1", "web-2", "web-3")
    return only


def test_a_request_goes_where_the_longest_prefix_of_the_exact_host_says(proxy: Proxy) -> None:
    names = ("any", "any_blog", "host", "host_blog_api")
    backends = tuple(Backend(name=name, servers=(proxy.target(name).server(),)) for name in names)
    upstream = upstream_backend(ENVIRONMENT, f"http://127.0.0.1:{proxy.targets[0].port}/base")
    routes = (
        Forward(backend="any"),
        Forward(backend="any_blog", path="/blog", strip_prefix=True),
        Forward(backend="host", host="www.Example.com"),
        Forward(backend="host_blog_api", host="www.example.com", path="/blog/api/", strip_prefix=True),
        Forward(backend=upstream.name, path="/out", strip_prefix=True),
        Forward(backend="any", host="only.example.com", path="/here"),
    )
    proxy.sync(proxy.want(routes=routes, more=(*backends, upstream)))
    for host, path, name, target in (
        ("x", "/", "any", "/"),
        ("x", "/blogger", "any", "/blogger"),
        ("x", "/blog", "any_blog", "/"),
        ("x", "/blog?a=/b/c", "any_blog", "/?a=/b/c"),
        ("x", "/blog/", "any_blog", "/"),
        ("x", "/blog/a//b/?q", "any_blog", "/a//b/?q"),
        ("x", "/Blog", "any", "/Blog"),
        ("WWW.example.com:8080", "/blog", "host", "/blog"),
        ("www.example.com", "/blog/api/v1", "host_blog_api", "/v1"),
        ("www.example.com", "/blog/apis", "host", "/blog/apis"),
        ("www.example.com.evil", "/", "any", "/"),
        ("[::1]:80", "/blog/x", "any_blog", "/x"),
        ("x", "/out/a?b", "any", "/base/a?b"),
        ("only.example.com", "/here/x", "any", "/here/x"),
        ("only.example.com", "/blog/x", "any_blog", "/x"),
    ):
        seen = json.loads(proxy.get(path, host=host).body)
        assert (seen["name"], seen["target"]) == (name, target), (host, path)
    assert json.loads(proxy.get("/out").body)["headers"]["host"] == f"127.0.0.1:{proxy.targets[0].port}"


def test_an_app_is_told_how_its_client_came(serving: Proxy) -> None:
    seen = serving.get("/a", host="www.example.com").seen()
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == "www.example.com"
    assert seen["x-forwarded-port"] == str(serving.port)
    # A proxy on this machine is believed, an impossible protocol isn't.
    seen = serving.get("/a", x_forwarded_proto="https", x_forwarded_for="9.9.9.9", x_forwarded_host="front").seen()
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("https", "front")
    assert serving.get("/a", x_forwarded_proto="gopher").seen()["x-forwarded-proto"] == "http"


def test_a_request_has_an_id_in_the_app_the_answer_and_the_log(serving: Proxy) -> None:
    sane = serving.get("/a?token=secret", x_request_id="0123-abcd")
    assert sane.seen()["x-request-id"] == sane.headers["x-request-id"] == "0123-abcd"
    odd = serving.get("/a", x_request_id='"; drop')
    assert odd.seen()["x-request-id"] == odd.headers["x-request-id"] != '"; drop'
    assert len(odd.headers["x-request-id"]) == 36
    log = serving.home.engine_logs / "haproxy" / "current"
    until(lambda: odd.headers["x-request-id"] in log.read_text(), "the access log")
    lines = [line.partition(" ")[2] for line in log.read_text().splitlines()]
    entry = next(json.loads(line) for line in lines if "0123-abcd" in line)
    assert (entry["backend"], entry["status"], entry["path"], entry["method"]) == (BACKEND, 200, "/a", "GET")
    assert entry["server"].startswith("web-")
    assert entry["total_ms"] >= 0
    assert "secret" not in log.read_text()


def test_what_is_closed_is_closed_for_those_whom_it_names(proxy: Proxy) -> None:
    shop, blog = (Backend(name=name, servers=(proxy.target(name).server(),)) for name in ("shop", "blog"))
    routes = (Forward(backend="shop"), Forward(backend="blog", path="/blog", strip_prefix=True))
    desired = proxy.want(routes=routes, more=(shop, blog))
    closed = (
        Closed(name="b", backends=("blog",), page="<p>blog", allow=("192.0.2.0/24",), open_paths=("/blog/up",)),
        Closed(name="s", backends=("shop",), page="<p>shop", allow=("2001:db8::/32", "198.51.100.7/32")),
    )
    (frontend,) = desired.frontends
    proxy.sync(structs.replace(desired, frontends=(structs.replace(frontend, closed=closed),)))
    for path, client, body in (
        ("/blog/x", "", "<p>blog"),
        ("/blog", "198.51.100.7", "<p>blog"),
        ("/blog/up?deep=1", "", ""),
        ("/blog/x", "192.0.2.9", ""),
        ("/blog/x", "192.0.2.9, 203.0.113.1", "<p>blog"),
        ("/blogger", "", "<p>shop"),
        ("/blogger", "2001:db8::1", ""),
        ("/", "198.51.100.7", ""),
    ):
        answer = proxy.get(path, **({"x_forwarded_for": client} if client else {}))
        assert (answer.status, answer.body.decode() if body else "") == (503 if body else 200, body), (path, client)
    proxy.sync(desired)
    assert (proxy.get("/blog/x").status, proxy.get("/").status) == (200, 200)


def test_pages_say_what_the_matter_is_and_nothing_about_what_is_inside(proxy: Proxy) -> None:
    down = Server(name="web-9.1", address="127.0.0.1", port=free_port(), state="maint")
    proxy.sync(proxy.want(down, routes=(Forward(backend=BACKEND, path="/app"),)))
    unavailable, missing = proxy.get("/app/x"), proxy.get("/elsewhere")
    assert (unavailable.status, missing.status) == (503, 404)
    assert unavailable.headers["retry-after"] == "5"
    for each in (unavailable, missing):
        assert each.headers["content-type"].startswith("text/html")
        assert each.headers["cache-control"] == "no-store"
        text = each.body.decode().lower()
        assert "<h1>" in text
        assert not [word for word in ("haproxy", "web-9", "homeport", "127.0.0.1", "backend") if word in text]


def test_no_request_is_lost_while_servers_routes_and_frontends_change(serving: Proxy) -> None:
    one, two, three = (each.server() for each in serving.targets)
    with Load(serving.port) as load:
        four = serving.target("web-4")
        serving.sync(serving.want(one, two, three, four.server()))
        load.more(50)
        serving.sync(serving.want(structs.replace(one, state="drain"), two, three, four.server()))
        load.more(50)
        until(lambda: serving.balancer.in_flight()[(BACKEND, one.name)] == 0, "drained")
        before = serving.targets[0].hits()
        load.more(50)
        assert serving.targets[0].hits() == before, "a drained server got a request"
        serving.sync(serving.want(two, three, four.server()))
        serving.targets[0].kill()
        load.more(50)
        serving.reload()
        load.more(100)
        with_route = (Forward(backend=BACKEND), Forward(backend=BACKEND, host="x", path="/"))
        serving.sync(serving.want(two, three, four.server(), routes=with_route))  # and the extra frontend goes: reload
        load.more(50)
        serving.sync(serving.want(two, three, four.server()))  # only the map
        assert serving.equal()
        load.more(50)
        serving.sync(serving.want(two, four.server()))
        load.more(50)
    assert load.failures == []
    assert serving.equal()
    assert sum(serving.targets[3].hits().values()) > 50


def test_a_killed_target_costs_no_get(serving: Proxy) -> None:
    with Load(serving.port) as load:
        load.more(50)
        serving.targets[1].kill()
        load.more(300)
    assert load.failures == []
    until(lambda: serving.checks()["web-2.1"] is False, "the dead one is known to be down")


def test_several_killed_at_once_cost_no_get_while_others_are_busy(only: Proxy) -> None:
    """The dead are those with the fewest connections: a request is led from one of them to the next."""
    only.reset(*(f"web-{number}" for number in range(1, 7)))
    with ThreadPoolExecutor(6) as pool:
        busy = [pool.submit(only.get, "/wait?1") for _ in only.targets]
        until(lambda: all(count == 1 for count in only.balancer.in_flight().values()), "each has something to do")
        for each in only.targets[:3]:
            each.kill()
        assert [only.get().status for _ in range(20)] == [200] * 20
        assert [each.result().status for each in busy] == [200] * 6


def test_when_all_die_at_once_what_was_drained_serves(serving: Proxy) -> None:
    first, second, drained = serving.targets
    servers = (first.server(), second.server(), drained.server("drain"))
    serving.sync(serving.want(*servers, spare_of(drained.server())))
    before = drained.hits().get("GET /", 0)
    with Load(serving.port) as load:
        load.more(50)
        assert drained.hits().get("GET /", 0) == before, "a spare server serves while others are up"
        first.kill()
        second.kill()
        load.more(200)
        # whoever drains no longer has what it was doing cut
        serving.sync(serving.want(drained.server()))
        assert serving.equal()
    assert len(load.failures) < 10, load.failures
    assert drained.hits()["GET /"] > before + 150


def test_targets_that_are_all_unhealthy_get_requests_while_the_group_is_open(serving: Proxy) -> None:
    for each in serving.targets:
        get(each.port, "/health?500")
    until(lambda: set(serving.checks().values()) == {False}, "all are down")
    assert serving.get().status == 503
    wanted = serving.desired
    (backend,) = wanted.backends
    serving.sync(structs.replace(wanted, backends=(structs.replace(backend, fail_open=True),)))
    assert serving.equal()
    with Load(serving.port) as load:
        load.more(300)
    assert load.failures == []
    serving.reload()
    assert serving.equal()
    assert serving.get().status == 200, "open after a reload too"
    serving.sync(wanted)
    until(lambda: set(serving.checks().values()) == {False}, "their checks count again")
    for each in serving.targets:
        get(each.port, "/health?200")
    until(serving.all_up, "they are well again")


def test_what_may_have_been_carried_out_is_not_repeated(serving: Proxy) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert serving.get("/die", method=method).status == 502
    hits = [each.hits() for each in serving.targets]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert sum(each.get(f"{method} /die", 0) for each in hits) == 1
    assert serving.get("/die").status == 502
    assert sum(each.hits().get("GET /die", 0) for each in serving.targets) > 1, "a GET is tried elsewhere"


def test_a_post_that_reached_nobody_goes_to_another(serving: Proxy) -> None:
    serving.targets[0].kill()
    serving.targets[1].kill()
    assert [serving.get("/a", method="POST").status for _ in range(4)] == [200] * 4
    assert serving.targets[2].hits() == {"POST /a": 4}


def test_websockets_survive_a_reload_and_are_counted(serving: Proxy) -> None:
    with websocket(serving.port) as (first, name), websocket(serving.port) as (second, _):
        assert echoes(first)
        server = (BACKEND, f"{name}.1")
        until(lambda: serving.balancer.in_flight()[server] >= 1, "counted")
        serving.reload()
        assert [each.current for each in serving.runtime.processes().workers] == [True, False]
        assert echoes(first)
        assert echoes(second)
        assert sum(serving.balancer.in_flight().values()) == 2
    until(lambda: sum(serving.balancer.in_flight().values()) == 0, "none is left")
    until(lambda: len(serving.runtime.processes().workers) == 1, "the old worker ends")


def _answer(connection: socket.socket) -> bytes:
    """The whole of it."""
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b"}}"):
        chunk = connection.recv(65536)
        assert chunk, data
        data += chunk
    return data


def test_an_idle_connection_to_a_replaced_worker_holds_its_servers(serving: Proxy) -> None:
    """It may bring one more request, to a server that drains since."""
    servers = [each.server() for each in serving.targets]
    with socket.create_connection(("127.0.0.1", serving.port), timeout=30) as connection:
        request = b"GET /kept HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(request)
        _answer(connection)
        serving.reload()
        frontends = serving.desired.frontends
        drained = [structs.replace(each, state="drain") for each in servers]
        new = serving.target("web-4")
        serving.sync(structs.replace(serving.want(*drained, new.server()), frontends=frontends))
        flying = serving.balancer.in_flight()
        assert [flying[(BACKEND, each.name)] for each in servers] == [1, 1, 1]
        assert flying[(BACKEND, "web-4.1")] == 0
        connection.sendall(request)
        assert _answer(connection).startswith(b"HTTP/1.1 200")
    until(lambda: not any(serving.balancer.in_flight().values()), "and lets them go")


@pytest.mark.parametrize("how", ["reload", "kill"])
def test_the_state_is_the_desired_one_after(how: str, serving: Proxy) -> None:
    drained, unready, failing = serving.target("web-4"), serving.target("web-5"), serving.target("web-6")
    states = (drained.server("drain"), unready.server("maint"), failing.server())
    serving.sync(serving.want(*(each.server() for each in serving.targets[:3]), *states))
    until(lambda: serving.checks()["web-6.1"], "up first")
    get(failing.port, "/health?503")
    until(lambda: serving.checks()["web-6.1"] is False, "then found to be failing")
    counts = [each.hits() for each in (drained, unready, failing)]
    with websocket(serving.port) as (connection, _):
        if how == "reload":
            with Load(serving.port, rate=200) as load:
                serving.reload()
                load.more(100)
            assert load.failures == []
            assert echoes(connection)
        else:
            before = serving.runtime.processes()
            os.kill(before.master, signal.SIGKILL)
            until(lambda: (now := serving.runtime.answer()) and now[1].master != before.master, "HAProxy is back")
            until(lambda: not any(process.start_time(each.pid) for each in before.workers), "the old workers end")
            for _ in range(50):
                assert serving.get().status == 200
    assert serving.equal()
    assert [each.hits() for each in (drained, unready, failing)] == counts
    assert serving.checks()["web-6.1"] is False
    get(failing.port, "/health?200")
    until(lambda: serving.checks()["web-6.1"], "and up again")


def test_events_pass_unbuffered(serving: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), timeout=30) as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        data = b""
        while b"data: first\n\n" not in data:
            chunk = connection.recv(1000)
            assert chunk
            data += chunk


def test_a_private_name_serves_its_group(serving: Proxy) -> None:
    listen = f"127.77.1.9:{free_port('127.77.1.9')}"
    private = private_frontend(ENVIRONMENT, "shop", "web", listen)
    serving.sync(structs.replace(serving.desired, frontends=(*serving.desired.frontends, private)))
    assert get(int(listen.rpartition(":")[2]), "/x", address="127.77.1.9").status == 200


def _shown(port: int) -> tuple[bytes, str | None]:
    """The certificate that clients are shown, and the protocol that they agree on."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        with _trusting().wrap_socket(plain, server_hostname="www.example.com") as connection:
            return connection.getpeercert(binary_form=True) or b"", connection.selected_alpn_protocol()


def _trusting(*protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols) or ["h2", "http/1.1"])
    return context


def _take_over(tls: Tls, renewed: Tls) -> None:
    os.replace(renewed.certificate, tls.certificate)
    os.replace(renewed.key, tls.key)


def test_tls_with_a_certificate_that_is_renewed_under_load(serving: Proxy, tmp_path: Path) -> None:
    tls, plain_port = certificate(tmp_path, "first", hosts=("www.example.com",)), free_port()
    frontend = structs.replace(serving.desired.frontends[0], tls=tls, redirect_from=f"127.0.0.1:{plain_port}")
    serving.sync(structs.replace(serving.desired, frontends=(frontend,)))
    first, protocol = _shown(serving.port)
    assert protocol == "h2"
    secure = subprocess.run(
        ("curl", "-sk", f"https://127.0.0.1:{serving.port}/x"), capture_output=True, check=True, timeout=30
    )
    assert json.loads(secure.stdout)["headers"]["x-forwarded-proto"] == "https"
    redirect = get(plain_port, "/a?b=c", host="www.example.com")
    assert redirect.status == 308
    assert redirect.headers["location"] == f"https://www.example.com:{serving.port}/a?b=c"
    with socket.create_connection(("127.0.0.1", plain_port), timeout=30) as connection:
        connection.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400"), "nobody knows where to send it"

    with Load(serving.port, rate=100, tls=_trusting("http/1.1")) as load:
        _take_over(tls, certificate(tmp_path, "second"))
        serving.sync(serving.desired)
        # the worker that ends may yet have taken a connection
        until(lambda: _shown(serving.port)[0] != first, "the new one is shown")
        load.more(50)
    assert load.failures == []
    (kept,) = (serving.home.runtime / "haproxy" / "tls").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert serving.equal()


def test_a_renewal_that_can_not_be_used_is_in_nobodys_way(serving: Proxy, tmp_path: Path) -> None:
    tls = certificate(tmp_path, "first", hosts=("www.example.com",))
    name = serving.desired.frontends[0].name
    assert serving.balancer.certificate(name) is None
    serving.sync(structs.replace(serving.desired, frontends=(structs.replace(serving.desired.frontends[0], tls=tls),)))
    first, _ = _shown(serving.port)
    for half in (certificate(tmp_path, "second").certificate, None):
        if half is not None:
            os.replace(half, tls.certificate)
        else:
            os.unlink(tls.certificate)
        # another change, such as a target that comes, is made nevertheless
        more = serving.target(f"web-{len(serving.targets) + 1}").server()
        (backend,) = serving.desired.backends
        changed = structs.replace(backend, servers=(*backend.servers, more))
        serving.sync(structs.replace(serving.desired, backends=(changed,)))
        assert serving.equal()
        assert _shown(serving.port)[0] == first
        found = serving.balancer.certificate(name)
        assert found is not None
        assert (found.names, tls.certificate in found.trouble) == (("www.example.com",), True)
    _take_over(tls, certificate(tmp_path, "third", hosts=("new.example.com",)))
    serving.sync(serving.desired)
    found = serving.balancer.certificate(name)
    assert found is not None
    assert (found.names, found.trouble) == (("new.example.com",), "")


def test_what_can_not_be_changes_nothing(serving: Proxy, tmp_path: Path) -> None:
    text = (serving.home.runtime / "haproxy.cfg").read_text()
    (frontend,) = serving.desired.frontends
    bad_pem = tmp_path / "bad.pem"
    bad_pem.write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        for changed, error in (
            (structs.replace(frontend, listen=listen), Conflict),
            (structs.replace(frontend, listen="192.0.2.1:80"), Invalid),
            (structs.replace(frontend, listen="127.0.0.1:8080\n    bind *:1"), Invalid),
            (structs.replace(frontend, routes=(Forward(backend="b.nowhere"),)), Invalid),
            (structs.replace(frontend, tls=Tls(certificate="/nowhere", key="/nowhere")), Invalid),
            (structs.replace(frontend, tls=Tls(certificate=str(bad_pem), key=str(bad_pem))), Invalid),
        ):
            with pytest.raises(error):
                serving.balancer.sync(structs.replace(serving.desired, frontends=(changed,)))
            assert (serving.home.runtime / "haproxy.cfg").read_text() == text
    assert serving.equal()
    assert serving.get().status == 200


CRASH = """
import sys
from pathlib import Path
import msgspec
from homeport.engines.local.balancer import HaproxyBalancer
from homeport.plan.balancer import Balancer
from homeport.system.home import Home
HaproxyBalancer(Home(Path(sys.argv[1]), Path(sys.argv[2]))).sync(msgspec.json.decode(sys.argv[3], type=Balancer))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_whoever_is_killed_in_the_middle_is_succeeded(when: str, serving: Proxy, tmp_path: Path) -> None:
    import msgspec

    tls = certificate(tmp_path, "x")
    labels = sorted(each for each in SITES if each.startswith("haproxy."))
    assert len(labels) >= 5
    for number, label in enumerate(labels):
        (serving.home.runtime / "haproxy" / "empty").rmdir()
        new = serving.target(f"new-{number}")
        extra = structs.replace(
            serving.desired.frontends[0], name="f.extra", listen=f"127.0.0.1:{free_port()}", tls=tls
        )
        desired = serving.want(serving.targets[0].server(), new.server())
        if number % 2 == 0:
            desired = structs.replace(desired, frontends=(*desired.frontends, extra))
        stale = serving.home.runtime / "haproxy" / "tls" / "old.pem"
        stale.touch()
        killed = subprocess.run(
            (sys.executable, "-c", CRASH, str(serving.home.root), str(serving.home.runtime),
             msgspec.json.encode(desired).decode()),
            env={**os.environ, "HOMEPORT_CRASH": f"{label}:{when}"}, check=False,
        )  # fmt: skip
        reloads = (
            number % 2 == 0 or serving.runtime.fingerprint() not in (serving.home.runtime / "haproxy.cfg").read_text()
        )
        assert killed.returncode == -signal.SIGKILL or (label == "haproxy.reload" and not reloads), label
        serving.sync(desired)
        assert serving.equal(), label
        assert serving.get().status == 200
        assert not stale.exists()
