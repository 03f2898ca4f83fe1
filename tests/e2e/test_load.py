"""Deploys, returns, scaling and deaths under an open-loop load: no request is lost. One environment for all of it."""

import base64
import contextlib
import os
import re
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec import structs

from homeport.control.control import Control
from homeport.model.deployment import Deployment, Moved, Phase, Verdict, Watched
from homeport.model.fleet import Check, Instance, Observation, State, Target
from homeport.model.platform import Resolved, Weight
from homeport.plan.member import age
from homeport.testing.world import APP
from tests.e2e.role import until_enough
from tests.load import SAFE, Load, load
from tests.local_world import LocalWorld, Published, home_in

PATIENCE_SECONDS = 120.0
FILE = """app = "plain"
[health]
path = "/healthz"
interval = "200ms"
grace = "20s"
settle = "200ms"
[groups.web]
run = ["web"]
instances = 2
stop_grace = "3s"
drain = "3s"
[groups.worker]
run = ["worker"]
stop_grace = "3s"
[deploy]
bake = "300ms"
[environments.staging]
engine = "local"
"""


class Site:
    """The environment: a control plane in a thread, and what tests do to it and ask of it."""

    def __init__(self, world: LocalWorld) -> None:
        self.world = world
        self.control = Control(world.engine, world.store, world.clock, holder="test")
        self._loop = threading.Thread(target=self.control.run, name="control")
        self._loop.start()

    def release(
        self,
        strategy: str = "replace",
        *,
        bake: timedelta | None = None,
        grace: timedelta | None = None,
        deploy: Mapping[str, Any] = MappingProxyType({}),
        **config: str,
    ) -> int:
        """A release of its own: number. `deploy`: more of [deploy]."""
        known: Resolved = self.world.published.resolved
        said = {"strategy": strategy, "bake": bake or known.deploy.bake, **deploy}
        groups = tuple(
            structs.replace(each, health=structs.replace(each.health, grace=grace or each.health.grace))
            for each in known.groups
        )
        return self.world.published.publish(
            config, structs.replace(known, deploy=structs.replace(known.deploy, **said), groups=groups)
        ).number

    def begin(self, number: int) -> None:
        self.control.deploy(self.world.place, APP, number, by="tester", why="test")

    def deploy(self, number: int) -> Verdict:
        """The verdict, once nothing is on its way in or out any more."""
        self.begin(number)
        return self.verdict()

    def verdict(self) -> Verdict:
        self.until(lambda: self.deployment.ended is not None and self.quiet())
        assert self.deployment.ended is not None
        return self.deployment.ended.verdict

    def scale(self, count: int) -> None:
        self.control.scale(self.world.place.id, APP, "web", count)
        self.until(lambda: self.quiet() and len(self.serving()) == count)

    @property
    def deployment(self) -> Deployment:
        found = self.control.newest(self.world.place.id, APP)
        assert found is not None
        return found

    def observe(self) -> Observation:
        return self.control.observation(self.world.place.id)[0]

    def serving(self) -> list[Instance]:
        return [each for each in self.observe().instances if each.target is Target.READY]

    def quiet(self) -> bool:
        seen = [each for each in self.observe().instances if each.state is not State.TERMINATED]
        return all(
            each.state is State.IN_SERVICE and each.check is Check.HEALTHY and each.target is not Target.DRAINING
            for each in seen
        )

    def until(self, ready: Callable[[], bool]) -> None:
        assert self.control.wait(ready, PATIENCE_SECONDS), f"never ready: {self.deployment} {self.observe()}"

    def close(self) -> None:
        self.control.end()
        self._loop.join()
        self.world.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("load")
    with home_in(path) as home:
        world = LocalWorld(home, Published(home, path, file=lambda _: FILE))
        found = Site(world)
        try:
            assert found.deploy(found.release()) is Verdict.GOOD
            yield found
        finally:
            found.close()


def nothing_failed(running: Load) -> None:
    report = running.end()
    assert not report.failures, f"{len(report.failures)} of {report.sent} failed: {report.failures[:10]}"
    assert report.sent > 50


# --- deploys ----------------------------------------------------------------------------------------------------------


def test_replace_and_rollback(site: Site) -> None:
    before = site.deployment.started.release
    after = site.release(APP_BETTER="yes")
    with load(site.world.url) as running:
        assert site.deploy(after) is Verdict.GOOD
        assert site.deploy(before) is Verdict.GOOD
    nothing_failed(running)
    assert {f"r{before}", f"r{after}"} <= set(running.report.releases)


