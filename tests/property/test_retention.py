"""Cleaning beside builds, deploys and other cleaners, in any order of their accesses to the store, some of them killed
anywhere: whatever a release names is there, what an environment needs is there, and no number is given twice."""

import functools
import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from homeport.control.log import FencedLog
from homeport.engines.memory.clock import VirtualClock
from homeport.errors import Failed, NotFound, Unavailable
from homeport.model.deployment import Started
from homeport.model.platform import Retention
from homeport.model.release import ConfigValue, Layer, Release, Slug, Snapshot
from homeport.plan import retention
from homeport.plan.release import Pointer, current_prefix, layer_key, release_key, release_numbers
from homeport.plan.retention import parts
from homeport.releases import hold, prune
from homeport.releases.catalogue import Catalogue
from homeport.releases.hold import create_part, holding
from homeport.releases.prune import Pruner
from homeport.releases.publish import publish, publish_snapshot
from homeport.simulation.store import MemoryObjects
from homeport.testing.builder import resolved

APP, HERE = "shop", "staging"
DAY = 86400.0
SEEDS = 60


class Killed(BaseException):
    pass


class Gone(Exception):
    pass


class Turns:
    """Threads that take turns at the store, in an order that `chance` decides; `deaths`: thread → the turn at which it
    dies instead; `haste`: how likely its turn is."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.deaths: dict[str, int] = {}
        self.haste: dict[str, float] = {}
        self.after_each: Callable[[], None] = lambda: None
        self.errors: list[BaseException] = []
        self._changed = threading.Condition()
        self._waiting: set[str] = set()
        self._alive: set[str] = set()
        self._granted = ""

    def take(self, _: str = "") -> None:
        name = threading.current_thread().name
        if name not in self._alive:
            return
        with self._changed:
            self._waiting.add(name)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._granted == name)
            self._granted = ""
            self._waiting.discard(name)
        self.deaths[name] = self.deaths.get(name, 1_000_000) - 1
        if self.deaths[name] < 0:
            raise Killed

    def run(self, works: dict[str, Callable[[], None]]) -> None:
        def live(name: str, work: Callable[[], None]) -> None:
            try:
                self.take()
                work()
            except Killed:
                pass
            except (Gone, Unavailable):
                pass  # what was asked for is gone, or just going: whoever asked was told
            except BaseException as error:
                self.errors.append(error)
            finally:
                with self._changed:
                    self._alive.discard(name)
                    self._changed.notify_all()

        self._alive = set(works)
        threads = [threading.Thread(target=live, args=each, name=each[0], daemon=True) for each in works.items()]
        for each in threads:
            each.start()
        while True:
            with self._changed:
                assert self._changed.wait_for(
                    lambda: not self._granted and self._waiting >= self._alive, timeout=120
                ), f"stuck: {self._alive - self._waiting}"
                if not self._alive:
                    return
                self.after_each()
                names = sorted(self._waiting)
                self._granted = self.chance.choices(names, [self.haste.get(name, 1) for name in names])[0]
                self._changed.notify_all()


class World:
    """A store with a history, and people and cleaners who change it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = VirtualClock()
        self.turns = Turns(self.chance)
        self.store = MemoryObjects(self.clock.now, before=self.turns.take)
        self.count = self.chance.randint(1, 3)
        self.given: list[int] = []
        self.fence = 0
        self.deployments = 0
        self.wrong: list[str] = []
        self.turns.after_each = self.check
        for _ in range(self.chance.randint(1, 9)):
            self.release(good=self.chance.random() < 0.7)
            self.clock.advance(self.chance.choice([0.2, 1.5, 3]) * DAY)

    # --- what people do ----------------------------------------------------------------------------------------------

    def release(self, *, good: bool) -> None:
        """A build, its release, and its deployment."""
        self.deploy(self.built(self.chance.randint(0, 5), self.chance.randint(0, 3)), good=good)

    def built(self, code: int, config: int) -> Release:
        source, dependencies = (self.layer(f"source {code}"), self.layer(f"dependencies {code // 2}"))
        return self.published(Slug(layers=(dependencies, source), image="image", commit=f"{code:040x}"), config)

    def layer(self, content: str) -> Layer:
        data = content.encode()
        sha256 = hashlib.sha256(data).hexdigest()
        create_part(self.store, APP, layer_key(APP, sha256), data)
        return Layer(sha256=sha256, kind="source", size_bytes=len(data))

    def published(self, slug: Slug, config: int, origin: int | None = None) -> Release:
        snapshot = Snapshot(groups={"web": {"N": ConfigValue(text=str(config))}})
        sha256 = publish_snapshot(self.store, APP, HERE, snapshot)
        formation = replace(resolved(app=APP), retention=Retention(releases=self.count))

        def make(number: int) -> Release:
            return Release(
                app=APP, environment=HERE, number=number, slug=slug, config=sha256, resolved=formation,
                created_at=self.clock.now(), created_by="tester", why="test", origin=origin or number,
            )  # fmt: skip

        made = publish(self.store, app=APP, environment=HERE, make=make)
        self.given.append(made.number)
        return made

    def deploy(self, release: Release, *, good: bool) -> None:
        """As `AppControl.begin` and what follows it."""
        current = Catalogue(self.store).good(APP, HERE)[-1:]
        key = release_key(APP, HERE, release.number)
        with holding(self.store, APP, (key,)):
            if self.store.size(key) is None:
                raise Gone
            self.fence += 1
            self.deployments += 1
            now = self.clock.now()
            started = Started(
                at=now, app=APP, environment=HERE, number=self.deployments, release=release.number,
                previous=current[0] if current else None, strategy="replace", groups=(), bake=timedelta(),
                grace=timedelta(), task=None, by="tester", why="test",
            )  # fmt: skip
            journal = FencedLog(self.store, f"{APP}/{HERE}/deployments/{self.deployments:04d}/")
            journal.append(self.fence, msgspec.json.encode(started))
        if good:
            for prefix in (f"{APP}/{HERE}/launch/web/", current_prefix(APP, HERE)):
                FencedLog(self.store, prefix).append(self.fence, msgspec.json.encode(Pointer(release=release.number)))

    def roll_back(self) -> None:
        catalogue = Catalogue(self.store)
        running = catalogue.current(APP, HERE)
        if running is not None:
            try:
                target = catalogue.rollback_target(APP, HERE, running)
            except NotFound:
                return  # there never was an older one
            try:
                back = self.published(target.slug, self.chance.randint(0, 3), target.origin)
            except Failed as error:
                raise Gone from error
            self.deploy(back, good=True)

    def redeploy(self) -> None:
        """Any release that is there, by its number."""
        number = self.chance.choice(Catalogue(self.store).numbers(APP, HERE))
        try:
            wanted = Catalogue(self.store).get(APP, HERE, number)
        except NotFound as error:
            raise Gone from error
        self.deploy(wanted, good=True)

    def clean(self) -> None:
        Pruner(self.store, self.clock, lambda _: {}).prune(APP)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def play(self) -> list[str]:
        """What went wrong."""
        changes = [lambda: self.release(good=True), lambda: self.release(good=False), self.roll_back, self.redeploy]
        works = {"cleaner": self.clean, "other cleaner": self.clean, "person": self.chance.choice(changes)}
        for name in works:
            self.turns.haste[name] = self.chance.choice([0.02, 1])
            if self.chance.random() < 0.3:
                self.turns.deaths[name] = self.chance.randint(1, 60)
        self.turns.run(works)
        if not self.turns.errors:
            self.turns.run({"last cleaner": self.clean})
        if len(set(self.given)) != len(self.given):
            self.wrong.append(f"a number given twice: {self.given}")
        return [*self.wrong, *(f"{type(each).__name__}: {each}" for each in self.turns.errors)]

    def check(self) -> None:
        """At this very moment."""
        objects = self.store.objects
        for number in release_numbers(APP, HERE, objects):
            named = named_by(objects[release_key(APP, HERE, number)][0])
            self.wrong += [f"r{number} names {key}" for key in named if key not in objects]
        self.wrong += [f"{what} names r{n}" for what, n in self.named() if release_key(APP, HERE, n) not in objects]

    def named(self) -> Iterator[tuple[str, int]]:
        for what in (f"{APP}/{HERE}/launch/web/", current_prefix(APP, HERE), f"{APP}/{HERE}/deployments/"):
            keys = [key for key in self.store.objects if key.startswith(what) and not key.endswith("-00000000")]
            if keys:
                said = msgspec.json.decode(self.store.objects[max(keys)][0])
                yield from ((what, said[part]) for part in ("release", "previous") if said.get(part))


