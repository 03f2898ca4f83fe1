"""The Elastic IP address of an instance: one of those that its group has, taken before the app begins, let go when it
has ended. Called by `agent.main`, on an EC2 instance of a group that has any.

EC2 itself lets go of it when the instance is terminated.
"""

from collections.abc import Callable, Mapping
from typing import Any

from homeport.errors import Unavailable
from homeport.system.clock import pause
from homeport.system.effect import effect

Client = Callable[[str], Any]
"""From a service to botocore's client."""
TRIES, BETWEEN_SECONDS = 24, 5.0
"""Whoever has the last one may be ending just now."""
NOT_THIS_TIME = ("Resource.AlreadyAssociated", "InvalidInstanceID", "IncorrectInstanceState")
"""Another instance was faster, or EC2 doesn't see this one run yet."""


class ElasticIps:
    """`parameter`: Systems Manager's, with their allocation ids. Every method raises what botocore does."""

    def __init__(self, client: Client, *, parameter: str, instance: str, say: Callable[[str], None]) -> None:
        self._client = client
        self._parameter = parameter
        self._instance = instance
        self._say = say

    def take(self) -> str:
        """The address that this instance has now. Raises `Unavailable` where none is free for two minutes."""
        ids = self._client("ssm").get_parameter(Name=self._parameter)["Parameter"]["Value"].split(",")
        for turn in range(TRIES):
            found = {str(each["AllocationId"]): each for each in self._look(ids)}
            own = next((each for each in found.values() if each.get("InstanceId") == self._instance), None)
            if own is not None:
                return str(own["PublicIp"])
            free = [each for each in ids if each in found and not found[each].get("AssociationId")]
            if not free and turn == 0:
                self._say(f"none of the {len(ids)} Elastic IP addresses of this group is free: waiting for one")
            taken = next((each for each in free if self._associated(each)), None)
            if taken is not None:
                return str(found[taken]["PublicIp"])
            pause(BETWEEN_SECONDS)
        raise Unavailable(
            f"none of the {len(ids)} Elastic IP addresses of this group is free",
            details=tuple(_words(each, found.get(each)) for each in ids),
        )

    def let_go(self) -> None:
        """It is somebody else's to take."""
        ids = self._client("ssm").get_parameter(Name=self._parameter)["Parameter"]["Value"].split(",")
        for each in self._look(ids):
            if each.get("InstanceId") == self._instance and each.get("AssociationId"):
                self._disassociate(each["AssociationId"])

    # --- inside -------------------------------------------------------------------------------------------------------

    def _look(self, ids: list[str]) -> list[Mapping[str, Any]]:
        """By a filter: one that was released isn't there, and that is all."""
        wanted = [{"Name": "allocation-id", "Values": ids}]
        found: list[Mapping[str, Any]] = self._client("ec2").describe_addresses(Filters=wanted)["Addresses"]
        return found

    def _associated(self, allocation: str) -> bool:
        """False: not this time. The way to AWS changes with the address: its answer may not arrive, and the next look
        shows what became of it."""
        from botocore.exceptions import ClientError, HTTPClientError

        try:
            self._associate(allocation)
        except HTTPClientError:
            return False
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in NOT_THIS_TIME:
                raise
            return False
        return True

    @effect("agent.take_address")
    def _associate(self, allocation: str) -> None:
        self._client("ec2").associate_address(
            AllocationId=allocation, InstanceId=self._instance, AllowReassociation=False
        )

    @effect("agent.let_address_go")
    def _disassociate(self, association: str) -> None:
        self._client("ec2").disassociate_address(AssociationId=association)


def _words(id_: str, seen: Mapping[str, Any] | None) -> str:
    if seen is None:
        return f"{id_} isn't there"
    return f"{id_} ({seen['PublicIp']}) is {seen.get('InstanceId') or seen.get('NetworkInterfaceId')}'s"
