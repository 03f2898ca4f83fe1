"""Asking git, and what its answers mean. Called by `source`, and by the command line for the way between commits."""

import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from msgspec import Struct

from homeport.errors import Failed, Invalid, Unavailable
from homeport.system.effect import effect

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

MISSING = Unavailable("git isn't installed", hint="apt-get install git")


class Commit(Struct, frozen=True, kw_only=True):
    sha: str
    subject: str
    committed_at: datetime


class Apart(Struct, frozen=True, kw_only=True):
    """How far two commits are apart: what only the new one has (the newest first, at most so many as were asked for),
    how many these are in all, and how many only the old one has."""

    commits: tuple[Commit, ...]
    ahead: int
    behind: int


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of a commit's tree. `submodule`: `sha` is a commit of another repository."""

    path: str
    sha: str
    size_bytes: int
    submodule: bool = False


@effect("git.run")
def run(directory: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The ended process, whatever it answered. Raises `Unavailable` where there is no git."""
    try:
        return subprocess.run(
            ("git", "-C", str(directory), *arguments),
            input=stdin,
            capture_output=True,
            check=False,
            env=environment(),
        )
    except FileNotFoundError as error:
        raise MISSING from error


def environment() -> dict[str, str]:
    """Ours, in plain English, without what would point git at another repository (as inside a git hook)."""
    steering = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"}
    kept = {key: value for key, value in os.environ.items() if key not in steering}
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}


def ask(directory: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """git's standard output. Raises `Failed` with what git said."""
    done = run(directory, *arguments, stdin=stdin)
    if done.returncode != 0:
        raise Failed(f"git {arguments[0]} in {directory} failed", details=said(done))
    return done.stdout


def said(done: subprocess.CompletedProcess[bytes]) -> tuple[str, ...]:
    return tuple(done.stderr.decode("utf-8", "replace").splitlines()[-10:])


@functools.cache
def check_repository(directory: Path) -> None:
    """Nothing, if the directory lies in a work tree. Raises `Invalid` with the next command to type."""
    if not directory.is_dir():
        raise Invalid(f"{directory} isn't a directory")
    done = run(directory, "rev-parse", "--is-inside-work-tree")
    if done.returncode == 0 and done.stdout.strip() == b"true":
        return
    if any((each / ".git").exists() for each in (directory, *directory.parents)):
        # a repository it is, but git won't have it: another owner, damage
        raise Invalid(f"git refuses the repository of {directory}", hint=_advice(done), details=said(done))
    raise Invalid(
        f"{directory} isn't in a git repository",
        hint=f"cd {directory} && git init && git add -A && git commit -m 'first'",
    )


def _advice(done: subprocess.CompletedProcess[bytes]) -> str | None:
    commands = (line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines())
    return next((line for line in commands if line.startswith("git ")), None)


def last_change(directory: Path, commit: Commit) -> Commit:
    """The last commit up to `commit` that changed anything in the directory; `commit` for the top of a repository."""
    if not prefix_of(directory):
        return commit
    sha = ask(directory, "rev-list", "--max-count=1", commit.sha, "--", ".").decode().strip()
    return commit_of(directory, sha) if sha else commit


def commit_of(directory: Path, name: str | None) -> Commit:
    """The commit called `name` (None: HEAD). Raises `Invalid` where there is none."""
    done = run(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name or 'HEAD'}^{{commit}}")
    if done.returncode != 0:
        if name is not None:
            raise Invalid(f"{directory} has no commit {name!r}", hint="git log --oneline", details=said(done))
        raise Invalid(f"{directory} has no commits", hint="git add -A && git commit -m 'first'")
    sha = done.stdout.decode().strip()
    seconds, _, subject = ask(directory, "show", "-s", "--format=%ct %s", sha).decode("utf-8", "replace").partition(" ")
    return Commit(sha=sha, subject=subject.rstrip("\n"), committed_at=datetime.fromtimestamp(int(seconds), UTC))


def apart(directory: Path, old: str, new: str, *, most: int = 20) -> Apart | None:
    """None where that can't be said: no repository, or one that lacks a commit. Below the top of a repository only
    commits count that change something there."""
    if not (_SHA.fullmatch(old) and _SHA.fullmatch(new)):
        return None
    # of a bare repository: nothing
    paths = ("--", ".") if _below_top(directory) else ("--",)
    counted = run(directory, "rev-list", "--left-right", "--count", f"{old}...{new}", *paths)
    if counted.returncode != 0:
        return None
    behind, ahead = (int(word) for word in counted.stdout.split())
    # a user may have log.showSignature
    log = ("log", "--no-show-signature", "--format=%H %ct %s")
    lines = ask(directory, *log, f"--max-count={most}", f"{old}..{new}", *paths).decode("utf-8", "replace")
    return Apart(
        commits=tuple(_commit(line) for line in lines.split("\n") if line),
        ahead=ahead,
        behind=behind,
    )


def _commit(line: str) -> Commit:
    sha, seconds, subject = f"{line} ".split(" ", 2)
    return Commit(sha=sha, subject=subject.rstrip(), committed_at=datetime.fromtimestamp(int(seconds), UTC))


def has_commit(directory: Path, sha: str) -> bool:
    """True if the directory is the top of a repository that has the commit: an initialised submodule."""
    if not (directory / ".git").exists():
        return False
    return run(directory, "cat-file", "-e", f"{sha}^{{commit}}").returncode == 0


def is_dirty(directory: Path) -> bool:
    """True if something under the directory isn't as the last commit has it; files that git ignores don't count.
    Raises `Invalid` for a submodule that is there, but damaged."""
    done = run(directory, "status", "--porcelain", "--ignore-submodules=none", "--", ".")
    if done.returncode == 0:
        return bool(done.stdout)
    for each in entries(directory, commit_of(directory, None).sha):
        inner = directory / each.path
        if each.submodule and (inner / ".git").exists() and run(inner, "rev-parse", "--git-dir").returncode != 0:
            raise Invalid(
                f"submodule {each.path} of {directory} can't be read",
                hint=f"git -C {directory} submodule update --init {each.path}; where that can't mend it, move "
                f"{each.path} and its directory below .git/modules aside first",
                details=said(done),
            )
    raise Failed(f"git status in {directory} failed", details=said(done))


def _below_top(directory: Path) -> bool:
    try:
        return bool(prefix_of(directory))
    except Failed:
        return False


@functools.cache
def prefix_of(directory: Path) -> str:
    """Path of the directory in its repository, ending in "/"; "" for the top."""
    return os.fsdecode(ask(directory, "rev-parse", "--show-prefix").rstrip(b"\n"))


@functools.lru_cache(maxsize=16)
def entries(directory: Path, sha: str) -> tuple[Entry, ...]:
    """What the commit has under the directory, paths relative to it; asked several times in one command, of a commit
    that can't change. Raises `Invalid` if that is nothing."""
    done = run(directory, "ls-tree", "-r", "-z", "-l", sha, ".")
    if done.returncode != 0 or not done.stdout:
        raise Invalid(
            f"commit {sha[:10]} has nothing in {directory}", hint="git add -A && git commit", details=said(done)
        )
    found = []
    for line in done.stdout.rstrip(b"\0").split(b"\0"):
        about, _, path = line.partition(b"\t")
        _, kind, blob, size = about.split()
        found.append(
            Entry(
                path=os.fsdecode(path),
                sha=blob.decode(),
                size_bytes=0 if size == b"-" else int(size),
                submodule=kind == b"commit",
            )
        )
    return tuple(found)


def files_of_tree(directory: Path) -> list[str]:
    """Tracked and untracked files that git doesn't ignore, relative to the directory; a submodule by its directory."""
    output = ask(directory, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", ".")
    return [os.fsdecode(path) for path in output.split(b"\0") if path]


def contents(directory: Path, sha: str, paths: list[str]) -> dict[str, bytes]:
    """Path → content in the commit, links followed inside the repository; without those that aren't files there."""
    prefix = prefix_of(directory)
    names = "".join(f"{sha}:{prefix}{path}\n" for path in paths if "\n" not in path)
    output = ask(directory, "cat-file", "--batch", "--follow-symlinks", stdin=os.fsencode(names))
    found: dict[str, bytes] = {}
    at = 0
    for path in (path for path in paths if "\n" not in path):
        end = output.index(b"\n", at)
        words = output[at:end].split(b" ")
        at = end + 1
        if words[-1].isdigit():
            size = int(words[-1])
            # `<sha> blob <size>`; else a link that leads nowhere: `dangling <size>`, `symlink <size>`, …
            if len(words) == 3 and words[1] == b"blob":
                found[path] = output[at : at + size]
            at += size + 1
    return found


@contextmanager
def archive(directory: Path, sha: str) -> Iterator[IO[bytes]]:
    """`git archive` of what the commit has under the directory, as a tar file. Raises `Invalid`, `Failed`."""
    with tempfile.TemporaryFile() as file:
        _archive(directory, sha, file)
        file.seek(0)
        yield file


@effect("git.archive")
def _archive(directory: Path, sha: str, file: IO[bytes]) -> None:
    command = ("git", "-C", str(directory), "archive", "--format=tar", sha)
    done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, check=False, env=environment())
    if done.returncode != 0:
        raise Failed(f"git archive {sha[:10]} in {directory} failed", details=said(done))


@effect("git.tag")
def tag(directory: Path, name: str, sha: str) -> tuple[str, ...]:
    """Empty if the tag now names the commit, also if it did before; else what git said."""
    done = run(directory, "tag", name, sha)
    there = run(directory, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").stdout.decode().strip()
    return () if there == sha else said(done) or (f"git tag ended with {done.returncode}",)
