"""A group heals by itself, under load, with the real parts: illnesses are told apart, a zone fails, a database
goes and comes back, people take instances aside and have them replaced."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.app_repository import commit, make_repository, replaced
from tests.e2e.balanced import until
from tests.e2e.person import FILE, Person
from tests.e2e.test_heal import answer
from tests.load import SAFE, load

PATIENCE_SECONDS = 40
WEB = 6
APP = """import http.server, os, signal, socket, sys, time
DATABASE = ("127.0.0.1", {port})
if os.path.exists("loop"):
    sys.exit(3)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        match self.path:
            case "/healthz":
                try:
                    socket.create_connection(DATABASE, 0.5).close()
                except OSError as error:
                    return self.say(503, f"no database at 127.0.0.1:{port}: {{error}}")
            case "/wait":
                time.sleep(4)
            case "/hang":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "/eat":
                kept = []
                while True:
                    kept.append(b"x" * 10_000_000)
            case "/loop":
                open("loop", "w").close()
                os._exit(3)
        release, instance = os.environ["HOMEPORT_RELEASE"], os.environ["HOMEPORT_INSTANCE"]
        self.say(200, f"plain 1 {{release}} {{instance}} {{os.getpid()}}")
    do_HEAD = do_OPTIONS = do_GET
    def say(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
Server(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Database:
    """Whoever connects is let in and sent away, while it is there."""

    def __init__(self) -> None:
        self.port = 0
        self.comes_back()

    def goes(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def comes_back(self) -> None:
        self.server = Listening(("127.0.0.1", self.port), socketserver.BaseRequestHandler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class Listening(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 1024


class Site:
    def __init__(self, person: Person, database: Database) -> None:
        self.person = person
        self.database = database
        self.url = person.url()

    def group(self) -> dict[str, Any]:
        ((group,),) = ([*app["groups"]] for app in self.person.document("status")["apps"])
        return dict(group)

    def live(self) -> dict[str, dict[str, Any]]:
        return {each["id"]: each for each in self.person.instances()}

    def settled(self, count: int = WEB) -> dict[str, dict[str, Any]]:
        """So many are in service and well, and nobody else is there: id → instance."""
        found: dict[str, dict[str, Any]] = {}

        def there() -> bool:
            nonlocal found
            found = self.live()
            return len(found) == count and all(
                (each["state"], each["check"], each["target"]) == ("InService", "healthy", "ready")
                for each in found.values()
            )

        until(there, f"{count} in service", PATIENCE_SECONDS)
        return found

    def zones(self) -> dict[str, int]:
        return {each["zone"]: each["instances"] for each in self.person.document("zone", "list")["zones"]}

    def ends(self, instance: str) -> str:
        """Why it ended, once it has."""

        def said() -> list[str]:
            events = self.person.document("events")["events"]
            kinds = ("drain", "stop", "terminate")
            return [str(each["message"]) for each in events if each["subject"] == instance and each["kind"] in kinds]

        until(lambda: instance not in self.live(), f"{instance} has ended", PATIENCE_SECONDS)
        return " | ".join(said())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("fleet")
    database = Database()
    file = FILE.replace('grace = "30s"', 'timeout = "700ms"\ngrace = "8s"\nunhealthy_after = "4s"')
    size = f'instances = {{ min = 1, desired = {WEB}, max = 9 }}\nmemory = "80MB"\nsurge = 2'
    edits = {
        "homeport.toml": file.replace("instances = 2", size),
        "Procfile": "web: exec python3 web.py\n",
        "web.py": APP.format(port=database.port),
    }
    person = Person(make_repository("plain", directory, edits=edits), directory / "home")
    try:
        person("up")
        yield Site(person, database)
    finally:
        person.leave()
        database.goes()


def test_the_loss_of_a_zone_costs_no_get_and_it_is_made_up_in_the_others(site: Site) -> None:
    site.settled()
    assert site.zones() == {"a": 2, "b": 2, "c": 2}
    with load(site.url, rate=100, methods=SAFE) as running:
        site.person("zone", "fail", "a")
        until(lambda: site.zones() == {"a": 0, "b": 3, "c": 3}, "the others make up for it", PATIENCE_SECONDS)
        site.settled()
    assert running.report.failures == []
    assert site.group()["breakers"] == []
    assert "is the last that hasn't failed" in (
        site.person("zone", "fail", "b") and site.person("zone", "fail", "c", code=4)
    )
    for zone in "ab":
        site.person("zone", "restore", zone)
    until(lambda: site.zones() == {"a": 2, "b": 2, "c": 2}, "even again", PATIENCE_SECONDS)
    site.settled()


@pytest.mark.parametrize(("path", "said"), [("/hang", "hung: GET /healthz"), ("/loop", "looping: web ended")])
def test_a_sick_instance_is_replaced_and_told_apart(site: Site, path: str, said: str) -> None:
    before = site.settled()
    victim = min(before)
    with asked(before[victim], path):
        assert said in site.ends(victim)
    assert site.settled().keys() >= before.keys() - {victim}


def test_one_that_eats_its_memory_is_killed_alone_and_serves_again(site: Site) -> None:
    """Its supervisor is faster than any replacement."""
    before = site.settled()
    with asked(before[min(before)], "/eat") as connection:
        assert connection.recv(1) == b""
    until(lambda: site.live()[min(before)]["processes"][0]["exits"] == 1, "its end is seen", PATIENCE_SECONDS)
    after = site.settled()
    (web,) = after[min(before)]["processes"]
    assert (web["exits"], after.keys()) == (1, before.keys())
    said = "ended with signal 9 (SIGKILL), out of memory"
    if "by cgroup" in site.person("doctor"):
        assert web["last_exit"] in said
        until(lambda: f"web {said}" in site.person("events"), "its end is told", PATIENCE_SECONDS)
        assert "out of memory: 1 of its processes killed" in site.person("ps")
        assert f"process ended: web {said}" in site.person("why", min(before))


@contextlib.contextmanager
def asked(instance: dict[str, Any], path: str) -> Iterator[socket.socket]:
    """A connection on which a request was sent, past the balancer."""
    with socket.create_connection((instance["address"], instance["port"]), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield connection


def test_when_the_database_goes_nobody_is_ended_and_all_is_well_when_it_is_back(site: Site) -> None:
    before = site.settled()
    site.database.goes()
    where = f"127.0.0.1:{site.database.port}"
    until(lambda: site.group()["fail_open"], "its targets get requests all the same", PATIENCE_SECONDS)
    until(lambda: any(f"all name {where}" in each for each in site.group()["notes"]), "the cause", PATIENCE_SECONDS)
    until(lambda: answer(site.url).startswith("plain "), "it answers", PATIENCE_SECONDS)
    until(lambda: any("one is tried" in each for each in site.group()["notes"]), "one is tried", PATIENCE_SECONDS)
    assert "all targets are unhealthy; they get requests all the same" in site.person("status")
    assert site.live().keys() >= before.keys()
    site.database.comes_back()
    after = site.settled()
    assert len(after.keys() & before.keys()) >= WEB - 1
    until(lambda: not (seen := site.group())["fail_open"] and seen["notes"] == [], "it is over", PATIENCE_SECONDS)


def test_standby_a_frozen_zone_and_a_cycle(site: Site) -> None:
    before = site.settled()
    aside, other = sorted(before)[:2]
    site.person("standby", "enter", aside)
    site.person("standby", "enter", other, "--decrement")

    def states() -> list[str]:
        return sorted(each["state"] for each in site.live().values())

    until(lambda: states() == ["InService"] * (WEB - 1) + ["Standby"] * 2, "both are aside", PATIENCE_SECONDS)
    assert set(site.group()["standby"]) == {aside, other}
    assert "no instance 'web-999'" in site.person("standby", "enter", "web-999", code=3)
    for each in (aside, other):
        site.person("standby", "exit", each)
    assert {aside, other} <= site.settled().keys()
    frozen = site.live()[aside]
    with ThreadPoolExecutor(2 * WEB) as pool:
        answers = [pool.submit(answer, f"{site.url}/wait") for _ in range(2 * WEB)]
        site.person("zone", "fail", frozen["zone"], "--freeze")
        assert all(each.result().startswith("plain 1 ") for each in answers), "what was on its way went to others"
    assert Path(f"/proc/{frozen['pid']}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    until(lambda: len([one for one in site.live().values() if one["target"] == "ready"]) == WEB, "made up", 40)
    site.person("zone", "restore", frozen["zone"])
    site.settled()
    site.person("fleet", "suspend", "Launch")
    assert "homeport fleet resume Launch" in site.person("deploy", "--force", code=4)
    site.person("fleet", "resume", "all", "web")
    old = site.settled().keys()
    with load(site.url, rate=50, methods=SAFE) as running:
        assert site.person.document("cycle", "web", "--batch", "2")["instances"] == WEB
    assert running.report.failures == []
    assert old.isdisjoint(site.settled())
    assert site.group()["cycle"] is None


def test_bad_input_changes_nothing(site: Site) -> None:
    assert "expected 1 to 9" in site.person("scale", "web=10", code=2)
    assert 'did you mean "web"' in site.person("breaker", "reset", "wep", code=3)
    assert 'did you mean "Launch"' in site.person("fleet", "suspend", "launhc", code=2)
    assert "no zone 'd'; there is a, b, c" in site.person("zone", "fail", "d", code=3)
    assert "expected 1 or more" in site.person("cycle", "web", "--batch", "0", code=2)
    assert site.person.document("breaker", "reset")["groups"] == [{"app": "plain", "group": "web"}]
    assert site.group()["suspended"] == []
    commit(site.person.app, replaced(site.person.app, "homeport.toml", '"80MB"', '"999GB"'))
    assert f"{WEB} × 999.0 GB = 5994.0 GB" in site.person("deploy", code=2)
    assert all(each["phase"] == "ended" for each in site.person.document("deployment", "list")["deployments"])
