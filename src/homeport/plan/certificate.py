"""Reading a TLS certificate, and what is wrong with it. Pure; called by the local engine and `console`.

Only what is asked for is read: validity and names (RFC 5280, 4.1 and 4.2.1.6), from DER's tags and lengths. Whether
it is genuine is for those who connect to find out.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from homeport.errors import Invalid
from homeport.model.certificate import Certificate

SOON = timedelta(days=14)
"""So long before its end a certificate is spoken of."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----")
_SEQUENCE, _OBJECT, _OCTETS, _UTC_TIME, _TIME = 0x30, 0x06, 0x04, 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_NAMES = bytes((0x55, 0x1D, 0x11))
"""subjectAltName, 2.5.29.17"""
_DNS, _ADDRESS = 0x82, 0x87


def read(pem: str) -> Certificate:
    """The first certificate of a PEM text, which is the server's own. Raises `Invalid`."""
    found = _PEM.search(pem)
    if found is None:
        raise Invalid("holds no certificate (-----BEGIN CERTIFICATE-----)")
    try:
        return _certificate(base64.b64decode(found[1], validate=False))
    except (binascii.Error, IndexError, ValueError, UnicodeDecodeError) as error:
        raise Invalid("holds a certificate that can't be read: damaged?") from error


def problems(found: Certificate, hosts: Iterable[str], now: datetime) -> tuple[str, ...]:
    """What clients will find wrong, or soon: one sentence each; empty where nothing is. `hosts`: of the routes."""
    said = [each for each in (untimely(found, now),) if each]
    if not said and found.ends_at - now < SOON:
        said.append(f"ends in {days_left(found, now)} days, on {found.ends_at:%Y-%m-%d %H:%M} UTC")
    said += [f"isn't for {host} (it is for {', '.join(found.names) or 'no host'})" for host in uncovered(found, hosts)]
    return tuple(said)


def untimely(found: Certificate, now: datetime) -> str | None:
    """Why it isn't valid now, with its dates; None: it is."""
    if now > found.ends_at:
        return f"expired on {found.ends_at:%Y-%m-%d %H:%M} UTC (it is {now:%Y-%m-%d %H:%M} UTC)"
    if now < found.starts_at:
        return f"isn't valid before {found.starts_at:%Y-%m-%d %H:%M} UTC (it is {now:%Y-%m-%d %H:%M} UTC)"
    return None


def days_left(found: Certificate, now: datetime) -> int:
    """Whole days until its end; negative afterwards."""
    return (found.ends_at - now) // timedelta(days=1)


def uncovered(found: Certificate, hosts: Iterable[str]) -> list[str]:
    """Those of `hosts` that it isn't for, sorted."""
    return sorted(
        host for host in set(hosts) if host not in found.names and f"*.{host.partition('.')[2]}" not in found.names
    )


# --- DER ----------------------------------------------------------------------------------------------------------


def _certificate(der: bytes) -> Certificate:
    (_, whole), *_ = _parts(der)
    (_, signed), *_ = _parts(whole)
    parts = list(_parts(signed))
    if parts[0][0] == _VERSION:
        del parts[0]
    # serial number, algorithm, issuer, validity
    starts_at, ends_at = (_moment(tag, value) for tag, value in _parts(parts[3][1]))
    extensions = next((value for tag, value in parts if tag == _EXTENSIONS), b"")
    return Certificate(names=tuple(_names(extensions)), starts_at=starts_at, ends_at=ends_at)


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of one value after the other. Raises IndexError or ValueError where that isn't DER."""
    at = 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4:
                raise ValueError(f"a length of {count} bytes")
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise ValueError("a value ends behind its container")
        yield tag, data[at : at + size]
        at += size


def _moment(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280: 50 to 99 is in the last century
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _TIME:
        raise ValueError(f"a time of the kind {tag:#x}")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _names(extensions: bytes) -> Iterator[str]:
    for _, rows in _parts(extensions):
        for _, extension in _parts(rows):
            (_, kind), *rest = _parts(extension)
            if kind != _NAMES:
                continue
            for _, names in _parts(rest[-1][1]):
                for tag, name in _parts(names):
                    if tag == _DNS:
                        yield name.decode("ascii").lower()
                    elif tag == _ADDRESS:
                        yield str(ipaddress.ip_address(name))
