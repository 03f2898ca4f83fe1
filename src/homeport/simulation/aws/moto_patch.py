"""Where moto's own code has to be changed for what the simulator needs: each change in a function of its own, each held
by a test that fails once moto does without it. Called by `simulator`.

moto's version is pinned exactly (extra `simulator`): another one is refused.
"""

from collections.abc import Callable
from typing import Any

import moto
from moto.ec2.models.instances import Instance
from moto.ec2.models.subnets import Subnet

from homeport.errors import Invalid

VERSION = "5.2.5"
_ORIGINAL = Subnet.get_available_subnet_ip


def check() -> None:
    """Raises `Invalid` for another version than the one that everything here was tried with."""
    if moto.__version__ != VERSION:
        raise Invalid(
            f"moto {moto.__version__} is installed, the simulator needs {VERSION}",
            hint=f"pip install 'homeport[simulator]'   # or: pip install moto=={VERSION}",
        )


def instances_on_loopback(address: Callable[[], str]) -> None:
    """Private addresses of instances come from `address`: they are this machine's, so that what runs there can be
    reached. moto takes them from the subnet's block."""

    def available(self: Any, instance: Any) -> str:
        return address() if isinstance(instance, Instance) else str(_ORIGINAL(self, instance))

    Subnet.get_available_subnet_ip = available  # type: ignore[method-assign]
