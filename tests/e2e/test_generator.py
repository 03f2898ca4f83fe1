"""The benches' load generator sees every failure that is planted, each as what it is, and no other."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.rate import load

PLANTED = Path(__file__).resolve().parents[2] / "bench" / "planted.py"
ENOUGH = 1500
WORDS = {
    "closed": "closed without an answer",
    "reset": "Connection reset by peer",
    "cut": "the answer is cut",
    "status": "status 500",
    "wrong body": " body",
}


@pytest.fixture
def planted() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen((sys.executable, str(PLANTED)), stdout=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_planted_failures_are_caught(planted: "subprocess.Popen[bytes]") -> None:
    assert planted.stdout is not None
    port = int(planted.stdout.readline())
    with load(f"http://127.0.0.1:{port}", 500, requests=ENOUGH) as running:
        pass
    planted.terminate()
    broken = json.loads(planted.communicate(timeout=20)[0])
    report = running.report
    assert report.said.sent == ENOUGH
    assert set(broken) == set(WORDS)
    assert report.said.failed == report.failed == sum(broken.values()) == ENOUGH // 20
    for kind, count in broken.items():
        assert sum(WORDS[kind] in each for each in report.said.failures) <= count
    for words in WORDS.values():
        assert any(words in each for each in report.said.failures), report.said.failures


def test_nobody_there_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with load(f"http://127.0.0.1:{taken.getsockname()[1]}", 500, requests=50) as running:
            pass
    assert running.report.said.failed == running.report.said.sent == 50
