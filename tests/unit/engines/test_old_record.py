"""What earlier Homeports wrote into the engine's state is still understood."""

from pathlib import Path

from msgspec import Struct

from homeport.engines.local.record import ASKED, Records
from homeport.model.asked import Asked, GroupAsked
from homeport.stores.state import State


class GroupSize(Struct):
    """As it was when sizes were all that people could ask for."""

    app: str
    group: str
    desired: int
    scaled: bool


def test_sizes_of_before(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    state.put(ASKED, "shop/staging", "shop/web", GroupSize("shop", "web", 4, scaled=True))
    records = Records(state)
    said = GroupAsked(app="shop", group="web", desired=4)
    assert records.asked("shop/staging") == Asked(groups=(said,))
    records.keep_asked("shop/staging", GroupAsked(app="shop", group="web"))
    assert records.asked("shop/staging") == Asked()
    state.close()
