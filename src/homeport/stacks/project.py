"""The directory `stacks/` of a project: which stacks it has, and each of them loaded when it is asked for. Called by
wiring and by whatever works on stacks.

Names are found without parsing: only what may say `region:` or `environment:` is read. One broken file is the problem
of the stacks that need it, and of no other.
"""

import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from homeport.errors import HomeportError, Invalid, NotFound
from homeport.model.located import Located
from homeport.model.stack import Stack
from homeport.plan.mistake import instead
from homeport.plan.stack import setting
from homeport.plan.stack.merge import merge
from homeport.plan.stack.place import above, directory_of, is_region, places, refer, select
from homeport.plan.stack.text import decode, read

DIRECTORY = "stacks"
SETTINGS = "config.yaml"
SUFFIXES = (".yaml", ".yml")
AXIS = re.compile(rb"^[\"']?(region|environment)[\"']?\s*:", re.MULTILINE)


class Entry(Struct, frozen=True, kw_only=True):
    """A stack that is somewhere in the project. `files`: stack files to merge, the farthest first."""

    id: str
    files: tuple[str, ...]
    region: str = ""
    """Where its place says it: by a directory's name, or by a list."""
    problem: HomeportError | None = None
    """Why it isn't even known where it stands."""


class Loaded(Struct, frozen=True, kw_only=True):
    """Stacks by id, and what is wrong with the others."""

    stacks: dict[str, Stack]
    problems: dict[str, HomeportError]


def find(start: Path) -> Path:
    """The nearest directory `stacks` with settings, from `start` upwards; `start` itself where it is one.
    Raises `NotFound`."""
    start = start.resolve()
    for each in (start, *start.parents):
        for found in (each / DIRECTORY, each):
            if found.name == DIRECTORY and (found / SETTINGS).is_file():
                return found
    raise NotFound(
        f"no {DIRECTORY}/{SETTINGS} in {start} or above it",
        hint="homeport stack init",
    )


