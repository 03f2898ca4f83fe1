"""The code of an app before it is built: a commit of a git repository here or elsewhere, a work tree, or a tarball.

Called by the command line (which files there are, what they say) and by `build` (the whole tree).
"""

import fnmatch
import hashlib
import os
import re
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from homeport.errors import Invalid, Unavailable
from homeport.releases import git, mirror
from homeport.releases.archive import extract, link_problem, open_archive
from homeport.system.disk import make_room
from homeport.system.effect import effect

LARGE_BYTES = 100_000_000


class Source(Struct, frozen=True, kw_only=True):
    """Where an app's code is, and what it is called. A tarball's commit is the one that `git archive` wrote into it,
    else `tarball-<digest>`."""

    root: Path
    """Directory of the app, perhaps below the top of its repository; the tarball's file; or the copy of `url`."""
    commit: str
    subject: str
    dirty: bool
    """True: the work tree, which differs from the commit."""
    committed_at: datetime
    """Of the commit; of the newest file, where there is none or the tree is dirty."""
    origin: Literal["git", "tarball", "mirror"]
    url: str = ""
    """Of a mirror."""
    uncommitted: bool = False
    """True: the work tree differs from the commit, whether it is asked for or not."""
    notices: tuple[str, ...] = ()
    """What people shall know about where it comes from."""

    @property
    def shown(self) -> str:
        """Where it is, for people."""
        return self.url or str(self.root)


def open_source(path: Path, *, dirty: bool = False, commit: str | None = None) -> Source:
    """The last commit (or the one called `commit`) of the repository that `path` lies in; with `dirty` its work tree.
    For a directory below the top of the repository, the last commit that changed something in it: so what happens
    beside it makes no new release. Raises `Invalid` (no repository, no commits, …), `Unavailable` without git."""
    if dirty and commit is not None:
        raise Invalid(f"asked for the work tree and for commit {commit}, expected one of the two")
    root = path.resolve()
    git.check_repository(root)
    found = git.last_change(root, git.commit_of(root, commit))
    uncommitted = git.is_dirty(root)
    if not (dirty and uncommitted):
        git.entries(root, found.sha)
    return Source(
        root=root,
        commit=found.sha,
        subject=found.subject,
        dirty=dirty and uncommitted,
        committed_at=_newest(root, found.committed_at) if dirty and uncommitted else found.committed_at,
        origin="git",
        uncommitted=uncommitted,
    )


def open_url(url: str, ref: str | None, mirrors: Path) -> Source:
    """The newest commit of a branch or tag (None: of HEAD) of a repository elsewhere, which is fetched into `mirrors`.
    Raises `NotFound`, `Unavailable`; `Invalid` for one with submodules."""
    root, said = mirror.refreshed(mirrors, url)
    found = mirror.commit_in(root, url, ref)
    submodules = [each.path for each in git.entries(root, found.sha) if each.submodule]
    if submodules:
        raise Invalid(
            f"{url} has submodules ({', '.join(submodules[:5])}), which aren't fetched along",
            hint=f"git clone --recurse-submodules {url}, and name the directory as the source",
        )
    return Source(
        root=root,
        commit=found.sha,
        subject=found.subject,
        dirty=False,
        committed_at=found.committed_at,
        origin="mirror",
        url=url,
        notices=said,
    )


def committed_text(path: Path) -> str | None:
    """The file as the last commit of its repository has it; None: it isn't in that, or in no repository. Raises
    `Invalid` for a repository that git refuses, or one without a commit."""
    directory = path.resolve().parent
    if not in_repository(directory):
        return None
    git.check_repository(directory)
    commit = git.commit_of(directory, None)
    found = git.contents(directory, commit.sha, [path.name]).get(path.name)
    return None if found is None else found.decode("utf-8", "surrogateescape")


def in_repository(directory: Path) -> bool:
    """Whether the directory lies in a git repository, as far as can be seen without git."""
    return any((each / ".git").exists() for each in (directory, *directory.parents))


def from_tarball(path: Path) -> Source:
    """The code in a tar archive, of whatever compression. Raises `Invalid`, `Unavailable`."""
    root = path.resolve()
    newest, comment = 0.0, ""
    with open_archive(root) as archive:
        for member in archive:
            newest = max(newest, member.mtime)
        comment = archive.pax_headers.get("comment", "")
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", comment):
        with root.open("rb") as file:
            comment = f"tarball-{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
    return Source(
        root=root,
        commit=comment,
        subject=path.name,
        dirty=False,
        committed_at=datetime.fromtimestamp(int(newest), UTC),
        origin="tarball",
    )


def list_files(source: Source) -> list[str]:
    """Paths of all files, sorted; those of submodules left out."""
    if source.origin == "tarball":
        return sorted(path for path, _ in _tar_files(source.root, ()))
    if source.dirty:
        return sorted(path for path in git.files_of_tree(source.root) if _is_file(source.root / path))
    return sorted(each.path for each in git.entries(source.root, source.commit) if not each.submodule)


def read_files(source: Source, wanted: Iterable[str]) -> dict[str, str]:
    """Path → text of every file that one of `wanted` fits: exact paths, or patterns whose `*` also fits "/". As UTF-8
    with surrogate escapes. From the commit, not from the work tree, unless the source is dirty."""
    patterns = tuple(wanted)
    if source.origin == "tarball":
        found = {path: data for path, data in _tar_files(source.root, patterns) if data is not None}
    else:
        paths = [path for path in list_files(source) if _fits(path, patterns)]
        if source.dirty:
            found = {path: data for path in paths if (data := _read_inside(source.root, path)) is not None}
        else:
            found = git.contents(source.root, source.commit, paths)
    return {path: data.decode("utf-8", "surrogateescape") for path, data in sorted(found.items())}


