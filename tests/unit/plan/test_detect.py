"""Detection: only what the files say outright; and the homeport.toml written from it."""

import json

import pytest

from homeport.errors import Invalid
from homeport.plan import platform, procfile
from homeport.plan.detect import (
    Accept,
    Detected,
    Interpreter,
    app_name,
    choose_python,
    detect,
    init_text,
    inputs_of,
    is_wanted,
)
from homeport.plan.static import Static

MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
URLS = 'from django.urls import include, path\nurlpatterns = [path("", v), path("healthz", v)]\n'
DJANGO = {
    "manage.py": MANAGE,
    "requirements.txt": "Django==4.2\ngunicorn>=20  # server\n",
    "shop/__init__.py": "",
    "shop/settings.py": 'ROOT_URLCONF = "shop.urls"\nWSGI_APPLICATION = "shop.wsgi.application"\n'
    'INSTALLED_APPS = ["django.contrib.staticfiles"]\nSTATIC_ROOT = BASE / "static"\n',
    "shop/urls.py": URLS,
    "shop/wsgi.py": "application = get_wsgi_application()\n",
}
FLASK = {
    "requirements.txt": "flask\ngunicorn\n",
    "app.py": 'from flask import Flask\napp = Flask(__name__)\n@app.route("/up")\ndef up(): return "ok"\n',
}


def test_django() -> None:
    assert all(map(is_wanted, DJANGO))
    assert detect(DJANGO) == Detected(
        language="python",
        dependencies="requirements.txt",
        framework="django",
        health_path="/healthz",
        procfile={"web": "gunicorn --bind 0.0.0.0:$PORT shop.wsgi"},
        collectstatic=True,
    )


def test_django_in_a_subdirectory_with_a_settings_package_and_poetry_names() -> None:
    files = {
        "pyproject.toml": '[project]\nname = "x"\ndependencies = ["django>=4", "uvicorn[standard]"]\n',
        "uv.lock": '[[package]]\nname = "gunicorn"\n',
        "src/manage.py": MANAGE.replace("shop.settings", "config.settings.local"),
        "src/config/settings/parts/static.py": 'STATIC_ROOT = env("S")\n',
        "src/config/settings/base.py": 'APPS = ["django.contrib.staticfiles"]\nROOT_URLCONF = "config.urls"\n',
        "src/config/settings/local.py": "from .base import *\n",
        "src/config/urls.py": URLS.replace('"healthz"', '"up/"'),
        "src/config/asgi.py": "",
        "src/config/wsgi.py": "",
        ".python-version": "3.12\n",
    }
    found = detect(files)
    assert found.procfile == {"web": "uvicorn --app-dir src --host 0.0.0.0 --port $PORT config.asgi:application"}
    assert (found.dependencies, found.health_path, found.collectstatic) == ("uv.lock", "/up/", True)
    assert (found.python, found.python_source) == ("3.12", ".python-version")


@pytest.mark.parametrize(
    "urls",
    [
        URLS.replace('path("healthz", v)', 'path("healthz", include("x.urls"))'),
        URLS.replace('path("healthz", v)', '# path("healthz", v)\n'),
        URLS.replace('path("healthz", v)', 'path("api/healthz", v)'),
        "from django.conf.urls.i18n import i18n_patterns\n"
        + URLS.replace("= [", "= i18n_patterns(*[").replace("]\n", "])\n"),
        URLS.replace("from django.urls", "from other"),
        "this isn't Python",
    ],
)
def test_an_uncertain_health_path_is_none(urls: str) -> None:
    assert detect(DJANGO | {"shop/urls.py": urls}).health_path is None


def test_django_without_a_server_or_static_root() -> None:
    found = detect(DJANGO | {"requirements.txt": "django", "shop/settings.py": "STATIC_ROOT = None"})
    assert found.procfile == {}
    assert not found.collectstatic
    assert found.notices == ("Django, but no server among the dependencies: add gunicorn, or write a Procfile",)
    without = {path: text for path, text in DJANGO.items() if path != "shop/wsgi.py"}
    assert detect(without).notices == ("Django without shop.wsgi: write a Procfile with a web process",)


def test_flask() -> None:
    found = detect(FLASK)
    assert (found.framework, found.procfile) == ("flask", {"web": "gunicorn --bind 0.0.0.0:$PORT app:app"})
    assert found.health_path == "/up"


