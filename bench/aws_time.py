"""How long engine aws takes, at the simulated one with real instances: `up` until the first 200, and deployments of 3
and 30 instances, beside the app's own processes started by hand, and beside as many boots that no deployment drives."""

import http.client
import os
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from bench.aws_calls import Operator
from bench.site import ARGV, Figure, publish, started_by_hand, until
from homeport.simulation.aws.simulator import Simulator, simulator

SIZES = tuple(int(each) for each in os.environ.get("BENCH_INSTANCES", "3,30").split(","))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
PACE = 10
"""AWS's own waits pass as much faster: health checks every half second instead of five, drains of a tenth."""
DEADLINE_SECONDS = 300.0
UNAVAILABLE = 50
FILE = f"""app = "plain"
[health]
path = "/healthz"
[groups.web]
run = ["web"]
instances = {{ min = 1, desired = 3, max = 40 }}
drain = "1s"
stop_grace = "2s"
[deploy]
bake = "0s"
max_unavailable = "{UNAVAILABLE}%"
[environments.production]
engine = "aws"
account = "123456789012"
region = "eu-west-1"
"""


def by_hand(app: Path, count: int) -> float:
    """Seconds until so many processes of the app, started at once, have all answered 200."""
    return started_by_hand(app, lambda _: ("/usr/bin/python3", "web.py"), count)


def answers(aws: Simulator) -> bool:
    """Whether the balancer's stand-in answers with 200."""
    for url in aws.urls().values():
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return True
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
    return False


def up(operator: Operator) -> tuple[float, float]:
    """Seconds until the first 200, and until the command ends; from the second time on the bucket is there before."""
    begun = time.monotonic()
    with subprocess.Popen(
        (*ARGV, "up", "--yes"),
        cwd=operator.app,
        env=operator.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as command:
        until(lambda: answers(operator.aws) or command.poll() is not None)
        first = time.monotonic() - begun
        assert command.wait() == 0
    return first, time.monotonic() - begun


def deployed(operator: Operator) -> float:
    """Seconds from a deployment's beginning until all instances are on its release, by its journal."""
    operator("config", "set", f"RUN={time.monotonic_ns()}")
    number = max(each["number"] for each in operator.document("deployment", "list")["deployments"])
    entries = operator.document("deployment", "show", str(number))["entries"]
    at = {each["type"]: datetime.fromisoformat(each["at"]) for each in entries}
    return (at["Ended"] - at["Started"]).total_seconds()


def booted(operator: Operator, size: int) -> float:
    """Seconds until as many instances more are in service, launched at once."""
    operator("scale", "web=1", "--timeout", "5m")
    until(lambda: len(operator.aws.hypervisor.booted()) == 1)
    begun = time.monotonic()
    operator("scale", f"web={size + 1}", "--timeout", "10m")
    return time.monotonic() - begun


def main() -> None:
    figures = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name, simulator(pace=PACE) as aws:
        operator = Operator(aws, Path(name), FILE)
        firsts, totals, boots = [], [], []
        for turn in range(RUNS):
            if turn:
                operator("down", "--yes")
            boots.append(by_hand(operator.app, 1))
            first, total = up(operator)
            firsts.append(first)
            totals.append(total)
        figures.append(Figure("up: first 200", "s", firsts, boots))
        figures.append(Figure("up: command ended", "s", totals, boots))
        for size in SIZES:
            hand = [by_hand(operator.app, size) for _ in range(RUNS)]
            floor = [booted(operator, size)]
            operator("scale", f"web={size}", "--timeout", "5m")
            took = [deployed(operator) for _ in range(RUNS if size < 10 else 1)]
            what = f"deploy of {size} instances, {UNAVAILABLE}% at a time"
            figures.append(Figure(f"{what}, beside processes by hand", "s", took, hand))
            figures.append(Figure(f"{what}, beside as many boots", "s", took, floor))
        operator("scale", "web=1", "--timeout", "5m")
        operator("down", "--yes")
    publish(
        "aws_time",
        "the app's own processes, started by hand at once, until all answer 200; as many instances launched at once "
        "by scale, until in service",
        figures,
    )


if __name__ == "__main__":
    main()
