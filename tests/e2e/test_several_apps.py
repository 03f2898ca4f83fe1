"""examples/market: two apps behind one address, each with its own releases; then in two repositories, by HTTPS."""

import http.client
import re
import shutil
import ssl
import urllib.error
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.app_repository import EXAMPLE, commit, git, make_repository, replaced
from tests.certificates import certificate
from tests.e2e.balanced import free_ports
from tests.e2e.person import Person


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Person]:
    app = make_repository("market", tmp_path)
    commit(app, replaced(app, "homeport.toml", 'bake = "2s"', 'bake = "100ms"\n[health]\ninterval = "200ms"'))
    found = Person(app, tmp_path / "home")
    try:
        yield found
    finally:
        found.leave()


def test_each_app_has_its_own_releases(market: Person) -> None:
    outcomes = market.document("up")["apps"]
    assert [(each["app"], each["release"], each["verdict"]) for each in outcomes] == [
        ("shop", "r1", "good"),
        ("blog", "r1", "good"),
    ]
    page = market.get()
    assert '<a href="/blog/2026-02-14-bell">A new bell</a>' in page, "the shop asks the blog by its private name"
    assert "Ropes &amp; knots" in market.get("/blog")
    assert len({each["id"] for each in market.instances()}) == 3

    before = {(each["id"], each["pid"]) for each in market.instances() if each["app"] == "shop"}
    commit(market.app, {"blog/posts/2026-03-01-tar.txt": "Tar\nSticky.\n"})
    changed = {each["app"]: (each["release"], each["changed"]) for each in market.document("deploy")["apps"]}
    assert changed == {"shop": ("r1", False), "blog": ("r2", True)}
    assert "Tar" in market.get("/blog/2026-03-01-tar")
    assert {(each["id"], each["pid"]) for each in market.instances() if each["app"] == "shop"} == before
    tags = git(market.app, "tag").split()
    assert tags == ["homeport/blog/staging/r1", "homeport/blog/staging/r2", "homeport/shop/staging/r1"]

    for words in (("rollback",), ("config", "list"), ("config", "set", "A=1"), ("release", "list")):
        assert "say which: --app shop" in market(*words, code=2)
    assert "did you mean" in market("deployment", "list", "--app", "bolg", code=3)
    assert "homeport scale blog/web=" in market("scale", "web=2", code=2)
    assert market.document("rollback", "--app", "blog")["release"] == "r3"
    assert market.document("config", "set", "--app", "shop", "A=1")["release"] == "r2"
    assert "A=1" in market("config", "list", "--app", "shop")
    assert "A=1" not in market("config", "list", "--app", "blog")
    assert market.document("scale", "blog/web=2")["groups"] == [{"app": "blog", "group": "web", "desired": 2}]
    apps = {each["app"]: each for each in market.document("status")["apps"]}
    assert [route["path"] for route in apps["blog"]["routes"]] == ["/blog"]
    assert {app: each["release"] for app, each in apps.items()} == {"shop": "r2", "blog": "r3"}
    log = market("logs", "--app", "blog", "-n", "5000")
    assert "GET /blog/posts.json" in log
    assert "GET / " not in log
    assert "GET / " in market("logs", "--app", "shop", "-n", "1000")

    _name_of_another(market)
    _routes(market)
    _one_leaves(market)
    assert market.document("down", "--yes", "--purge")["was_up"]
    for app in ("shop", "blog"):
        assert market.document("release", "list", "--app", app)["releases"] == []


def _name_of_another(market: Person) -> None:
    """Another platform of the same home has an app `blog` too: nothing of it gets in among its releases and config."""
    app = make_repository("plain", market.app.parent / "another")
    commit(app, replaced(app, "homeport.toml", 'app = "plain"', 'app = "blog"'))
    another = Person(app, market.home)
    releases = market.document("release", "list", "--app", "blog")
    for words in (("up",), ("release", "create"), ("config", "set", "MINE=1")):
        assert "blog is up in market/staging, and can't be in blog/staging too" in another(*words, code=4)
    assert market.document("release", "list", "--app", "blog") == releases
    assert "MINE" not in market("config", "list", "--app", "blog")


def _routes(market: Person) -> None:
    """/offers goes from the shop to the blog and back; nobody takes it while the other has it."""
    text = (market.app / "homeport.toml").read_text()

    def offers(app: str) -> None:
        commit(market.app, {"homeport.toml": f'{text}\n[[routes]]\npath = "/offers"\nto = "{app}/web"\n'})

    offers("shop")
    market("deploy", "--app", "shop")
    offers("blog")
    error = market.document("deploy", "--app", "blog", code=4)["error"]
    assert "the route /offers belongs to shop (r3)" in error["message"]
    # nobody would expect it: the shop has to give it up first
    assert {each["app"]: each["verdict"] for each in market.document("deploy")["apps"]} == dict.fromkeys(
        ("shop", "blog"), "good"
    )
    offers("shop")
    assert [each["app"] for each in market.document("deploy")["apps"]] == ["blog", "shop"]
    commit(market.app, {"homeport.toml": f'{text}\n[[routes]]\nto = "blog/web"\n'})
    details = market.document("deploy", code=2)["error"]["details"]
    assert details == ['homeport.toml:27: routes[3]: "/" is that of routes[1] in line 12']
    commit(market.app, {"homeport.toml": text})


