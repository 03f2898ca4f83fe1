"""What engine aws keeps in the store: seen by who comes next, fetched once, and nothing lost between two writers."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from homeport.engines.aws import diary
from homeport.engines.aws.diary import Diary
from homeport.engines.aws.kept import Kept, Memory
from homeport.engines.memory.clock import VirtualClock
from homeport.errors import NotFound
from homeport.model.event import Event
from homeport.model.platform import Place
from homeport.stores.fetched import SMALL_BYTES, FetchedObjects
from homeport.stores.objects import LocalObjects

PLACE = "plain/production"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Counted(LocalObjects):
    """Whose requests are counted."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, must_exist=False)
        self.asked: Counter[str] = Counter()

    def get(self, key: str) -> bytes:
        self.asked["get"] += 1
        return super().get(key)

    def create(self, key: str, data: bytes) -> None:
        self.asked["create"] += 1
        super().create(key, data)


@pytest.fixture
def store(tmp_path: Path) -> Counted:
    (tmp_path / "store").mkdir()
    return Counted(tmp_path / "store")


def memory(store: Counted) -> Memory:
    return Memory(store, PLACE, VirtualClock())


def with_fence(memory: Memory, app: str, fence: int) -> Kept:
    def changed(known: Kept | None) -> Kept:
        known = known or Kept(place=Place(platform="plain", name="production", engine="aws"), url="http://x")
        return replace(known, fences={**known.fences, app: fence})

    return memory.change(changed)


def test_what_is_kept_is_fetched_once(store: Counted) -> None:
    mine, other = memory(store), memory(store)
    with_fence(mine, "a", 1)
    for _ in range(3):
        assert other.read(anew=True) == mine.read(anew=True)
    assert store.asked == {"create": 1, "get": 1}
    with_fence(mine, "a", 1)
    assert store.asked["create"] == 1, "nothing new is nothing to write"


def test_nothing_is_lost_where_several_change_it(store: Counted) -> None:
    mine, other = memory(store), memory(store)
    for fence in range(1, 6):
        with_fence(mine, "a", fence)
        with_fence(mine, "b", fence)
        with_fence(other, "c", fence)  # which knows of neither yet
    found = mine.read(anew=True)
    assert found is not None
    assert found.fences == {"a": 5, "b": 5, "c": 5}
    assert len(store.list(f"_environments/{PLACE}/state/")) == 2


def test_an_environment_that_is_made_anew_is_another(store: Counted) -> None:
    mine, other = memory(store), memory(store)
    with_fence(mine, "a", 1)
    assert other.read() is not None
    mine.forget()
    assert other.read(anew=True) is None
    with_fence(mine, "b", 1)
    found = other.read(anew=True)
    assert found is not None
    assert found.fences == {"b": 1}


def event(subject: str) -> Event:
    return Event(at=NOW, environment=PLACE, kind="launch", subject=subject, message="it boots")


def test_a_diary_of_several_writers(store: Counted) -> None:
    mine, other = (Diary(store, PLACE, VirtualClock()) for _ in range(2))
    mine.record([event("a"), event("b"), event("c")])
    other.record([event("d")])
    mine.record([event("e"), event("f")])
    other.record([event("g")])
    found = other.events(0, 100)
    assert [(each.number, each.subject) for each in found] == list(enumerate("abcdefg", 1))
    for after in range(8):
        assert mine.events(after, 100) == found[after:], after
        assert mine.events(after, 2) == found[after : after + 2], after
    assert store.asked["create"] == 6, "two were refused, and looked again"


def test_a_diary_forgets_what_is_old(store: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diary, "KEPT_OBJECTS", 5)
    mine = Diary(store, PLACE, VirtualClock())
    for number in range(8):
        mine.record([event(str(number)), event("")])
    found = mine.events(0, 100)
    assert (len(found), found[0].subject, found[-1].number) == (10, "3", 16)


def test_a_small_object_is_fetched_once(store: Counted) -> None:
    fetched = FetchedObjects(store, again="again/")
    for key, size in (("a/1", 3), ("again/1", 3), ("a/large", SMALL_BYTES + 1)):
        store.create(key, b"x" * size)
        assert [len(fetched.get(key)) for _ in range(3)] == [size] * 3
    assert store.asked["get"] == 1 + 3 + 3
    fetched.create("a/2", b"own")
    assert (fetched.get("a/2"), store.asked["get"]) == (b"own", 7)
    fetched.delete("a/2")
    with pytest.raises(NotFound):
        fetched.get("a/2")
