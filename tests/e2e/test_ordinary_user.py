"""The main job as an ordinary user, while root's environment runs beside: they never meet. Where the tests themselves
are an ordinary user's, that one is alone."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.system.home import Home
from tests.app_repository import commit, make_repository
from tests.e2e.person import FILE, Person, get
from tests.e2e.program import program_for
from tests.e2e.role import ROOT, as_uid, wait_for

USER = 61997
"""Nobody's: whatever runs with it was started here."""


def running(uid: int) -> list[str]:
    """Command lines of all that runs with this uid."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == uid and (command := (entry / "cmdline").read_bytes()):
                found.append(f"{entry.name} {command.replace(bytes(1), b' ').decode(errors='replace')}")
        except OSError:
            continue
    return found


@pytest.fixture
def user() -> Iterator[Person]:
    # Not pytest's own directory: only its owner may look into that.
    directory = Path(tempfile.mkdtemp(prefix="homeport-user-"))
    directory.chmod(0o755)
    try:
        program = program_for(USER, directory)
        own = directory / "own"
        own.mkdir(mode=0o700)
        app = make_repository("plain", own, edits={"homeport.toml": FILE, "Procfile": "web: exec python3 web.py\n"})
        if ROOT:
            subprocess.run(("chown", "-R", f"{USER}:{USER}", str(own)), check=True)
        settings = {"HOME": str(own), "XDG_CONFIG_HOME": str(own / "settings"), "XDG_RUNTIME_DIR": ""}
        environ = {**program.environ, **settings}
        person = Person(app, own / "home", environ=environ, uid=USER if ROOT else None, program=program.argv)
        try:
            yield person
        finally:
            if (person.home / "engine.lock").exists():  # else there never was an engine
                person.leave()
        wait_for(lambda: not ROOT or running(USER) == [], "the end of all that they have started")
    finally:
        shutil.rmtree(directory)
        if ROOT:
            shutil.rmtree(f"/tmp/homeport-{USER}", ignore_errors=True)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Person | None]:
    """Somebody else, who was there before."""
    if not ROOT:
        yield None
        return
    app = make_repository("plain", tmp_path, edits={"homeport.toml": FILE, "Procfile": "web: exec python3 web.py\n"})
    person = Person(app, tmp_path / "home")
    try:
        person("up")
        yield person
    finally:
        person.leave()


def work(user: Person, *words: str) -> str:
    """The release that a command of the main job brings about."""
    done = user.document(*words)
    assert done["verdict"] == "good"
    assert f" {done['release']} " in user.get()
    return str(done["release"])


def test_a_user_works_beside_root_and_they_never_meet(user: Person, root: Person | None) -> None:
    assert work(user, "up") == "r1"
    theirs, url = (root.instances(), root.url()) if root else ([], "")
    own = user.instances()
    for what in ("address", "port", "pid"):
        assert {each[what] for each in own}.isdisjoint(each[what] for each in theirs)
    assert user.url() != url
    uid = user.uid or os.getuid()
    assert all(Path(f"/proc/{each['pid']}").stat().st_uid == uid for each in own)

    as_uid(uid, commit, user.app, {"new.txt": "x"})
    assert work(user, "deploy") == "r2"
    assert work(user, "rollback") == "r3"

    assert user.document("down", "--yes")["engine_stopped"]
    # whoever waits for a sandbox ends a moment after it
    wait_for(lambda: not ROOT or running(USER) == [], "the end of all that they have started")
    if root is not None:
        now = [(each["id"], each["pid"]) for each in root.instances()]
        assert now == [(each["id"], each["pid"]) for each in theirs], "root's weren't touched"
        assert " r1 " in get(url)


def test_a_user_ties_the_engine_to_their_own_systemd(user: Person) -> None:
    unit = Path(user.environ["XDG_CONFIG_HOME"]) / "systemd/user" / f"homeport-{key(user)}.service"
    shown = user.document("engine", "install", "--print")
    assert shown["unit"] == str(unit)
    assert not unit.exists()
    first, again = user.document("engine", "install"), user.document("engine", "install")
    assert unit.read_text() == shown["text"]
    assert (first["changed"], again["changed"]) == (True, False)
    # Whatever systemd there is here, it isn't one that looks into this directory.
    assert not first["enabled"]
    assert first["left"][-1].startswith(("systemctl --user enable", "loginctl enable-linger"))
    assert "WantedBy=default.target" in shown["text"]

    gone = user.document("engine", "uninstall")
    assert gone["changed"]
    assert not unit.exists()
    assert not user.document("engine", "uninstall")["changed"]


def key(user: Person) -> str:
    return Home.from_environment({"HOMEPORT_HOME": str(user.home)}).runtime.name
