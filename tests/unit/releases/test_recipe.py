"""How an app is built, from its files."""

import json

import pytest

from homeport.errors import Invalid
from homeport.plan.detect import Interpreter
from homeport.plan.platform import Build, Dependencies
from homeport.releases.recipe import UV, Recipe, recipe

PYTHONS = (
    Interpreter(version="3.11.2", path="/usr/bin/python3.11"),
    Interpreter(version="3.13.1", path="/usr/local/bin/python3.13"),
)
DJANGO = {
    "requirements.txt": "Django==5.2\n",
    "src/manage.py": 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n',
    "src/shop/settings.py": 'INSTALLED_APPS = ["django.contrib.staticfiles"]\nSTATIC_ROOT = "x"\n',
}


NODE = Interpreter(version="20.11.0", path="/usr/bin/node")
LOCKED = {"package.json": '{"dependencies": {"ws": "8"}, "devDependencies": {"vite": "6"}}', "package-lock.json": "{}"}


def made(files: dict[str, str], *, runs: bool = True, **build: object) -> Recipe:
    return recipe(files, Build(**build), PYTHONS, NODE, runs=runs)  # type: ignore[arg-type]


def texts(found: Recipe) -> list[str]:
    return [step.text for install in found.installs for step in install.steps]


def with_scripts(**scripts: str) -> dict[str, str]:
    return {**LOCKED, "package.json": json.dumps({**json.loads(LOCKED["package.json"]), "scripts": scripts})}


def test_requirements() -> None:
    found = made({"requirements.txt": "-r more.txt\n", "more.txt": "bottle\n", "app.py": ""})
    assert texts(found) == [
        "/usr/bin/python3.11 -m venv .venv",
        ".venv/bin/pip install --no-compile -r requirements.txt",
    ]
    (install,) = found.installs
    assert (install.provides, install.inputs) == ((".venv",), ("requirements.txt", "more.txt"))
    assert found.path == (".venv/bin",)


def test_a_uv_lock_and_a_project() -> None:
    project = '[project]\nname = "x"\nversion = "1"\n'
    found = made({"uv.lock": "version = 1\n", "pyproject.toml": project, ".python-version": "3.13\n"})
    sync = "sync --frozen --no-dev --no-progress --python /usr/local/bin/python3.13"
    assert texts(found) == [f"{UV} {sync}"]
    assert set(found.installs[0].inputs) == {"uv.lock", "pyproject.toml"}
    assert texts(made({"pyproject.toml": project}))[1] == ".venv/bin/pip install --no-compile -e ."


def test_the_file_says_which_python_over_all_else() -> None:
    files = {"requirements.txt": "", ".python-version": "3.9"}
    with pytest.raises(Invalid, match=r"asks for Python 3\.9"):
        made(files)
    assert made(files, python="3.13").python == PYTHONS[1]


def test_collectstatic_where_django_has_it_and_nobody_turned_it_off() -> None:
    (step,) = made(DJANGO).source
    assert step.text == "/app/.venv/bin/python manage.py collectstatic --noinput"
    assert step.directory == "src"
    assert step.hint
    assert "collectstatic = false" in step.hint
    assert made(DJANGO, collectstatic=False).source == ()


def test_a_command_replaces_detection() -> None:
    found = made({"requirements.txt": "bottle", "package.json": "{}"}, command="make dist && ls")
    assert found.installs == ()
    assert [each.text for each in found.source] == ["make dist && ls"]


def test_a_command_with_dependencies_of_its_own() -> None:
    own = Dependencies(command="npm ci", paths=("node_modules",))
    files = {"package.json": "{}", "package-lock.json": "{}", "web/package.json": "{}", "readme": ""}
    found = made(files, command="npm run build", dependencies=own)
    (install,) = found.installs
    assert (texts(found), install.provides) == (["npm ci"], ("node_modules",))
    assert install.inputs == ("package-lock.json", "package.json", "web/package.json")
    assert made(files, dependencies=own).source == ()


def test_apps_without_dependencies_have_no_such_step() -> None:
    for files in ({"index.html": ""}, {"Procfile": "web: ./run"}, {"app.py": ""}):
        found = made(files)
        assert (found.installs, found.source) == ((), ())


