"""Words to a deployment that another process drives."""

from datetime import UTC, datetime
from pathlib import Path

from homeport.control.word import Word, Words
from homeport.stores.objects import open_store

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_each_is_heard_once_in_order_by_whoever_drives(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    driver, others = Words(store, "shop", "production"), [Words(store, "shop", "production") for _ in range(2)]
    first, second = Word(said="continue", at=AT, by="ada"), Word(said="abort", at=AT, by="bob", why="it is ill")
    assert driver.hear(7) == []
    others[0].say(7, first)
    assert driver.hear(7) == [first]
    others[1].say(7, second)
    others[0].say(8, first)
    assert driver.hear(7) == [second]
    assert driver.hear(7) == []
    assert driver.hear(8) == [first]
    assert Words(store, "shop", "production").hear(7) == [first, second], "who takes over hears all of it"
