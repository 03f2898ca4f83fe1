"""When a freeze ends, and when it holds."""

from datetime import UTC, datetime, timedelta

import pytest

from homeport.errors import Invalid
from homeport.model.freeze import Freeze
from homeport.plan.freeze import holding, in_words, refusal, until_at

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SAID = Freeze(at=NOW, by="ada", why="sale", until_at=NOW + timedelta(hours=2))


@pytest.mark.parametrize(
    ("moment", "duration", "end"),
    [
        ("2026-12-01", None, "2026-12-01T00:00:00+00:00"),
        ("2026-12-01T08:00", None, "2026-12-01T08:00:00+00:00"),
        ("2026-12-01T08:00+01:00", None, "2026-12-01T07:00:00+00:00"),
        ("2026-12-01T08:00Z", None, "2026-12-01T08:00:00+00:00"),
        (None, "1h30m", "2026-11-21T13:30:00+00:00"),
    ],
)
def test_end(moment: str | None, duration: str | None, end: str) -> None:
    assert until_at(moment, duration, NOW).isoformat() == end


@pytest.mark.parametrize(
    ("moment", "duration", "said"),
    [
        (None, None, "either --until or --for"),
        ("2026-12-01", "2h", "either --until or --for"),
        ("soon", None, "--until 'soon': expected a date or time"),
        ("2026-13-01", None, "expected a date or time"),
        ("2026-11-21", None, "which is over"),
        (None, "0s", "which is over"),
        (None, "2 weeks", "expected a duration"),
        ("0001-01-01T00:00+14:00", None, "expected a date or time"),
    ],
)
def test_no_end(moment: str | None, duration: str | None, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        until_at(moment, duration, NOW)


def test_a_freeze_holds_until_its_end_or_until_it_is_lifted() -> None:
    assert holding(None, NOW) is None
    assert holding(SAID, NOW) is SAID
    assert SAID.until_at is not None
    assert holding(SAID, SAID.until_at) is None
    assert holding(Freeze(at=NOW, by="eve", why="lifted", until_at=None), NOW) is None


def test_who_why_and_until_when_are_said() -> None:
    assert in_words(SAID) == "until 2026-11-21 14:00 UTC, by ada: sale"
    assert refusal(SAID, "shop/production").message == f"shop/production is frozen {in_words(SAID)}"
