"""Apps listen on every address; other machines reach none of them. In a network of the test's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("filtered.py")
OPEN = {"from outside": True, "another port": True, "over loopback": True, "own address": True}
CLOSED = {**OPEN, "from outside": False}


def in_own_network(*command: str) -> str:
    """What the command prints, run as root of a network that ends with it."""
    unshare = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
    root = () if os.getuid() == 0 else ("--map-root-user",)
    done = subprocess.run(
        (*unshare, *root, *command),
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_only_this_machine_reaches_the_ports_of_instances(tmp_path: Path) -> None:
    found = json.loads(in_own_network(sys.executable, str(SCRIPT), str(tmp_path)))
    assert found == [False, OPEN, True, CLOSED, True, False, OPEN]
