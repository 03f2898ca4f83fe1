"""Guards around every test: no state of the user's is touched, and nothing is left running."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from homeport.system import process
from tests.bucket import Bucket, Server
from tests.e2e.role import wait_for

# A machine that is busy with other things is no fault of a property's.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time: a change is judged by what it does, and not by chance. For others: pytest
# --hypothesis-profile=search
settings.register_profile("same again", settings.get_profile("search"), derandomize=True)
settings.load_profile("same again")


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """HOMEPORT_HOME is a directory of this run until a test says otherwise; git reads nothing of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        for key in [each for each in os.environ if each.startswith(("HOMEPORT_", "AWS_"))]:
            patch.delenv(key)
        for name in ("config", "shared_credentials"):
            patch.setenv(f"AWS_{name.upper()}_FILE", str(tmp_path_factory.getbasetemp() / name))
        patch.setenv("HOMEPORT_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ada")
            patch.setenv(f"GIT_{role}_EMAIL", "ada@example.net")
        yield


@pytest.fixture(scope="session", autouse=True)
def _signals() -> None:
    """What a shell has its background jobs ignore, or nohup, is heeded by all that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(each) is signal.SIG_IGN:
            signal.signal(each, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def _nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end no process names a directory of this run, on its command line or as its working directory."""
    yield
    ours = os.fsencode(tmp_path_factory.getbasetemp())
    with suppress(AssertionError):  # what was told to end may be ending still
        wait_for(lambda: not _left(ours), "the end of all that tests have started")
    left = _left(ours)
    assert not left, "processes left by tests:\n" + "\n".join(left)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("s3") / "log")
    yield found
    found.stop()


@pytest.fixture
def bucket(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The variables that lead to it are set."""
    found = Bucket(s3_server)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found


def _left(directory: bytes) -> list[str]:
    # who started this run may name the directory too: --basetemp
    parents, ours = process.parents(), [os.getpid()]
    while (parent := parents.get(ours[-1], 0)) > 0:
        ours.append(parent)
    entries = (each for each in Path("/proc").glob("[0-9]*") if int(each.name) not in ours)
    return [found for each in entries if (found := _names(each, directory))]


def _names(entry: Path, directory: bytes) -> str | None:
    try:
        command = (entry / "cmdline").read_bytes()
        where = os.readlink(os.fsencode(entry / "cwd"))
    except OSError:
        return None  # gone meanwhile
    if directory not in command and not where.startswith(directory):
        return None
    return f"{entry.name}: {command.replace(bytes(1), b' ').decode(errors='replace')}"
