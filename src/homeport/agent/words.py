"""What the processes of a server wrote, as text or as JSON, as much as there is room for. Called by `agent.main`."""

from datetime import UTC, datetime

import msgspec

from homeport.errors import Invalid
from homeport.instance import log
from homeport.ports.engine import LogLine, LogQuery
from homeport.system.home import Home


def lines_of(
    home: Home, *, last: int, since: str | None, process: str, pattern: str, most: int | None, json: bool
) -> list[str]:
    """Oldest first; of what would be more than `most` bytes, the newest. Raises `Invalid`."""
    query = LogQuery(process=process, since_at=_moment(since), pattern=pattern, last=last)
    found = [_text(each, json=json) for each in log.read(home.logs, query)]
    if most is None:
        return found
    room = most
    kept: list[str] = []
    for line in reversed(found):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]


def _text(line: LogLine, *, json: bool) -> str:
    if json:
        return msgspec.json.encode(line).decode()
    return f"{line.at:%Y-%m-%d %H:%M:%S} {line.process} | {line.text}"


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"--since {text}: expected a moment such as 2026-01-31T12:00:00+00:00") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
