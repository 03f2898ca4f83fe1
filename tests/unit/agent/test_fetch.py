"""What a server's `boot` brings: the launch pointer of its group, else the last good release."""

from pathlib import Path

import pytest

from homeport.agent.fetch import newest
from homeport.errors import Invalid, NotFound
from homeport.plan.instance_file import InstanceFile
from homeport.plan.release import LaunchPointer, Pointer, current_prefix, launch_prefix
from homeport.releases.publish import encode
from homeport.stores.objects import open_store

KEY = "00000001-00000001"
LATER = "00000001-00000002"


class Shop:
    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.place = directory
        self.store = open_store(str(directory))

    def good(self, number: int) -> None:
        self.store.create(f"{current_prefix('shop', 'production')}{KEY}", encode(Pointer(release=number)))

    def launch(self, group: str, number: int | None, key: str = KEY) -> None:
        self.store.create(f"{launch_prefix('shop', 'production', group)}{key}", encode(LaunchPointer(release=number)))

    def newest(self, **said: str) -> int:
        given = {"store": str(self.place), "app": "shop", "environment": "production"} | said
        found = newest(InstanceFile(**given))  # type: ignore[arg-type]
        assert (found.store, found.app, found.environment) == (str(self.place), "shop", "production")
        return found.number


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "store")


def test_the_last_good_release_where_no_pointer_is(shop: Shop) -> None:
    shop.good(3)
    assert shop.newest() == 3
    shop.launch("web", 5)
    assert shop.newest(group="jobs") == 3


def test_the_pointer_of_the_group_goes_before(shop: Shop) -> None:
    shop.good(3)
    shop.launch("web", 5)
    shop.launch("jobs", 4)
    assert (shop.newest(group="web"), shop.newest(group="jobs"), shop.newest()) == (5, 4, 5)
    shop.launch("web", 2, LATER)
    assert shop.newest(group="web") == 2


def test_a_pointer_to_nothing(shop: Shop) -> None:
    shop.launch("web", None)
    with pytest.raises(NotFound, match="no release is good yet"):
        shop.newest(group="web")
    shop.good(1)
    assert shop.newest(group="web") == 1


def test_a_name_that_is_nearly_right(shop: Shop) -> None:
    shop.launch("web", 1)
    with pytest.raises(NotFound, match='did you mean "production"'):
        shop.newest(environment="productoin")
    with pytest.raises(NotFound, match='did you mean "shop"'):
        shop.newest(app="shob")


@pytest.mark.parametrize("key", ["store", "app", "environment"])
def test_a_server_that_nobody_told_what_it_is(key: str, shop: Shop) -> None:
    said = {"store": str(shop.place), "app": "shop", "environment": "production"}
    del said[key]
    with pytest.raises(Invalid, match=key) as raised:
        newest(InstanceFile(**said))  # type: ignore[arg-type]
    assert raised.value.hint is not None
    assert f"HOMEPORT_{key.upper()}" in raised.value.hint
