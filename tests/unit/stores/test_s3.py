"""What only a store over the network knows: no bucket, no right, no answer; and an answer that got lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from homeport.errors import Conflict, Invalid, NotAllowed, NotFound, Unavailable
from homeport.stores import s3
from homeport.stores.objects import open_store
from homeport.stores.s3 import S3Objects
from tests.bucket import Answer, Bucket, between, said


def test_a_bucket_that_is_gone_is_not_an_empty_store(bucket: Bucket, tmp_path: Path) -> None:
    store = S3Objects(bucket.url("pre/fix"))
    store.create("a/b", b"x")
    (tmp_path / "large").write_bytes(bytes(17_000_000))
    calls: list[Callable[[], Any]] = [
        lambda: store.get("a/b"),
        lambda: store.get_to("a/b", tmp_path / "out"),
        lambda: store.list("a/"),
        lambda: store.size("a/b"),
        lambda: store.create("a/c", b"y"),
        lambda: store.create_from("a/d", tmp_path / "large"),
        lambda: store.delete("a/b"),
        lambda: store.check_conditions(),
    ]
    with bucket.gone():
        for call in calls:
            with pytest.raises(Unavailable, match=f"there is no bucket {bucket.name}") as caught:
                call()
            assert bucket.url("pre/fix") in caught.value.message
            assert (caught.value.hint or "").startswith(f"aws s3 mb s3://{bucket.name} ")
            assert caught.value.retry_after is None
    assert store.get("a/b") == b"x"
    assert bucket.keys() == ["pre/fix/a/b"]


@pytest.mark.parametrize(
    ("status", "code", "expected", "again"),
    [
        (403, "AccessDenied", r"access denied \(credentials: AWS_ACCESS_KEY_ID in the environment\)", False),
        (403, "SignatureDoesNotMatch", "the credentials are wrong", False),
        (400, "ExpiredToken", "the credentials have expired", False),
        (301, "PermanentRedirect", "is in another region", False),
        (403, "RequestTimeTooSkewed", "this machine's clock is wrong", False),
        (503, "SlowDown", "it wants fewer requests", True),
        (500, "InternalError", r"it answered 500 \(InternalError\)", True),
    ],
)
def test_what_s3_answers_becomes_one_clear_error(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, status: int, code: str, expected: str, again: bool
) -> None:
    monkeypatch.setattr(s3, "HURRIED", timedelta(seconds=0.2))
    monkeypatch.setattr(s3, "HURRIED_ANSWER", s3.ANSWER)
    with between(bucket, lambda method, path, ask: said(status, code)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = S3Objects(bucket.url(), hurried=True)
        for call in (lambda: store.get("a"), lambda: store.list("a/"), lambda: store.create("a", b"")):
            with pytest.raises((Unavailable, NotAllowed), match=expected) as caught:
                call()
            assert (getattr(caught.value, "retry_after", None) is not None) == again
            assert caught.value.hint
            assert "secret-of-the-bucket" not in repr(caught.value.details) + caught.value.message


def test_a_write_that_is_refused_is_not_allowed_and_a_read_not_available(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who may only look goes on looking; to who needs what can't be read, there is no store."""
    with between(bucket, lambda method, path, ask: said(403, "AccessDenied")) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = S3Objects(bucket.url(), hurried=True)
        path = tmp_path / "file"
        path.write_bytes(b"x")
        for write in (lambda: store.create("a", b""), lambda: store.create_from("a", path), lambda: store.delete("a")):
            with pytest.raises(NotAllowed, match="access denied") as caught:
                write()
            assert bucket.name in (caught.value.hint or "")
        for read in (lambda: store.get("a"), lambda: store.list("a/"), lambda: store.size("a")):
            with pytest.raises(Unavailable, match="access denied"):
                read()


def test_what_passes_is_tried_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    times: dict[str, int] = {}

    def twice_busy(method: str, path: str, ask: Callable[[], Answer]) -> Answer | None:
        times[method] = times.get(method, 0) + 1
        return said(503, "SlowDown") if times[method] <= 2 else ask()

    with between(bucket, twice_busy) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = S3Objects(bucket.url())
        store.create("a/b", b"x")
        assert store.list("a/") == ["a/b"]
    assert times["PUT"] == 3


