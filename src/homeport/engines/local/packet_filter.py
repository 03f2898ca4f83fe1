"""Closes the ports of instances to other machines, as root: apps listen on every address. Called by the watchman, which
keeps it so; `doctor` shows it, and how somebody else's root does the same.

One table serves all homes of the machine. Only the first packet of a connection is dropped (SYN without ACK), so that
an outgoing connection that happens to have one of these ports gets its answers.
"""

import os
import subprocess

from homeport.errors import Unavailable
from homeport.instance.address import PORTS, Addresses
from homeport.system import program
from homeport.system.effect import effect

TABLE = "homeport"
_RULE = f'iifname != "lo" tcp dport {PORTS.start}-{PORTS.stop - 1} tcp flags & (syn | ack) == syn drop'
RULES = (
    f"add table inet {TABLE}; add chain inet {TABLE} input {{ type filter hook input priority -5; }}; "
    f"flush chain inet {TABLE} input; add rule inet {TABLE} input {_RULE}"
)
"""One transaction of nft(8), the same however often it is loaded."""


def active() -> bool | None:
    """Whether the ports are closed; None: nobody can say, because there is no nft here."""
    nft = program.find("nft")
    if nft is None:
        return None
    code, text = program.ask(nft, "list", "table", "inet", TABLE)
    return code == 0 and f"{PORTS.start}-{PORTS.stop - 1}" in text and "drop" in text


def keep() -> None:
    """The ports are closed, where root can do it: without nft, or as a user, nothing is done. Raises `Unavailable`."""
    if os.getuid() == 0 and active() is False:
        load(RULES)


def release(addresses: Addresses) -> None:
    """The table is gone, unless an instance of any home of the machine still has a port. Raises `Unavailable`."""
    with addresses.unclaimed("port") as free:
        if free and os.getuid() == 0 and active():
            load(f"delete table inet {TABLE}")


@effect("packet_filter.load")
def load(rules: str) -> None:
    """nft's transaction, whole or not at all."""
    try:
        done = subprocess.run(
            (program.find("nft") or "nft", rules), capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"can't run nft: {error}") from error
    if done.returncode != 0:
        problem = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[0]
        raise Unavailable(f"nft doesn't change the packet filter: {problem}", hint="homeport doctor")
