"""A simulated server: a process tree in a pid namespace of its own, with a directory and variables.

Called by `hypervisor`. What runs on it finds the machine's file system: images aren't simulated. Its first process is
`machine_init`; with that everything ends, and with the simulator's own end its input, and so that process.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homeport.errors import Unavailable
from homeport.simulation.aws.network import Network
from homeport.system.clock import pause

INIT = Path(__file__).with_name("machine_init.py")
CONSOLE = "console.log"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHUTDOWN_SECONDS = 3.0
KILL_SECONDS = 10.0


class Job:
    """A program that runs on the machine. `status` None: it hasn't ended; -1: the machine went away."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.status: int | None = None

    def end(self, status: int) -> None:
        self.status = status
        self.ended.set()


class Machine:
    """It runs from here on, without anything on it. `variables`: the environment of all that will be; `address`: its
    own in the network; without one it is in ours. Raises `Unavailable`."""

    def __init__(
        self, directory: Path, variables: Mapping[str, str], network: Network | None = None, address: str = ""
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        self.console = directory / CONSOLE
        self.console.touch(mode=0o600)
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._gone = False
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                (*_outer(network), sys.executable, "-I", "-S", str(INIT)),
                cwd=directory,
                env={"PATH": f"{Path(sys.executable).parent}:{PATH}", "HOME": str(directory), **variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                start_new_session=True,
            )
        if network is not None:
            try:
                network.join(self._first(), address)
            except Unavailable:
                self._process.kill()
                self._process.communicate()
                raise
        self._reader = threading.Thread(target=self._listen, name=f"machine {directory.name}", daemon=True)
        self._reader.start()

    def _first(self) -> int:
        """Pid of the machine's first process, as we see it."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while not (found := children.read_text().split()):
            if self._process.poll() is not None:
                raise Unavailable(f"the simulated machine {self.directory.name} ended at once: see {self.console}")
            pause(0.002)
        return int(found[0])

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def run(self, argv: tuple[str, ...], output: Path, error: Path | None = None) -> Job:
        """It has begun; what it writes goes to the ends of these files."""
        job, id = Job(), str(next(self._numbers))
        with self._lock:
            if self._gone:
                job.end(-1)
                return job
            self._jobs[id] = job
        said = {"id": id, "argv": argv, "output": str(output), "error": str(error) if error else ""}
        self._say(said)
        return job

    def kill(self, job: Job) -> None:
        """That program and its group are ended."""
        with self._lock:
            id = next((id for id, each in self._jobs.items() if each is job), None)
        if id is not None:
            self._say({"end": id})

    def shut_down(self, seconds: float = SHUTDOWN_SECONDS) -> None:
        """All on it get TERM, later KILL; nothing of it is left afterwards. EC2 User Guide, Terminate: "a terminated
        instance is shut down" as by an operating system's own shutdown."""
        if self.alive:
            self._say({"shutdown": seconds})
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds + KILL_SECONDS)
        self.power_off()

    def power_off(self) -> None:
        """Nothing of it is left, without a word to anybody on it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it may have gone by itself
            self._process.stdin.close()
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(KILL_SECONDS)

    def _say(self, said: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError), self._lock:  # its end is told by `_listen`
            os.write(self._process.stdin.fileno(), json.dumps(said).encode() + b"\n")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                said = json.loads(line)
                with self._lock:
                    job = self._jobs.pop(said["id"], None)
                if job is not None:
                    job.end(int(said["status"]))
        with self._lock:
            self._gone = True
            left, self._jobs = self._jobs, {}
        for job in left.values():
            job.end(-1)


def _outer(network: Network | None) -> tuple[str, ...]:
    """Bubblewrap, so that pids are the machine's own, and ports. As root it keeps its rights, as on a server."""
    rights = ("--cap-add", "ALL") if os.getuid() == 0 else ()
    own = ("--unshare-pid", *(network.arguments if network is not None else ()))
    return ("bwrap", "--dev-bind", "/", "/", *own, "--proc", "/proc", "--as-pid-1", *rights, "--")
