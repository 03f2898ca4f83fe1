"""What a shell offers for a value: names that exist. Whatever goes wrong offers nothing. Named by options and arguments
as their `shell_complete`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.errors import HomeportError

if TYPE_CHECKING:
    from homeport.releases.catalogue import Catalogue


def environments(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Of the platform file, else those that are up."""

    def names() -> list[str]:
        from homeport.cli import place

        platform = place.names_here(_directory(context))
        if platform is not None:
            return list(platform.environments)
        return [each.environment for each in place.client().environments()]

    return _offered(names, incomplete)


def apps(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Of the platform file."""

    def names() -> list[str]:
        from homeport.cli import place

        platform = place.names_here(_directory(context))
        return [] if platform is None else list(platform.apps)

    return _offered(names, incomplete)


def releases(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The newest first."""

    def names() -> list[str]:
        catalogue, app, environment = _stored(context)
        return [f"r{each}" for each in catalogue.numbers(app, environment)[::-1]]

    return _offered(names, incomplete)


def groups(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Of the environment that is up."""
    return _offered(lambda: [group for _, group in _groups(context)], incomplete)


def sizes(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """`web=`, for each group; `blog/web=` where several apps have one of the name."""

    def names() -> list[str]:
        found = _groups(context)
        several = {group for app, group in found if [each for _, each in found].count(group) > 1}
        return [f"{app}/{group}=" if group in several else f"{group}=" for app, group in found]

    return _offered(names, incomplete)


def instances(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Of the environment that is up; ended ones too, while they are remembered."""
    return _offered(lambda: _instances(context, ended=True), incomplete)


def subjects(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """What `why` knows of: groups, sessions, and instances as `instances`."""

    def names() -> list[str]:
        sessions = _sessions(context)
        return [*dict.fromkeys(group for _, group in _groups(context)), *_instances(context, ended=True), *sessions]

    return _offered(names, incomplete)


def live_instances(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Of the environment that is up."""
    return _offered(lambda: _instances(context, ended=False), incomplete)


def processes(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Process types of the newest release."""

    def names() -> list[str]:
        catalogue, app, environment = _stored(context)
        newest = catalogue.newest(app, environment)
        return [] if newest is None else list(newest.resolved.processes)

    return _offered(names, incomplete)


def deployments(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The newest first."""

    def names() -> list[str]:
        from homeport.cli import place
        from homeport.console.derive import deployment_view
        from homeport.control.journal import Journals
        from homeport.wiring import storage

        _, app, environment = _stored(context)
        found = Journals(storage.store(place.home()), app, environment).all()
        return [str(deployment_view(each).number) for each in reversed(found)]

    return _offered(names, incomplete)


def config_keys(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Those that `config set` has set."""
    return _offered(lambda: _config_keys(context), incomplete)


def config_pairs(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """`LOG_LEVEL=`, for each that is set."""
    return _offered(lambda: [f"{key}=" for key in _config_keys(context)], incomplete)


def commands(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """What may follow the commands that are there."""
    found = context.find_root()
    for word in context.params.get("words") or ():
        group = found.command
        child = group.get_command(found, word) if isinstance(group, click.Group) else None
        if child is None:
            return []
        found = click.Context(child, info_name=word, parent=found)
    group = found.command
    names = group.list_commands(found) if isinstance(group, click.Group) else []
    return [each for each in names if each.startswith(incomplete)]


def _groups(context: click.Context) -> list[tuple[str, str]]:
    """App and group of each."""
    from homeport.cli import place

    api = place.client()
    found = api.status(place.environment_id(_directory(context), context.params.get("environment"), api))
    return [(app.app, group.name) for app in found.apps for group in app.groups]


def _sessions(context: click.Context) -> list[str]:
    from homeport.cli import place

    api = place.client()
    where = place.environment_id(_directory(context), context.params.get("environment"), api)
    return [each.id for each in api.instances(where, ended=True).sessions]


def _instances(context: click.Context, *, ended: bool) -> list[str]:
    from homeport.cli import place

    api = place.client()
    where = place.environment_id(_directory(context), context.params.get("environment"), api)
    return [each.id for each in api.instances(where, ended=ended).instances]


def _config_keys(context: click.Context) -> list[str]:
    catalogue, app, environment = _stored(context)
    pages = catalogue.config_pages(app, environment)
    # a later page may have unset what an earlier one set
    values = {key: value for number in sorted(pages) for key, value in pages[number].values.items()}
    return sorted(key for key, value in values.items() if value is not None)


def _stored(context: click.Context) -> "tuple[Catalogue, str, str]":
    """Where releases and config are looked up, the app, and its environment."""
    from homeport.cli import place
    from homeport.wiring import storage

    asked = context.params.get("environment") or context.params.get("source")  # `promote` takes one of its source
    where = place.stored_environment(_directory(context), asked)
    app = place.app_name(_directory(context), where, context.params.get("app"))
    return storage.catalogue(storage.store(place.home())), app, where.partition("/")[2]


def stacks(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Of the project, and directories of them."""

    def names() -> list[str]:
        from homeport.wiring import stacks

        ids = list(stacks.project(_directory(context)).entries)
        directories = {f"{id.rpartition('/')[0]}/" for id in ids if "/" in id}
        return [*sorted(directories), *ids]

    return _offered(names, incomplete)


def _directory(context: click.Context) -> Path:
    return Path(context.params.get("directory") or ".")


def _offered(names: Callable[[], list[str]], incomplete: str) -> list[str]:
    try:
        return [each for each in names() if each.startswith(incomplete)]
    except HomeportError:
        return []
