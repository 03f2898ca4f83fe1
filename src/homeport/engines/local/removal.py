"""Directories that go: put aside at once by a rename, removed in a thread of their own, since a big one takes its time
and the engine's loop has none. Used by `generation`, `engine`, `session_watch` and `remains`.

What a killed daemon had put aside and not yet removed bears a name of ours, and is found by the next one.
"""

import re
import secrets
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from homeport.system.effect import effect

_ASIDE = re.compile(r"\..+\.0-[0-9a-f]{12}\.part")
"""No process has the pid 0: nobody takes it for what is being unpacked just now (`instance.unpack`)."""


class Remover:
    """One thread, so that what serves keeps the disk to itself as far as may be."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="remover")

    def begin(self, path: Path) -> None:
        """From now on nothing is at `path`; how much there was says when the room is free again."""
        aside = put_aside(path)
        if aside is not None:
            self._thread.submit(remove_tree, aside)

    def resume(self, directories: Iterable[Path]) -> None:
        """What another daemon had put aside in these goes on going."""
        for directory in directories:
            for path in directory.glob(".*.part"):
                if _ASIDE.fullmatch(path.name):
                    self._thread.submit(remove_tree, path)

    def close(self) -> None:
        """All of it is gone."""
        self._thread.shutdown(wait=True)


@effect("removal.put_aside")
def put_aside(path: Path) -> Path | None:
    """Where it lies from now on: out of everybody's way. None: nothing was there. Where it can't be renamed, it lies
    where it lay."""
    aside = path.with_name(f".{path.name}.0-{secrets.token_hex(6)}.part")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return None
    except OSError:
        return path
    return aside


@effect("removal.remove")
def remove_tree(path: Path) -> None:
    """What can't be removed now goes another time."""
    shutil.rmtree(path, ignore_errors=True)
