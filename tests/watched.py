"""AWS as moto plays it, watched: what moto can't do must not pass for done."""

import re
from collections import Counter
from pathlib import Path

from tests.bucket import Server

BROKEN = re.compile(r'"(?:\x1b\[[0-9;]*m)*(\w+ \S+) HTTP/1\.1(?:\x1b\[[0-9;]*m)*" 5\d\d')
SKIPPED = re.compile(r"Tried to parse (\S+) but it's not supported by moto's CloudFormation")
NOT_MADE = frozenset(("AWS::AutoScaling::ScalingPolicy", "AWS::CloudWatch::Alarm"))
"""Types that moto's CloudFormation leaves out, and that nothing here is proved of."""


class Watched(Server):
    """What it couldn't do since the last `reset` is in `complaints`."""

    def __init__(self, log: Path) -> None:
        # Python says a warning once per place; here each counts
        super().__init__(log, "tests.moto_server", PYTHONWARNINGS="always")
        self._seen = 0

    def reset(self) -> None:
        """It is as new."""
        assert self.ask("POST", "/moto-api/reset")[0] == 200
        self.forgive()

    def forgive(self) -> None:
        self._seen = self.log.stat().st_size

    @property
    def complaints(self) -> Counter[str]:
        """Requests that ended in a server error, resource types that were skipped beyond `NOT_MADE`: how often."""
        said = self.log.read_bytes()[self._seen :].decode(errors="replace")
        skipped = [each for each in SKIPPED.findall(said) if each not in NOT_MADE]
        return Counter([*(f"{each}: server error" for each in BROKEN.findall(said)), *skipped])
