"""examples/chat: Node, and WebSockets that live on while a new release takes over."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.app_repository import commit, make_repository, replaced
from tests.e2e.person import Person
from tests.e2e.role import wait_for


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    found = Person(make_repository("chat", tmp_path), tmp_path / "home")
    try:
        yield found
    finally:
        found.leave()


def enter(person: Person) -> ClientConnection:
    return connect(person.url().replace("http://", "ws://") + "/room", open_timeout=20, close_timeout=1)


def hear(client: ClientConnection, text: str) -> str:
    """The release that says the text again."""
    while True:
        message = json.loads(client.recv(timeout=20))
        if message.get("text") == text:
            return str(message["release"])


def release_of_newcomers(person: Person) -> str:
    with enter(person) as client:
        return str(json.loads(client.recv(timeout=20))["release"])


def test_who_is_in_the_room_stays_through_a_deploy(person: Person) -> None:
    assert "npm --no-audit --no-fund --no-update-notifier ci --omit=dev" in person("up")
    assert "<h1>Chat</h1>" in person.get("/")
    with enter(person) as ann, enter(person) as bob:
        ann.send("hello")
        assert hear(ann, "hello") == hear(bob, "hello") == "r1"

        commit(person.app, replaced(person.app, "public/index.html", "<h1>Chat</h1>", "<h1>Talk</h1>"))
        deploying = person.begin("deploy")
        try:
            wait_for(lambda: release_of_newcomers(person) == "r2", "a newcomer meets the new release", 60)
            ann.send("still here")
            assert hear(bob, "still here") == "r1"
        finally:
            bob.close()
            ann.close()
            said, _ = deploying.communicate(timeout=120)
    assert deploying.returncode == 0, said
    assert "dependencies: unchanged" in said
    assert "<h1>Talk</h1>" in person.get("/")

    # through npm: the server says goodbye, it isn't killed
    commit(person.app, replaced(person.app, "homeport.toml", 'drain = "30s"', 'drain = "1s"'))
    assert "r3 is good" in person("deploy")
    with enter(person) as cora:
        assert person("down", "--yes", "--purge")
        with pytest.raises(ConnectionClosed) as closed:
            hear(cora, "what nobody says")
    assert closed.value.rcvd
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "a new release is here")
