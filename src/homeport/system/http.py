"""HTTP/1.1 answers, as far as Homeport itself asks: read from a socket's bytes, for the client of the API and for
probes. http.client would do it too, and takes 20 ms to import and a millisecond to parse.
"""

import re

from msgspec import Struct

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?")


class Head(Struct, frozen=True):
    """Names of headers in lower case; of those that came twice, the last."""

    status: int
    headers: dict[str, str]


def parse_head(head: bytes) -> Head:
    """Of an answer, up to and with its empty line. Raises ValueError for what isn't one."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    match = _STATUS.fullmatch(first)
    if match is None:
        raise ValueError("what came is no HTTP response")
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return Head(int(match[1]), {name.strip().lower(): value.strip() for name, _, value in pairs})


def whole(answer: bytes) -> tuple[Head, bytes]:
    """Head and body of an answer after which the connection was closed. Raises ValueError for what isn't one, or has
    no length, or not the one that it says."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        raise ValueError("it ended in its head" if answer else "nothing came")
    found = parse_head(head + end)
    stated = found.headers.get("content-length", "")
    if not stated.isdecimal():
        raise ValueError("it doesn't say how long it is")
    if int(stated) != len(body):
        raise ValueError(f"{len(body)} of {stated} bytes came")
    return found, body
