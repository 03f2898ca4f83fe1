"""What the Python code of an app tells of it: framework, web process, health path. Read as syntax, never run, and
nothing is concluded that the code doesn't say outright. Called by plan.detect.
"""

import ast
import posixpath
import warnings
from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

FrameworkName = Literal["django", "flask", "fastapi"]

HEALTH_PATHS = ("/healthz", "/health", "/up", "/ping", "/healthcheck")
_CLASSES: dict[str, FrameworkName] = {"Flask": "flask", "FastAPI": "fastapi"}
_ASKED_WITH_GET = ("route", "get", "api_route")


class Framework(Struct, frozen=True, kw_only=True):
    """`web` None: it isn't certain how to serve it; `notice` then says what is missing, where that is known."""

    name: FrameworkName
    web: str | None = None
    health_path: str | None = None
    collectstatic: bool = False
    notice: str | None = None


def framework(files: Mapping[str, str], packages: frozenset[str]) -> Framework | None:
    """The web framework of `files` (path → text), or None. `packages`: what its dependencies name."""
    manage = [path for path in files if posixpath.basename(path) == "manage.py"]
    if "django" in packages and len(manage) == 1 and (found := _django(files, packages, manage[0])):
        return found
    return _application(files, packages)


# --- Django ----------------------------------------------------------------------------------------------------------


def _django(files: Mapping[str, str], packages: frozenset[str], manage: str) -> Framework | None:
    directory = posixpath.dirname(manage)
    module = _settings_module(_tree(files[manage]))
    if module is None:
        return None
    settings = [tree for path in _settings_files(files, directory, module) if (tree := _tree(files[path]))]
    web, notice = _django_web(files, packages, directory, _assigned(settings, "WSGI_APPLICATION"), module)
    return Framework(
        name="django",
        web=web,
        notice=notice,
        health_path=_django_health(files, directory, _assigned(settings, "ROOT_URLCONF"), module),
        collectstatic=_assigns(settings, "STATIC_ROOT") and any(map(_has_staticfiles, settings)),
    )


def _settings_module(tree: ast.Module | None) -> str | None:
    """Of `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")`."""
    for call in _calls(tree):
        match [_constant(each) for each in call.args]:
            case ["DJANGO_SETTINGS_MODULE", str(module)]:
                return module
    return None


def _settings_files(files: Mapping[str, str], directory: str, module: str) -> list[str]:
    """The module itself, and all of the package where settings are one (production.py, components/static.py)."""
    path = posixpath.join(directory, *module.split("."))
    package = path if f"{path}/__init__.py" in files else posixpath.dirname(path)
    split = posixpath.basename(package) != module.split(".", maxsplit=1)[0]
    beside = [each for each in files if split and each.startswith(f"{package}/") and each.endswith(".py")]
    return sorted({each for each in (f"{path}.py", f"{path}/__init__.py") if each in files} | set(beside))


def _django_web(
    files: Mapping[str, str], packages: frozenset[str], directory: str, application: str | None, module: str
) -> tuple[str | None, str | None]:
    """The web process, and a notice where there is none."""
    project = module.split(".", maxsplit=1)[0]
    wsgi = application.rpartition(".")[0] if application else f"{project}.wsgi"
    asgi = f"{project}.asgi"
    chdir = f"--chdir {directory} " if directory else ""
    if "gunicorn" in packages and _module(files, directory, wsgi):
        return f"gunicorn {chdir}--bind 0.0.0.0:$PORT {wsgi}", None
    if "uvicorn" in packages and _module(files, directory, asgi):
        chdir = f"--app-dir {directory} " if directory else ""
        return f"uvicorn {chdir}--host 0.0.0.0 --port $PORT {asgi}:application", None
    if not _module(files, directory, wsgi):
        return None, f"Django without {wsgi}: write a Procfile with a web process"
    return None, "Django, but no server among the dependencies: add gunicorn, or write a Procfile"


def _django_health(files: Mapping[str, str], directory: str, urls: str | None, module: str) -> str | None:
    """A view of the root URLs at one of the usual paths. Included ones have a prefix, so they don't count."""
    path = _module(files, directory, urls or f"{module.split('.', maxsplit=1)[0]}.urls")
    tree = _tree(files[path]) if path else None
    if not _imports_path(tree) or any(_called(call) == "i18n_patterns" for call in _calls(tree)):
        return None
    routes: set[str] = set()
    for call in _calls(tree):
        match call.args:
            case [ast.Constant(value=str(route)), view, *_] if _called(call) == "path":
                if not (isinstance(view, ast.Call) and _called(view) == "include"):
                    routes.add(f"/{route}")
    return _health(routes)


