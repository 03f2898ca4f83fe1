"""Node apps, built by npm in the real sandbox. Their packages lie in the repository, so that no registry is asked."""

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from homeport.errors import Failed
from homeport.plan.static import Static
from homeport.releases.build import Serving
from tests.app_repository import commit
from tests.e2e.test_build import Workshop, workshop

__all__ = ["workshop"]

SERVER = "console.log('one', require('runs'))\n"
BUILD = """
const fs = require("fs");
fs.mkdirSync("out", { recursive: true });
fs.writeFileSync("out/page.html", require("builds") + " in " + process.env.NODE_ENV);
fs.mkdirSync("node_modules/.cache", { recursive: true });
fs.writeFileSync("node_modules/.cache/" + Date.now(), "for the next time");
"""
PROJECT = '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.11"\n'
LOCK = """version = 1
requires-python = ">=3.11"

[[package]]
name = "app"
version = "1"
source = { virtual = "." }
"""
HAS = ("node", "-p", "['runs', 'builds', '.cache'].filter((each) => fs.existsSync('node_modules/' + each)).join()")


LOCKED: dict[str, str] = {}
"""What npm locked, by what it was asked for: it takes a second."""


@cache
def archive(name: str) -> str:
    """A package that exports its name, as `npm pack` makes it; always the same bytes."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path, text in (
            ("package.json", json.dumps({"name": name, "version": "1.0.0"})),
            ("index.js", f"module.exports = '{name}'"),
        ):
            info = tarfile.TarInfo(f"package/{path}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return data.getvalue().decode("utf-8", "surrogateescape")


def write_app(root: Path, files: Mapping[str, str | None] = {}, **package: object) -> None:
    """An app with a dependency and one for development, locked."""
    said = {
        "name": "app",
        "version": "1.0.0",
        "dependencies": {"runs": "file:vendor/runs.tgz"},
        "devDependencies": {"builds": "file:vendor/builds.tgz"},
        **package,
    }
    vendor = {f"vendor/{name}.tgz": archive(name) for name in ("runs", "builds")}
    commit(root, {**vendor, "server.js": SERVER, "build.js": BUILD, "package.json": json.dumps(said), **files})
    wish = json.dumps([said.get(each) for each in ("dependencies", "devDependencies", "workspaces")])
    if wish not in LOCKED:
        lock = ("npm", "install", "--package-lock-only", "--offline", "--ignore-scripts", "--no-audit", "--no-fund")
        subprocess.run(lock, cwd=root, check=True, capture_output=True)
        LOCKED[wish] = (root / "package-lock.json").read_text()
    commit(root, {"package-lock.json": LOCKED[wish]})


def shipped(workshop: Workshop, before: list[str]) -> list[int]:
    """Sizes of the layers that are new in the store."""
    new = set(workshop.objects) - set(before)
    return [workshop.store.size(each) or 0 for each in sorted(new) if "by-key" not in each]


def test_a_build_has_all_and_what_runs_has_less(workshop: Workshop) -> None:
    write_app(workshop.app, scripts={"build": "node build.js"})
    first = workshop.build()
    dependencies, source = first.layers
    assert (dependencies.mounts, source.kind) == (("node_modules",), "source")
    assert " node-" in first.image
    assert workshop.run(first, "cat", "out/page.html") == "builds in production"
    assert workshop.run(first, *HAS) == "runs\n"
    assert workshop.run(first, "node", "server.js") == "one runs\n"

    before = workshop.objects
    commit(workshop.app, {"server.js": SERVER.replace("one", "two")})
    second = workshop.build()
    assert not any("npm --" in line for line in workshop.told), "nothing is installed again"
    assert any("npm run build" in line for line in workshop.told)
    assert second.layers[0] == dependencies
    assert workshop.run(second, "node", "server.js") == "two runs\n"
    (size,) = shipped(workshop, before)
    assert size < 3000

    # on another machine, what was installed isn't kept
    shutil.rmtree(next(workshop.home.builds.glob("modules-*")))
    assert workshop.build() == second
    assert workshop.scratches == []


def test_what_a_build_makes_among_its_modules_runs_too(workshop: Workshop) -> None:
    generate = "require('fs').writeFileSync('node_modules/runs/client.js', 'module.exports = 1')"
    write_app(workshop.app, {"generate.js": generate}, scripts={"postinstall": "node generate.js"})
    first = workshop.build()
    assert any("the build changed node_modules/runs" in line for line in workshop.told)
    assert workshop.run(first, "node", "-p", "require('runs/client')") == "1\n"
    assert workshop.run(first, *HAS) == "runs\n"

    before = workshop.objects
    commit(workshop.app, {"server.js": "two"})
    second = workshop.build()
    assert not any(" ci " in line for line in workshop.told)
    assert second.layers[0].sha256 == first.layers[0].sha256
    assert len(shipped(workshop, before)) == 1

    commit(workshop.app, {"generate.js": generate.replace("= 1", "= 2")})
    assert workshop.run(workshop.build(), "node", "-p", "require('runs/client')") == "2\n"


def test_without_a_build_only_what_runs_is_installed(workshop: Workshop) -> None:
    write_app(workshop.app, scripts={"start": "node server.js"})
    assert workshop.run(workshop.build(), *HAS) == "runs\n"
    assert any(line.endswith("ci --omit=dev") for line in workshop.told)


def test_workspaces_keep_their_own_modules(workshop: Workshop) -> None:
    own = {"name": "own", "version": "1.0.0", "dependencies": {"runs": "file:runs"}}
    files = {
        "packages/own/package.json": json.dumps(own),
        "packages/own/index.js": "module.exports = require('runs')",
        "packages/own/runs/package.json": '{"name": "runs", "version": "2.0.0"}',
        "packages/own/runs/index.js": "module.exports = 'another'",
        "server.js": "console.log(require('own'), require('runs'))",
    }
    write_app(workshop.app, files, workspaces=["packages/own"], scripts={"build": "node build.js"})
    slug = workshop.build()
    assert slug.layers[0].mounts == ("node_modules", "packages/own/node_modules")
    assert workshop.run(slug, "node", "server.js") == "another runs\n"
    assert workshop.build() == slug


def test_python_and_node_in_one_app(workshop: Workshop) -> None:
    files = {"pyproject.toml": PROJECT, "uv.lock": LOCK, "app.py": "print(open('out/page.html').read())\n"}
    write_app(workshop.app, files, scripts={"build": "node build.js"})
    slug = workshop.build()
    assert [layer.mounts for layer in slug.layers] == [(".venv",), ("node_modules",), ()]
    assert slug.path == ("/app/.venv/bin", "/app/node_modules/.bin")
    assert workshop.run(slug, "python", "app.py") == "builds in production\n"
    commit(workshop.app, {"pyproject.toml": f"{PROJECT}# a comment\n"})
    workshop.build()
    assert any("dependencies: unchanged (node_modules" in line for line in workshop.told), "each has a key of its own"
    assert any("uv sync" in line for line in workshop.told)


def test_pages_that_npm_builds_take_no_modules_along(workshop: Workshop) -> None:
    write_app(workshop.app, scripts={"build": "node build.js"})
    slug = workshop.build_pages(Serving(static=Static(directory="out"), alone=True))
    (layer,) = slug.layers
    assert layer.kind == "source"
    assert "root /app/out;" in workshop.run(slug, "cat", ".homeport/nginx.conf")
    with pytest.raises(Failed, match="made no directory dist"):
        workshop.build_pages(Serving(static=Static(directory="dist"), alone=True))
