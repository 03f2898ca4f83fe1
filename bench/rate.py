"""Load at thousands of requests per second: `generator.c` compiled, run, and its report read.

`tests/load.py` is the same in Python, for hundreds. Called by the benches, and by the test that plants failures.
"""

import contextlib
import functools
import os
import subprocess
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec import json as msgspec_json

from tests.load import Load, running

SOURCE = Path(__file__).with_name("generator.c")
GET_AND_POST = "GPGG"


class Said(Struct, frozen=True, kw_only=True):
    """The generator's line. `failures`: the first forty in words. `late_us`: the latest that a request began after the
    moment when it was due. `releases`: answers of each, `last_us`: when the last one came, by the monotonic clock."""

    sent: int
    failed: int
    late_us: int
    failures: list[str]
    releases: dict[str, int]
    last_us: dict[str, int]


class Report(Struct, frozen=True, kw_only=True):
    """What became of the requests, request i due at `i / rate` seconds. `latencies_us`: from then on; -1: it failed."""

    said: Said
    rate: float
    latencies_us: Sequence[int]

    def between(self, begin: float, end: float) -> "Report":
        """Of the requests that were due between two moments, in seconds after the load's begin."""
        first, last = max(0, int(begin * self.rate)), int(end * self.rate)
        return Report(said=self.said, rate=self.rate, latencies_us=self.latencies_us[first:last])

    @property
    def latencies_ms(self) -> list[float]:
        return [each / 1000 for each in self.latencies_us if each >= 0]

    @property
    def failed(self) -> int:
        return sum(1 for each in self.latencies_us if each < 0)


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@functools.cache
def _directory() -> "tempfile.TemporaryDirectory[str]":
    """Gone when the process ends."""
    return tempfile.TemporaryDirectory(prefix="bench-generator-")


@functools.cache
def program() -> str:
    """Path of the generator, compiled once per process."""
    path = os.path.join(_directory().name, "generator")
    subprocess.run(("cc", "-O2", "-o", path, str(SOURCE)), check=True)
    return path


def load(
    url: str,
    rate: float,
    *,
    timeout: float = 15,
    methods: str = GET_AND_POST,
    fresh_every: int = 10,
    post_path: str = "/echo",
    expect: str = "plain ",
    requests: int = 0,
) -> "contextlib.AbstractContextManager[Load[Report]]":
    """Requests per second `rate` from now on until the block ends. `timeout`: seconds for each. `methods`: first
    letters, in turn. Every `fresh_every`-th request on a connection of its own. `expect`: how bodies begin.
    `requests`: none begins after so many, and the block's end waits for them; 0: any number."""
    parts = urlsplit(url)
    words = (parts.hostname, parts.port, rate, int(timeout * 1000), methods, fresh_every, post_path, expect, requests)

    def read(said: bytes) -> Report:
        line, _, numbers = said.partition(b"\n")
        latencies = array("i")
        latencies.frombytes(numbers)
        return Report(said=msgspec_json.decode(line, type=Said), rate=rate, latencies_us=latencies)

    return running((program(), *map(str, words)), read, counted=requests > 0)
