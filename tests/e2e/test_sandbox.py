"""The sandbox, with the real bubblewrap: what is inside, what can't get out, and that nothing stays behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from homeport.errors import Bug, Unavailable
from homeport.instance.cgroup import Cgroups
from homeport.instance.sandbox import BwrapSandbox
from homeport.ports.sandbox import Mount, SandboxSpec
from homeport.system import process
from tests.e2e.role import Role, as_uid, until_enough, wait_for
from tests.e2e.role import role as role  # a fixture

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def inside(uid: int | None, *command: str, **fields: object) -> SandboxSpec:
    return SandboxSpec(
        command=command, hostname="web-1", uid=uid, **{"directory": "/", "environment": ENVIRONMENT, **fields}
    )


def said(spec: SandboxSpec, timeout: timedelta | None = None) -> tuple[int, str]:
    output = bytearray()
    status = BwrapSandbox().run(spec, output=output.extend, timeout=timeout)
    return status, output.decode()


def test_inside_is_an_ordinary_user_with_nothing(role: Role) -> None:
    status, text = role.call(
        said, inside(role.uid, "bash", "-c", "cat /proc/self/status; hostname; ls /proc/self/fd; id -un; ls -A / /home")
    )
    assert status == 0
    fields = dict(re.findall(r"^(\w+):\t(.*)$", text, re.M))
    assert fields["Uid"].split() == fields["Gid"].split() == [str(role.inside)] * 4
    assert {fields[key] for key in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
    assert fields["Groups"].strip() in ("", str(role.inside))
    # 0, 1, 2 and the one that ls itself opens
    assert "\nweb-1\n0\n1\n2\n3\napp\n" in text
    top = text.partition("\n/:\n")[2]
    assert set(top.partition("\n\n")[0].split()) - {"lib32", "lib64", "libx32"} == {
        *("bin", "dev", "etc", "home", "lib", "proc", "run", "sbin", "tmp", "usr", "var")
    }
    assert text.endswith("/home:\n")


def test_only_scratch_can_be_written(role: Role) -> None:
    places = "/ /etc /usr /usr/lib /run/homeport /proc/sys/kernel /dev/shm /home /run /tmp /var/tmp"
    script = f"for d in {places}; do touch $d/x 2>/dev/null && echo $d; done; true"
    status, text = role.call(said, inside(role.uid, "bash", "-c", script))
    assert (status, text.split()) == (0, ["/dev/shm", "/home", "/run", "/tmp", "/var/tmp"])


def attempts(directory: Path, pid: int) -> list[str]:
    """What a hostile program may do to its host; those that worked, by name."""
    script = Path(__file__).with_name("attempts.py").read_text()
    done = subprocess.run(
        [sys.executable, "-c", script, directory, str(pid)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def attempts_inside(directory: Path, pid: int, uid: int | None) -> list[str]:
    script = Path(__file__).with_name("attempts.py").read_text()
    spec = inside(uid, "/usr/bin/python3", "-c", script, str(directory), str(pid))
    status, text = said(spec)
    assert status == 0, text
    return text.split()


def test_host_is_out_of_reach(role: Role) -> None:
    open_to_all = role.directory.parent / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (open_to_all / "secret").write_text("s")
    (open_to_all / "secret").chmod(0o644)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(open_to_all / "sock"))
        (open_to_all / "sock").chmod(0o777)
        listener.listen()
        victim = role.call_as_inside(start_victim)
        try:
            every = ["read", "write", "connect", "environ", "signal"]
            assert role.call_as_inside(attempts, open_to_all, victim) == every
            assert role.call(attempts_inside, open_to_all, victim, role.uid) == []
        finally:
            os.kill(victim, signal.SIGKILL)
            if role.name == "user" and os.getuid() != 0:
                os.waitpid(victim, 0)


def start_victim() -> int:
    return subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, env={"SECRET": "x"}).pid


def two_instances(directory: Path, uid: int | None) -> tuple[int, str]:
    sandbox = BwrapSandbox()
    secret = "s3cret-of-the-first"
    first = inside(uid, "sleep", "60", files={"/run/homeport/env/KEY": secret.encode()}, environment={"KEY": secret})
    pid = sandbox.start(first, info=directory / "info", output=directory / "out")
    started = process.start_time(pid)
    assert started is not None
    try:
        # while a process becomes another program, it shows no environment
        wait_for(lambda: secret.encode() in Path(f"/proc/{pid}/environ").read_bytes(), "its own environment")
        own = Path(f"/proc/{pid}/root/run/homeport/env/KEY").read_text() if os.getuid() == 0 else secret
        assert own == secret
        return said(inside(uid, "bash", "-c", f"cat /proc/*/environ /proc/{pid}/root/run/homeport/env/*; ls /proc"))
    finally:
        process.send(pid, started, signal.SIGKILL)


def test_another_instance_of_the_same_uid_is_out_of_reach(role: Role) -> None:
    status, text = role.call(two_instances, role.directory, role.uid)
    assert status == 0
    assert "s3cret" not in text
    assert len([word for word in text.split() if word.isdigit()]) <= 3


def lines_of_start(directory: Path, uid: int | None) -> dict[str, object]:
    sandbox = BwrapSandbox()
    files = {"/run/homeport/env/HIDDEN_NAME": b"hidden-value"}
    spec = inside(uid, "sleep", "60", files=files, environment={**ENVIRONMENT, "HIDDEN_TOO": "hidden-value"})
    pid = sandbox.start(spec, info=directory / "info", output=directory / "out")
    started = process.start_time(pid)
    assert started is not None
    outer = process.parents()[pid]
    try:
        wait_for(lambda: process.name(pid) == "sleep", "its command, with what it is run with")
        return {
            "pid": pid,
            "info": json.loads((directory / "info").read_text())["child-pid"],
            "session": os.getsid(pid) != os.getsid(0),
            "outer_parent": process.parents()[outer],
            "status": Path(f"/proc/{pid}/status").read_text(),
            "shown": b"".join(Path(f"/proc/{each}/cmdline").read_bytes() for each in (pid, outer)),
            "environ": Path(f"/proc/{outer}/environ").read_bytes(),
            "on_disk": b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file()),
        }
    finally:
        process.send(pid, started, signal.SIGKILL)


def test_start_is_detached_and_shows_no_secret(role: Role) -> None:
    found = role.call(lines_of_start, role.directory, role.uid)
    assert found["pid"] == found["info"]
    assert found["session"]
    assert found["outer_parent"] != os.getpid()
    fields = dict(re.findall(r"^(\w+):\t(.*)$", found["status"], re.M))
    assert fields["Uid"].split() == [str(role.inside)] * 4
    assert {fields[key] for key in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd")} == {"0" * 16}
    assert b"sleep" in found["shown"]
    assert b"idden" not in found["shown"] + found["environ"] + found["on_disk"]


def start_escaper(directory: Path, uid: int | None) -> tuple[int, int]:
    script = "setsid --fork sleep 61 & (setsid sleep 62 &) ; trap '' TERM HUP; while :; do sleep 63; done"
    spec = inside(uid, "bash", "-c", script)
    pid = BwrapSandbox().start(spec, info=directory / "info", output=directory / "out")
    started = process.start_time(pid)
    assert started is not None
    return pid, started


def test_it_outlives_its_starter_and_dies_whole_with_pid_1(role: Role) -> None:
    pid, started = as_uid(os.getuid(), role.call, start_escaper, role.directory, role.uid)
    wait_for(lambda: len(process.descendants(pid)) >= 3, "three sleepers")
    family = {each: process.start_time(each) for each in process.descendants(pid)}
    assert role.call(process.send, pid, started, signal.SIGTERM)
    assert process.alive(pid, started)
    assert role.call(process.send, pid, started, signal.SIGKILL)
    for each, began in family.items():
        assert began is not None
        wait_for(lambda each=each, began=began: not process.alive(each, began), f"the end of {each}")


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137), ("no-such-command", 127)],
)
def test_run_returns_the_exit_status(role: Role, script: str, status: int) -> None:
    assert role.call(said, inside(role.uid, "bash", "-c", script))[0] == status


def test_nice_counts_beside_other_sessions_too(role: Role) -> None:
    wait = "for each in {1..100}; do grep -q 'nice 7$' /proc/self/autogroup && break; sleep 0.1; done 2>/dev/null"
    look = f"nice; [ ! -e /proc/self/autogroup ] || {wait}; cat /proc/self/autogroup 2>/dev/null || true"
    status, text = role.call(said, inside(role.uid, "bash", "-c", look, nice=7))
    own, *grouped = text.splitlines()
    assert status == 0
    assert own == "7"
    # a kernel that doesn't group processes by session has no such file
    assert len(grouped) == Path("/proc/self/autogroup").exists()
    assert all(each.endswith(" nice 7") for each in grouped)


def test_output_comes_as_it_is_written(role: Role) -> None:
    def heard(uid: int | None) -> list[bytes]:
        pieces: list[bytes] = []
        fifo = role.directory / "fifo"
        os.mkfifo(fifo)
        fifo.chmod(0o666)

        def answer(piece: bytes) -> None:
            # The command waits for this, so what it wrote was heard while it ran.
            pieces.append(piece)
            if len(pieces) == 1:
                fifo.write_text("go\n")

        waits = ("bash", "-c", "echo one; read answer </answer; echo $answer")
        BwrapSandbox().run(
            inside(uid, *waits, mounts=(Mount(kind="writable", source=fifo, target="/answer"),)), output=answer
        )
        return pieces

    assert b"".join(role.call(heard, role.uid)) == b"one\ngo\n"


def test_timeout_ends_the_whole_tree(role: Role) -> None:
    marker = f"{os.getpid()}{role.inside}"
    spec = inside(role.uid, "bash", "-c", f"setsid --fork sleep 60.{marker}; echo began; exec sleep 60.{marker}")
    found = until_enough(
        (1.5, 6, 30), lambda seconds: role.call(said, spec, timedelta(seconds=seconds)), lambda found: found[1]
    )
    assert found == (124, "began\n")
    assert not sleepers(marker)


def sleepers(marker: str) -> list[str]:
    found = subprocess.run(["pgrep", "-f", f"sleep 60.{marker}"], capture_output=True, text=True, check=False)
    return found.stdout.split()


def test_a_run_dies_with_its_caller(role: Role) -> None:
    marker = f"{os.getpid()}{role.inside}1"

    def run_and_be_killed() -> None:
        def die(_: bytes) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        BwrapSandbox().run(inside(role.uid, "bash", "-c", f"sleep 60.{marker} & echo began; wait"), output=die)

    caller = os.fork()
    if caller == 0:
        if role.name == "user" and os.getuid() == 0:
            os.setgid(role.inside)
            os.setuid(role.inside)
        run_and_be_killed()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(caller, 0)[1]) == -signal.SIGKILL
    wait_for(lambda: not sleepers(marker), "the end of the sandbox")


def caller_of(role: Role, marker: str) -> int:
    """Pid of a process that runs a sandbox, in which something sleeps for long."""
    caller = os.fork()
    if caller == 0:
        if role.name == "user" and os.getuid() == 0:
            os.setgid(role.inside)
            os.setuid(role.inside)
        BwrapSandbox().run(inside(role.uid, "sleep", f"60.{marker}"))
        os._exit(1)
    return caller


def test_a_run_whose_caller_dies_before_bubblewrap_begins_leaves_nothing(
    role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = f"{os.getpid()}{role.inside}2"
    monkeypatch.setenv("HOMEPORT_CRASH", "sandbox.run:after")
    for _ in range(5):
        assert os.waitstatus_to_exitcode(os.waitpid(caller_of(role, marker), 0)[1]) == -signal.SIGKILL
    wait_for(lambda: not sleepers(marker), "the end of the sandboxes")


def test_a_run_whose_caller_dies_while_bubblewrap_begins_leaves_nothing(role: Role) -> None:
    marker = f"{os.getpid()}{role.inside}3"
    for several in (1, 2, 3, 4, 5) * 2:
        caller = caller_of(role, marker)
        wait_for(lambda caller=caller, least=several: len(process.descendants(caller)) >= least, f"{several} processes")
        os.kill(caller, signal.SIGKILL)
        os.waitpid(caller, 0)
    wait_for(lambda: not sleepers(marker), "the end of the sandboxes")


def failures(directory: Path, uid: int | None) -> list[tuple[str, ...]]:
    sandbox = BwrapSandbox()
    missing = Mount(kind="read_only", source=directory / "missing", target="/app")
    found = []
    for spec in (inside(uid, "true", directory="/nowhere"), inside(uid, "true", mounts=(missing,))):
        for begin in (
            lambda spec=spec: sandbox.run(spec),
            lambda spec=spec: sandbox.start(spec, info=directory / "info", output=directory / "out"),
        ):
            with pytest.raises(Unavailable) as caught:
                begin()
            found.append(caught.value.details)
    return found


def test_a_sandbox_that_cannot_be_made_says_why(role: Role) -> None:
    for details in role.call(failures, role.directory, role.uid):
        assert len(details) == 1
        assert "nowhere" in details[0] or "missing" in details[0]


def test_quick_end_is_no_failure_to_start(role: Role) -> None:
    def pid_of(command: str) -> int:
        return BwrapSandbox().start(inside(role.uid, command), info=role.directory / "info")

    assert role.call(pid_of, "/bin/false") > 1
    assert role.call(pid_of, "/bin/true") > 1


def hog(directory: Path, uid: int | None, memory_bytes: int) -> tuple[int, int]:
    sandbox = BwrapSandbox()
    info = directory / "info"
    script = "data = b'x' * 300_000_000; print(len(data))"
    spec = inside(uid, "/usr/bin/python3", "-c", script, memory_bytes=memory_bytes)
    status = sandbox.run(spec)
    pid = sandbox.start(
        inside(uid, "bash", "-c", f'python3 -c "{script}" || sleep 60', memory_bytes=memory_bytes), info=info
    )
    started = process.start_time(pid)
    assert started is not None
    try:
        if Cgroups().kind:
            wait_for(lambda: sandbox.oom_kills(info), "the count of a process killed for want of memory")
    finally:
        process.send(pid, started, signal.SIGKILL)
    wait_for(lambda: sandbox.forget(info), "removal of the cgroup")
    return status, sandbox.oom_kills(info)


def test_memory_is_limited(role: Role) -> None:
    assert role.call(said, inside(role.uid, "/usr/bin/python3", "-c", "print(1)", memory_bytes=100_000_000))[0] == 0
    status, left = role.call(hog, role.directory, role.uid, 100_000_000)
    assert status != 0
    assert left == 0


def test_uid_0_is_refused(role: Role) -> None:
    def refused(uid: int | None) -> bool:
        with pytest.raises(Bug):
            BwrapSandbox().run(inside(uid, "true"))
        return True

    assert role.call(refused, 0)
    assert role.call(refused, None if role.name == "root" else role.inside + 1)


def test_this_machine_has_no_problem(role: Role) -> None:
    assert role.call(lambda: BwrapSandbox().problem()) is None
