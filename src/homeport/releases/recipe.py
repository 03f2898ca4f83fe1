"""How an app is built, decided from its files and `[build]`: which commands, what they provide, what their result
depends on. Pure; called by `build`."""

import posixpath
import shlex
from collections.abc import Mapping, Sequence

from msgspec import Struct

from homeport.errors import Invalid
from homeport.plan.detect import Detected, Interpreter, choose_python, detect, inputs_of, is_wanted
from homeport.plan.platform import Build

VENV = ".venv"
UV = "/opt/homeport/uv"
"""Where the build's sandbox has uv."""

_NODE_MODULES = "node_modules"
# what a dependencies command of the user's own is taken to read
_LOCKS = frozenset(
    (
        *("Cargo.lock", "Gemfile", "Gemfile.lock", "composer.lock", "go.mod", "go.sum", "mix.lock"),
        *("Pipfile.lock", "poetry.lock", "pyproject.toml", "requirements.txt", "setup.cfg", "setup.py", "uv.lock"),
        *("bun.lock", "npm-shrinkwrap.json", "package-lock.json", "package.json", "pnpm-lock.yaml", "yarn.lock"),
    )
)
_STATIC_HINT = (
    'give what the settings need, in homeport.toml: [build] env = { SECRET_KEY = "unused" }; '
    "or turn it off: [build] collectstatic = false"
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


class Recipe(Struct, frozen=True, kw_only=True):
    """`dependencies` make the paths `provides`, a layer of their own, from `inputs`; then `source` runs beside them.
    `python`: which compiles the source; None: none does."""

    source: tuple[Step, ...] = ()
    dependencies: tuple[Step, ...] = ()
    provides: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    """Directories relative to the app that go before PATH, if they are there after the build."""
    python: Interpreter | None = None
    uses_uv: bool = False
    notices: tuple[str, ...] = ()


def recipe(files: Mapping[str, str], build: Build, available: Sequence[Interpreter]) -> Recipe:
    """The recipe for an app with these files (path → text, the whole tree). Raises `Invalid` where no interpreter
    fits, or what was detected can't be built."""
    if build.command is not None or build.dependencies is not None:
        return _by_command(files, build, available)
    detected = detect(files)
    if detected.language == "node":
        # ci wants a lock
        install = "npm install" if detected.dependencies == "package.json" else "npm ci"
        raise Invalid(
            f"this is a Node app ({detected.dependencies}), which can't be built by itself yet",
            hint=f'say how, in homeport.toml:\n[build]\ncommand = "{install} --omit=dev"',
        )
    python, notice = _python(detected, build, available)
    notices = (*_relevant(detected, files), *([notice] if notice else ()))
    if detected.language != "python" or detected.dependencies is None or python is None:
        return Recipe(python=python, notices=notices)
    return Recipe(
        dependencies=_install(detected.dependencies, python),
        provides=(VENV,),
        inputs=inputs_of(files, detected.dependencies),
        source=_collect_static(files) if detected.collectstatic and build.collectstatic else (),
        path=(f"{VENV}/bin",),
        python=python,
        uses_uv=detected.dependencies == "uv.lock",
        notices=notices,
    )


def _relevant(detected: Detected, files: Mapping[str, str]) -> tuple[str, ...]:
    """What detection has to tell where something may be missing: a Procfile, or a list of dependencies."""
    complete = "Procfile" in files and detected.dependencies not in (None, "pyproject.toml")
    return () if complete else detected.notices


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
    path = (f"{VENV}/bin", f"{_NODE_MODULES}/.bin")
    python, notice = _python(Detected(), build, available)
    source = (Step(command=("bash", "-c", build.command)),) if build.command is not None else ()
    notices = (notice,) if notice else ()
    if build.dependencies is None:
        return Recipe(source=source, path=path, python=python, notices=notices)
    return Recipe(
        source=source,
        dependencies=(Step(command=("bash", "-c", build.dependencies.command)),),
        provides=build.dependencies.paths,
        inputs=tuple(sorted(each for each in files if posixpath.basename(each) in _LOCKS)),
        path=path,
        python=python,
        notices=notices,
    )


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


def _collect_static(files: Mapping[str, str]) -> tuple[Step, ...]:
    manage = next(each for each in sorted(files) if is_wanted(each) and posixpath.basename(each) == "manage.py")
    command = (f"/app/{VENV}/bin/python", "manage.py", "collectstatic", "--noinput")
    return (Step(command=command, directory=posixpath.dirname(manage), hint=_STATIC_HINT),)
