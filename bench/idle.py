"""What Homeport takes while nothing happens: CPU of its engine, memory of the engine and around each instance."""

import os
import time
from pathlib import Path

from bench.site import Figure, Goal, Site, publish, site
from homeport.system import process
from homeport.system.clock import pause
from homeport.system.home import Home

RUNS = 5
TICKS = os.sysconf("SC_CLK_TCK")
SECONDS = 20.0
FEW = 3
INSTANCES = int(os.environ.get("BENCH_INSTANCES", str(FEW)))


def cpu_seconds(pid: int) -> float:
    """Of its threads that have ended, too: schedstat hasn't those. In hundredths, so it takes a while to tell."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss_mb(pids: tuple[int, ...]) -> float:
    """Megabytes: shared pages count as the share of each."""
    kilobytes = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kilobytes += int(line.split()[1])
    return kilobytes / 1024


def engine(place: Site) -> dict[str, tuple[int, ...]]:
    """The processes of daemon, HAProxy, and what supervises them."""
    services = str(Home.from_environment(place.environ).services).encode()
    found: dict[str, list[int]] = {"daemon": [], "haproxy": [], "supervision": []}
    lines = {int(each.parent.name): _read(each).split(b"\0") for each in Path("/proc").glob("[0-9]*/cmdline")}
    roots = [pid for pid, line in lines.items() if line[0].endswith(b"runsvdir") and services in line]
    assert roots, "no watch tree found"
    for root in roots:
        for pid in (root, *process.descendants(root)):
            line = _read(Path(f"/proc/{pid}/cmdline")).split(b"\0")
            kind = "supervision"
            if line[-3:-1] == [b"engine", b"run"]:
                kind = "daemon"
            elif b"haproxy" in line[0]:
                kind = "haproxy"
            found[kind].append(pid)
    return {kind: tuple(pids) for kind, pids in found.items()}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def main() -> None:
    with site(INSTANCES) as place:
        place("up")
        pids = engine(place)
        assert pids["daemon"], pids
        trees = [(each["pid"], *process.descendants(each["pid"])) for each in place.instances()]
        apps = [tuple(pid for pid in tree if process.name(pid) == "python3") for tree in trees]
        pause(SECONDS)  # what the deployment left to do is done
        used: dict[str, list[float]] = {kind: [] for kind in pids}
        for _ in range(RUNS):
            before = {kind: sum(map(cpu_seconds, each)) for kind, each in pids.items()}
            begun = time.monotonic()
            pause(SECONDS)
            seconds = time.monotonic() - begun
            for kind, each in pids.items():
                used[kind].append((sum(map(cpu_seconds, each)) - before[kind]) / seconds * 100)
        everything = [sum(each) for each in zip(*used.values(), strict=True)]
        around = [pss_mb(tree) - pss_mb(app) for tree, app in zip(trees, apps, strict=True)]
        goal = Goal("value", 0.5) if INSTANCES == FEW else None
        publish(
            "idle" if INSTANCES == FEW else f"idle_{INSTANCES}",
            "none: both are beside the app's own, which is shown",
            [
                Figure(f"CPU of the engine, {INSTANCES} instances", "% of a core", everything, goal=goal),
                *(Figure(f"of this {kind}", "% of a core", each) for kind, each in used.items()),
                Figure("PSS around an instance's app", "MB", around, goal=Goal("value", 3)),
                Figure("PSS of an instance's app", "MB", [pss_mb(app) for app in apps]),
                Figure("PSS of the daemon", "MB", [pss_mb(pids["daemon"])]),
                Figure("PSS of HAProxy", "MB", [pss_mb(pids["haproxy"])]),
            ],
        )


if __name__ == "__main__":
    main()
