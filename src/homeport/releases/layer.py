"""The layers of one app in the store, while it is built: found by what they are made from, added, unpacked. Called by
`build`."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from homeport.errors import Conflict, Failed, NotFound, Unavailable
from homeport.model.release import Layer, LayerKind
from homeport.plan.release import layer_by_key_key, layer_key
from homeport.ports.objects import ObjectStore
from homeport.releases.archive import extract, open_archive, verify
from homeport.releases.hold import hold
from homeport.releases.pack import pack
from homeport.releases.publish import create_if_absent, decode, encode
from homeport.system.effect import effect


class Layers:
    def __init__(self, store: ObjectStore, app: str, scratch: Path) -> None:
        """`scratch`: a directory for archives, of this build alone."""
        self.store, self.app, self.scratch = store, app, scratch
        self._added = 0

    def add(
        self,
        root: Path,
        kind: LayerKind,
        modified_at: datetime,
        *,
        only: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
    ) -> Layer:
        """What lies in `root`, packed and in the store."""
        self._added += 1
        archive = self.scratch / f"{kind}-{self._added}.tar.zst"
        packed = pack(root, archive, modified_at=modified_at, only=only, without=without)
        layer = Layer(
            sha256=packed.sha256, kind=kind, size_bytes=packed.size_bytes, mounts=only, content=packed.content
        )
        try:
            self.store.create_from(layer_key(self.app, packed.sha256), archive)
        except Conflict:
            # the same bytes are there already, or were a moment ago
            if not self._held(layer):
                with suppress(Conflict):
                    self.store.create_from(layer_key(self.app, packed.sha256), archive)
        return layer

    def cached(self, key: str) -> Layer | None:
        """The layer built from the same inputs, if it is (still) in the store."""
        name = layer_by_key_key(self.app, key)
        try:
            layer = decode(self.store.get(name), Layer, name)
        except (NotFound, Failed):
            return None
        return layer if self._held(layer) else None

    def _held(self, layer: Layer) -> bool:
        """Whether it is in the store, and stays there until it is released."""
        key = layer_key(self.app, layer.sha256)
        if self.store.size(key) != layer.size_bytes:
            return False
        try:
            hold(self.store, self.app, (key,))
        except Unavailable:
            return False  # it is just going; where the store is gone, the next call says so
        return self.store.size(key) == layer.size_bytes

    def remember(self, key: str, layer: Layer) -> None:
        """From now on `cached` finds it."""
        name = layer_by_key_key(self.app, key)
        data = encode(layer)
        try:
            self.store.create(name, data)
        except Conflict:
            if self.cached(key) is None:
                # it names a layer that was pruned, or can't be read
                self.store.delete(name)
                create_if_absent(self.store, name, data)

    def unpacked(self, layer: Layer) -> Path:
        """The dependency layer as files, for steps that need it."""
        archive, directory = self.scratch / layer.sha256, self.scratch / f"unpacked-{layer.sha256}"
        self.store.get_to(layer_key(self.app, layer.sha256), archive)
        verify(archive, layer.sha256)
        _make(directory)
        with open_archive(archive) as members:
            extract(members, directory)
        return directory


@effect("layer.make")
def _make(path: Path) -> None:
    path.mkdir()
