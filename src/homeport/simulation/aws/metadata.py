"""The metadata service of one simulated instance, version 2. Made by `hypervisor` for each, on a port of its own.

Sentences in quotation marks are AWS's: EC2 User Guide, instance metadata.
"""

import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROOT = "/latest/"
TOKEN, TOKEN_LIFE = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"
LONGEST_SECONDS = 21600


class Metadata:
    """`entries` is asked at every request: path below /latest/ → text; a path with `/` at its end is a list."""

    def __init__(self, host: str, entries: Callable[[], Mapping[str, str]], v1: Callable[[], bool]) -> None:
        self.tokens: set[str] = set()
        self.entries = entries
        self.v1 = v1
        service = self

        class Handler(_Handler):
            metadata = service

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{self._server.server_address[0]!s}:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    metadata: Metadata

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_PUT(self) -> None:
        """ "The PUT request must include a header that specifies the time to live (TTL) for the token, in seconds, up
        to a maximum of six hours (21,600 seconds)." """
        life = self.headers.get(TOKEN_LIFE, "")
        if self.path != f"{ROOT}api/token" or not life.isdigit() or not 0 < int(life) <= LONGEST_SECONDS:
            self._send(400, "")
        elif self.headers.get("X-Forwarded-For"):
            # "The PUT request … isn't accepted if it contains an X-Forwarded-For header"
            self._send(403, "")
        else:
            token = secrets.token_urlsafe(32)
            self.metadata.tokens.add(token)
            self._send(200, token, {TOKEN_LIFE: life})

    def do_GET(self) -> None:
        """ "When the token is required, … requests that don't have one get 401 - Unauthorized"."""
        token = self.headers.get(TOKEN)
        if token not in self.metadata.tokens and not (token is None and self.metadata.v1()):
            self._send(401, "")
            return
        found = _read(self.metadata.entries(), self.path.removeprefix(ROOT))
        self._send(404 if found is None else 200, found or "")

    def _send(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        with contextlib.suppress(ConnectionError):  # who asked has gone meanwhile
            self.end_headers()
            self.wfile.write(body)


def _read(entries: Mapping[str, str], path: str) -> str | None:
    """A text, or the names below a path, one a line, those that have more below them with `/`; None: there is none."""
    if path in entries:
        return entries[path]
    prefix = f"{path.rstrip('/')}/" if path else ""
    names: dict[str, None] = {}
    for each in entries:
        if each.startswith(prefix):
            first, more, _ = each[len(prefix) :].partition("/")
            names[first + more] = None
    return "\n".join(names) if names else None


def entries(
    instance: Mapping[str, Any], *, region: str, account: str, user_data: str, life_cycle: str, role: str, keys: str
) -> dict[str, str]:
    """Of an instance as EC2 describes it. `life_cycle`: its target state; `role`, `keys`: empty without a profile."""
    zone = instance["Placement"]["AvailabilityZone"]
    found = {
        "meta-data/ami-id": instance["ImageId"],
        "meta-data/autoscaling/target-lifecycle-state": life_cycle,
        "meta-data/hostname": instance.get("PrivateDnsName", ""),
        "meta-data/instance-id": instance["InstanceId"],
        "meta-data/instance-life-cycle": instance.get("InstanceLifecycle", "on-demand"),
        "meta-data/instance-type": instance["InstanceType"],
        "meta-data/local-hostname": instance.get("PrivateDnsName", ""),
        "meta-data/local-ipv4": instance.get("PrivateIpAddress", ""),
        "meta-data/placement/availability-zone": zone,
        "meta-data/placement/region": region,
        "meta-data/services/domain": "amazonaws.com",
    }
    if not life_cycle:
        del found["meta-data/autoscaling/target-lifecycle-state"]
    if user_data:
        found["user-data"] = user_data
    if instance.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled":
        # "instance tags in instance metadata … are not available by default"
        found |= {f"meta-data/tags/instance/{each['Key']}": each["Value"] for each in instance.get("Tags", ())}
    if role:
        found[f"meta-data/iam/security-credentials/{role}"] = keys
    found["dynamic/instance-identity/document"] = json.dumps(
        {
            "accountId": account,
            "architecture": instance.get("Architecture", "x86_64"),
            "availabilityZone": zone,
            "imageId": instance["ImageId"],
            "instanceId": instance["InstanceId"],
            "instanceType": instance["InstanceType"],
            "privateIp": instance.get("PrivateIpAddress", ""),
            "region": region,
            "version": "2017-09-30",
        }
    )
    return found
