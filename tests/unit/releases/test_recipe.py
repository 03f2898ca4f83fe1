"""How an app is built, from its files."""

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


def made(files: dict[str, str], **build: object) -> Recipe:
    return recipe(files, Build(**build), PYTHONS)  # type: ignore[arg-type]


def texts(found: Recipe) -> list[str]:
    return [each.text for each in found.dependencies]


def test_requirements() -> None:
    found = made({"requirements.txt": "-r more.txt\n", "more.txt": "bottle\n", "app.py": ""})
    assert texts(found) == [
        "/usr/bin/python3.11 -m venv .venv",
        ".venv/bin/pip install --no-compile -r requirements.txt",
    ]
    assert (found.provides, found.inputs, found.path) == (
        (".venv",),
        ("requirements.txt", "more.txt"),
        (".venv/bin",),
    )


def test_a_uv_lock_and_a_project() -> None:
    project = '[project]\nname = "x"\nversion = "1"\n'
    found = made({"uv.lock": "version = 1\n", "pyproject.toml": project, ".python-version": "3.13\n"})
    sync = "sync --frozen --no-dev --no-progress --python /usr/local/bin/python3.13"
    assert texts(found) == [f"{UV} {sync}"]
    assert set(found.inputs) == {"uv.lock", "pyproject.toml"}
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
    assert (found.dependencies, found.provides) == ((), ())
    assert [each.text for each in found.source] == ["make dist && ls"]


def test_a_command_with_dependencies_of_its_own() -> None:
    own = Dependencies(command="npm ci", paths=("node_modules",))
    files = {"package.json": "{}", "package-lock.json": "{}", "web/package.json": "{}", "readme": ""}
    found = made(files, command="npm run build", dependencies=own)
    assert (texts(found), found.provides) == (["npm ci"], ("node_modules",))
    assert found.inputs == ("package-lock.json", "package.json", "web/package.json")
    assert made(files, dependencies=own).source == ()


def test_apps_without_dependencies_have_no_such_step() -> None:
    for files in ({"index.html": ""}, {"Procfile": "web: ./run"}, {"app.py": ""}):
        found = made(files)
        assert (found.dependencies, found.provides, found.source) == ((), (), ())


def test_node_is_told_what_to_write() -> None:
    with pytest.raises(Invalid, match=r"Node app \(package-lock\.json\)") as caught:
        made({"package.json": "{}", "package-lock.json": "{}"})
    assert caught.value.hint
    assert "[build]" in caught.value.hint


@pytest.mark.parametrize(("lock", "command"), [({}, "npm install"), ({"package-lock.json": "{}"}, "npm ci")])
def test_a_node_app_is_told_a_command_that_works(lock: dict[str, str], command: str) -> None:
    with pytest.raises(Invalid, match="this is a Node app") as caught:
        made({"package.json": "{}", **lock})
    assert f'command = "{command} --omit=dev"' in (caught.value.hint or "")
