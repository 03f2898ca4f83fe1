"""The tests behind a canary's verdict: how often they refuse what is as good, and what they see of what is worse."""

import random

import pytest

from homeport.model.canary import Answers
from homeport.plan.canary import BUCKETS, bucket, compare, more_errors, slower, tally, weights

ROUNDS = 1000
ALPHA = 0.05


def sample(chance: random.Random, count: int, *, errors: float = 0.0, times: float = 1.0) -> Answers:
    """Response times as services have them: log-normal, some 20 ms."""
    return tally((chance.random() < errors, round(20 * times * chance.lognormvariate(0, 0.6))) for _ in range(count))


def refused(
    new: int, old: int, *, rounds: int = ROUNDS, errors: float, worse: float = 0.0, times: float = 1.0
) -> float:
    chance = random.Random(f"{new} {old} {errors} {worse} {times}")
    found = 0
    for _ in range(rounds):
        before = sample(chance, old, errors=errors)
        after = sample(chance, new, errors=errors + worse, times=times)
        found += bool(compare(before, after, alpha=ALPHA, least=10).worse)
    return found / rounds


@pytest.mark.parametrize(("new", "old", "errors"), [(50, 50, 0.05), (50, 950, 0.02), (30, 200, 0.3)])
def test_what_is_as_good_is_refused_no_oftener_than_stated(new: int, old: int, errors: float) -> None:
    """Two tests, each at ALPHA; two standard deviations of the simulation beside."""
    margin = 2 * (ALPHA / ROUNDS) ** 0.5
    assert refused(new, old, errors=errors) <= 2 * ALPHA + margin


def test_fisher_keeps_its_level() -> None:
    chance = random.Random(1)
    found = 0
    for _ in range(ROUNDS):
        old, new = (sample(chance, count, errors=0.1) for count in (200, 60))
        found += more_errors(old, new) < ALPHA
    assert found / ROUNDS <= ALPHA + 0.01


def test_the_rank_test_is_exact_enough_at_its_own_border() -> None:
    """New times that are the old ones one bucket longer: refused as often as stated, not only at most."""
    chance = random.Random(7)
    found = 0
    for _ in range(ROUNDS):
        old, new = sample(chance, 200), sample(chance, 100)
        found += slower(old, Answers(requests=100, times=(0, *new.times[:-1]))) < ALPHA
    assert 0.03 <= found / ROUNDS <= 0.07


@pytest.mark.parametrize(
    ("worse", "times", "least"), [(0.5, 1.0, 0.99), (0.2, 1.0, 0.9), (0.0, 2.0, 0.99), (0.0, 1.0, 0.0)]
)
def test_what_is_worse_is_seen(worse: float, times: float, least: float) -> None:
    assert refused(60, 500, rounds=300, errors=0.01, worse=worse, times=times) >= least


def test_fisher_against_known_values() -> None:
    """R: fisher.test(matrix(c(8, 2, 1, 5), 2), alternative = "greater") is 0.02448; the lady tasting tea, 0.01429."""
    assert more_errors(Answers(requests=6, errors=1), Answers(requests=10, errors=8)) == pytest.approx(
        0.02448, abs=1e-4
    )
    assert more_errors(Answers(requests=4, errors=0), Answers(requests=4, errors=4)) == pytest.approx(1 / 70)
    assert more_errors(Answers(requests=100), Answers(requests=100)) == 1


def test_too_little_is_never_a_pass() -> None:
    none, plenty = Answers(), tally((False, 10) for _ in range(100))
    assert "0 requests to the new release" in compare(plenty, none, alpha=ALPHA, least=50).few
    assert "0 requests to the old release" in compare(none, plenty, alpha=ALPHA, least=50).few
    assert compare(plenty, plenty, alpha=ALPHA, least=50).few == ""
    broken = tally((True, 0) for _ in range(20))
    assert compare(plenty, broken, alpha=0.0001, least=50).worse.startswith("100% of its requests fail, 0%")


def test_what_is_worse_by_next_to_nothing_is_no_reason() -> None:
    old = Answers(requests=10_000_000, errors=10_000)
    assert more_errors(old, Answers(requests=10_000_000, errors=12_000)) < 1e-9
    assert not compare(old, Answers(requests=10_000_000, errors=12_000), alpha=0.001, least=50).worse


def test_buckets_rise() -> None:
    found = [bucket(each) for each in range(100_000)]
    assert found == sorted(found)
    assert (found[0], found[5], found[10], found[20]) == (0, 5, 9, 13)
    assert bucket(10**9) == BUCKETS - 1


@pytest.mark.parametrize(
    ("percent", "new", "old", "off"),
    [(5, 2, 2, 0.1), (1, 1, 1, 0.1), (50, 3, 3, 0), (25, 2, 6, 0), (10, 10, 2, 0.1), (99, 1, 3, 0.3), (1, 10, 1, 3)],
)
def test_weights_come_near(percent: int, new: int, old: int, off: float) -> None:
    each, other = weights(percent, new, old)
    assert {1 <= each <= 256, 1 <= other <= 256} == {True}
    assert abs(100 * each * new / (each * new + other * old) - percent) <= off


def test_weights_without_one_of_both() -> None:
    assert weights(5, 0, 3)[1] == weights(5, 3, 0)[0]
