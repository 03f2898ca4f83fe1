"""What HAProxy does with an engine's instances while it is reloaded, or killed: what is drained gets nothing new, what
isn't ready gets nothing, and an open WebSocket is counted until it ends or its time is over."""

import contextlib
import os
import signal
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from homeport.engines.local.haproxy import Runtime
from homeport.model.action import Drain, PutInService, SetRoutes
from homeport.model.deployment import Verdict
from homeport.model.fleet import Run, State, Target
from homeport.model.platform import Place
from homeport.plan.balancer import backend_name
from homeport.plan.balancer_text import ROUTES
from homeport.testing.step import find, healthy, launch, run, when
from homeport.testing.world import APP, BETTER, GOOD, NEVER_HEALTHY, Controlled
from tests.e2e.balanced import until
from tests.local_world import LocalWorld, local_world

OTHER = Place(platform="other", name="staging")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalWorld]:
    with local_world(tmp_path_factory.mktemp("traffic")) as made:
        yield made


@pytest.fixture
def world(machine: LocalWorld) -> Iterator[LocalWorld]:
    machine.url = machine.engine.open_environment(machine.place)
    yield machine
    machine.clear()


def runtime(world: LocalWorld) -> Runtime:
    return Runtime(world.home.runtime / "haproxy.sock", world.home.runtime / "haproxy-master.sock")


def servers(world: LocalWorld) -> dict[str, str]:
    running = runtime(world).running(str(world.home.runtime / ROUTES))
    found = running.backends[backend_name(world.place.id, APP, "web")]
    return {name: each.state for name, each in found.items()}


def answers(world: LocalWorld, count: int = 40) -> set[str]:
    """Names of the instances that answered so many requests, each with 200."""
    names = set()
    for _ in range(count):
        with urllib.request.urlopen(world.url, timeout=30) as response:
            names.add(response.read().decode().split()[3])
    return names


def opened(world: LocalWorld, sockets: contextlib.ExitStack) -> tuple[ClientConnection, str]:
    """A WebSocket, and whom it leads to."""
    where = f"ws://{urlsplit(world.url).netloc}/ws"
    made = sockets.enter_context(connect(where, close_timeout=1))
    return made, echo(made)


def echo(made: ClientConnection) -> str:
    made.send("hello")
    said = made.recv(timeout=30)
    assert isinstance(said, str)
    return said.partition(": ")[0]


def to_each(world: LocalWorld, names: set[str], sockets: contextlib.ExitStack) -> dict[str, ClientConnection]:
    found: dict[str, ClientConnection] = {}
    for _ in range(30):
        made, name = opened(world, sockets)
        if name in found:
            made.close()
        else:
            found[name] = made
        if set(found) == names:
            return found
    raise AssertionError(f"WebSockets led to {set(found)}, expected {names}")


def reload(world: LocalWorld) -> None:
    before = runtime(world).processes().workers[0]
    world.engine.open_environment(OTHER)
    assert runtime(world).processes().workers[0] != before, "there was no reload"


def kill(world: LocalWorld, what: str) -> None:
    """Another HAProxy runs, as its supervisor has started it: nobody has told it anything yet."""
    before = runtime(world).processes()
    os.kill(before.master if what == "master" else before.workers[0].pid, signal.SIGKILL)

    def another() -> bool:
        answer = runtime(world).answer()
        return answer is not None and answer[1].master != before.master

    until(another, "another HAProxy")


@pytest.mark.parametrize("how", ["reload", "master", "worker"])
def test_after_a_reload_or_a_death_the_state_is_the_desired_one(how: str, world: LocalWorld) -> None:
    ready = {"web-1", "web-2"}
    for id_ in ("web-1", "web-2", "web-3"):
        healthy(world, id_)
        run(world, PutInService(instance=id_))
    run(world, SetRoutes(app=APP, release=GOOD))
    launch(world, NEVER_HEALTHY, "web-4")
    when(world, "web-4", lambda each: each.run is Run.RUNNING)
    with contextlib.ExitStack() as sockets:
        found = to_each(world, {*ready, "web-3"}, sockets)
        run(world, Drain(instance="web-3"))
        desired = {"web-1.1": "ready", "web-2.1": "ready", "web-3.1": "drain", "web-4.1": "maint"}
        desired |= {"web-3.1.spare": "ready"}
        assert servers(world) == desired
        if how == "reload":
            reload(world)
            assert {echo(each) for each in found.values()} == {*ready, "web-3"}
            when(world, "web-3", lambda each: each.in_flight == 1)
        else:
            kill(world, how)
            for each in found.values():
                with pytest.raises(ConnectionClosed):
                    echo(each)
        assert answers(world) == ready
        assert servers(world) == desired
        world.engine.refresh()
        assert servers(world) == desired
        assert answers(world) == ready
        assert opened(world, sockets)[1] in ready
        if how == "reload":
            found["web-3"].close()
    when(world, "web-3", lambda each: each.in_flight == 0)
    assert find(world.engine.observe(world.place.id), "web-3").target is Target.DRAINING
    if how == "reload":
        world.engine.close_environment(OTHER.id)


def live(world: LocalWorld, release: int) -> list[str]:
    observed = world.engine.observe(world.place.id)
    return [each.id for each in observed.instances if each.release == release and each.state is not State.TERMINATED]


def test_an_open_websocket_keeps_its_instance_until_it_is_closed(world: LocalWorld) -> None:
    control = Controlled(world)
    control.deploy(GOOD)
    assert control.verdict() is Verdict.GOOD
    control.quiet()
    with contextlib.ExitStack() as sockets:
        made, name = opened(world, sockets)
        control.deploy(BETTER)
        assert control.verdict() is Verdict.GOOD
        control.settle(lambda: live(world, GOOD) == [name])
        assert echo(made) == name
        assert name not in answers(world)
        made.close()
        control.settle(lambda: live(world, GOOD) == [])


def test_when_its_time_is_over_the_app_ends_it(world: LocalWorld) -> None:
    resolved = world.published.resolved
    groups = tuple(replace(each, drain=timedelta(milliseconds=300)) for each in resolved.groups)
    short = [world.published.publish({"N": n}, replace(resolved, groups=groups)).number for n in ("1", "2")]
    control = Controlled(world)
    control.deploy(short[0])
    assert control.verdict() is Verdict.GOOD
    control.quiet()
    with contextlib.ExitStack() as sockets:
        made, _ = opened(world, sockets)
        control.deploy(short[1])
        assert control.verdict() is Verdict.GOOD
        control.settle(lambda: live(world, short[0]) == [])
        with pytest.raises(ConnectionClosed) as ended:
            made.recv(timeout=30)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1001
