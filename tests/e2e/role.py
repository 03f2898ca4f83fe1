"""Runs parts of a test as root, with a uid for the sandbox, and as an ordinary user, each in its own directory."""

import os
import pickle
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = os.getuid() == 0
ROLES = ("root", "user") if ROOT else ("user",)
USER = 61999
SANDBOX_UID = 70999

T = TypeVar("T")
R = TypeVar("R")


class Role:
    """`uid`: what a `SandboxSpec` says; `inside`: what that comes to."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.uid = SANDBOX_UID if name == "root" else None
        self.inside = SANDBOX_UID if name == "root" else (USER if ROOT else os.getuid())

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns, run with this role's rights; its failure is raised here."""
        if self.name == "root" or not ROOT:
            return function(*arguments)
        return as_uid(USER, function, *arguments)

    def call_as_inside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The control of an experiment: unsandboxed, with the uid that the sandbox has."""
        return as_uid(self.inside, function, *arguments) if ROOT else function(*arguments)


def as_uid(uid: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """In a child, so that rights that were given up come back."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            if uid != os.getuid():
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            result = (True, function(*arguments))
        except BaseException:
            result = (False, traceback.format_exc())
        try:
            with open(write, "wb") as pipe:
                pickle.dump(result, pipe)
        finally:
            os._exit(0)  # whatever happened: it isn't the one who runs the tests
    os.close(write)
    with open(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    fine, value = pickle.loads(data)
    assert fine, value
    return value


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> Iterator[Role]:
    # Not pytest's own directory: only its owner may look into that.
    directory = Path(tempfile.mkdtemp(prefix="homeport-test-"))
    directory.chmod(0o711)
    made = Role(request.param, directory / "own")
    made.directory.mkdir(mode=0o700)
    if ROOT and made.name == "user":
        os.chown(made.directory, USER, USER)
    try:
        yield made
    finally:
        shutil.rmtree(directory)


def until_enough(limits: Iterable[T], attempt: Callable[[T], R], enough: Callable[[R], object]) -> R:
    """What the attempt gave with the first limit that was enough, or with the last. For what ends by time: how long a
    busy machine needs to get as far as is told of, nobody knows."""
    for limit in limits:
        found = attempt(limit)
        if enough(found):
            break
    return found


def wait_for(condition: Callable[[], Any], what: str, limit_seconds: float = 30) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + limit_seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {limit_seconds} s: {what}"
        time.sleep(0.005)
    return value
