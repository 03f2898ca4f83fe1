"""Bare copies of git repositories that lie elsewhere, one per URL, to release from. Called by `source`.

A copy is only ever moved forward whole: a fetch that fails leaves it as it was.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from homeport.errors import HomeportError, NotFound, Unavailable
from homeport.plan.mistake import instead
from homeport.releases import git
from homeport.system.effect import effect

LONGEST_FETCH_SECONDS = 900.0
_HEAD = "refs/remotes/origin/HEAD"
_REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", f"+HEAD:{_HEAD}")
_PROTOCOLS = "file:git:http:https:ssh"
# what git and ssh say where a repository isn't there, or not for us
_REFUSED = re.compile(
    r"not found|not appear to be a git|does not exist|returned error: 40[134]|could not read (Username|Password)"
    r"|terminal prompts disabled|Authentication failed|Permission denied|Host key verification failed|Access denied",
    re.IGNORECASE,
)


def refreshed(directory: Path, url: str) -> tuple[Path, tuple[str, ...]]:
    """The copy of `url` below `directory`, as the repository is now, and what git had to say (it was redirected).
    Nobody is asked for a login. Raises `NotFound` for a repository that isn't there or can't be read, `Unavailable`
    where it can't be reached; then an older copy is as it was."""
    path = copy_of(directory, url)
    with _locked(directory, path.name):
        if path.is_dir():
            return path, _fetch(path, url)
        fresh = path.with_suffix(".new")
        _begin(fresh)
        said = _fetch(fresh, url)
        _keep(fresh, path)
    return path, said


def copy_of(directory: Path, url: str) -> Path:
    """Where the copy of `url` is, or would be."""
    return directory / f"{_named(url)}-{hashlib.sha256(url.encode()).hexdigest()[:12]}.git"


def commit_in(mirror: Path, url: str, ref: str | None) -> git.Commit:
    """What a branch, else a tag of the copy names; None: what the repository's HEAD is. Raises `NotFound`."""
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}") if ref is not None else (_HEAD,):
        with contextlib.suppress(HomeportError):
            return git.commit_of(mirror, name)
    listed = git.ask(mirror, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags")
    names = listed.decode("utf-8", "replace").split()
    what = "HEAD that names a commit" if ref is None else f"branch or tag {ref!r}"
    raise NotFound(f"{url} has no {what}{instead(ref or '', names[:20])}", hint='ref = "…" beside source')


def _named(url: str) -> str:
    """What people see in the directory."""
    tail = url.rstrip("/").removesuffix(".git").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9-]+", "-", tail).strip("-")[-40:] or "repository"


@contextlib.contextmanager
def _locked(directory: Path, name: str) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@effect("mirror.begin")
def _begin(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    git.ask(path.parent, "init", "--quiet", "--bare", str(path))


@effect("mirror.keep")
def _keep(fresh: Path, path: Path) -> None:
    fresh.rename(path)


@effect("mirror.fetch")
def _fetch(mirror: Path, url: str) -> tuple[str, ...]:
    slow = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30")
    options = ("--quiet", "--prune", "--atomic", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-gc")
    command = ("git", "-C", str(mirror), *slow, "fetch", *options, "--", url, *_REFS)
    code, lines = _alone(command)
    if code == 0:
        return tuple(f"{url}: {line.strip()}" for line in lines if "redirecting" in line)
    hint = f"git ls-remote {url}   # must work without asking for anything"
    if any(_REFUSED.search(line) for line in lines):
        raise NotFound(f"the repository {url} isn't there, or not for you: did it move?", hint=hint, details=lines)
    raise Unavailable(f"can't fetch {url}", hint=hint, details=lines, retry_after=timedelta(seconds=10))


def _alone(command: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """Exit code and last lines. Without a terminal, so that neither git nor ssh can ask anybody for anything."""
    silent = {"GIT_ASKPASS": "", "SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never", "GIT_ALLOW_PROTOCOL": _PROTOCOLS}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**git.environment(), **silent},
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise git.MISSING from error
    try:
        _, said = process.communicate(timeout=LONGEST_FETCH_SECONDS)
    except subprocess.TimeoutExpired:
        return 1, (f"not done after {LONGEST_FETCH_SECONDS:g} s",)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, tuple(filter(None, said.decode("utf-8", "replace").splitlines()))[-10:]
