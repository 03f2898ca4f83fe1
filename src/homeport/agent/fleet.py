"""What an instance of an Auto Scaling group tells AWS about itself: which release it runs, that it is ready, or why it
never will be. Called by `agent.main`; botocore is imported only here, and only on such an instance.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from homeport.agent.metadata import Metadata
from homeport.errors import Conflict, HomeportError, Unavailable
from homeport.plan.instance_file import InstanceFile, of_tags
from homeport.plan.last_words import LastWords, last_words_key
from homeport.stores.objects import open_store
from homeport.system.clock import pause
from homeport.system.effect import effect

HOOK, LAST_HOOK = "homeport-launching", "homeport-terminating"
RELEASE = "homeport-release"
_PATIENCE_SECONDS = 120


class Member(Struct, frozen=True, kw_only=True):
    """Who this instance is. `fleet`: its Auto Scaling group; `identity`: the parameter with the age identity."""

    instance: str
    region: str
    fleet: str
    identity: str
    said: dict[str, str]
    """Its tags, in the words of the instance file."""


def member(metadata: Metadata) -> Member | None:
    """None: it is no instance of Homeport's, or doesn't show its tags."""
    tags = metadata.tags("homeport-")
    if "homeport-fleet" not in tags:
        return None
    instance = metadata.instance
    return Member(
        instance=instance,
        region=metadata.region,
        fleet=tags["homeport-fleet"],
        identity=tags.get("homeport-identity", ""),
        said=of_tags(tags, instance=instance, zone=metadata.zone, address=metadata.address),
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
        return botocore.session.get_session()

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


def last_words(said: InstanceFile, error: HomeportError, at: datetime, release: int | None) -> None:
    """Why the instance isn't to be had lies in the store, for when it is gone. Raises `Unavailable`."""
    if said.store is None or said.app is None or said.environment is None or said.instance is None:
        return
    words = LastWords(
        instance=said.instance,
        group=said.group or "",
        at=at,
        release=release,
        message=error.message,
        details=error.details,
    )
    _leave(
        open_store(said.store), last_words_key(said.app, said.environment, said.instance), msgspec.json.encode(words)
    )


@effect("agent.leave_last_words")
def _leave(store: Any, key: str, data: bytes) -> None:
    try:
        store.create(key, data)
    except Conflict:  # it has said so before
        return


@effect("agent.keep_identity")
def _keep(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.new")
    with open(part, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text if text.endswith("\n") else f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
