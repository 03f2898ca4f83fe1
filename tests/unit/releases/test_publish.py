"""Publishing and the catalogue, over a real directory."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from homeport.errors import Failed, Invalid, NotFound
from homeport.model.release import ConfigValue, Release, Snapshot
from homeport.plan.lease import Marker, entry_key
from homeport.plan.release import Pointer, current_prefix, layer_key, release_key, rollback_target, snapshot_key
from homeport.releases.catalogue import Catalogue, ConfigPage
from homeport.releases.publish import publish, publish_snapshot, read_snapshot
from homeport.stores.objects import LocalObjects
from homeport.testing.builder import NOW, release

SNAPSHOT = Snapshot(
    groups={"web": {"A": ConfigValue(text="1"), "B": ConfigValue(text="\udcff", layer="config/common")}}
)


@pytest.fixture
def store(tmp_path: Path) -> LocalObjects:
    (tmp_path / "store").mkdir()
    return LocalObjects(tmp_path / "store")


def parts(store: LocalObjects) -> str:
    """Digest of a snapshot; it and the one layer are there."""
    layer = release(1).slug.layers[0].sha256
    if store.size(layer_key("shop", layer)) is None:
        store.create(layer_key("shop", layer), b"x")
    return publish_snapshot(store, "shop", "staging", Snapshot(groups={}))


def make(store: LocalObjects, *, origin: int | None = None) -> Release:
    config, slug = parts(store), release(1).slug
    return publish(
        store,
        app="shop",
        environment="staging",
        make=lambda number: release(number, config=config, slug=slug, origin=origin or number),
    )


def verdict(store: LocalObjects, fence: int, seq: int, number: int) -> None:
    key = entry_key(current_prefix("shop", "staging"), fence, seq)
    store.create(key, msgspec.json.encode(Pointer(release=number)))


def test_a_snapshot_is_its_digest(store: LocalObjects) -> None:
    sha256 = publish_snapshot(store, "shop", "staging", SNAPSHOT)
    values = dict(reversed(SNAPSHOT.groups["web"].items()))
    assert publish_snapshot(store, "shop", "staging", Snapshot(groups={"web": values})) == sha256
    assert read_snapshot(store, "shop", "staging", sha256) == SNAPSHOT
    assert hashlib.sha256(store.get(snapshot_key("shop", "staging", sha256))).hexdigest() == sha256


def test_a_snapshot_that_was_changed_is_refused(store: LocalObjects) -> None:
    sha256 = publish_snapshot(store, "shop", "staging", SNAPSHOT)
    path = store.root / snapshot_key("shop", "staging", sha256)
    path.write_bytes(path.read_bytes().replace(b'"1"', b'"2"'))
    with pytest.raises(Failed, match=f"expected {sha256}"):
        read_snapshot(store, "shop", "staging", sha256)
    with pytest.raises(NotFound):
        read_snapshot(store, "shop", "staging", "0" * 64)


def test_numbers_go_up_per_app_and_environment(store: LocalObjects) -> None:
    made = [make(store) for _ in range(11)]
    catalogue = Catalogue(store)
    assert [each.number for each in made] == list(range(1, 12))
    assert catalogue.numbers("shop", "staging") == list(range(1, 12))
    assert catalogue.newest("shop", "staging") == made[-1]
    assert catalogue.newest("shop", "production") is None
    assert catalogue.list("shop", "staging", last=3) == made[:-4:-1]
    assert catalogue.get("shop", "staging", "r2") == catalogue.get("shop", "staging", 2) == made[1]


def test_racing_writers_get_different_numbers(store: LocalObjects) -> None:
    parts(store)
    barrier = threading.Barrier(6)
    made: list[int] = []

    def work() -> None:
        barrier.wait()
        made.extend(make(LocalObjects(store.root)).number for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(1, 31))


def test_nothing_is_published_before_all_its_parts_are_there(store: LocalObjects) -> None:
    with pytest.raises(Failed, match="isn't in the store"):
        publish(store, app="shop", environment="staging", make=release)
    config = parts(store)
    with pytest.raises(Failed, match="layers/0000"):
        publish(
            store, app="shop", environment="staging", make=lambda n: release(n, config=config, slug=release(9).slug)
        )
    with pytest.raises(Invalid, match="expected the release shop/staging/r1"):
        publish(store, app="shop", environment="staging", make=lambda n: release(n + 1, config=config))
    assert Catalogue(store).numbers("shop", "staging") == []


@pytest.mark.parametrize("point", ["object.stage:after", "object.link:before"])
def test_killed_while_publishing(store: LocalObjects, point: str) -> None:
    make(store)
    script = (
        "import sys; from pathlib import Path; from homeport.stores.objects import LocalObjects;"
        "from homeport.releases.publish import publish; from homeport.testing.builder import release;"
        "slug = release(1).slug;"
        "publish(LocalObjects(Path(sys.argv[1])), app='shop', environment='staging',"
        " make=lambda n: release(n, slug=slug, config=sys.argv[2]))"
    )
    command = (sys.executable, "-c", script, str(store.root), parts(store))
    done = subprocess.run(command, env={**os.environ, "HOMEPORT_CRASH": point}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert Catalogue(store).numbers("shop", "staging") == [1]
    assert make(store).number == 2


def test_a_release_that_is_not_there_names_those_that_are(store: LocalObjects) -> None:
    catalogue = Catalogue(store)
    with pytest.raises(NotFound, match="no release in staging") as caught:
        catalogue.get("shop", "staging", 3)
    assert caught.value.hint == "homeport deploy -e staging"
    make(store)
    make(store)
    with pytest.raises(NotFound, match="no release r3 in staging, expected one of: r2, r1"):
        catalogue.get("shop", "staging", "r3")
    with pytest.raises(Invalid, match="'latest' isn't a release"):
        catalogue.get("shop", "staging", "latest")


class Cleaned(LocalObjects):
    """A cleaner removes the first release while somebody reads."""

    def get(self, key: str) -> bytes:
        if key == release_key("shop", "staging", 1):
            self.delete(key)
        return super().get(key)


def test_what_a_cleaner_removes_meanwhile_is_left_out(store: LocalObjects) -> None:
    made = [make(store) for _ in range(3)]
    for each in made:
        verdict(store, 1, each.number, each.number)
    catalogue = Catalogue(Cleaned(store.root))
    assert catalogue.list("shop", "staging") == [made[2], made[1]]
    store.create(release_key("shop", "staging", 1), msgspec.json.encode(made[0]))
    assert catalogue.rollback_target("shop", "staging", made[2]) == made[1]


def test_a_damaged_release_is_said_to_be_one(store: LocalObjects) -> None:
    first, second = make(store), make(store)
    catalogue = Catalogue(store)
    paths = [store.root / release_key("shop", "staging", each.number) for each in (first, second)]
    whole = paths[0].read_bytes()
    paths[1].write_bytes(whole)
    with pytest.raises(Failed, match=r"r2/release\.json holds shop/staging/r1"):
        catalogue.get("shop", "staging", 2)
    for damage in (b"", whole[:-10], whole.replace(b'"number":1', b'"number":"one"'), b"\xff"):
        paths[0].write_bytes(damage)
        with pytest.raises(Failed, match=r"r1/release\.json can't be read"):
            catalogue.get("shop", "staging", 1)


def test_good_is_what_a_verdict_made_current(store: LocalObjects) -> None:
    catalogue = Catalogue(store)
    assert catalogue.good("shop", "staging") == []
    for _ in range(3):
        make(store)
    verdict(store, 1, 1, 1)
    verdict(store, 1, 2, 2)
    prefix = current_prefix("shop", "staging")
    store.create(entry_key(prefix, 2, 0), msgspec.json.encode(Marker(after=entry_key(prefix, 1, 2))))
    # the holder of fence 1 wakes up late
    verdict(store, 1, 3, 3)
    assert catalogue.good("shop", "staging") == [1, 2]
    verdict(store, 2, 1, 1)
    assert catalogue.good("shop", "staging") == [2, 1]


def test_rollback_goes_back_and_back_again(store: LocalObjects) -> None:
    catalogue = Catalogue(store)
    made = [make(store) for _ in range(3)]
    for number in (1, 2, 3):
        verdict(store, 1, number, number)
    assert catalogue.rollback_target("shop", "staging", made[2]) == made[1]
    other = replace(made[2].resolved, place=replace(made[2].resolved.place, platform="other"))
    with pytest.raises(NotFound, match="nothing to go back to"):
        rollback_target(replace(made[2], resolved=other), made)
    back = make(store, origin=2)
    verdict(store, 1, 4, back.number)
    assert catalogue.rollback_target("shop", "staging", back) == made[0]
    (store.root / release_key("shop", "staging", 1)).unlink()
    with pytest.raises(NotFound, match="nothing to go back to"):
        catalogue.rollback_target("shop", "staging", back)


def test_config_pages(store: LocalObjects) -> None:
    catalogue = Catalogue(store)
    assert catalogue.config_pages("shop", "staging") == {}
    pages = [
        ConfigPage(values={"A": ConfigValue(text="1"), "B": None}, group="web", created_at=NOW, created_by="ada"),
        ConfigPage(values={"A": ConfigValue(text="2\n\udcff ", secret=True)}),
        ConfigPage(values={"C": None}, group="jobs"),
    ]
    assert [catalogue.append_config("shop", "staging", page) for page in pages] == [1, 2, 3]
    assert catalogue.config_pages("shop", "staging") == dict(enumerate(pages, 1))
    layers = catalogue.config_layers("shop", "staging", "web")
    assert [(layer.name, layer.values) for layer in layers] == [
        ("config set #2", pages[1].values),
        ("config set #1", pages[0].values),
    ]