def test_scale_and_rolling(site: Site) -> None:
    rolling = site.release("rolling", APP_ROLLED="yes")
    with load(site.world.url) as running:
        site.scale(4)
        ids = {each.id for each in site.serving()}
        assert site.deploy(rolling) is Verdict.GOOD
        assert {each.id for each in site.serving()} == ids, "they were to be converted in place"
        assert {each.release for each in site.serving()} == {rolling}
        site.scale(2)
    nothing_failed(running)
    assert f"r{rolling}" in running.report.releases


def test_never_healthy_goes_back(site: Site) -> None:
    before = site.deployment.started.release
    sick = site.release(grace=timedelta(seconds=1), APP_HEALTH="500")
    with load(site.world.url) as running:
        assert site.deploy(sick) is Verdict.FAILED
    nothing_failed(running)
    assert set(running.report.releases) == {f"r{before}"}


def test_crash_in_the_bake_goes_back(site: Site) -> None:
    before = [each.release for each in site.serving()]
    bad = site.release(bake=timedelta(seconds=60))
    with load(site.world.url, methods=SAFE) as running:
        site.begin(bad)
        site.until(lambda: site.deployment.phase is Phase.BAKE)
        crash(site.serving()[0])
        assert site.verdict() is Verdict.FAILED
        assert [each.release for each in site.serving()] == before
    nothing_failed(running)
    assert f"r{bad}" in running.report.releases


def test_all_that_crash_at_once_are_stood_in_for(site: Site) -> None:
    before = [each.release for each in site.serving()]
    bad = site.release(bake=timedelta(seconds=60), APP_ALL="die")
    with load(site.world.url, methods=SAFE) as running:
        site.begin(bad)
        site.until(lambda: site.deployment.phase is Phase.BAKE)
        for each in site.serving():
            assert each.pid is not None
            os.kill(each.pid, signal.SIGKILL)
        assert site.verdict() is Verdict.FAILED
        assert [each.release for each in site.serving()] == before
    failures = running.report.failures
    assert len(failures) < 10, f"the old ones weren't there at once: {len(failures)} failed: {failures}"