def _imports_path(tree: ast.Module | None) -> bool:
    return tree is not None and any(
        isinstance(node, ast.ImportFrom)
        and node.module == "django.urls"
        and any(each.name == "path" for each in node.names)
        for node in ast.walk(tree)
    )


def _has_staticfiles(tree: ast.Module) -> bool:
    return any(_constant(node) == "django.contrib.staticfiles" for node in ast.walk(tree))


# --- Flask, FastAPI --------------------------------------------------------------------------------------------------


def _application(files: Mapping[str, str], packages: frozenset[str]) -> Framework | None:
    """Certain where exactly one module has an application at its top."""
    found = [
        (path, tree, variable, name)
        for path, text in sorted(files.items())
        if path.endswith(".py") and not {"test", "tests"} & set(path.split("/")) and (tree := _tree(text))
        for variable, name in _applications(tree)
        if name in packages
    ]
    if not found:
        named = [name for name in _CLASSES.values() if name in packages]
        notice = "no application at the top of a module: write a Procfile with a web process"
        return Framework(name=named[0], notice=f"{named[0]}, but {notice}") if len(named) == 1 else None
    path, tree, variable, name = found[0]
    if len(found) > 1:
        where = ", ".join(f"{each[0]} ({each[2]})" for each in found)
        return Framework(name=name, notice=f"several applications: {where}; write a Procfile with a web process")
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    web = _server(packages, name, f"{module}:{variable}")
    missing = f"{name}, but no server among the dependencies: add {'gunicorn' if name == 'flask' else 'uvicorn'}"
    return Framework(
        name=name, web=web, notice=None if web else missing, health_path=_health(_decorated(tree, variable))
    )


def _applications(tree: ast.Module) -> Iterator[tuple[str, FrameworkName]]:
    """`app = Flask(__name__)` at the top of a module: (variable, framework)."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=variable)], value=ast.Call() as call):
                pass
            case ast.AnnAssign(target=ast.Name(id=variable), value=ast.Call() as call):
                pass
            case _:
                continue
        if (name := _called(call)) in _CLASSES:
            yield variable, _CLASSES[name]


def _server(packages: frozenset[str], name: FrameworkName, application: str) -> str | None:
    if name == "flask":
        return f"gunicorn --bind 0.0.0.0:$PORT {application}" if "gunicorn" in packages else None
    if packages & {"uvicorn", "fastapi[standard]", "fastapi[all]"}:
        return f"uvicorn --host 0.0.0.0 --port $PORT {application}"
    return None


def _decorated(tree: ast.Module, variable: str) -> set[str]:
    """Paths of `@app.route("/x")` and `@app.get("/x")` on the application itself; blueprints and routers may have a
    prefix."""
    routes: set[str] = set()
    for node in ast.walk(tree):
        for call in getattr(node, "decorator_list", ()):
            match call:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=on), attr=attribute),
                    args=[ast.Constant(value=str(route)), *_],
                    keywords=keywords,
                ) if on == variable and attribute in _ASKED_WITH_GET and _with_get(keywords):
                    routes.add(route)
    return routes


def _with_get(keywords: list[ast.keyword]) -> bool:
    methods = [each.value for each in keywords if each.arg == "methods"]
    return not methods or any(_constant(node) == "GET" for node in ast.walk(methods[0]))


# --- syntax ----------------------------------------------------------------------------------------------------------


def _tree(text: str) -> ast.Module | None:
    """None for what this Python can't parse: code for another version, templates."""
    try:
        with warnings.catch_warnings():
            # What the app's code is warned of (such as an escape that isn't one) is no business of ours.
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _calls(tree: ast.Module | None) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call)) if tree else iter(())


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _constant(node: ast.AST) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _assignments(trees: list[ast.Module], name: str) -> Iterator[ast.expr]:
    for tree in trees:
        for node in tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                    yield value


def _assigns(trees: list[ast.Module], name: str) -> bool:
    """Whether something other than None or an empty text is assigned to `name`."""
    return any(not isinstance(value, ast.Constant) or bool(value.value) for value in _assignments(trees, name))


def _assigned(trees: list[ast.Module], name: str) -> str | None:
    """The one text that is assigned to `name`, or None."""
    values = {value for each in _assignments(trees, name) if isinstance(value := _constant(each), str)}
    return values.pop() if len(values) == 1 else None


def _module(files: Mapping[str, str], directory: str, module: str) -> str | None:
    path = posixpath.join(directory, *module.split("."))
    return next((each for each in (f"{path}.py", f"{path}/__init__.py") if each in files), None)


def _health(routes: set[str]) -> str | None:
    """The usual path that is there, with its trailing slash if it has one (without, Django would redirect)."""
    return next((each for path in HEALTH_PATHS for each in (path, f"{path}/") if each in routes), None)
