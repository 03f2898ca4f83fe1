"""What nothing needs goes: when somebody asks, and by itself after a good deployment; what is needed works on."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from homeport.engines.local.record import RELEASE, Records
from homeport.stores.state import State
from homeport.system.clock import SystemClock
from tests.app_repository import commit, make_repository
from tests.e2e.person import FILE, Person
from tests.e2e.role import wait_for

ENVIRONMENT = "plain/staging"


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    directory = tmp_path_factory.mktemp("gc")
    file = FILE.replace("instances = 2", "instances = 1") + "[retention]\nreleases = 1\n"
    app = make_repository("plain", directory, edits={"homeport.toml": file, "Procfile": "web: exec python3 web.py\n"})
    found = Person(app, directory / "home")
    try:
        found("up")
        for news in "one", "two", "three":
            commit(app, {"news": news})
            found("deploy")
        wait_for(lambda: cleaned(found), "cleaned up after the last verdict")
        wait_for(lambda: len(found.instances()) == 1, "the old ones' end")  # what runs keeps its release
        yield found
    finally:
        found.leave()


def cleaned(person: Person) -> bool:
    """Whether what follows a good verdict by itself is over."""
    status = person.document("status")
    measured_at = status["disk"]["measured_at"]
    return measured_at is not None and bool(measured_at > status["apps"][0]["deployment"]["ended_at"])


def let_age(person: Person) -> None:
    """Everything was there two days ago."""
    at = SystemClock().now() - timedelta(days=2)
    for part in ("store", "layers"):
        for path in (person.home / part).rglob("*"):
            os.utime(path, (at.timestamp(), at.timestamp()), follow_symlinks=False)
    state = State(person.home / "state.db")
    for key, kept in Records(state).releases(ENVIRONMENT).items():
        state.put(RELEASE, ENVIRONMENT, key, replace(kept, prepared_at=at))
    state.close()


def left(person: Person, name: str, days: float) -> Path:
    """A file that was left there."""
    path = person.home / name
    path.parent.mkdir(parents=True)
    path.write_text("2026-01-01T00:00:00.00000 words\n")
    at = SystemClock().now().timestamp() - days * 86400
    for each in (path, path.parent, path.parent.parent):
        os.utime(each, (at, at))
    return path


def releases(person: Person) -> list[str]:
    return [str(each["release"]) for each in person.document("release", "list")["releases"]]


def dangling(person: Person) -> set[str]:
    """What the kept releases name and isn't there."""
    there = {str(path.relative_to(person.home / "store")) for path in (person.home / "store").rglob("*")}
    shown = [person.document("release", "show", each) for each in releases(person)]
    named = {f"plain/layers/{layer['sha256']}.tar.zst" for each in shown for layer in each["slug"]["layers"]}
    return (named | {f"{ENVIRONMENT}/env/{each['config']}" for each in shown}) - there


def going(document: Any) -> set[str]:
    return {each["what"] for each in (*document["store"], *document["machine"])}


def test_what_is_old_and_unneeded_goes_when_asked(person: Person) -> None:
    assert going(person.document("gc")) == set()
    let_age(person)
    young = left(person, "builds/scratch-1-aa/tmp/young", 0)
    scratch = left(person, "builds/scratch-999999999-ab/tmp/file", 1)
    log = left(person, "logs/plain/staging/web-99/web/current", 20)
    young_log = left(person, "logs/plain/staging/web-98/web/current", 10)
    remains = left(person, "instances/plain/staging/web-97/app/file", 1)
    strange = left(person, "builds/strange/thing", 100)

    planned = person.document("gc", "--dry-run")
    names = going(planned)
    assert {"plain/staging/r1/release.json", "plain/staging/r2/release.json"} <= names, planned["kept"]
    assert not {"plain/staging/r3/release.json", "plain/staging/r4/release.json"} & names
    assert {"builds/scratch-999999999-ab", "logs/plain/staging/web-99", "instances/plain/staging/web-97"} <= names
    assert {each["what"]: each["why"] for each in planned["kept"]}["plain/staging/r3/release.json"].startswith("prev")
    assert releases(person) == ["r4", "r3", "r2", "r1"]

    done = person.document("gc")
    assert names <= going(done)
    assert done["freed_bytes"] > 0
    assert releases(person) == ["r4", "r3"]
    assert dangling(person) == set()
    assert [path.exists() for path in (young, scratch, log, young_log, remains, strange)] == [
        True, False, False, True, False, True,
    ]  # fmt: skip
    assert len(list((person.home / "layers").iterdir())) == 2
    assert going(person.document("gc")) == set()
    assert person.get("/").startswith("plain 1 r4 ")
    assert person.document("status")["disk"]["store_bytes"] > 0


