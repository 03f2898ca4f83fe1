"""What a server's processes wrote, as much as there is room for."""

from pathlib import Path

import msgspec
import pytest

from homeport.agent.words import lines_of
from homeport.errors import Invalid
from homeport.ports.engine import LogLine
from homeport.system.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = tmp_path / "logs" / "i-1" / "web"
    place.mkdir(parents=True)
    lines = (f"2026-01-02T03:04:{second:02d}.00000 line {second}" for second in range(30))
    (place / "current").write_text("\n".join(lines) + "\n")
    return Home(tmp_path, tmp_path)


def told(home: Home, *, last: int = 100, since: str | None = None, most: int | None = None) -> list[str]:
    lines = lines_of(home, last=last, since=since, process="", pattern="", most=most, json=True)
    return [msgspec.json.decode(each, type=LogLine).text for each in lines]


def test_the_newest_lines_come_last(home: Home) -> None:
    assert told(home, last=2) == ["line 28", "line 29"]
    assert told(home, since="2026-01-02T03:04:28") == ["line 28", "line 29"]


def test_what_is_too_much_loses_its_oldest(home: Home) -> None:
    whole = lines_of(home, last=100, since=None, process="", pattern="", most=None, json=True)
    room = sum(len(each) + 1 for each in whole[-3:])
    assert told(home, most=room) == ["line 27", "line 28", "line 29"]
    assert told(home, most=room - 1) == ["line 28", "line 29"]


def test_a_moment_that_is_none_is_refused(home: Home) -> None:
    with pytest.raises(Invalid, match="yesterday"):
        told(home, since="yesterday")
