"""An instance's metadata: asked with a token, and what its tags say."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from homeport.agent import metadata
from homeport.agent.fleet import member
from homeport.agent.metadata import ENDPOINT, Metadata, here
from homeport.errors import Unavailable
from homeport.plan.instance_file import read

PATHS = {
    "instance-id": "i-0a1b2c3d",
    "local-ipv4": "10.20.0.7",
    "placement/region": "eu-west-1",
    "placement/availability-zone": "eu-west-1b",
    "tags/instance": "homeport-app\nhomeport-environment\nhomeport-fleet\nhomeport-listen\nhomeport-store",
    "tags/instance/homeport-app": "shop",
    "tags/instance/homeport-environment": "production",
    "tags/instance/homeport-fleet": "homeport-shop-production-shop-web",
    "tags/instance/homeport-listen": "8080",
    "tags/instance/homeport-store": "s3://bucket",
}


class Handler(BaseHTTPRequestHandler):
    """Version 2 only: no answer without a token."""

    def do_PUT(self) -> None:
        self._answer(200, "secret-token" if "X-aws-ec2-metadata-token-ttl-seconds" in self.headers else "")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "secret-token":
            self._answer(401, "")
            return
        found = PATHS.get(self.path.removeprefix("/latest/meta-data/"))
        self._answer(404 if found is None else 200, found or "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_instance_is_what_its_tags_say(endpoint: str) -> None:
    found = here({ENDPOINT: endpoint})
    assert found is not None
    who = member(found)
    assert who is not None
    assert (who.instance, who.region, who.fleet) == ("i-0a1b2c3d", "eu-west-1", "homeport-shop-production-shop-web")
    said = read('zone = "c"', {"HOMEPORT_APP": "blog"}, "instance.toml", who.said)
    assert (said.store, said.environment, said.listen) == ("s3://bucket", "production", "10.20.0.7:8080")
    assert (said.instance, said.app, said.zone) == ("i-0a1b2c3d", "blog", "c")


def test_nobody_is_asked_who_shall_not_be(endpoint: str) -> None:
    assert here({ENDPOINT: endpoint, "AWS_EC2_METADATA_DISABLED": "true"}) is None


def test_one_that_is_slow_or_throttles_is_asked_again(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "BETWEEN_SECONDS", 0)
    troubles = ["breaks off", 503, "breaks off"]
    answer = Handler.do_GET

    def get(self: Handler) -> None:
        trouble = troubles.pop() if troubles else None
        if trouble is None:
            answer(self)
        elif trouble == 503:
            self._answer(503, "")

    monkeypatch.setattr(Handler, "do_GET", get)
    assert Metadata(endpoint).instance == "i-0a1b2c3d"
    troubles += [503] * metadata.ATTEMPTS
    with pytest.raises(Unavailable, match="answered 503 to GET /latest/meta-data/instance-id"):
        _ = Metadata(endpoint).instance
    assert troubles == []


def test_a_service_that_is_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "BETWEEN_SECONDS", 0)
    with pytest.raises(Unavailable, match="doesn't answer"):
        member(Metadata("http://127.0.0.1:9"))
