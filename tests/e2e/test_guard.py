"""What stands between a person and what serves: maintenance, freezes, hooks and alarms, as they are typed."""

import os
import signal
from collections.abc import Iterator

import pytest

from homeport.system.home import Home
from tests.app_repository import commit, make_repository
from tests.e2e.balanced import Response, get, until
from tests.e2e.person import FILE, Person
from tests.load import load

PAGE = "<!doctype html><h1>Back at noon</h1>" + "x" * 13_900
GUARDED = """
[maintenance]
page = "back.html"
retry_after = "2m"
"""


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    tmp_path = tmp_path_factory.mktemp("guard")
    edits = {"homeport.toml": FILE + GUARDED, "Procfile": "web: exec python3 web.py\n", "back.html": PAGE}
    found = Person(make_repository("plain", tmp_path, edits=edits), tmp_path / "home")
    try:
        found("up")
        yield found
    finally:
        found.leave()


def asked(person: Person, path: str = "/", **headers: str) -> Response:
    return get(int(person.url().rpartition(":")[2]), path, **headers)


def test_maintenance(person: Person) -> None:
    with load(person.url(), rate=40, methods=("GET",)) as running:
        found = person.document("maintenance", "on", "--why", "the database moves")
        assert [(each["app"], each["own_page"]) for each in found["maintenance"]] == [(None, True)]
        closed = asked(person)
        assert (closed.status, closed.body.decode(), closed.headers["retry-after"]) == (503, PAGE, "120")
        assert asked(person, "/healthz").status == 200
        assert "in maintenance since" in person("status")
        assert "the database moves" in person("ps")

        person("maintenance", "on", "--allow", "127.0.0.1", "--allow", "192.0.2.0/24")
        assert asked(person).status == 200
        assert asked(person, x_forwarded_for="192.0.2.7").status == 200
        assert asked(person, x_forwarded_for="198.51.100.7").status == 503
        person("maintenance", "on")
        assert asked(person).status == 503

        person("maintenance", "off")
        assert asked(person).status == 200
    lost = [each for each in running.report.failures if "status 503" not in each]
    assert lost == []
    assert running.report.failures
    assert running.report.latencies_ms
    assert "expected an address or a network" in person("maintenance", "on", "--allow", "10.0.0.1/8", code=2)
    assert "isn't up" in person("maintenance", "on", "--app", "shop", code=3)


def test_maintenance_outlives_whatever_is_killed(person: Person) -> None:
    person("maintenance", "on")
    port = int(person.url().rpartition(":")[2])
    home = Home.from_environment({"HOMEPORT_HOME": str(person.home)})
    daemon, haproxy = (int((home.services / each / "supervise/pid").read_text()) for each in ("daemon", "haproxy"))
    os.kill(daemon, signal.SIGKILL)
    os.kill(haproxy, signal.SIGKILL)

    def closed() -> bool:
        try:
            return get(port).status == 503 and get(port).body.decode() == PAGE
        except OSError:
            return False

    until(closed, "the page is back", seconds=30)
    person("engine", "restart")
    assert asked(person).status == 503
    person("maintenance", "off")
    assert asked(person).status == 200


HOOKS = ("pre-build", "pre-deploy", "post-deploy", "on-failure")
TOLD = ("APP", "ENVIRONMENT", "RELEASE", "PREVIOUS", "DEPLOYMENT", "VERDICT", "STAGE")


def hook(person: Person, name: str, then: str = "") -> None:
    """Notes what it was told, and does what follows."""
    path = person.app / ".homeport/hooks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    words = " ".join(f"$HOMEPORT_{each}," for each in TOLD)
    path.write_text(f'#!/bin/sh\necho "$HOMEPORT_HOOK: {words}" | tee -a "$HOMEPORT_HOME/../told"\n{then}\n')
    path.chmod(0o755)


def told(person: Person) -> list[str]:
    """Since it was asked last."""
    path = person.home.parent / "told"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_hooks(person: Person) -> None:
    app = person.app
    before = person.document("status")["apps"][0]["release"]
    for name in HOOKS:
        hook(person, name)
    (app / ".homeport/hooks/pre-deploy").chmod(0o644)
    commit(app, {"one.txt": "1"})
    assert "pre-deploy isn't executable" in person("deploy", code=2)
    assert told(person) == []

    hook(person, "pre-deploy", "echo no >&2; exit 3")
    said = person("deploy", code=6)
    assert "    no\n" in said
    assert "r2 of plain isn't deployed" in said
    assert person.document("status")["apps"][0]["release"] == before == "r1"
    assert told(person) == [
        "pre-build: plain, staging, , r1, , , ,",
        "pre-deploy: plain, staging, r2, r1, , , ,",
        "on-failure: plain, staging, r2, r1, , , pre-deploy,",
    ]

    hook(person, "pre-deploy")
    hook(person, "post-deploy", "exit 5")
    assert "r2 is good, and runs on" in person.document("deploy", code=6)["error"]["message"]
    assert told(person) == [
        "pre-deploy: plain, staging, r2, r1, , , ,",
        "post-deploy: plain, staging, r2, r1, 2, good, ,",
    ]
    person("deploy")
    assert told(person) == [], "nothing has changed"

    hook(person, "post-deploy")
    code = (app / "web.py").read_text()
    commit(app, {"web.py": "raise SystemExit(3)\n"})
    assert "failed" in person("deploy", code=6)
    assert told(person) == [
        "pre-build: plain, staging, , r2, , , ,",
        "pre-deploy: plain, staging, r3, r2, , , ,",
        "on-failure: plain, staging, r3, r2, 3, failed, deploy,",
    ]
    commit(app, {"web.py": code})

    hook(person, "pre-build", "exec sleep 1000")
    terminal = person.begin("deploy")
    until(lambda: (person.home.parent / "told").exists(), "the hook runs", seconds=30)
    terminal.send_signal(signal.SIGINT)
    terminal.communicate(timeout=30)
    assert terminal.returncode == 130
    for name in HOOKS:
        (app / ".homeport/hooks" / name).unlink()
    told(person)
    assert len(person.document("release", "list")["releases"]) == 3
