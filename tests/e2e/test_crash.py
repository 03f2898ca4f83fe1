"""The program is killed before and after every call that changes the world, started again, and gets there nevertheless:
what serves goes on serving, and in the end records, processes, HAProxy, claims and journals agree."""

import importlib
import json
import os
import pkgutil
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

import homeport
from homeport.control.journal import Journals
from homeport.daemon import running as answers
from homeport.engines.local.haproxy import Runtime
from homeport.engines.local.record import RELEASE, Records
from homeport.engines.local.watch_tree import WatchTree
from homeport.instance.address import Addresses
from homeport.instance.cgroup import Cgroups
from homeport.model.alarm import Alarm
from homeport.model.deployment import Continued, Deployment, Judged, Verdict
from homeport.model.fleet import Instance, State
from homeport.model.platform import Hook, Hooks, Resolved, Weight
from homeport.plan.alarm import task_id
from homeport.plan.balancer import backend_name
from homeport.plan.balancer_text import ROUTES
from homeport.plan.journal import fold
from homeport.plan.lease import read_lease
from homeport.stores.state import State as Database
from homeport.system.clock import SystemClock
from homeport.system.effect import SITES
from homeport.system.home import Home
from homeport.testing.world import APP
from tests.app_repository import commit, git, make_repository
from tests.crash_daemon import Goal
from tests.e2e.balanced import Load, until
from tests.local_world import Published, home_in, soon_given_up
from tests.mounted import sandboxes_with

ROOT = Path(__file__).parents[2]
MEMORY = 128_000_000
BUILD = """
[build]
command = "ln -sf web.py link.py"
dependencies = { command = "mkdir -p vendor && echo made > vendor/made", paths = ["vendor"] }
"""

