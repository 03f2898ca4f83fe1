"""Secrets made comparable, with real encryption."""

from pathlib import Path

import msgspec

from homeport.model.release import ConfigValue, Snapshot
from homeport.model.secret import Secret
from homeport.plan.difference import config_difference
from homeport.releases.side import comparable
from homeport.stores.encryption import AgeEncryption


def test_secrets_are_compared_by_their_clear_texts(tmp_path: Path) -> None:
    ours, theirs = AgeEncryption(tmp_path / "ours"), AgeEncryption(tmp_path / "theirs")

    def snapshot(age: AgeEncryption, text: str) -> Snapshot:
        return Snapshot(groups={"web": {"KEY": ConfigValue(text=age.encrypt(Secret(text)), secret=True)}})

    one, again, other = snapshot(ours, "hunter2"), snapshot(ours, "hunter2"), snapshot(ours, "hunter3")
    foreign = snapshot(theirs, "hunter2")
    assert one != again, "age encrypts anew each time"
    assert config_difference(comparable(one, ours), comparable(again, ours)) == ()
    assert [each.kind for each in config_difference(comparable(one, ours), comparable(other, ours))] == ["changed"]
    assert [each.kind for each in config_difference(comparable(one, ours), comparable(foreign, ours))] == ["unknown"]
    assert config_difference(comparable(foreign, ours), comparable(foreign, ours)) == ()
    assert b"hunter" not in msgspec.json.encode(comparable(one, ours))


def test_clear_values_stay_clear() -> None:
    snapshot = Snapshot(groups={"web": {"A": ConfigValue(text="1", layer="config/common")}})
    again = Snapshot(groups={"web": {"A": ConfigValue(text="1", layer="config set #1")}})
    age = AgeEncryption(Path("/nowhere"))
    assert comparable(snapshot, age)["web"]["A"].text == "1"
    assert comparable(snapshot, age) == comparable(again, age), "where a value comes from doesn't count"