def test_fastapi_in_a_package() -> None:
    code = 'api: FastAPI = FastAPI(title="x")\n@api.get("/health")\nasync def h(): ...\n'
    code += '@router.get("/healthz")\nasync def u(): ...\n'
    found = detect({"requirements.txt": "fastapi[standard]", "app/main.py": code, "tests/app.py": code})
    assert found.procfile == {"web": "uvicorn --host 0.0.0.0 --port $PORT app.main:api"}
    assert (found.framework, found.health_path) == ("fastapi", "/health")


@pytest.mark.parametrize(
    ("changes", "notice"),
    [
        ({"requirements.txt": "flask"}, "no server among the dependencies: add gunicorn"),
        ({"main.py": FLASK["app.py"]}, "several applications: app.py (app), main.py (app)"),
        ({"app.py": "def create_app():\n    app = Flask(__name__)\n"}, "no application at the top of a module"),
    ],
)
def test_an_uncertain_web_process_isnt_derived(changes: dict[str, str], notice: str) -> None:
    found = detect(FLASK | changes)
    assert (found.framework, found.procfile) == ("flask", {})
    assert notice in found.notices[0]


def test_a_framework_that_isnt_among_the_dependencies() -> None:
    assert detect(FLASK | {"requirements.txt": "gunicorn"}).framework is None


def test_a_post_route_is_no_health_path() -> None:
    code = FLASK["app.py"].replace('"/up"', '"/up", methods=["POST"]')
    assert detect(FLASK | {"app.py": code}).health_path is None
    assert detect(FLASK | {"app.py": code.replace("POST", "GET")}).health_path == "/up"


def test_code_of_the_app_with_a_warning_is_read() -> None:
    assert detect(FLASK | {"app.py": FLASK["app.py"] + 'x = "\\d"\n'}).health_path == "/up"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("requirements.txt", "pyproject.toml"), "requirements.txt"),
        (("requirements.txt", "uv.lock", "pyproject.toml"), "uv.lock"),
        (("requirements/base.txt", "requirements/production.txt"), "requirements/production.txt"),
        (("requirements-web.txt",), "requirements-web.txt"),
        (("requirements-a.txt", "requirements-b.txt", "manage.py"), None),
        (("pyproject.toml",), "pyproject.toml"),
    ],
)
def test_where_dependencies_come_from(files: tuple[str, ...], expected: str | None) -> None:
    texts = {"pyproject.toml": "[project]\n"}
    assert detect({path: texts.get(path, "") for path in files}).dependencies == expected


def test_a_pyproject_for_tools_only_is_no_dependency_input() -> None:
    assert detect({"pyproject.toml": "[tool.ruff]\n"}).language is None
    assert detect({"pyproject.toml": "[tool.ruff]\n", "manage.py": ""}).dependencies is None
    with pytest.raises(Invalid, match=r"pyproject.toml isn't valid TOML"):
        detect({"pyproject.toml": "x"})


def test_other_languages() -> None:
    node = detect({"package.json": '{"scripts": {"start": "node x"}}', "package-lock.json": "{}"})
    assert (node.language, node.dependencies, node.procfile) == ("node", "package-lock.json", {"web": "npm start"})
    yarn = detect({"package.json": "{}", "yarn.lock": ""})
    assert (yarn.dependencies, yarn.procfile) == ("package.json", {})
    assert "yarn.lock isn't read" in yarn.notices[0]
    assert detect({"package.json": "{}", "server.js": ""}).procfile == {"web": "npm start"}
    for path, directory in (("index.html", "."), ("public/index.html", "public")):
        pages = detect({path: ""})
        assert (pages.language, pages.static, pages.health_path) == ("static", Static(directory=directory), "/")
        assert list(pages.procfile) == ["web"]
    assert detect({"README.md": ""}) == Detected()
    with pytest.raises(Invalid, match=r"package.json isn't valid JSON"):
        detect({"package.json": "{"})


def test_node_that_makes_pages_alone() -> None:
    vite = {"scripts": {"build": "vite build"}, "devDependencies": {"vite": "6"}}
    found = detect({"package.json": json.dumps(vite), "index.html": "", "package-lock.json": "{}"})
    assert (found.language, found.static, list(found.procfile)) == ("node", Static(directory="dist"), ["web"])
    vite["scripts"]["start"] = "node ./server.mjs --for vite-pages"
    assert detect({"package.json": json.dumps(vite)}).static is None
    vite["scripts"]["start"] = "npx vite --port 80"
    assert detect({"package.json": json.dumps(vite)}).static
    del vite["scripts"]["start"]
    assert detect({"package.json": json.dumps(vite), "server.js": ""}).procfile == {"web": "npm start"}


