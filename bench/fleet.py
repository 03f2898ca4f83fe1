"""How soon a group is whole again: its app killed, hung, out of memory; a zone of three lost under load. And how soon a
process that was killed answers again under runit alone, under supervisord (`SUPERVISORD=` its program), and under a
systemd that manages a user's services (as root, for its `/run` is one of its own; it says so where it can't)."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.heal import first_answer_after
from bench.site import Figure, Goal, Site, answer, by_hand, free_port, publish, site, until
from homeport.system import process
from homeport.system.clock import pause
from tests.app_repository import commit, replaced

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
RATE = float(os.environ.get("BENCH_RATE", "417"))
NINE = 9
SETTLE_SECONDS = 2.0
EAT = '            case ["eat"]:\n                await respond(writer, 200, str(len(bytearray(2_000_000_000))))\n'
SOON = '[health]\npath = "/healthz"\ngrace = "2s"\nunhealthy_after = "1s"\ntimeout = "1s"\n'


def app_of(place: Site) -> int:
    """The pid of the only instance's app."""
    (instance,) = place.instances()
    return next(pid for pid in process.descendants(instance["pid"]) if process.name(pid) == "python3")


def who(place: Site) -> str:
    """What answers through the balancer, with its pid; "" where nobody does."""
    try:
        with urllib.request.urlopen(f"{place.url}/", timeout=5) as response:
            return str(response.read().decode()).strip()
    except OSError:
        return ""


def healed(place: Site, harm: Callable[[int], object]) -> float:
    """Seconds until another process than the one that was harmed answers through the balancer."""
    pause(SETTLE_SECONDS)
    victim, before = app_of(place), who(place)
    threading.Thread(target=harm, args=(victim,)).start()
    seconds = first_answer_after(lambda: who(place), before)
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGCONT)  # so that it may end
    until(lambda: [each["check"] for each in place.instances()] == ["healthy"])
    return seconds


def eat(place: Site) -> None:
    """As a POST, which the balancer doesn't repeat."""
    argv = ("curl", "--silent", "--max-time", "5", "--request", "POST", f"{place.url}/eat")
    subprocess.run(argv, capture_output=True, check=False)


def zone_lost() -> tuple[int, int, float]:
    """(requests, failed ones, seconds until all nine serve again) while one zone of three is killed."""
    with site(NINE) as place:
        place("up")
        with place.load(RATE, methods="GHO") as running:
            pause(SETTLE_SECONDS)
            begun = time.monotonic()
            place("zone", "fail", "b")
            until(lambda: _serving(place) == NINE)
            seconds = time.monotonic() - begun
            pause(SETTLE_SECONDS)
        return running.report.said.sent, running.report.failed, seconds


def _serving(place: Site) -> int:
    live = [each for each in place.instances() if each["zone"] != "b"]
    return sum((each["state"], each["check"]) == ("InService", "healthy") for each in live)


@contextlib.contextmanager
def under_runit(place: Site, directory: Path, port: int) -> Iterator[None]:
    service = directory / "service/web"
    service.mkdir(parents=True)
    words = " ".join(place.web(port))
    (service / "run").write_text(f"#!/bin/sh\ncd {place.app}\nexec env HOST=127.0.0.1 PORT={port} {words}\n")
    (service / "run").chmod(0o755)
    with subprocess.Popen(("runsv", str(service)), stderr=subprocess.DEVNULL) as supervisor:
        try:
            yield
        finally:
            supervisor.terminate()


@contextlib.contextmanager
def under_supervisord(place: Site, directory: Path, port: int) -> Iterator[None]:
    """With its defaults, but for where things lie."""
    file = directory / "supervisord.conf"
    file.write_text(
        f"[supervisord]\nnodaemon=true\nlogfile={directory}/log\npidfile={directory}/pid\n"
        f"[program:web]\ncommand={' '.join(place.web(port))}\ndirectory={place.app}\n"
        f'environment=HOST="127.0.0.1",PORT="{port}"\n'
    )
    program = (os.environ["SUPERVISORD"], "-c", str(file))
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as supervisor:
        try:
            yield
        finally:
            supervisor.terminate()


