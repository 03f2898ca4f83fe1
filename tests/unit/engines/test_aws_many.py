"""Many instances told by one call, some of which AWS doesn't know."""

from collections.abc import Sequence

import pytest

from homeport.engines.aws.many import refused
from homeport.errors import NotFound, Unavailable

INSTANCES = [f"i-{number}" for number in range(120)]
GONE = {"i-7", "i-60"}


class Told:
    def __init__(self) -> None:
        self.calls: list[int] = []
        self.heard: list[str] = []

    def __call__(self, chosen: Sequence[str]) -> None:
        self.calls.append(len(chosen))
        if gone := GONE.intersection(chosen):
            raise NotFound(f"no {gone}")
        self.heard += chosen


def test_all_that_are_there_hear_it_once_and_those_that_are_gone_are_known():
    told = Told()
    assert [each for each, _ in refused(INSTANCES, told)] == ["i-7", "i-60"]
    assert told.heard == [each for each in INSTANCES if each not in GONE]
    assert told.calls == [50, *[1] * 50, 50, *[1] * 50, 20]


def test_one_by_one_where_a_call_takes_no_more():
    told = Told()
    assert [each for each, _ in refused(INSTANCES[:9], told, at_once=1)] == ["i-7"]
    assert told.calls == [1] * 9


def test_what_else_goes_wrong_is_raised():
    def cut_off(chosen: Sequence[str]) -> None:
        raise Unavailable("no network")

    with pytest.raises(Unavailable):
        list(refused(INSTANCES, cut_off))
