"""AWS as moto plays it: one server for all, as new for each test, and a failure for whatever it couldn't do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeport.engines.aws.cloud import AwsCloud
from tests.watched import Watched


@pytest.fixture(scope="session")
def _watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    found = Watched(tmp_path_factory.mktemp("moto") / "log")
    yield found
    found.stop()


@pytest.fixture
def server(_watched: Watched) -> Iterator[Watched]:
    _watched.reset()
    yield _watched
    assert not _watched.complaints, f"moto couldn't: {dict(_watched.complaints)}"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Says where AWS is; nothing of the machine's own settings counts."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return lambda url: monkeypatch.setenv("AWS_ENDPOINT_URL", url)


@pytest.fixture
def cloud(server: Watched, keys: Callable[[str], None]) -> AwsCloud:
    keys(server.url)
    return AwsCloud()