def export_tree(source: Source, destination: Path) -> tuple[str, ...]:
    """Notices for people, once all code lies in the new directory `destination`. Raises `Invalid` that names links
    out of the tree and submodules that aren't there; then what is in `destination` isn't complete."""
    try:
        _make_directory(destination)
        if source.origin == "tarball":
            with open_archive(source.root) as archive:
                extract(archive, destination, what=str(source.root))
            _strip_top(destination)
        elif source.dirty:
            _copy_work_tree(source.root, destination)
        else:
            _export_commit(source.root, source.commit, destination)
    except OSError as error:
        raise Unavailable(
            f"can't export {source.root} to {destination}: {error.strerror}", hint=make_room(destination.parent)
        ) from error
    return tuple(_large_files(destination))


def tag_release(source: Source, app: str, environment: str, number: int, *, alone: bool = True) -> str | None:
    """None if the commit now has the tag `homeport/<environment>/r<n>`, or needs none (a dirty tree, a tarball, a copy
    of ours); else a notice for people: a tag never fails a deploy. Not `alone`: several apps may share a repository, so
    it is `homeport/<app>/<environment>/r<n>`."""
    if source.origin != "git" or source.uncommitted:
        return None
    name = f"homeport/{environment}/r{number}" if alone else f"homeport/{app}/{environment}/r{number}"
    said = git.tag(source.root, name, source.commit)
    return f"{app} r{number} isn't tagged {name}: {said[-1]}" if said else None


# --- git --------------------------------------------------------------------------------------------------------------


def _export_commit(directory: Path, sha: str, destination: Path) -> None:
    with git.archive(directory, sha) as file, tarfile.open(fileobj=file, mode="r|") as archive:
        extract(archive, destination, what=f"commit {sha[:10]} of {directory}")
    for entry in git.entries(directory, sha):
        if not entry.submodule:
            continue
        inner = directory / entry.path
        if not git.has_commit(inner, entry.sha):
            raise Invalid(
                f"submodule {entry.path} of {directory} isn't there, expected its commit {entry.sha[:10]}",
                hint=f"git -C {directory} submodule update --init --recursive",
            )
        (destination / entry.path).mkdir(parents=True, exist_ok=True)
        _export_commit(inner, entry.sha, destination / entry.path)


def _copy_work_tree(directory: Path, destination: Path) -> None:
    problems = []
    for name in _walk_work_tree(directory, ""):
        path = directory / name
        problem = link_problem(name, os.readlink(path)) if path.is_symlink() else None
        if problem:
            problems.append(problem)
        else:
            _copy(path, destination / name)
    if problems:
        raise Invalid(f"the work tree {directory} has links that leave it: {problems[0]}", details=tuple(problems[:50]))


def _walk_work_tree(directory: Path, prefix: str) -> Iterator[str]:
    for name in git.files_of_tree(directory):
        path = directory / name
        if path.is_dir() and not path.is_symlink():
            # a submodule, or another repository lying here
            if (path / ".git").exists():
                yield from _walk_work_tree(path, f"{prefix}{name.rstrip('/')}/")
        elif _is_file(path):
            yield prefix + name


@effect("source.copy")
def _copy(path: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, destination, follow_symlinks=False)


def _newest(root: Path, committed_at: datetime) -> datetime:
    times = (int((root / name).lstat().st_mtime) for name in _walk_work_tree(root, ""))
    return max(committed_at, datetime.fromtimestamp(max(times, default=0), UTC))


def _is_file(path: Path) -> bool:
    """True for a file or a link. A tracked file may have been deleted."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _read_inside(root: Path, name: str) -> bytes | None:
    """The file's content; None for a link that leads out of the root or nowhere."""
    path = (root / name).resolve()
    return path.read_bytes() if path.is_relative_to(root) and path.is_file() else None


def _fits(path: str, patterns: tuple[str, ...]) -> bool:
    return any(path == each or fnmatch.fnmatchcase(path, each) for each in patterns)


# --- tarballs ---------------------------------------------------------------------------------------------------------


def _tar_files(path: Path, patterns: tuple[str, ...]) -> list[tuple[str, bytes | None]]:
    """(path, content) of each file; content only of those that fit a pattern, and None for links. A single directory
    that holds everything, as in the tarballs of GitHub, is left out of the paths."""
    files: list[tuple[str, bytes | None]] = []
    tops = set()
    with open_archive(path) as archive:
        for member in archive:
            name = os.path.normpath(member.name)
            top, _, inner = name.partition("/")
            if name != ".":
                tops.add((top, bool(inner) or member.isdir()))
            if member.isdir():
                continue
            content = archive.extractfile(member) if member.isreg() else None
            wanted = content is not None and (_fits(name, patterns) or _fits(inner, patterns))
            files.append((name, content.read() if content is not None and wanted else None))
    if len({top for top, _ in tops}) == 1 and all(directory for _, directory in tops):
        files = [(name.partition("/")[2], content) for name, content in files]
    return [(name, content if _fits(name, patterns) else None) for name, content in files]


@effect("source.strip")
def _strip_top(destination: Path) -> None:
    """Where one directory holds everything, its content takes its place."""
    top = list(destination.iterdir())
    if len(top) != 1 or top[0].is_symlink() or not top[0].is_dir():
        return
    aside = destination.with_name(f"{destination.name}.top")
    top[0].rename(aside)
    destination.rmdir()
    aside.rename(destination)


@effect("source.make")
def _make_directory(path: Path) -> None:
    path.mkdir(parents=True)


def _large_files(root: Path) -> Iterator[str]:
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size > LARGE_BYTES:
                yield f"{path.relative_to(root)} is {status.st_size // 1_000_000} MB: every instance gets a copy"