@functools.cache
def named_by(data: bytes) -> tuple[str, ...]:
    return parts(msgspec.json.decode(data, type=Release))


def play(seeds: range, pauses: pytest.MonkeyPatch) -> dict[int, list[str]]:
    found = {}
    for seed in seeds:
        world = World(seed)
        pauses.setattr(hold, "pause", lambda _, world=world: world.turns.take())  # waiting is a turn too
        if wrong := world.play():
            found[seed] = wrong
    return found


def test_nothing_that_is_needed_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(range(SEEDS), monkeypatch) == {}


@pytest.mark.parametrize(
    ("mutation", "seed"), [("no grace", 0), ("no holds", 0), ("no claims", 465), ("one look", 0), ("newest may go", 0)]
)
def test_each_part_of_the_rule_is_needed(mutation: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`seed`: from which on something goes wrong soon."""
    match mutation:
        case "no grace":
            monkeypatch.setattr(retention, "GRACE", timedelta(-1))
        case "no holds":
            monkeypatch.setattr(hold, "notes", lambda *_: [])
        case "no claims":
            monkeypatch.setattr(hold, "_claimed", lambda *_: set())
        case "one look":
            monkeypatch.setattr(Pruner, "_round", one_look)
        case _:
            monkeypatch.setattr(retention, "_young", lambda *_: set())
            monkeypatch.setattr(retention, "_reasons", lambda *_: {})
    for first in range(seed, seed + 1000, 5):
        if play(range(first, first + 5), monkeypatch):
            return
    pytest.fail("nothing went wrong without it")


def one_look(pruner: Pruner, app: str, planned: prune.Sweep) -> list[prune.Removal]:
    for each in planned.going:
        pruner.store.delete(each.what)
    return list(planned.going)
