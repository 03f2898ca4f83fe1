"""`homeport-agent` on a machine with nothing but itself and a store: in place, brought back, killed anywhere."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import homeport.agent.deployment  # noqa: F401 - its labels
from homeport.model.platform import Group
from homeport.model.release import ConfigValue, Release
from homeport.plan.release import LaunchPointer, launch_prefix, layer_key
from homeport.ports.objects import ObjectStore
from homeport.releases.catalogue import Catalogue
from homeport.releases.publish import encode, publish, publish_snapshot, read_snapshot
from homeport.stores.objects import open_store
from homeport.system.effect import SITES
from tests.app_repository import make_repository
from tests.bucket import Bucket, Server
from tests.e2e.person import FILE, Person, get
from tests.e2e.role import until_enough, wait_for
from tests.mounted import sandboxes_with

ROOT = Path(__file__).parents[2]
ARGV = (sys.executable, "-m", "homeport.agent.main")
CRASHING = (sys.executable, "-m", "tests.crash_daemon", "agent")
KEY = "plain/staging"
WORKER = '[groups.worker]\nrun = ["worker"]\n[deploy]'
EDITS = {
    "homeport.toml": FILE.replace('grace = "30s"', 'grace = "30s"\nsettle = "200ms"').replace("[deploy]", WORKER),
    "Procfile": "web: exec python3 web.py\nworker: exec python3 worker.py\n",
}
ON_EC2 = {
    "agent.change_name", "agent.keep_identity", "agent.leave_last_words", "agent.let_address_go", "agent.take_address",
    "agent.tell_ready", "agent.tell_release", "agent.tell_task",
}  # fmt: skip
"""Done by no other server: tests/aws."""


def free_ports() -> int:
    """The first of two that nobody has, where no connection on its way out gets one either."""
    for port in range(10_000 + os.getpid() % 4_000 * 2, 20_000, 2):
        with ExitStack() as stack, suppress(OSError):
            for each in (port, port + 1):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", each))
            return port
    raise AssertionError("no port is free")


class Machine:
    """A server: its directory, its port, its instance.toml."""

    def __init__(self, directory: Path, published: "Published", **said: str) -> None:
        self.port = free_ports()
        self.directory = directory / "server"
        file = directory / "instance.toml"
        said = {"listen": f"127.0.0.1:{self.port}", "directory": str(self.directory), "instance": "one"} | said
        said.setdefault("identity", str(published.identity))
        file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items()))
        self.environ = {**os.environ, "HOMEPORT_INSTANCE_FILE": str(file)}

    def __call__(self, *words: str, code: int = 0, program: tuple[str, ...] = ARGV, **environ: str) -> str:
        """All that the agent says, once it has ended with that code."""
        done = subprocess.run(
            (*program, *words),
            cwd=ROOT,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def document(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code))

    def get(self, path: str = "/") -> str:
        return get(f"http://127.0.0.1:{self.port}{path}")

    def variables(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.get("/env"))
        return found

    def sandboxes(self) -> list[int]:
        """Host pids of first processes of sandboxes that have a directory of this server mounted."""
        return list(sandboxes_with(self.directory / "instances"))

    def leave(self) -> None:
        """Nothing runs any more, whatever the agent does."""
        for pid in self.sandboxes():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self.sandboxes(), "its sandboxes have ended")


class Published:
    """Releases in a bucket: r1 by the command line, with a secret; then variants of it."""

    def __init__(self, bucket: Bucket, directory: Path) -> None:
        self.url = bucket.url("a/b")
        self.identity = directory / "home/identity.age"
        app = make_repository("plain", directory, edits=EDITS)
        person = Person(app, directory / "home", environ={"HOMEPORT_STORE": self.url})
        person("config", "set", "--secret", "--no-deploy", "KEY=not for everybody")
        person("release", "create")
        self.store = open_store(self.url)
        self.first = Catalogue(self.store).get("plain", "staging", 1)
        self.variant(COLOUR="blue")
        self.variant(given_up(timedelta(seconds=3)), APP_HEALTH="500")

    def variant(self, change: Callable[[Release], Release] = lambda release: release, **values: str) -> int:
        """Number of a release of the same slug, with other config, or otherwise changed."""
        snapshot = read_snapshot(self.store, "plain", "staging", self.first.config)
        more = {key: ConfigValue(text=text, layer="config set #2") for key, text in values.items()}
        groups = {name: {**config, **more} for name, config in snapshot.groups.items()}
        sha = publish_snapshot(self.store, "plain", "staging", replace(snapshot, groups=groups))

        def make(number: int) -> Release:
            return change(replace(self.first, number=number, origin=number, config=sha))

        return publish(self.store, app="plain", environment="staging", make=make).number

    def at(self, number: int) -> str:
        return f"{self.url}/{KEY}/r{number}"


SOON = timedelta(milliseconds=100)


def changed(release: Release, change: Callable[[Group], Group]) -> Release:
    groups = tuple(change(each) for each in release.resolved.groups)
    return replace(release, resolved=replace(release.resolved, groups=groups))


def given_up(grace: timedelta) -> Callable[[Release], Release]:
    """A release that isn't healthy by then."""

    def change(release: Release) -> Release:
        return changed(release, lambda group: replace(group, health=replace(group.health, grace=grace)))

    return change