def test_node_without_a_build_installs_what_runs() -> None:
    found = made(with_scripts(start="node x"))
    assert texts(found) == ["npm --no-audit --no-fund --no-update-notifier ci --omit=dev"]
    (install,) = found.installs
    assert (install.provides, install.prune, found.source) == (("node_modules",), (), ())
    assert install.inputs == ("package-lock.json", "package.json")
    assert found.path == ("node_modules/.bin",)
    assert "npm --no-audit --no-fund --no-update-notifier install --omit=dev" in texts(made({"package.json": "{}"}))


def test_node_builds_with_everything_and_runs_with_less() -> None:
    found = made(with_scripts(build="vite build", postinstall="patch", prepare="husky"))
    assert texts(found) == [
        "npm pkg delete scripts.postinstall scripts.prepare",
        "npm --no-audit --no-fund --no-update-notifier ci --include=dev",
    ]
    (install,) = found.installs
    assert [step.text for step in install.prune] == [
        "npm --no-audit --no-fund --no-update-notifier prune --omit=dev --ignore-scripts"
    ]
    assert [step.text for step in found.source] == ["npm run postinstall", "npm run prepare", "npm run build"]
    assert found.environment == {"NODE_ENV": "production"}


def test_python_and_node_in_one_app_build_assets_before_collecting_them() -> None:
    found = made({**DJANGO, **with_scripts(build="vite build")})
    assert [install.provides for install in found.installs] == [(".venv",), ("node_modules",)]
    assert [step.text for step in found.source] == [
        "npm run build",
        "/app/.venv/bin/python manage.py collectstatic --noinput",
    ]
    assert found.path == (".venv/bin", "node_modules/.bin")
    assert [install.provides for install in made({**DJANGO, **with_scripts(build="x")}, node="none").installs] == [
        (".venv",)
    ]


def test_tools_of_python_developers_are_not_installed() -> None:
    tools = {"package.json": '{"devDependencies": {"prettier": "3"}}', "package-lock.json": "{}"}
    assert len(made({**DJANGO, **tools}).installs) == 1
    unlocked = {"package.json": '{"scripts": {"build": "vite build"}}', "yarn.lock": ""}
    found = made({**DJANGO, **unlocked})
    assert len(found.installs) == 1
    assert "its build script isn't run" in found.notices[-1]


def test_a_front_end_below_the_top_is_named_and_not_built() -> None:
    below = {
        "requirements.txt": "bottle\n",
        "docs/package.json": "{",
        "e2e/tests/package.json": '{"scripts": {"build": "x"}}',
    }
    assert made(below).notices == ()
    below["frontend/package.json"] = '{"scripts": {"build": "vite build"}}'
    found = made({**below, "Procfile": "web: x\n"})
    assert found.notices[0].startswith("frontend/package.json has a build script, which isn't run")
    assert len(found.notices) == len(found.installs) == 1
    assert made(below, node="none").notices == ()
    assert made({**below, "package.json": "{}"}).notices == ()


def test_pages_alone_take_no_modules_that_nothing_builds_with() -> None:
    assert made(LOCKED, runs=False).installs == ()
    built = made(with_scripts(build="vite build"), runs=False)
    assert (len(built.installs), built.runs) == (1, False)


def test_a_foreign_lock_is_told_what_to_write() -> None:
    with pytest.raises(Invalid, match=r"stand in yarn\.lock") as caught:
        made({"package.json": "{}", "yarn.lock": ""})
    assert caught.value.hint
    assert "npm install --package-lock-only" in caught.value.hint
    own = Dependencies(command="yarn install --frozen-lockfile", paths=("node_modules",))
    assert own.command in caught.value.hint
    assert texts(made({"package.json": "{}", "yarn.lock": ""}, dependencies=own)) == [own.command]


def test_the_node_that_is_asked_for_must_be_there() -> None:
    with pytest.raises(Invalid, match=r"\.nvmrc asks for Node 18; there is 20\.11\.0") as caught:
        made({**LOCKED, ".nvmrc": "18\n"})
    assert caught.value.hint
    assert 'node = "20"' in caught.value.hint
    assert len(made({**LOCKED, ".nvmrc": "18\n"}, node="20").installs) == 1
    with pytest.raises(Invalid, match="no Node with npm"):
        recipe(LOCKED, Build(), PYTHONS, None)
