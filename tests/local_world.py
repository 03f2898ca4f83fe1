"""A world on the local engine: real sandboxes, real HAProxy, the app `plain`. For contract, scenario and e2e tests."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from homeport.engines.local.balancer import HaproxyBalancer
from homeport.engines.local.engine import LocalEngine
from homeport.engines.local.watch_tree import WatchTree
from homeport.model.action import Terminate
from homeport.model.fleet import Observation, Run, State
from homeport.model.platform import Resolved
from homeport.model.release import ConfigValue, Release, Slug, Snapshot
from homeport.plan import platform, procfile
from homeport.releases.publish import publish, publish_snapshot
from homeport.releases.source import open_source
from homeport.system.clock import SystemClock
from homeport.system.home import Home
from homeport.testing.world import APP, BAD_TASK, BETTER, DEAF, GOOD, NEVER_HEALTHY
from homeport.wiring import engine, storage
from tests.app_repository import make_repository

CONFIGS: dict[int, dict[str, str]] = {
    GOOD: {},
    BETTER: {"APP_BETTER": "yes"},
    NEVER_HEALTHY: {"APP_HEALTH": "500"},
    DEAF: {"APP_IGNORE_TERM": "1"},
    BAD_TASK: {"APP_TASK": "fail"},
}


class Published:
    """Releases of `plain`, built once, that differ by their config."""

    def __init__(self, home: Home, tmp_path: Path, *, file: Callable[[str], str] = lambda text: text) -> None:
        self.home = home
        self.store = storage.store(home)
        repository = make_repository("plain", tmp_path)
        described = platform.parse(file((repository / "homeport.toml").read_text()))
        processes = procfile.parse((repository / "Procfile").read_text())
        self.resolved: Resolved = platform.resolve(described, environment="staging", app=APP, procfile=processes)
        builder = engine.builder(home, self.store)
        self.slug: Slug = builder.build(APP, open_source(repository), described.build, progress=lambda _: None)
        self.releases: dict[int, Release] = {}

    def publish(self, values: Mapping[str, str], resolved: Resolved | None = None) -> Release:
        formation = resolved or self.resolved
        groups = {
            group.name: {key: ConfigValue(text=text, layer="config set #1") for key, text in values.items()}
            for group in formation.groups
        }
        sha = publish_snapshot(self.store, APP, "staging", Snapshot(groups=groups))

        def make(number: int) -> Release:
            return Release(
                app=APP,
                environment="staging",
                number=number,
                slug=self.slug,
                config=sha,
                resolved=formation,
                created_at=datetime.now(UTC),
                created_by="tester",
                why="test",
                origin=number,
            )

        release = publish(self.store, app=APP, environment="staging", make=make)
        self.releases[release.number] = release
        return release


def soon_given_up(resolved: Resolved) -> Resolved:
    """For a release that never gets healthy: nobody has to wait for it."""
    groups = tuple(replace(each, health=replace(each.health, grace=timedelta(seconds=2))) for each in resolved.groups)
    return replace(resolved, groups=groups)


class LocalWorld:
    def __init__(self, home: Home, published: Published) -> None:
        self.home = home
        self.published = published
        self.store = published.store
        self.clock = SystemClock()
        self.changed = threading.Event()
        self.engine = LocalEngine(
            home,
            store=self.store,
            encryption=storage.encryption(home),
            clock=self.clock,
            balancer=HaproxyBalancer(home),
        )
        self.engine.on_change(self.changed.set)
        self.place = published.resolved.place
        self.tree = WatchTree(home)
        self.tree.start(("/bin/sleep", "infinity"), {})
        self.url = self.engine.open_environment(self.place)
        self.tree.start_haproxy()

    def release(self, number: int) -> Release:
        return self.published.releases[number]

    def until(self, ready: Callable[[Observation], bool], seconds: float = 60) -> Observation:
        deadline = self.clock.monotonic() + seconds
        while True:
            self.changed.clear()
            observed = self.engine.observe(self.place.id)
            if ready(observed):
                return observed
            assert self.clock.monotonic() < deadline, f"never ready: {observed}"
            self.changed.wait(0.05)

    def destroy(self, instance: str) -> None:
        found = next(each for each in self.engine.observe(self.place.id).instances if each.id == instance)
        assert found.pid
        os.kill(found.pid, signal.SIGKILL)

    def pause(self, seconds: float | None) -> None:
        self.changed.wait(0.05 if seconds is None else min(seconds, 0.05))
        self.changed.clear()

    def clear(self) -> None:
        """The environment is gone, with all that was in it."""
        if self.place.id not in self.engine.environments():
            return
        self.until(lambda seen: not any(each.run is Run.STARTING for each in seen.instances))
        for each in self.engine.observe(self.place.id).instances:
            if each.state is not State.TERMINATED:
                if each.run is not Run.STOPPED:
                    self.destroy(each.id)
                self.until(lambda seen, id_=each.id: any(i.id == id_ and i.run is Run.STOPPED for i in seen.instances))
                self.engine.execute(self.place.id, Terminate(instance=each.id), fence=1_000)
        self.engine.close_environment(self.place.id)

    def close(self) -> None:
        """Everything has ended."""
        self.clear()
        self.tree.stop()
        self.engine.close()


@contextlib.contextmanager
def home_in(path: Path) -> Iterator[Home]:
    """A home below a test's directory."""
    before = os.environ.get("HOMEPORT_HOME")
    os.environ["HOMEPORT_HOME"] = str(path / "home")
    try:
        yield storage.home()
    finally:
        if before is None:
            del os.environ["HOMEPORT_HOME"]
        else:
            os.environ["HOMEPORT_HOME"] = before


@contextlib.contextmanager
def local_world(path: Path, *, rolled: int | None = None) -> Iterator[LocalWorld]:
    """`rolled`: number of one more release, deployed in place."""
    path.mkdir(parents=True, exist_ok=True)
    with home_in(path) as home:
        # who gets healthy may take its time on a busy machine
        patient = 'grace = "60s"\nsettle = "200ms"'
        published = Published(home, path, file=lambda text: text.replace('grace = "10s"', patient, 1))
        for number, values in CONFIGS.items():
            published.publish(values, soon_given_up(published.resolved) if number == NEVER_HEALTHY else None)
        if rolled is not None:
            deploy = replace(published.resolved.deploy, strategy="rolling")
            assert published.publish({}, replace(published.resolved, deploy=deploy)).number == rolled
        world = LocalWorld(home, published)
        try:
            yield world
        finally:
            world.close()
