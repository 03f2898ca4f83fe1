"""A repository elsewhere: fetched, followed, and what of it is said when it can't be had."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.errors import Invalid, NotFound, Unavailable
from homeport.releases.source import export_tree, list_files, open_source, open_url, read_files, tag_release
from tests.app_repository import commit, git


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    path = tmp_path / "blog"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    commit(path, {"Procfile": "web: run\n", "config/common.env": "A=1\n"})
    return path


def url(origin: Path) -> str:
    return f"file://{origin}"


def test_the_newest_commit_of_head_branch_or_tag(origin: Path, tmp_path: Path) -> None:
    first = open_url(url(origin), None, tmp_path / "m")
    assert (first.commit, first.subject, first.origin) == (git(origin, "rev-parse", "HEAD"), "Change", "mirror")
    assert list_files(first) == ["Procfile", "config/common.env"]
    assert read_files(first, ["config/*"]) == {"config/common.env": "A=1\n"}
    export_tree(first, tmp_path / "out")
    assert (tmp_path / "out/Procfile").read_text() == "web: run\n"
    git(origin, "tag", "v1")
    git(origin, "checkout", "--quiet", "-b", "next")
    second = commit(origin, {"Procfile": "web: other\n"})
    git(origin, "checkout", "--quiet", "main")
    assert open_url(url(origin), "next", tmp_path / "m").commit == second
    assert open_url(url(origin), "v1", tmp_path / "m").commit == first.commit
    # history written anew, as after a rebase
    git(origin, "commit", "--quiet", "--amend", "--message=Again")
    assert open_url(url(origin), None, tmp_path / "m").subject == "Again"
    assert tag_release(first, "blog", "staging", 1) is None
    assert git(origin, "tag") == "v1"
    git(origin, "branch", "--quiet", "-D", "next")
    with pytest.raises(NotFound, match=r"no branch or tag 'next'; there is main, v1"):
        open_url(url(origin), "next", tmp_path / "m")


def test_a_repository_that_moved_leaves_the_copy_as_it_was(origin: Path, tmp_path: Path) -> None:
    mirror = open_url(url(origin), None, tmp_path / "m").root
    before = git(mirror, "show-ref")
    origin.rename(tmp_path / "moved")
    with pytest.raises(NotFound, match="isn't there, or not for you") as caught:
        open_url(url(origin), None, tmp_path / "m")
    assert caught.value.hint
    assert url(origin) in caught.value.hint
    assert git(mirror, "show-ref") == before
    with pytest.raises(NotFound):
        open_url(url(tmp_path / "never"), None, tmp_path / "m")
    assert [each.name for each in (tmp_path / "m").glob("*.git")] == [mirror.name]


def test_an_interrupted_first_fetch_is_begun_anew(origin: Path, tmp_path: Path) -> None:
    found = open_url(url(origin), None, tmp_path / "m")
    found.root.rename(found.root.with_suffix(".new"))
    assert open_url(url(origin), None, tmp_path / "m").commit == found.commit


def test_submodules_are_refused(origin: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "--quiet")
    commit(library, {"lib.py": "lib\n"})
    git(origin, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "vendor/lib")
    commit(origin, {})
    with pytest.raises(Invalid, match=r"has submodules \(vendor/lib\)"):
        open_url(url(origin), None, tmp_path / "m")


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    """Answers 401 to what is below /private/, else 404."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401 if self.path.startswith("/private/") else 404)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.mark.parametrize("path", ["private/blog.git", "gone/blog.git"])
def test_nobody_is_asked_for_a_login(path: str, server: http.server.HTTPServer, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="did it move"):
        open_url(f"http://127.0.0.1:{server.server_port}/{path}", None, tmp_path / "m")


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"can.t fetch http://blog\.invalid/blog\.git"):
        open_url("http://blog.invalid/blog.git", None, tmp_path / "m")


def test_several_apps_of_a_repository(origin: Path) -> None:
    first = commit(origin, {"shop/a": "1", "blog/a": "1"})
    second = commit(origin, {"blog/a": "2"})
    shop, blog = open_source(origin / "shop"), open_source(origin / "blog")
    assert (shop.commit, blog.commit) == (first, second)
    for app, source in (("shop", shop), ("blog", blog)):
        assert tag_release(source, app, "staging", 1, alone=False) is None
        assert git(origin, "rev-parse", f"homeport/{app}/staging/r1") == source.commit
