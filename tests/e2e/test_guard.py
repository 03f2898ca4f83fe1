"""What stands between a person and what serves: maintenance, freezes, hooks and alarms, as they are typed."""

import contextlib
import http.server
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from homeport.system.home import Home
from tests.app_repository import commit, make_repository
from tests.e2e.balanced import Response, get, until
from tests.e2e.person import FILE, Person
from tests.load import load

PAGE = "<!doctype html><h1>Back at noon</h1>" + "x" * 13_900
PROCFILE = "web: exec python3 web.py\nrelease: echo migrated; echo all\n"
GUARDED = """
[maintenance]
page = "back.html"
retry_after = "2m"
"""


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    tmp_path = tmp_path_factory.mktemp("guard")
    edits = {"homeport.toml": FILE + GUARDED, "Procfile": PROCFILE, "back.html": PAGE}
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
            answer = get(port)
            return (answer.status, answer.body.decode()) == (503, PAGE)
        except OSError:
            return False

    until(closed, "the page is back")
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
    until(lambda: (person.home.parent / "told").exists(), "the hook runs")
    terminal.send_signal(signal.SIGINT)
    terminal.communicate(timeout=60)
    assert terminal.returncode == 130
    for name in HOOKS:
        (app / ".homeport/hooks" / name).unlink()
    told(person)
    assert len(person.document("release", "list")["releases"]) == 3


def test_everything_about_a_deployment_in_one_page(person: Person) -> None:
    """Those of the hooks: the second was good, the third wasn't."""
    person("config", "set", "GREETING=hello")
    good = person.document("deployment", "show", "2")
    assert (good["deployment"]["verdict"], good["deployment"]["release"], good["deployment"]["previous"]) == (
        "good",
        "r2",
        "r1",
    )
    assert [each["subject"] for each in good["commits"]["commits"]] == ["Change"]
    assert good["changes"]["config"] == []
    assert (good["task"]["exit_code"], [each["text"] for each in good["task"]["lines"]]) == (0, ["migrated", "all"])
    launched = {each["id"]: each for each in good["instances"] if each["happened"][0]["kind"] == "launch"}
    assert len(launched) == 2
    assert all("listens on" in each["lines"][0]["text"] for each in launched.values())
    times = [each["seconds"] for each in good["timeline"]]
    assert times == sorted(times)
    assert good["timeline"][-1]["text"] == "good"
    assert abs(sum(each["took_seconds"] or 0 for each in good["timeline"]) - good["took_seconds"]) < 0.001
    assert good["unknown"] == []
    assert person.document("deployment", "show", "1")["unknown"] == []

    failed = person("deployment", "show", "3")
    for said in ("failed, after", "release task", "    | migrated", "going back (failed)", "verdict", "exit code 3"):
        assert said in failed, said
    newest = person.document("deployment", "list")["deployments"][0]["number"]
    assert "GREETING=hello" in person("deployment", "show", str(newest))

    first = next((person.home / "store").glob("plain/staging/r1/release.json"))
    kept = first.read_bytes()
    first.unlink()
    try:
        assert "not known: r1 isn't in the store any more" in person("deployment", "show", "2")
    finally:
        first.write_bytes(kept)
    assert "has no deployment 99" in person("deployment", "show", "99", code=3)


class Outside:
    """A site of somebody else's, that answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/checkout"


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()


def visit(port: int, path: str, ended: threading.Event) -> None:
    while not ended.is_set():
        with contextlib.suppress(OSError):
            get(port, path)
        ended.wait(0.02)


def test_alarms(person: Person, outside: Outside) -> None:
    def deploy(alarms: str, code: int = 0) -> str:
        text = (FILE + GUARDED).replace('bake = "200ms"\n', f'bake = "2s"\n{alarms}')
        commit(person.app, {"homeport.toml": text})
        return person("deploy", code=code)

    url = f'[[deploy.alarms]]\nname = "checkout"\nurl = "{outside.url}"\n'
    command = '[[deploy.alarms]]\nname = "smoke"\ncommand = "echo $HOMEPORT_APP is broken; test -e {}"\n'
    metric = '[[deploy.alarms]]\nname = "errors"\nmetric = "error_rate"\nabove = "50%"\nmin_requests = 5\n'

    port = int(person.url().rpartition(":")[2])
    ended = threading.Event()
    visitor = threading.Thread(target=visit, args=(port, "/", ended))
    visitor.start()
    try:
        deploy(url + command.format("web.py") + metric)
    finally:
        ended.set()
        visitor.join()

    outside.status = 503
    said = deploy(url + metric, code=6)
    assert f"the alarm checkout rings: GET {outside.url} answers 503, expected 2xx" in said
    said = deploy(command.format("nowhere"), code=6)
    assert "ended with status 1, expected 0" in said
    assert "plain is broken" in said

    ended = threading.Event()
    visitor = threading.Thread(target=visit, args=(port, "/status/500", ended))
    visitor.start()
    try:
        said = deploy(metric, code=6)
    finally:
        ended.set()
        visitor.join()
    assert "the alarm errors rings: 100% of " in said
    verdicts = [each["verdict"] for each in person.document("deployment", "list")["deployments"]][:4]
    assert verdicts == ["failed", "failed", "failed", "good"]


def test_freeze(person: Person) -> None:
    commit(person.app, {"homeport.toml": FILE + GUARDED})
    made = len(person.document("release", "list")["releases"])
    person("freeze", "--for", "2h", "--why", "the sale")
    for words in (("deploy",), ("up",), ("config", "set", "A=b"), ("rollback",), ("deploy", "--detach")):
        assert ": the sale" in person(*words, code=4)
    assert "frozen until" in person("status")
    assert len(person.document("release", "list")["releases"]) == made
    person("deploy", "--override-freeze", "the login is broken")
    person("unfreeze")
    assert "isn't frozen" in person("unfreeze")
    kinds = [each["kind"] for each in person.document("events")["events"]]
    assert [each for each in kinds if "fr" in each and "ze" in each] == [
        "frozen",
        "freeze_overridden",
        "unfrozen",
    ]
    assert "over" in person("freeze", "--until", "2020-01-01", "--why", "late", code=2)
