"""Local modules: a template with `Modules` becomes one that CloudFormation knows. Pure; called by `stacks.compose`.

The syntax is that of `aws cloudformation package` and rain: a module is a template whose resources are put into the one
that uses it, their logical ids behind the module's name. All names are made whole as soon as a module is read, so that
values of every level can stand side by side; then loops, modules in it, and at last references to their outputs.
"""

from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol, TypeVar

from msgspec import Struct, field

from homeport.errors import Invalid
from homeport.model.stack import Template
from homeport.plan.mistake import instead, meant
from homeport.plan.stack.module import condition, loop, parameter
from homeport.plan.stack.module.function import looked_up, maps_used, overlay, reduce
from homeport.plan.stack.module.name import CONDITIONS, MAPPINGS, MODULES, OUTPUTS, RESOURCES, Names, section
from homeport.plan.stack.module.prepare import prepared
from homeport.plan.stack.module.reference import Instance, Known, resolved
from homeport.plan.stack.module.substitute import MISSING, paths, substitute

T = TypeVar("T")
LOCAL_MODULE = "LocalModule"
OURS = (MODULES, "Constants", "Packages")
FUNCTIONS = ("Fn::Merge", "Fn::Flatten", "Fn::Invoke", "Fn::InsertFile", "Fn::UserData")
GIVEN = ("Properties", "Inputs", "Parameters")
MOST_RESOURCES = 10_000


class Files(Protocol):
    """Where modules come from. `by`: the file that names them, from which relative paths start."""

    def module(self, source: str, by: str) -> tuple[Template, str]:
        """Its meaning, and how it is called. Raises `Invalid`, `NotFound`."""
        ...

    def packaged(self, package: str, name: str, by: str) -> tuple[Template, str]:
        """The same for a file in a package (an archive or a directory)."""
        ...

    def component(self, source: str, by: str, given: Mapping[str, Any]) -> tuple[Template, str, dict[str, Any]]:
        """A module that a program makes (`.py`), and what its references to given values stand for."""
        ...

    def text(self, path: str, by: str) -> str: ...

    def place(self, file: str, *keys: str) -> str:
        """Where something stands in a file that was read, for people; asked only for errors."""
        ...


class Place(Struct, frozen=True):
    """What a document inherits: its file, packages by name with the file that states each, and the files around it."""

    file: str
    packages: dict[str, tuple[str, str]] = {}
    around: tuple[str, ...] = ()

    def entered(self, file: str) -> "Place":
        """Raises `Invalid` for a circle."""
        circle = (*self.around, self.file)
        if file in circle:
            path = " → ".join((*circle[circle.index(file) :], file))
            raise Invalid(f"modules include each other in a circle: {path}")
        return Place(file, self.packages, circle)


class Part(Struct):
    """Resources and outputs of a document whose modules are composed."""

    resources: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


def uses_modules(body: Template) -> bool:
    """Whether there is anything in it that CloudFormation doesn't know."""
    if any(each in body for each in OURS):
        return True
    resources = section(body, RESOURCES, "").values()
    if any(isinstance(each, dict) and (each.get("Type") == LOCAL_MODULE or "ForEach" in each) for each in resources):
        return True
    return bool(_called(body))


def _called(value: Any) -> str:
    """The first of our functions in it; empty: none."""
    found = next((each for each in FUNCTIONS if each in value), "") if isinstance(value, dict) else ""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return found or next((name for each in inner if (name := _called(each))), "")


def expand(body: Template, file: str, files: Files, given: Mapping[str, Any] = {}) -> Template:
    """The template with all modules composed. `given`: what parameters of the template are known to be, for loops;
    MISSING: a value that nobody knows yet. Raises `Invalid` with the file that is wrong, and what `files` raises."""
    return _Composition(files).template(body, file, given)


