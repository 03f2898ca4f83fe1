"""Deployments, leases and journals over each kind of store, and over one that fails in the middle."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from homeport.control import control
from homeport.control.lease import Lease
from homeport.control.log import FencedLog
from homeport.engines.memory.clock import VirtualClock
from homeport.errors import Conflict, Failed, Unavailable
from homeport.model.deployment import Verdict
from homeport.plan.lease import BEAT_EVERY, TIME_TO_LIVE
from homeport.plan.retention import parts
from homeport.ports.objects import ObjectStore
from homeport.releases.catalogue import Catalogue
from homeport.stores import s3
from homeport.stores.objects import LocalObjects, open_store
from homeport.testing.world import APP, BETTER, GOOD, NEVER_HEALTHY, Controlled
from tests.bucket import Bucket
from tests.e2e.role import wait_for
from tests.memory_world import memory_world


@pytest.fixture(params=["directory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty store."""
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        return bucket.url("some/where")
    (tmp_path / "objects").mkdir()
    return str(tmp_path / "objects")


def test_deployments_go_the_same_way(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "HURRIED_ANSWER", s3.ANSWER)  # a busy machine's moto may take its time
    store = open_store(url, hurried=True)
    world = Controlled(memory_world(tmp_path, store=store))
    for number, verdict in ((GOOD, Verdict.GOOD), (BETTER, Verdict.GOOD), (NEVER_HEALTHY, Verdict.FAILED)):
        world.deploy(number)
        assert world.verdict() is verdict
        world.quiet()
    catalogue = Catalogue(store)
    assert catalogue.good(APP, "staging") == [GOOD, BETTER]
    assert catalogue.launch(APP, "staging", "web") == BETTER
    assert catalogue.launch(APP, "staging", "none") is None
    assert [key for key in store.list(f"{APP}/staging/lease/") if not key.endswith("/released")] == []


def test_a_lease_is_one_persons(url: str) -> None:
    clock = VirtualClock()
    mine, other = (Lease(open_store(url), APP, "staging", holder=each, clock=clock) for each in ("a", "b"))
    assert mine.take("Ada") == 1
    with pytest.raises(Conflict, match="is being changed by Ada"):
        other.take("Bob")
    clock.advance(BEAT_EVERY.total_seconds())
    mine.beat()
    with pytest.raises(Conflict):
        other.take("Bob")
    clock.advance(TIME_TO_LIVE.total_seconds())
    assert not mine.may_act
    assert other.take("Bob") == 2
    with pytest.raises(Conflict, match="was taken over: fence 2, ours was 1"):
        mine.beat()
    other.release()
    assert mine.take("Ada") == 3


def test_a_tick_that_takes_long_keeps_no_lease_from_beating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = memory_world(tmp_path)
    told = Controlled(world)
    told.deploy(GOOD)
    ticks, go_on = threading.Event(), threading.Event()
    observe = world.memory.observe

    def slow(environment: str) -> object:
        ticks.set()
        go_on.wait(60)
        return observe(environment)

    def beats() -> list[str]:
        return world.store.list(f"{APP}/staging/lease/")

    monkeypatch.setattr(world.memory, "observe", slow)
    monkeypatch.setattr(control, "BEAT_SECONDS", 0.01)
    loop = threading.Thread(target=told.control.run)
    loop.start()
    try:
        assert ticks.wait(30)
        before = beats()
        world.virtual.advance(BEAT_EVERY.total_seconds())
        wait_for(lambda: beats() != before, "a sign of life")
    finally:
        told.control.end()
        go_on.set()
        loop.join()


def test_a_late_entry_of_a_former_holder_is_void(url: str) -> None:
    late, now = (FencedLog(open_store(url), "shop/staging/current/") for _ in range(2))
    late.append(1, b"1")
    now.append(2, b"2")
    late.store.create("shop/staging/current/00000001-00000002", b"3")
    with pytest.raises(Conflict):
        late.append(1, b"4")
    assert (now.entries(), late.newest()) == ([b"1", b"2"], b"2")


# --- a store that fails -----------------------------------------------------------------------------------------------


