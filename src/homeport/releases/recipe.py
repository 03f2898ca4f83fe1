"""How an app is built, decided from its files and `[build]`: which commands, what they provide, what their result
depends on. Pure; called by `build`."""

import contextlib
import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence

from msgspec import Struct

from homeport.errors import Invalid
from homeport.plan.detect import Detected, Interpreter, choose_python, detect, inputs_of, is_wanted
from homeport.plan.node import Package, choose_node, foreign_lock, package, refuse_foreign
from homeport.plan.platform import Build
from homeport.plan.platform_value import NO_NODE

VENV = ".venv"
NODE_MODULES = "node_modules"
UV = "/opt/homeport/uv"
"""Where the build's sandbox has uv."""

_NPM = ("npm", "--no-audit", "--no-fund", "--no-update-notifier")
# what a dependencies command of the user's own is taken to read
_LOCKS = frozenset(
    (
        *("Cargo.lock", "Gemfile", "Gemfile.lock", "composer.lock", "go.mod", "go.sum", "mix.lock"),
        *("Pipfile.lock", "poetry.lock", "pyproject.toml", "requirements.txt", "setup.cfg", "setup.py", "uv.lock"),
        *("bun.lock", "npm-shrinkwrap.json", "package-lock.json", "package.json", "pnpm-lock.yaml", "yarn.lock"),
    )
)
_STATIC_HINT = (
    'give what the settings need, in homeport.toml:\n[build]\nenv = { SECRET_KEY = "unused" }    '
    "# or turn it off: collectstatic = false"
)


class Step(Struct, frozen=True, kw_only=True):
    """One command, run in `directory` (relative to the app). `hint`: for when it fails."""

    command: tuple[str, ...]
    directory: str = ""
    hint: str | None = None

    @property
    def text(self) -> str:
        """As a person would type it."""
        shown = self.command[2:] if self.command[:2] == ("bash", "-c") else (shlex.join(self.command),)
        return " ".join(shown)


class Install(Struct, frozen=True, kw_only=True):
    """`steps` make the paths `provides` from `inputs`, in a tree of their own. `everywhere`: and every directory of
    that name below the top. `prune`: what they make is for the build, writable there; these steps make of it what
    runs."""

    steps: tuple[Step, ...]
    provides: tuple[str, ...]
    inputs: tuple[str, ...]
    everywhere: bool = False
    prune: tuple[Step, ...] = ()


class Recipe(Struct, frozen=True, kw_only=True):
    """Each of `installs` makes a layer of its own; then `source` runs beside what they provide. `runs` False: nothing
    but a server of files will run, so the layers are for the build alone. `python`: which compiles the source; None:
    none does. `environment`: of every step, below what the user's file says."""

    source: tuple[Step, ...] = ()
    installs: tuple[Install, ...] = ()
    runs: bool = True
    environment: dict[str, str] = {}
    path: tuple[str, ...] = ()
    """Directories relative to the app that go before PATH, if they are there after the build."""
    python: Interpreter | None = None
    notices: tuple[str, ...] = ()


def recipe(
    files: Mapping[str, str],
    build: Build,
    available: Sequence[Interpreter],
    node: Interpreter | None = None,
    *,
    runs: bool = True,
) -> Recipe:
    """The recipe for an app with these files (path → text, the whole tree). `available`, `node`: the machine's Pythons,
    and its Node if it has npm too. Raises `Invalid` where no interpreter fits, or what was detected can't be built."""
    if build.command is not None or build.dependencies is not None:
        return _by_command(files, build, available)
    detected = detect(files)
    python, notice = _python(detected, build, available)
    notices = [*_relevant(detected, files), *([notice] if notice else ())]
    if detected.language == "python" and build.node != NO_NODE:
        notices += _unbuilt(files)
    installs: list[Install] = []
    source: tuple[Step, ...] = ()
    if detected.language == "python" and detected.dependencies is not None and python is not None:
        inputs = inputs_of(files, detected.dependencies)
        installs.append(Install(steps=_install(detected.dependencies, python), provides=(VENV,), inputs=inputs))
    if detected.package is not None and build.node != NO_NODE:
        notices += _node(detected, build, node, files)
        npm, source = _npm(detected.package, detected.node_dependencies, files)
        # dependencies that nothing builds with, for files that nothing runs
        installs += [npm] if source or runs else []
    if detected.collectstatic and build.collectstatic and installs:
        source = (*source, *_collect_static(files))
    provides = {path for each in installs for path in each.provides}
    return Recipe(
        installs=tuple(installs),
        source=source,
        runs=runs,
        environment={"NODE_ENV": "production"} if NODE_MODULES in provides else {},
        path=tuple(path for path in (f"{VENV}/bin", f"{NODE_MODULES}/.bin") if path.split("/")[0] in provides),
        python=python,
        notices=tuple(notices),
    )