class _Composition:
    def __init__(self, files: Files) -> None:
        self.files = files
        self.known = Known()
        self.defaults: dict[str, Any] = {}
        self.conditions: dict[str, Any] = {}
        self.mappings: dict[str, Any] = {}
        self.transforms: list[Any] = []

    def template(self, body: Template, file: str, given: Mapping[str, Any]) -> Template:
        body = prepared(body, file, self.files.text)
        self.defaults = {
            name: said["Default"] for name, said in section(body, "Parameters", file).items() if "Default" in said
        }
        self.defaults |= {name: value for name, value in given.items() if name in section(body, "Parameters", file)}
        self.conditions = dict(section(body, CONDITIONS, file))
        self.mappings = dict(section(body, MAPPINGS, file))
        part = self.part(body, Place(file, _packages(body, file)))
        self._transform(body.get("Transform"), first=True)
        made = {key: value for key, value in body.items() if key not in OURS}
        composed = {CONDITIONS: self.conditions, MAPPINGS: self.mappings, OUTPUTS: part.outputs}
        made |= {key: value for key, value in composed.items() if value or key in body}
        made[RESOURCES] = part.resources
        if self.transforms:
            made["Transform"] = self.transforms[0] if len(self.transforms) == 1 else self.transforms
        for key in set(made) - {RESOURCES, OUTPUTS}:
            made[key] = self._resolved(made[key], file)
        _check(made, file)
        return made

    # --- one document: its loops, its modules, then who refers to what

    def part(self, body: Template, place: Place) -> Part:
        modules, resources = self._told_apart(body, place.file)
        modules = self._unrolled(modules, place.file)
        resources = self._unrolled(resources, place.file, functions=bool(place.around))
        made: dict[str, Any] = dict(resources)
        for name in _by_need(modules):
            config = self._resolved(modules[name], place.file)
            for id, resource in self.instance(name, config, place).items():
                if id in made:
                    raise Invalid(f"{place.file}: two resources are called {id}, one of them in the module {name}")
                made[id] = resource
            if len(made) > MOST_RESOURCES:
                raise Invalid(f"{place.file}: its modules make more than {MOST_RESOURCES:,} resources")
        resources = {id: self._depends(self._resolved(each, place.file)) for id, each in made.items()}
        return Part(resources, self._resolved(section(body, OUTPUTS, place.file), place.file))

    def _told_apart(self, body: Template, file: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Modules, and resources that are some."""
        modules = dict(section(body, MODULES, file))
        resources: dict[str, Any] = {}
        for name, each in section(body, RESOURCES, file).items():
            local = isinstance(each, dict) and each.get("Type") == LOCAL_MODULE
            (modules if local else resources)[name] = each
        return modules, resources

    def _unrolled(self, named: Mapping[str, Any], file: str, *, functions: bool = True) -> dict[str, Any]:
        """`functions`: Fn::ForEach too, which CloudFormation can do itself among a template's resources."""
        made: dict[str, Any] = {}
        for name, each in named.items():
            is_theirs = name.startswith(loop.FN) and not functions
            found = None if is_theirs else loop.unrolled(name, each, lambda value: self._collection(value, file), file)
            if found is None:
                made[name] = each
                continue
            self.known.turns[found.name] = [(turn.identifier, turn.instance) for turn in found.turns]
            made |= {turn.instance: turn.content for turn in found.turns}
        return made

    def _collection(self, value: Any, file: str) -> Any:
        def default(path: str) -> Any:
            return parameter.at(self.defaults, path)

        return reduce(substitute(self._resolved(value, file), default), file)

    # --- one module

    def instance(self, name: str, config: Any, place: Place) -> dict[str, Any]:
        """Its resources; it is known from here on."""
        if not isinstance(config, dict) or not isinstance(config.get("Source"), str):
            at = self.files.place(place.file, MODULES, name)
            raise Invalid(f"{at}: the module {name} names no Source", hint="Source: ./module.yaml")
        given: dict[str, Any] = next((config[each] for each in GIVEN if isinstance(config.get(each), dict)), {})
        body, inner, made = self._read(name, config["Source"], place, given)
        where = f"the module {name} ({inner.file})"
        values = self._at(place.file, name, where, lambda: parameter.values(body, given)) if made is None else made
        names = Names.of(body, name, inner.file)
        body = substitute(names.renamed(body), _lookup(values, names, inner.file))
        body = self._decided(looked_up(body, body.get(MAPPINGS, {})), name, inner.file)
        part = self.part(body, inner)
        overrides = config.get("Overrides", {})
        resources = self._at(place.file, name, where, lambda: _overridden(part.resources, overrides, names, self.known))
        resources = self._guarded(resources, config.get("Condition"), name)
        self.known.modules[name] = Instance(
            outputs=self._outputs(part.outputs, inner.file),
            properties=values,
            resources=tuple(resources),
            again=lambda more: self._invoked(name, {**config, "Properties": {**given, **more}}, place),
        )
        return resources

    def _at(self, file: str, name: str, what: str, made: Callable[[], T]) -> T:
        """Mistakes in how a module is used have the place of that."""
        try:
            return made()
        except Invalid as error:
            at = self.files.place(file, MODULES, name)
            raise Invalid(f"{at}: {what}: {error.message}", hint=error.hint, details=error.details) from error

    def _outputs(self, said: Mapping[str, Any], file: str) -> dict[str, Any]:
        for name, each in said.items():
            if not isinstance(each, dict) or "Value" not in each:
                raise Invalid(f"{self.files.place(file, OUTPUTS, name)}: the output {name} has no Value")
        return {name: each["Value"] for name, each in said.items()}

    def _read(
        self, name: str, source: str, place: Place, given: Mapping[str, Any]
    ) -> tuple[Template, Place, dict[str, Any] | None]:
        """The module, where it stands, and for a component the values that it refers to."""
        made: dict[str, Any] | None = None
        if source.startswith("$"):
            package, _, path = source[1:].partition("/")
            if package not in place.packages:
                raise Invalid(f"{place.file}: the module {name}: no package {package}{meant(package, place.packages)}")
            body, file = self.files.packaged(place.packages[package][0], path, place.packages[package][1])
        elif source.endswith(".py"):
            body, file, made = self.files.component(source, place.file, given)
        else:
            body, file = self.files.module(source, place.file)
        inner = place.entered(file)
        body = prepared(body, file, self.files.text)
        self._transform(body.get("Transform"))
        return body, Place(file, place.packages | _packages(body, file), inner.around), made

    def _invoked(self, name: str, config: Any, place: Place) -> dict[str, Any]:
        """Outputs of the module with other properties; nothing of it stays."""
        other = _Composition(self.files)
        other.defaults = self.defaults
        other.known = self.known.copy()
        other.instance(name, config, place)
        return other.known.modules[name].outputs

    def _decided(self, body: Template, name: str, file: str) -> Template:
        """Without what conditions that are known leave out; the others, and the mappings that are still needed, become
        the whole template's."""
        rules, mappings = section(body, CONDITIONS, file), section(body, MAPPINGS, file)
        known = condition.decided(rules, mappings)
        for each, verdict in known.items():
            if verdict is None:
                self._emit(self.conditions, each, condition.rest(rules[each], known), "condition", file)
        made = {key: value for key, value in body.items() if key not in (CONDITIONS, MAPPINGS)}
        for key in (RESOURCES, MODULES, OUTPUTS):
            if key in made:
                made[key] = condition.settled(condition.standing(section(made, key, file), known), known)
        for each in maps_used([made, {key: rules[key] for key, verdict in known.items() if verdict is None}]):
            if each in mappings:
                self._emit(self.mappings, each, mappings[each], "mapping", file)
        return made

    def _emit(self, into: dict[str, Any], name: str, value: Any, kind: str, file: str) -> None:
        if into.setdefault(name, value) != value:
            raise Invalid(f"{file}: there is another {kind} {name} in the template that uses it")

    def _guarded(self, resources: dict[str, Any], guard: Any, name: str) -> dict[str, Any]:
        """Under the condition that the whole module stands under."""
        if not isinstance(guard, str):
            return resources
        made = {}
        for id, each in resources.items():
            own = each.get("Condition")
            both = guard
            if isinstance(own, str) and own != guard:
                both = f"{own}And{guard}"
                self.conditions[both] = {"Fn::And": [{"Condition": guard}, {"Condition": own}]}
            made[id] = {**each, "Condition": both}
        return made

    def _transform(self, said: Any, *, first: bool = False) -> None:
        names = said if isinstance(said, list) else [] if said is None else [said]
        new = [each for each in names if each not in self.transforms]
        self.transforms = (
            [*names, *(each for each in self.transforms if each not in names)] if first else [*self.transforms, *new]
        )

    # --- references

    def _resolved(self, value: Any, file: str) -> Any:
        return reduce(resolved(value, self.known, file), file)

    def _depends(self, resource: Any) -> Any:
        """DependsOn may name a module: all that is in it."""
        said = resource.get("DependsOn") if isinstance(resource, dict) else None
        if said is None:
            return resource
        names = said if isinstance(said, list) else [said]
        meant_ones = [each for name in names for each in self.known.resources_of(name)]
        if meant_ones == names:
            return resource
        return {**resource, "DependsOn": meant_ones}


def _lookup(values: Mapping[str, Any], names: Names, file: str) -> Any:
    def lookup(path: str) -> Any:
        found = parameter.at(values, path)
        if found is not MISSING:
            return found
        base = path.partition(".")[0].partition("[")[0]
        if base in values:
            what = "has no value" if values[base] is MISSING else f"has no {path.removeprefix(base).lstrip('.')}"
            raise Invalid(f"{file}: the parameter {base} {what}")
        return names.whole(path)

    return lookup


def _packages(body: Template, file: str) -> dict[str, tuple[str, str]]:
    found = {}
    for name, said in section(body, "Packages", file).items():
        if not isinstance(said, dict) or not isinstance(said.get("Source"), str):
            raise Invalid(f"{file}: the package {name} names no Source", hint="Source: ./package.zip")
        found[name] = (said["Source"], file)
    return found


def _by_need(modules: Mapping[str, Any]) -> tuple[str, ...]:
    """Modules after those whose outputs they are given, as far as that goes."""
    needs = {
        name: {base for path in paths(each) for base in [path.partition(".")[0]] if base in modules and base != name}
        for name, each in modules.items()
    }
    try:
        return tuple(TopologicalSorter(needs).static_order())
    except CycleError:
        return tuple(modules)


def _overridden(resources: dict[str, Any], overrides: Any, names: Names, known: Known) -> dict[str, Any]:
    """What a condition left out can't be overridden, and needn't be."""
    if not isinstance(overrides, dict):
        raise Invalid("expected Overrides as Resource: …")
    made = dict(resources)
    for local, content in overrides.items():
        ids = [each for each in known.resources_of(names.prefix + local) if each in made]
        made |= {id: overlay(made[id], content) for id in ids}
        if not ids and local not in names.resources:
            inside = [each.removeprefix(names.prefix) for each in resources]
            raise Invalid(f"there is no resource {local} to override{instead(local, inside)}")
    return made


def _check(made: Template, file: str) -> None:
    for name in made[RESOURCES]:
        if not name.isalnum() and not name.startswith("Fn::"):
            raise Invalid(f"{file}: {name!r} can't be a logical id: letters and digits only")
    if left := _called(made):
        raise Invalid(f"{file}: {left} needs values that are only known at deployment")