class Failing:
    """A directory; `create` of keys that `fails` names is refused, or is carried out without a word of it."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._objects = LocalObjects(path)
        self.fails: Callable[[str], bool] = lambda key: False
        self.written = False
        """What fails is written all the same: an answer that got lost."""

    def __getattr__(self, name: str) -> object:
        return getattr(self._objects, name)

    def create(self, key: str, data: bytes) -> None:
        if not self.fails(key):
            return self._objects.create(key, data)
        if self.written:
            self._objects.create(key, data)
        raise Unavailable(f"no answer to {key}")


@pytest.fixture
def failing(tmp_path: Path) -> Failing:
    return Failing(tmp_path / "objects")


def controlled(failing: Failing, tmp_path: Path) -> Controlled:
    store: ObjectStore = failing  # type: ignore[assignment]
    world = Controlled(memory_world(tmp_path, store=store))
    world.deploy(GOOD)
    assert world.verdict() is Verdict.GOOD
    return world


def test_a_deployment_that_never_began_leaves_no_lease(failing: Failing, tmp_path: Path) -> None:
    world = controlled(failing, tmp_path)
    failing.fails = lambda key: "/deployments/0002/" in key or key.endswith("/released")
    with pytest.raises(Unavailable):
        world.deploy(BETTER)
    failing.fails = lambda key: False
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD


def test_what_follows_the_verdict_is_done_when_the_store_is_back(failing: Failing, tmp_path: Path) -> None:
    world = controlled(failing, tmp_path)
    failing.fails = lambda key: "/current/" in key
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    catalogue = Catalogue(world.world.store)
    assert catalogue.good(APP, "staging") == [GOOD]
    failing.fails = lambda key: False
    world.quiet()
    assert catalogue.good(APP, "staging") == [GOOD, BETTER]
    assert [key for key in world.world.store.list(f"{APP}/staging/lease/") if not key.endswith("/released")] == []


def test_answers_that_get_lost(failing: Failing, tmp_path: Path) -> None:
    """Each fifth object is written without a word of it."""
    world = controlled(failing, tmp_path)
    seen: set[str] = set()

    def every_fifth(key: str) -> bool:
        seen.add(key)
        return len(seen) % 5 == 0 and key not in failing.list("")  # type: ignore[operator]

    failing.fails, failing.written = every_fifth, True
    for _ in range(5):
        with suppress(Unavailable):
            world.deploy(BETTER)
            break
    assert world.verdict() is Verdict.GOOD
    assert len(seen) > 6
    world.settle(lambda: Catalogue(world.world.store).good(APP, "staging")[-1] == BETTER)
    world.settle(lambda: not world.control.environments[world.world.place.id].app(APP).lease.held)


def test_a_lease_whose_answers_get_lost(failing: Failing) -> None:
    clock = VirtualClock()
    store: ObjectStore = failing  # type: ignore[assignment]
    lease = Lease(store, APP, "staging", holder="a", clock=clock)
    lease.take("Ada")
    failing.written = True
    for call, holds in ((lease.beat, True), (lease.release, False)):
        clock.advance(BEAT_EVERY.total_seconds())
        failing.fails = lambda key: True
        with pytest.raises(Unavailable):
            call()
        failing.fails = lambda key: False
        clock.advance(TIME_TO_LIVE.total_seconds())
        call()
        assert (lease.held, lease.may_act) == (holds, holds)


@pytest.mark.parametrize(("part", "damage"), [("layer", "missing"), ("layer", "cut"), ("config", "missing")])
def test_a_release_that_is_not_whole_is_refused_before_anything_changes(tmp_path: Path, part: str, damage: str) -> None:
    world = Controlled(memory_world(tmp_path, store=open_store(_directory(tmp_path))))
    world.deploy(GOOD)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    store, whole = world.world.store, world.world.release(BETTER)
    key = next(each for each in parts(whole) if ("/layers/" in each) == (part == "layer"))
    store.delete(key)
    if damage == "cut":
        store.create(key, b"")
    before, actions = store.list(""), len(world.recorder.actions)
    with pytest.raises(Failed, match=f"r2 for staging can't be deployed: {key} ") as caught:
        world.deploy(BETTER)
    assert "homeport deploy --force" in (caught.value.hint or "")
    assert (store.list(""), len(world.recorder.actions)) == (before, actions)
    assert world.newest.started.release == GOOD


def _directory(path: Path) -> str:
    (path / "objects").mkdir()
    return str(path / "objects")
