"""A hostile app, deployed for real: it reaches nothing of its host or its neighbours. Every attack is carried out once
more outside any sandbox, with the rights of who runs Homeport: there it succeeds, or the test couldn't see it."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app_repository import APPS, make_repository
from tests.e2e.person import Person
from tests.e2e.program import program_for
from tests.e2e.role import ROOT, USER, Role, wait_for
from tests.e2e.role import role as role  # a fixture

TOKEN = "token-of-the-host-0815"
KEY = "NEIGHBOURS_KEY"
SECOND = """
[environments.demo]
engine = "local"
"""
LEFT_BEHIND = f"left-{TOKEN}"
OF_ROOT = ("remount", "use_capabilities")
"""Attacks that only root can carry out; an ordinary user's control is root of a user namespace."""

Evidence = dict[str, list[str]]


class Scene:
    """Two environments of the hostile app, one with a secret, and things to attack around them."""

    def __init__(self, role: Role) -> None:
        directory = role.directory
        self.role = role
        edits = {"homeport.toml": 'default = "staging"\n' + (APPS / "hostile" / "homeport.toml").read_text() + SECOND}
        self.uid = USER if ROOT and role.name == "user" else None
        program = program_for(USER, directory.parent) if self.uid else None
        app = make_repository("hostile", directory, edits=edits)
        environ = {"HOME": str(directory), "XDG_RUNTIME_DIR": "", **(program.environ if program else {})}
        given = {"program": program.argv} if program else {}
        self.person = Person(app, directory / "home", environ=environ, uid=self.uid, **given)
        # Outside the user's own directory, and open to all: nothing but the sandbox is in the way.
        self.open = directory.parent / "open"
        self.open.mkdir()
        self.open.chmod(0o777)
        for name in ("file", "read_only"):
            (self.open / name).write_text(TOKEN)
            (self.open / name).chmod(0o666)
        self.private = directory / "private"
        self.private.write_text(TOKEN)
        if self.uid is not None:
            own(directory, self.uid)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.open / "socket"))
        (self.open / "socket").chmod(0o777)
        self.listener.listen()
        self.victim = self.start_victim()

    def start_victim(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            (sys.executable if self.uid is None else "/usr/bin/python3", "-c", "input()", TOKEN),
            stdin=subprocess.PIPE,
            user=self.uid,
            group=self.uid,
        )

    def targets(self) -> dict[str, Any]:
        home = self.person.home
        for path in (home / "victim", home / "token", home / "instances" / "token", self.open / "token"):
            path.write_text(TOKEN)
        if self.uid is not None:
            own(home, self.uid)
        runtime = Path(self.person.document("engine", "status")["socket"]).parent
        return {
            "token": TOKEN,
            "files": [str(self.open / "file"), str(home / "victim")],
            "directories": [str(self.open), str(home), str(home / "instances")],
            "secrets": [str(self.open / "file"), str(self.private), str(home / "token")],
            "key": KEY,
            "roots": ["/run", "/home", "/tmp", "/var", str(home)],
            "sockets": [str(self.open / "socket"), *(str(each) for each in sorted(runtime.glob("*.sock")))],
            "pids": [self.victim.pid],
            "read_only": ["/etc/hosts"],
        }

    def attack(self, targets: dict[str, Any], *names: str) -> Evidence:
        """By the app itself, asked through the balancer."""
        (url,) = self.person.document("status")["urls"]
        query = "&".join(f"name={each}" for each in names)
        request = urllib.request.Request(f"{url}/attack?{query}", data=json.dumps(targets).encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            found: Evidence = json.load(response)
        return found

    def control(self, targets: dict[str, Any], *names: str) -> Evidence:
        """By nobody's app: the same program outside any sandbox."""
        python = sys.executable if self.uid is None else "/usr/bin/python3"
        return self._outside((python, str(self.person.app / "attack.py"), *names), targets)

    def control_as_root(self, targets: dict[str, Any], *names: str) -> Evidence:
        """In a mount namespace where `open` can only be read; for an ordinary user it is one of theirs."""
        mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
        namespaces = ("--mount",) if self.role.name == "root" else ("--mount", "--user", "--map-root-user")
        command = ("unshare", *namespaces, "sh", "-c", mount, "sh", str(self.open), "/usr/bin/python3")
        return self._outside((*command, str(self.person.app / "attack.py"), *names), targets)

    def _outside(self, command: tuple[str, ...], targets: dict[str, Any]) -> Evidence:
        done = subprocess.run(
            command,
            input=json.dumps(targets).encode(),
            stdout=subprocess.PIPE,
            user=self.uid,
            group=self.uid,
            extra_groups=None if self.uid is None else [],
            timeout=60,
        )
        assert done.returncode == 0
        found: Evidence = json.loads(done.stdout)
        return found

    def close(self) -> None:
        for words in (("down", "--yes"), ("down", "-e", "demo", "--yes"), ("engine", "stop")):
            self.person.begin(*words).communicate(timeout=60)
        self.listener.close()
        self.victim.kill()
        self.victim.communicate()
        for pid in left_behind():
            os.kill(pid, 9)


def own(directory: Path, uid: int) -> None:
    for each in (directory, *directory.rglob("*")):
        os.chown(each, uid, uid, follow_symlinks=False)


def left_behind() -> list[int]:
    """Processes of this machine that `leave_process` has started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if LEFT_BEHIND.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.fixture
def scene(role: Role) -> Iterator[Scene]:
    made = Scene(role)
    try:
        yield made
    finally:
        made.close()


def test_nothing_of_the_host_is_reached(scene: Scene) -> None:
    person = scene.person
    person("config", "set", "-e", "demo", "--secret", "--from-stdin", KEY, "--no-deploy", typed=TOKEN)
    person("up")
    person("up", "-e", "demo")
    targets = scene.targets()
    assert len(targets["sockets"]) == 4

    inside = scene.attack(targets)
    left = inside.pop("leave_process")
    assert inside == {name: [] for name in inside}
    assert scene.victim.poll() is None
    assert {(scene.open / name).read_text() for name in ("file", "read_only")} == {TOKEN}
    assert not list(scene.open.glob("planted"))

    for token, path in (("AGE-SECRET-KEY-", person.home / "identity.age"), ("SQLite format", person.home / "state.db")):
        its = {"token": token, "secrets": [str(path)]}
        assert scene.attack(its, "read_secrets") == {"read_secrets": []}
        assert f"read {path}" in scene.control(its, "read_secrets")["read_secrets"]

    # Nor by what a person runs beside it, or in it: there it also meets the process that keeps the session.
    names = [each for each in inside if each != "leave_process"]
    for words in (("run", "--"), ("exec", "web-1", "--")):
        said = person(*words, "python3", "attack.py", *names, typed=json.dumps(targets))
        assert json.loads(said) == {name: [] for name in names}

    # what it left behind is seen here, and ends with its instance
    assert left
    assert left_behind()
    person("down", "--yes")
    assert left_behind() == []

    names = [each for each in inside if each not in OF_ROOT]
    # not all of the machine's /var: what is shown by /proc is enough
    outside = scene.control({**targets, "roots": []}, *names, "leave_process")
    assert {f"wrote {each}" for each in targets["files"]} <= set(outside["write_files"])
    assert {f"planted {each}/planted" for each in targets["directories"]} <= set(outside["plant_files"])
    assert f"read {scene.private}" in outside["read_secrets"]
    assert any("/environ has" in each for each in outside["read_environment"])
    assert {f"connected to {each}" for each in targets["sockets"]} <= set(outside["connect_sockets"])
    assert outside["reach_processes"][-1:] == [f"killed {scene.victim.pid}"]
    assert outside["leave_process"]
    wait_for(left_behind, "the control's process is there")
    outside = scene.control_as_root({**targets, "read_only": [str(scene.open / "read_only")]}, *OF_ROOT)
    assert all(outside[each] for each in OF_ROOT)
