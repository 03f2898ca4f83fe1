"""`homeport config`: an environment's variables."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import candidates, options, output, place
from homeport.cli.commands import Commands
from homeport.errors import Failed, Invalid

if TYPE_CHECKING:
    from homeport.cli.code import Asked
    from homeport.model.release import ConfigValue
    from homeport.plan.config import ConfigLayer
    from homeport.releases.catalogue import Catalogue

group_option = click.option(
    "--group", "group", metavar="GROUP", shell_complete=candidates.groups, help="Only for this group."
)
no_deploy = click.option("--no-deploy", is_flag=True, help="Only keep it: it takes effect at the next deploy.")


@click.group(cls=Commands)
def config() -> None:
    """Config: an environment's variables.

    What `config/` in the repository says, below what was set here.
    """


@config.command(
    "set",
    epilog=options.example(
        "homeport config set LOG_LEVEL=debug",
        "homeport config set --secret --from-stdin API_KEY < key",
        "homeport config set --group jobs THREADS=4 --no-deploy",
        codes={6: "the release with it isn't good; the variables stay set"},
        see="config list, config unset",
    ),
)
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=candidates.config_pairs)
@click.option("--secret", is_flag=True, help="Keep the values encrypted; they are never shown.")
@click.option(
    "--from-stdin",
    "stdin_key",
    metavar="KEY",
    help="Read this key's value from standard input, without its last newline.",
)
@group_option
@no_deploy
@options.over_freeze
@options.app
@options.common
def set_(
    environment: str | None,
    directory: Path,
    as_json: bool,
    app: str | None,
    pairs: tuple[str, ...],
    secret: bool,
    stdin_key: str | None,
    group: str | None,
    no_deploy: bool,
    over_freeze: str | None,
) -> None:
    """Set variables, and deploy a release that has them where the environment is up.

    Newlines, quotes and trailing blanks are kept; bytes that aren't UTF-8 only with --secret.
    """
    from homeport.cli.code import Asked

    values = dict(_pair(each) for each in pairs)
    if stdin_key is not None:
        data = sys.stdin.buffer.read()
        values[stdin_key] = data.removesuffix(b"\n").decode("utf-8", "surrogateescape")
    if not values:
        raise Invalid("nothing to set", hint="homeport config set KEY=VALUE, or --from-stdin KEY")
    made = {key: _value(key, text, secret=secret) for key, text in values.items()}
    asked = Asked(directory=directory, environment=environment, app=app, over_freeze=over_freeze)
    _change(asked, group, dict(made), no_deploy=no_deploy, as_json=as_json)


@config.command(
    "unset",
    epilog=options.example(
        "homeport config unset LOG_LEVEL",
        "homeport config unset --group jobs THREADS",
        codes={6: "the release without it isn't good; the variables stay unset"},
        see="config list, config set",
    ),
)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...", shell_complete=candidates.config_keys)
@group_option
@no_deploy
@options.over_freeze
@options.app
@options.common
def unset(
    environment: str | None,
    directory: Path,
    as_json: bool,
    app: str | None,
    keys: tuple[str, ...],
    group: str | None,
    no_deploy: bool,
    over_freeze: str | None,
) -> None:
    """Unset variables, also those that the repository sets."""
    from homeport.cli.code import Asked
    from homeport.plan.config import check_key

    for key in keys:
        check_key(key)
    asked = Asked(directory=directory, environment=environment, app=app, over_freeze=over_freeze)
    _change(asked, group, dict.fromkeys(keys), no_deploy=no_deploy, as_json=as_json)


@config.command(
    "list",
    epilog=options.example(
        "homeport config list", "homeport config list --group web --explain", see="config set, config diff"
    ),
)
@click.option(
    "--group",
    "group",
    metavar="GROUP",
    default="",
    shell_complete=candidates.groups,
    help="As this group has it. Default: what holds for all.",
)
@click.option("--explain", "explained", is_flag=True, help="Which layer gave each value, and what it overrode.")
@options.app
@options.common
def list_(
    environment: str | None, directory: Path, as_json: bool, app: str | None, group: str, explained: bool
) -> None:
    """List variables as the next release of the last commit gets them. Secrets are shown as ***."""
    from homeport.plan.config import explain

    where = place.stored_environment(directory, environment)
    app = place.app_name(directory, where, app)
    rows = explain(_layers(directory, where, app, group))
    if as_json:
        output.emit({"app": app, "environment": where, "group": group or None, "values": rows})
        return
    if not rows:
        print("no variables are set: homeport config set KEY=value, or a file config/common.env", file=sys.stderr)
        return
    if not explained:
        for each in rows:
            if each.value is not None:
                print(f"{each.key}={output.printable(each.value)}")
        return
    output.table(
        ("KEY", "VALUE", "FROM", "OVER"),
        [
            (
                each.key,
                "(unset)" if each.value is None else each.value,
                each.layer,
                "; ".join(f"{layer}: {'(unset)' if value is None else value}" for layer, value in each.overrode),
            )
            for each in rows
        ],
        cut=("VALUE",),
    )


@config.command(
    "diff",
    epilog=options.example(
        "homeport config diff staging production",
        "homeport config diff staging production --json",
        codes={10: "with --exit-code: something differs"},
        see="config list, status",
    ),
)
@click.argument("one", metavar="A", shell_complete=candidates.environments)
@click.argument("other", metavar="B", shell_complete=candidates.environments)
@options.exit_code
@options.app
@options.directory
@options.as_json
def diff(one: str, other: str, exit_code: bool, app: str | None, directory: Path, as_json: bool) -> int:
    """Show how the variables of environment B differ from those of A.

    As the next release of the last commit gets them. Secrets are compared, and never shown.
    """
    from homeport.cli.parity import show_config

    code = show_config(directory, (one, other), app, as_json=as_json)
    return code if exit_code else 0


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        # what was typed may be a secret without its key
        raise Invalid(
            f"expected KEY=VALUE, found {len(text)} characters without =", hint="homeport config set KEY=VALUE"
        )
    return key, value


def _value(key: str, text: str, *, secret: bool) -> "ConfigValue":
    from homeport.cli.publish import check_storable
    from homeport.model.release import ConfigValue
    from homeport.model.secret import Secret
    from homeport.plan.config import check_key, check_value
    from homeport.wiring import storage

    check_key(key)
    check_value(key, text)
    if secret:
        return ConfigValue(text=storage.encryption(storage.home()).encrypt(Secret(text)), secret=True)
    value = ConfigValue(text=text)
    check_storable(key, value)
    return value


def _change(
    asked: "Asked",
    group: str | None,
    values: "dict[str, ConfigValue | None]",
    *,
    no_deploy: bool,
    as_json: bool,
) -> None:
    """A page in the store; then a release with it, deployed, where the app runs."""
    from msgspec.structs import replace

    from homeport.cli import bring, freeze, hook, publish
    from homeport.cli.deploy import finish
    from homeport.releases.catalogue import ConfigPage
    from homeport.system.clock import SystemClock
    from homeport.wiring import storage

    directory = asked.directory
    where = place.stored_environment(directory, asked.environment)
    app = place.app_name(directory, where, asked.app)
    catalogue = storage.catalogue(storage.store(storage.home()))
    bring.check_alone(where, app)
    running = bring.running_if_up(catalogue, where, app)
    if group is not None:
        _check_group(directory, [each.name for each in running.resolved.groups] if running else [], group)
    if running is not None and not no_deploy:
        freeze.check(catalogue.store, where, asked.over_freeze)
        hook.check(directory, output.Progress(quiet=as_json))
    by, now = place.person(directory), SystemClock().now()
    page = ConfigPage(values=values, group=group, created_at=now, created_by=by)
    number = catalogue.append_config(app, where.partition("/")[2], page)
    what = f"config #{number}: " + ", ".join(f"-{key}" if each is None else key for key, each in values.items())
    if not as_json:
        print(what)
    release = None
    if running is not None and not no_deploy:
        release = publish.configure(running, catalogue, by=by, why=what, now=now)
    if release is not None:
        try:
            finish(replace(asked, why=what), release, as_json=as_json)
        except Failed as error:
            stays = f"config #{number} stays set, for the next deploy too: homeport config set or unset changes it"
            raise Failed(error.message, hint=error.hint, details=(*error.details, stays)) from error
    elif as_json:
        output.emit({"app": app, "environment": where, "config": number, "release": None})
    else:
        print("no change to what runs" if running and not no_deploy else "takes effect at the next deploy")


def _check_group(directory: Path, known: list[str], group: str) -> None:
    """Raises `NotFound` for a group that neither runs nor stands in the file here."""
    from homeport.errors import NotFound
    from homeport.plan.mistake import meant

    platform = place.platform_here(directory)
    names = known or (list(platform.data.get("groups", {})) if platform else [])
    if names and group not in names:
        raise NotFound(f"no group {group!r}{meant(group, names)}; there is {', '.join(names)}")


def _layers(directory: Path, where: str, app: str, group: str) -> "list[ConfigLayer]":
    from homeport.plan.config import repository_layers
    from homeport.wiring import storage

    name = where.partition("/")[2]
    catalogue = storage.catalogue(storage.store(storage.home()))
    files = _files(catalogue, directory, where, app)
    return [
        *repository_layers(files, environment=name, group=group),
        *catalogue.config_layers(app, name, group),
    ]


def _files(catalogue: "Catalogue", directory: Path, where: str, app: str) -> dict[str, bytes]:
    """The `config/` files of the last commit here, else of the newest release; empty where there is neither."""
    from homeport.cli import publish
    from homeport.cli.code import source_of
    from homeport.releases.source import open_source, read_files

    path = place.find_file(directory)
    platform = place.platform_here(directory)
    if path is not None and platform is not None and platform.name == where.partition("/")[0]:
        entry = next((each for each in platform.apps if each.name == app), None)
        source = open_source(path.parent) if entry is None else source_of(entry, path.parent, dirty=False)
        texts = read_files(source, ("config/*",))
        return {name: text.encode("utf-8", "surrogateescape") for name, text in texts.items()}
    newest = catalogue.newest(app, where.partition("/")[2])
    return publish.files_of_release(catalogue.store, newest) if newest else {}
