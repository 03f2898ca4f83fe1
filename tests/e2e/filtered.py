"""Run as root of a network of its own: what reaches the ports of instances there, as JSON, before the packet filter is
loaded, with it (loaded twice, and released while another home has an instance), and after its release.
`python filtered.py <directory>`."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from homeport.engines.local import packet_filter
from homeport.instance.address import Addresses
from homeport.system.clock import SystemClock
from homeport.system.home import Home

INSTANCE, OTHER = 20123, 31000
HERE, THERE = "10.99.7.1", "10.99.7.2"
CONNECT = (
    "import socket, sys\n"
    "with socket.socket() as s:\n"
    "    s.settimeout(0.4)\n"
    "    print(s.connect_ex((sys.argv[1], int(sys.argv[2]))) == 0)\n"
)


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True)


@contextlib.contextmanager
def neighbour() -> Iterator[tuple[str, ...]]:
    """Another network, joined to this one by a cable; what runs a command there."""
    holder = subprocess.Popen(("unshare", "--net", "sh", "-c", "echo; exec sleep 1000"), stdout=subprocess.PIPE)
    enter = ("nsenter", "--target", str(holder.pid), "--net")
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        ip("link", "set", "lo", "up")
        ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(holder.pid))
        ip("address", "add", f"{HERE}/24", "dev", "near")
        ip("link", "set", "near", "up")
        subprocess.run((*enter, "ip", "address", "add", f"{THERE}/24", "dev", "far"), check=True)
        subprocess.run((*enter, "ip", "link", "set", "far", "up"), check=True)
        yield enter
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()


def reached(*prefix: str, address: str, port: int) -> bool:
    command = (*prefix, sys.executable, "-I", "-S", "-c", CONNECT, address, str(port))
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout == "True\n"


def answered(*prefix: str) -> bool:
    """Whether a connection that goes out from an instance's port gets its answer."""
    listen = "import socket; s = socket.create_server(('0.0.0.0', 9999)); print(flush=True); s.accept()"
    server = subprocess.Popen((*prefix, sys.executable, "-I", "-S", "-c", listen), stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        with socket.socket() as client:
            client.settimeout(5)
            client.bind((HERE, INSTANCE + 1))
            return client.connect_ex((THERE, 9999)) == 0
    finally:
        server.kill()
        server.wait()


def look(*prefix: str) -> dict[str, bool]:
    return {
        "from outside": reached(*prefix, address=HERE, port=INSTANCE),
        "another port": reached(*prefix, address=HERE, port=OTHER),
        "over loopback": reached(address="127.64.0.1", port=INSTANCE),
        "own address": reached(address=HERE, port=INSTANCE),
    }


def home(name: str) -> Addresses:
    directory = Path(sys.argv[1])
    made = Home(directory / name, directory / f"{name}-runtime")
    made.create()
    return Addresses(made, SystemClock(), machine=directory / "machine")


assert os.getuid() == 0
with neighbour() as enter, socket.create_server(("0.0.0.0", INSTANCE)), socket.create_server(("0.0.0.0", OTHER)):
    found: list[object] = [packet_filter.active(), look(*enter)]
    packet_filter.keep()
    packet_filter.load(packet_filter.RULES)
    mine, other = home("mine"), home("other")
    other.port("shop/web-1")
    packet_filter.release(mine)
    found += [packet_filter.active(), look(*enter), answered(*enter)]
    other.release("shop")
    packet_filter.release(mine)
    found += [packet_filter.active(), look(*enter)]
    print(json.dumps(found))
