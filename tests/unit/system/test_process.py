import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from homeport.system import process
from homeport.system.sockets import listening, ports_in_use


@pytest.fixture
def shell() -> Iterator["subprocess.Popen[bytes]"]:
    """A shell with one child of its own."""
    with subprocess.Popen(["bash", "-c", "sleep 60 & echo; wait"], stdout=subprocess.PIPE, process_group=0) as made:
        assert made.stdout is not None
        made.stdout.readline()
        try:
            yield made
        finally:
            os.killpg(made.pid, signal.SIGKILL)


def test_a_zombie_is_dead(shell: "subprocess.Popen[bytes]") -> None:
    started = process.start_time(shell.pid)
    assert started is not None
    assert process.alive(shell.pid, started)
    assert not process.alive(shell.pid, started + 1)
    pidfd = process.open_pidfd(shell.pid, started)
    assert pidfd is not None
    assert not process.ended(pidfd)
    assert process.send(shell.pid, started, signal.SIGTERM)
    assert process.ended(pidfd, 30)
    os.close(pidfd)
    assert os.path.exists(f"/proc/{shell.pid}")
    assert not process.alive(shell.pid, started)
    assert process.open_pidfd(shell.pid, started) is None
    assert not process.send(shell.pid, started, signal.SIGTERM)


def test_a_number_that_no_process_has_any_more_is_nobodys() -> None:
    """As that of one that is being reaped: a thread's, which Linux refuses with the same words."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        assert process.open_pidfd(thread.native_id, 1) is None
    finally:
        over.set()
        thread.join()


def test_another_process_with_the_pid_gets_no_signal(shell: "subprocess.Popen[bytes]") -> None:
    started = process.start_time(shell.pid)
    assert started is not None
    assert not process.send(shell.pid, started - 1, signal.SIGKILL)
    assert process.alive(shell.pid, started)


def test_family(shell: "subprocess.Popen[bytes]") -> None:
    [child] = process.children(shell.pid)
    assert process.name(child) in ("bash", "sleep")
    assert process.descendants(shell.pid) == (child,)
    assert {shell.pid, child} <= set(process.descendants(os.getpid()))
    assert process.descendants(2**22 + 1) == ()
    assert process.name(2**22 + 1) is None


def test_listening_names_addresses_and_ports() -> None:
    with (
        socket.create_server(("127.5.6.7", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        ports = [each.getsockname()[1] for each in (four, six)]
        assert {f"127.5.6.7:{ports[0]}", f"[::1]:{ports[1]}"} <= set(listening(os.getpid()))
        assert set(ports) <= ports_in_use()
        assert not set(ports) & {int(each.rpartition(":")[2]) for each in listening(2**22 + 1)}