def hasty(release: Release) -> Release:
    """It is soon killed."""
    return changed(release, lambda group: replace(group, stop_grace=SOON))


GOOD, BETTER, SICK = 1, 2, 3


@pytest.fixture(scope="module")
def published(s3_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    found = Bucket(s3_server)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.environment.items():
            patch.setenv(name, value)
        yield Published(found, tmp_path_factory.mktemp("published"))


@pytest.fixture
def server(published: Published, tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path, published, group="web")
    try:
        yield found
    finally:
        found.leave()


def test_a_server_with_nothing_but_the_agent_and_a_bucket(server: Machine, published: Published) -> None:
    assert server.document("status")["state"] == "empty"
    said = server("deploy", published.at(GOOD))
    assert f"r1 of plain serves on 127.0.0.1:{server.port}" in said
    assert server.get().startswith("plain 1 r1 one ")
    told = server.variables()
    assert told["KEY"] == "not for everybody"
    assert (told["HOMEPORT_GROUP"], told["HOMEPORT_INSTANCE"], told["HOMEPORT_ZONE"]) == ("web", "one", "a")
    assert not any(b"not for everybody" in each.read_bytes() for each in server.directory.rglob("*") if each.is_file())
    (pid,) = server.sandboxes()
    assert "runs already" in server("deploy", published.at(GOOD))
    assert server.sandboxes() == [pid]

    shown = server.document("deploy", published.at(BETTER))
    assert (shown["state"], shown["release"], shown["pid"]) == ("serving", "r2", server.sandboxes()[0])
    assert server.variables()["COLOUR"] == "blue"

    def refusal(seconds: int) -> list[str]:
        again = given_up(timedelta(seconds=seconds))
        number = SICK if seconds == 3 else published.variant(again, APP_HEALTH="500")
        error = server.document("deploy", published.at(number), code=6)["error"]
        assert error["message"] == f"r{number} of plain isn't healthy after {seconds} s; r2 of plain serves again"
        return list(error["details"])

    details = until_enough((3, 12, 60), refusal, lambda details: any("answered 500" in each for each in details))
    assert any("answered 500" in each for each in details)
    assert any("web: plain 1 listens" in each for each in details)
    assert server.get().startswith("plain 1 r2 one ")
    shown = server.document("status")
    assert (shown["state"], shown["release"], shown["good"], shown["refused"]) == ("serving", "r2", "r2", None)
    assert [(each["name"], each["up"], each["port"]) for each in shown["processes"]] == [("web", True, server.port)]

    server.leave()
    assert server.document("status")["state"] == "down"
    server("boot")  # nothing says which app this is: what served last
    assert server.get().startswith("plain 1 r2 one ")
    prefix = launch_prefix("plain", "staging", "web")
    published.store.create(f"{prefix}00000001-00000001", encode(LaunchPointer(release=GOOD)))
    of = {"HOMEPORT_STORE": published.url, "HOMEPORT_APP": "plain", "HOMEPORT_ENVIRONMENT": "staging"}
    server("boot", **of)
    assert server.get().startswith("plain 1 r1 one ")
    assert "r1 of plain has ended" in server("stop")
    assert server.sandboxes() == []
    assert "nothing runs" in server("stop")
    assert server.document("status")["state"] == "stopped"
    assert "starting what served here last" in server("boot", **{**of, "HOMEPORT_STORE": "s3://nowhere-at-all"})
    assert server.document("status")["state"] == "serving"


def test_what_cannot_be_deployed_leaves_alone_what_serves(
    server: Machine, published: Published, tmp_path: Path
) -> None:
    copied = tmp_path / "store"
    here = Copied(published, copied)
    server("deploy", here.at(GOOD))
    (pid,) = server.sandboxes()
    layer = copied / layer_key("plain", published.first.slug.layers[-1].sha256)

    def refused(url: str, code: int, *words: str, **environ: str) -> None:
        error = json.loads(server("deploy", url, "--json", code=code, **environ))["error"]
        said = " ".join((error["message"], error["hint"] or "", *error["details"]))
        assert all(each in said for each in words), said
        assert server.sandboxes() == [pid]

    refused(here.at(9), 3, "no release r9", "r3, r2, r1")
    refused(f"{copied}/plain/stagin/r1", 3, 'did you mean "staging"?')
    refused(f"{copied}/plan/staging/r1", 3, 'did you mean "plain"?')
    refused(f"{copied}/plain/staging", 2, "plain/staging", "s3://bucket/prefix/shop/production/r12")
    refused("s4://bucket/plain/staging/r1", 2, "s4")
    refused(f"{tmp_path}/nowhere/plain/staging/r1", 5, "nowhere")
    refused(here.at(BETTER), 3, "no group 'wep'", 'did you mean "web"?', HOMEPORT_GROUP="wep")
    refused(here.at(BETTER), 5, "has secrets", HOMEPORT_IDENTITY=str(tmp_path / "nobody.age"))
    refused(here.image("debian-12", "debian-1"), 6, "it was built on debian-1", "doesn't run on this machine")
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        refused(here.at(BETTER), 4, "web of plain", f"is taken by {taken}", HOMEPORT_LISTEN=taken)
    with (server.directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        error = json.loads(server("deploy", here.at(BETTER), "--wait", "0s", "--json", code=4))["error"]
        assert "another homeport-agent (pid 4711) is at work" in error["message"]
    shutil.rmtree(server.directory / "layers")
    layer.write_bytes(layer.read_bytes() + b"x")
    refused(here.at(BETTER), 6, layer.name, "has digest")
    layer.unlink()
    refused(here.at(BETTER), 6, "was removed from the store")
    assert server.get().startswith("plain 1 r1 one ")


class Copied:
    """The same releases in a directory."""

    def __init__(self, published: Published, directory: Path) -> None:
        directory.mkdir()
        for key in published.store.list(""):
            (directory / key).parent.mkdir(parents=True, exist_ok=True)
            (directory / key).write_bytes(published.store.get(key))
        self.store: ObjectStore = open_store(str(directory))

    def at(self, number: int) -> str:
        return f"{self.store.place}/{KEY}/r{number}"

    def image(self, old: str, new: str) -> str:
        """URL of a release that says it was built on another image."""
        said = self.store.get(f"{KEY}/r1/release.json").decode().replace('"number":1,', '"number":90,')
        assert old in said
        self.store.create(f"{KEY}/r90/release.json", said.replace(old, new, 1).encode())
        return self.at(90)


def test_groups(published: Published, tmp_path: Path) -> None:
    server = Machine(tmp_path, published)
    try:
        error = server.document("deploy", published.at(GOOD), code=2)["error"]
        assert "has the groups web, worker" in error["message"]
        server("deploy", published.at(GOOD), HOMEPORT_MODE="review")
        ports = {each["name"]: each["port"] for each in server.document("status")["processes"]}
        assert ports == {"web": server.port, "worker": server.port + 1}
        assert server.variables()["HOMEPORT_GROUP"] == "web,worker"
        said = server("deploy", published.at(GOOD), HOMEPORT_GROUP="worker")
        assert "r1 of plain runs; it listens on nothing" in said
        shown = server.document("status")
        assert (shown["state"], shown["address"]) == ("serving", None)
    finally:
        server.leave()


def passed(points: Path) -> set[str]:
    """Labels at which the agent died both before and after."""
    deaths = {path.name.partition(" ")[0] for path in points.iterdir()}
    return {each.partition(":")[0] for each in deaths if {f"{each.partition(':')[0]}:{w}" for w in WHEN} <= deaths}


WHEN = ("before", "after")


def test_killed_anywhere_the_next_call_gets_there(server: Machine, published: Published, tmp_path: Path) -> None:
    deaf = published.variant(hasty, APP_IGNORE_TERM="1")
    sick = published.variant(given_up(SOON), APP_HEALTH="500")
    points = tmp_path / "points"
    points.mkdir()
    crash = {"HOMEPORT_CRASH": "every", "HOMEPORT_CRASH_ONCE": str(points)}
    layers = server.directory / "layers"
    (layer,) = published.first.slug.layers

    def dying(*words: str, code: int = 0, serves: int | None) -> None:
        """The call, again and again until it ends by itself; then the record and the processes agree."""
        (layers / "stale").mkdir()
        server(*words, code=code, program=CRASHING, **crash)
        shown = server.document("status")
        assert (shown["trying"], shown["refused"]) == (None, None)
        assert server.sandboxes() == ([] if shown["pid"] is None else [shown["pid"]])
        if serves is None:
            assert shown["state"] == "stopped"
        else:
            assert (shown["state"], shown["release"], shown["good"]) == ("serving", f"r{serves}", f"r{serves}")
            assert server.get().startswith(f"plain 1 r{serves} one ")
            assert [path.name for path in layers.iterdir()] == [layer.sha256]
            shutil.rmtree(layers / layer.sha256)
        (instance,) = (server.directory / "instances").iterdir()
        assert len(list(instance.glob("bwrap-*.json"))) == len(server.sandboxes())

    server("deploy", published.at(deaf))
    shutil.rmtree(layers / layer.sha256)
    dying("deploy", published.at(sick), code=6, serves=deaf)
    dying("deploy", published.at(BETTER), serves=BETTER)
    dying("stop", serves=None)
    (layers / "stale").rmdir()
    dying("boot", serves=BETTER)
    assert {each for each in SITES if each.startswith("agent.")} - ON_EC2 <= passed(points)
    assert {"sandbox.start", "instance.write_service", "unpack.place", "object.fetch", "process.signal"} <= passed(
        points
    )
