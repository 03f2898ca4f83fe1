"""What a shell offers for a value: names that exist. Whatever goes wrong offers nothing. Named by options and arguments
as their `shell_complete`.
"""

from collections.abc import Callable
from pathlib import Path

import click

from homeport.errors import HomeportError


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
        from homeport import wiring
        from homeport.cli import place

        asked = context.params.get("environment") or context.params.get("source")  # `promote` takes one of its source
        where = place.stored_environment(_directory(context), asked)
        app = place.app_name(_directory(context), where, context.params.get("app"))
        catalogue = wiring.catalogue(wiring.store(place.home()))
        return [f"r{each}" for each in catalogue.numbers(app, where.partition("/")[2])[::-1]]

    return _offered(names, incomplete)


def groups(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Of the environment that is up."""

    def names() -> list[str]:
        from homeport.cli import place

        api = place.client()
        found = api.status(place.environment_id(_directory(context), context.params.get("environment"), api))
        return [group.name for app in found.apps for group in app.groups]

    return _offered(names, incomplete)


def instances(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Of the environment that is up; ended ones too, while they are remembered."""

    def names() -> list[str]:
        from homeport.cli import place

        api = place.client()
        where = place.environment_id(_directory(context), context.params.get("environment"), api)
        return [each.id for each in api.instances(where, ended=True).instances]

    return _offered(names, incomplete)


def _directory(context: click.Context) -> Path:
    return Path(context.params.get("directory") or ".")


def _offered(names: Callable[[], list[str]], incomplete: str) -> list[str]:
    try:
        return [each for each in names() if each.startswith(incomplete)]
    except HomeportError:
        return []
