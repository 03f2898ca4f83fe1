"""A system part that is missing fails here, by name; no test skips because of one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "scripts" / "packages"
COMMANDS = re.findall(r"^    ([a-z0-9]+):[a-z0-9-]+$", PACKAGES.read_text(), re.MULTILINE)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def test_the_list_of_packages_is_read() -> None:
    assert {"haproxy", "runsvdir", "bwrap"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_system_part_is_here(command: str) -> None:
    assert shutil.which(command, path=PATH), f"{command} is missing; `make packages` installs it"


def test_a_sandbox_can_be_made() -> None:
    command = ("bwrap", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"no sandboxes on this machine: {done.stderr}"
