"""The API's calls without a server: the control plane in the process of who asks. Engine: memory."""

from collections import deque
from pathlib import Path

import pytest

from homeport.cli.client import Client
from homeport.cli.door import ROUTES
from homeport.cli.follow import follow
from homeport.cli.output import Progress
from homeport.cli.scale import settle
from homeport.console.asking import Asking
from homeport.console.inside import READING, Inside
from homeport.console.queries import Queries
from homeport.errors import NotFound
from homeport.model.deployment import Verdict
from tests.unit.console.test_api import SHOP, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nobody drives but who asks."""
    return World(tmp_path)


def test_who_asks_for_a_change_carries_it_on(world: World) -> None:
    said = deque([("web-1", "it serves")])
    inside = Inside(world.control, said)
    client = Client(inside)
    try:
        number = client.deploy(SHOP, app="shop", release=world.release(), by="Ada", why="deploy")
        assert follow(client, SHOP, "shop", number, Progress(quiet=True)).verdict is Verdict.GOOD
        assert client.scale(SHOP, app="shop", group="web", count=3) == 3
        (app,) = client.status(SHOP).apps
        assert [(each.name, each.desired) for each in app.groups] == [("web", 3)]
        assert client.events(SHOP, limit=1)[0].number == client.events(SHOP)[-1].number
        with pytest.raises(NotFound, match="group"):
            client.scale(SHOP, app="shop", group="wbe", count=1)
        with pytest.raises(NotFound, match="no daemon"):
            client.daemon()
        assert client.heard() == [], "following has shown it"
        said.append(("web-2", "it serves"))
        settle(client, SHOP, {("shop", "web"): 3}, Progress(quiet=True), 60)
        assert client.heard() == [], "so does who waits for a size"
    finally:
        inside.end()


def test_every_call_through_a_socket_is_one_inside() -> None:
    answered = {each for answering in (Queries, Asking) for each in vars(answering) if not each.startswith("_")}
    assert set(ROUTES) - {"version"} == answered - {"settle"}, "a daemon has no other one beside it"
    assert answered > READING
