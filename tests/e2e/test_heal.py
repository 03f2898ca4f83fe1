"""Whatever of Homeport's is killed comes back with nobody typing; and after a reboot everything that was up serves
again, on the release, the size and the URL that it had. One environment, on its second release, goes through it all."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from homeport.engines.local.record import Records
from homeport.instance.address import MACHINE
from homeport.plan.balancer_text import CONFIG
from homeport.stores.state import State
from homeport.system import process
from homeport.system.home import Home
from tests.app_repository import commit, make_repository
from tests.e2e.balanced import until
from tests.e2e.person import FILE, Person, get

WORKER = """[groups.worker]
run = ["worker"]
stop_grace = "2s"
[deploy]
"""
WEB = 3
PATIENCE_SECONDS = 30


class Site:
    """An environment with three of `web` and one of `worker`, on r2."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.home = Home.from_environment({"HOMEPORT_HOME": str(person.home)})
        self.url = person.url()
        self.boot: subprocess.Popen[bytes] | None = None

    def instances(self) -> dict[str, dict[str, Any]]:
        """Once as many as wanted are in service, with r2: id → instance."""
        found: dict[str, dict[str, Any]] = {}

        def settled() -> bool:
            nonlocal found
            terminal = self.person.begin("ps", "--json")
            out, _ = terminal.communicate()
            if terminal.returncode != 0:
                return False
            found = {each["id"]: each for each in json.loads(out)["instances"]}
            groups = sorted(each["group"] for each in found.values())
            return groups == [*["web"] * WEB, "worker"] and all(
                (each["state"], each["release"], each["check"]) == ("InService", "r2", "healthy")
                and each["target"] == ("ready" if each["group"] == "web" else "unused")
                for each in found.values()
            )

        until(settled, "all instances in service", PATIENCE_SECONDS)
        return found

    def serves(self) -> None:
        """The URL answers, with r2."""
        until(lambda: " r2 " in answer(self.url), f"{self.url} answers", PATIENCE_SECONDS)

    def daemon(self) -> int:
        return int(self.person.document("engine", "status")["pid"])

    def processes(self, *words: str) -> set[int]:
        """All that names a directory of this home on its command line or as its working directory."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                text = f"{command} {os.readlink(entry / 'cwd')}"
            except OSError:
                continue
            if (str(self.home.root) in text or str(self.home.runtime) in text) and all(each in text for each in words):
                found.add(int(entry.name))
        return found

    def top(self, *words: str) -> int:
        """The one of the processes whose parent isn't among them: a worker's master, no child about to be another."""
        found, parents = self.processes(*words), process.parents()
        (pid,) = [each for each in found if parents.get(each) not in found]
        return pid

    def lose_power(self) -> None:
        """What a reboot takes away: every process, the runtime directory, what lies in /tmp."""
        pids = {self.daemon()} | self.processes()
        for each in self.instances().values():
            pids |= {each["pid"], *process.descendants(each["pid"])}
        supervisors = {pid for pid in pids if process.name(pid) in ("runsvdir", "runsv")}
        for pid in (*supervisors, *(pids - supervisors)):
            started = process.start_time(pid)
            if started is not None:
                process.send(pid, started, signal.SIGKILL)
        until(lambda: not any(process.start_time(pid) for pid in pids), "they are gone")
        self.wait_for_boot()
        until(lambda: self.processes() == set(), "nothing started them again")
        shutil.rmtree(self.home.runtime)
        for path in MACHINE.glob(f"{os.getuid()}-*.json"):
            if json.loads(path.read_text())["home"] == str(self.home.root):
                path.unlink()

    def power_up(self) -> None:
        """Only the unit's command is run, with nothing but the unit's environment."""
        text = self.person.document("engine", "install", "--print")["text"]
        keys = [line.partition("=")[::2] for line in text.splitlines() if "=" in line]
        (start,) = [shlex.split(value) for key, value in keys if key == "ExecStart"]
        environ = dict(shlex.split(value)[0].split("=", 1) for key, value in keys if key == "Environment")
        self.boot = subprocess.Popen(start, cwd="/", env=environ, stdin=subprocess.DEVNULL, start_new_session=True)

    def ends(self, last: int) -> list[str]:
        """Why the last so many instances ended."""
        events = self.person.document("events")["events"]
        return [str(each["message"]) for each in events if each["kind"] == "terminate"][-last:]

    def wait_for_boot(self) -> None:
        if self.boot is not None:
            self.boot.wait(PATIENCE_SECONDS)
            self.boot = None


def answer(url: str) -> str:
    """Empty where there is none."""
    try:
        return get(url)
    except OSError:
        return ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    edits = {
        "homeport.toml": FILE.replace("[deploy]\n", WORKER).replace("instances = 2", "instances = { max = 9 }"),
        "Procfile": "web: exec python3 web.py\nworker: exec python3 worker.py\n",
    }
    person = Person(make_repository("plain", directory, edits=edits), directory / "home")
    found = None
    try:
        person("up")
        commit(person.app, {"new.txt": "x"})
        person("deploy")
        person("scale", f"web={WEB}")
        found = Site(person)
        yield found
    finally:
        person.leave()
        if found is not None:
            found.wait_for_boot()


def test_a_killed_daemon_comes_back_and_nothing_that_served_has_stopped(site: Site) -> None:
    before, pid = site.instances(), site.daemon()
    os.kill(pid, signal.SIGKILL)
    until(lambda: process.start_time(pid) is None, "it is gone")
    assert " r2 " in get(site.url), "served without a daemon"
    after = site.instances()
    assert {id_: each["pid"] for id_, each in after.items()} == {id_: each["pid"] for id_, each in before.items()}
    assert site.daemon() != pid


def test_a_killed_balancer_comes_back_with_the_same_servers(site: Site) -> None:
    before, master = site.instances(), site.top("haproxy -W")
    os.kill(master, signal.SIGKILL)
    until(lambda: process.start_time(master) is None, "it is gone")
    site.serves()
    assert site.instances().keys() == before.keys()
    web = {id_ for id_, each in before.items() if each["group"] == "web"}
    until(
        lambda: {name for _ in range(3 * WEB) for name in answer(site.url).split()[3:4]} == web, "each of them serves"
    )


def test_a_killed_root_of_the_watch_tree_comes_back(site: Site) -> None:
    before, daemon = site.instances(), site.daemon()
    root = site.top("runsvdir -P")
    os.kill(root, signal.SIGKILL)
    until(lambda: process.start_time(root) is None, "it is gone")
    until(lambda: site.processes("runsvdir -P"), "there is another", PATIENCE_SECONDS)
    assert site.daemon() == daemon
    assert site.instances().keys() == before.keys()
    site.serves()


def test_a_killed_instance_is_replaced(site: Site) -> None:
    victims = [each for each in site.instances().values() if each["id"].startswith("web-")][:1]
    victims += [each for each in site.instances().values() if each["group"] == "worker"]
    for each in victims:
        os.kill(each["pid"], signal.SIGKILL)
    until(lambda: not any(process.start_time(each["pid"]) for each in victims), "they are gone")
    site.serves()
    gone = {each["id"] for each in victims}
    until(lambda: gone.isdisjoint(site.instances()), "others are there", PATIENCE_SECONDS)


def test_a_supervisor_killed_inside_an_instance_comes_back_with_its_process(site: Site) -> None:
    before = site.instances()
    victim = next(each for each in before.values() if each["group"] == "web")
    inside = process.descendants(victim["pid"])
    supervisor = next(
        pid for pid in inside if process.name(pid) == "runsv" and b"web" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    was = answer(f"http://{victim['address']}:{victim['port']}/").split()
    os.kill(supervisor, signal.SIGKILL)

    def other() -> bool:
        now = answer(f"http://{victim['address']}:{victim['port']}/").split()
        return len(now) == len(was) and now[-1] != was[-1]

    until(other, "another process of the same instance", PATIENCE_SECONDS)
    site.serves()
    assert site.instances()[victim["id"]]["pid"] == victim["pid"]


def test_after_a_reboot_everything_serves_again(site: Site) -> None:
    before = site.instances()
    site.lose_power()
    assert answer(site.url) == ""
    forget_boot(site.home)
    site.power_up()
    site.serves()
    assert site.instances().keys().isdisjoint(before)
    assert site.url == site.person.url()
    assert set(site.ends(len(before))) == {"the machine was restarted"}


def test_so_it_does_with_the_same_boot_id_and_where_somebody_has_taken_an_address(site: Site) -> None:
    """A container that is restarted keeps its machine's boot id. A private name's address was another's meanwhile."""
    before = site.instances()
    text = (site.home.runtime / CONFIG).read_text()
    (private,) = set(re.findall(r"bind (127\.96\.\S+):8080", text))
    site.lose_power()
    with socket.create_server((private, 8080)):
        site.power_up()
        site.serves()
        assert f"{private}:8080 is taken" in site.person("engine", "logs", "-n", "5000")
    assert site.instances().keys().isdisjoint(before)
    assert "the machine was restarted" not in site.ends(len(before))
    until(lambda: " r2 " in answer(f"http://{private}:8080/"), "the private name is served again", PATIENCE_SECONDS)


def forget_boot(home: Home) -> None:
    """The records are of an earlier run of the machine."""
    state = State(home.state)
    records = Records(state)
    for environment in records.environments():
        for each in records.instances(environment).values():
            records.keep_instance(environment, replace(each, boot_id="an earlier one"))
    state.close()
