"""Accounts and regions of AWS by boto3: the adapter of `ports.cloudformation.Cloud`. Opened by wiring.

Credentials are found as AWS's own programs find them. A target's role is taken on once per run.
"""

import os
import threading
from typing import Any

import boto3
from botocore.config import Config

from homeport.engines.aws.cloudformation import AwsCloudFormation
from homeport.engines.aws.error import translated
from homeport.engines.aws.lookup import AwsLookup
from homeport.model.stack import Target

ATTEMPTS = 10
CONNECT_SECONDS, READ_SECONDS = 10, 60
NAME = "homeport"


class AwsCloud:
    """Clients are kept: making one takes longer than asking it. `attempts`: how often a question is asked at most."""

    def __init__(self, attempts: int = ATTEMPTS) -> None:
        self._attempts = attempts
        self._lock = threading.Lock()
        self._sessions: dict[str, boto3.Session] = {}
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._callers: dict[str, str] = {}

    def caller(self, target: Target) -> str:
        with translated("asking whose credentials these are"):
            if target.role not in self._callers:
                self._callers[target.role] = str(self.client("sts", target).get_caller_identity()["Account"])
            return self._callers[target.role]

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
                session = self._session(target)
                self._clients[key] = session.client(service, region_name=target.region or None, config=config)
            return self._clients[key]

    def _session(self, target: Target) -> boto3.Session:
        if target.role not in self._sessions:
            own = boto3.Session()
            self._sessions[target.role] = _assumed(own, target) if target.role else own
        return self._sessions[target.role]


def _assumed(own: boto3.Session, target: Target) -> boto3.Session:
    answer = own.client("sts", region_name=target.region).assume_role(RoleArn=target.role, RoleSessionName=NAME)
    keys = answer["Credentials"]
    return boto3.Session(
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def open_cloud() -> AwsCloud:
    """Without a word to AWS yet. The metadata service of a machine that is none of EC2's is asked only shortly."""
    os.environ.setdefault("AWS_METADATA_SERVICE_TIMEOUT", "1")
    return AwsCloud()