def test_python_with_assets_by_node() -> None:
    package = '{"scripts": {"build": "vite build"}, "engines": {"node": ">=18"}}'
    found = detect(DJANGO | {"package.json": package, "package-lock.json": "{}"})
    assert (found.language, found.dependencies, found.node_dependencies) == (
        "python",
        "requirements.txt",
        "package-lock.json",
    )
    assert (found.node, found.node_source) == (">=18", "package.json (engines)")
    assert found.procfile == detect(DJANGO).procfile


def test_pipenv_is_named() -> None:
    assert detect({"Pipfile": ""}).notices == (
        "Pipfile isn't read; make a file that is: pipenv requirements > requirements.txt",
    )


def test_inputs_of_requirements() -> None:
    files = {
        "requirements.txt": "-r requirements/base.txt\n--constraint=limits.txt\n-e ./libs/edit[x]\n"
        "./libs/own ; python_version > '3'\n"
        "wheels/a-1.0-py3-none-any.whl\nflask == \\\n 1.0\nb @ file:./libs/b\nc @ https://x.y/c.whl\n-r https://x.y/r.txt\n"
        "--index-url https://x.y/simple\ngit+https://x.y/z.git#egg=z\n# -r no.txt\n",
        "requirements/base.txt": "-c ../limits.txt\n-rmore.txt\n-e .\n",
        "requirements/more.txt": "-r base.txt\ndjango\n",
        "limits.txt": "x<2",
        "libs/edit/setup.py": "",
        "pyproject.toml": "[project]\n",
        "other.txt": "",
    }
    assert inputs_of(files, "requirements.txt") == (
        "requirements.txt",
        "libs/b",
        "libs/edit/setup.py",
        "libs/own",
        "limits.txt",
        "pyproject.toml",
        "requirements/base.txt",
        "requirements/more.txt",
        "wheels/a-1.0-py3-none-any.whl",
    )


def test_an_included_file_that_isnt_there() -> None:
    with pytest.raises(Invalid) as caught:
        inputs_of({"requirements.txt": "-r base.txt"}, "requirements.txt")
    assert caught.value.message == "requirements.txt includes base.txt, which isn't in the repository"
    with pytest.raises(Invalid, match="outside the repository"):
        inputs_of({"requirements.txt": "-r ../base.txt"}, "requirements.txt")


def test_inputs_of_locks_and_projects() -> None:
    uv = {
        "pyproject.toml": '[project]\n[tool.setuptools.dynamic]\ndependencies = { file = ["r.txt"] }\n',
        "uv.lock": '[[package]]\nname = "a"\nsource = { editable = "." }\n'
        '[[package]]\nname = "b"\nsource = { editable = "libs/b" }\n'
        '[[package]]\nname = "c"\nsource = { directory = "libs/c" }\n'
        '[[package]]\nname = "d"\nsource = { registry = "https://x.y" }\n',
        "libs/b/pyproject.toml": "",
        "r.txt": "-c c.txt",
        "c.txt": "",
        "setup.py": "",
    }
    assert inputs_of(uv, "uv.lock") == ("uv.lock", "libs/b/pyproject.toml", "libs/c", "pyproject.toml", "setup.py")
    assert inputs_of(uv, "pyproject.toml") == ("pyproject.toml", "c.txt", "r.txt", "setup.py")
    node = {"package.json": "{}", "package-lock.json": "{}", ".npmrc": "", "vendor/x.tgz": "", "a/package.json": "{}"}
    inputs = ("package-lock.json", ".npmrc", "a/package.json", "package.json", "vendor/x.tgz")
    assert inputs_of(node | {"node_modules/b/package.json": "{}"}, "package-lock.json") == inputs


