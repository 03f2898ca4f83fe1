"""The unit's text: golden, and whatever is odd in it is quoted."""

from pathlib import Path

import pytest
from msgspec import structs

from homeport.plan.unit import Unit, render, unit_name

GOLDEN = Path(__file__).parent / "golden"
UNIT = Unit(
    home="/var/lib/homeport",
    start=("/opt/homeport/bin/python3", "-m", "homeport", "engine", "boot"),
    stop=("/opt/homeport/bin/python3", "-m", "homeport", "engine", "stop"),
    environment={"PATH": "/usr/bin:/bin", "HOMEPORT_HOME": "/var/lib/homeport"},
    user=False,
)
ODD = structs.replace(UNIT, home='/a "b" 100%\\$x\n\udcff', start=("/usr/bin/env", "$HOME %n"), user=True)


@pytest.mark.parametrize(("name", "unit"), [("machine", UNIT), ("user", structs.replace(UNIT, user=True))])
def test_the_text_is_the_golden_one(name: str, unit: Unit) -> None:
    assert render(unit) == (GOLDEN / f"{name}.service").read_text()


def test_what_systemd_would_expand_comes_out_as_it_went_in() -> None:
    text = render(structs.replace(ODD, environment={"HOMEPORT_HOME": ODD.home}))
    assert 'Environment="HOMEPORT_HOME=/a \\"b\\" 100%%\\\\$x\\x0a\\xff"\n' in text
    assert 'ExecStart="/usr/bin/env" "$$HOME %%n"\n' in text
    assert 'Description=Homeport engine of /a "b" 100%%\\$x\\x0a\\xff\n' in text
    text.encode()  # systemd reads UTF-8 alone


def test_homes_of_one_machine_have_units_of_their_own() -> None:
    assert unit_name("0123456789") == "homeport-0123456789.service"
