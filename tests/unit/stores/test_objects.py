"""What every object store does; a directory on real file systems: full, read-only, gone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest

from homeport.errors import Conflict, Invalid, NotFound, Unavailable
from homeport.ports.objects import ObjectStore
from homeport.stores.objects import LocalObjects, open_store
from homeport.stores.s3 import STAGING, S3Objects
from tests.bucket import PAGE, Bucket


@pytest.fixture
def directory(tmp_path: Path) -> LocalObjects:
    (tmp_path / "store").mkdir()
    return LocalObjects(tmp_path / "store")


@pytest.fixture(params=["directory", "s3"])
def url(request: pytest.FixtureRequest) -> str:
    """Of an empty store."""
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        return bucket.url("some/where")
    found: LocalObjects = request.getfixturevalue("directory")
    return str(found.root)


@pytest.fixture
def store(url: str) -> ObjectStore:
    return open_store(url)


def everything(store: ObjectStore) -> list[str]:
    """Keys of all there is, the store's own too."""
    if isinstance(store, S3Objects):
        own = [each["path"] for chunk in obstore.list(store._store, prefix=STAGING) for each in chunk]
        return [*own, *store.list("")]
    assert isinstance(store, LocalObjects)
    return files(store.root)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_an_object_is_created_once_and_never_changed(store: ObjectStore) -> None:
    store.create("shop/staging/r1/release.json", b"one")
    with pytest.raises(Conflict):
        store.create("shop/staging/r1/release.json", b"two")
    assert store.get("shop/staging/r1/release.json") == b"one"
    assert store.size("shop/staging/r1/release.json") == 3
    assert everything(store) == ["shop/staging/r1/release.json"]


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.create("a/released", b"")
    assert (store.get("a/released"), store.size("a/released")) == (b"", 0)


