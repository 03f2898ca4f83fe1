"""The API over a real control and a real store, asked by the real client over a real socket. Engine: memory."""

import http.client
import json
import socket
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeport.cli import door
from homeport.cli.client import Client
from homeport.cli.door import SocketDoor
from homeport.cli.follow import follow
from homeport.cli.output import Progress
from homeport.console.server import Server
from homeport.control.control import Control
from homeport.engines.memory.behaviour import Behaviour
from homeport.engines.memory.engine import MemoryEngine
from homeport.errors import Bug, Conflict, Invalid, NotFound, Unavailable
from homeport.model.deployment import Ended, Started, Verdict
from homeport.model.fleet import State
from homeport.model.platform import Deploy, Group, Health, Instances, Place, Resolved, Route
from homeport.model.release import Release, Slug, Snapshot
from homeport.releases.catalogue import Catalogue
from homeport.releases.publish import publish, publish_snapshot
from homeport.stores.objects import open_store
from homeport.system.clock import SystemClock

SHOP = "shop/staging"
VERSION = "1.2.3"


class World:
    """One control plane, its server, and a client of it."""

    def __init__(self, path: Path) -> None:
        (path / "store").mkdir()
        self.store = open_store(str(path / "store"))
        self.catalogue = Catalogue(self.store)
        self.engine = MemoryEngine(SystemClock(), self.catalogue.get)
        self.control = Control(self.engine, self.store, SystemClock(), holder="test")
        self.socket = path / "api.sock"
        self.client = Client(SocketDoor(self.socket, version=VERSION))
        self.server = Server(self.control, self.socket, version=VERSION)
        self.ended = threading.Event()
        self.loop = threading.Thread(target=self._run)

    def start(self) -> None:
        self.server.start()
        self.loop.start()

    def stop(self) -> None:
        self.ended.set()
        self.loop.join()
        self.server.stop()

    def _run(self) -> None:
        # memory's instances become healthy by the clock alone: nobody tells control
        while not self.ended.wait(0.01):
            self.control.tick()

    def release(self, *, bake_seconds: float = 0) -> int:
        health = Health(grace=_seconds(2), settle=_seconds(0))
        web = Group(name="web", run=("web",), instances=Instances(desired=2, max=4), health=health, balanced=True)
        config = publish_snapshot(self.store, "shop", "staging", Snapshot(groups={"web": {}}))

        def make(number: int) -> Release:
            return Release(
                app="shop",
                environment="staging",
                number=number,
                slug=Slug(layers=(), image="none", commit="c" * 40),
                config=config,
                resolved=Resolved(
                    app="shop",
                    place=Place(platform="shop", name="staging", engine="memory"),
                    groups=(web,),
                    routes=(Route(to="web"),),
                    deploy=Deploy(bake=_seconds(bake_seconds)),
                    processes={"web": f"serve {number}"},
                ),
                created_at=datetime(2026, 1, 1, tzinfo=UTC),
                created_by="Ada",
                why="deploy",
                origin=number,
            )

        return publish(self.store, app="shop", environment="staging", make=make).number

    def deploy(self, number: int) -> Ended:
        begun = self.client.deploy(SHOP, app="shop", release=number, by="Ada", why="deploy")
        return follow(self.client, SHOP, "shop", begun, Progress(quiet=True))


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    found.start()
    try:
        yield found
    finally:
        found.stop()


def test_only_the_owner_may_open_the_socket(world: World) -> None:
    assert stat.S_IMODE(world.socket.stat().st_mode) == 0o600


def test_a_deployment_is_seen_from_its_beginning_to_its_verdict(world: World) -> None:
    ended = world.deploy(world.release())
    assert ended.verdict is Verdict.GOOD
    found = world.client.status(SHOP)
    assert found.urls == (world.engine.environments()[SHOP][1],)
    (app,) = found.apps
    assert (app.app, app.release) == ("shop", "r1")
    assert [(each.name, each.desired, each.healthy, each.releases) for each in app.groups] == [("web", 2, 2, ("r1",))]
    assert app.deployment is not None
    assert (app.deployment.number, app.deployment.verdict, app.deployment.by) == (1, "good", "Ada")
    (listed,) = world.client.deployments(SHOP, "shop")
    assert (listed.release, listed.previous, listed.verdict) == ("r1", None, "good")
    assert isinstance(world.client.journal(SHOP, "shop", 1).entries[0], Started)
    assert [each.environment for each in world.client.environments()] == [SHOP]


