"""HAProxy's text (golden files beside this one), and which change brings a running one to it."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from homeport.errors import Invalid
from homeport.model.platform import Health, Tls
from homeport.plan.balancer import (
    Backend,
    Balancer,
    Forward,
    Frontend,
    Server,
    ServerState,
    backend_name,
    check,
    private_frontend,
    problems,
    public_name,
    spare_name,
    spare_of,
    upstream_backend,
)
from homeport.plan.balancer_change import Change, Running, RunningServer, difference
from homeport.plan.balancer_text import CONFIG, ROUTES, Setting, render, routes, server_options

GOLDEN = Path(__file__).with_name("golden")
ENVIRONMENT = "shop/production"
WEB = backend_name(ENVIRONMENT, "shop", "web")
SETTING = Setting(directory="/run/homeport/0123456789")


def server(number: int, state: ServerState = "ready") -> Server:
    return Server(name=f"web-{number}.1", address=f"127.1.0.{number}", port=20000 + number, state=state)


def balancer(*servers: Server, forwards: tuple[Forward, ...] = (Forward(backend=WEB),)) -> Balancer:
    frontend = Frontend(name=public_name(ENVIRONMENT), listen="127.0.0.1:8080", routes=forwards)
    return Balancer(frontends=(frontend,), backends=(Backend(name=WEB, servers=servers),))


OUTSIDE = upstream_backend(ENVIRONMENT, "https://blog.example.net/base")
PLAIN_OUTSIDE = upstream_backend(ENVIRONMENT, "http://10.0.0.7:8000")
FULL = Balancer(
    frontends=(
        Frontend(
            name=public_name(ENVIRONMENT),
            listen="0.0.0.0:443",
            routes=(
                Forward(backend=WEB),
                Forward(backend=WEB, host="WWW.example.com", path="/api/v1/", strip_prefix=True),
                Forward(backend=OUTSIDE.name, path="/blog", strip_prefix=True),
                Forward(backend=PLAIN_OUTSIDE.name, host="old.example.com"),
            ),
            tls=Tls(certificate="/etc/ssl/shop.crt", key="/etc/ssl/shop.key"),
            redirect_from="0.0.0.0:80",
        ),
        private_frontend(ENVIRONMENT, "shop", "web", "127.77.1.1:8080"),
    ),
    backends=(
        Backend(
            name=WEB,
            servers=(server(1), server(2, "drain"), spare_of(server(2)), server(3, "maint")),
            health=Health(path="/healthz?deep=1", interval=timedelta(seconds=2), timeout=timedelta(milliseconds=1500)),
            host="www.example.com",
            proto="https",
            drain=timedelta(hours=2),
        ),
        OUTSIDE,
        PLAIN_OUTSIDE,
    ),
)
FULL_SETTING = structs.replace(
    SETTING,
    user="haproxy",
    group="haproxy",
    chroot="/run/homeport/0123456789/haproxy/empty",
    certificates={public_name(ENVIRONMENT): "/run/homeport/0123456789/haproxy/tls/shop.pem"},
)


@pytest.mark.parametrize(
    ("name", "desired", "setting"),
    [
        ("nothing", Balancer(), SETTING),
        ("one_group", balancer(server(1), server(2)), SETTING),
        ("everything", FULL, FULL_SETTING),
    ],
)
def test_the_text_is_the_golden_one(name: str, desired: Balancer, setting: Setting) -> None:
    texts = render(desired, setting).texts
    assert texts[CONFIG] == (GOLDEN / f"{name}.cfg").read_text()
    assert texts[ROUTES] == (GOLDEN / f"{name}.map").read_text()


def test_order_means_nothing() -> None:
    turned = Balancer(
        frontends=tuple(structs.replace(each, routes=each.routes[::-1]) for each in FULL.frontends[::-1]),
        backends=tuple(structs.replace(each, servers=each.servers[::-1]) for each in FULL.backends[::-1]),
    )
    assert render(turned, FULL_SETTING) == render(FULL, FULL_SETTING)


def test_servers_and_routes_leave_the_fingerprint_and_all_else_changes_it() -> None:
    base = render(balancer(server(1)), SETTING).fingerprint
    for same in (balancer(), balancer(server(1, "drain"), server(2)), balancer(forwards=())):
        assert render(same, SETTING).fingerprint == base
    (frontend,), (backend,) = balancer().frontends, balancer().backends
    for frontends, backends in (
        ((structs.replace(frontend, listen="127.0.0.1:8081"),), (backend,)),
        ((frontend,), (structs.replace(backend, health=Health(path="/")),)),
        ((frontend,), (structs.replace(backend, health=Health(interval=timedelta(seconds=3))),)),
        ((frontend,), (backend, OUTSIDE)),
        ((frontend, private_frontend(ENVIRONMENT, "shop", "web", "127.1.1.1:80")), (backend,)),
    ):
        changed = Balancer(frontends=frontends, backends=backends)
        assert render(changed, SETTING).fingerprint != base


def test_what_would_break_the_text_is_named_all_at_once() -> None:
    (frontend,) = balancer().frontends
    wrong = Balancer(
        frontends=(
            structs.replace(
                frontend,
                routes=(
                    Forward(backend=WEB, path="/a b"),
                    Forward(backend=WEB, host="x\n    bind *:1"),
                    Forward(backend="b.none"),
                    Forward(backend=WEB, path="/1/2/3/4/5/6/7", strip_prefix=True),
                ),
            ),
            Frontend(name="f.other", listen="127.0.0.1:8080"),
            Frontend(name="f.third", listen="127.0.0.1:0"),
        ),
        backends=(
            Backend(name=WEB, health=Health(path="/x'\n"), host="a b", servers=(server(1), server(1))),
            Backend(name="b.b c"),
            Backend(name="u.x", upstream="ftp://example.net"),
            Backend(name="u.y", upstream="http://example.net:port/"),
            Backend(name="b.s", servers=(Server(name="s", address="::1", port=1),)),
        ),
    )
    found = "\n".join(problems(wrong))
    for part in ("/a b", "bind *:1", "b.none", "at most 6", "already taken by shop", "127.0.0.1:0", "/x'", "'a b'",
                 "used twice", "'b.b c'", "ftp://", "u.y", "::1"):  # fmt: skip
        assert part in found, part
    with pytest.raises(Invalid) as error:
        check(wrong)
    assert len(error.value.details) == len(problems(wrong)) - 1
    assert problems(FULL) == []


def test_one_place_of_a_route_table_goes_to_one_backend() -> None:
    forwards = (Forward(backend=WEB, host="A", path="/x"), Forward(backend=OUTSIDE.name, host="a", path="/x/"))
    desired = balancer(forwards=forwards)
    desired = structs.replace(desired, backends=(*desired.backends, OUTSIDE))
    assert "goes to" in "\n".join(problems(desired))
    assert problems(balancer(forwards=(forwards[0], forwards[0]))) == []


# --- difference ------------------------------------------------------------------------------------------------------


def running(desired: Balancer, **servers: RunningServer) -> Running:
    """`desired`, but with these servers in the one backend."""
    named = {f"web-{name[1:]}.1": each for name, each in servers.items()}
    return Running(fingerprint="f", backends={WEB: named}, routes=frozenset(routes(desired)))


def seen(number: int, state: ServerState = "ready", checked: bool = True) -> RunningServer:
    return RunningServer(address=f"127.1.0.{number}", port=20000 + number, state=state, checked=checked)


def test_a_new_server_is_checked_before_it_is_ready() -> None:
    desired = balancer(server(1))
    change = difference(desired, "f", running(desired))
    assert change.first == (
        f"add server {WEB}/web-1.1 127.1.0.1:20001 {server_options(desired.backends[0])}",
        f"enable health {WEB}/web-1.1",
        f"set server {WEB}/web-1.1 weight 100",
        f"set server {WEB}/web-1.1 state ready",
    )
    assert change == Change(first=change.first)


def test_what_serves_comes_before_the_routes_and_what_ends_after_them() -> None:
    desired = balancer(server(1), server(2, "drain"), server(3, "maint"))
    now = structs.replace(running(desired, _1=seen(1, "drain"), _2=seen(2), _3=seen(3), _4=seen(4)), routes=frozenset())
    change = difference(desired, "f", now)
    assert change.first == (f"set server {WEB}/web-1.1 weight 100", f"set server {WEB}/web-1.1 state ready")
    assert change.routes == routes(desired)
    assert change.then == (f"set server {WEB}/web-2.1 state drain", f"set server {WEB}/web-3.1 state maint")
    assert change.removed == ((WEB, "web-4.1"),)


def test_a_server_whose_adding_was_cut_short_gets_its_checks() -> None:
    desired = balancer(server(1))
    change = difference(desired, "f", running(desired, _1=seen(1, "maint", checked=False)))
    assert change.first[0] == f"enable health {WEB}/web-1.1"
    assert change.first[-1] == f"set server {WEB}/web-1.1 state ready"


def test_weights_are_set_and_stand_in_the_text() -> None:
    light = structs.replace(server(1), weight=13)
    shared = structs.replace(balancer(light), backends=(Backend(name=WEB, servers=(light,), by_weight=True),))
    text = render(shared, SETTING).texts[CONFIG]
    assert "    balance roundrobin\n" in text
    assert "    server web-1.1 127.1.0.1:20001 weight 13\n" in text
    running = {"web-1.1": RunningServer(address="127.1.0.1", port=20001, state="ready")}
    before = Running(fingerprint="", backends={WEB: running}, routes=frozenset(routes(shared)))
    assert difference(shared, "", before).first == (f"set server {WEB}/web-1.1 weight 13",)
    after = structs.replace(before, backends={WEB: {"web-1.1": structs.replace(running["web-1.1"], weight=13)}})
    assert not difference(shared, "", after)


def test_a_spare_server_is_added_and_retired_with_its_requests_left_alone() -> None:
    drained = balancer(server(1), server(2, "drain"), spare_of(server(2)))
    change = difference(drained, "f", running(drained, _1=seen(1), _2=seen(2, "drain")))
    spare = f"{WEB}/web-2.1.spare"
    assert change.first[0] == f"add server {spare} 127.1.0.2:20002 {server_options(drained.backends[0])} backup"
    assert change.first[-1] == f"set server {spare} state ready"
    back = balancer(server(1), server(2))
    now = running(back, _1=seen(1), _2=seen(2))
    now.backends[WEB]["web-2.1.spare"] = seen(2)
    assert difference(back, "f", now) == Change(then=(f"set server {spare} state maint", f"del server {spare}"))
    now.backends[WEB]["web-2.1.spare"] = seen(2, "maint")
    assert not difference(back, "f", now)
    assert set(difference(balancer(server(1)), "f", now).removed) == {(WEB, "web-2.1"), (WEB, "web-2.1.spare")}


def test_a_name_at_another_address_is_removed_first() -> None:
    desired = balancer(server(1))
    change = difference(desired, "f", running(desired, _1=seen(9)))
    assert change == Change(removed=((WEB, "web-1.1"),))


def test_another_text_wants_a_reload_and_new_backends_wait_for_it() -> None:
    desired = balancer(server(1))
    change = difference(desired, "g", Running(fingerprint="f", backends={}, routes=frozenset(routes(desired))))
    assert change == Change(reload=True)


states = st.sampled_from(("ready", "drain", "maint"))
wanted_servers = st.dictionaries(st.integers(1, 5), states, max_size=5)
running_servers = st.dictionaries(st.integers(1, 5), st.tuples(states, st.integers(1, 5), st.booleans()), max_size=5)


def obey(now: Running, change: Change, desired: Balancer, *, busy: bool) -> Running:
    """What HAProxy would make of a change; `busy`: with requests on every server."""
    servers = dict(now.backends[WEB])
    for command in (*change.first, *change.then):
        words = command.replace(f"{WEB}/", "").split()
        match words[:2]:
            case ["add", "server"]:
                assert words[2] not in servers
                address, port = words[3].split(":")
                servers[words[2]] = RunningServer(address=address, port=int(port), state="maint", checked=False)
            case ["enable", "health"]:
                servers[words[2]] = structs.replace(servers[words[2]], checked=True)
            case ["set", "server"] if words[3] == "state":
                servers[words[2]] = structs.replace(servers[words[2]], state=words[4])
            case ["del", "server"] if not busy:
                del servers[words[2]]
    for _, name in change.removed:
        del servers[name]
    table = now.routes if change.routes is None else frozenset(change.routes)
    return structs.replace(now, backends={WEB: servers}, routes=table)


@given(wanted_servers, running_servers, st.sets(st.integers(1, 5)), st.booleans(), st.booleans())
def test_two_changes_suffice(
    wanted: dict[int, ServerState],
    present: dict[int, tuple[ServerState, int, bool]],
    spared: set[int],
    routed: bool,
    busy: bool,
) -> None:
    servers = [server(number, state) for number, state in wanted.items()]
    desired = balancer(*servers, *(spare_of(each) for each in servers if each.state == "drain"))
    now = running(
        desired, **{f"_{n}": structs.replace(seen(a, state), checked=c) for n, (state, a, c) in present.items()}
    )
    now.backends[WEB].update({spare_name(server(number).name): seen(number) for number in spared})
    now = now if routed else structs.replace(now, routes=frozenset())
    for _ in range(2):
        now = obey(now, difference(desired, "f", now), desired, busy=busy)
    assert not difference(desired, "f", now)
    found = {name: (each.state, each.port) for name, each in now.backends[WEB].items()}
    for each in servers:
        if busy and found.get(spare_name(each.name)) == ("maint", each.port):
            del found[spare_name(each.name)]
    assert found == {each.name: (each.state, each.port) for each in desired.backends[0].servers}
