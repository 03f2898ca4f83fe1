"""Where a user's Homeport keeps things. Everything under one directory, so that two of them never meet.

$HOMEPORT_HOME/               0700; default $XDG_DATA_HOME/homeport or ~/.local/share/homeport
    store/                    the object store, if it is a directory
    store.json                which object store it is, if it was stated
    state.db                  what AWS itself would hold: environments, groups, instances, events
    identity.age              decrypts secrets; the engine reads it, nothing else
    sources/                  copies of the git repositories that are named by URL
    modules/<sha256>          what templates are composed of, fetched under a digest that they state
    builds/                   scratch of builds, caches of pip and npm
    layers/<sha256>/          unpacked dependency layers, shared read-only by instances
    instances/<n>/            one instance: app/, home/, tmp/, service/, bwrap.json
    logs/<platform>/<environment>/<instance>/<process>/current
    engine/                   logs of daemon and HAProxy
    engine.lock               held by the daemon
    reserve                   room that the engine gives up when the disk is full
    aws/<platform>/<environment>/  a home within this one, of an environment on AWS
runtime directory/            short path (socket names end at 97 bytes); gone after a reboot
    api.sock  haproxy.cfg  haproxy.sock  haproxy-master.sock  services/
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from homeport.errors import Invalid

if TYPE_CHECKING:
    from homeport.model.platform import Place


class Home:
    """Paths only; `create()` makes the directories that everything else relies on."""

    def __init__(self, root: Path, runtime: Path) -> None:
        self.root = root
        self.runtime = runtime
        self.store = root / "store"
        self.state = root / "state.db"
        self.choice = root / "store.json"
        self.identity = root / "identity.age"
        self.sources = root / "sources"
        self.modules = root / "modules"
        self.builds = root / "builds"
        self.layers = root / "layers"
        self.instances = root / "instances"
        self.logs = root / "logs"
        self.engine_logs = root / "engine"
        self.lock = root / "engine.lock"
        self.socket = runtime / "api.sock"
        self.services = runtime / "services"
        self.place: Place | None = None
        """The environment on AWS that this is the home of; None: this machine's."""

    @classmethod
    def from_environment(cls, environ: dict[str, str] | None = None) -> "Home":
        """From HOMEPORT_HOME (and XDG_DATA_HOME, XDG_RUNTIME_DIR). The runtime directory is /run/homeport/<key> for
        root, else $XDG_RUNTIME_DIR/homeport/<key> (where that isn't set, as in cron or su: /run/user/<uid>), else
        /tmp/homeport-<uid>/<key>; key is made from the home's path."""
        env = dict(os.environ) if environ is None else environ
        stated = env.get("HOMEPORT_HOME")
        if stated:
            root = Path(stated)
            if not root.is_absolute():
                raise Invalid(f"HOMEPORT_HOME is {stated!r}, expected an absolute path")
        else:
            data = env.get("XDG_DATA_HOME") or str(Path(env.get("HOME") or Path.home()) / ".local/share")
            root = Path(data) / "homeport"
        return cls.at(root, env)

    def within(self, place: "Place") -> "Home":
        """The home inside this one of an environment on AWS, which shares nothing with the others."""
        found = Home.at(self.root.joinpath("aws", place.platform, place.name), dict(os.environ))
        found.place = place
        return found

    @classmethod
    def at(cls, root: Path, env: dict[str, str]) -> "Home":
        key = hashlib.sha256(os.fsencode(root)).hexdigest()[:10]
        uid = os.getuid()
        runtime_dir = env.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
        if uid == 0:
            runtime = Path("/run/homeport")
        elif len(runtime_dir) < 60 and os.access(runtime_dir, os.W_OK):
            runtime = Path(runtime_dir) / "homeport"
        else:
            runtime = Path(f"/tmp/homeport-{uid}")
        return cls(root, runtime / key)

    def create(self) -> None:
        """All directories exist, readable by their owner only. Raises `Invalid` where one belongs to somebody else.
        The store of a home in use isn't made anew: an empty one in its place would number releases from r1 again."""
        for path in (self.root, self.runtime.parent, self.runtime):
            try:
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
                info = path.lstat()
            except OSError as error:
                raise Invalid(
                    f"can't make {path}: {error.strerror}", hint="set HOMEPORT_HOME to a directory you can write"
                ) from error
            if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
                raise Invalid(f"{path} belongs to uid {info.st_uid}, expected {os.getuid()} (yourself)")
            if stat.S_IMODE(info.st_mode) & 0o077:
                path.chmod(0o700)
        if not self.state.exists():
            self.store.mkdir(exist_ok=True, mode=0o700)
        for path in (self.builds, self.layers, self.instances, self.logs, self.engine_logs, self.services):
            path.mkdir(exist_ok=True, mode=0o700)
