"""Who runs what and what comes after what, as the platform file says it: of groups, and of process types in an
instance. Called by plan.formation.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from homeport.model.platform import ProcessType
from homeport.plan.mistake import instead
from homeport.plan.order import circle
from homeport.plan.platform_check import Data
from homeport.plan.procfile import RELEASE
from homeport.plan.toml_line import Path

REST = "*"
"""In a group's `run`: every process type that no group names."""

Note = Callable[[Path, str], None]


def runs(groups: Data, there: Collection[str] | None, note: Note) -> dict[str, tuple[str, ...]]:
    """Group → the process types that its instances run. `there`: those of the Procfile; None: not known yet."""
    said = {name: tuple(group.get("run", [name])) for name, group in groups.items()}
    named = {type_ for run in said.values() for type_ in run}
    left = tuple(each for each in there or () if each not in named)
    takers = [name for name, run in said.items() if REST in run]
    for name in takers:
        said[name] = (*(each for each in said[name] if each != REST), *left)
        if there is not None and not said[name]:
            note(("groups", name, "run"), f'nothing is left for "{REST}": every process type is named by a group')
    for name in takers[1:]:
        note(("groups", name, "run"), f'"{REST}" is in the run of {takers[0]} already: one group takes what is left')
    return said


def check_run(group: str, run: Sequence[str], there: Collection[str] | None, note: Note) -> None:
    path: Path = ("groups", group, "run")
    for type_ in run:
        if type_ == RELEASE:
            note(path, '"release" is the release task: it runs once in each deployment, in no group')
        elif there is not None and type_ not in there:
            note(path, f'no process type "{type_}" in the Procfile{instead(type_, there)}')


def process_types(said: Data, there: Collection[str] | None, note: Note) -> dict[str, ProcessType]:
    """What [processes] comes to. `there` as for `runs`."""
    types = {}
    for name, fields in said.items():
        path: Path = ("processes", name)
        after = tuple(fields.get("after", ()))
        types[name] = ProcessType(**{**fields, "after": after})
        if name == RELEASE:
            note(path, "the release task runs once in each deployment: nothing comes after it, and nobody stops it")
        elif there is not None and name not in there:
            note(path, f'no process type "{name}" in the Procfile{instead(name, there)}')
        for each in after:
            if there is not None and each not in there:
                note((*path, "after"), f'no process type "{each}" in the Procfile{instead(each, there)}')
    if way := circle({name: each.after for name, each in types.items()}):
        note(("processes", way[0], "after"), f"a circle: {' → '.join(way)}")
    return types


def group_order(
    groups: Data,
    run: Mapping[str, Sequence[str]],
    types: Mapping[str, ProcessType],
    note: Note,
    *,
    app: str,
    apps: Sequence[str],
    unknown: bool,
) -> dict[str, tuple[str, ...]]:
    """Group → the groups that it comes after: those that it says, and those that run what a process type of its own
    comes after, where it doesn't run that itself. `unknown`: there are groups that aren't known yet."""
    order: dict[str, tuple[str, ...]] = {}
    for name, said in groups.items():
        after = []
        for each in said.get("after", ()):
            other, named, group = each.rpartition("/")
            problem = ""
            if named and other != app:
                waits = "each app is deployed by itself, so a group can only come after one of its own app"
                problem = waits if other in apps else f'no app "{other}"{instead(other, apps)}'
            elif group not in groups and not unknown:
                problem = f'no group "{group}"{instead(group, groups)}'
            if problem:
                note(("groups", name, "after"), f"{each}: {problem}" if named else problem)
            else:
                after.append(group)
        earlier = {each for type_ in run[name] if type_ in types for each in types[type_].after} - {*run[name]}
        after += [other for other, running in run.items() if earlier.intersection(running)]
        order[name] = tuple(dict.fromkeys(after))
    if way := circle(order):
        note(("groups", way[0], "after"), f"a circle: {' → '.join(way)}")
        return {}
    return order