# systemd manages nothing where the machine wasn't booted with one, which it tells by a directory.
SYSTEMD = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && mkdir -m 700 /run/user-manager || exit 1
export XDG_RUNTIME_DIR=/run/user-manager
/lib/systemd/systemd --user --log-level=err &
manager=$!
trap 'kill $manager' TERM
for each in 1 2 3 4 5 6 7 8 9 10; do systemctl --user start web.service && break; sleep 0.5; done
wait $manager; wait $manager
"""


@contextlib.contextmanager
def under_systemd(place: Site, directory: Path, port: int) -> Iterator[None]:
    """With its defaults, but for `Restart=`: 100 ms until it starts again."""
    units = directory / "config/systemd/user"
    units.mkdir(parents=True)
    (units / "web.service").write_text(
        f"[Service]\nExecStart={' '.join(place.web(port))}\nWorkingDirectory={place.app}\nRestart=always\n"
        f"Environment=HOST=127.0.0.1 PORT={port}\n"
    )
    environ = {**os.environ, "XDG_CONFIG_HOME": str(directory / "config"), "HOME": str(directory)}
    with subprocess.Popen(
        ("unshare", "--mount", "sh", "-c", SYSTEMD), env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as manager:
        try:
            yield
        finally:
            manager.terminate()


def restarts(
    place: Site, supervised: Callable[[Site, Path, int], "contextlib.AbstractContextManager[None]"]
) -> list[float]:
    """Seconds from kill -9 until it answers again, without a balancer."""
    port, found = free_port(), []
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, supervised(place, Path(directory), port):
        for _ in range(RUNS):
            until(lambda: answer("127.0.0.1", port))
            pause(SETTLE_SECONDS)
            (victim,) = _listening(port)
            begun = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            until(lambda gone=victim: _listening(port) - {gone} and answer("127.0.0.1", port))
            found.append(time.monotonic() - begun)
    return found


def _listening(port: int) -> set[int]:
    """The process that was started with this port."""
    wanted = f"\0PORT={port}\0".encode()
    found = set()
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (each / "comm").read_text().strip() == "python3" and wanted in b"\0" + (each / "environ").read_bytes():
                found.add(int(each.name))
    return found


def main() -> None:
    with site(1) as place:
        commit(place.app, replaced(place.app, "homeport.toml", '[health]\npath = "/healthz"\n', SOON))
        commit(place.app, replaced(place.app, "homeport.toml", "[groups.web]\n", '[groups.web]\nmemory = "256MB"\n'))
        commit(
            place.app,
            replaced(place.app, "web.py", '            case ["events"]:\n', f'{EAT}            case ["events"]:\n'),
        )
        place("up")
        boots = [by_hand(place, 1) for _ in range(RUNS)]
        killed = [healed(place, lambda pid: os.kill(pid, signal.SIGKILL)) for _ in range(RUNS)]
        eaten = [healed(place, lambda _: eat(place)) for _ in range(RUNS)]
        hung = [healed(place, lambda pid: os.kill(pid, signal.SIGSTOP)) for _ in range(2)]
        alone = restarts(place, under_runit)
        beside = restarts(place, under_supervisord) if "SUPERVISORD" in os.environ else []
        systemd = restarts(place, under_systemd) if os.getuid() == 0 and Path("/lib/systemd/systemd").exists() else []
    sent, failed, whole = zone_lost()
    control = "the app's process, started by hand, until it answers 200"
    figures = [
        Figure("kill -9 of the app alone to its next answer, through the balancer", "s", killed, boots),
        Figure("the same, out of memory: killed by the kernel", "s", eaten, boots),
        Figure("hung: 1 s until the check gives up, 1 s unhealthy, then replaced", "s", hung, boots),
        Figure("kill -9 to the next answer under runit alone, no balancer", "s", alone, boots),
    ]
    if beside:
        figures.append(Figure("the same under supervisord", "s", beside, boots))
    if systemd:
        figures.append(Figure("the same under a user's systemd, Restart=always", "s", systemd, boots))
    figures += [
        Figure(f"one zone of three lost, {NINE} instances, {RATE:g}/s: requests", "", [sent]),
        Figure("of these failed", "", [failed], goal=Goal("value", 0)),
        Figure("until nine serve again, in two zones", "s", [whole]),
    ]
    publish("fleet", control, figures)


if __name__ == "__main__":
    main()
