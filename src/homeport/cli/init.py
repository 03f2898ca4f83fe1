"""`homeport init`: a first homeport.toml."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import options, output, place
from homeport.errors import Invalid

if TYPE_CHECKING:
    from homeport.plan.detect import Detected
    from homeport.plan.procfile import Procfile

SKIPPED = {"node_modules", "venv", "env", "__pycache__", "site-packages"}
DEPTH = 4


@click.command(epilog=options.example("homeport init", "homeport init --app shop"))
@click.option("-a", "--app", metavar="APP", help="Name of the app. Default: that of the directory.")
@click.option("--force", is_flag=True, help="Replace a homeport.toml that is there.")
@options.directory
@options.as_json
def init(directory: Path, as_json: bool, app: str | None, force: bool) -> None:
    """Write homeport.toml.

    From what the code says; asks nothing.
    """
    path, lines = write(directory, app=app, force=force)
    if as_json:
        output.emit({"file": str(path), "detected": lines})
        return
    for line in lines:
        print(output.printable(line))
    print(f"wrote {place.shown(path)}; next: git add {path.name}, commit, homeport up")


def write(directory: Path, *, app: str | None, force: bool) -> tuple[Path, tuple[str, ...]]:
    """The file written, and what was detected, in sentences. Raises `Invalid` where one is there already, where there
    is no Procfile and none follows from the code, or where the Procfile has mistakes. Also called by `up`."""
    from homeport.plan import detect, platform, procfile

    root = directory.resolve()
    path = root / place.FILE
    if path.exists() and not force:
        raise Invalid(f"{place.shown(path)} is there already", hint="homeport init --force   # replaces it")
    files = {name: (root / name).read_bytes().decode("utf-8", "surrogateescape") for name in _wanted(root)}
    detected = detect.detect(files)
    declared = root / "Procfile"
    if declared.is_file():
        processes = procfile.parse(declared.read_bytes().decode("utf-8", "surrogateescape"))
    elif detected.procfile:
        processes = procfile.Procfile(processes=detected.procfile)
    else:
        raise Invalid(
            f"{root} has no Procfile, and it isn't certain how to serve it",
            hint="write one, for example: echo 'web: gunicorn --bind 0.0.0.0:$PORT shop:app' > Procfile",
            details=detected.notices,
        )
    python, accept = _python(detected)
    text = detect.init_text(app or detect.app_name(root.name), processes, detected, accept=accept)
    platform.parse(text)
    try:
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        raise Invalid(f"can't write {path}: {error.strerror}") from error
    return path, tuple(_sentences(detected, processes, python, declared=declared.is_file()))


def _python(detected: "Detected") -> tuple[str | None, str | None]:
    """A sentence about the Python that the app will get, and, where what it asks for isn't here, which is."""
    if detected.language != "python":
        return None, None
    from homeport.plan.interpreter import choose_python
    from homeport.releases.image import interpreters

    available = interpreters()
    try:
        chosen, _ = choose_python(detected.python, detected.python_source, available)
    except Invalid as error:
        return error.message, ".".join(available[0].version.split(".")[:2]) if available else None
    asked = f"; {detected.python_source} asks for {detected.python}" if detected.python else ""
    return f"Python {chosen.version}{asked}", None


def _sentences(detected: "Detected", processes: "Procfile", python: str | None, *, declared: bool) -> list[str]:
    lines = []
    if detected.language:
        parts = [detected.framework, detected.dependencies and f"dependencies from {detected.dependencies}"]
        about = ", ".join(part for part in parts if part)
        lines.append(f"{detected.language}{f': {about}' if about else ''}")
    if python:
        lines.append(python)
    whence = "Procfile" if declared else "no Procfile; from the framework"
    lines.append(f"process types ({whence}): {', '.join(processes.processes)}")
    if processes.release:
        lines.append(f"release task: {processes.release}")
    how = (
        f"GET {detected.health_path}"
        if detected.health_path
        else "the port accepts connections; better: a path, see [health] in the file"
    )
    lines.append(f"health: {how}")
    # with a Procfile there is nothing to guess; what else is to be said, the build says
    return lines if declared else [*lines, *detected.notices]


def _wanted(root: Path) -> list[str]:
    from homeport.plan.detect import is_wanted

    found = []
    for directory, directories, names in os.walk(root):
        relative = Path(directory).relative_to(root)
        directories[:] = sorted(
            each
            for each in directories
            if not each.startswith(".") and each not in SKIPPED and len(relative.parts) < DEPTH
        )
        paths = [str(relative / name) for name in names]
        found += [path for path in paths if is_wanted(path) and (root / path).is_file()]
    return sorted(found)