def test_it_goes_by_itself_after_a_good_deployment_and_numbers_go_on(person: Person) -> None:
    let_age(person)
    person("rollback")
    wait_for(lambda: releases(person) == ["r5", "r4", "r3"], "kept: current, previous, where it would go")
    assert person.get("/").startswith("plain 1 r5 ")
    wait_for(lambda: cleaned(person), "nobody removes anything any more")
    let_age(person)
    commit(person.app, {"news": "four"})
    person("deploy")
    wait_for(lambda: "r4" not in releases(person), "what was rolled back is gone")
    assert releases(person)[0] == "r6"
    assert dangling(person) == set()
    person("rollback")
    assert person.get("/").startswith("plain 1 r7 ")


def test_nothing_goes_that_something_unreadable_could_name(person: Person) -> None:
    wait_for(lambda: cleaned(person), "nobody removes anything any more")
    person("gc")
    let_age(person)
    number = releases(person)[0]
    broken = person.home / "store" / ENVIRONMENT / "r1" / "release.json"
    broken.parent.mkdir(exist_ok=True)
    broken.write_text("not a release")
    layer = person.home / "store/plain/layers" / f"{'0' * 64}.tar.zst"
    layer.write_text("perhaps the broken one's")
    let_age(person)
    assert "plain/staging/r1/release.json" in {each["what"] for each in person.document("gc")["kept"]}
    assert layer.exists()
    broken.unlink()
    assert f"plain/layers/{'0' * 64}.tar.zst" in going(person.document("gc"))
    assert releases(person)[0] == number


def test_a_store_that_is_away_is_said_and_the_machine_is_cleaned(person: Person) -> None:
    scratch = left(person, "builds/scratch-999999998-ab/tmp/file", 1)
    store, away = person.home / "store", person.home / "away"
    store.rename(away)
    try:
        said = person("gc", code=5)
        assert "the store's directory isn't there" in said
    finally:
        away.rename(store)
    assert not scratch.exists()


def test_down_leaves_what_is_stated_and_gc_cleans_without_an_engine(person: Person) -> None:
    before = releases(person)
    person("down", "--yes")
    assert {path.relative_to(person.home).parts[0] for path in person.home.rglob("*") if not path.is_dir()} <= {
        "store", "logs", "layers", "builds", "engine", "state.db", "engine.lock", "addresses.json", "reserve",
    }  # fmt: skip
    state = State(person.home / "state.db")
    records = Records(state)
    there = (records.environments(), records.releases(ENVIRONMENT), records.tasks(ENVIRONMENT))
    state.close()
    assert there == ({}, {}, {})
    claims = json.loads((person.home / "addresses.json").read_text())["claims"]
    assert [each["key"] for each in claims if each["key"] != "build"] == []
    stale = person.home / "layers" / ("0" * 64)
    stale.mkdir()
    os.utime(stale, (0, 0))
    person("gc")
    assert list((person.home / "layers").iterdir()) == []
    assert "the engine isn't running" in person("engine", "status", code=5)
    assert releases(person) == before
