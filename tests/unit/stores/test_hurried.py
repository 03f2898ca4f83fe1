"""Who didn't answer isn't asked again for a moment."""

from pathlib import Path

import pytest

from homeport.engines.memory.clock import VirtualClock
from homeport.errors import NotFound, Unavailable
from homeport.stores import s3
from homeport.stores.hurried import REST_SECONDS, HurriedObjects
from homeport.stores.objects import open_store
from homeport.stores.s3 import S3Objects
from tests.bucket import Bucket, between, said


def test_one_that_does_not_answer_rests(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    busy = True

    def front(method: str, path: str, ask: object) -> object:
        asked.append(method)
        return said(503, "SlowDown") if busy else said(404, "NoSuchKey")

    monkeypatch.setattr(s3, "HURRIED_ANSWER", s3.ANSWER)
    clock = VirtualClock()
    with between(bucket, front) as url:  # type: ignore[arg-type]
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = HurriedObjects(S3Objects(bucket.url(), hurried=True), clock)
        with pytest.raises(Unavailable):
            store.get("a")
        before = len(asked)
        for call in (lambda: store.get("a"), lambda: store.list("a/"), lambda: store.create("a", b"")):
            with pytest.raises(Unavailable, match="wants fewer requests"):
                call()
        assert len(asked) == before
        busy = False
        clock.advance(REST_SECONDS)
        for _ in range(2):
            with pytest.raises(NotFound):
                store.get("a")
    assert len(asked) == before + 2


def test_what_waiting_does_not_mend_is_asked_each_time(bucket: Bucket, tmp_path: Path) -> None:
    store = open_store(bucket.url(), hurried=True)
    with bucket.gone():
        with pytest.raises(Unavailable, match="there is no bucket"):
            store.list("a/")
    store.create("a/b", b"x")
    assert (store.place, store.get("a/b"), store.size("a/b"), store.list("a/")) == (bucket.url(), b"x", 1, ["a/b"])
    assert [each.key for each in store.entries("a/")] == ["a/b"]
    (tmp_path / "in").write_bytes(b"y")
    store.create_from("a/c", tmp_path / "in")
    store.get_to("a/c", tmp_path / "out")
    store.delete("a/b")
    assert store.list("a/") == ["a/c"]