def test_an_answer_that_got_lost_is_no_conflict(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object was written, nobody said so: the second attempt is refused by the first."""
    puts: list[int] = []

    def lost(method: str, path: str, ask: Callable[[], Answer]) -> Answer | None:
        answer = ask()
        if method != "PUT":
            return answer
        puts.append(answer[0])
        return None if len(puts) == 1 else answer

    with between(bucket, lost) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = S3Objects(bucket.url())
        store.create("a/b", b"x")
        assert puts == [200, 412]
        with pytest.raises(Conflict):
            store.create("a/b", b"x")


def test_a_server_that_says_nothing(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "HURRIED_ANSWER", timedelta(seconds=0.5))
    store = S3Objects(bucket.url(), hurried=True)
    with bucket.silent():
        with pytest.raises(Unavailable, match="it doesn't answer") as caught:
            store.get("a/b")
    assert caught.value.retry_after is not None
    with pytest.raises(NotFound):  # however long it takes to come round
        S3Objects(bucket.url()).get("a/b")


def test_a_store_that_overwrites_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    S3Objects(bucket.url()).check_conditions()
    assert bucket.keys() == []
    with between(bucket, lambda method, path, ask: ask(), strip=("if-none-match",)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(Invalid, match="it overwrites what exists") as caught:
            S3Objects(bucket.url()).check_conditions()
    assert "conditional writes" in (caught.value.hint or "")
    assert bucket.keys() == []


@pytest.mark.parametrize("point", ["bucket.copy:before", "bucket.copy:after"])
def test_killed_during_a_large_upload(bucket: Bucket, tmp_path: Path, point: str) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(17_000_000))
    script = (
        "import sys; from pathlib import Path; from homeport.stores.objects import open_store;"
        "open_store(sys.argv[1]).create_from('a/b', Path(sys.argv[2]))"
    )
    environment = {**os.environ, "HOMEPORT_CRASH": point}
    done = subprocess.run((sys.executable, "-c", script, bucket.url(), str(path)), env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    store = open_store(bucket.url())
    there = point == "bucket.copy:after"
    assert store.list("") == (["a/b"] if there else [])
    try:
        store.create_from("a/b", path)
    except Conflict:
        assert there
    assert store.get("a/b") == path.read_bytes()


# --- how it is reached ------------------------------------------------------------------------------------------------


@pytest.fixture
def files(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Writes the two files of AWS's programs; nothing is in the environment."""
    for name in bucket.environment:
        monkeypatch.delenv(name)
    paths = {"AWS_SHARED_CREDENTIALS_FILE": tmp_path / "credentials", "AWS_CONFIG_FILE": tmp_path / "config"}
    for name, path in paths.items():
        monkeypatch.setenv(name, str(path))

    def write(credentials: str, config: str) -> None:
        for path, text in zip(paths.values(), (credentials, config), strict=True):
            path.write_text(text)

    return write


KEYS = "aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret-of-the-bucket\n"


def test_a_profile(bucket: Bucket, files: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    config = f"[profile shop]\nregion = eu-west-1\nendpoint_url = {bucket.server.url}\n"
    files(f"[shop]\n{KEYS}", config)
    monkeypatch.setenv("AWS_PROFILE", "shop")
    store = S3Objects(bucket.url())
    store.create("a", b"x")
    assert store.get("a") == b"x"
    # an instance's role, a web identity and the like aren't asked where a profile is named
    files("", config)
    with pytest.raises(Invalid, match="AWS profile 'shop' has no keys of its own") as caught:
        S3Objects(bucket.url())
    assert "export-credentials --profile shop" in (caught.value.hint or "")
    monkeypatch.setenv("AWS_PROFILE", "other")
    with pytest.raises(Invalid, match="no AWS profile 'other'"):
        S3Objects(bucket.url())


def test_the_default_profile_needs_no_name(bucket: Bucket, files: Callable[[str, str], None]) -> None:
    files(f"[default]\n{KEYS}", f"[default]\nregion = eu-west-1\nendpoint_url = {bucket.server.url}\n")
    assert S3Objects(bucket.url()).list("") == []


def test_a_file_that_is_none(bucket: Bucket, files: Callable[[str, str], None]) -> None:
    files("aws_secret_access_key = very-secret\n", "")
    with pytest.raises(Invalid, match=r"can't read .*credentials") as caught:
        S3Objects(bucket.url())
    assert "very-secret" not in str(caught.value)


def test_the_role_of_an_instance(
    bucket: Bucket, files: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto answers at the paths of an instance's metadata, too."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.server.url)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", bucket.server.url)
    store = S3Objects(bucket.url())
    store.create("a", b"x")
    assert store.get("a") == b"x"
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(s3, "HURRIED", timedelta(0))
    with pytest.raises(Unavailable, match="there are no credentials"):
        S3Objects(bucket.url(), hurried=True).get("a")


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "s3://bucket/a//b", "s3://bucket?x=1", "s3://me@bucket/x"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(Invalid, match="expected s3://bucket"):
        open_store(url)
