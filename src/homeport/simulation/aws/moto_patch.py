"""Where moto's own code has to be changed for what the simulator needs: each change in a function of its own, each held
by a test that fails once moto does without it. Called by `simulator`.

moto's version is pinned exactly (extra `simulator`): another one is refused.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Any

import moto
import moto.core.responses
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.instances import Instance
from moto.ec2.models.subnets import Subnet
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.s3.responses import S3Response

from homeport.errors import Invalid

VERSION = "5.2.5"
_ORIGINAL = Subnet.get_available_subnet_ip
_TERMINATE = Instance.terminate
_TAGS = TaggedEC2Resource.get_tags
_RESPONSES: Any = moto.core.responses
_METHODS = _RESPONSES.method_names_from_class
_BACKEND = DomainDispatcherApplication.get_backend_for_host
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


def addresses_let_go() -> None:
    """An Elastic IP address is nobody's when its instance is terminated. moto leaves it with it."""

    def terminate(self: Any) -> Any:
        found = _TERMINATE(self)
        backend = self.ec2_backend
        for each in [each for each in backend.addresses if each.association_id and each.instance is self]:
            backend.disassociate_address(association_id=each.association_id)
        return found

    Instance.terminate = terminate  # type: ignore[method-assign]


def tags_of_one() -> None:
    """Tags of one resource are found by its id. moto looks through those of all that there ever were, for each resource
    of each answer."""

    def tags(self: Any) -> list[dict[str, str]]:
        kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "") if self.id else ""
        own = self.ec2_backend.tags.get(self.id, {})
        return [{"resource_id": self.id, "key": key, "value": own[key], "resource_type": kind} for key in list(own)]

    TaggedEC2Resource.get_tags = tags  # type: ignore[method-assign]


def others_buckets_are_theirs() -> None:
    """A bucket of another account isn't shown: by default moto shows every bucket to everybody."""
    os.environ["MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS"] = "false"


def services_found_once() -> None:
    """Which service a host name is of is known after the first call to it. moto lists its own modules' directories for
    each call, and then tries the patterns of all of them: a third of what a small answer costs."""
    DomainDispatcherApplication.get_backend_for_host = lru_cache(1024)(_BACKEND)  # type: ignore[method-assign]


def operations_listed_once() -> None:
    """Which operations moto knows of a service is found once. It goes through all that the service's class has, at each
    call."""
    _RESPONSES.method_names_from_class = lru_cache(1024)(_METHODS)
