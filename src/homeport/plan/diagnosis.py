"""Why a health check fails, in words that say what to change. Pure. Used for a deployment's verdict."""

from collections.abc import Sequence

from msgspec import Struct

from homeport.model.fleet import Probe

_BODY_CHARACTERS = 200
_ANYWHERE = ("0.0.0.0", "[::]")


class Patient(Struct, frozen=True, kw_only=True):
    """The instance whose check fails. `address`, `port`: what it was told to listen on. `proto`: what clients of its
    environment speak. `ended`: its processes that ended by themselves, in words. `logs`: the command that shows what
    it wrote."""

    address: str
    port: int
    environment: str
    proto: str
    logs: str
    ended: str = ""


Words = tuple[tuple[str, ...], str]
"""(lines for people, the next thing to do; empty where there is nothing to say)."""


def explain(probe: Probe | None, listening: Sequence[str], patient: Patient) -> Words:
    """`listening`: `address:port` of all that the instance listens on."""
    if probe is None:
        return _silent("nothing was asked yet", listening, patient)
    if probe.ok:
        return (), ""
    if probe.status is None:
        return _silent(f"{probe.asked}: {probe.error or 'no answer'}", listening, patient)
    lines = [f"{probe.asked}: answered {probe.status}, expected 200 to 299"]
    lines += [f"  {name}: {value}" for name, value in probe.headers.items()]
    if probe.body.strip():
        lines.append(f"  {' '.join(probe.body.split())[:_BODY_CHARACTERS]}")
    return tuple(lines), _advice(probe, probe.status, patient)


def _silent(said: str, listening: Sequence[str], patient: Patient) -> Words:
    """It doesn't answer: does it listen, and where?"""
    port = str(patient.port)
    here = [each for each in listening if each.rpartition(":")[2] == port]
    expected = f"expected 0.0.0.0:$PORT ({port})"
    if any(each.rpartition(":")[0] in (*_ANYWHERE, patient.address) for each in here):
        return (
            (said, f"it listens on {', '.join(here)}, but doesn't answer in time"),
            f"see whether a request hangs in the app ({patient.logs}), or give it time: `timeout` and `grace` in "
            "[health] of homeport.toml",
        )
    if listening:
        where = ", ".join(sorted(set(listening)))
        what = "bind to 0.0.0.0" if here else 'use the environment variable PORT, as in `--port "$PORT"`'
        return (said, f"it listens on {where}, {expected}"), f"in the Procfile: {what}"
    if patient.ended:
        return (said, f"it listens on nothing, {expected}"), f"find out why {patient.ended}: {patient.logs}"
    return (
        (said, f"it listens on nothing, {expected}"),
        f"it may still be starting: look at {patient.logs}, or give it time: `grace` in [health] of homeport.toml",
    )


def _advice(probe: Probe, status: int, patient: Patient) -> str:
    location = next((value for name, value in probe.headers.items() if name.lower() == "location"), "")
    match status:
        case 301 | 302 | 307 | 308 if location.startswith("https://") and patient.proto == "https":
            return (
                "the app redirects to https although X-Forwarded-Proto says it already is: make it trust that header "
                '(Django: SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")), or exempt the health path'
            )
        case 301 | 302 | 307 | 308 if location.startswith("https://"):
            return (
                f"the app redirects to https, which {patient.environment} doesn't speak: give it a certificate "
                f'([environments.{patient.environment}] tls = {{ certificate = "…", key = "…" }}; with it '
                "X-Forwarded-Proto says https), or switch the redirect off here (Django: SECURE_SSL_REDIRECT)"
            )
        case 301 | 302 | 303 | 307 | 308:
            return f"the health path redirects to {location or 'elsewhere'}: set [health] path to one that answers 200"
        case 400:
            return (
                "the app may refuse the Host header that the check sends, that of the first route: allow it "
                "(Django: ALLOWED_HOSTS)"
            )
        case 401 | 403:
            return "the health path wants a login: exempt it, or set [health] path to one that doesn't"
        case 404:
            return "there is no such path in the app: set [health] path in homeport.toml, or leave it out for TCP"
        case _ if status >= 500:
            return f"the app fails on this request: {patient.logs}"
    return "set [health] path to one that answers 200"
