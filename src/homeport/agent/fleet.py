"""What an instance of an Auto Scaling group tells AWS about itself: which release it runs, where it is reached, that it
is ready, or why it never will be. Called by `agent.main`; botocore is imported only here, and only on such an instance.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct

from homeport.agent.elastic_ip import ElasticIps
from homeport.agent.metadata import Metadata
from homeport.agent.name import Name
from homeport.errors import Unavailable
from homeport.plan.instance_file import of_tags
from homeport.system.clock import pause
from homeport.system.effect import effect

HOOK, LAST_HOOK = "homeport-launching", "homeport-terminating"
RELEASE = "homeport-release"
_PATIENCE_SECONDS = 120
_METADATA_SECONDS, _METADATA_ATTEMPTS = 5, 4


class Member(Struct, frozen=True, kw_only=True):
    """Who this instance is. `fleet`: its Auto Scaling group; `identity`: the parameter with the age identity. `name`,
    and the zone that it is in; `addresses`: the parameter with the ids of Elastic IPs; empty: its group has none."""

    instance: str
    address: str
    """Its private one."""
    region: str
    fleet: str
    identity: str
    name: str
    name_zone: str
    addresses: str
    said: dict[str, str]
    """Its tags, in the words of the instance file."""


def member(metadata: Metadata) -> Member | None:
    """None: it is no instance of Homeport's, or doesn't show its tags."""
    tags = metadata.tags("homeport-")
    if "homeport-fleet" not in tags:
        return None
    instance, address = metadata.instance, metadata.address
    return Member(
        instance=instance,
        address=address,
        region=metadata.region,
        fleet=tags["homeport-fleet"],
        identity=tags.get("homeport-identity", ""),
        name=tags.get("homeport-name", ""),
        name_zone=tags.get("homeport-names", ""),
        addresses=tags.get("homeport-addresses", ""),
        said=of_tags(tags, instance=instance, zone=metadata.zone, address=address),
    )


class Fleet:
    """Every method raises `Unavailable` where AWS doesn't answer, or refuses."""

    def __init__(self, member: Member) -> None:
        self.member = member

    @cached_property
    def _session(self) -> Any:
        try:
            import botocore.session
        except ModuleNotFoundError as error:
            raise Unavailable(
                "botocore, which tells AWS, isn't installed", hint="pip install 'homeport[aws]'"
            ) from error
        from homeport.agent.service import OwnModels

        session = botocore.session.get_session()
        session.register_component("data_loader", OwnModels())
        # by default one question of 1 s: on a machine that is just beginning to serve, that is soon over
        session.set_config_variable("metadata_service_timeout", _METADATA_SECONDS)
        session.set_config_variable("metadata_service_num_attempts", _METADATA_ATTEMPTS)
        return session

    def _client(self, service: str) -> Any:
        from botocore.config import Config

        config = Config(retries={"mode": "standard", "max_attempts": 6}, connect_timeout=10, read_timeout=20)
        return self._session.create_client(service, region_name=self.member.region, config=config)

    @effect("agent.tell_release")
    def tell(self, release: str) -> None:
        """Everybody sees which release runs here."""
        with self._translated(f"tagging {self.member.instance}"):
            tags = [{"Key": RELEASE, "Value": release}]
            self._client("ec2").create_tags(Resources=[self.member.instance], Tags=tags)

    def ready(self, *, well: bool) -> None:
        """The launch goes on, or is given up. Harmless where nobody waits for the word. An instance may be faster than
        its group, which only waits once it has seen it run."""
        with self._translated(f"the life-cycle hook of {self.member.instance}"):
            for _ in range(_PATIENCE_SECONDS):
                if self._complete(HOOK, "CONTINUE" if well else "ABANDON") or not self._pending():
                    return
                pause(1)

    def gone(self) -> None:
        """The instance may end. Harmless where it shan't."""
        with self._translated(f"the life-cycle hook of {self.member.instance}"):
            self._complete(LAST_HOOK, "CONTINUE")

    @effect("agent.tell_ready")
    def _complete(self, hook: str, result: str) -> bool:
        """False: nobody waits for it, or not yet."""
        from botocore.exceptions import ClientError

        try:
            self._client("autoscaling").complete_lifecycle_action(
                AutoScalingGroupName=self.member.fleet,
                LifecycleHookName=hook,
                InstanceId=self.member.instance,
                LifecycleActionResult=result,
            )
        except ClientError as error:
            # "No active Lifecycle Action found"
            if error.response.get("Error", {}).get("Code") == "ValidationError":
                return False
            raise
        return True

    def _pending(self) -> bool:
        answer = self._client("autoscaling").describe_auto_scaling_instances(InstanceIds=[self.member.instance])
        return any(each["LifecycleState"].startswith("Pending") for each in answer["AutoScalingInstances"])

    def take_address(self, say: Callable[[str], None]) -> None:
        """The instance has one of its group's Elastic IP addresses, where that has any."""
        if self.member.addresses:
            with self._translated(f"an Elastic IP address for {self.member.instance}"):
                say(f"goes out from {self._elastic_ips(say).take()}")

    def take_name(self, say: Callable[[str], None]) -> None:
        """Its private name leads to it, where its group has one."""
        if (name := self._name()) is not None:
            with self._translated(f"the name {name.name}"):
                gone = name.take()
            say(f"{name.name} leads here" + (f", and no longer to {', '.join(gone)}" if gone else ""))

    def give_name_back(self) -> None:
        if (name := self._name()) is not None:
            with self._translated(f"the name {name.name}"):
                name.give_back()

    def let_address_go(self, say: Callable[[str], None]) -> None:
        if self.member.addresses:
            with self._translated(f"the Elastic IP address of {self.member.instance}"):
                self._elastic_ips(say).let_go()

    def _name(self) -> Name | None:
        said = self.member
        if not said.name:
            return None
        return Name(self._client, zone=said.name_zone, name=said.name, instance=said.instance, address=said.address)

    def _elastic_ips(self, say: Callable[[str], None]) -> ElasticIps:
        said = self.member
        return ElasticIps(self._client, parameter=said.addresses, instance=said.instance, say=say)

    def bring_identity(self, path: Path) -> None:
        """What decrypts secrets lies at `path`."""
        if path.exists() or not self.member.identity:
            return
        with self._translated(f"the parameter {self.member.identity}"):
            answer = self._client("ssm").get_parameter(Name=self.member.identity, WithDecryption=True)
        _keep(path, answer["Parameter"]["Value"])

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            yield
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            raise Unavailable(f"{what}: {error}") from error


@effect("agent.keep_identity")
def _keep(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.new")
    with open(part, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text if text.endswith("\n") else f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
