"""From source to slug: the tree exported, its steps run in sandboxes, the result packed and stored as layers.

Called by the command line. Nothing is stored before everything has worked, except a dependency layer, which is found by
its inputs and so serves the next attempt.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from homeport.errors import Failed, Unavailable
from homeport.model.release import Layer, Slug
from homeport.plan.interpreter import Interpreter
from homeport.plan.platform import Build
from homeport.plan.static import CONFIGURATION, NGINX, Static, nginx_text
from homeport.ports.objects import ObjectStore
from homeport.ports.sandbox import Mount, Sandbox
from homeport.releases import modules, step, tree
from homeport.releases.image import image_id, interpreters, node_with_npm
from homeport.releases.layer import Layers
from homeport.releases.recipe import UV, VENV, Install, Recipe, Step, recipe
from homeport.releases.registry import registry
from homeport.releases.source import Source, export_tree
from homeport.system.disk import make_room
from homeport.system.effect import effect
from homeport.system.home import Home

FORMAT = 1
"""Part of every key: raised when layers of the same inputs come out differently than before."""

_MODULES_AT = datetime(1985, 10, 26, 8, 15, tzinfo=UTC)
"""What npm sets: the same modules give the same layer, whatever commit they were packed for."""

Progress = Callable[[str], None]


class Serving(Struct, frozen=True, kw_only=True):
    """What will run of a slug. `static`: what nginx serves of it; `alone`: and nothing else runs."""

    static: Static | None = None
    alone: bool = False


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
        self,
        app: str,
        source: Source,
        build: Build,
        *,
        serving: Serving = Serving(),
        progress: Progress,
        output: Progress | None = None,
    ) -> Slug:
        """The slug, its layers in the store. `progress` gets lines for people, `output` what the commands of the build
        write (None: `progress` gets that too). Raises `Invalid` (what the app or its
        file says can't be built), `Failed` with the last lines of a command's output, `Unavailable`."""
        try:
            with self._scratch() as scratch:
                return _Run(self, app, source, build, serving, progress, output or progress, scratch).slug()
        except OSError as error:
            raise Unavailable(
                f"can't build {app} in {self.home.builds}: {error.strerror or error}", hint=make_room(self.home.builds)
            ) from error

    def check(self, app: str, source: Source, build: Build, *, serving: Serving = Serving()) -> None:
        """Nothing is run. Raises what `build` would raise before it runs anything, such as for a Python that isn't
        here."""
        with self._scratch() as scratch:
            _Run(self, app, source, build, serving, lambda _: None, lambda _: None, scratch).recipe()

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
    def modules(self) -> Path:
        """Installed Node modules, for the next build of the same app."""
        return self.home.builds / f"modules-{os.getuid() if self.uid is None else self.uid}"

    @property
    def cache(self) -> Path:
        """Downloads of pip, uv and npm, from all builds."""
        return self.home.builds / f"cache-{os.getuid() if self.uid is None else self.uid}"


class _Beside(Struct, frozen=True):
    """Dependencies that the source's steps see read-only. `built`: where they lie; None: in the store alone."""

    layer: Layer
    built: Path | None = None


class _Within(Struct, frozen=True):
    """Modules that the source's steps get for themselves: those at `paths` below `place`. `layer`: what runs of them,
    if the steps change nothing; None: not known."""

    install: Install
    key: str
    place: Path
    paths: tuple[str, ...]
    layer: Layer | None


class _Run:
    """One build."""

    def __init__(
        self,
        builder: Builder,
        app: str,
        source: Source,
        build: Build,
        serving: Serving,
        progress: Progress,
        output: Progress,
        scratch: Path,
    ) -> None:
        self.builder, self.layers = builder, Layers(builder.store, app, scratch)
        self.app, self.source, self.build, self.serving = app, source, build, serving
        self.deadline = step.Deadline.after(build.timeout)
        self.kept = modules.Kept(builder.modules / app)
        self.progress, self.output, self.scratch = progress, output, scratch

    def recipe(self) -> tuple[Recipe, tree.Tree, str]:
        """What is to be done, with which source, in which image."""
        if self.serving.static and not Path(NGINX).exists():
            raise Unavailable(f"{NGINX}, which serves {self.app}, isn't there", hint="apt-get install nginx-light")
        files = tree.Tree(self._export(tell=True))
        available, node = interpreters(), node_with_npm() if "package.json" in files else None
        made = recipe(files, self.build, available, node, runs=not self.serving.alone)
        return made, files, image_id(available, node)

    def slug(self) -> Slug:
        made, files, image = self.recipe()
        # of a file that isn't there: ""
        platform_file = files.digest("homeport.toml")
        for notice in made.notices:
            self.progress(notice)
        keys = {install: _key(install, self.build, files, image) for install in made.installs}
        beside = [self._beside(made, install, key) for install, key in keys.items() if not install.prune]
        within = [self._within(made, install, key) for install, key in keys.items() if install.prune]
        layers, path = self._source(made, files.root, beside, within)
        return Slug(
            layers=layers,
            image=image,
            commit=self.source.commit,
            dirty=self.source.dirty,
            subject=self.source.subject,
            platform_file=platform_file,
            path=path,
        )

    # --- dependencies -------------------------------------------------------------------------------------------------

    def _beside(self, made: Recipe, install: Install, key: str) -> _Beside:
        layer = self.layers.cached(key)
        if layer is not None:
            self._unchanged(layer)
            return _Beside(layer)
        built = self._installed(made, install)
        paths = modules.find(built, install.provides) if install.everywhere else install.provides
        python = built / VENV / "bin/python"
        if VENV in paths and python.is_symlink():
            self._compile(self._workplace(made, built), f"{step.APP}/{VENV}/bin/python", f"{step.APP}/{VENV}")
        layer = self.layers.add(built, "dependencies", self.source.committed_at, only=paths)
        self.layers.remember(key, layer)
        return _Beside(layer, built)

    def _within(self, made: Recipe, install: Install, key: str) -> _Within:
        place = self.scratch / f"within-{key[:12]}"
        if not self.kept.copy(key, place):
            built = self._installed(made, install)
            modules.move(modules.find(built, install.provides), built, place)
            self.kept.keep(key, place)
        layer = self.layers.cached(key) if made.runs else None
        if layer is not None:
            self._unchanged(layer)
        return _Within(install, key, place, modules.find(place, install.provides), layer)

    def _unchanged(self, layer: Layer) -> None:
        what = ", ".join(path for path in layer.mounts if "/" not in path)
        self.progress(f"dependencies: unchanged ({what} {layer.sha256[:12]}, {_size(layer.size_bytes)})")

    def _installed(self, made: Recipe, install: Install) -> Path:
        """A tree of the source with what `install` provides."""
        self.progress("dependencies: installing")
        built = self._export(f"installed-{install.provides[0].strip('.')}")
        for each in install.steps:
            step.run(self.builder.sandbox, self._workplace(made, built), each, self.progress, self.output)
        if install.everywhere:
            # of no dependencies npm makes no directory
            self._make_empty(built, install.provides)
        missing = [path for path in install.provides if (built / path).is_symlink() or not (built / path).is_dir()]
        if missing:
            raise Failed(
                f"the build of {self.app} failed: its dependencies command made no directory {', '.join(missing)}",
                hint="name what it makes in homeport.toml: [build] dependencies = { command = …, paths = […] }",
            )
        return built

    def _make_empty(self, root: Path, paths: tuple[str, ...]) -> None:
        for path in paths:
            if not (root / path).exists():
                tree.make_mount_points(root, (path,))
                if self.builder.uid is not None:
                    tree.give_to(root / path, self.builder.uid)

    def _pruned(self, made: Recipe, found: _Within, changes: list[str]) -> Layer:
        """What runs of the modules in `found.place`, as a layer."""
        if found.layer is not None and not changes:
            return found.layer
        if changes:
            shown = ", ".join(changes[:3]) + (", …" if len(changes) > 3 else "")
            self.progress(f"the build changed {shown}: dependencies are packed anew")
        built = self._export("pruned")
        modules.drop_scratch(found.place, found.paths)
        modules.move(found.paths, found.place, built)
        for each in found.install.prune:
            step.run(self.builder.sandbox, self._workplace(made, built), each, self.progress, self.output)
        self._make_empty(built, found.install.provides)
        layer = self.layers.add(built, "dependencies", _MODULES_AT, only=modules.find(built, found.install.provides))
        if not changes:
            self.layers.remember(found.key, layer)
        return layer

    # --- source -------------------------------------------------------------------------------------------------------

    def _source(
        self, made: Recipe, root: Path, beside: list[_Beside], within: list[_Within]
    ) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
        """The slug's layers, that of the source last, and its part of PATH."""
        layers = [each.layer for each in beside]
        for each in beside:
            tree.make_mount_points(root, each.layer.mounts)
        place = self._workplace(made, root, self._mounts(beside) if made.source else ())
        for within_ in within:
            modules.move(within_.paths, within_.place, root)
        since = modules.mark(self.scratch / "mark") if within else 0
        for each_step in made.source:
            step.run(self.builder.sandbox, place, each_step, self.progress, self.output)
        for within_ in within:
            changes = modules.changed(root, within_.paths, since)
            modules.move(within_.paths, root, within_.place)
            if made.runs:
                layers.append(self._pruned(made, within_, changes))
        if not made.runs:
            layers = []
        provided = tuple(path for layer in layers for path in layer.mounts)
        tree.make_mount_points(root, provided)
        self._serve(root)
        path = tuple(f"{step.APP}/{path}" for path in made.path if _provides(provided, path) or (root / path).is_dir())
        python = self._compiler(made.python, root)
        if python and made.runs and any(name.endswith(".py") for name in tree.Tree(root)):
            self._compile(place, python, step.APP, without=provided)
        stored = self.layers.add(root, "source", self.source.committed_at, without=provided)
        self.progress(f"source: {_size(stored.size_bytes)}")
        return (*layers, stored), path

    def _mounts(self, beside: list[_Beside]) -> tuple[Mount, ...]:
        return tuple(
            Mount(kind="read_only", source=provided / path, target=f"{step.APP}/{path}")
            for each in beside
            if (provided := each.built or self.layers.unpacked(each.layer))
            for path in each.layer.mounts
        )

    def _serve(self, root: Path) -> None:
        """The configuration of nginx lies in the tree, where it is wanted. Raises `Failed` where there is nothing to
        serve."""
        static = self.serving.static
        if static is None:
            return
        served = root / static.directory
        if not served.is_dir():
            raise Failed(
                f"the build of {self.app} made no directory {static.directory}, which nginx shall serve",
                hint='say where the pages are, in homeport.toml: [static] directory = "…"',
            )
        for name in filter(None, ("index.html", static.fallback)):
            if not (served / name).is_file():
                self.progress(f"{static.directory} has no {name}")
        tree.write(root, CONFIGURATION, nginx_text(static))

    def _compiler(self, python: Interpreter | None, root: Path) -> str | None:
        """A virtualenv that a command of the user's made knows best which Python will run."""
        if (root / VENV / "bin/python").is_symlink():
            return f"{step.APP}/{VENV}/bin/python"
        return python.path if python else None

    # --- both ---------------------------------------------------------------------------------------------------------

    def _export(self, name: str = "source", *, tell: bool = False) -> Path:
        """A fresh copy of the source."""
        root = self.scratch / name
        tree.remove(root)
        for notice in export_tree(self.source, root):
            if tell:
                self.progress(notice)
        if self.builder.uid is not None:
            tree.give_to(root, self.builder.uid)
        return root

    def _workplace(self, made: Recipe, root: Path, mounts: tuple[Mount, ...] = ()) -> step.Workplace:
        return step.Workplace(
            app=self.app,
            tree=root,
            temporary=self.scratch / "tmp",
            cache=self.builder.cache,
            registry=self.builder.registry,
            mounts=(*mounts, Mount(kind="read_only", source=_uv(), target=UV)),
            environment=made.environment | self.build.env,
            deadline=self.deadline,
            uid=self.builder.uid,
        )

    def _compile(self, place: step.Workplace, python: str, what: str, *, without: tuple[str, ...] = ()) -> None:
        """Byte code that is never checked against times: packing sets all of them (else every boot compiles)."""
        command = [python, "-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash"]
        if without:
            command += ["-x", f"^{step.APP}/({'|'.join(each.replace('.', '[.]') for each in without)})/"]
        # odd files (templates, Python 2) don't compile, and needn't
        step.attempt(self.builder.sandbox, place, Step(command=(*command, what)))


def _provides(provided: tuple[str, ...], path: str) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in provided)


def _key(install: Install, build: Build, files: tree.Tree, image: str) -> str:
    """Digest of all that decides what the steps of an install make."""
    parts = {
        "format": FORMAT,
        "image": image,
        "commands": [each.command for each in (*install.steps, *install.prune)],
        "provides": install.provides,
        "environment": build.env,
        "inputs": {path: files.digest(path) for path in install.inputs},
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def _uv() -> Path:
    import uv

    return Path(uv.find_uv_bin())


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB" if size_bytes >= 1_000_000 else f"{size_bytes / 1000:.1f} kB"
