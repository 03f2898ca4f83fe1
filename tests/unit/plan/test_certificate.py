"""Certificates as openssl makes them, read; damaged ones refused."""

import base64
import contextlib
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.errors import Invalid
from homeport.model.certificate import Certificate
from homeport.plan import certificate
from tests.certificates import certificate as make

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_it_says_what_openssl_says(tmp_path: Path) -> None:
    made = make(tmp_path, "x", hosts=("Shop.example.com", "*.example.com"), days=40)
    text = Path(made.certificate).read_text()
    found = certificate.read("a chain begins with a comment\n" + text)
    assert found.names == ("shop.example.com", "*.example.com")
    said = subprocess.run(("openssl", "x509", "-noout", "-dates"), input=text, capture_output=True, text=True).stdout
    dates = [f"{each:%b %e %H:%M:%S %Y} GMT" for each in (found.starts_at, found.ends_at)]
    assert said == f"notBefore={dates[0]}\nnotAfter={dates[1]}\n"


def test_without_names_and_far_away(tmp_path: Path) -> None:
    found = certificate.read(Path(make(tmp_path, "x", days=20_000).certificate).read_text())
    assert (found.names, found.ends_at.year > 2050) == ((), True)


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"])
def test_no_certificate(text: str) -> None:
    with pytest.raises(Invalid):
        certificate.read(text)


PEM = """-----BEGIN CERTIFICATE-----
{}-----END CERTIFICATE-----
"""


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_harmless(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    der = bytearray(_der(tmp_path_factory))
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(der)))
    text = PEM.format(base64.encodebytes(bytes(der[:cut])).decode())
    with contextlib.suppress(Invalid):
        certificate.read(text)


_made: list[bytes] = []


def _der(factory: pytest.TempPathFactory) -> bytes:
    if not _made:
        made = make(factory.mktemp("certificate"), "x", hosts=("a.example.com",))
        _made.append(ssl.PEM_cert_to_DER_cert(Path(made.certificate).read_text()))
    return _made[0]


def valid(*names: str, ends_in: timedelta = timedelta(days=60)) -> Certificate:
    return Certificate(names=names, starts_at=NOW - timedelta(days=1), ends_at=NOW + ends_in)


def test_for_whom_it_is() -> None:
    found = valid("example.com", "*.example.com")
    assert certificate.uncovered(found, ["example.com", "www.example.com", "a.b.example.com", "com"]) == [
        "a.b.example.com",
        "com",
    ]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (valid("a.b"), ()),
        (valid("a.b", ends_in=timedelta(days=15)), ()),
        (valid("a.b", ends_in=timedelta(days=2)), ("ends in 2 days, on 2026-03-03 12:00 UTC",)),
        (valid("a.b", ends_in=timedelta(0)), ("ends in 0 days, on 2026-03-01 12:00 UTC",)),
        (valid("a.b", ends_in=-timedelta(hours=1)), ("expired on 2026-03-01 11:00 UTC (it is 2026-03-01 12:00 UTC)",)),
        (valid(), ("isn't for a.b (it is for no host)",)),
        (
            Certificate(names=("a.b",), starts_at=NOW + timedelta(days=1), ends_at=NOW + timedelta(days=2)),
            ("isn't valid before 2026-03-02 12:00 UTC (it is 2026-03-01 12:00 UTC)",),
        ),
    ],
)
def test_what_is_wrong(found: Certificate, expected: tuple[str, ...]) -> None:
    assert certificate.problems(found, ["a.b"], NOW) == expected
