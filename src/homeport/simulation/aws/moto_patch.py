"""Where moto's own code has to be changed for what the simulator needs: each change in a function of its own, each held
by a test that fails once moto does without it. Called by `simulator`.

moto's version is pinned exactly (extra `simulator`): another one is refused.
"""

import os
from collections.abc import Callable
from threading import Lock
from typing import Any

import moto
from moto.ec2.models.instances import Instance
from moto.ec2.models.subnets import Subnet
from moto.s3.responses import S3Response

from homeport.errors import Invalid

VERSION = "5.2.5"
_ORIGINAL = Subnet.get_available_subnet_ip
_WRITES = {name: getattr(S3Response, name) for name in ("_key_response_put", "_key_response_post")}


def check() -> None:
    """Raises `Invalid` for another version than the one that everything here was tried with."""
    if moto.__version__ != VERSION:
        raise Invalid(
            f"moto {moto.__version__} is installed, the simulator needs {VERSION}",
            hint=f"pip install 'homeport[simulator]'   # or: pip install moto=={VERSION}",
        )


def instances_here(address: Callable[[], str]) -> None:
    """Private addresses of instances come from `address`: they are this machine's, so that what runs there can be
    reached. moto takes them from the subnet's block."""

    def available(self: Any, instance: Any) -> str:
        return address() if isinstance(instance, Instance) else str(_ORIGINAL(self, instance))

    Subnet.get_available_subnet_ip = available  # type: ignore[method-assign]


def objects_created_once() -> None:
    """Of several who create an object where there is none, one does. moto looks first and writes then, in a thread for
    each of them."""
    lock = Lock()

    def alone(original: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return original(*args, **kwargs)

        return write

    for name, original in _WRITES.items():
        setattr(S3Response, name, alone(original))


def others_buckets_are_theirs() -> None:
    """A bucket of another account isn't shown: by default moto shows every bucket to everybody."""
    os.environ["MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS"] = "false"