@pytest.mark.parametrize(
    ("file", "text", "wanted"),
    [
        (".python-version", "3.11.4\n", "3.11.4"),
        (".python-version", "# mine\n\n3.12 # x\n3.11\n", "3.12"),
        (".python-version", "cpython-3.12\n", "3.12"),
        (".python-version", "system\n", None),
        (".python-version", "pypy3.9-7.3\n", "pypy3.9-7.3"),
        ("runtime.txt", "python-3.10.2\n", "3.10.2"),
        (".tool-versions", "nodejs 20\npython 3.12.1 3.11\n", "3.12.1"),
        (".tool-versions", "nodejs 20\n", None),
        ("pyproject.toml", '[project]\nrequires-python = ">=3.12"\n', ">=3.12"),
        ("pyproject.toml", "[tool.ruff]\n", None),
    ],
)
def test_the_python_that_is_asked_for(file: str, text: str, wanted: str | None) -> None:
    found = detect({"requirements.txt": "", file: text})
    assert (found.python, found.python_source) == (wanted, file if wanted else "")


HERE = (Interpreter(version="3.11.2", path="/usr/bin/python3"), Interpreter(version="3.12.7", path="/opt/p/bin/python"))


@pytest.mark.parametrize(
    ("wanted", "version", "noticed"),
    [
        (None, "3.11.2", False),
        ("3", "3.11.2", False),
        ("3.12", "3.12.7", False),
        ("3.12.7", "3.12.7", False),
        ("3.11.9", "3.11.2", True),
        (">=3.11", "3.11.2", False),
        (">=3.11.3,<4", "3.12.7", False),
        (">3.11", "3.11.2", False),
        (">3.11.2", "3.12.7", False),
        ("<3.13, !=3.11.*", "3.12.7", False),
        ("~=3.11", "3.11.2", False),
        ("==3.12.*", "3.12.7", False),
        ("<=3.11.2", "3.11.2", False),
        (">=3.12rc1", "3.12.7", False),
    ],
)
def test_an_interpreter_is_chosen(wanted: str | None, version: str, noticed: bool) -> None:
    chosen, notice = choose_python(wanted, "runtime.txt", HERE)
    assert chosen.version == version
    expected = f"runtime.txt asks for Python {wanted}; {version} is here and is taken" if noticed else None
    assert notice == expected


@pytest.mark.parametrize(
    "wanted", ["3.1", "3.13", "3.13.1", "pypy3.9", "2.7.18", ">=3.13", "<3.11", "==3.11", "~=3.11.3", ">3.12.7"]
)
def test_an_interpreter_that_isnt_there(wanted: str) -> None:
    with pytest.raises(Invalid) as caught:
        choose_python(wanted, ".python-version", HERE)
    assert ".python-version asks for Python" in caught.value.message
    assert "3.11.2 (/usr/bin/python3), 3.12.7 (/opt/p/bin/python)" in caught.value.message
    assert caught.value.hint is not None
    accepted = caught.value.hint.partition(": ")[2].removesuffix(" below [build] in homeport.toml")
    assert platform.parse(f'app = "a"\n[build]\n{accepted}').build.python == "3.11"


def test_no_interpreter_at_all() -> None:
    with pytest.raises(Invalid, match="no Python on this machine"):
        choose_python(None, "", ())


@pytest.mark.parametrize(
    ("text", "name"), [("My_App", "my-app"), ("shop", "shop"), ("é", "app"), ("a" * 50, "a" * 40), ("--x--", "x")]
)
def test_a_name_from_a_directory(text: str, name: str) -> None:
    assert app_name(text) == name


def test_python_without_a_list_of_dependencies_is_said() -> None:
    assert "nothing will be installed" in detect({"mysite/manage.py": ""}).notices[0]
    assert detect({"web.py": ""}) == Detected()


@pytest.mark.parametrize("detected", [detect(DJANGO), Detected(), Detected(python="3.12", python_source="runtime.txt")])
def test_the_file_that_init_writes_resolves(detected: Detected) -> None:
    processes = procfile.parse("web: a\nHeavy_Jobs: b\nheavy-jobs: c\n___: d\nrelease: e")
    accept = Accept(key="python", version="3.11", why="runtime.txt asks for Python 3.12")
    text = init_text("shop", processes, detected, accept=[accept] if detected.python else ())
    file = platform.parse(text)
    resolved = platform.resolve(file, environment="staging", app="shop", procfile=processes)
    assert platform.unused_processes(file, processes) == ()
    assert [each.name for each in resolved.groups] == ["web", "heavy-jobs", "group-1", "group-2"]
    assert resolved.groups[0].health.path == detected.health_path
    assert len(text.splitlines()) < 30
