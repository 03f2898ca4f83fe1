"""Django as its deployment checklist wants it: ALLOWED_HOSTS, redirect to https, hashed static files, migrations."""

import http.client
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.app_repository import commit, make_repository, replaced
from tests.e2e.person import Person
from tests.e2e.role import until_enough, wait_for

HOST = "notes.example.net"
MINE = "http.server.of.the.test"


class Site:
    """One app and home for all tests here: its dependencies are installed once."""

    def __init__(self, directory: Path) -> None:
        self.certificate, self.key = directory / "site.pem", directory / "site.key"
        app = make_repository("django", directory)
        edit = replaced(app, "homeport.toml", 'path = "/healthz"', 'path = "/healthz"\ngrace = "30s"')
        commit(app, {"homeport.toml": edit["homeport.toml"].replace("instances = 2", "instances = 1")})
        self.person = Person(app, directory / "home")

    def certify(self, name: str) -> None:
        """A new certificate, self-signed, whose common name is `name`."""
        new = self.certificate.with_suffix(".new")
        command = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        subject = ("-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{HOST}")
        subprocess.run((*command, *subject, "-keyout", self.key, "-out", new), check=True, capture_output=True)
        new.rename(self.certificate)

    def ask(self, path: str, host: str = HOST) -> tuple[http.client.HTTPResponse, str, dict[str, Any]]:
        """The answer, its body, and the certificate: one that isn't the test's own is refused."""
        url = urlsplit(self.person.url())
        assert url.scheme == "https"
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = Named(url.netloc, context=context, timeout=30)
        try:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            shown = connection.sock.getpeercert()
            return answer, answer.read().decode(), shown
        finally:
            connection.close()


class Named(http.client.HTTPSConnection):
    """Says the site's name in the TLS handshake, wherever it connects to."""

    sock: ssl.SSLSocket

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=HOST)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("django"))
    try:
        yield made
    finally:
        made.person.leave()


def test_without_tls_the_redirect_is_explained(site: Site) -> None:
    def error_of(grace: str) -> dict[str, Any]:
        commit(site.person.app, {"homeport.toml": file.replace('"30s"', f'"{grace}"')})
        return dict(site.person.document("up", code=6)["error"])

    file = (site.person.app / "homeport.toml").read_text()
    error = until_enough(("3s", "12s", "60s"), error_of, lambda error: "answered 301" in "\n".join(error["details"]))
    commit(site.person.app, {"homeport.toml": file})
    said = "\n".join(error["details"])
    assert f"Host {HOST}: answered 301" in said
    assert f"location: https://{HOST}/healthz" in said
    assert "[environments.staging] tls" in error["hint"]
    assert "SECURE_SSL_REDIRECT" in error["hint"]


def test_with_a_certificate_it_is_good(site: Site) -> None:
    site.certify("first")
    person = site.person
    file = (person.app / "homeport.toml").read_text()
    tls = f'tls = {{ certificate = "{site.certificate}", key = "{site.key}" }}\n'
    commit(person.app, {"homeport.toml": file + tls})
    said = person("up")
    assert "dependencies: unchanged" in said
    assert "release task done" in said
    assert said.splitlines()[-1].startswith("https://")
    assert "Applying contenttypes" in person("logs", "--process", "release")

    answer, page, _ = site.ask("/")
    assert answer.status == 200
    css = re.search(r'href="(/static/notes/notes\.[0-9a-f]{12}\.css)"', page)
    assert css, page
    answer, text, _ = site.ask(css[1])
    assert (answer.status, answer.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
    assert "immutable" in answer.headers["Cache-Control"]
    assert text == (person.app / "notes/static/notes/notes.css").read_text()
    answer, _, _ = site.ask("/", host="other.example.net")
    assert answer.status in (404, 503)


def test_a_renewed_certificate_is_served_by_itself(site: Site) -> None:
    assert common_name(site) == "first"
    site.certify("second")
    wait_for(lambda: common_name(site) == "second", "the renewed certificate is served", 30)


def common_name(site: Site) -> str:
    """Of the certificate that is served."""
    url = urlsplit(site.person.url())
    assert url.port is not None
    pem = ssl.get_server_certificate(("127.0.0.1", url.port), timeout=30)
    shown = subprocess.run(("openssl", "x509", "-noout", "-subject"), input=pem, capture_output=True, text=True)
    return shown.stdout.rpartition("=")[2].strip()
