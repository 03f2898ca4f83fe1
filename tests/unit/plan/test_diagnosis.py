from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from homeport.model.fleet import Probe
from homeport.plan.diagnosis import Patient, explain

AT = datetime(2026, 1, 1, tzinfo=UTC)
PORT = 20017
PATIENT = Patient(
    address="127.64.0.9", port=PORT, environment="staging", proto="https", logs="homeport logs --instance web-1"
)


def answered(status: int, **headers: str) -> Probe:
    return Probe(
        asked="GET /healthz", ok=False, at=AT, status=status, headers=headers, body="<h1>No\n way</h1>" + "x" * 900
    )


def silent(error: str) -> Probe:
    return Probe(asked="GET /healthz", ok=False, at=AT, error=error)


def test_a_good_probe_needs_no_words() -> None:
    assert explain(Probe(asked="x", ok=True, at=AT), (), PATIENT) == ((), "")


@pytest.mark.parametrize(
    ("probe", "listening", "line", "hint"),
    [
        (answered(301, location="https://shop.example/"), (), "answered 301", "SECURE_PROXY_SSL_HEADER"),
        (answered(302, location="/login"), (), "location: /login", "redirects to /login"),
        (answered(400), (), "answered 400, expected 200 to 299", "ALLOWED_HOSTS"),
        (answered(403), (), "answered 403", "login"),
        (answered(404), (), "answered 404", "[health] path"),
        (answered(500), (), "<h1>No way</h1>", "homeport logs"),
        (answered(418), (), "answered 418", "answers 200"),
        (
            silent("refused"),
            ("127.0.0.1:5000",),
            "it listens on 127.0.0.1:5000, expected 0.0.0.0:$PORT (20017)",
            "PORT",
        ),
        (silent("refused"), ("127.0.0.1:20017",), "it listens on 127.0.0.1:20017, expected", "bind to 0.0.0.0"),
        (silent("refused"), (), "it listens on nothing, expected 0.0.0.0:$PORT (20017)", "homeport logs"),
        (silent("no answer within 2 s"), ("0.0.0.0:20017",), "doesn't answer in time", "timeout"),
        (silent("no answer within 2 s"), ("[::]:20017",), "doesn't answer in time", "timeout"),
        (silent("refused"), ("127.64.0.9:20017",), "doesn't answer in time", "homeport logs"),
        (None, (), "nothing was asked yet", "homeport logs"),
    ],
)
def test_a_failure_says_what_to_change(probe: Probe | None, listening: tuple[str, ...], line: str, hint: str) -> None:
    lines, said = explain(probe, listening, PATIENT)
    assert line in "\n".join(lines)
    assert hint in said
    assert all(len(each) < 300 for each in lines)


def test_a_redirect_where_there_is_no_tls() -> None:
    _, said = explain(answered(301, location="https://shop.example/"), (), replace(PATIENT, proto="http"))
    assert "[environments.staging] tls" in said
    assert "SECURE_SSL_REDIRECT" in said


def test_what_ended_is_named() -> None:
    _, said = explain(silent("refused"), (), replace(PATIENT, ended="web ends: exit code 3"))
    assert said == "find out why web ends: exit code 3: homeport logs --instance web-1"
