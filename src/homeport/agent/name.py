"""What an instance is called within its network: a record of its own beside those of the others of its group, in the
environment's private hosted zone. Called by `agent.main`, on an EC2 instance of a group that has names.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from homeport.plan.aws_name import record
from homeport.system.effect import effect

Client = Callable[[str], Any]
"""From a service to botocore's client."""
Record = Mapping[str, Any]
AT_ONCE = 50
"""DescribeAutoScalingInstances, InstanceIds: "Array Members: … Maximum number of 50 items"."""

ENDING = "Terminat"
"""States begin so in which an instance has given its name back, or is dead and never will."""


class Name:
    """`zone`: id of the hosted zone. Every method raises what botocore does."""

    def __init__(self, client: Client, *, zone: str, name: str, instance: str, address: str) -> None:
        self._client = client
        self._zone = zone
        self.name = name
        self._instance = instance
        self._address = address

    def take(self) -> list[str]:
        """The name leads to this instance, and no longer to those that are gone: their ids."""
        records = {str(each["SetIdentifier"]): each for each in self._records()}
        own = record(self.name, self._instance, self._address)
        if records.get(self._instance, {}).get("ResourceRecords") != own["ResourceRecords"]:
            self._change("UPSERT", own)
        gone = self._gone([each for each in records if each != self._instance])
        for each in gone:
            self._remove(records[each])
        return gone

    def give_back(self) -> None:
        """The name no longer leads here."""
        for each in self._records():
            if each["SetIdentifier"] == self._instance:
                self._remove(each)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _records(self) -> Iterator[Record]:
        """Those of the name, each of one instance. They are told in the order of names and types."""
        pages = self._client("route53").get_paginator("list_resource_record_sets")
        for page in pages.paginate(HostedZoneId=self._zone, StartRecordName=self.name, StartRecordType="A"):
            for each in page["ResourceRecordSets"]:
                if each["Name"].rstrip(".") != self.name or each["Type"] != "A":
                    return
                if "SetIdentifier" in each:
                    yield each

    def _gone(self, instances: list[str]) -> list[str]:
        """Those that belong to no Auto Scaling group any more, or are being ended by it."""
        there: set[str] = set()
        for first in range(0, len(instances), AT_ONCE):
            asked = instances[first : first + AT_ONCE]
            answer = self._client("autoscaling").describe_auto_scaling_instances(InstanceIds=asked)
            stay = [each for each in answer["AutoScalingInstances"] if not each["LifecycleState"].startswith(ENDING)]
            there |= {each["InstanceId"] for each in stay}
        return sorted(set(instances) - there)

    def _remove(self, seen: Record) -> None:
        from botocore.exceptions import ClientError

        try:
            self._change("DELETE", seen)
        except ClientError as error:
            # it "was not found", or isn't what it was: another successor was faster
            if error.response.get("Error", {}).get("Code") != "InvalidChangeBatch":
                raise

    @effect("agent.change_name")
    def _change(self, verb: str, said: Record) -> None:
        self._client("route53").change_resource_record_sets(
            HostedZoneId=self._zone, ChangeBatch={"Changes": [{"Action": verb, "ResourceRecordSet": said}]}
        )