def test_instances_have_the_promised_fields_first(world: World) -> None:
    world.deploy(world.release())
    connection = http.client.HTTPConnection("x")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(world.socket))
    connection.request("GET", f"/v1/environments/{SHOP}/instances")
    found = json.loads(connection.getresponse().read())
    connection.close()
    assert len(found["instances"]) == 2
    for each in found["instances"]:
        assert list(each)[:9] == ["id", "app", "group", "zone", "state", "release", "address", "port", "pid"]
        assert each["release"] == "r1"
        assert each["state"] == "InService"


def test_a_refused_release_is_reported_with_its_evidence(world: World) -> None:
    world.deploy(world.release())
    second = world.release()
    world.engine.behaviours[second] = Behaviour(healthy_after=None, crash_loops=True)
    ended = world.deploy(second)
    assert ended.verdict is Verdict.FAILED
    assert ended.evidence.summary
    assert world.client.status(SHOP).apps[0].release == "r1"


def test_errors_come_back_as_what_they_were(world: World) -> None:
    with pytest.raises(NotFound, match="isn't up"):
        world.client.status(SHOP)
    with pytest.raises(NotFound, match="no release"):
        world.client.deploy(SHOP, app="shop", release=7, by="Ada", why="deploy")
    number = world.release()
    world.deploy(number)
    with pytest.raises(Conflict) as conflict:
        world.client.deploy(SHOP, app="shop", release=number, by="Ada", why="deploy")
    assert conflict.value.hint is not None
    assert conflict.value.hint.startswith("homeport deploy --force")
    with pytest.raises(Invalid, match="expected 1 to 4"):
        world.client.scale(SHOP, app="shop", group="web", count=9)
    with pytest.raises(NotFound, match="group"):
        world.client.scale(SHOP, app="shop", group="wbe", count=1)


def test_who_comes_second_is_told_who_deploys(world: World) -> None:
    number = world.release(bake_seconds=60)
    world.client.deploy(SHOP, app="shop", release=number, by="Ada", why="deploy")
    with pytest.raises(Conflict, match="by Ada, since"):
        world.client.deploy(SHOP, app="shop", release=world.release(), by="Bob", why="deploy")


def test_a_client_of_another_version_is_told_what_to_type(world: World) -> None:
    other = Client(SocketDoor(world.socket, version="9.9"))
    with pytest.raises(Conflict) as conflict:
        other.environments()
    assert VERSION in conflict.value.message
    assert "9.9" in conflict.value.message
    assert conflict.value.hint is not None
    assert conflict.value.hint.startswith("homeport engine restart")
    assert other.daemon().version == VERSION


def test_scale_holds(world: World) -> None:
    world.deploy(world.release())
    assert world.client.scale(SHOP, app="shop", group="web", count=3) == 3
    assert world.client.status(SHOP).apps[0].groups[0].desired == 3


def test_events_can_be_waited_for(world: World) -> None:
    number = world.release()
    world.deploy(number)
    found = world.client.events(SHOP)
    assert any(each.kind == "deployment_ended" for each in found)
    newest = found[-1].number
    assert [each.number for each in world.client.events(SHOP, limit=2)] == [newest - 1, newest]
    got: list[int] = []
    waiting = threading.Thread(
        target=lambda: got.extend(each.number for each in world.client.events(SHOP, after=newest, seconds=20))
    )
    waiting.start()
    world.client.scale(SHOP, app="shop", group="web", count=3)
    waiting.join(30)
    assert min(got) == newest + 1


def test_why_tells_the_chain_of_what_is_gone(world: World) -> None:
    world.deploy(world.release())
    world.engine.die(SHOP, "web-1")
    assert world.control.wait(lambda: _ids(world) == {"web-2", "web-3"}, 20)
    found = world.client.why(SHOP, "web-3")
    launch = found.causes[0]
    assert launch.at is not None
    assert (found.kind, launch.rule, launch.because[0].rule) == ("instance", "launch", "gone")
    assert launch.because[0].what.startswith("web-1 had to go")
    assert any(each.startswith("InService, dead") for each in launch.because[0].seen)
    gone = world.client.why(SHOP, "web-1")
    assert "Terminated" in gone.summary
    assert gone.causes[0].because[0].what == "deployment 1 of r1 by Ada: deploy, good"
    assert "web-3 was launched in its place" in [each.what for each in gone.causes]
    world.client.scale(SHOP, app="shop", group="web", count=3, by="Bob")
    assert world.control.wait(lambda: _ids(world) == {"web-2", "web-3", "web-4"}, 20)
    (wanted,) = world.client.why(SHOP, "web-4").causes[0].because
    assert wanted.what == "Bob scales web from 2 to 3"
    group = world.client.why(SHOP, "shop/web")
    assert (group.kind, group.causes[0].what) == ("group", "3 wanted by homeport scale, within 1 to 4")
    assert world.client.why(SHOP, "1").causes[0].what == "Ada deploys r1 (replace): deploy"
    with pytest.raises(NotFound, match="near it: web-4"):
        world.client.why(SHOP, "wbe-4")


