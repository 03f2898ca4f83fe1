"""Whether a canary does worse than what it stands beside, by the answers of the same minutes. Pure.

Two tests per look, one-sided: of the share of errors, Fisher's exact test; of response times, the Wilcoxon-Mann-Whitney
rank test, with ties, against the old ones' times made a fifth longer (1 ms at least). A whole deployment tests often
(steps × looks × groups × 2), so each test gets its part of `FALSE_ALARMS` (Bonferroni): a release that is as good as
the old one is refused at most so often. Requests are taken as independent.

Called by `plan.canary_step`; engines sort times by `bucket`.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate, zip_longest

from msgspec import Struct

from homeport.model.canary import Answers

FALSE_ALARMS = 0.01
LOOKS = 4
"""So many in each step, after equal parts of its pause."""

LEAST_MORE_ERRORS = 0.001
"""A share of errors that is higher by less is no reason, however sure."""

_EXACT_MS = 5
_PER_OCTAVE = 4
BUCKETS = 84


def bucket(milliseconds: int) -> int:
    """Where a response time belongs: below 5 ms exactly, then four to an octave; the last is open. One bucket more is a
    fifth more, or 1 ms."""
    if milliseconds <= _EXACT_MS:
        return max(0, milliseconds)
    return min(BUCKETS - 1, _EXACT_MS + math.floor(_PER_OCTAVE * math.log2(milliseconds / _EXACT_MS)))


def tally(answers: Iterable[tuple[bool, int]]) -> Answers:
    """From (whether it was an error, response time in ms) of each request."""
    requests = errors = 0
    times = [0] * BUCKETS
    for error, milliseconds in answers:
        requests += 1
        if error:
            errors += 1
        else:
            times[bucket(milliseconds)] += 1
    return Answers(requests=requests, errors=errors, times=tuple(times))


class Finding(Struct, frozen=True, kw_only=True):
    """`worse`: in words, how the new release does worse; empty: it doesn't, as far as is known. `few`: in words, why
    that isn't known; empty: there was enough to see."""

    worse: str = ""
    few: str = ""


def compare(old: Answers, new: Answers, *, alpha: float, least: int) -> Finding:
    """`alpha`: how probable each of the two tests may find worse what isn't. `least`: requests of each that it takes to
    pass; what is worse beyond doubt is so with fewer."""
    if (new.requests and _share(new) - _share(old) >= LEAST_MORE_ERRORS) and more_errors(old, new) < alpha:
        said = f"{_percent(new)} of its requests fail, {_percent(old)} of the old release's"
        return Finding(worse=f"{said} ({new.errors} of {new.requests}, {old.errors} of {old.requests})")
    if slower(old, new) < alpha:
        said = f"its answers take {_median(new)} ms, those of the old release {_median(old)} ms (medians"
        return Finding(worse=f"{said} of {sum(new.times)} and {sum(old.times)})")
    for which, answers in (("new", new), ("old", old)):
        if answers.requests < least:
            return Finding(few=f"{answers.requests} requests to the {which} release, expected {least} at least")
    return Finding()


def more_errors(old: Answers, new: Answers) -> float:
    """Fisher's exact test, one-sided: how probable so many errors of the new, or more, are if both fail alike."""
    every, failed, drawn = old.requests + new.requests, old.errors + new.errors, new.requests
    most = min(failed, drawn)
    terms = [
        _log_choose(failed, k) + _log_choose(every - failed, drawn - k) - _log_choose(every, drawn)
        for k in range(new.errors, most + 1)
        if drawn - k <= every - failed
    ]
    if not terms:
        return 1.0
    top = max(terms)
    return min(1.0, math.exp(top) * math.fsum(math.exp(each - top) for each in terms))


def slower(old: Answers, new: Answers) -> float:
    """The rank test's one-sided p, by its normal approximation with ties and continuity corrected: how probable such
    times of the new are, if they are those of the old, a bucket longer."""
    pairs = list(zip_longest((0, *old.times), new.times, fillvalue=0))
    before, after = sum(each for each, _ in pairs), sum(each for _, each in pairs)
    if before == 0 or after == 0:
        return 1.0
    wins, below = 0.0, 0
    for one, other in pairs:
        wins += other * (below + one / 2)
        below += one
    every = before + after
    ties = sum(t**3 - t for t in (one + other for one, other in pairs))
    variance = before * after / 12 * (every + 1 - ties / (every * (every - 1)))
    if variance <= 0:
        return 1.0
    z = (wins - before * after / 2 - 0.5) / math.sqrt(variance)
    return 0.5 * math.erfc(z / math.sqrt(2))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _share(answers: Answers) -> float:
    return answers.errors / answers.requests if answers.requests else 0.0


def _percent(answers: Answers) -> str:
    return f"{100 * _share(answers):.3g}%"


def percentile(answers: Answers, percent: int) -> float:
    """The time within which so many percent of the answers came, in ms: the shortest of its bucket; 0: of none."""
    part = sum(answers.times) * percent / 100
    found = next((number for number, total in enumerate(accumulate(answers.times)) if total >= part), 0)
    return _least(found)


def _median(answers: Answers) -> str:
    return f"{percentile(answers, 50):.3g}"


def _least(number: int) -> float:
    """The shortest time of a bucket, in ms."""
    return number if number <= _EXACT_MS else _EXACT_MS * 2 ** ((number - _EXACT_MS) / _PER_OCTAVE)


def weights(percent: int, new: int, old: int, *, most: int = 256) -> tuple[int, int]:
    """Weights of each new and each old target, 1 to `most`, that come nearest to `percent` of the requests for all the
    new ones together."""
    if new == 0 or old == 0:
        return (most, most)
    choices: Sequence[tuple[int, int]] = [
        pair
        for weight in range(1, most + 1)
        for pair in (
            (weight, _clamp(weight * new * (100 - percent) / (percent * old), most)),
            (_clamp(weight * old * percent / ((100 - percent) * new), most), weight),
        )
    ]
    return min(choices, key=lambda pair: (abs(pair[0] * new / (pair[0] * new + pair[1] * old) - percent / 100), pair))


def _clamp(weight: float, most: int) -> int:
    return max(1, min(most, round(weight)))
