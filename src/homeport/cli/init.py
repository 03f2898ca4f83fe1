"""`homeport init`: a first homeport.toml."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from homeport.cli import options, output, place
from homeport.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from homeport.plan.detect import Accept, Detected
    from homeport.plan.procfile import Procfile

SKIPPED = {"node_modules", "venv", "env", "__pycache__", "site-packages"}
DEPTH = 4
_WHO = "aws sts get-caller-identity"


@click.command(
    epilog=options.example(
        "homeport init",
        "homeport init --app shop",
        "homeport init --engine aws --region eu-west-1 --account 123456789012",
        see="up, doctor",
    )
)
@click.option("-a", "--app", metavar="APP", help="Name of the app. Default: that of the directory.")
@click.option(
    "--engine",
    type=click.Choice(("local", "aws")),
    default="local",
    help="aws: adds an environment on AWS, to a homeport.toml that is there, too. Default: local.",
)
@click.option("--region", metavar="REGION", help="With --engine aws: where, such as eu-west-1.")
@click.option("--account", metavar="DIGITS", help="With --engine aws: the account's twelve digits.")
@click.option(
    "-e",
    "--environment",
    metavar="NAME",
    default="production",
    help="With --engine aws: its name. Default: production.",
)
@click.option("--force", is_flag=True, help="Replace a homeport.toml that is there.")
@options.directory
@options.as_json
def init(
    directory: Path,
    as_json: bool,
    app: str | None,
    engine: str,
    region: str | None,
    account: str | None,
    environment: str,
    force: bool,
) -> None:
    """Write homeport.toml.

    From what the code says; asks nothing. With --engine aws, an environment on AWS is added; nothing is made there.
    """
    if engine == "aws":
        block = _on_aws(directory, environment, region=region, account=account)
        path, lines = _add(directory, block, environment, app=app, force=force)
        next_ = (
            f"homeport up -e {environment}   # shows what it will make, and asks\n"
            f"without an account: homeport simulate aws -e {environment}   # rehearses it on this machine"
        )
    else:
        if region is not None or account is not None:
            raise Invalid("--region and --account are for --engine aws", hint="homeport init --help")
        path, lines = write(directory, app=app, force=force)
        next_ = "homeport up"
    if as_json:
        output.emit({"file": str(path), "detected": lines})
        return
    for line in lines:
        print(output.printable(line))
    print(f"wrote {place.shown(path)}; next: git add {path.name}, commit, {next_}")


def _on_aws(directory: Path, environment: str, *, region: str | None, account: str | None) -> str:
    """The environment's section. Raises `Invalid`, also for a region that there isn't."""
    from homeport.model.platform import Aws, Place
    from homeport.plan import platform_value as typed
    from homeport.wiring import aws

    if account is None or not typed.ACCOUNT.fullmatch(account):
        raise Invalid(f"--account is {account or 'missing'}, expected the account's twelve digits", hint=_WHO)
    if region is None or not typed.REGION.fullmatch(region):
        raise Invalid(f"--region is {region or 'missing'}, expected one such as eu-west-1")
    if problem := typed.name_problem(environment):
        raise Invalid(f"-e {environment}: {problem}")
    stated = Aws(account=account, region=region)
    where = Place(platform=directory.resolve().name, name=environment, engine="aws", aws=stated)
    with suppress(Unavailable):  # without boto3 nobody knows; `up` says what to install
        aws.check_region(where)
    lines = (f"[environments.{environment}]", 'engine = "aws"', f'account = "{account}"', f'region = "{region}"')
    return "\n".join(lines) + "\n"


def _add(
    directory: Path, block: str, environment: str, *, app: str | None, force: bool
) -> tuple[Path, tuple[str, ...]]:
    """As `write`, with one more section. Raises `Invalid` where the file has the environment already."""
    from homeport.plan import platform

    path = place.find_file(directory)
    lines: tuple[str, ...] = ()
    if path is None or force:
        path, lines = write(directory, app=app, force=force)
    text = place.read(path)
    if environment in platform.parse(text, file=place.shown(path)).data.get("environments", {}):
        raise Invalid(f"{place.shown(path)} has the environment {environment} already", hint="-e another-name")
    added = f"{text.rstrip()}\n\n{block}"
    platform.parse(added, file=place.shown(path))
    _replace(path, added)
    return path, (*lines, f"environment {environment}: on AWS")


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
        detected = replace(detected, static=None)
    elif detected.procfile:
        processes = procfile.Procfile(processes=detected.procfile)
    else:
        raise Invalid(
            f"{root} has no Procfile, and it isn't certain how to serve it",
            hint=detect.procfile_hint(detected),
            details=detected.notices,
        )
    interpreters, accept = _interpreters(detected)
    name = app or detect.app_name(root.name)
    text = detect.init_text(name, processes, detected, accept=accept)
    platform.parse(text)
    _replace(path, text)
    return path, tuple(_sentences(detected, processes, interpreters, declared=declared.is_file()))


def _replace(path: Path, text: str) -> None:
    try:
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        raise Invalid(f"can't write {path}: {error.strerror}") from error


def _interpreters(detected: "Detected") -> tuple[list[str], list["Accept"]]:
    """Sentences about the Python and the Node that the app gets, and what there is in place of one that isn't here."""
    from homeport.plan.detect import Accept
    from homeport.plan.interpreter import choose_python
    from homeport.plan.node import choose_node
    from homeport.releases.image import interpreters, node_with_npm

    said: list[str] = []
    accept: list[Accept] = []
    if detected.language == "python":
        available = interpreters()
        asked = f"; {detected.python_source} asks for {detected.python}" if detected.python else ""
        try:
            chosen, _ = choose_python(detected.python, detected.python_source, available)
            said.append(f"Python {chosen.version}{asked}")
        except Invalid as error:
            said.append(error.message)
            if available:
                minor = ".".join(available[0].version.split(".")[:2])
                accept.append(Accept(key="python", version=minor, why=error.message))
    if detected.package:
        node = node_with_npm()
        try:
            notice = choose_node(detected.node, detected.node_source, node)
            asked = f"; {detected.node_source} asks for {detected.node}" if detected.node else ""
            said.append(notice or f"Node {node.version if node else ''}{asked}")
        except Invalid as error:
            said.append(error.message)
            if node:
                accept.append(Accept(key="node", version=node.version.split(".")[0], why=error.message))
    return said, accept


def _sentences(detected: "Detected", processes: "Procfile", interpreters: list[str], *, declared: bool) -> list[str]:
    lines = []
    if detected.language:
        sources = dict.fromkeys(each for each in (detected.dependencies, detected.node_dependencies) if each)
        parts = [detected.framework, sources and f"dependencies from {' and '.join(sources)}"]
        about = ", ".join(part for part in parts if part)
        both = " and node" if detected.package and detected.language == "python" else ""
        lines.append(f"{detected.language}{both}{f': {about}' if about else ''}")
    lines += interpreters
    whence = "Procfile" if declared else "no Procfile; from the code"
    lines.append(f"process types ({whence}): {', '.join(processes.processes)}")
    if detected.static:
        lines.append(f"web: nginx serves {detected.static.directory}")
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