def test_files_go_in_and_out_whole(store: ObjectStore, tmp_path: Path) -> None:
    content = os.urandom(17_000_000)
    (tmp_path / "in").write_bytes(content)
    store.create_from("shop/layers/x.tar.zst", tmp_path / "in")
    store.get_to("shop/layers/x.tar.zst", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    with pytest.raises(Conflict):
        store.create_from("shop/layers/x.tar.zst", tmp_path / "in")
    (tmp_path / "small").write_bytes(b"small")
    store.create_from("shop/layers/small", tmp_path / "small")
    with pytest.raises(Conflict):
        store.create_from("shop/layers/small", tmp_path / "small")
    assert everything(store) == ["shop/layers/small", "shop/layers/x.tar.zst"]
    assert sorted(tmp_path.glob("*out*")) == [tmp_path / "out"]


def test_what_is_not_there(store: ObjectStore, tmp_path: Path) -> None:
    assert store.size("shop/none") is None
    assert store.list("shop/") == []
    store.delete("shop/none")
    with pytest.raises(NotFound, match="shop/none"):
        store.get("shop/none")
    with pytest.raises(NotFound):
        store.get_to("shop/none", tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_list_holds_whole_segments_only_and_starts_after(store: ObjectStore) -> None:
    for key in ("shop/r1", "shop/r10", "shop/r2", "shopping/r1", "blog/r1"):
        store.create(key, b"")
    assert store.list("shop/") == ["shop/r1", "shop/r10", "shop/r2"]
    assert store.list("shop/", after="shop/r1") == ["shop/r10", "shop/r2"]
    store.delete("shop/r10")
    assert store.list("shop/") == ["shop/r1", "shop/r2"]


def test_a_list_may_be_long(store: ObjectStore) -> None:
    keys = [f"shop/staging/r{number:03}" for number in range(PAGE + 30)]
    for key in keys:
        store.create(key, b"")
    assert store.list("shop/") == keys
    assert store.list("shop/staging/", after=keys[10]) == keys[11:]
    assert [each.key for each in store.entries("shop/")] == keys


def test_entries_tell_size_and_time(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=60)
    for key, data in (("shop/b", b"four"), ("shop/a", b""), ("shopping/a", b"x")):
        store.create(key, data)
    found = store.entries("shop/")
    assert [(each.key, each.size_bytes) for each in found] == [("shop/a", 0), ("shop/b", 4)]
    assert all(before < each.modified_at < before + timedelta(seconds=120) for each in found)
    assert store.entries("none/") == []


def test_of_many_writers_exactly_one_wins(store: ObjectStore, url: str) -> None:
    barrier = threading.Barrier(8)
    won: list[bytes] = []

    def write(mine: bytes) -> None:
        other = open_store(url)
        for number in range(20):
            barrier.wait()
            try:
                other.create(f"race/{number:02}", mine)
            except Conflict:
                continue
            won.append(mine + b"%02d" % number)

    threads = [threading.Thread(target=write, args=(b"%d" % each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 20
    assert sorted(won, key=lambda each: each[1:]) == [store.get(f"race/{n:02}") + b"%02d" % n for n in range(20)]


def test_a_store_that_is_gone_is_not_an_empty_one(directory: LocalObjects, tmp_path: Path) -> None:
    store = directory
    store.create("a/b", b"x")
    shutil.rmtree(store.root)
    calls: list[Callable[[], Any]] = [
        lambda: store.get("a/b"),
        lambda: store.get_to("a/b", tmp_path / "out"),
        lambda: store.list("a/"),
        lambda: store.size("a/b"),
        lambda: store.create("a/c", b"y"),
        lambda: store.delete("a/b"),
        lambda: LocalObjects(store.root),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match="the store's directory isn't there") as caught:
            call()
        assert str(store.root) in caught.value.message
        assert caught.value.hint
    assert not store.root.exists()


def test_urls(tmp_path: Path) -> None:
    directory = tmp_path / "a store"
    directory.mkdir()
    open_store(str(directory)).create("a", b"x")
    assert open_store(f"file://{tmp_path}/a%20store").get("a") == b"x"
    with pytest.raises(Invalid, match="scheme 'ftp'"):
        open_store("ftp://example.net/x")


def test_staging_left_by_the_killed_is_swept_and_never_seen(directory: LocalObjects) -> None:
    staging = directory.root / ".staging"
    staging.mkdir()
    for name, age in (("old", 90_000), ("young", 60)):
        (staging / name).write_bytes(b"half")
        then = (staging / name).stat().st_mtime - age
        os.utime(staging / name, (then, then))
    assert directory.list("") == []
    LocalObjects(directory.root)
    assert [path.name for path in staging.iterdir()] == ["young"]


# --- in a process of its own: mounts of its own, or killed ------------------------------------------------------------

SCRIPT = """
import json, sys
from pathlib import Path
from homeport.errors import HomeportError
from homeport.stores.objects import LocalObjects
told = []
def attempt(function, *arguments):
    try:
        told.append(repr(function(*arguments)))
    except HomeportError as error:
        told.append([error.kind, error.message, error.hint])
store = LocalObjects(Path(sys.argv[1]))
"""


def private(mount: str, directory: Path, script: str) -> list[Any]:
    """What `script` told, run in a mount namespace in which `mount` was done first."""
    directory.mkdir()
    shell = f'set -e; {mount}; exec "$0" -c "$1" "$2"'
    script = f"{SCRIPT}{script}\nprint(json.dumps(told))"
    command = ("unshare", "--mount", "--map-root-user", "sh", "-c", shell, sys.executable, script, str(directory))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, list)
    return told


def test_a_full_disk_leaves_no_half_object(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    big, small, again, seen, staged = private(
        f"mount -t tmpfs -o size=1m tmpfs {directory}",
        directory,
        """
attempt(store.create, "a/big", b"x" * 2_000_000)
attempt(store.create, "a/small", b"x" * 1000)
path = Path("/proc/self/exe").resolve()
attempt(store.create_from, "a/file", path)
attempt(store.list, "a/")
told.append(len(list((store.root / ".staging").iterdir())))
""",
    )
    for kind, message, hint in (big, again):
        assert kind == "unavailable"
        assert f"object store {directory}" in message
        assert "the disk is full" in message
        assert f"df -h {directory}" in hint
    assert (small, seen, staged) == ("None", "['a/small']", 0)


def test_a_read_only_store_can_be_read(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    created, got, size = private(
        f"mount -t tmpfs tmpfs {directory} && mkdir {directory}/a && printf x > {directory}/a/b"
        f" && mount -o remount,ro {directory}",
        directory,
        """
attempt(store.create, "a/c", b"y")
attempt(store.get, "a/b")
attempt(store.size, "a/c")
""",
    )
    assert created[0] == "unavailable"
    assert "mounted read-only" in created[1]
    assert (got, size) == ("b'x'", "None")


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ("object.stage:before", []),
        ("object.stage:after", []),
        ("object.link:before", []),
        ("object.link:after", ["a/b"]),
    ],
)
def test_killed_while_creating(directory: LocalObjects, point: str, expected: list[str]) -> None:
    script = SCRIPT + 'store.create("a/b", b"whole")'
    environment = {**os.environ, "HOMEPORT_CRASH": point}
    done = subprocess.run((sys.executable, "-c", script, str(directory.root)), env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert directory.list("a/") == expected
    try:
        directory.create("a/b", b"whole")
    except Conflict:
        assert expected
    assert directory.get("a/b") == b"whole"
