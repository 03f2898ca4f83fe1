"""What is closed to visitors, and with which page; the rest is HAProxy's, in tests/e2e/test_guard.py."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from homeport.errors import Invalid
from homeport.model.asked import MaintenanceAsked
from homeport.model.platform import Group, Health, Maintenance, Resolved, Route
from homeport.plan.balancer import Balancer, Frontend
from homeport.plan.balancer_pages import MAINTENANCE_PAGE
from homeport.plan.balancer_text import CONFIG, Setting, render
from homeport.plan.maintenance import LARGEST_PAGE_BYTES, check_page, closed, who_says
from homeport.plan.platform import parse, resolve
from homeport.plan.procfile import Procfile
from tests.memory_world import formation

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OUTSIDE = "https://outside.example.net"


def app(name: str, *routes: Route, path: str | None = "/healthz") -> Resolved:
    group = Group(name="web", run=("web",), balanced=True, health=Health(path=path))
    return replace(formation(), app=name, groups=(group,), routes=routes)


SHOP = app("shop", Route(to="web"), Route(to=OUTSIDE, path="/out"))
BLOG = app("blog", Route(to="web", path="/blog", strip_prefix=True), path="/up?deep=1")
ROUTED = {"shop": SHOP, "blog": BLOG}


def said(app: str = "", **fields: Any) -> MaintenanceAsked:
    return MaintenanceAsked(**{"app": app, "on": True, "since_at": NOW, "by": "ada", **fields})


def test_a_whole_environment_is_closed_but_for_its_health_checks() -> None:
    (found,) = closed((said(allow=("10.0.0.0/8",), retry_after=timedelta(minutes=1)),), "shops/staging", ROUTED)
    assert (found.backends, found.page, found.allow) == ((), MAINTENANCE_PAGE, ("10.0.0.0/8",))
    assert found.open_paths == ("/blog/up", "/healthz")
    assert found.retry_after == timedelta(minutes=1)


def test_of_one_app_its_routes_are_closed() -> None:
    (found,) = closed((said("shop", page="<p>ours"),), "shops/staging", ROUTED)
    assert [each.split(".")[0:4] for each in found.backends] == [
        ["b", "shops", "staging", "shop"],
        ["u", "shops", "staging", "outside"],
    ]
    assert (found.page, found.open_paths) == ("<p>ours", ("/healthz",))


def test_an_app_without_routes_closes_nothing_else() -> None:
    assert closed((said("gone"),), "shops/staging", ROUTED) == ()


@pytest.mark.parametrize(
    ("route", "health", "paths"),
    [
        (Route(to="web", path="/blog"), "/blog/up", ("/blog/up",)),
        (Route(to="web", path="/blog"), "/up", ()),
        (Route(to="web", path="/blog/", strip_prefix=True), "/up", ("/blog/up",)),
        (Route(to="web"), None, ()),
        (Route(to=OUTSIDE), "/up", ()),
    ],
)
def test_health_is_asked_as_clients_ask(route: Route, health: str | None, paths: tuple[str, ...]) -> None:
    (found,) = closed((said(),), "shops/staging", {"x": app("x", route, path=health)})
    assert found.open_paths == paths


def test_the_text_names_what_is_let_through() -> None:
    both = closed((said("shop", allow=("10.0.0.0/8", "2001:db8::/32")), said()), "shops/staging", ROUTED)
    frontend = Frontend(name="f.shops.staging", listen="127.0.0.1:8080", closed=both)
    text = render(Balancer(frontends=(frontend,)), Setting(directory="/run/x")).texts[CONFIG]
    (one, other) = (line for line in text.splitlines() if "closed." in line and "http-request return" in line)
    assert one.endswith(" hdr Retry-After 300 if !{ var(txn.path) -m str '/blog/up' '/healthz' }"), (
        "the whole environment"
    )
    assert "{ var(txn.route),field(1,|) -m str b.shops.staging.shop.web " in other
    assert " !{ var(txn.client) -m ip 10.0.0.0/8 2001:db8::/32 } !{ var(txn.path) -m str '/healthz' }" in other
    assert text.index("closed.") < text.index("use_backend")


def test_the_page_is_that_of_the_app_at_the_root() -> None:
    assert who_says(ROUTED, None) is SHOP
    assert who_says(ROUTED, "blog") is BLOG
    assert who_says({"blog": BLOG}, None) is BLOG
    assert who_says({}, None) is None


def test_a_page_that_cannot_be_shown_is_refused() -> None:
    assert check_page("back.html", "ä".encode()) == "ä"
    for content, problem in (
        (None, "there is no back.html in the code"),
        (b"x" * (LARGEST_PAGE_BYTES + 1), "has 14001 bytes, at most 14000"),
        (b"\xff", "isn't UTF-8"),
    ):
        with pytest.raises(Invalid, match=problem):
            check_page("back.html", content)


def test_the_file_says_it_and_an_environment_says_it_better() -> None:
    text = 'app = "shop"\n[maintenance]\npage = "back.html"\nallow = ["10.0.0.0/8", "::1"]\nretry_after = "10m"\n'
    text += "[environments.staging]\n[environments.production.maintenance]\nallow = []\n"
    file = parse(text)
    procfile = Procfile(processes={"web": "serve"})
    expected = Maintenance(page="back.html", allow=("10.0.0.0/8", "::1/128"), retry_after=timedelta(minutes=10))
    assert resolve(file, environment="staging", app="shop", procfile=procfile).maintenance == expected
    found = resolve(file, environment="production", app="shop", procfile=procfile).maintenance
    assert found == replace(expected, allow=())


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('page = "../x.html"', "expected a file of the app"),
        ('allow = "10.0.0.0/8"', "expected a list of networks"),
        ('allow = ["10.0.0.1/8"]', 'expected an address or a network such as "10.0.0.0/8", found "10.0.0.1/8"'),
        ("allow = [7]", "expected an address or a network"),
        ('retry_after = "0s"', "retry_after"),
        ('pages = "x.html"', 'did you mean "page"'),
    ],
)
def test_mistakes_are_named(line: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(f'app = "shop"\n[maintenance]\n{line}\n')
    assert problem in " ".join((caught.value.message, *caught.value.details))
