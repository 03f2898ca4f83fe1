"""What passes requests on for the simulated load balancers: a real HAProxy, made from listeners, rules and target
groups, and told at each change of a target. Made by `simulator`, which calls `tick`.

A listener gets a port of this machine's loopback, for as long as it lives: `ports`.
"""

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from homeport.errors import Unavailable
from homeport.simulation.aws.balancer_text import SLOTS, Slot, Text, backend, render, unsupported
from homeport.simulation.aws.inventory import Balancing, Inventory
from homeport.simulation.aws.machine import Machine
from homeport.simulation.aws.target import Targets
from homeport.system.clock import pause

READY_SECONDS, ANSWER_SECONDS = 60.0, 10.0
LOOK_SECONDS = 0.02
DESCRIPTION = "description:"


class Balancer:
    """Of one region. HAProxy runs on a machine of its own, and so ends with the simulator whatever becomes of it."""

    def __init__(self, inventory: Inventory, targets: Targets) -> None:
        self._inventory = inventory
        self._targets = targets
        self._directory = Path(tempfile.mkdtemp(prefix="homeport-alb-"))  # short: sockets' paths are
        self._socket = self._directory / "socket"
        self._config = self._directory / "haproxy.cfg"
        self._pid = self._directory / "pid"
        self._machine: Machine | None = None
        self._lock = threading.RLock()
        self._slots: dict[str, list[Slot]] = {}
        self._running = ""
        self.ports: dict[str, int] = {}
        """Listener's ARN → port."""
        self._held: dict[str, socket.socket] = {}
        """What keeps others, connections that go out among them, from a listener's port before HAProxy has it."""

    def url(self, dns_name: str) -> str | None:
        """Where that load balancer's first listener answers; None: nowhere yet."""
        balancing = self._inventory.balancing()
        with self._lock:
            found = [
                (each["Port"], self.ports[arn])
                for arn, each in balancing.listeners.items()
                if arn in self.ports and balancing.balancers[each["LoadBalancerArn"]]["DNSName"] == dns_name
            ]
        return f"http://127.0.0.1:{min(found)[1]}" if found else None

    def sessions(self) -> int:
        """How many requests are in flight to targets, in the present process."""
        with self._lock:
            rows = [line.split(",") for line in self._ask("show stat").splitlines()]
        return sum(int(row[4] or 0) for row in rows if len(row) > 4 and row[1] == "BACKEND")

    def tick(self) -> None:
        """HAProxy sends requests where they may go now."""
        balancing, now = self._inventory.balancing(), self._targets.now()
        with self._lock:
            if problems := unsupported(balancing):
                raise Unavailable(f"the load balancer's stand-in can't do {problems[0]}")
            self._allot(balancing)
            before = self._slots
            self._slots = {
                arn: self._servers(arn, before.get(arn, ())) for arn in balancing.groups if balancing.in_use(arn)
            }
            if self.ports:
                text = render(balancing, self.ports, self._slots, str(self._socket), str(self._pid))
                if text.fingerprint != self._running:
                    self._load(text)
                elif not self._told(before):
                    self._running = ""  # the next turn tells it everything
                    return
        self._targets.told(now)

    def stop(self) -> None:
        if self._machine is not None:
            self._machine.power_off()
        for each in self._held.values():
            each.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _allot(self, balancing: Balancing) -> None:
        for arn in [each for each in self.ports if each not in balancing.listeners]:
            del self.ports[arn]
            self._held.pop(arn).close()
        for arn in balancing.listeners:
            if arn not in self.ports:
                held = self._held[arn] = socket.socket()
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as HAProxy has it
                held.bind(("127.0.0.1", 0))
                self.ports[arn] = int(held.getsockname()[1])

    def _servers(self, arn: str, slots: Sequence[Slot]) -> list[Slot]:
        """Each address keeps its slot until its requests had their time; a slot is free once nothing is in it."""
        wanted = {f"{address}:{port}" for address, port in self._targets.routable(arn).values()}
        kept = self._targets.leaving(arn)
        found = [_next(each, wanted, kept) for each in slots]
        there = {each.address for each in found if each.state == "ready"}
        fresh = iter(sorted(wanted - there))
        for number, each in enumerate(found):
            if each.state == "maint" and (address := next(fresh, None)):
                found[number] = Slot(each.name, address, "ready")
        for address in fresh:
            found.append(Slot(f"s{len(found)}", address, "ready"))
        found += [Slot(f"s{number}") for number in range(len(found), -(-len(found) // SLOTS) * SLOTS or SLOTS)]
        return found

    def _load(self, text: Text) -> None:
        """HAProxy runs with this text; connections that others of its processes hold go on."""
        self._config.write_text(text.text)
        if self._machine is None or not self._machine.alive:
            self._machine = Machine(self._directory / "machine", {})
        script = f"kill -USR2 $(head -n 1 {self._pid}) || exec haproxy -W -f {self._config}"
        self._machine.run(("/bin/sh", "-c", script), self._machine.console)
        until = time.monotonic() + READY_SECONDS
        while self._fingerprint() != text.fingerprint:
            if time.monotonic() > until:
                raise Unavailable(f"HAProxy doesn't take {self._config}: {self._machine.console.read_text()[-500:]}")
            pause(LOOK_SECONDS)
        self._running = text.fingerprint

    def _fingerprint(self) -> str:
        try:
            said = self._ask("show info")
        except OSError:
            return ""
        return next((line.removeprefix(DESCRIPTION).strip() for line in said.splitlines()
                     if line.startswith(DESCRIPTION)), "")  # fmt: skip

    def _told(self, before: dict[str, list[Slot]]) -> bool:
        """False: it didn't hear."""
        commands = [line for arn, slots in self._slots.items() for line in _commands(arn, before[arn], slots)]
        try:
            if commands:
                self._ask("; ".join(commands))
        except OSError:
            return False
        return True

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(self._socket))
            connection.sendall(command.encode() + b"\n")
            found = b""
            while data := connection.recv(65536):
                found += data
        return found.decode(errors="replace")


def _next(slot: Slot, wanted: set[str], draining: set[str]) -> Slot:
    """The slot as it is to be, if it keeps its address."""
    if slot.state == "maint":
        return slot
    if slot.address in wanted:
        return Slot(slot.name, slot.address, "ready")
    # a target that is ill, or leaves, gets nothing new; one that is gone has nothing any more
    return Slot(slot.name, slot.address, "drain") if slot.address in draining else Slot(slot.name)


def _commands(arn: str, before: Sequence[Slot], after: Sequence[Slot]) -> Iterator[str]:
    for old, new in zip(before, after, strict=True):
        if old == new:
            continue
        server = f"{backend(arn)}/{new.name}"
        if new.state != "maint" and new.address != old.address:
            address, _, port = new.address.partition(":")
            yield f"set server {server} addr {address} port {port}"
        yield f"set server {server} weight {0 if new.state == 'drain' else 1}"
        yield f"set server {server} state {'maint' if new.state == 'maint' else 'ready'}"
