"""What an instance of an Auto Scaling group leaves in the store before it goes: then nobody can ask it. Called by
`agent.main`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from homeport.agent.words import lines_of
from homeport.errors import Conflict, HomeportError
from homeport.plan.instance_file import InstanceFile
from homeport.plan.last_words import LastWords, last_words_key, left_log_key
from homeport.ports.engine import LogLine
from homeport.stores.objects import open_store
from homeport.system.effect import effect
from homeport.system.home import Home

CONSOLE = Path("/var/log/cloud-init-output.log")
"""What came of the user data, where the image has cloud-init."""
MOST_BYTES, MOST_CONSOLE_BYTES = 1_000_000, 50_000
MOST_LINES = 20_000


def last_words(said: InstanceFile, error: HomeportError, at: datetime, release: int | None) -> None:
    """Why the instance isn't to be had lies in the store. Raises `Unavailable`."""
    if said.store is None or said.app is None or said.environment is None or said.instance is None:
        return
    words = LastWords(
        instance=said.instance,
        group=said.group or "",
        at=at,
        release=release,
        message=error.message,
        details=error.details,
    )
    _leave(
        open_store(said.store), last_words_key(said.app, said.environment, said.instance), msgspec.json.encode(words)
    )


def log(said: InstanceFile, home: Home, at: datetime, console: Path = CONSOLE) -> None:
    """The newest of what its processes wrote, and of its console, lies in the store. Raises `Unavailable`."""
    if said.store is None or said.app is None or said.environment is None or said.instance is None:
        return
    found = _console(console, said.instance)
    found += lines_of(home, last=MOST_LINES, since=None, process="", pattern="", most=MOST_BYTES, json=True)
    if found:
        key = left_log_key(said.app, said.environment, said.instance, at)
        _leave(open_store(said.store), key, "".join(f"{line}\n" for line in found).encode())


def _console(path: Path, instance: str) -> list[str]:
    try:
        data, at = path.read_bytes()[-MOST_CONSOLE_BYTES:], datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return []
    texts = data.decode(errors="replace").splitlines()
    lines = (LogLine(at=at, instance=instance, process="console", text=each) for each in texts)
    return [msgspec.json.encode(each).decode() for each in lines]


@effect("agent.leave_last_words")
def _leave(store: Any, key: str, data: bytes) -> None:
    try:
        store.create(key, data)
    except Conflict:  # it has said so before
        return
