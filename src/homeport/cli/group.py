"""Which group is meant by `web` or `shop/web`. Used by the commands that name groups."""

from homeport.cli import output
from homeport.console.views import StatusView
from homeport.errors import Invalid, NotFound
from homeport.plan.mistake import nearest

GroupName = tuple[str, str]
"""(app, group)."""


def find(known: StatusView, named: str, again: str) -> GroupName:
    """The group of that name. `again`: what to type where it is one of several apps, with `…` for the group. Raises
    `NotFound`, `Invalid`."""
    app, _, group = named.rpartition("/")
    there = _released(known)
    fits = [each for each in there if each[1] == group and app in ("", each[0])]
    if len(fits) == 1:
        return fits[0]
    names = ", ".join("/".join(each) for each in there) or "none"
    if not fits:
        for each in known.apps:
            if each.release is None and app in ("", each.app):
                from homeport.cli.bring import no_release

                raise no_release(known.environment, each)
        near = nearest(group, {each[1] for each in there})
        meant = f', did you mean "{near}"?' if near else ""
        raise NotFound(f"{known.environment} has no group {named!r}{meant}; there is {names}")
    raise Invalid(
        f"{named!r} is a group of several apps; there is {names}", hint=again.replace("…", "/".join(fits[0]), 1)
    )


def chosen(known: StatusView, named: tuple[str, ...], again: str) -> tuple[GroupName, ...]:
    """As `find`, of each; all groups where none is named. Raises `NotFound` where there are none, too."""
    if named:
        return tuple(dict.fromkeys(find(known, each, again) for each in named))
    there = _released(known)
    if not there:
        raise NotFound(f"{known.environment} has no group yet", hint="homeport status")
    return tuple(there)


def in_words(groups: tuple[GroupName, ...]) -> str:
    return ", ".join("/".join(each) for each in groups) if len(groups) < 6 else output.plural(len(groups), "group")


def _released(known: StatusView) -> list[GroupName]:
    return [(each.app, row.name) for each in known.apps if each.release is not None for row in each.groups]