COMMAND = {
    "archive.make_hard_link", "build.make_scratch", "export.write", "git.archive", "git.run", "git.tag",
    "identity.create", "image.ask_interpreter", "layer.make", "object.discard", "pack.write", "sandbox.end",
    "sandbox.run", "source.copy", "source.make", "source.strip", "tree.chown", "tree.make_mount_points", "tree.remove",
}  # fmt: skip
"""Passed by the command line alone. Whatever is in no list here is passed by the daemon."""
CLAIM = {"address.remove"}
CONSOLE = {"console.bind", "console.unbind"}
ELSEWHERE = {
    "agent.make_directories": "a program of its own, which dies before and after each in tests/e2e/test_agent.py",
    "agent.make_lock": "as agent.make_directories",
    "agent.record": "as agent.make_directories",
    "agent.remove": "as agent.make_directories",
    "agent.remove_info": "as agent.make_directories",
    "agent.sign_lock": "as agent.make_directories",
    "agent.keep_identity": "on an EC2 instance only; repeated by the next call: tests/aws",
    "agent.leave_last_words": "as agent.keep_identity",
    "agent.tell_ready": "as agent.keep_identity",
    "agent.tell_release": "as agent.keep_identity",
    "agent.change_name": "as agent.keep_identity",
    "agent.let_address_go": "as agent.keep_identity",
    "agent.take_address": "as agent.keep_identity",
    "agent.tell_task": "as agent.keep_identity",
    "aws.cancel_command": "as aws.deregister",
    "aws.clear_diary": "as aws.deregister",
    "aws.close_route": "as aws.deregister",
    "aws.deregister": "an engine of no daemon; repeated by the next command: tests/aws",
    "aws.end_one_off": "as aws.deregister",
    "aws.enter_standby": "as aws.deregister",
    "aws.exit_standby": "as aws.deregister",
    "aws.forget": "as aws.deregister",
    "aws.keep": "as aws.deregister",
    "aws.keep_identity": "as aws.deregister",
    "aws.launch": "as aws.deregister",
    "aws.open_route": "as aws.deregister",
    "aws.put_identity": "as aws.deregister",
    "aws.register": "as aws.deregister",
    "aws.remove_name": "as aws.deregister",
    "aws.send_command": "as aws.deregister",
    "aws.set_capacity": "as aws.deregister",
    "aws.suspend": "as aws.deregister",
    "aws.tag": "as aws.deregister",
    "aws.tell_task": "as aws.deregister",
    "aws.terminate": "as aws.deregister",
    "aws.unprotect": "as aws.deregister",
    "aws.write_diary": "as aws.deregister",
    "environment_stacks.remove": "as aws.deregister",
    "environment_stacks.write": "as aws.deregister",
    "bucket.copy": "one request each, as the directory's one rename: tests/unit/stores/test_s3.py, test_hurried.py",
    "bucket.delete": "as bucket.copy",
    "bucket.discard": "as bucket.copy; what it leaves the bucket's own rule takes",
    "bucket.put": "as bucket.copy",
    "bucket.stage": "as bucket.copy",
    "boot.remove_unit": "engine install is a command that a person repeats: tests/e2e/test_reboot.py",
    "boot.tell_systemd": "as above",
    "boot.write_unit": "as above",
    "hook.answer": "a program of its own, which runs once more where it was killed: tests/contract/test_hook.py",
    "hook.lock": "as hook.answer",
    "log.remove": "every ten minutes, one directory each time, repeatable: tests/unit/instance/test_log.py",
    "mirror.begin": "a copy under a name of its own until it is whole",
    "mirror.fetch": "git's own transaction, into a copy that only grows",
    "mirror.keep": "one rename",
    "modules.copy": "of Node apps: in a build's scratch, or beside its place until it is whole",
    "modules.mark": "in a build's scratch",
    "modules.move": "in a build's scratch",
    "modules.place": "one rename",
    "modules.touch": "says that a kept tree was used",
    "packet_filter.load": "one table of the whole machine, one transaction: tests/e2e/test_packet_filter.py",
    "tree.write": "in a build's scratch",
    "reserve.remove": "where the disk is full, one file: tests/e2e/test_full_disk.py",
    "resolver.run_command": "the user's own program: tests/e2e/test_stack.py",
    "session.begin": "homeport run and exec, which end of it: tests/e2e/test_session.py",
    "session.end_sandbox": "as session.begin",
    "session.join_cgroup": "as session.begin",
    "session.kill": "as session.begin",
    "session.make_log": "as session.begin",
    "session.signal": "a signal on its way to a program",
    "session.write_log": "as session.begin",
    "state.vacuum": "the database's own transaction, where much of it is free",
    "stack.ask": "the stacks of a cloud, not of this machine: tests/e2e/test_stack.py dies before and after each",
    "stack.cancel": "on Ctrl-C, one call: tests/unit/stacks/test_apply.py",
    "stack.delete": "as stack.ask",
    "stack.discard": "as stack.ask",
    "stack.execute": "as stack.ask",
    "stack.protect": "as stack.ask",
    "stack.set_policy": "as stack.ask",
    "stack.upload": "as stack.ask",
    "stack.continue_rollback": "by hand only, one call that may be repeated: tests/unit/stacks/test_standing.py",
    "stack_check.run": "reads only",
    "stack_check.write": "a temporary directory of its own",
    "stack_history.begin": "as stack.ask",
    "stack_history.end": "as stack.ask",
    "stack_project.write": "one file, replaced whole",
    "stack_plan.write": "one file, replaced whole",
    "template.keep": "one file, replaced whole, and looked at again before it is used",
    "store.remember": "one file, replaced whole, at a home's first use",
    "word.say": "where several may drive: tests/aws",
    "watch_tree.become": "the process becomes runsvdir: tests/e2e/test_reboot.py",
}
NEED_CGROUP = {"cgroup.create", "cgroup.limit", "cgroup.remove"}
NEED_ROOT = {"tree.chown"}


