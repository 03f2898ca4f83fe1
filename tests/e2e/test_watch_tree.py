"""The tree that restarts daemon and HAProxy: whatever is killed, there is one of each again, and never two."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from homeport.engines.local.balancer import HaproxyBalancer
from homeport.engines.local.watch_tree import WatchTree
from homeport.plan.balancer import Balancer, Frontend
from homeport.system import process
from homeport.system.effect import SITES
from homeport.system.home import Home
from tests.e2e.balanced import free_port, until

ENVIRON = {"PATH": os.environ["PATH"], "ODD": "a 'b' \"c\" $d\ne"}


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    directory = tmp_path_factory.mktemp("w")
    made = Home(directory / "home", directory / "run" / "x")
    made.create()
    try:
        yield made
    finally:
        WatchTree(made).stop()


def daemon(home: Home) -> tuple[str, ...]:
    """Says its environment, then sleeps; the home's path on its command line tells it from others."""
    script = (
        f"env -0 > '{home.root}/environ.new'; mv '{home.root}/environ.new' '{home.root}/environ'; exec sleep 100000"
    )
    return ("/bin/sh", "-c", script)


def processes(*words: str) -> list[int]:
    """Pids whose command line has all the words and that aren't zombies."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if all(each in command for each in words):
            found.append(int(entry.name))
    return found


def children(pid: int, name: str) -> list[int]:
    return [each for each in process.children(pid) if process.name(each) == name]


def tree(home: Home) -> tuple[int, dict[str, int]]:
    """Pids of runsvdir, and of each runsv by its service."""
    (root,) = processes("runsvdir", str(home.services))
    return root, {Path(os.readlink(f"/proc/{pid}/cwd")).name: pid for pid in children(root, "runsv")}


def configure(home: Home) -> None:
    HaproxyBalancer(home).sync(Balancer(frontends=(Frontend(name="f.x", listen=f"127.0.0.1:{free_port()}"),)))


def masters(home: Home) -> list[int]:
    pids = processes("/haproxy -W", str(home.runtime))
    return [pid for pid in pids if process.parents().get(pid) not in pids]


def is_another(home: Home, master: int) -> bool:
    """Whether there is one HAProxy, and not that one; workers without a master count."""
    found = masters(home)
    return len(found) == 1 and found != [master]


def test_it_starts_once_and_is_adopted(home: Home) -> None:
    watch = WatchTree(home)
    assert not watch.running()
    watch.start(daemon(home), ENVIRON)
    assert watch.running()
    assert not watch.haproxy_running()
    pid = watch.daemon_pid()
    assert pid is not None
    until((home.root / "environ").exists, "the daemon has begun")
    environ = dict(each.split("=", 1) for each in (home.root / "environ").read_text().split("\0") if each)
    assert {key: environ[key] for key in ENVIRON} == ENVIRON
    assert set(environ) - set(ENVIRON) <= {"PWD", "SHLVL", "_"}, "nothing else is passed on"

    configure(home)
    again = WatchTree(home)
    again.start_haproxy()
    again.start(daemon(home), ENVIRON)
    assert again.daemon_pid() == pid
    until(lambda: len(processes("runsvdir", str(home.services))) == 1, "one, and none about to be a runsv")
    assert len(masters(home)) == 1

    again.stop()
    assert not watch.running()
    assert processes(str(home.runtime)) == processes(str(home.root)) == []
    again.stop()


def test_what_is_killed_comes_back_and_there_is_one_of_it(home: Home) -> None:
    watch = WatchTree(home)
    watch.start(daemon(home), ENVIRON)
    configure(home)
    watch.start_haproxy()
    pid = watch.daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: watch.daemon_pid() not in (pid, None), "another daemon")

    (master,) = masters(home)
    workers = children(master, "haproxy")
    os.kill(master, signal.SIGKILL)
    until(lambda: is_another(home, master) and watch.haproxy_running(), "another HAProxy")
    until(lambda: not any(process.start_time(each) for each in workers), "its workers end with it")

    _, supervisors = tree(home)
    (master,) = masters(home)
    pid = watch.daemon_pid()
    for each in supervisors.values():
        os.kill(each, signal.SIGKILL)
    until(lambda: watch.daemon_pid() not in (pid, None), "daemon under a new supervisor")
    until(lambda: is_another(home, master) and watch.haproxy_running(), "HAProxy under a new supervisor")
    until(lambda: process.start_time(pid or 0) is None, "the daemon goes with its supervisor")

    before = (watch.daemon_pid(), masters(home))
    root, supervisors = tree(home)
    os.kill(root, signal.SIGKILL)
    until(lambda: not watch.running(), "it is noticed")
    assert watch.keep()
    until(watch.running, "there is another")
    assert not watch.keep()
    assert (watch.daemon_pid(), masters(home)) == before, "what ran wasn't touched"
    os.kill(supervisors["daemon"], signal.SIGKILL)
    until(lambda: watch.daemon_pid() not in (before[0], None), "the new runsvdir's supervisor takes over")
    until(lambda: process.start_time(before[0] or 0) is None, "the one before goes")


def test_a_daemon_that_ignores_term_is_killed_whatever_it_leaves_behind(home: Home) -> None:
    watch = WatchTree(home, stop_grace=timedelta(milliseconds=300))
    marker = home.root / "ready"
    script = f"trap '' TERM; sleep 100 & echo $! > '{marker}.new'; mv '{marker}.new' '{marker}'; while :; do wait; done"
    watch.start(("/bin/sh", "-c", script), {"PATH": "/bin"})
    until(marker.exists, "the daemon has begun")
    pid, left = watch.daemon_pid(), int(marker.read_text())
    try:
        watch.stop()
        assert process.start_time(pid or 0) is None
        assert processes("svlogd", str(home.root)) == []
    finally:
        os.kill(left, signal.SIGKILL)


BECOME = """
import sys
from pathlib import Path
from homeport.engines.local.watch_tree import WatchTree
from homeport.system.home import Home
WatchTree(Home(Path(sys.argv[1]), Path(sys.argv[2]))).become(("/bin/sleep", "100000"), {})
"""


def become(home: Home, **environ: str) -> subprocess.Popen[bytes]:
    """What systemd does at boot."""
    argv = (sys.executable, "-c", BECOME, str(home.root), str(home.runtime))
    return subprocess.Popen(argv, env={**os.environ, **environ})


def test_systemd_watches_the_tree_that_it_starts(home: Home) -> None:
    watch = WatchTree(home)
    killed = become(home, HOMEPORT_CRASH="watch_tree.become:before")
    assert killed.wait(20) == -signal.SIGKILL
    assert not watch.running()
    first = become(home)
    try:
        until(watch.running, "the tree and its daemon")
        pid = watch.daemon_pid()
        until(lambda: processes("runsvdir", str(home.services)) == [first.pid], "it is the process that systemd knows")

        second = become(home)  # such as by `systemctl start` beside a tree that a person has started
        try:
            assert first.wait(20) == 0, "the other has ended well: nobody starts it again"
            until(lambda: process.name(second.pid) == "runsvdir", "it takes over")
            until(lambda: processes("runsvdir", str(home.services)) == [second.pid], "it is the only one")
            assert watch.daemon_pid() == pid, "what ran wasn't touched"
            watch.stop()
            assert second.wait(20) == 0
        finally:
            second.kill()
            second.wait()
    finally:
        first.kill()
        first.wait()


CRASH = """
import sys
from pathlib import Path
from homeport.engines.local.watch_tree import WatchTree
from homeport.system.home import Home
watch = WatchTree(Home(Path(sys.argv[1]), Path(sys.argv[2])))
watch.start(("/bin/sleep", "100000"), {"HOME": sys.argv[1]})
watch.start_haproxy()
"""


def test_whoever_is_killed_in_the_middle_is_succeeded(home: Home) -> None:
    configure(home)
    labels = sorted(each for each in SITES if each.startswith(("watch_tree.", "service.")))
    labels.remove("watch_tree.become")  # has its own test: nothing of ours runs after it
    assert labels == ["service.control", "watch_tree.enable", "watch_tree.spawn", "watch_tree.write"]
    for number, (label, when) in enumerate((label, when) for label in labels for when in ("before", "after")):
        (home.services / "haproxy").mkdir(exist_ok=True)
        (home.services / "haproxy" / "down").touch()
        for runsvdir in processes("runsvdir", str(home.services)):
            os.kill(runsvdir, signal.SIGKILL)
        killed = subprocess.run(
            (sys.executable, "-c", CRASH, str(home.root), str(home.runtime)),
            env={**os.environ, "HOMEPORT_CRASH": f"{label}:{when}"},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, label
        watch = WatchTree(home)
        watch.start(("/bin/sleep", f"10000{number}"), ENVIRON)
        assert watch.running(), label
        assert watch.haproxy_running(), label
        assert len(masters(home)) == 1, label
        until(
            lambda: len(processes("runsvdir", str(home.services))) == 1, f"{label}: one, and none about to be a runsv"
        )
