"""From source to slug: the tree exported, its steps run in sandboxes, the result packed and stored as layers.

Called by the command line. Nothing is stored before everything has worked, except a dependency layer, which is found by
its inputs and so serves the next attempt.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from homeport.errors import Conflict, Failed, NotFound, Unavailable
from homeport.model.release import Layer, LayerKind, Slug
from homeport.plan.interpreter import Interpreter
from homeport.plan.platform import Build
from homeport.plan.release import layer_by_key_key, layer_key
from homeport.ports.objects import ObjectStore
from homeport.ports.sandbox import Mount, Sandbox
from homeport.releases import step, tree
from homeport.releases.archive import extract, open_archive, verify
from homeport.releases.hold import hold
from homeport.releases.image import image_id, interpreters
from homeport.releases.pack import pack
from homeport.releases.publish import create_if_absent, decode, encode
from homeport.releases.recipe import UV, VENV, Recipe, Step, recipe
from homeport.releases.registry import registry
from homeport.releases.source import Source, export_tree
from homeport.system.effect import effect
from homeport.system.home import Home

FORMAT = 1
"""Part of every key: raised when layers of the same inputs come out differently than before."""

Progress = Callable[[str], None]


class Builder:
    """Builds slugs in `sandbox`, as `uid` (needed when root builds), and stores their layers."""

    def __init__(
        self,
        sandbox: Sandbox,
        store: ObjectStore,
        home: Home,
        *,
        uid: int | None = None,
        environ: Mapping[str, str] | None = None,
        user_home: Path | None = None,
    ) -> None:
        """`environ` and `user_home`: where the user's registry settings are looked for; None: the process's own."""
        self.sandbox = sandbox
        self.store = store
        self.home = home
        self.uid = uid
        self.registry = registry(
            os.environ if environ is None else environ, Path.home() if user_home is None else user_home
        )

    def build(
        self, app: str, source: Source, build: Build, *, progress: Progress, output: Progress | None = None
    ) -> Slug:
        """The slug, its layers in the store. `progress` gets lines for people, `output` what the commands of the build
        write (None: `progress` gets that too). Raises `Invalid` (what the app or its
        file says can't be built), `Failed` with the last lines of a command's output, `Unavailable`."""
        try:
            with self._scratch() as scratch:
                return _Run(self, app, source, build, progress, output or progress, scratch).slug()
        except OSError as error:
            raise Unavailable(
                f"can't build {app} in {self.home.builds}: {error.strerror or error}", hint=f"df -h {self.home.builds}"
            ) from error

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A directory for one build, gone afterwards; so are those of builds that were killed."""
        for left in self.home.builds.glob("scratch-*"):
            if not Path("/proc", left.name.split("-")[1]).exists():
                tree.remove(left)
        scratch = self.home.builds / f"scratch-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self._make_scratch(scratch)
            yield scratch
        finally:
            tree.remove(scratch)

    @effect("build.make_scratch")
    def _make_scratch(self, scratch: Path) -> None:
        (scratch / "tmp").mkdir(parents=True)
        # one per uid: pip refuses a cache that belongs to somebody else
        self.cache.mkdir(exist_ok=True)
        if self.uid is not None:
            for path in (scratch / "tmp", self.cache):
                os.chown(path, self.uid, self.uid)

    @property
    def cache(self) -> Path:
        """Downloads of pip, uv and npm, from all builds."""
        return self.home.builds / f"cache-{os.getuid() if self.uid is None else self.uid}"


class _Run:
    """One build."""

    def __init__(
        self,
        builder: Builder,
        app: str,
        source: Source,
        build: Build,
        progress: Progress,
        output: Progress,
        scratch: Path,
    ) -> None:
        self.builder, self.store = builder, builder.store
        self.app, self.source, self.build = app, source, build
        self.progress, self.output, self.scratch = progress, output, scratch

    def slug(self) -> Slug:
        root = self._export(tell=True)
        files = tree.Tree(root)
        # of a file that isn't there: ""
        platform_file = files.digest("homeport.toml")
        available = interpreters()
        image = image_id(available)
        made = recipe(files, self.build, available)
        for notice in made.notices:
            self.progress(notice)
        layer, built = self._dependencies(made, files, image)
        if built is not None:
            # a fresh tree: what installing left beside the dependencies would be there the first time only
            root = self._export()
        source, path = self._source(made, root, layer, built)
        return Slug(
            layers=(source,) if layer is None else (layer, source),
            image=image,
            commit=self.source.commit,
            dirty=self.source.dirty,
            subject=self.source.subject,
            platform_file=platform_file,
            path=path,
        )

    # --- dependencies -------------------------------------------------------------------------------------------------

    def _dependencies(self, made: Recipe, files: tree.Tree, image: str) -> tuple[Layer | None, Path | None]:
        """The dependency layer, if any, and the directory it was built in: that of the exported tree, which is used
        up; None where the layer was in the store."""
        if not made.dependencies:
            return None, None
        key = _key(made, self.build, files, image)
        layer = self._cached(key)
        if layer is not None:
            self.progress(f"dependencies: unchanged ({layer.sha256[:12]}, {_size(layer.size_bytes)})")
            return layer, None
        self.progress("dependencies: installing")
        built = self.scratch / "dependencies"
        _move(files.root, built)
        place = self._workplace(built, ())
        for each in made.dependencies:
            step.run(self.builder.sandbox, place, each, self.progress, self.output)
        missing = [path for path in made.provides if (built / path).is_symlink() or not (built / path).is_dir()]
        if missing:
            raise Failed(
                f"the build of {self.app} failed: its dependencies command made no directory {', '.join(missing)}",
                hint="name what it makes in homeport.toml: [build] dependencies = { command = …, paths = […] }",
            )
        python = built / VENV / "bin/python"
        if VENV in made.provides and python.is_symlink():
            self._compile(place, f"{step.APP}/{VENV}/bin/python", f"{step.APP}/{VENV}")
        layer = self._store(built, "dependencies", made.provides)
        self._remember(key, layer)
        return layer, built

    def _cached(self, key: str) -> Layer | None:
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

    def _remember(self, key: str, layer: Layer) -> None:
        name = layer_by_key_key(self.app, key)
        data = encode(layer)
        try:
            self.store.create(name, data)
        except Conflict:
            if self._cached(key) is None:
                # it names a layer that was pruned, or can't be read
                self.store.delete(name)
                create_if_absent(self.store, name, data)

    # --- source -------------------------------------------------------------------------------------------------------

    def _source(
        self, made: Recipe, root: Path, layer: Layer | None, built: Path | None
    ) -> tuple[Layer, tuple[str, ...]]:
        """The source layer, and the slug's part of PATH."""
        tree.make_mount_points(root, made.provides)
        mounts: tuple[Mount, ...] = ()
        if made.source and layer is not None:
            provided = built or self._unpacked(layer)
            mounts = tuple(
                Mount(kind="read_only", source=provided / path, target=f"{step.APP}/{path}") for path in made.provides
            )
        place = self._workplace(root, mounts)
        for each in made.source:
            step.run(self.builder.sandbox, place, each, self.progress, self.output)
        path = tuple(f"{step.APP}/{path}" for path in made.path if self._provides(made, path) or (root / path).is_dir())
        python = self._compiler(made.python, root)
        if python and any(name.endswith(".py") for name in tree.Tree(root)):
            self._compile(place, python, step.APP, without=made.provides)
        stored = self._store(root, "source", (), without=made.provides)
        self.progress(f"source: {_size(stored.size_bytes)}")
        return stored, path

    def _provides(self, made: Recipe, path: str) -> bool:
        return any(path == each or path.startswith(f"{each}/") for each in made.provides)

    def _compiler(self, python: Interpreter | None, root: Path) -> str | None:
        """A virtualenv that a command of the user's made knows best which Python will run."""
        if (root / VENV / "bin/python").is_symlink():
            return f"{step.APP}/{VENV}/bin/python"
        return python.path if python else None

    def _unpacked(self, layer: Layer) -> Path:
        """The dependency layer as files, for steps that need it."""
        archive, directory = self.scratch / layer.sha256, self.scratch / "unpacked"
        self.store.get_to(layer_key(self.app, layer.sha256), archive)
        verify(archive, layer.sha256)
        _make(directory)
        with open_archive(archive) as members:
            extract(members, directory)
        return directory

    # --- both ---------------------------------------------------------------------------------------------------------

    def _export(self, *, tell: bool = False) -> Path:
        root = self.scratch / "source"
        for notice in export_tree(self.source, root):
            if tell:
                self.progress(notice)
        if self.builder.uid is not None:
            tree.give_to(root, self.builder.uid)
        return root

    def _workplace(self, root: Path, mounts: tuple[Mount, ...]) -> step.Workplace:
        return step.Workplace(
            app=self.app,
            tree=root,
            temporary=self.scratch / "tmp",
            cache=self.builder.cache,
            registry=self.builder.registry,
            mounts=(*mounts, Mount(kind="read_only", source=_uv(), target=UV)),
            environment=self.build.env,
            uid=self.builder.uid,
        )

    def _compile(self, place: step.Workplace, python: str, what: str, *, without: tuple[str, ...] = ()) -> None:
        """Byte code that is never checked against times: packing sets all of them (else every boot compiles)."""
        command = [python, "-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash"]
        if without:
            command += ["-x", f"^{step.APP}/({'|'.join(each.replace('.', '[.]') for each in without)})/"]
        # odd files (templates, Python 2) don't compile, and needn't
        step.attempt(self.builder.sandbox, place, Step(command=(*command, what)))

    def _store(self, root: Path, kind: LayerKind, only: tuple[str, ...], *, without: tuple[str, ...] = ()) -> Layer:
        archive = self.scratch / f"{kind}.tar.zst"
        packed = pack(root, archive, modified_at=self.source.committed_at, only=only, without=without)
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


def _key(made: Recipe, build: Build, files: tree.Tree, image: str) -> str:
    """Digest of all that decides what the dependency steps make."""
    parts = {
        "format": FORMAT,
        "image": image,
        "commands": [each.command for each in made.dependencies],
        "provides": made.provides,
        "environment": build.env,
        "inputs": {path: files.digest(path) for path in made.inputs},
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def _uv() -> Path:
    import uv

    return Path(uv.find_uv_bin())


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB" if size_bytes >= 1_000_000 else f"{size_bytes / 1000:.1f} kB"


@effect("build.move")
def _move(path: Path, target: Path) -> None:
    path.rename(target)


@effect("build.make")
def _make(path: Path) -> None:
    path.mkdir()
