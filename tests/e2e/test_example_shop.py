"""examples/shop: web, a worker, a release task and static files, through a deploy and back."""

import http.cookiejar
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_repository import commit, make_repository, replaced
from tests.e2e.person import Person
from tests.e2e.role import wait_for


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    app = make_repository("shop", tmp_path)
    soon = '[health]\ninterval = "200ms"'
    commit(
        app, {"homeport.toml": replaced(app, "homeport.toml", "[health]", soon)["homeport.toml"].replace("2s", "200ms")}
    )
    found = Person(app, tmp_path / "home")
    try:
        yield found
    finally:
        found.leave()


def test_the_shop(person: Person) -> None:
    said = person("up")
    assert "release task done" in said
    assert "release task: the catalogue has" in person("logs", "--instance", "shop-release-d1")
    assert sorted(each["group"] for each in person.instances()) == ["web", "web", "worker"]
    wait_for(lambda: "stock counted 1 times" in person("logs", "--group", "worker"), "its first line")
    page = person.get()
    assert "Harbour lamp" in page
    for path in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page)):
        assert person.get(path)
    basket(person)

    commit(person.app, replaced(person.app, "catalogue.py", "Harbour lamp", "Another lamp"))
    said = person("deploy")
    assert "dependencies: unchanged" in said
    assert "Another lamp" in person.get()
    person.settled()
    assert "worker ends" in person("logs", "--instance", "worker-1"), "it was told, and ended by itself"
    assert "from r2 back to r1" in person("rollback")
    assert "Harbour lamp" in person.get()


def basket(person: Person) -> None:
    """What one instance puts into the cookie, another can read."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    asked = urllib.parse.urlencode({"article": "lamp"}).encode()
    instances = set()
    for _ in range(3):
        with browser.open(f"{person.url()}/basket", asked, timeout=20) as answer:
            page = answer.read().decode()
        instances |= set(re.findall(r"<b>(web-[0-9]+)</b>", page))
    assert "267.00" in page, "three lamps"
    assert instances <= {"web-1", "web-2"}
