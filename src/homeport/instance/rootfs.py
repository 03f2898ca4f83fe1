"""The root directory that a sandbox sees, as bubblewrap arguments: a whitelist of the image (/usr, needed /etc), the
rest empty or private. Never the host's root, not even read-only: sockets can be connected to through a read-only mount.

Called by `sandbox`.
"""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from homeport.instance.environment import PRIVATE
from homeport.ports.sandbox import Mount

USER = "app"

_ETC = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "host.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "magic.mime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "perl",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
    "timezone",
)
_SCRATCH = ("/dev/shm", "/home", "/run", "/tmp", "/var/tmp")


def base(uid: int, gid: int, hostname: str) -> tuple[list[str], dict[str, bytes]]:
    """Arguments for the image's part of the root, and the /etc files generated for it."""
    # Parents that bubblewrap makes by itself are closed to others, and as root the sandbox's uid is one of those.
    arguments = ["--ro-bind", "/usr", "/usr", "--perms", "0755", "--dir", "/etc", "--perms", "0755", "--dir", "/var"]
    for top in ("bin", "lib", "lib32", "lib64", "libx32", "sbin"):
        path = Path("/", top)
        if path.is_symlink():
            arguments += ["--symlink", f"usr/{top}", str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    pythons = sorted(entry.name for entry in Path("/etc").glob("python3*"))
    for entry in (*_ETC, *pythons):
        arguments += ["--ro-bind-try", f"/etc/{entry}", f"/etc/{entry}"]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for directory in _SCRATCH:
        arguments += ["--perms", "1777", "--tmpfs", directory]
    arguments += ["--symlink", "/run", "/var/run", "--tmpfs", PRIVATE]
    passwd = f"root:x:0:0:root:/:/usr/sbin/nologin\n{USER}:x:{uid}:{gid}::/home:/bin/bash\n"
    group = f"root:x:0:\n{USER}:x:{gid}:\n"
    hosts = f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {hostname}\n"
    return arguments, {"/etc/passwd": passwd.encode(), "/etc/group": group.encode(), "/etc/hosts": hosts.encode()}


def mounts(wanted: tuple[Mount, ...]) -> list[str]:
    """Arguments for the mounts, parents before what lies inside them, whatever their order was."""
    arguments: list[str] = []
    for mount in sorted(wanted, key=lambda each: len(PurePosixPath(each.target).parts)):
        arguments += _parents(mount.target)
        if mount.kind == "tmpfs":
            arguments += ["--perms", "1777", "--tmpfs", mount.target]
        else:
            flag = "--bind" if mount.kind == "writable" else "--ro-bind"
            arguments += [flag, os.fspath(mount.source or mount.target), mount.target]
    return arguments


def files(descriptors: Mapping[str, int]) -> list[str]:
    """Arguments that copy an open file each to its path inside."""
    arguments: list[str] = []
    for path, descriptor in descriptors.items():
        arguments += [*_parents(path), "--perms", "0444", "--file", str(descriptor), path]
    return arguments


def _parents(path: str) -> list[str]:
    """Arguments that make the directories above `path`, where they aren't there."""
    arguments: list[str] = []
    for parent in reversed(PurePosixPath(path).parents[:-1]):
        arguments += ["--perms", "0755", "--dir", str(parent)]
    return arguments


def sealed() -> list[str]:
    """Arguments, last of all, that make the root and Homeport's own directory read-only."""
    return ["--remount-ro", PRIVATE, "--remount-ro", "/"]
