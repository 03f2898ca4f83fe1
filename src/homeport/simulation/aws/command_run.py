"""Scripts of Run Command, carried out on simulated machines. Used by `command`.

Sentences in quotation marks are AWS's: Systems Manager API Reference; pages named are of its User Guide.
"""

import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from homeport.ports.clock import Clock
from homeport.simulation.aws.command_model import DELIVERY_SECONDS, Command, Invocation, end, errors
from homeport.simulation.aws.hypervisor import Hypervisor

LOOK_SECONDS = 0.2


class Runner:
    """`lock` is held where an invocation changes. `clock` is paced, for waits that are AWS's own; what runs on a
    machine takes real time."""

    def __init__(self, hypervisor: Hypervisor, clock: Clock, lock: threading.RLock) -> None:
        self._hypervisor = hypervisor
        self._clock = clock
        self._lock = lock
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self.deaf: set[str] = set()
        """Instances whose agent has lost its connection: they stay registered, and hear nothing."""

    def begin(self, command: Command) -> None:
        thread = threading.Thread(target=self._carry_out, args=(command,), name=f"command {command.id}", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for each in self._threads:
            each.join()

    def _carry_out(self, command: Command) -> None:
        """Page "Using targets and rate controls": at most MaxConcurrency at once; once there are more errors than
        MaxErrors, nothing more is sent, and what runs goes on."""
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(min(command.concurrency, 50), thread_name_prefix=f"command {command.id}") as pool:
            for each in command.invocations.values():
                while len(running) >= command.concurrency:
                    _, running = wait(running, return_when=FIRST_COMPLETED)
                with self._lock:
                    if each.status != "Pending":
                        continue
                    if errors(command) > command.errors or self._stopped.is_set():
                        end(each, "Cancelled", "Terminated", self._clock.now())
                        continue
                    each.status = each.details = "InProgress"
                    each.began_at = self._clock.now()
                running.add(pool.submit(self._run, command, each))

    def _run(self, command: Command, invocation: Invocation) -> None:
        machine = self._hypervisor.machine(invocation.id)
        begun = self._clock.monotonic()
        limit = command.limit_seconds
        if machine is None:
            self._finish(invocation, "TimedOut", "DeliveryTimedOut", -1)
            return
        if invocation.id in self.deaf:
            self._wait_for_delivery(command, invocation)
            return
        place = machine.directory / "commands" / command.id
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        script, output, error = place / "_script.sh", place / "stdout", place / "stderr"
        script.write_text(command.script)
        into = f"cd {command.directory!r} && " if command.directory else ""
        job = machine.run(("/bin/sh", "-c", f"{into}exec /bin/sh {script}"), output, error)
        until = begun + limit * _pace(self._clock)
        while not job.ended.wait(LOOK_SECONDS):
            late = self._clock.monotonic() > until
            if late or self._stopped.is_set() or invocation.status == "Cancelling":
                machine.kill(job)
                job.ended.wait(LOOK_SECONDS)
                self._collect(invocation, output, error)
                word = "TimedOut" if late else "Cancelled"
                self._finish(invocation, word, "ExecutionTimedOut" if late else word, 137)
                return
        while job.status == -1 and self._clock.monotonic() < begun + limit and not self._stopped.wait(LOOK_SECONDS):
            pass  # the machine went away: nobody tells AWS, until the time is over
        self._collect(invocation, output, error)
        match job.status:
            case -1:
                self._finish(invocation, "TimedOut", "ExecutionTimedOut", -1)
            case 0:
                self._finish(invocation, "Success", "Success", 0)
            case status:
                self._finish(invocation, "Failed", "Failed", status or -1)

    def _wait_for_delivery(self, command: Command, invocation: Invocation) -> None:
        """SendCommand, TimeoutSeconds: "If this time is reached and the command hasn't already started running, it
        won't run." """
        until = self._clock.monotonic() + float(command.said.get("TimeoutSeconds") or DELIVERY_SECONDS)
        while self._clock.monotonic() < until and invocation.status != "Cancelling":
            if self._stopped.wait(LOOK_SECONDS / 2):
                break
        if invocation.status == "Cancelling":
            self._finish(invocation, "Cancelled", "Cancelled", -1)
        else:
            self._finish(invocation, "TimedOut", "DeliveryTimedOut", -1)

    def _collect(self, invocation: Invocation, output: Any, error: Any) -> None:
        invocation.output = output.read_text(errors="replace") if output.exists() else ""
        invocation.error = error.read_text(errors="replace") if error.exists() else ""
        if invocation.error and not invocation.error.endswith("\n"):
            invocation.error += "\n"

    def _finish(self, invocation: Invocation, status: str, details: str, code: int) -> None:
        if status == "Failed":
            # as the agent of Systems Manager ends the error output of a script that failed
            invocation.error += f"failed to run commands: exit status {code}"
        with self._lock:
            invocation.code = code
            end(invocation, status, details, self._clock.now())


def _pace(clock: Clock) -> float:
    """A script's own time isn't paced."""
    return float(getattr(clock, "pace", 1.0))
