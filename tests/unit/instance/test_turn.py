"""The scripts that begin and end a process in its turn, as text. What they do: tests/e2e/test_order.py."""

import fnmatch
from datetime import timedelta

import pytest

from homeport.instance.turn import Place, Turns, turn_files, turns_of
from homeport.model.platform import Group, ProcessType

PLACE = Place(directory="/app", service_directory="/run/service", chpst="", exact="", hosts=("127.0.0.1",))


def files(name: str, processes: dict[str, str], **turns: object) -> dict[str, str]:
    ports = {each: 20000 + number for number, each in enumerate(processes)}
    found = turn_files(name, processes, ports, Turns(**turns), PLACE, stopping="stopping")  # type: ignore[arg-type]
    return {path.partition("/")[2]: text for path, (text, _) in found.items()}


def test_what_has_no_order_has_one_script() -> None:
    types = {"web": ProcessType(after=("elsewhere",))}
    assert [*files("web", {"web": "serve", "worker": "work"}, types=types)] == ["control/t"]


@pytest.mark.parametrize(
    ("command", "serving", "settle_us"),
    [
        ("keep --port $PORT", None, ""),
        ('keep "${PORT:-80}"', None, ""),
        ("keep", "cache", ""),
        ("keep", "web", "1500000"),
        ("keep $PORTS ${PORT_OF_CALL}", None, "1500000"),
    ],
)
def test_up_is_what_listens_or_has_settled(command: str, serving: str | None, settle_us: str) -> None:
    types = {"web": ProcessType(after=("cache",))}
    settle = timedelta(seconds=1.5)
    found = files("web", {"web": "serve", "cache": command}, types=types, settle=settle, serving=serving)
    assert found["turn"].splitlines()[-1] == f"up cache 20001 '{settle_us}'"


@pytest.mark.parametrize(
    ("name", "caught", "not_caught"),
    [("TERM", "0000000000004000", "0000000000003fff"), ("QUIT", "0000000000010006", "0000000000010002")],
)
def test_a_shell_with_a_trap_for_the_signal_is_told_by_its_digits(name: str, caught: str, not_caught: str) -> None:
    script = files("web", {"web": "x"}, types={"web": ProcessType(stop_signal=name)})["control/t"]  # type: ignore[arg-type]
    pattern = script.partition("case $caught in ")[2].partition(")")[0]
    assert fnmatch.fnmatch(caught, pattern)
    assert not fnmatch.fnmatch(not_caught, pattern)


def test_who_gets_requests() -> None:
    assert turns_of(Group(name="a", run=("x", "web"), balanced=True), {}).serving == "web"
    assert turns_of(Group(name="a", run=("x", "y"), balanced=True), {}).serving == "x"
    assert turns_of(Group(name="a", run=("x", "web")), {}).serving is None
