"""What a command costs in calls to AWS, counted at the simulated one, with 3, 100 and 1,000 instances: nothing boots,
each is there and well at once. And how soon `ps` has sent its first request."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.aws_planted import Planted
from bench.site import ARGV, Figure, Goal, publish
from homeport.simulation.aws.service import Application, Knock
from homeport.simulation.aws.simulator import Simulator, simulator
from tests.app_repository import make_repository

SIZES = tuple(int(each) for each in os.environ.get("BENCH_INSTANCES", "3,100,1000").split(","))
RUNS = int(os.environ.get("BENCH_RUNS", "9"))
CALLER = "AKIAI44QH8DHBEXAMPLE"
"""Access key of the command: what the simulator itself asks isn't counted."""
PEER = (sys.executable, "-c", "import boto3; boto3.client('sts').get_caller_identity()")
PACE = 100
"""AWS's own waits pass as much faster: a health check, a drain, a turn of a group."""
FILE = """app = "plain"
[health]
path = "/healthz"
[groups.web]
run = ["web"]
instances = { min = 1, desired = 3, max = 1000 }
drain = "1s"
[deploy]
bake = "1s"
max_unavailable = "25%"
[environments.production]
engine = "aws"
account = "123456789012"
region = "eu-west-1"
image = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
"""


class Count:
    """Calls of the command, by service and operation, those to S3 by method; when the first one came."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.first_at = 0.0

    def __call__(self, knock: Knock, application: Application) -> Application:
        if knock.key == CALLER:
            self.first_at = self.first_at or time.monotonic()
            self.calls[f"{knock.service}.{knock.operation or knock.path.split()[0]}"] += 1
        return application

    @property
    def requests(self) -> int:
        """To S3."""
        return sum(count for name, count in self.calls.items() if name.startswith("s3."))


class Operator:
    """Gives commands for an app of this platform file, with credentials of his own."""

    def __init__(self, aws: Simulator, directory: Path, file: str) -> None:
        self.aws = aws
        edits = {"homeport.toml": file, "Procfile": "web: exec python3 web.py\n"}
        self.app = make_repository("plain", directory, edits=edits)
        none = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
        own = {"HOMEPORT_HOME": str(directory / "home"), "AWS_ACCESS_KEY_ID": CALLER}
        self.environ = {**os.environ, **none, **aws.variables, **own}

    def __call__(self, *words: str) -> tuple[Count, float]:
        """Its calls, and the seconds until the first."""
        return self.program(*ARGV, *words)

    def program(self, *argv: str) -> tuple[Count, float]:
        count = self.aws.door.weather = Count()
        begun = time.monotonic()
        self._done(*argv)
        return count, count.first_at - begun

    def document(self, *words: str) -> Any:
        return json.loads(self._done(*ARGV, *words, "--json"))

    def _done(self, *argv: str) -> str:
        """What it printed. Raises AssertionError where it failed."""
        done = subprocess.run(argv, cwd=self.app, env=self.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def counted(operator: Operator, size: int) -> Iterator[Figure]:
    for words, argv in (
        ("scale to", ("scale", f"web={size}", "--timeout", "20m")),
        ("ps with", ("ps",)),
        ("deploy to", ("config", "set", f"SIZE={size}")),
    ):
        begun = time.monotonic()
        count, _ = operator(*argv)
        what = f"{words} {size:,} instances"
        print(f"{what}, {time.monotonic() - begun:.0f} s: {dict(count.calls.most_common())}", flush=True)
        others = sum(count.calls.values()) - count.requests
        yield Figure(f"{what}: calls", "calls", [float(others)])
        yield Figure(f"{what}: requests to S3", "requests", [float(count.requests)])
        yield Figure(f"{what}: looks", "looks", [float(count.calls["autoscaling.DescribeAutoScalingGroups"])])


def main() -> None:
    first, peer = [], []
    planted = Planted()
    planted.replace()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, simulator(pace=PACE) as aws:
        planted.answer(aws)
        operator = Operator(aws, Path(name), FILE)
        operator("up", "--yes")
        for _ in range(RUNS):
            peer.append(operator.program(*PEER)[1])
            first.append(operator("ps")[1])
        figures = [Figure("from typing ps to its first request", "s", first, peer, Goal("value", 0.35))]
        for size in SIZES:
            figures += counted(operator, size)
        operator("scale", "web=3", "--timeout", "20m")
        operator("down", "--yes")
    publish("aws_calls", "Python with boto3 that asks whose credentials these are, until that call", figures)


if __name__ == "__main__":
    main()
