"""What an instance leaves in the store: its newest lines and its console, under a name of its own for each stop."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from homeport.agent import parting
from homeport.errors import Unavailable
from homeport.plan.instance_file import InstanceFile
from homeport.plan.last_words import LastWords, last_words_key, left_log_prefix
from homeport.ports.engine import LogLine
from homeport.stores.objects import open_store
from homeport.system.home import Home

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def said(store: Path) -> InstanceFile:
    return InstanceFile(store=str(store), app="shop", environment="production", instance="i-1", group="web")


def home(tmp_path: Path, lines: int) -> Home:
    found = Home(tmp_path / "home", tmp_path / "run")
    process = found.logs / "i-1" / "web"
    process.mkdir(parents=True)
    (process / "current").write_text("".join(f"2026-01-31T11:00:00.{n:05} line {n}\n" for n in range(lines)))
    return found


def test_lines_and_console_lie_in_the_store(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    console = tmp_path / "console"
    console.write_text("booting\n")
    for minute in range(2):
        parting.log(said(tmp_path / "store"), home(tmp_path / str(minute), 3), AT + timedelta(minutes=minute), console)
    store = open_store(str(tmp_path / "store"))
    first, second = sorted(store.list(left_log_prefix("shop", "production", "i-1")))
    lines = [msgspec.json.decode(each, type=LogLine) for each in store.get(first).splitlines()]
    assert [(each.process, each.text) for each in lines] == [
        ("console", "booting"),
        ("web", "line 0"),
        ("web", "line 1"),
        ("web", "line 2"),
    ]
    assert store.get(second) == store.get(first)


def test_the_newest_are_kept_where_there_is_no_room_for_all(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    parting.log(said(tmp_path / "store"), home(tmp_path, 15_000), AT, tmp_path / "nothing")
    store = open_store(str(tmp_path / "store"))
    (key,) = store.list(left_log_prefix("shop", "production", "i-1"))
    data = store.get(key)
    assert parting.MOST_BYTES * 0.99 < len(data) <= parting.MOST_BYTES
    assert msgspec.json.decode(data.splitlines()[-1], type=LogLine).text == "line 14999"


def test_why_it_never_got_ready_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    for message in ("first", "second"):
        parting.last_words(said(tmp_path / "store"), Unavailable(message, details=("a line",)), AT, 3)
    store = open_store(str(tmp_path / "store"))
    words = msgspec.json.decode(store.get(last_words_key("shop", "production", "i-1")), type=LastWords)
    assert (words.message, words.details, words.group, words.release) == ("first", ("a line",), "web", 3)


def test_nothing_is_left_by_who_has_no_store(tmp_path: Path) -> None:
    parting.log(InstanceFile(), home(tmp_path, 3), AT, tmp_path / "nothing")
    parting.last_words(InstanceFile(), Unavailable("why"), AT, None)
