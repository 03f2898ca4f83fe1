"""The plain pair: a tar.gz and a bash file, read back by tar and bash."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from homeport.errors import Failed
from homeport.model.release import ConfigValue, Layer, Release, Slug, Snapshot
from homeport.model.secret import Secret
from homeport.plan.release import layer_key
from homeport.releases.export import export, exports
from homeport.releases.pack import pack
from homeport.releases.publish import publish_snapshot
from homeport.stores.encryption import AgeEncryption
from homeport.stores.objects import LocalObjects
from homeport.testing.builder import NOW, release

SHOW = f'{sys.executable} -c "import os, json; print(json.dumps(dict(os.environ)))"'


class World:
    """A store, an encryption, and a release of two layers."""

    def __init__(self, root: Path) -> None:
        (root / "store").mkdir()
        self.store = LocalObjects(root / "store")
        self.encryption = AgeEncryption(root / "identity.age")
        (root / "tree/.venv/bin").mkdir(parents=True)
        (root / "tree/.venv/bin/python").symlink_to("/usr/bin/python3")
        (root / "tree/app.py").write_text("one\n")
        self.layers = tuple(
            self.layer(root, kind, only, without)
            for kind, only, without in (("dependencies", (".venv",), ()), ("source", (), (".venv",)))
        )

    def layer(self, root: Path, kind: str, only: tuple[str, ...], without: tuple[str, ...]) -> Layer:
        packed = pack(root / "tree", root / kind, modified_at=NOW, only=only, without=without)
        self.store.create_from(layer_key("shop", packed.sha256), root / kind)
        known = "source" if kind == "source" else "dependencies"
        return Layer(sha256=packed.sha256, kind=known, size_bytes=packed.size_bytes, mounts=only)

    def release(self, snapshot: Snapshot) -> Release:
        slug = Slug(layers=self.layers, image="image", commit="0" * 40, path=("/app/.venv/bin",))
        return release(3, slug=slug, config=publish_snapshot(self.store, "shop", "staging", snapshot))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def environment(script: Path, *, group: str = "") -> dict[str, str]:
    """What a script that reads the file has."""
    shell = f"set -eu; . {script}; {SHOW}"
    start = {"PATH": "/usr/bin:/bin"} | ({"HOMEPORT_GROUP": group} if group else {})
    done = subprocess.run(("bash", "-c", shell), env=start, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_the_pair_is_what_an_instance_has(world: World, tmp_path: Path) -> None:
    secret = ConfigValue(text=world.encryption.encrypt(Secret("it's $HOME\n")), secret=True)
    values = {"KEY": secret, "PLAIN": ConfigValue(text="a b")}
    made = world.release(Snapshot(groups={"web": values, "jobs": values}))
    archive, script = export(world.store, made, world.encryption, tmp_path / "out")
    assert (archive.name, script.name) == ("shop-staging-r3.tar.gz", "shop-staging-r3.sh")
    assert {path.stat().st_mode & 0o777 for path in (archive, script)} == {0o600}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted((archive.name, script.name))
    (tmp_path / "app").mkdir()
    subprocess.run(("tar", "-xzf", str(archive), "-C", str(tmp_path / "app")), check=True)
    assert (tmp_path / "app/app.py").read_text() == "one\n"
    assert (tmp_path / "app/.venv/bin/python").is_symlink()
    found = environment(script)
    assert (found["KEY"], found["PLAIN"]) == ("it's $HOME\n", "a b")
    assert found["PATH"] == "/app/.venv/bin:/usr/bin:/bin"
    before = archive.read_bytes()
    export(world.store, made, world.encryption, tmp_path / "out")
    assert archive.read_bytes() == before


def test_where_groups_differ_the_group_chooses(world: World, tmp_path: Path) -> None:
    shared = {"A": ConfigValue(text="1"), "B": ConfigValue(text="web")}
    snapshot = Snapshot(groups={"web": shared, "jobs": shared | {"B": ConfigValue(text="jobs")}})
    _, script = export(world.store, world.release(snapshot), world.encryption, tmp_path / "out")
    assert [environment(script, group=each).get("B") for each in ("web", "jobs", "none", "")] == [
        "web",
        "jobs",
        None,
        None,
    ]
    assert environment(script)["A"] == "1"


@settings(max_examples=15, deadline=None)
@given(some.dictionaries(some.sampled_from(["A", "B_1", "_c"]), some.binary(max_size=60)))
def test_any_value_comes_out_of_bash_exactly(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, bytes]
) -> None:
    clear = {key: value.replace(b"\0", b"") for key, value in values.items()}
    texts = {key: ConfigValue(text=value.decode("utf-8", "surrogateescape")) for key, value in clear.items()}
    path = tmp_path_factory.mktemp("script") / "x.sh"
    text = exports(release(1), Snapshot(groups={"web": texts}), AgeEncryption(path.with_name("identity")))
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    found = environment(path)
    assert {key: found[key].encode("utf-8", "surrogateescape") for key in clear} == clear


def test_a_damaged_layer_is_not_exported(world: World, tmp_path: Path) -> None:
    made = world.release(Snapshot(groups={}))
    path = world.store.root / layer_key("shop", world.layers[1].sha256)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(Failed, match=f"expected {world.layers[1].sha256}"):
        export(world.store, made, world.encryption, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
