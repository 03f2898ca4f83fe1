"""Where modules come from: files beside the template, packages (archives, directories), https, s3. Called by `compose`.

A file is called by its path below the project's parent, as errors show it; one in a package by the package's path and
its own.
"""

import io
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homeport.errors import Invalid, NotFound
from homeport.model.stack import Template
from homeport.plan.mistake import instead
from homeport.plan.stack import template
from homeport.plan.stack.text import decode, locate
from homeport.stacks.remote import LARGEST_BYTES, SCHEMES, Remote


class Sources:
    """Each file is read once. Implements `plan.stack.module.expand.Files`. `shown`: how errors call `root`."""

    def __init__(self, root: Path, shown: str = "", remote: Remote | None = None) -> None:
        self.root = root
        self.shown = shown
        self.remote = remote or Remote()
        self._bytes: dict[str, bytes] = {}
        self._bodies: dict[str, Template] = {}

    @property
    def files(self) -> frozenset[str]:
        """All that was read, as errors call it."""
        return frozenset(self._bytes)

    def module(self, source: str, by: str) -> tuple[Template, str]:
        name = beside(source, by)
        return self._body(name, self._read(name, by)), name

    def packaged(self, package: str, name: str, by: str) -> tuple[Template, str]:
        place = beside(package, by)
        if not place.startswith(SCHEMES) and (self._path(place)).is_dir():
            return self.module(f"{package.rstrip('/')}/{name}", by)
        import zipfile

        inner = posixpath.normpath(name)
        try:
            with zipfile.ZipFile(io.BytesIO(self._read(place, by))) as archive:
                there = [each for each in archive.namelist() if not each.endswith("/")]
                if inner not in there:
                    raise NotFound(f"{by}: the package {place} has no {name}{instead(name, there)}")
                if archive.getinfo(inner).file_size > LARGEST_BYTES:
                    raise Invalid(f"{by}: {name} in {place} has more than {LARGEST_BYTES:,} bytes")
                data = archive.read(inner)
        except (zipfile.BadZipFile, OSError, RuntimeError) as error:
            raise Invalid(f"{by}: the package {place} isn't an archive (zip) that can be read: {error}") from error
        return self._body(f"{place}/{inner}", data), f"{place}/{inner}"

    def component(self, source: str, by: str, given: Mapping[str, Any]) -> tuple[Template, str, dict[str, Any]]:
        name = beside(source, by)
        if name.startswith(SCHEMES):
            raise Invalid(f"{by}: {name}: programs are only run from files of the project")
        self._read(name, by)
        from homeport.stacks.component import composed  # its imports are heavier than most templates

        body, values = composed(self._path(name), name, given)
        return body, name, values

    def text(self, path: str, by: str) -> str:
        name = beside(path, by)
        return decode(self._read(name, by), name)

    def place(self, file: str, *keys: str) -> str:
        data = self._bytes.get(file)
        return locate(data.decode("utf-8", "replace"), file, *keys) if data is not None else file

    def note(self, file: str, data: bytes) -> None:
        """A file that somebody else has read."""
        self._bytes[file] = data

    def _body(self, name: str, data: bytes) -> Template:
        if name not in self._bodies:
            self._bodies[name] = template.parse(decode(data, name), name).body
        return self._bodies[name]

    def _path(self, name: str) -> Path:
        if name.startswith("/") or not self.shown:
            return self.root / name
        return self.root.parent / name if name.startswith(f"{self.shown}/") else self.root / "." / name

    def _read(self, name: str, by: str) -> bytes:
        if name not in self._bytes:
            self._bytes[name] = self.remote.read(name, by) if name.startswith(SCHEMES) else self._file(name, by)
        return self._bytes[name]

    def _file(self, name: str, by: str) -> bytes:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"{by}: no file {name}") from error
        except OSError as error:
            raise Invalid(f"{by}: can't read {name}: {error.strerror}") from error


def beside(source: str, by: str) -> str:
    """What a path in `by` means: relative to it, wherever it lies."""
    if source.startswith((*SCHEMES, "/")):
        return source
    if by.startswith(SCHEMES):
        scheme, _, rest = by.partition("://")
        return f"{scheme}://{posixpath.normpath(posixpath.join(posixpath.dirname(rest), source))}"
    return posixpath.normpath(posixpath.join(posixpath.dirname(by), source))
