"""An environment whose first release isn't good: what is said, what visitors get, and how it goes on from there."""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_repository import commit, make_repository
from tests.e2e.person import FILE, Person

PATIENT = FILE.replace("instances = 2", "instances = 1")
SOON = PATIENT.replace('grace = "30s"', 'grace = "1200ms"')
PROCFILE = "web: exec python3 web.py\nrelease: exec python3 task.py\n"


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    edits = {"homeport.toml": SOON, "Procfile": PROCFILE, "config/common.env": "APP_HEALTH=500\n"}
    found = Person(make_repository("plain", tmp_path, edits=edits), tmp_path / "home")
    try:
        yield found
    finally:
        found.leave()


def test_a_first_release_that_is_not_good(person: Person) -> None:
    said = person("up", code=6)
    assert "giving up (failed): web-1 wasn't healthy" in said
    assert "no release before it to go back to" in said
    assert "going back" not in said
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(person.url(), timeout=30)
    with caught.value as answer:
        assert (answer.code, answer.headers["Retry-After"]) == (503, "5")
        assert b"Nothing is released here yet" in answer.read()
    for words in (("scale", "web=3"), ("rollback",)):
        refused = person(*words, code=3)
        assert "plain has no good release in plain/staging yet: deployment 1 of r1 was the last, failed" in refused
        assert "homeport deployment show 1 -e staging" in refused

    person("config", "set", "APP_HEALTH=200")
    commit(person.app, {"homeport.toml": PATIENT})
    assert person.document("up")["release"] == "r2"
    assert person.get().startswith("plain")

    # after a purge there is a first release again, perhaps under another uid: its task starts afresh all the same
    person("down", "--yes", "--purge")
    written = list((person.home / "logs/plain/staging/plain-release-d1").rglob("*"))
    assert written
    if os.getuid() == 0:
        for path in written:
            os.chown(path, 1, 1)
    commit(person.app, {"homeport.toml": SOON})
    error = person.document("up", code=6)["error"]
    assert "web-3 wasn't healthy" in error["message"], "its release task ended well"