def every_label() -> set[str]:
    for module in pkgutil.walk_packages(homeport.__path__, "homeport."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    impossible = set() if Cgroups().kind else NEED_CGROUP
    return SITES - impossible - (set() if os.getuid() == 0 else NEED_ROOT)


def passed(*points: Path) -> set[str]:
    """Labels at which the program died both before and after."""
    deaths = {path.name.partition(" ")[0] for directory in points for path in directory.iterdir()}
    return {each.partition(":")[0] for each in deaths if {f"{each.partition(':')[0]}:{w}" for w in WHEN} <= deaths}


WHEN = ("before", "after")


def crashing(home: Home, points: Path, *words: str, mode: str = "each") -> "subprocess.CompletedProcess[str]":
    """The program, killed at every point that has no file in `points` yet and started again, until it ends."""
    points.mkdir(exist_ok=True)
    environ = {**os.environ, "HOMEPORT_HOME": str(home.root)}
    environ |= {"HOMEPORT_CRASH": mode, "HOMEPORT_CRASH_ONCE": str(points)}
    return subprocess.run(
        (sys.executable, "-m", "tests.crash_daemon", *words),
        env=environ,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


class Machine:
    """An environment that a daemon that keeps being killed looks after."""

    def __init__(self, home: Home, published: Published, points: Path) -> None:
        self.home = home
        self.published = published
        self.place = published.resolved.place
        self.points = points
        self.mode = "each"
        self.records = Records(Database(home.state))
        self.prefix = f"{APP}/{self.place.name}/"

    def reach(self, **goal: object) -> None:
        said = msgspec.json.encode(Goal(place=self.place, **goal)).decode()  # type: ignore[arg-type]
        done = crashing(self.home, self.points, "daemon", said, mode=self.mode)
        assert done.returncode == 0, f"{goal}: {done.returncode}\n{done.stderr}\n{self.live()}"

    def publish(self, values: Mapping[str, str], **deploy: Any) -> int:
        """Number of a release that is deployed as `deploy` says."""
        resolved = self.published.resolved
        said = replace(resolved.deploy, **deploy)
        return self.published.publish(values, replace(resolved, deploy=said)).number

    def live(self) -> list[Instance]:
        kept = self.records.instances(self.place.id).values()
        return [each.seen for each in kept if each.seen.state is not State.TERMINATED]

    def verdicts(self) -> list[Verdict]:
        return [each.ended.verdict for each in self.deployments() if each.ended is not None]

    def deployments(self) -> list[Deployment]:
        return [fold(each) for each in Journals(self.published.store, APP, self.place.name).all()]

    def task_runs(self, deployment: Deployment) -> int:
        """How often its release task began, by its log."""
        log = self.home.logs / self.place.id / deployment.task_id
        return sum(path.read_text().count("release task of") for path in log.rglob("current"))

    def let_age(self) -> None:
        """All that was written is two days old, and there is something of each kind that may go."""
        home, environment = self.home, self.place.id
        for name in (
            f"builds/scratch-{2**30}-ab/file",
            f"instances/{environment}/web-1/app/file",
            f"instances/{environment}/.web-2.0-{'a' * 12}.part/app/file",
            f"layers/{'0' * 64}/file",
            f"logs/{environment}/web-1/web/current",
            f"store/{APP}/layers/{'0' * 64}.tar.zst",
        ):
            (home.root / name).parent.mkdir(parents=True, exist_ok=True)
            (home.root / name).touch()
        at = SystemClock().now() - timedelta(days=2)
        for part in (home.store, home.layers, home.builds, home.instances / environment):
            for path in part.rglob("*"):
                os.utime(path, (at.timestamp(), at.timestamp()), follow_symlinks=False)
        log = home.logs / environment / "web-1"
        for path in (*log.rglob("*"), log):
            os.utime(path, (0, 0))
        for key, kept in self.records.releases(environment).items():
            self.records.state.put(RELEASE, environment, key, replace(kept, prepared_at=at))

    def is_clean(self, kept: list[int]) -> bool:
        """Whether releases, prepared ones, and what ended ones left are those of the releases that are kept."""
        home, environment = self.home, self.place.id
        stored = {int(path.parent.name[1:]) for path in home.store.glob("*/*/r*/release.json")}
        prepared = {each.release.number for each in self.records.releases(environment).values()}
        live = {each.id for each in self.live()} | {"hosts"}
        for each in self.deployments():
            if each.started.release in kept:
                commands = [alarm for alarm in each.started.alarms if alarm.command is not None]
                live |= {each.task_id, *(task_id(each, alarm) for alarm in commands)}
        there = {path.name for path in (home.instances / environment).iterdir()}
        assert (stored, prepared, there) == (set(kept), set(kept), live)
        left = [*home.builds.glob("*scratch-*"), *home.layers.glob(".*"), home.logs / environment / "web-1"]
        assert [path for path in left if path.exists()] == []
        return half_published(home) == []

    # --- what must agree ---------------------------------------------------------------------------------------------

    def agrees(self) -> None:
        live = self.live()
        assert sandboxes(self.home) == {each.id: [each.pid] for each in live}
        assert self.servers() == {
            f"{each.id}.{each.generation}": (each.address, each.port, "ready") for each in live if each.port
        }
        claims = {(each.kind, each.key): each.value for each in Addresses(self.home, SystemClock()).all()}
        environment = self.place.id
        expected = {("instance", f"{environment}/{each.id}"): each.address for each in live}
        for id_, kept in self.records.instances(environment).items():
            for name, port in kept.ports.items() if kept.seen in live else ():
                expected["port", f"{environment}/{id_}/{kept.seen.generation}/{name}"] = str(port)
        assert {key: value for key, value in claims.items() if key[0] in ("instance", "port")} == expected
        assert {key for key in claims if key[0] not in ("instance", "port")} <= {
            ("public_port", environment), ("uid", environment), ("uid", "build"),
            ("balancer", f"{environment}/{APP}/web"),
        }  # fmt: skip
        assert read_lease(self.published.store.list(f"{self.prefix}lease/")).released
        assert sorted(path.name for path in self.home.layers.iterdir()) == sorted(
            each.sha256 for each in self.published.slug.layers
        )
        self.tasks_ran_once()

    def tasks_ran_once(self) -> None:
        for each in self.deployments():
            assert each.ended is not None
            known = each.ended.verdict is not Verdict.INCONCLUSIVE
            assert self.task_runs(each) == 1 if known else self.task_runs(each) <= 1

    def servers(self) -> dict[str, tuple[str, int, str]]:
        running = Runtime(self.home.runtime / "haproxy.sock", self.home.runtime / "haproxy-master.sock").running(
            str(self.home.runtime / ROUTES)
        )
        servers = running.backends.get(backend_name(self.place.id, APP, "web"), {})
        return {name: (each.address, each.port, each.state) for name, each in servers.items()}


def sandboxes(home: Home) -> dict[str, list[int | None]]:
    """Instance or task → host pids of the first processes of the sandboxes that have its directory mounted."""
    found: dict[str, list[int | None]] = {}
    for pid, mounted in sandboxes_with(home.instances).items():
        ids = [match[1] for each in mounted if (match := re.fullmatch(r"[^/]+/[^/]+/([^/]+)/app", each))]
        for id_ in ids[:1]:
            found.setdefault(id_, []).append(pid)
    return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with home_in(tmp_path) as home:
        shutil.rmtree(home.runtime)  # of a run in the same place, perhaps
        home.create()
        short = 'interval = "100ms"\nsettle = "200ms"'
        published = Published(
            home,
            tmp_path,
            file=lambda text: (
                text.replace('interval = "200ms"', short)
                .replace('stop_grace = "3s"', 'stop_grace = "1s"')
                .replace('bake = "500ms"', 'bake = "200ms"')
                .replace('grace = "10s"', 'grace = "15s"', 1)
                .replace("[deploy]", f"{BUILD}[deploy]")
                + "[retention]\nreleases = 1\n"
            ),
        )
        made = Machine(home, published, tmp_path / "points")
        try:
            yield made
        finally:
            said = msgspec.json.encode(Goal(place=made.place, down=True)).decode()
            subprocess.run((sys.executable, "-m", "tests.crash_daemon", "daemon", said), cwd=ROOT, check=False)
            WatchTree(home).stop()


def rolling(resolved: Resolved) -> Resolved:
    hooks = Hooks(launching=Hook(command="true"), terminating=Hook(command="true"))
    groups = tuple(replace(each, memory_bytes=MEMORY, hooks=hooks) for each in resolved.groups)
    return replace(resolved, groups=groups, deploy=replace(resolved.deploy, strategy="rolling", max_unavailable=1))


def test_a_daemon_that_is_killed_everywhere_gets_there_and_nothing_that_serves_notices(machine: Machine) -> None:
    published, first = machine.published, machine.points
    first_r, better, sick, in_place = (
        published.publish(values, resolved).number
        for values, resolved in (
            ({}, None),
            ({"APP_BETTER": "yes"}, None),
            ({"APP_HEALTH": "500"}, soon_given_up(published.resolved)),
            ({"APP_IGNORE_TERM": "1", "APP_WORKER": "ignore-term"}, rolling(published.resolved)),
        )
    )
    stale = machine.home.runtime / "haproxy" / "tls" / "stale.pem"
    machine.reach(deployment=1, release=first_r)
    machine.agrees()
    machine.points = first.with_name("points-serving")
    port = int(machine.records.environment(machine.place.id).listen.rpartition(":")[2])
    machine.mode = "every"
    stale.touch()
    with Load(port, rate=30) as load:
        machine.reach(deployment=2, release=better)
        victim = next(each for each in machine.live() if each.group == "web")
        assert victim.pid
        os.kill(victim.pid, signal.SIGKILL)
        machine.reach(sizes={"web": 3, "worker": 1})
        assert victim.id not in [each.id for each in machine.live()]
        machine.reach(sizes={"web": 2, "worker": 1})
        zone = machine.live()[0].zone
        machine.reach(sizes={"web": 2, "worker": 1}, zones={zone: "kill"})
        assert zone not in [each.zone for each in machine.live()]
        machine.reach(sizes={"web": 2, "worker": 1}, zones={zone: None})
        machine.reach(deployment=3, release=sick)
        machine.agrees()
        machine.reach(deployment=4, release=in_place)
        machine.agrees()
        green = by_every_strategy(machine, port)
        last = machine.publish({})
        machine.reach(deployment=9, release=last)
        machine.agrees()
        machine.let_age()
        machine.reach(clean=True)
        machine.agrees()
        assert machine.is_clean(kept=[green, last])
    assert load.failures == []
    good, failed = Verdict.GOOD, Verdict.FAILED
    assert machine.verdicts() == [good, good, failed, good, good, failed, good, failed, good]
    machine.reach(down=True)
    assert sandboxes(machine.home) == {}
    assert machine.servers() == {}
    assert every_label() - COMMAND - CLAIM - CONSOLE - set(ELSEWHERE) <= passed(first, machine.points)


def by_every_strategy(machine: Machine, port: int) -> int:
    """Deployments 5 to 8: a canary and blue-green, each to a good end and back. The release that runs then."""
    canary = {
        "strategy": "canary",
        "steps": (Weight(percent=50, pause=timedelta(seconds=1)),),
        "inconclusive": "continue",
    }
    alarms = (
        Alarm(name="site", url=f"http://127.0.0.1:{port}/healthz"),
        Alarm(name="report", command="true"),
    )
    unknown = machine.publish({}, **canary, min_requests=10**6, pause_after="50%")
    slow = machine.publish({"APP_ANSWER_SECONDS": "0.2"}, **canary, min_requests=5)
    blue_green = {"strategy": "blue-green", "keep_old": timedelta(seconds=1)}
    green = machine.publish({"APP_BETTER": "green"}, **blue_green, alarms=alarms)
    alarming = machine.publish({}, **blue_green, alarms=(*alarms, Alarm(name="sales", command="false")))
    for number, release in ((5, unknown), (6, slow), (7, green), (8, alarming)):
        machine.reach(deployment=number, release=release)
        machine.agrees()
    fifth = Journals(machine.published.store, APP, machine.place.name).read(5)
    assert [len([each for each in fifth if isinstance(each, kind)]) for kind in (Judged, Continued)] == [1, 1]
    summaries = [each.ended.evidence.summary for each in machine.deployments() if each.ended is not None]
    assert "of its requests" in summaries[5] or "ms" in summaries[5]
    assert "the alarm sales rings" in summaries[7]
    return green


def half_published(home: Home) -> list[str]:
    """Releases that name an object that isn't in the store."""
    store = home.store / APP
    wrong = []
    for path in store.glob("*/r*/release.json"):
        release = json.loads(path.read_text())
        names = [store / "layers" / f"{layer['sha256']}.tar.zst" for layer in release["slug"]["layers"]]
        names.append(path.parent.parent / "env" / release["config"])
        wrong += [f"{path.parent.name}: {each}" for each in names if not each.is_file()]
    return wrong


def test_a_command_that_is_killed_everywhere_publishes_each_release_once(tmp_path: Path) -> None:
    app = make_repository("plain", tmp_path)
    commit(app, {"homeport.toml": (app / "homeport.toml").read_text().replace("[deploy]", f"{BUILD}[deploy]")})
    points = tmp_path / "points"
    tarball = tmp_path / "app.tar"
    with tarfile.open(tarball, "w") as file:
        file.add(app, "plain", filter=lambda member: None if ".git" in Path(member.name).parts else member)
        link = tarfile.TarInfo("plain/hard.py")
        link.type, link.linkname = tarfile.LNKTYPE, "plain/web.py"
        file.addfile(link)
    with home_in(tmp_path) as home:

        def does(*words: str, releases: int) -> None:
            done = crashing(home, points, "command", *words, "-C", str(app))
            assert done.returncode == 0, f"{words}\n{done.stderr}"
            assert half_published(home) == []
            found = {path.parent.name for path in home.store.glob("*/*/r*/release.json")}
            assert found == {f"r{number + 1}" for number in range(releases)}

        does("config", "set", "--secret", "--no-deploy", "KEY=value", releases=0)
        does("release", "create", releases=1)
        assert git(app, "tag", "--points-at", "HEAD") == "homeport/staging/r1"
        commit(app, {"new.txt": "x"})
        does("release", "create", releases=2)
        (app / "new.txt").write_text("y")
        does("release", "create", "--dirty", releases=3)
        does("release", "create", "--from", str(tarball), releases=4)
        does("release", "export", "r1", "-o", str(tmp_path / "exported"), releases=4)
        assert [path.name for path in home.builds.iterdir() if path.name.startswith("scratch-")] == []
    assert passed(points) & COMMAND == every_label() & COMMAND


def test_claims_of_a_home_that_is_gone(tmp_path: Path) -> None:
    machine, points = tmp_path / "machine", tmp_path / "points"
    machine.mkdir(mode=0o1777)
    with home_in(tmp_path) as home:
        done = crashing(home, points, "claim", str(machine))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name.rpartition("-")[2] != "gone.json" for path in machine.iterdir()) == [True, True]
    assert passed(points) >= CLAIM


def test_an_api_that_is_killed_everywhere_answers_again(tmp_path: Path) -> None:
    with home_in(tmp_path) as home:
        points = tmp_path / "points"
        points.mkdir()
        for label in every_label() - CONSOLE:
            for when in WHEN:
                (points / f"{label}:{when}").touch()
        environ = {**os.environ, "HOMEPORT_CRASH": "each", "HOMEPORT_CRASH_ONCE": str(points)}
        codes = []
        tree = WatchTree(home)
        tree.start(("/bin/sleep", "infinity"), {})
        try:
            while not codes or codes[-1] != 0:
                codes.append(life_of_an_api(home, environ))
        finally:
            tree.stop()
        assert codes == [-signal.SIGKILL] * 4 + [0]
        assert not home.socket.exists()


def life_of_an_api(home: Home, environ: dict[str, str]) -> int:
    """The daemon's exit code: it was told to end as soon as it answered."""
    argv = (sys.executable, "-m", "homeport", "engine", "run")
    with subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            until(lambda: answers(home) or daemon.poll() is not None, "it answers, or has died", 30)
            daemon.terminate()
            return daemon.wait(30)
        finally:
            daemon.kill()
