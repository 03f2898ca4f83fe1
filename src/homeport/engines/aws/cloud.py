"""Accounts and regions of AWS by boto3: the adapter of `ports.cloudformation.Cloud`. Opened by wiring.

Credentials are found as AWS's own programs find them. A target's role is taken on once per run. Of boto3 its lower half
is used, botocore: the upper one takes time to import, and nothing of it is asked for.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.session import Session

from homeport.engines.aws.cloudformation import AwsCloudFormation
from homeport.engines.aws.error import translated
from homeport.engines.aws.lookup import AwsLookup
from homeport.errors import HomeportError
from homeport.model.stack import Target
from homeport.system.aws_model import Models, moment

ATTEMPTS = 10
CONNECT_SECONDS, READ_SECONDS = 10, 60
NAME = "homeport"


class AwsCloud:
    """Clients are kept: making one takes longer than asking it. `attempts`: how often a question is asked at most."""

    def __init__(self, attempts: int = ATTEMPTS) -> None:
        self._attempts = attempts
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._callers: dict[str, str] = {}

    def caller(self, target: Target) -> str:
        with self._asking, translated("asking whose credentials these are"):
            if target.role not in self._callers:
                self._callers[target.role] = str(self.client("sts", target).get_caller_identity()["Account"])
            return self._callers[target.role]

    def begin(self, target: Target, services: Sequence[str]) -> None:
        """Whose credentials these are is being asked, and clients for these services are being made, while others do
        something else. What goes wrong is theirs to find."""

        def work() -> None:
            with suppress(HomeportError):
                self.caller(target)
                with translated("clients"):
                    for each in services:
                        self.client(each, target)

        threading.Thread(target=work, name="clients", daemon=True).start()

    def cloudformation(self, target: Target) -> AwsCloudFormation:
        return AwsCloudFormation(lambda service: self.client(service, target), target.region)

    def lookup(self, target: Target) -> AwsLookup:
        return AwsLookup(lambda service: self.client(service, target))

    def client(self, service: str, target: Target) -> Any:
        """Of boto3; safe to share between threads. Raises what boto3 raises."""
        key = (service, target.region, target.role)
        with self._lock:
            if key not in self._clients:
                config = Config(
                    retries={"mode": "adaptive", "max_attempts": self._attempts},
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    user_agent_extra=NAME,
                )
                own = self._session(target)
                self._clients[key] = own.create_client(service, region_name=target.region or None, config=config)
            return self._clients[key]

    def _session(self, target: Target) -> Session:
        if target.role not in self._sessions:
            own = session()
            self._sessions[target.role] = _assumed(own, target) if target.role else own
        return self._sessions[target.role]


def session() -> Session:
    """A new one. What it reads of services, others have as well."""
    found = Session()
    found.register_component("data_loader", _models(found.get_config_variable("data_path") or ""))
    found.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return found


@cache
def _models(places: str) -> Models:
    """`places`: what AWS_DATA_PATH says."""
    return Models(places.split(os.pathsep) if places else None)


def _assumed(own: Session, target: Target) -> Session:
    sts = own.create_client("sts", region_name=target.region)
    keys = sts.assume_role(RoleArn=target.role, RoleSessionName=NAME)["Credentials"]
    assumed = session()
    assumed.set_credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    return assumed


def open_cloud() -> AwsCloud:
    """Without a word to AWS yet. The metadata service of a machine that is none of EC2's is asked only shortly."""
    os.environ.setdefault("AWS_METADATA_SERVICE_TIMEOUT", "1")
    return AwsCloud()