def crash(instance: Instance) -> None:
    """Its web process ends, asked for past the balancer."""
    with socket.create_connection((instance.address, instance.port), timeout=10) as connection:
        connection.sendall(b"GET /crash HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100) == b""


def test_aborted_in_the_bake(site: Site) -> None:
    before = ids(site)
    after = site.release("rolling", bake=timedelta(seconds=60), APP_ROLLED="abort")
    with load(site.world.url) as running:
        site.begin(after)
        site.until(lambda: site.deployment.phase is Phase.BAKE)
        site.control.abort(site.world.place.id, APP, None, by="ada", why="test")
        assert site.verdict() is Verdict.ABORTED
        assert ids(site) == before
    nothing_failed(running)
    assert f"r{after}" in running.report.releases


def test_surge_and_a_gate(site: Site) -> None:
    surge = {"max_unavailable": 0, "max_surge": 1, "pause_after": "50%"}
    after = site.release("rolling", deploy=surge, APP_ROLLED="surge")
    with load(site.world.url) as running:
        site.begin(after)
        site.until(lambda: site.deployment.waits_at_gate)
        assert len(site.serving()) == 3
        site.control.go_on(site.world.place.id, APP, None, by="ada")
        assert site.verdict() is Verdict.GOOD
    nothing_failed(running)
    assert {each.release for each in site.serving()} == {after}


def test_blue_green_and_back_without_a_boot(site: Site) -> None:
    assert site.deploy(site.release(APP_COLOUR="blue")) is Verdict.GOOD
    blue = {each.id: each.pid for each in site.serving()}
    green = site.release("blue-green", deploy={"keep_old": timedelta(seconds=60)}, APP_COLOUR="green")
    with load(site.world.url) as running:
        site.begin(green)
        site.until(lambda: site.deployment.ended is not None)
        assert {each.release for each in site.serving()} == {green}
        site.begin(site.release(APP_COLOUR="blue"))
        assert site.verdict() is Verdict.GOOD
        assert {each.id: each.pid for each in site.serving()} == blue
    nothing_failed(running)


def test_scaled_in_at_the_gate(site: Site) -> None:
    site.scale(4)
    after = site.release("rolling", deploy={"pause_after": "50%"}, APP_ROLLED="scaled")
    with load(site.world.url) as running:
        site.begin(after)
        site.until(lambda: site.deployment.waits_at_gate)
        site.control.scale(site.world.place.id, APP, "web", 3)
        site.until(lambda: site.quiet() and len(site.serving()) == 3)
        assert [each.release for each in site.serving()].count(after) == 2, "those of the old release go first"
        assert site.deployment.waits_at_gate
        site.control.scale(site.world.place.id, APP, "web", 2)
        site.until(lambda: site.quiet() and len(site.serving()) == 2)
        site.control.go_on(site.world.place.id, APP, None, by="ada")
        assert site.verdict() is Verdict.GOOD
    nothing_failed(running)
    assert [each.release for each in site.serving()] == [after] * 2


def test_ill_in_the_second_batch(site: Site) -> None:
    site.scale(3)
    before, known = {each.release for each in site.serving()}, ids(site)
    *others, _ = sorted(site.serving(), key=age)
    ill_on = ",".join(each.id for each in others)

    def fail(grace_seconds: int) -> tuple[list[int], bool]:
        """The batches that were moved; whether the first was asked."""
        bad = site.release("rolling", grace=timedelta(seconds=grace_seconds), APP_ILL_ON=ill_on)
        with load(site.world.url) as running:
            assert site.deploy(bad) is Verdict.FAILED
            assert ids(site) == known
            assert {each.release for each in site.serving()} == before
        nothing_failed(running)
        entries = site.control.deployment(site.world.place.id, APP, site.deployment.started.number)[0]
        batches = [each.batch for each in entries if isinstance(each, Moved)]
        return batches, f"r{bad}" in running.report.releases

    found = until_enough((3, 12, 40), fail, lambda found: len(found[0]) == 2)
    assert found == ([1, 2], True), site.deployment


@pytest.mark.parametrize("strategy", ["blue-green", "canary"])
def test_healthy_at_first_and_ill_then(site: Site, strategy: str) -> None:
    before = {each.release for each in site.serving()}
    deploy = {"steps": STEPS, "min_requests": 20} if strategy == "canary" else {}
    bad = site.release(strategy, bake=timedelta(seconds=60), deploy=deploy, APP_ILL_AFTER="20")
    with load(site.world.url) as running:
        site.begin(bad)
        assert site.verdict() is Verdict.FAILED
        assert {each.release for each in site.serving()} == before
    nothing_failed(running)
    assert f"r{bad}" in running.report.releases
    assert site.deployment.ended is not None
    assert "unhealthy" in site.deployment.ended.evidence.summary


def test_both_releases_fail_and_what_serves_is_kept(site: Site) -> None:
    site.scale(3)
    with socket.create_server(("127.0.0.1", 0)) as database:
        port = database.getsockname()[1]

        def verdict(grace_seconds: int) -> Verdict:
            grace = timedelta(seconds=grace_seconds)
            return site.deploy(site.release("rolling", grace=grace, APP_NEEDS=f"127.0.0.1:{port}"))

        assert until_enough((3, 12, 40), verdict, lambda found: found is Verdict.GOOD) is Verdict.GOOD
        before = site.deployment.started.release
    bad = site.release("rolling", APP_NEEDS=f"127.0.0.1:{port}", APP_ROLLED="without")
    with load(site.world.url) as running:
        site.begin(bad)
        site.until(lambda: site.deployment.ended is not None)
        assert site.deployment.ended is not None
        assert site.deployment.ended.verdict is Verdict.INFRASTRUCTURE
        assert "the release before fails as well" in site.deployment.ended.evidence.summary
        assert [each.release for each in site.serving()] == [before] * 2
        site.until(lambda: bool(broken(site)))
        assert [each.release for each in site.serving()] == [before] * 2
        with socket.create_server(("127.0.0.1", port)):
            site.until(lambda: site.quiet() and len(site.serving()) == 3)
    nothing_failed(running)
    site.scale(2)


def broken(site: Site) -> set[int]:
    """Releases of web whose launches are held back."""
    care = site.control.environments[site.world.place.id].care[APP, "web"]
    return {each.release for each in care.breakers}


STEPS = (Weight(percent=10, pause=timedelta(seconds=2)), Weight(percent=50, pause=timedelta(seconds=2)))


def test_canary(site: Site) -> None:
    def verdict(attempt: int) -> Verdict:
        (before,) = {each.release for each in site.serving()}
        canary = {"steps": STEPS, "min_requests": 20}
        after = site.release("canary", deploy=canary, APP_CANARY=f"good {attempt}")
        with load(site.world.url, rate=200) as running:
            site.begin(after)
            site.until(lambda: site.deployment.judged == 1 or site.deployment.ended is not None)
            serving = {each.release for each in site.serving()}
            found = site.verdict()
        nothing_failed(running)
        if found is Verdict.GOOD:
            assert serving == {before, after}
            assert 0.07 <= part_of(site, after) <= 0.13, "a tenth"
        else:
            assert site.deployment.ended is not None
            assert re.search(r"its answers take|\d+ requests to the new", site.deployment.ended.evidence.summary)
        return found

    # where the machine lets its process wait, its answers take longer than others'; where it lets the load, few come
    assert until_enough((1, 2, 3), verdict, lambda found: found is Verdict.GOOD) is Verdict.GOOD


def part_of(site: Site, release: int) -> float:
    """Of the requests of the first step's first look."""
    entries = site.control.deployment(site.world.place.id, APP, site.deployment.started.number)[0]
    (first, *_) = [each for each in entries if isinstance(each, Watched)]
    answers = site.world.engine.answers(site.world.place.id, APP, "web", since_at=first.at, until_at=first.until_at)
    return answers[release].requests / sum(each.requests for each in answers.values())


def test_a_bad_canary_goes_back(site: Site) -> None:
    before = ids(site)
    steps = (Weight(percent=20, pause=timedelta(seconds=4)),)
    after = site.release("canary", deploy={"steps": steps, "min_requests": 20}, APP_ANSWER_SECONDS="0.05")
    with load(site.world.url, rate=200) as running:
        assert site.deploy(after) is Verdict.FAILED
    nothing_failed(running)
    assert site.deployment.ended is not None
    assert "its answers take" in site.deployment.ended.evidence.summary
    assert ids(site) == before


# --- deaths -----------------------------------------------------------------------------------------------------------


def test_killed_tree_is_replaced(site: Site) -> None:
    with load(site.world.url, methods=SAFE) as running:
        for _ in range(3):
            victim = site.serving()[0]
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)
            site.until(lambda gone=victim.id: site.quiet() and gone not in ids(site) and len(site.serving()) == 2)
    nothing_failed(running)


