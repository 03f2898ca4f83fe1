"""Numbers, names and rollback of releases, for any history."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from homeport.errors import Invalid, NotFound
from homeport.model.release import Release
from homeport.plan.release import (
    config_key,
    good_numbers,
    next_number,
    page_numbers,
    parse_number,
    release_key,
    release_numbers,
    rollback_target,
)
from homeport.testing.builder import release

numbers = some.sets(some.integers(1, 10_000), max_size=30)


@given(numbers)
def test_numbers_are_read_back_from_keys(given_numbers: set[int]) -> None:
    noise = ["shop/staging/r1/other", "shop/staging/r01/release.json", "shop/production/r99999/release.json"]
    keys = [release_key("shop", "staging", number) for number in given_numbers]
    assert release_numbers("shop", "staging", sorted([*keys, *noise])) == sorted(given_numbers)
    assert next_number(given_numbers) not in given_numbers
    assert next_number(given_numbers) > max(given_numbers, default=0)


@given(numbers)
def test_config_pages_list_in_the_order_of_their_numbers(given_numbers: set[int]) -> None:
    keys = sorted(config_key("shop", "staging", number) for number in given_numbers)
    assert page_numbers("shop", "staging", keys) == sorted(given_numbers)
    assert [int(key.rpartition("/")[2]) for key in keys] == sorted(given_numbers)


@given(some.lists(some.integers(1, 9)))
def test_good_numbers_are_each_there_once_in_the_order_of_their_last_verdicts(told: list[int]) -> None:
    good = good_numbers(told)
    assert sorted(good) == sorted(set(told))
    assert good[-1:] == told[-1:]
    last = {number: at for at, number in enumerate(told)}
    assert good == sorted(good, key=last.__getitem__)


@some.composite
def histories(draw: some.DrawFn) -> tuple[Release, list[Release]]:
    """(what runs, good ones): each release carries its own slug, or that of an earlier one."""
    count = draw(some.integers(1, 15))
    made = [release(n, origin=draw(some.one_of(some.just(n), some.integers(1, n)))) for n in range(1, count + 1)]
    good = draw(some.lists(some.sampled_from(made), unique_by=lambda each: each.number))
    return draw(some.sampled_from(made)), good


@given(histories())
def test_a_rollback_goes_to_the_newest_good_release_of_older_origin(history: tuple[Release, list[Release]]) -> None:
    running, good = history
    possible = [each for each in good if each.origin < running.origin]
    if not possible:
        with pytest.raises(NotFound, match=running.id):
            rollback_target(running, good)
        return
    target = rollback_target(running, good)
    assert target in possible
    assert all(each.number <= target.number for each in possible)


@given(histories())
def test_rolling_back_again_and_again_only_ever_goes_back_and_ends(history: tuple[Release, list[Release]]) -> None:
    running, good = history
    origins = [running.origin]
    number = max(each.number for each in [running, *good])
    while True:
        try:
            target = rollback_target(running, good)
        except NotFound:
            break
        # a rollback is itself a release, with the slug of its target, and soon a good one
        number += 1
        running = release(number, origin=target.origin)
        good = [*good, running]
        origins.append(running.origin)
    assert origins == sorted(set(origins), reverse=True)


@given(some.integers(1, 999_999_999))
def test_a_number_is_read_as_it_is_written(number: int) -> None:
    assert parse_number(number) == parse_number(str(number)) == parse_number(f"r{number}") == number


@pytest.mark.parametrize("text", ["", "r", "r0", "-1", "r1.5", "latest", "rr1", "r01", "r1\n"])
def test_what_is_no_number_of_a_release(text: str) -> None:
    with pytest.raises(Invalid, match="isn't a release"):
        parse_number(text)
