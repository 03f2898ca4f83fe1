"""A home whose store is a bucket: remembered, its secrets unseen; it vanishes half way through, and comes back."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.app_repository import commit, make_repository, replaced
from tests.bucket import Answer, Bucket, Server, between, said
from tests.e2e.person import FILE, Person, get
from tests.e2e.role import wait_for

SECRET = "secret-of-the-bucket"


class Front:
    """What the person reaches the bucket by, which can be `gone` for all at once."""

    def __init__(self) -> None:
        self.is_gone = False

    def answer(self, method: str, path: str, ask: Callable[[], Answer]) -> Answer:
        return said(404, "NoSuchBucket") if self.is_gone else ask()

    @contextmanager
    def gone(self) -> Iterator[None]:
        self.is_gone = True
        try:
            yield
        finally:
            self.is_gone = False


@pytest.fixture(scope="module")
def front() -> Front:
    return Front()


@pytest.fixture(scope="module")
def bucket(s3_server: Server, front: Front) -> Iterator[Bucket]:
    found = Bucket(s3_server)
    with between(found, front.answer) as url:
        found.environment["AWS_ENDPOINT_URL"] = url
        yield found


@pytest.fixture(scope="module")
def person(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    directory = tmp_path_factory.mktemp("bucket")
    file = FILE.replace("instances = 2", "instances = 1").replace('bake = "200ms"', 'bake = "2s"')
    app = make_repository("plain", directory, edits={"homeport.toml": file, "Procfile": "web: exec python3 web.py\n"})
    found = Person(app, directory / "home", environ={**bucket.environment, "HOMEPORT_STORE": bucket.url("a/b")})
    try:
        found("up")
        del found.environ["HOMEPORT_STORE"]
        yield found
    finally:
        found.leave()


def test_a_home_keeps_its_store(person: Person, bucket: Bucket) -> None:
    assert person.get("/").startswith("plain 1 r1 ")
    assert "a/b/plain/staging/r1/release.json" in set(bucket.keys())
    for words in (("status",), ("engine", "status")):
        assert person.document(*words)["store"] == {"place": bucket.url("a/b"), "problem": ""}
        assert bucket.url("a/b") in person(*words)
    stated = Person(person.app, person.home, environ={**bucket.environment, "HOMEPORT_STORE": bucket.url("other")})
    for words in (("deploy",), ("up",), ("engine", "start")):
        error = stated.document(*words, code=4)["error"]
        assert f"uses the store {bucket.url('a/b')}, not {bucket.url('other')}" in error["message"]
    # where the bucket is, is remembered too: the keys alone do
    keys = {name: value for name, value in bucket.environment.items() if "KEY" in name}
    bare = Person(person.app, person.home, environ=keys)
    for name in set(bucket.environment) - set(keys):
        bare.environ.pop(name, None)
    assert bare.document("release", "list")["releases"][0]["release"] == "r1"


def test_its_secret_is_nowhere_to_be_seen(person: Person) -> None:
    pid = person.document("engine", "status")["pid"]
    assert SECRET in Path(f"/proc/{pid}/environ").read_text()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert SECRET not in each.read_text(errors="replace")
        except OSError:
            continue
    for root in (person.home, Path(person.document("engine", "status")["socket"]).parent):
        for each in root.rglob("*"):
            if each.is_file() and SECRET in each.read_text(errors="replace"):
                assert (each.parent.name, each.stat().st_mode & 0o077) == ("secrets", 0)


def test_without_the_bucket_what_runs_heals(person: Person, bucket: Bucket, front: Front) -> None:
    before = person.document("release", "list")["releases"]
    commit(person.app, {"news": "x"})
    with front.gone():
        error = person.document("deploy", code=5)["error"]
        assert f"there is no bucket {bucket.name}" in error["message"]
        assert error["hint"].startswith(f"aws s3 mb s3://{bucket.name}")
        heal(person)
        wait_for(lambda: bucket.name in person.document("status")["store"]["problem"], "status tells")
        assert f"there is no bucket {bucket.name}" in person("engine", "status")
        assert "store: object store" in person("doctor", code=6)
    assert person.document("release", "list")["releases"] == before
    with bucket.silent():
        heal(person)


def test_a_deployment_goes_on_when_the_bucket_is_back(person: Person, front: Front) -> None:
    wait_for(lambda: not person.document("status")["store"]["problem"], "the engine knows that it is there", 30)
    # long enough for the bucket to go before it is over
    longer = replaced(person.app, "homeport.toml", 'bake = "2s"', 'bake = "5s"')
    commit(person.app, {"news": "y"} | longer)
    newest = len(person.document("release", "list")["releases"]) + 1
    url = person.url()
    terminal = person.begin("deploy")
    # asked of the app itself: that takes no part of the bake time
    serves = f"plain 1 r{newest} "
    wait_for(lambda: terminal.poll() is not None or get(url).startswith(serves), "the new release serves", 60)
    assert terminal.poll() is None, terminal.communicate()
    with front.gone():
        # the bake time passes, and nobody can write that down
        wait_for(lambda: person.document("status")["trouble"], "the engine misses the store", 60)
        wait_for(lambda: waits_for(person) == "the store", "whoever waits hears what for", 60)
        assert get(url).startswith(serves)
        assert terminal.poll() is None
    out, err = terminal.communicate(timeout=60)
    assert terminal.returncode == 0, out + err
    assert f"r{newest} is good" in out
    assert person.document("status")["apps"][0]["release"] == f"r{newest}"


def waits_for(person: Person) -> str:
    (app,) = person.document("status")["apps"]
    return str(app["deployment"]["waits_for"])


def ready(person: Person) -> list[dict[str, object]]:
    return [each for each in person.instances() if each["target"] == "ready"]


def heal(person: Person) -> None:
    """The one that serves dies; another one does soon."""
    (instance,) = ready(person)
    pid = instance["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: any(each["id"] != instance["id"] for each in ready(person)), "another instance serves", 30)
    assert person.get("/").startswith(f"plain 1 {instance['release']} ")
