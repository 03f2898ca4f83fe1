"""The store is full, can't be written, or is gone: a deploy says so (exit code 5), nothing is half published, and what
runs serves and heals on."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.app_repository import commit, make_repository
from tests.e2e.person import FILE, Person
from tests.e2e.role import ROOT, wait_for


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    directory = tmp_path_factory.mktemp("store")
    file = FILE.replace("instances = 2", "instances = 1")
    app = make_repository("plain", directory, edits={"homeport.toml": file, "Procfile": "web: exec python3 web.py\n"})
    found = Person(app, directory / "home")
    try:
        found("up")
        yield found
    finally:
        found.leave()


@contextmanager
def gone(person: Person) -> Iterator[None]:
    store = person.home / "store"
    away = store.rename(person.home / "away")
    try:
        yield
    finally:
        assert not store.exists()
        away.rename(store)


@contextmanager
def read_only(person: Person) -> Iterator[None]:
    """Root writes whatever the modes say: for root it is a mount."""
    store = person.home / "store"
    directories = [store, *(each for each in store.rglob("*") if each.is_dir())]
    if ROOT:
        subprocess.run(("mount", "--bind", store, store), check=True)
        subprocess.run(("mount", "-o", "remount,bind,ro", store), check=True)
    else:
        for each in directories:
            each.chmod(0o500)
    try:
        yield
    finally:
        if ROOT:
            subprocess.run(("umount", "--lazy", store), check=True)
        else:
            for each in directories:
                each.chmod(0o700)


@pytest.mark.parametrize("trouble", [gone, read_only])
def test_what_runs_heals_without_the_store(
    person: Person, trouble: Callable[[Person], AbstractContextManager[None]]
) -> None:
    before = person.document("release", "list")
    with trouble(person):
        commit(person.app, {"news": trouble.__name__})
        error = person.document("deploy", code=5)["error"]
        assert (error["kind"], str(person.home / "store") in error["message"]) == ("unavailable", True)
        assert error["hint"]
        (instance,) = person.settled()
        os.kill(instance["pid"], signal.SIGKILL)
        wait_for(lambda: healed(person, instance["id"]), "another instance serves", 30)
        assert person.get("/").startswith("plain 1 r1 ")
    assert person.document("release", "list") == before


def healed(person: Person, dead: str) -> bool:
    return any(each["id"] != dead and each["target"] == "ready" for each in person.instances())


def test_a_daemon_started_without_the_store_takes_back_what_runs(person: Person) -> None:
    (instance,) = person.settled()
    person("engine", "stop")
    with gone(person):
        person("engine", "start")
        assert [each["id"] for each in person.instances()] == [instance["id"]]
        wait_for(lambda: serves(person), "it serves", 30)
        assert "the store's directory isn't there" in person("status")
    assert person.document("release", "list")["releases"][0]["release"] == "r1"


def serves(person: Person) -> bool:
    try:
        return person.get("/").startswith("plain 1 r1 ")
    except OSError:
        return False


def test_a_full_disk_publishes_nothing(person: Person) -> None:
    """The command line sees a disk with room for next to nothing; the engine doesn't, so that it can be asked after."""
    store, copy = person.home / "store", person.home.parent / "copy"
    before = keys(store)
    commit(person.app, {"noise": os.urandom(3_000_000).hex()})
    namespaces = ("--mount",) if ROOT else ("--mount", "--user", "--map-current-user", "--keep-caps")
    # the right to mount isn't for the program
    without = () if ROOT else ("setpriv", "--inh-caps=-all", "--ambient-caps=-all")
    shell = (
        'cp -a "$1" "$2" && mount -t tmpfs -o size=1m tmpfs "$1" && cp -a "$2/." "$1" || exit 99\n'
        'store="$1"; shift 2; "$@"; code=$?\n'
        '(cd "$store" && find . -type f | cut -c3- | sort); exit $code'
    )
    cramped = ("unshare", *namespaces, "sh", "-c", shell, "sh", str(store), str(copy), *without)
    said = Person(person.app, person.home, program=(*cramped, *person.program))("release", "create", code=5)
    assert "the disk is full" in said
    assert f"df -h {store}" in said
    listed = {line for line in said.splitlines() if line in before or line.startswith(("plain/", ".staging/"))}
    assert listed == before
    assert keys(store) == before
    # where there is room, the same commit is published whole
    assert "r2 of plain" in person("release", "create")


def keys(store: Path) -> set[str]:
    return {str(each.relative_to(store)) for each in store.rglob("*") if each.is_file()}