def ids(site: Site) -> set[str]:
    return {each.id for each in site.serving()}


# --- long connections -------------------------------------------------------------------------------------------------


class WebSocket:
    def __init__(self, url: str) -> None:
        self.connection = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=20)
        key = base64.b64encode(b"sixteen bytes !!").decode()
        self.connection.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self.stream = self.connection.makefile("rb")
        assert self.stream.readline().startswith(b"HTTP/1.1 101")
        while self.stream.readline() != b"\r\n":
            pass

    def ask(self, text: str) -> str:
        """Who answers, and what."""
        self.connection.sendall(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text.encode())
        opcode, data = self.receive()
        assert opcode == 1
        return data.decode()

    def receive(self) -> tuple[int, bytes]:
        first, length = self.stream.read(2)
        return first & 0x0F, self.stream.read(length)

    def close(self) -> None:
        self.stream.close()
        self.connection.close()


def test_open_connections_get_the_drain_time(site: Site) -> None:
    web_socket = WebSocket(site.world.url)
    with contextlib.closing(web_socket), load(site.world.url) as running:
        (old,) = {web_socket.ask("before").partition(":")[0]}
        site.begin(site.release(APP_ANOTHER="yes"))
        site.until(lambda: old not in ids(site))
        assert web_socket.ask("draining") == f"{old}: draining"
        opcode, said = web_socket.receive()
        assert (opcode, struct.unpack(">H", said[:2])[0]) == (8, 1001), "the app was to say goodbye, at TERM"
        assert site.verdict() is Verdict.GOOD
        assert events(site.world.url) == [f"data: event {number}" for number in range(3)]
    nothing_failed(running)


def events(url: str) -> list[str]:
    """The first three of a stream that goes on for minutes: buffered, they wouldn't be here."""
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=20) as connection:
        connection.sendall(b"GET /events?count=10000&seconds=0.05 HTTP/1.1\r\nHost: x\r\n\r\n")
        with connection.makefile("rb") as stream:
            found: list[str] = []
            while len(found) < 3:
                line = stream.readline()
                assert line, found
                if line.startswith(b"data: "):
                    found.append(line.decode().strip())
    return found


# --- the measure itself -----------------------------------------------------------------------------------------------

PLANTED = {
    "reset": b"",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nplain 1",
    "wrong body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "error": b"HTTP/1.1 503 No\r\nContent-Length: 8\r\n\r\nplain 1 ",
    "no answer": None,
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_the_load_sees_a_lost_request(planted: bytes | None) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        good = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nplain 1 r1 x"
        seen = threading.Event()
        server = threading.Thread(target=answer, args=(listener, good, planted, seen), daemon=True)
        server.start()
        with load(f"http://127.0.0.1:{listener.getsockname()[1]}", rate=40, methods=("GET",), timeout=5) as running:
            assert seen.wait(PATIENCE_SECONDS)
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
    assert len(running.report.failures) == 1, running.report.failures
    assert running.report.sent > 5


def answer(listener: socket.socket, good: bytes, planted: bytes | None, seen: threading.Event) -> None:
    """The sixth connection gets what is planted, all others what is right."""
    open_for_ever = []
    for number in range(10_000):
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.recv(65536)
        if number == 5 and planted is None:
            open_for_ever.append(connection)
        else:
            connection.sendall(planted if number == 5 and planted is not None else good)
            connection.close()
        if number == 10:
            seen.set()
