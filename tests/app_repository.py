"""Git repositories made from the apps in `tests/apps`, for tests that deploy one. Imported by tests and benches."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

APPS = Path(__file__).parent / "apps"
EXAMPLE = Path(__file__).parent.parent / "examples"

ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.net",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.net",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
    "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def make_repository(name: str, tmp_path: Path, *, edits: Mapping[str, str | None] | None = None) -> Path:
    """A fresh repository `tmp_path/<name>` with one commit: a copy of the app, then `edits` (see `commit`). `name` is a
    directory of `tests/apps`, or of `examples`."""
    origin = APPS / name if (APPS / name).is_dir() else EXAMPLE / name
    path = tmp_path / name
    shutil.copytree(origin, path, ignore=shutil.ignore_patterns("__pycache__", "*.db", "*.sqlite3", "staticfiles"))
    git(path, "init", "--quiet", "--initial-branch=main")
    commit(path, edits or {}, message="First")
    return path


def commit(path: Path, edits: Mapping[str, str | None], *, message: str = "Change") -> str:
    """Hash of a new commit of everything, after `edits`: file → whole new text (None: removed)."""
    for file, text in edits.items():
        target = path / file
        if text is None:
            target.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8", "surrogateescape")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--allow-empty", f"--message={message}")
    return git(path, "rev-parse", "HEAD")


def replaced(path: Path, file: str, old: str, new: str) -> dict[str, str]:
    """An edit for `commit`: the file's text with `old`, which must be there, replaced."""
    text = (path / file).read_text()
    assert old in text, f"{file} has no {old!r}"
    return {file: text.replace(old, new)}


def git(path: Path, *arguments: str) -> str:
    command = ("git", "-C", str(path), *arguments)
    done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.strip()
