"""Sockets of this machine as /proc shows them. Called by the local engine: free ports, diagnosis."""

import os
import socket
from collections.abc import Iterator

from msgspec import Struct

from homeport.system.process import PROC, descendants

_LISTEN = "0A"


class TcpSocket(Struct, frozen=True):
    address: str
    """As in a URL: an IPv6 one in brackets."""
    port: int
    listens: bool
    inode: str


def tcp_sockets() -> Iterator[TcpSocket]:
    """All of the machine's, in any state."""
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for line in lines:
            fields = line.split()
            raw, port = fields[1].split(":")
            # Each group of 8 digits is a 32-bit word in the machine's byte order; ours are all little-endian.
            packed = b"".join(bytes.fromhex(raw[at : at + 8])[::-1] for at in range(0, len(raw), 8))
            text = socket.inet_ntop(family, packed)
            address = f"[{text}]" if family == socket.AF_INET6 else text
            yield TcpSocket(address, int(port, 16), fields[3] == _LISTEN, fields[9])


def ports_in_use() -> set[int]:
    """Local ports of all TCP sockets, whatever their address and state."""
    return {each.port for each in tcp_sockets()}


def port_is_free(port: int, *, but_closing: bool = False, address: str = "") -> bool:
    """Whether no TCP socket has this local port, whatever its address and state; with `address`, none that keeps others
    from listening there. Asks the kernel about the one port: a
    busy server has tens of thousands of sockets in `ports_in_use`. `but_closing`: those don't count that belonged to a
    server that has ended (TIME_WAIT), and don't keep the next one from listening (SO_REUSEADDR)."""
    family, wildcard = (socket.AF_INET6, "::") if socket.has_dualstack_ipv6() else (socket.AF_INET, "0.0.0.0")
    if address:
        family, wildcard = (socket.AF_INET6 if ":" in address else socket.AF_INET), address
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if but_closing:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((wildcard, port))
        except OSError:
            return False
    return True


def addresses_in_use() -> set[str]:
    """Local addresses of all TCP sockets."""
    return {each.address for each in tcp_sockets()}


def listening(pid: int) -> tuple[str, ...]:
    """`address:port` of every TCP socket on which the process or one below it listens, sorted."""
    inodes = {inode for each in (pid, *descendants(pid)) for inode in _socket_inodes(each)}
    return tuple(
        sorted({f"{each.address}:{each.port}" for each in tcp_sockets() if each.listens & (each.inode in inodes)})
    )


def _socket_inodes(pid: int) -> Iterator[str]:
    directory = PROC / str(pid) / "fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(directory / name)
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]