def in_service(market: Person, app: str) -> set[tuple[str, int]]:
    """Id and pid. Those that were replaced may still be ending."""
    return {
        (each["id"], each["pid"])
        for each in market.instances()
        if each["app"] == app and each["state"] == "InService" and each["target"] == "ready"
    }


def _one_leaves(market: Person) -> None:
    """The blog ends, which the platform file has no longer; the shop doesn't notice."""
    text = (market.app / "homeport.toml").read_text()
    alone = '[apps.shop]\nsource = "shop"\nhealth.path = "/healthz"\ngroups.web.instances = 2\n'
    commit(market.app, {"homeport.toml": f'platform = "market"\n{alone}[deploy]\nbake = "100ms"\n'})
    assert "but not in homeport.toml any more; to end it: homeport down --app blog -e staging" in market("deploy")
    before = in_service(market, "shop")
    assert "homeport down --app blog --yes" in market("down", "--app", "blog", code=2)
    assert "isn't up in market/staging; there is blog, shop" in market("down", "--app", "bolg", "--yes", code=3)
    assert market.document("down", "--app", "blog", "--yes", "--purge")["removed_objects"] > 0
    assert in_service(market, "shop") == before
    assert in_service(market, "blog") == set()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        market.get("/blog")
    assert "The market" in market.get()
    assert "homeport down -e market/staging" in market("down", "--app", "shop", "--yes", code=2)
    commit(market.app, {"homeport.toml": text})


FILE = """platform = "market"
[apps.shop]
groups.web.health.path = "/healthz"
[apps.blog]
source = "{url}"
[[routes]]
host = "www.example.com"
to = "shop/web"
[[routes]]
path = "/blog"
to = "blog/web"
[deploy]
bake = "100ms"
[environments.staging]
listen = "127.0.0.1:{port}"
redirect = "127.0.0.1:{plain}"
tls = {{ certificate = "{tls.certificate}", key = "{tls.key}" }}
"""


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Person]:
    """The shop's repository has the platform file, the blog's is named by URL; the certificate has expired."""
    for app in ("shop", "blog"):
        shutil.copytree(EXAMPLE / "market" / app, tmp_path / app)
        git(tmp_path / app, "init", "--quiet", "--initial-branch=main")
        commit(tmp_path / app, {})
    tls = certificate(tmp_path, "x", hosts=("www.example.com",), starts_in=timedelta(days=-9), days=2)
    port, plain = free_ports(2)
    file = FILE.format(url=f"file://{tmp_path}/blog", port=port, plain=plain, tls=tls)
    commit(tmp_path / "shop", {"homeport.toml": file})
    found = Person(tmp_path / "shop", tmp_path / "home")
    try:
        yield found
    finally:
        found.leave()


def ask(url: str, path: str, host: str) -> http.client.HTTPResponse:
    """The answer, whatever it is; nobody checks who gives it."""
    trusting = ssl._create_unverified_context()
    where = urlsplit(url)
    made = http.client.HTTPSConnection(where.netloc, timeout=20, context=trusting)
    connection = made if where.scheme == "https" else http.client.HTTPConnection(where.netloc, timeout=20)
    connection.request("GET", path, headers={"Host": host, "Connection": "close"})
    return connection.getresponse()


def test_two_repositories_by_https(secure: Person, tmp_path: Path) -> None:
    refused = secure("up", code=2)
    assert "building" not in refused
    assert re.search(r"expired on 20.*\n?.*x\.crt|x\.crt.*expired on 20", refused)
    secure("engine", "start")
    assert secure("status", code=3)
    certificate(tmp_path, "x", hosts=("shop.example.com",), days=60)
    said = secure("up")
    assert f"of file://{tmp_path}/blog" in said
    assert "note: the certificate isn't for www.example.com (it is for shop.example.com)" in said
    found = secure.document("status")["certificate"]
    assert (found["names"], found["days_left"]) == (["shop.example.com"], 59)
    assert "certificate of market/staging" in secure("doctor")

    (url,) = secure.document("status")["urls"]
    assert b"The market" in ask(url, "/", "www.example.com").read()
    assert ask(url, "/", "other.example.com").status == 404
    assert b"A new bell" in ask(url, "/blog", "other.example.com").read()
    plain = (secure.app / "homeport.toml").read_text().partition('redirect = "')[2].partition('"')[0]
    redirect = ask(f"http://{plain}", "/blog?page=2", f"www.example.com:{urlsplit(f'//{plain}').port}")
    assert (redirect.status, redirect.headers["Location"]) == (
        308,
        f"https://www.example.com:{urlsplit(url).port}/blog?page=2",
    )

    commit(tmp_path / "blog", {"posts/2026-03-01-tar.txt": "Tar\nSticky.\n"})
    assert secure.document("deploy", "--app", "blog")["release"] == "r2"
    assert b"Tar" in ask(url, "/blog/2026-03-01-tar", "x").read()
    assert git(tmp_path / "blog", "tag") == ""
    (tmp_path / "blog").rename(tmp_path / "moved")
    assert "did it move" in secure("deploy", "--app", "blog", code=3)
    assert secure.document("deploy", "--app", "blog", "--release", "r1")["verdict"] == "good"
    assert secure.document("deploy", "--app", "shop")["changed"] is False
