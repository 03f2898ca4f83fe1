"""examples/site: a small build, its pages served by nginx behind the balancer."""

import gzip
import hashlib
import http.client
import re
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.app_repository import commit, make_repository, replaced
from tests.e2e.person import Person
from tests.e2e.role import wait_for

LARGE = 30_000_000
TCP = Path("/proc/net/tcp")
LONG = "    <p>" + "A light is seen from far. " * 100 + "</p>\n"


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    directory = tmp_path_factory.mktemp("site")
    app = make_repository("site", directory)
    one = replaced(app, "homeport.toml", "instances = 2", "instances = 1")
    page = (app / "pages/about.html").read_text()
    commit(app, {**one, "pages/about.html": page + LONG, "assets/tune.mp3": "0123456789", "pages/.secret.html": "x"})
    found = Person(app, directory / "home")
    try:
        found("up")
        yield found
    finally:
        found.leave()


def ask(person: Person, path: str, method: str = "GET", **headers: str) -> tuple[int, Message, bytes]:
    connection = http.client.HTTPConnection(urlsplit(person.url()).netloc, timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def asset(person: Person, kind: str) -> str:
    (found,) = set(re.findall(rf"/assets/\w+\.[0-9a-f]+\.{kind}", ask(person, "/")[2].decode()))
    return str(found)


def named(name: str, content: bytes) -> str:
    """Where the build puts an asset that no page links to."""
    stem, _, suffix = name.partition(".")
    return f"/assets/{stem}.{hashlib.sha256(content).hexdigest()[:10]}.{suffix}"


def test_pages(person: Person) -> None:
    status, headers, body = ask(person, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"The lighthouse" in body
    assert headers["Cache-Control"] == "no-cache"
    status, headers, _ = ask(person, "/about?a=b")
    assert (status, headers["Location"]) == (301, "/about/?a=b")
    assert ask(person, "/about/")[0] == 200


def test_what_is_kept_and_what_is_asked_again(person: Person) -> None:
    status, headers, _ = ask(person, asset(person, "css"))
    assert (status, headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    _, headers, _ = ask(person, "/")
    status, _, body = ask(person, "/", If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")
    assert ask(person, "/", If_Modified_Since=headers["Last-Modified"])[0] == 304


def test_gzip(person: Person) -> None:
    plain, squeezed = ask(person, "/about/"), ask(person, "/about/", Accept_Encoding="gzip")
    assert squeezed[1]["Content-Encoding"] == "gzip"
    assert gzip.decompress(squeezed[2]) == plain[2]
    assert len(squeezed[2]) < len(plain[2]) // 2


def test_ranges_and_head(person: Person) -> None:
    path = named("tune.mp3", b"0123456789")
    status, headers, body = ask(person, path, Range="bytes=2-4")
    assert (status, headers["Content-Range"], body) == (206, "bytes 2-4/10", b"234")
    assert headers["Content-Type"] == "audio/mpeg"
    status, headers, body = ask(person, path, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "10", b"")
    assert ask(person, path, "POST")[0] == 405


@pytest.mark.parametrize(
    "path", ["/nothing", "/assets/", "/homeport.toml", "/.secret/", "/../build.py", "/%2e%2e/build.py"]
)
def test_what_is_not_there(person: Person, path: str) -> None:
    status, headers, body = ask(person, path)
    if status == 400:
        assert "%2e" in path or ".." in path, "a path that leaves the site"
        return
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"Nothing here" in body
    assert "Cache-Control" not in headers


def test_nginx_writes_in_its_own_tmp_alone_and_says_who_asked(person: Person) -> None:
    ask(person, "/about/?who")
    wait_for(lambda: '"GET /about/?who HTTP/1.1" 200' in person("logs", "--group", "web"), "its line")
    said = person("logs", "--group", "web")
    request = re.compile(r'.+ web-1 web \| \S+ "[A-Z]+ /.*')
    assert [line for line in said.splitlines() if not request.fullmatch(line)] == [], "nothing but requests"
    (instance,) = person.settled()
    root = Path(f"/proc/{instance['pid']}/root")
    made = {path.name for path in (root / "tmp").iterdir()}
    assert {"nginx.conf", "nginx.pid", "nginx-body"} <= made


def test_an_app_that_routes_in_the_browser(person: Person) -> None:
    edit = replaced(person.app, "homeport.toml", 'directory = "out"', 'directory = "out"\nfallback = "index.html"')
    commit(person.app, edit)
    person("deploy")
    for path in ("/people/ann.lee", "/people/"):
        status, headers, body = ask(person, path)
        assert (status, headers["Cache-Control"]) == (200, "no-cache")
        assert b"The lighthouse" in body
    assert ask(person, "/assets/gone.js")[0] == 404


def test_what_is_being_sent_is_sent_to_its_end(person: Person) -> None:
    """TERM while it sends, as after a drain that was too short, is no reason for nginx to hang up."""
    once = replaced(person.app, "homeport.toml", "[deploy]", 'drain = "0s"\nstop_grace = "50s"\n[deploy]')
    commit(person.app, {**once, "assets/large.bin": "x" * LARGE})
    person("deploy")
    (old,) = person.settled()
    connection = http.client.HTTPConnection(urlsplit(person.url()).netloc, timeout=60)
    try:
        connection.request("GET", named("large.bin", b"x" * LARGE))
        answer = connection.getresponse()
        first = answer.read(1000)
        commit(person.app, replaced(person.app, "pages/about.html", "About", "More"))
        deploying = person.begin("deploy")
        wait_for(lambda: not listens(old["port"]), "the old instance was told to stop", 60)
        assert len(first + answer.read()) == LARGE
        said, _ = deploying.communicate(timeout=120)
        assert deploying.returncode == 0, said
    finally:
        connection.close()


def listens(port: int) -> bool:
    return any(
        line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in TCP.read_text().splitlines()
    )
