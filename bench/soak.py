"""A team's day in minutes, under load: eighteen deployments in all strategies, one in six of a release that never gets
healthy, two rolled back; instances killed, a zone lost and restored, the daemon killed. Requests that failed, and
whether disk and memory are back where they were."""

import os
import signal

from bench.idle import engine, pss_mb
from bench.rate import percentile
from bench.site import Figure, Goal, Site, publish, site, until
from bench.strategies import HEALTH, NEVER_HEALTHY, STRATEGIES
from homeport.system import process
from homeport.system.clock import pause
from homeport.system.disk import used_bytes
from homeport.system.home import Home
from tests.app_repository import commit

RATE = float(os.environ.get("BENCH_RATE", "417"))
BETWEEN_SECONDS = float(os.environ.get("BENCH_BETWEEN", "5"))
DEPLOYMENTS = 18
FAILING, ROLLED_BACK = (5, 11, 17), (7, 13)
KILLED, ZONE_LOST, DAEMON_KILLED = (3, 9, 15), 6, 12
INSTANCES = 3
BEFORE = 4
"""Deployments before the day begins."""


class Taken:
    """Megabytes, once nothing goes on: on disk for what runs, and for each release; PSS of engine, HAProxy and
    instances. Logs are apart: they stay for two weeks."""

    def __init__(self, place: Site) -> None:
        until(lambda: _at_rest(place))
        place("gc")
        root = Home.from_environment(place.environ).root
        self.running, kept = (
            sum(used_bytes(root / each) for each in names) / 1e6
            for names in (("instances", "builds"), ("store", "layers"))
        )
        self.release = kept / len(place.document("release", "list")["releases"])
        trees = [(each["pid"], *process.descendants(each["pid"])) for each in place.instances() if each["pid"]]
        self.memory = pss_mb(tuple(pid for part in (*engine(place).values(), *trees) for pid in part))


def _at_rest(place: Site) -> bool:
    live = [each["state"] for each in place.instances() if each["state"] != "Terminated"]
    return live == ["InService"] * INSTANCES


def deploy(place: Site, number: int) -> None:
    """The deployment of that number, and what happens while it goes on."""
    healthy = (place.app / "Procfile").read_text()
    strategy = list(STRATEGIES)[number % len(STRATEGIES)]
    text = (place.app / "homeport.toml").read_text()
    head, _, rest = text.partition("[deploy]\n")
    tail = rest[rest.index("[environments") :]
    section = f'[deploy]\nstrategy = "{strategy}"\nbake = "1s"\n{STRATEGIES[strategy]}'
    edits = {"homeport.toml": f"{head}{section}{tail}", "change.txt": str(number)}
    if number in FAILING:
        commit(place.app, edits | NEVER_HEALTHY)
        place.failing("deploy")
        commit(place.app, {"Procfile": healthy})
        return
    commit(place.app, edits)
    running = place.begin("deploy")
    if number in KILLED:
        os.kill(next(each["pid"] for each in place.instances() if each["state"] == "InService"), signal.SIGKILL)
    if number == DAEMON_KILLED:
        os.kill(engine(place)["daemon"][0], signal.SIGKILL)
    assert running.wait() == 0, f"deployment {number} ({strategy})"
    if number in ROLLED_BACK:
        place("rollback")
    if number == ZONE_LOST:
        place("zone", "fail", "a")
        pause(BETWEEN_SECONDS)
        place("zone", "restore", "a")


def main() -> None:
    with site(INSTANCES, health=HEALTH) as place:
        place("up")
        for _ in range(BEFORE):
            place.commit()
            place("deploy")
        before = Taken(place)
        with place.load(RATE, methods="GHO") as running:
            for number in range(1, DEPLOYMENTS + 1):
                deploy(place, number)
                pause(BETWEEN_SECONDS)
        after = Taken(place)
        verdicts = [each["verdict"] for each in place.document("deployment", "list")["deployments"]]
    report = running.report
    print(report.said.failures[:10], verdicts, flush=True)
    publish(
        "soak",
        f"before the day; {DEPLOYMENTS} deployments, {len(FAILING)} of them failing, {len(ROLLED_BACK)} rolled back, "
        f"{len(KILLED)} instances, a zone and the daemon killed, {RATE:g} requests/s (GET, HEAD, OPTIONS)",
        [
            Figure("failed requests", "", [report.failed], goal=Goal("value", 0)),
            Figure("requests", "", [report.said.sent]),
            *(Figure(f"p{each}", "ms", [percentile(report.latencies_ms, each)]) for each in (50, 99)),
            Figure("disk for what runs", "MB", [after.running], [before.running]),
            Figure("disk for each release, all of the day's being kept", "MB", [after.release], [before.release]),
            Figure("memory of engine, balancer and instances", "MB", [after.memory], [before.memory]),
        ],
    )


if __name__ == "__main__":
    main()
