"""The network that simulated instances are in: each has an interface and all ports to itself, as a server has, and no
way but to the simulator: what asks for names or other sites is refused at once. Made by `simulator`.

Root only, by a bridge and a pair of interfaces per machine; the simulator answers on the bridge. Where that can't be
(an ordinary user, a kernel without bridges) instances have loopback addresses of their own on the machine's network
(`Loopback`): what listens on all addresses then meets the others.
"""

import os
import socket
import subprocess
from pathlib import Path
from typing import Protocol

from homeport.errors import Unavailable
from homeport.simulation.aws.address import Addresses

THIRD = range(256)
NETWORK = "198.18.{}"
"""Of RFC 2544's range for trials, which nobody has."""
OWN, LAST = 254, 253
HARDWARE = "02:c6:12:00:{:02x}:fe"
"""Of a bridge; administered locally."""
NAME = "hpsim"
DEVICES = Path("/sys/class/net")


class Network(Protocol):
    """`address`: at which the simulator answers its machines. `arguments`: of bubblewrap, for each machine."""

    address: str
    arguments: tuple[str, ...]

    def take(self) -> str:
        """An address for an instance. Raises `Unavailable` where all are taken."""
        ...

    def join(self, pid: int, address: str) -> None:
        """The machine whose first process has this pid is reached there. Raises `Unavailable`."""
        ...

    def close(self) -> None: ...


class Loopback:
    address = "127.0.0.1"
    arguments: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._addresses = Addresses()

    def take(self) -> str:
        return self._addresses.take()

    def join(self, pid: int, address: str) -> None:
        pass

    def close(self) -> None:
        self._addresses.close()


class Bridge:
    """Its name is held by a socket of the same network namespace: the kernel lets go of it whatever becomes of the
    program, and a bridge whose name nobody holds is a dead simulator's."""

    arguments: tuple[str, ...] = ("--unshare-net",)

    def __init__(self) -> None:
        """Raises `Unavailable`."""
        self._guard, third = _claimed()
        self._name, self._block = f"{NAME}{third}", NETWORK.format(third)
        self.address = f"{self._block}.{OWN}"
        self._last = 0
        if (DEVICES / self._name).exists():
            _ip("link", "del", self._name)
        # an address of its own: else it takes the lowest of its ports', and who knew the one before reaches nobody
        made = (
            _ip("link", "add", self._name, "address", HARDWARE.format(third), "type", "bridge")
            and _ip("addr", "add", f"{self.address}/24", "dev", self._name)
            and _ip("link", "set", self._name, "up")
        )
        if not made:
            self.close()
            raise Unavailable(f"the bridge {self._name} for simulated instances doesn't come up")

    def take(self) -> str:
        """One that no machine has; those of machines that are gone come again, the longest unused first."""
        for _ in range(LAST):
            self._last = self._last % LAST + 1
            if not (DEVICES / f"{self._name}.{self._last}").exists():
                return f"{self._block}.{self._last}"
        raise Unavailable("no addresses are left for simulated instances", hint="end this simulator, begin another")

    def join(self, pid: int, address: str) -> None:
        outer = f"{self._name}.{address.rpartition('.')[2]}"
        made = _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        inside = ("nsenter", "--target", str(pid), "--net", "ip")
        if not (
            made
            and _ip("link", "set", outer, "master", self._name, "up")
            and _run(*inside, "addr", "add", f"{address}/24", "dev", "eth0")
            and _run(*inside, "link", "set", "eth0", "up")
        ):
            raise Unavailable(f"the simulated instance at {address} gets no network")

    def close(self) -> None:
        _ip("link", "del", self._name)
        self._guard.close()


def _claimed() -> tuple[socket.socket, int]:
    """A bridge's number, and what holds it. Raises `Unavailable`."""
    guard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for third in THIRD:
        try:
            guard.bind(f"\0homeport-simulation-{third}")
        except OSError:
            continue
        return guard, third
    guard.close()
    raise Unavailable("no bridge is left for simulated instances", hint="end other simulators of this machine")


def network() -> Network:
    """The best that this machine and this user allow."""
    if os.getuid() == 0:
        try:
            return Bridge()
        except Unavailable:
            pass
    return Loopback()


def _ip(*words: str) -> bool:
    return _run("ip", *words)


def _run(*argv: str) -> bool:
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
