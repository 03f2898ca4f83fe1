"""What resolvers ask a cloud account for, as a port: one account and region. The adapter for AWS fills it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from homeport.model.secret import Secret


class Lookup(Protocol):
    """Every method raises `NotFound` for what isn't there, `Invalid` for what may be several things, `Unavailable`."""

    def parameter(self, name: str) -> str | Secret:
        """Of SSM's parameter store, decrypted; a SecureString as `Secret`."""
        ...

    def secret(self, id: str, key: str = "") -> Secret:
        """Of Secrets Manager; with `key` one entry of its JSON."""
        ...

    def latest_image(self, owners: Sequence[str], filters: Mapping[str, Sequence[str]]) -> str:
        """Id of the machine image that was made last."""
        ...

    def latest_container(self, repository: str, tag: str = "", registry: str = "") -> str:
        """`repository-uri@sha256:…` of the newest, or of the one with the tag."""
        ...

    def security_group(self, name: str, vpc: str = "") -> str:
        """Its id."""
        ...

    def topic(self, name: str) -> str:
        """ARN of an SNS topic."""
        ...

    def certificate(self, domain: str) -> str:
        """ARN of the issued certificate for exactly this domain that expires last."""
        ...

    def vpc(self, tags: Mapping[str, str]) -> str: ...

    def subnets(self, tags: Mapping[str, str], vpc: str = "") -> Sequence[str]:
        """Ids, sorted by zone."""
        ...
