"""A release as the plain pair that any script can use: a tar.gz of /app and a bash file of exports. Called by
`homeport release export`."""

import gzip
import os
import shlex
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from homeport.errors import Unavailable
from homeport.model.release import ConfigValue, Release, Snapshot
from homeport.model.secret import Secret
from homeport.plan.release import layer_key
from homeport.ports.encryption import Encryption
from homeport.ports.objects import ObjectStore
from homeport.releases.archive import open_archive, verify
from homeport.releases.publish import read_snapshot
from homeport.system.effect import effect


def export(store: ObjectStore, release: Release, encryption: Encryption, directory: Path) -> tuple[Path, Path]:
    """(`<app>-<environment>-r<n>.tar.gz`, `….sh`) in `directory`, both 0600, the second with every secret in clear.
    Files of these names are replaced. Raises `NotFound`, `Failed` (a damaged layer), `Unavailable`."""
    snapshot = read_snapshot(store, release.app, release.environment, release.config)
    script = exports(release, snapshot, encryption)
    stem = f"{release.app}-{release.environment}-{release.id}"
    archive, variables = directory / f"{stem}.tar.gz", directory / f"{stem}.sh"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=directory) as scratch:
            _write_pair(store, release, script, Path(scratch), archive, variables)
    except OSError as error:
        raise Unavailable(
            f"can't export {release.id} to {directory}: {error.strerror}", hint=f"df -h {directory}"
        ) from error
    return archive, variables


def exports(release: Release, snapshot: Snapshot, encryption: Encryption) -> str:
    """Bash that sets what an instance of the release has. Where groups differ, HOMEPORT_GROUP chooses."""
    groups = snapshot.groups
    shared = {
        key: value
        for key, value in next(iter(groups.values()), {}).items()
        if all(each.get(key) == value for each in groups.values())
    }
    lines = [
        f"# {release.app} {release.id} for {release.environment}, commit {release.slug.commit}",
        f"# tar -xzf {release.app}-{release.environment}-{release.id}.tar.gz -C /app   # virtualenvs hold that path",
    ]
    if release.slug.path:
        lines.append(f'export PATH={shlex.quote(":".join(release.slug.path))}:"$PATH"')
    lines += _assignments(shared, encryption)
    own = {name: {key: each for key, each in values.items() if key not in shared} for name, values in groups.items()}
    if any(own.values()):
        lines.append('case "${HOMEPORT_GROUP:-}" in')
        for name, values in sorted(own.items()):
            lines += [f"{shlex.quote(name)})", *_assignments(values, encryption), ";;"]
        lines += [f'*) echo "set HOMEPORT_GROUP to one of: {" ".join(sorted(own))}" >&2 ;;', "esac"]
    return "\n".join(lines) + "\n"


def _assignments(values: dict[str, ConfigValue], encryption: Encryption) -> Iterator[str]:
    for key, value in sorted(values.items()):
        clear = encryption.decrypt(value.text) if value.secret else Secret(value.text)
        yield f"export {key}={shlex.quote(clear.reveal())}"


@effect("export.write")
def _write_pair(
    store: ObjectStore, release: Release, script: str, scratch: Path, archive: Path, variables: Path
) -> None:
    with _private(scratch / "tar") as file:
        # a constant time: the same release gives the same file
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as stream:
            with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as out:
                for layer in release.slug.layers:
                    path = scratch / layer.sha256
                    store.get_to(layer_key(release.app, layer.sha256), path)
                    verify(path, layer.sha256)
                    _append(out, path)
    with _private(scratch / "sh") as file:
        file.write(script.encode("utf-8", "surrogateescape"))
    (scratch / "tar").rename(archive)
    (scratch / "sh").rename(variables)


def _append(out: tarfile.TarFile, layer: Path) -> None:
    with open_archive(layer) as members:
        for member in members:
            out.addfile(member, members.extractfile(member) if member.isreg() else None)


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