def _ids(world: World) -> set[str]:
    return {each.id for each in world.control.observation(SHOP)[0].instances if each.state is State.IN_SERVICE}


def test_down_ends_everything(world: World) -> None:
    world.deploy(world.release())
    world.client.down(SHOP)
    assert world.control.wait(lambda: not world.engine.environments(), 30)
    with pytest.raises(NotFound):
        world.client.instances(SHOP)


def look_on(world: World) -> tuple[list[threading.Thread], list[object]]:
    """Twenty who follow a deployment, and what became of that."""
    world.client.deploy(SHOP, app="shop", release=world.release(bake_seconds=600), by="Ada", why="deploy")
    answers: list[object] = []

    def look() -> None:
        seen, known = 0, ""
        while True:
            try:
                found = world.client.journal(SHOP, "shop", 1, after=seen, known=known, seconds=50)
            except Unavailable as error:
                answers.append(error)
                return
            seen, known = seen + len(found.entries), found.waits_for

    lookers = [threading.Thread(target=look) for _ in range(20)]
    for each in lookers:
        each.start()
    return lookers, answers


def test_stopping_ends_long_polls_and_removes_the_socket(world: World) -> None:
    lookers, answers = look_on(world)
    # twenty long polls don't keep a short request waiting
    assert world.client.daemon().version == VERSION
    world.server.stop()
    for each in lookers:
        each.join(30)
    assert len(answers) == 20
    assert not world.socket.exists()
    with pytest.raises(Unavailable, match="isn't running"):
        world.client.environments()


def test_who_gets_no_answer_in_time_is_broken_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BACK_SECONDS", 0.1)
    lookers, answers = look_on(world)
    assert world.client.daemon().version == VERSION
    with world.control.changed:  # nobody can be answered meanwhile
        stopping = threading.Thread(target=world.server.stop)
        stopping.start()
        for each in lookers:
            each.join(30)
        assert len(answers) == 20
    stopping.join(30)
    assert not world.socket.exists()


def test_a_socket_that_a_dead_engine_left_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BACK_SECONDS", 0.1)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "api.sock"))
    left.close()
    world = World(tmp_path)
    with pytest.raises(Unavailable, match="isn't running"):
        world.client.daemon()
    world.start()
    try:
        assert world.client.daemon().version == VERSION
    finally:
        world.stop()


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("GET", "/v1/nothing", None, NotFound),
        ("GET", "/v1/environments/shop/staging/deployments", None, Invalid),
        ("GET", "/v1/environments/shop/staging/events?after=x", None, Invalid),
        ("POST", "/v1/environments/shop/staging/deployments", b"{", Invalid),
        ("POST", "/v1/environments/shop/staging/scale", b'{"app": "shop", "group": "web", "count": "two"}', Invalid),
        ("DELETE", "/v1/environments", None, NotFound),
    ],
)
def test_a_wrong_request_is_refused_in_our_words(
    world: World, method: str, path: str, body: bytes | None, kind: type[Exception]
) -> None:
    connection = http.client.HTTPConnection("x")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(world.socket))
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    said = json.loads(response.read())["error"]
    connection.close()
    assert (response.status, said["kind"]) == (kind.http_status, kind.kind)  # type: ignore[attr-defined]


def test_an_error_of_ours_is_a_bug_without_its_inside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(world.engine, "environments", broken)
    with pytest.raises(Bug) as bug:
        world.client.environments()
    assert "secret" not in bug.value.message


@pytest.mark.parametrize(
    "asked", [0, 1, 2], ids=["it isn't back yet", "it dies while it is asked", "and while it is asked again"]
)
def test_an_engine_that_was_killed_is_waited_for(tmp_path: Path, asked: int) -> None:
    world = World(tmp_path)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(world.socket))
    if asked:
        left.listen()
    found: list[str] = []
    asking = threading.Thread(target=lambda: found.append(world.client.daemon().version))
    asking.start()
    for _ in range(asked):
        left.accept()[0].close()
    left.close()
    world.start()
    try:
        asking.join(30)
        assert found == [VERSION]
    finally:
        world.stop()
