"""The first process of a simulated machine: runs what it is told, reaps what nobody waits for, ends with its simulator.

Started by `machine` with an interpreter that has nothing of Homeport. Each line on its input is a JSON document,
`{"id": …, "argv": […], "output": <path>, "error": <path>}`; each line that it writes tells an end, `{"id": …, "status":
…}`, of shells' kind (128 + n for signal n). `{"shutdown": seconds}`: all get TERM, and after that time KILL. The end of
its input is the end of power.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from typing import Any

FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def start(job: dict[str, Any]) -> int:
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, job["output"], FLAGS, 0o600),
    ]
    if job.get("error"):
        actions.append((os.POSIX_SPAWN_OPEN, 2, job["error"], FLAGS, 0o600))
    else:
        actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
    return os.posix_spawnp(
        job["argv"][0],
        job["argv"],
        os.environ,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGCHLD, signal.SIGPIPE),
    )


def tell(id: str, status: int) -> None:
    os.write(1, json.dumps({"id": id, "status": status}).encode() + b"\n")


def reap(jobs: dict[int, str]) -> bool:
    """Whether anything is left that could end."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        code = os.waitstatus_to_exitcode(status)
        if pid in jobs:
            tell(jobs.pop(pid), code if code >= 0 else 128 - code)


def carry_out(line: bytes, jobs: dict[int, str]) -> float | None:
    """The time at which all is to end; None: nothing was said of that."""
    said = json.loads(line)
    if "shutdown" in said:
        with contextlib.suppress(ProcessLookupError):  # nothing is left that could be told
            os.kill(-1, signal.SIGTERM)
        return time.monotonic() + float(said["shutdown"])
    if "end" in said:
        for pid in [pid for pid, id in jobs.items() if id == said["end"]]:
            os.killpg(pid, signal.SIGKILL)
        return None
    try:
        jobs[start(said)] = said["id"]
    except OSError as error:
        sys.stderr.write(f"{said['argv'][0]}: {error.strerror}\n")
        tell(said["id"], 127)
    return None


def main() -> None:
    ready, wake = os.pipe()
    os.set_blocking(ready, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    jobs: dict[int, str] = {}
    rest, until = b"", None
    while True:
        wait = None if until is None else max(0.0, until - time.monotonic())
        found, _, _ = select.select([0, ready], [], [], wait)
        if ready in found:
            os.read(ready, 65536)
        if 0 in found:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                until = carry_out(line, jobs) or until
        busy = reap(jobs)
        if until is not None and (not busy or time.monotonic() >= until):
            return


if __name__ == "__main__":
    main()
