"""Building real apps in the real sandbox, with pip and uv, into a real store."""

import marshal
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import uv

from homeport.errors import Failed, Invalid
from homeport.instance.sandbox import BwrapSandbox
from homeport.instance.unpack import unpack, verify
from homeport.model.release import Slug
from homeport.plan.platform import Build, Dependencies
from homeport.plan.release import layer_key
from homeport.ports.sandbox import Mount, SandboxSpec
from homeport.releases.build import Builder, Serving
from homeport.releases.source import from_tarball, open_source
from homeport.stores.objects import LocalObjects
from homeport.system.home import Home
from tests.app_repository import commit, git
from tests.e2e.role import until_enough

UID = 64_123 if os.getuid() == 0 else None


class Workshop:
    """A home, a store, a repository, and a builder of which every line is kept."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = Home(root / "home", root / "runtime")
        self.home.create()
        self.store = LocalObjects(self.home.store)
        self.sandbox = BwrapSandbox()
        self.app = root / "app"
        self.app.mkdir()
        git(self.app, "init", "--quiet", "--initial-branch=main")
        self.told: list[str] = []

    def build(self, build: Build | None = None, *, dirty: bool = False, **settings: str) -> Slug:
        return self.build_pages(Serving(), build, dirty=dirty, **settings)

    def build_pages(
        self, serving: Serving, build: Build | None = None, *, dirty: bool = False, **settings: str
    ) -> Slug:
        self.told.clear()
        builder = Builder(self.sandbox, self.store, self.home, uid=UID, environ={**os.environ, **settings})
        source = open_source(self.app, dirty=dirty)
        return builder.build("shop", source, build or Build(), serving=serving, progress=self.told.append)

    def run(self, slug: Slug, *command: str) -> str:
        """What a command says where the slug was built for: at /app, dependencies read-only."""
        directory = self.root / f"run-{len(list(self.root.iterdir()))}"
        directory.mkdir()
        mounts = []
        for layer in slug.layers:
            archive = directory / layer.sha256
            self.store.get_to(layer_key("shop", layer.sha256), archive)
            verify(archive, layer.sha256)
            place = directory / ("source" if layer.kind == "source" else layer.mounts[0])
            unpack(archive, place, owner=UID)
            mounts += [Mount(kind="read_only", source=place / path, target=f"/app/{path}") for path in layer.mounts]
        mounts.append(Mount(kind="writable", source=directory / "source", target="/app"))
        output = bytearray()
        path = ":".join((*slug.path, "/usr/bin", "/bin"))
        spec = SandboxSpec(
            command=command, hostname="run", mounts=tuple(mounts), environment={"PATH": path, "HOME": "/home"}, uid=UID
        )
        status = self.sandbox.run(spec, output=output.extend)
        assert status == 0, output.decode()
        return output.decode()

    @property
    def objects(self) -> list[str]:
        """Without the notes of who counts on which of them."""
        return [each for each in self.store.list("shop/") if "/held/" not in each]

    @property
    def scratches(self) -> list[Path]:
        return list(self.home.builds.glob("scratch-*"))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_a_change_of_one_line_ships_only_the_source(workshop: Workshop) -> None:
    app = "import bottle\nprint('one', bottle.__version__)\n"
    commit(workshop.app, {"app.py": app, "Procfile": "web: python app.py\n", "requirements.txt": "-r base.txt\n"})
    sha = commit(workshop.app, {"base.txt": "bottle==0.13.2\n", "homeport.toml": 'app = "shop"\n'})
    first = workshop.build()
    dependencies, source = first.layers
    assert (first.commit, first.subject, first.dirty) == (sha, "Change", False)
    assert (dependencies.kind, dependencies.mounts, source.kind) == ("dependencies", (".venv",), "source")
    assert "python-3." in first.image
    assert first.platform_file
    assert any("Successfully installed bottle" in line for line in workshop.told)

    assert workshop.build() == first
    assert any("dependencies: unchanged" in line for line in workshop.told)
    assert not any("pip" in line for line in workshop.told)

    before = set(workshop.objects)
    commit(workshop.app, {"app.py": app.replace("one", "two")})
    second = workshop.build()
    assert second.layers[0] == dependencies
    (new,) = set(workshop.objects) - before
    assert workshop.store.size(new) == second.layers[1].size_bytes < 2000
    assert workshop.scratches == []

    # what was compiled is used as it is, whatever times say, and isn't made anew
    said = workshop.run(second, "bash", "-c", "python -v app.py 2>&1; stat -c %u app.py")
    assert "two 0.13.2\n" in said
    assert "code object from '/app/.venv/lib" in said
    assert "wrote '/app" not in said
    assert said.splitlines()[-1] == str(UID or os.getuid())


def test_every_input_of_the_dependencies_counts(workshop: Workshop) -> None:
    """Without a network: a local package, and a constraint."""
    own = Dependencies(command="mkdir -p deps/a && date +%N > deps/a/made", paths=("deps",))
    commit(workshop.app, {"package.json": "{}", "index.html": "x"})
    build = Build(command="cat deps/a/made > copy; [ ! -w deps/a/made ] || touch deps/a/made", dependencies=own)
    first = workshop.build(build)
    assert workshop.run(first, "cmp", "copy", "deps/a/made") == ""
    commit(workshop.app, {"index.html": "y"})
    second = workshop.build(build)
    assert second.layers[0] == first.layers[0]
    assert workshop.run(second, "cmp", "copy", "deps/a/made") == ""
    commit(workshop.app, {"package.json": '{"a": 1}'})
    assert workshop.build(build).layers[0] != first.layers[0]
    assert workshop.build(Build(command=build.command, dependencies=own, env={"A": "1"})).layers[0] != first.layers[0]

    # a layer that was pruned is built again, and found again
    third = workshop.build(build)
    workshop.store.delete(layer_key("shop", third.layers[0].sha256))
    again = workshop.build(build)
    assert workshop.store.size(layer_key("shop", again.layers[0].sha256)) == again.layers[0].size_bytes
    assert workshop.build(build).layers[0] == again.layers[0]


def test_a_uv_lock(workshop: Workshop) -> None:
    commit(
        workshop.app,
        {"pyproject.toml": '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\n', "a.py": ""},
    )
    lock = (uv.find_uv_bin(), "lock", "--offline", "--quiet", "--python", "/usr/bin/python3")
    subprocess.run(lock, cwd=workshop.app, check=True)
    commit(workshop.app, {})
    slug = workshop.build()
    assert [layer.kind for layer in slug.layers] == ["dependencies", "source"]
    show = "import sys, a; print(sys.prefix, sys.executable)"
    assert workshop.run(slug, "python", "-c", show) == "/app/.venv /app/.venv/bin/python\n"


def test_the_same_commit_gives_the_same_source_anywhere(
    workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files: dict[str, str | None] = {f"m{n}.py": f"def f{n}(): return '{n}' * {n}\n" for n in range(20)}
    commit(workshop.app, {**files, "broken.py": "def (:\n", "index.html": "x", "run.sh": "#!/bin/sh\n"})
    first = workshop.build()
    other = Workshop(tmp_path_factory.mktemp("other"))
    git(other.app, "pull", "--quiet", str(workshop.app), "main")
    assert other.build() == first
    (layer,) = first.layers
    assert layer.kind == "source"
    python = Path("/usr/bin/python3").resolve().name.replace("python3.", "cpython-3")
    archive = workshop.root / "layer"
    workshop.store.get_to(layer_key("shop", layer.sha256), archive)
    unpack(archive, workshop.root / "out")
    compiled = (workshop.root / f"out/__pycache__/m3.{python}.pyc").read_bytes()
    # PEP 552: bit 0 says that a hash follows, bit 1 that it is to be checked
    assert int.from_bytes(compiled[4:8], "little") == 0b01
    if sys.version_info[:2] == (3, 11):
        assert marshal.loads(compiled[16:]).co_filename == "/app/m3.py"


def test_a_tarball(workshop: Workshop) -> None:
    commit(workshop.app, {"index.html": "x", "Procfile": "web: serve\n"})
    tarball = workshop.root / "shop.tar.gz"
    git(workshop.app, "archive", "--prefix=shop-1/", f"--output={tarball}", "HEAD")
    builder = Builder(workshop.sandbox, workshop.store, workshop.home, uid=UID)
    slug = builder.build("shop", from_tarball(tarball), Build(), progress=workshop.told.append)
    assert slug.layers == workshop.build().layers
    assert slug.commit == git(workshop.app, "rev-parse", "HEAD")


def test_a_dirty_tree_is_told_from_a_commit(workshop: Workshop) -> None:
    commit(workshop.app, {"index.html": "one"})
    (workshop.app / "index.html").write_text("two")
    assert workshop.run(workshop.build(), "cat", "index.html") == "one"
    slug = workshop.build(dirty=True)
    assert slug.dirty
    assert workshop.run(slug, "cat", "index.html") == "two"


def test_a_build_that_takes_too_long_is_ended(workshop: Workshop) -> None:
    commit(workshop.app, {"index.html": "x"})

    def error(minutes: float) -> Failed:
        build = Build(command="echo it began; sleep 300 & exec sleep 300", timeout=timedelta(minutes=minutes))
        with pytest.raises(Failed, match=rf"it took more than {minutes} minutes; `echo it began; ") as caught:
            workshop.build(build)
        return caught.value

    found = until_enough((0.03, 0.1, 0.5), error, lambda error: error.details)
    assert found.details == ("it began",)
    assert "timeout" in (found.hint or "")
    assert (workshop.objects, workshop.scratches) == ([], [])


def test_a_build_that_fails_publishes_nothing_and_shows_its_end(workshop: Workshop) -> None:
    commit(workshop.app, {"index.html": "x"})
    with pytest.raises(Failed, match="the build of shop failed: `seq 100; echo '") as caught:
        workshop.build(Build(command="seq 100; echo 'no \033[31mcolour' >&2; printf 'y%.0s' {1..1000}; exit 3"))
    assert caught.value.message.endswith("ended with 3")
    assert len(caught.value.details) == 30
    assert caught.value.details[-3:] == ("100", "no ?[31mcolour", 400 * "y" + " …")
    assert (workshop.objects, workshop.scratches) == ([], [])


def test_a_command_that_makes_links_out_or_no_dependencies(workshop: Workshop) -> None:
    commit(workshop.app, {"index.html": "x"})
    with pytest.raises(Invalid, match="secret -> /etc/shadow leaves the app"):
        workshop.build(Build(command="ln -s /etc/shadow secret"))
    own = Dependencies(command="true", paths=("vendor/bundle",))
    with pytest.raises(Failed, match="made no directory vendor/bundle"):
        workshop.build(Build(dependencies=own))
    with pytest.raises(Failed, match=r"made no directory index\.html"):
        workshop.build(Build(dependencies=Dependencies(command="true", paths=("index.html",))))
    assert (workshop.objects, workshop.scratches) == ([], [])


def test_a_build_sees_its_tree_and_the_settings_of_registries_only(workshop: Workshop) -> None:
    commit(workshop.app, {"index.html": "x"})
    probe = f"id -u; env | sort; ls {workshop.home.root} /root /work 2>&1; touch /usr/x 2>&1; true"
    slug = workshop.build(
        Build(command=probe, env={"OWN": "1"}), PIP_EXTRA_INDEX_URL="https://example.net/simple", TOP_SECRET="x"
    )
    said = [line.strip() for line in workshop.told]
    assert str(UID or os.getuid()) in said
    assert "0" not in said
    assert {"OWN=1", "PIP_EXTRA_INDEX_URL=https://example.net/simple", "HOME=/home"} <= set(said)
    assert not any("TOP_SECRET" in line for line in said[1:])
    assert any(f"'{workshop.home.root}': No such file" in line for line in said)
    assert any("/usr/x': Read-only file system" in line or "/usr/x': Permission denied" in line for line in said)
    assert "PIP_EXTRA_INDEX_URL" not in workshop.run(slug, "env")


def test_what_a_killed_build_left_is_removed_by_the_next(workshop: Workshop) -> None:
    commit(workshop.app, {"index.html": "x"})
    ended = subprocess.Popen(("true",))
    ended.wait()
    left = workshop.home.builds / f"scratch-{ended.pid}-0123abcd"
    (left / "source/closed").mkdir(parents=True)
    (left / "source/closed").chmod(0o500)
    other = workshop.home.builds / f"scratch-{os.getpid()}-0123abcd"
    other.mkdir()
    workshop.build()
    assert workshop.scratches == [other]
