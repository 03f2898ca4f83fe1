"""What an EC2 instance is told about itself, by its metadata service (version 2). Called by `agent.main`.

"IMDSv2 uses session-oriented requests": a token is fetched by PUT, and sent with every question (EC2 User Guide).
"""

import http.client
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from homeport.errors import Unavailable
from homeport.system.clock import pause

ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_USUAL = "http://169.254.169.254"
_VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")
_SECONDS = 5.0
_AGAIN = (429, 500, 502, 503, 504)
ATTEMPTS, BETWEEN_SECONDS = 4, 1.0
"""A machine that boots is slow, and the service throttles whoever asks it much."""


class Metadata:
    """Answers, each asked for when it is needed. Raises `Unavailable`."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._token = ""

    @property
    def instance(self) -> str:
        return self._need("instance-id")

    @property
    def region(self) -> str:
        return self._need("placement/region")

    @property
    def zone(self) -> str:
        return self._need("placement/availability-zone")

    @property
    def address(self) -> str:
        return self._need("local-ipv4")

    def tags(self, prefix: str) -> dict[str, str]:
        """Those of the instance that begin so; empty where the service shows none."""
        names = (self._get("tags/instance") or "").split()
        return {name: self._need(f"tags/instance/{name}") for name in names if name.startswith(prefix)}

    def _need(self, path: str) -> str:
        found = self._get(path)
        if found is None:
            raise Unavailable(f"the metadata service of this instance has no {path}")
        return found

    def _get(self, path: str) -> str | None:
        if not self._token:
            self._token = self._ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}) or ""
        return self._ask("GET", f"/latest/meta-data/{path}", {"X-aws-ec2-metadata-token": self._token})

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> str | None:
        """None: there is no such thing."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, body = self._answer(method, path, headers)
            except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
                if attempt == ATTEMPTS:
                    raise Unavailable(f"the metadata service of this instance doesn't answer: {error}") from error
            else:
                if status == 200:
                    return body
                if status == 404:
                    return None
                if status not in _AGAIN or attempt == ATTEMPTS:
                    break
            pause(BETWEEN_SECONDS * attempt)
        raise Unavailable(f"the metadata service of this instance answered {status} to {method} {path}")

    def _answer(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_SECONDS)
        try:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def here(environ: Mapping[str, str]) -> Metadata | None:
    """None: this is no EC2 instance, or nobody shall ask. Asks nothing: elsewhere nobody would answer."""
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    if environ.get(ENDPOINT):
        return Metadata(environ[ENDPOINT])
    try:
        vendor = _VENDOR.read_text().strip()
    except OSError:
        return None
    return Metadata(_USUAL) if vendor == "Amazon EC2" else None
