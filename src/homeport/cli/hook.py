"""Hooks on the control side: programs in `.homeport/hooks` beside the platform file, run where the command runs. Called
by `bring`, which brings releases about, and by the commands that begin it.

docs/reference/hooks.md says what each may rely on.
"""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from homeport.cli import place
from homeport.cli.output import Progress
from homeport.errors import Failed, HomeportError, Invalid
from homeport.plan.mistake import nearest
from homeport.system import command

NAMES = ("pre-build", "pre-deploy", "post-deploy", "on-failure")
TAIL_LINES = 20


class Hooks:
    """Of one app on its way. `told`: variables for whichever runs next, on top of the caller's own environment."""

    def __init__(self, directory: Path, progress: Progress, *, limit: timedelta, told: dict[str, str]) -> None:
        found = place.find_file(directory)
        self.root = None if found is None else found.resolve().parent
        self.progress = progress
        self.limit = limit
        self.told = told

    def before(self, name: str, so: str) -> None:
        """It has run, if there is one. Raises `Failed` where it says no, and `so` what that means: nothing is to be
        changed then."""
        self._run(name, so)

    def after(self, **told: str) -> None:
        """The release is good. Raises `Failed` where the hook says no; the release stays."""
        self._run("post-deploy", f"{self.told['HOMEPORT_RELEASE']} is good, and runs on", **told)

    def skip(self, names: tuple[str, ...], why: str) -> None:
        """Those that there are don't run, which is said."""
        for each in names:
            if self.root is not None and _path(self.root, each) is not None:
                self.progress.say(f"note: the hook {each} isn't run: {why}")

    @contextmanager
    def failing(self, stage: str) -> Iterator[None]:
        """Whatever fails inside is told to the hook `on-failure`, and then to the caller."""
        try:
            yield
        except HomeportError as error:
            try:
                self._run("on-failure", "", HOMEPORT_STAGE=stage, HOMEPORT_REASON=error.message)
            except HomeportError as second:
                self.progress.say(f"note: {second.message}")
            raise

    def _run(self, name: str, so: str, **told: str) -> None:
        self.told |= told
        path = None if self.root is None else _path(self.root, name)
        if path is None or self.root is None:
            return
        tail: deque[str] = deque(maxlen=TAIL_LINES)

        def heard(line: str) -> None:
            tail.append(line)
            self.progress.say(f"    {line}")

        self.progress.say(f"  hook {name}")
        environment = {**os.environ, **self.told, "HOMEPORT_HOOK": name}
        try:
            status = command.run(
                (str(path),), directory=self.root, environment=environment, limit=self.limit, heard=heard
            )
        except OSError as error:
            raise Invalid(
                f"the hook {place.shown(path)} can't be run: {error.strerror}",
                hint="its first line names what runs it, such as #!/bin/sh",
            ) from error
        said = f"ended with {status}" if status is not None else f"took longer than {self.limit.total_seconds():g} s"
        if status != 0:
            hint = None if status is not None else 'give it longer, in homeport.toml: [deploy] hook_timeout = "30m"'
            what = f"the hook {name} {said}{f': {so}' if so else ''}"
            raise Failed(what, hint=hint, details=tuple(tail) if self.progress.quiet else ())


def check(directory: Path, progress: Progress) -> None:
    """Raises `Invalid` for a hook that can't be run, before anything is begun; what is nearly called like one is
    said."""
    found = place.find_file(directory)
    if found is None:
        return
    root = found.resolve().parent
    for name in NAMES:
        _path(root, name)
    try:
        others = sorted(set(os.listdir(_directory(root))) - set(NAMES))
    except OSError:
        return
    for each in others:
        near = nearest(each.partition(".")[0].replace("_", "-"), NAMES)
        if near is not None and not each.endswith((".sample", "~")):
            progress.say(f"note: {place.shown(_directory(root) / each)} isn't run: a hook is called {near}")


def _directory(root: Path) -> Path:
    return root / ".homeport" / "hooks"


def _path(root: Path, name: str) -> Path | None:
    """The hook's file; None: there is none. Raises `Invalid`."""
    path = _directory(root) / name
    if not os.path.lexists(path):
        return None
    if not path.is_file():
        raise Invalid(f"the hook {place.shown(path)} isn't a file")
    if not os.access(path, os.X_OK):
        raise Invalid(f"the hook {place.shown(path)} isn't executable", hint=f"chmod +x {place.shown(path)}")
    return path