def _relevant(detected: Detected, files: Mapping[str, str]) -> tuple[str, ...]:
    """What detection has to tell where something may be missing: a Procfile, or a list of dependencies."""
    # that a lock is missing matters with a Procfile as well
    complete = "Procfile" in files and detected.dependencies not in (None, "pyproject.toml", "package.json")
    return () if complete and (detected.package or "package.json" not in files) else detected.notices


def _unbuilt(files: Mapping[str, str]) -> list[str]:
    """A front end in a directory of its own, which nothing at the top builds."""
    found = [] if "package.json" in files else [path for path in files if re.fullmatch(r"[^/]+/package\.json", path)]
    notices = []
    for path in sorted(found):
        with contextlib.suppress(Invalid):
            below = package({"package.json": files[path]})
            if below is not None and below.build:
                notices.append(
                    f"{path} has a build script, which isn't run: only that of a package.json at the top is; one that "
                    'builds what is below: see "A front end" in docs/reference/build.md'
                )
    return notices


def _python(
    detected: Detected, build: Build, available: Sequence[Interpreter]
) -> tuple[Interpreter | None, str | None]:
    if build.python is not None:
        return choose_python(build.python, "[build] python in homeport.toml", available)
    if detected.language == "python":
        return choose_python(detected.python, detected.python_source, available)
    return (available[0] if available else None), None


def _by_command(files: Mapping[str, str], build: Build, available: Sequence[Interpreter]) -> Recipe:
    """What the file says, nothing detected."""
    path = (f"{VENV}/bin", f"{NODE_MODULES}/.bin")
    python, notice = _python(Detected(), build, available)
    source = (Step(command=("bash", "-c", build.command)),) if build.command is not None else ()
    notices = (notice,) if notice else ()
    if build.dependencies is None:
        return Recipe(source=source, path=path, python=python, notices=notices)
    install = Install(
        steps=(Step(command=("bash", "-c", build.dependencies.command)),),
        provides=build.dependencies.paths,
        inputs=tuple(sorted(each for each in files if posixpath.basename(each) in _LOCKS)),
    )
    return Recipe(source=source, installs=(install,), path=path, python=python, notices=notices)


def _install(entry: str, python: Interpreter) -> tuple[Step, ...]:
    if entry == "uv.lock":
        sync = (UV, "sync", "--frozen", "--no-dev", "--no-progress", "--python", python.path)
        return (Step(command=sync),)
    what = ("-e", ".") if entry == "pyproject.toml" else ("-r", entry)
    minor = ".".join(python.version.split(".")[:2])
    return (
        Step(command=(python.path, "-m", "venv", VENV), hint=f"apt-get install python{minor}-venv"),
        Step(command=(f"{VENV}/bin/pip", "install", "--no-compile", *what)),
    )


def _node(detected: Detected, build: Build, node: Interpreter | None, files: Mapping[str, str]) -> list[str]:
    """Notices. Raises `Invalid` where the machine's Node won't do, or npm can't install what was locked."""
    if other := foreign_lock(files):
        raise refuse_foreign(other)
    said = "[build] node in homeport.toml" if build.node else detected.node_source
    notice = choose_node(build.node or detected.node, said, node)
    return [notice] if notice else []


def _npm(package: Package, entry: str | None, files: Mapping[str, str]) -> tuple[Install, tuple[Step, ...]]:
    """How npm installs, and what it runs on every change of the source: the app's own install scripts too, which may
    read any of its files."""
    assert entry is not None
    verb = "install" if entry == "package.json" else "ci"
    own = package.own_install_scripts
    source = tuple(Step(command=("npm", "run", name)) for name in (*own, *(("build",) if package.build else ())))
    prepare = (Step(command=("npm", "pkg", "delete", *(f"scripts.{name}" for name in own))),) if own else ()
    hint = "npm install   # then commit package-lock.json, which must agree with package.json" if verb == "ci" else None
    command = (*_NPM, verb, "--include=dev" if source else "--omit=dev")
    return (
        Install(
            steps=(*prepare, Step(command=command, hint=hint)),
            provides=(NODE_MODULES,),
            inputs=inputs_of(files, entry),
            everywhere=True,
            prune=(Step(command=(*_NPM, "prune", "--omit=dev", "--ignore-scripts")),) if source else (),
        ),
        source,
    )


def _collect_static(files: Mapping[str, str]) -> tuple[Step, ...]:
    manage = next(each for each in sorted(files) if is_wanted(each) and posixpath.basename(each) == "manage.py")
    command = (f"/app/{VENV}/bin/python", "manage.py", "collectstatic", "--noinput")
    return (Step(command=command, directory=posixpath.dirname(manage), hint=_STATIC_HINT),)
