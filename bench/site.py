"""What the benches stand on: a home and a repository of their own, commands as typed, controls by hand, results."""

import contextlib
import http.client
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench.rate import GET_AND_POST, Load, load
from homeport.system.clock import pause
from tests.app_repository import commit, make_repository

RESULTS = Path(__file__).resolve().parent / "results"
ARGV = (sys.executable, "-m", "homeport")
HEAD = ("here", "control", "difference", "ratio", "goal", "")
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.002
FILE = """app = "plain"
default = "staging"
[health]
path = "/healthz"
{health}[groups.web]
run = ["web"]
instances = {instances}
[deploy]
strategy = "{strategy}"
bake = "1s"
{deploy}[environments.staging]
engine = "local"
listen = "127.0.0.1:{port}"
[environments.beside]
engine = "local"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Site:
    """An app of `instances` web processes, not up yet: `plain` (without its worker), `light` or `wsgi` of
    `tests/apps`. `deploy`, `health`: more lines of these sections of its platform file."""

    def __init__(
        self, directory: Path, instances: int, *, app: str, strategy: str, deploy: str = "", health: str = ""
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        text = FILE.format(instances=instances, port=self.port, strategy=strategy, deploy=deploy, health=health)
        edits = {"homeport.toml": text}
        if app == "plain":
            edits["Procfile"] = "web: exec python3 web.py\n"
        self.name = app
        self.app = make_repository(app, directory, edits=edits)
        self.environ = {**os.environ, "HOMEPORT_HOME": str(directory / "home")}

    def __call__(self, *words: str) -> str:
        """What the command printed. Raises AssertionError where it failed."""
        done = subprocess.run(
            (*ARGV, *words), cwd=self.app, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def failing(self, *words: str) -> None:
        """A command of which the verdict isn't good. Raises AssertionError where it is."""
        argv = (*ARGV, *words)
        done = subprocess.run(argv, cwd=self.app, env=self.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 6, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"

    def newest(self) -> dict[str, float]:
        """The newest deployment of staging: journal entry → when, in seconds since the machine's start."""
        number = max(each["number"] for each in self.document("deployment", "list")["deployments"])
        entries = self.document("deployment", "show", str(number))["entries"]
        since = time.time() - time.monotonic()
        return {each["type"]: datetime.fromisoformat(each["at"]).timestamp() - since for each in entries}

    def begin(self, *words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            (*ARGV, *words),
            cwd=self.app,
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def document(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))

    def instances(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.document("ps")["instances"]
        return found

    def commit(self) -> None:
        """Another release's worth of change: the source layer is built anew."""
        now = time.monotonic_ns() // 1000
        commit(self.app, {"VERSION": f"v{now % 10**9}\n"} if self.name == "wsgi" else {"change.txt": str(now)})

    def release(self) -> str:
        """Whose answer the next request gets: `r3 web-7`, or "" where there is none."""
        return answer("127.0.0.1", self.port)

    def web(self, port: int) -> tuple[str, ...]:
        """What its Procfile has as `web`, to be started by hand."""
        if self.name == "wsgi":
            return ("gunicorn", "--workers", "1", "--bind", f"127.0.0.1:{port}", "app:application")
        return ("/usr/bin/python3", "web.py")

    def load(
        self, rate: float, *, requests: int = 0, methods: str = GET_AND_POST
    ) -> "contextlib.AbstractContextManager[Load]":
        """See `bench.rate.load`."""
        return load(
            self.url, rate, requests=requests, methods=methods, post_path="/" if self.name == "light" else "/echo"
        )

    def close(self) -> None:
        for words in (("down", "--yes", "-e", "staging"), ("down", "--yes", "-e", "beside"), ("engine", "stop")):
            subprocess.run((*ARGV, *words), cwd=self.app, env=self.environ, capture_output=True, check=False)


@contextlib.contextmanager
def site(
    instances: int, *, app: str = "plain", strategy: str = "replace", deploy: str = "", health: str = ""
) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        found = Site(Path(directory), instances, app=app, strategy=strategy, deploy=deploy, health=health)
        try:
            yield found
        finally:
            found.close()


def answer(address: str, port: int) -> str:
    """Release and instance that answered `GET /` with 200; "" for anything else."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
    return " ".join(body.split(" ")[2:4]).strip() or "-" if response.status == 200 else ""


def until(ready: Callable[[], object]) -> float:
    """Seconds until `ready`."""
    begun = time.monotonic()
    while not ready():
        assert time.monotonic() - begun < DEADLINE_SECONDS, "it never became ready"
        pause(POLL_SECONDS)
    return time.monotonic() - begun


def by_hand(place: Site, count: int) -> float:
    """Seconds until `count` processes of the app, started from a shell's place at once, have all answered 200."""
    return started_by_hand(place.app, place.web, count)


def started_by_hand(app: Path, web: Callable[[int], tuple[str, ...]], count: int) -> float:
    """As `by_hand`. `web`: from a port to what is typed."""
    ports = [free_port() for _ in range(count)]
    begun = time.monotonic()
    started = [
        subprocess.Popen(
            web(port),
            cwd=app,
            env={**os.environ, "HOST": "127.0.0.1", "PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for port in ports
    ]
    try:
        for port in ports:
            until(lambda port=port: answer("127.0.0.1", port))
        return time.monotonic() - begun
    finally:
        for each in started:
            each.terminate()
            each.wait()


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "haproxy": subprocess.run(
            ("haproxy", "-v"),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"},
        ).stdout.split()[2],
        "load_average": round(os.getloadavg()[0], 1),
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median first, then what it is the median of."""
    return {"median": round(statistics.median(values), 4), "values": [round(each, 4) for each in values]}


class Goal(NamedTuple):
    """At most so much: of the value itself, of its difference from the control, or of its ratio to that."""

    of: Literal["value", "difference", "ratio"]
    most: float

    def met(self, value: float, control: float | None) -> bool:
        if self.of == "value" or control is None:
            return value <= self.most
        return value - control <= self.most if self.of == "difference" else value <= self.most * control


class Figure:
    """One line of a table: what, its value, the control in the same run, and how they compare."""

    def __init__(
        self, what: str, unit: str, values: Sequence[float], control: Sequence[float] = (), goal: Goal | None = None
    ) -> None:
        self.what, self.unit, self.goal = what, unit, goal
        self.values, self.control = spread(values), spread(control) if control else None

    @property
    def line(self) -> tuple[str, ...]:
        """Cells: what, value, control, difference, ratio, goal, whether it is met."""
        value = self.values["median"]
        control = None if self.control is None else self.control["median"]
        goal = met = ""
        if self.goal is not None:
            goal = f"{'' if self.goal.of == 'value' else self.goal.of + ' '}≤ {self.goal.most:g}"
            met = "met" if self.goal.met(value, control) else "missed"
        if control is None:
            return (self.what, f"{value:g} {self.unit}".strip(), "", "", "", goal, met)
        ratio = f"{value / control:.2f}" if control else ""
        return (
            self.what,
            f"{value:g} {self.unit}".strip(),
            f"{control:g}",
            f"{value - control:+.4g}",
            ratio,
            goal,
            met,
        )

    @property
    def document(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "unit": self.unit,
            "value": self.values,
            "control": self.control,
            "goal": None if self.goal is None else {"of": self.goal.of, "most": self.goal.most},
            "line": self.line,
        }


def publish(name: str, control: str, figures: Sequence[Figure]) -> None:
    """Prints the table, and keeps it in `results/<name>.json`. `control`: what the control column is."""
    rows = [(name, *HEAD), *(figure.line for figure in figures)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"control: {control}\n", flush=True)
    document = {"machine": machine(), "control": control, "figures": [each.document for each in figures]}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