class Project:
    """`root`: the directory `stacks`. Paths in errors are relative to `root`'s parent."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._layers: dict[str, Located | HomeportError] = {}
        self._stacks: dict[str, Stack] = {}
        self._seen: set[str] = set()
        self._axes: dict[tuple[str, str], tuple[str, ...] | str | None] = {}
        self._above: dict[str, tuple[str, ...]] = {}
        self._found: dict[str, Entry | None] = {}
        self._twice: dict[str, Invalid] = {}
        self._looked_at: dict[str, bytes] = {}
        """Files that were only searched so far."""

    # --- names

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """By id, in the order of directories and names."""
        found: dict[str, Entry] = {}
        for directory in self._directories:
            for name, file in self._files(directory).items():
                for entry in self._expand(directory, name, file):
                    known = found.get(entry.id)
                    found[entry.id] = entry if known is None else _overlaid(known, entry)
        return {id: found[id] for id in sorted(found, key=_order)}

    def select(self, words: Sequence[str]) -> tuple[str, ...]:
        """Ids; see `plan.stack.place.select`. Raises `NotFound`, `Invalid`."""
        if words and all(self.entry(each) for each in words):  # nothing needs to be known of the others
            return tuple(sorted(set(words), key=_order))
        return select(words, self.entries)

    def refer(self, text: str, origin: str) -> str:
        """The id that `text` means in the stack `origin`. Raises `NotFound`."""
        found = next((each for each in places(text, origin) if self.entry(each)), None)
        return refer(text, origin, self.entries) if found is None else found

    def entry(self, id: str) -> Entry | None:
        """As in `entries`, but only the directories above it are looked at."""
        if "entries" in self.__dict__:
            return self.entries.get(id)
        if id not in self._found:
            self._found[id] = self._find(id)
        return self._found[id]

    def _find(self, id: str) -> Entry | None:
        place, _, name = id.rpartition("/")
        found: Entry | None = None
        for directory in above(place):
            if directory and not self._holds_stacks(directory):
                break
            file = self._files(directory).get(name)
            for entry in self._expand(directory, name, file) if file else ():
                if entry.id == id:
                    found = entry if found is None else _overlaid(found, entry)
        return found

    def _holds_stacks(self, directory: str) -> bool:
        """Whether it does where what it lies in does."""
        above_it, _, name = directory.rpartition("/")
        if name not in self._listed[above_it][0]:
            return False
        return is_region(name) or (self.root / directory / SETTINGS).is_file()

    @cached_property
    def _directories(self) -> tuple[str, ...]:
        """Those that hold stacks: the top, and what has settings or a region's name, below one that does."""
        found, queue = [], [""]
        while queue:
            directory = queue.pop(0)
            found.append(directory)
            for name in self._listed[directory][0]:
                path = f"{directory}/{name}".lstrip("/")
                if self._holds_stacks(path):
                    queue.append(path)
        return tuple(found)

    @cached_property
    def _listed(self) -> "_Listing":
        return _Listing(self.root)

    def _files(self, directory: str) -> dict[str, str]:
        """Stack's name → path below the root; of two files of one name the first, and `_twice` knows."""
        found: dict[str, str] = {}
        for name in self._listed[directory][1]:
            stem, suffix = os.path.splitext(name)
            if suffix not in SUFFIXES or name == SETTINGS:
                continue
            if stem in found:
                text = f"two files for one stack: {self._shown(found[stem])} and {name}"
                self._twice[found[stem]] = Invalid(text, hint="remove one of them")
                continue
            found[stem] = f"{directory}/{name}".lstrip("/")
        return found

    def _expand(self, directory: str, name: str, file: str) -> Iterable[Entry]:
        """The stacks that a file stands for: itself, or one in each environment and region that are listed."""
        try:
            if file in self._twice:
                raise self._twice[file]
            own = self._layer(file) if self._says_axis(file) else None
            environments = self._nearest("environment", directory, own) if not directory else None
        except HomeportError as error:
            yield self._entry(directory, name, file, problem=error)
            return
        places = [directory]
        if environments:
            places = [environments] if isinstance(environments, str) else list(environments)
        for place in places:
            try:
                regions = None if _region_in(place) else self._nearest("region", place, own)
            except HomeportError as error:
                yield self._entry(place, name, file, problem=error)
                continue
            if isinstance(regions, tuple):
                for region in regions:
                    yield self._entry(f"{place}/{region}", name, file, region)
            else:
                yield self._entry(place, name, file, _region_in(place))

    def _says_axis(self, file: str) -> bool:
        try:
            with open(f"{self.root}/{file}", "rb", buffering=0) as stream:
                data = self._looked_at[file] = stream.read()
                return AXIS.search(data) is not None
        except OSError as error:
            raise Invalid(f"can't read {self._shown(file)}: {error.strerror}") from error

    def _entry(self, place: str, name: str, file: str, region: str = "", problem: HomeportError | None = None) -> Entry:
        return Entry(id=f"{place}/{name}".lstrip("/"), files=(file,), region=region, problem=problem)

    def _nearest(self, key: str, directory: str, own: Located | None) -> tuple[str, ...] | str | None:
        """What the stack's file says, else the settings of the nearest directory."""
        found = setting.axis(own, key) if own else None
        if found is not None:
            return found
        if (key, directory) not in self._axes:
            layers = [self._layer(path) for path in reversed(self._settings(directory))]
            said = (setting.axis(layer, key) for layer in layers)
            self._axes[key, directory] = next((each for each in said if each is not None), None)
        return self._axes[key, directory]

    # --- contents

    def stack(self, id: str) -> Stack:
        """Raises `NotFound`, `Invalid`."""
        if id not in self._stacks:
            self._stacks[id] = self._load(id)
        return self._stacks[id]

    def load(self, ids: Iterable[str]) -> Loaded:
        """Each for itself: what is wrong with one doesn't concern another. Two that are one stack to CloudFormation are
        both wrong."""
        stacks: dict[str, Stack] = {}
        problems: dict[str, HomeportError] = {}
        standing: dict[tuple[str, str, str], str] = {}
        for id in ids:
            try:
                stack = self.stack(id)
            except HomeportError as error:
                problems[id] = error
                continue
            there = standing.setdefault((stack.target.account, stack.target.region, stack.name), id)
            if there != id:
                text = f"{there} and {id} are one stack: {stack.name} in {stack.target.region}"
                problems[there] = problems[id] = Invalid(text, hint=f"name: … in {stack.files[-1]}")
            stacks[id] = stack
        return Loaded(stacks={id: each for id, each in stacks.items() if id not in problems}, problems=problems)

    def _load(self, id: str) -> Stack:
        entry = self.entry(id)
        if entry is None:
            raise NotFound(f"no stack {id!r}{instead(id, self.entries)}", hint="homeport stack list")
        if entry.problem is not None:
            raise entry.problem
        settings = self._settings(directory_of(id))
        files = (*settings, *entry.files)
        layers = [self._layer(each) for each in settings]
        merged = merge([*layers, *self._like(id, ()), *(self._layer(each) for each in entry.files)])
        parameters = [self._parameter_file(each) for each in setting.parameter_files(merged)]
        if parameters:
            merged = merge([*parameters, merged])
            merged = Located(merged.value, self._layer(files[-1]).at)
        return setting.settle(
            id,
            merged,
            region=entry.region,
            depends_on=lambda text: self.refer(text, id),
            files=tuple(self._shown(each) for each in files),
        )

    def _like(self, id: str, around: tuple[str, ...]) -> list[Located]:
        """What a stack inherits from the one that it is like. Raises `Invalid` for a circle, `NotFound`."""
        if id in around:
            raise Invalid(f"stacks are like each other in a circle: {' → '.join((*around, id))}")
        entry = self.entry(id)
        assert entry is not None
        said = [found for file in entry.files if (found := setting.like(self._layer(file)))]
        if not said:
            return []
        other = self.refer(setting.text_of(said[-1]), id)
        there = self.entry(other)
        assert there is not None
        own = [setting.inherited(self._layer(file)) for file in there.files]
        return [*self._like(other, (*around, id)), *own]

    @property
    def files(self) -> frozenset[str]:
        """All that was read so far, below the root."""
        return frozenset(self._seen)

    def _parameter_file(self, node: Located) -> Located:
        """Its values as settings `parameters`, for a merge below those that are written inline."""
        path = setting.text_of(node)
        if not (self.root / path).is_file():
            raise Invalid(f"{node.at}: no file {self._shown(path)}")
        found = self._read(path)
        if not isinstance(found.value, dict):
            raise Invalid(f"{found.at}: expected parameters (key: value), found {setting.kind(found)}")
        return Located({"parameters": found}, found.at)

    def _settings(self, directory: str) -> tuple[str, ...]:
        """The settings files of a directory and of what it lies in, the top's first."""
        if directory not in self._above:
            paths = (f"{each}/{SETTINGS}".lstrip("/") for each in above(directory))
            self._above[directory] = tuple(path for path in paths if (self.root / path).is_file())
        return self._above[directory]

    def _layer(self, path: str) -> Located:
        """One file of settings, read once. Raises `Invalid`."""
        if path not in self._layers:
            try:
                layer = self._read(path)
                setting.check(layer)
                self._layers[path] = layer
            except HomeportError as error:
                self._layers[path] = error
        found = self._layers[path]
        if isinstance(found, HomeportError):
            raise found
        return found

    def _read(self, path: str) -> Located:
        self._seen.add(path)
        try:
            data = self._looked_at.pop(path, None) or (self.root / path).read_bytes()
        except OSError as error:
            raise Invalid(f"can't read {self._shown(path)}: {error.strerror}") from error
        return read(decode(data, self._shown(path)), self._shown(path))

    def _shown(self, path: str) -> str:
        return f"{self.root.name}/{path}"


class _Listing(dict[str, tuple[list[str], list[str]]]):
    """Directory below `root` → names of directories and of files in it that aren't hidden; looked at when asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def __missing__(self, directory: str) -> tuple[list[str], list[str]]:
        with os.scandir(self.root / directory) as entries:
            found = sorted((each.name, each.is_dir()) for each in entries if not each.name.startswith("."))
        self[directory] = [name for name, is_dir in found if is_dir], [name for name, is_dir in found if not is_dir]
        return self[directory]


def _order(id: str) -> tuple[list[str], str]:
    """Of directories and names."""
    return id.split("/")[:-1], id


def _region_in(directory: str) -> str:
    """The region that the directory's path names; empty: none."""
    return next((part for part in reversed(directory.split("/")) if is_region(part)), "")


def _overlaid(far: Entry, near: Entry) -> Entry:
    """One stack that two files say something about: found by walking from the top."""
    return Entry(
        id=far.id,
        files=(*far.files, *near.files),
        region=near.region or far.region,
        problem=far.problem or near.problem,
    )
