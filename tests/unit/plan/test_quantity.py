"""Durations and sizes as people write them."""

from datetime import timedelta

import pytest

from homeport.errors import Invalid
from homeport.plan.quantity import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("1s", timedelta(seconds=1)),
        ("0s", timedelta()),
        ("1.5m", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
    ],
)
def test_duration(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "5", "-1s", "1 s", "1S", "1w", "s", "1s ", "1e3s", "٣s", "9999999999d", "1s\n"])
def test_duration_refused(text: str) -> None:
    with pytest.raises(Invalid, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("512MB", 512_000_000), ("1GiB", 2**30), ("1.5 KiB", 1536), ("0B", 0), ("3kB", 3000)]
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "512", "512M", "-1MB", "1gb", "9" * 400 + "TB", "1MB\n"])
def test_size_refused(text: str) -> None:
    with pytest.raises(Invalid, match="expected a size"):
        parse_size(text)
