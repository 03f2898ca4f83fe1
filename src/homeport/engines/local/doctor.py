"""What the local engine needs of this machine, looked at part by part, each with the command that mends it. Called by
`homeport doctor` through wiring; changes nothing that lasts."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from homeport.engines.local import certificate, packet_filter
from homeport.engines.local.record import Records
from homeport.errors import HomeportError, Invalid
from homeport.instance.address import PORTS
from homeport.instance.cgroup import Cgroups
from homeport.instance.sandbox import BwrapSandbox
from homeport.model.check import Check
from homeport.plan.certificate import SOON, days_left, problems
from homeport.plan.remains import LEAST_FREE_BYTES, LEAST_FREE_SHARE, nearly_full
from homeport.plan.static import NGINX
from homeport.releases.image import interpreters, node_with_npm
from homeport.stores.state import State
from homeport.system import program
from homeport.system.clock import SystemClock
from homeport.system.disk import make_room, room
from homeport.system.home import Home
from homeport.system.sockets import ports_in_use

HAPROXY = (2, 6)
LONGEST_SOCKET_BYTES = 97
PROGRAMS = {
    "bwrap": "bubblewrap",
    "runsvdir": "runit",
    "chpst": "runit",
    "svlogd": "runit",
    "haproxy": "haproxy",
    "setpriv": "util-linux",
    "git": "git",
}
"""Program → Debian's package."""


BUILDING = ("programs", "sandbox", "disk", "interpreters", "Node")
"""What is needed of a machine on which releases are only built."""
BUILDERS = ("bwrap", "git")


def examine(home: Home, *, runs: bool = True) -> list[Check]:
    """Every check, also after one that failed. A check that fails in an unforeseen way counts as failed. `runs` False:
    only what building needs, for instances run elsewhere."""
    parts: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("programs", lambda: _programs(tuple(PROGRAMS) if runs else BUILDERS)),
        ("HAProxy", _haproxy),
        ("sandbox", _sandbox),
        ("user", _user),
        ("memory limits", _memory),
        ("packet filter", _packet_filter),
        ("ports", _ports),
        ("runtime directory", lambda: _runtime(home)),
        ("disk", lambda: _disk(home)),
        ("interpreters", _interpreters),
        ("certificates", lambda: _certificates(home)),
        ("Node", _node),
        ("nginx", _nginx),
    )
    found: list[Check] = []
    for name, part in parts:
        if not runs and name not in BUILDING:
            continue
        try:
            found += part()
        except (HomeportError, OSError) as error:
            found.append(Check(name=name, ok=False, found=str(error), expected="that it can be looked at"))
    # what is well needs no mending
    return [replace(each, mend="") if each.ok else each for each in found]


def install(*packages: str) -> str:
    """The command that installs Debian packages."""
    prefix = "" if os.getuid() == 0 else "sudo "
    return f"{prefix}apt-get install --no-install-recommends {' '.join(packages)}"


def _programs(needed: Sequence[str]) -> Iterator[Check]:
    missing = [name for name in needed if program.find(name) is None]
    yield Check(
        name="programs",
        ok=not missing,
        found=f"missing: {', '.join(missing)}" if missing else ", ".join(needed),
        expected=", ".join(needed),
        mend=install(*dict.fromkeys(PROGRAMS[name] for name in missing)) if missing else "",
    )


def _haproxy() -> Iterator[Check]:
    path = program.find("haproxy")
    if path is None:
        return
    _, text = program.ask(path, "-v")
    match = re.search(r"version (\d+)\.(\d+)\S*", text)
    yield Check(
        name="HAProxy",
        ok=match is not None and (int(match[1]), int(match[2])) >= HAPROXY,
        found=match[0] if match else text.strip()[:80],
        expected=f"version {HAPROXY[0]}.{HAPROXY[1]} or later",
        mend=install("haproxy"),
    )


def _sandbox() -> Iterator[Check]:
    if program.find("bwrap") is None:
        return
    problem = BwrapSandbox().problem()
    yield Check(
        name="sandbox",
        ok=problem is None,
        found="a trial process ran in its own namespaces" if problem is None else _said(problem),
        expected="that bubblewrap can make user, pid, ipc and mount namespaces",
        mend="" if problem is None else problem.hint or _namespaces(),
    )


def _said(problem: HomeportError) -> str:
    return "; ".join((problem.message, *problem.details[-2:]))


def _namespaces() -> str:
    """What keeps this machine from making user namespaces, and how to allow it."""
    for name, wanted in (
        ("kernel/unprivileged_userns_clone", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "0"),
        ("user/max_user_namespaces", "15000"),
    ):
        path = Path("/proc/sys", name)
        if path.exists() and (path.read_text().strip() == "0") != (wanted == "0"):
            return f"sysctl -w {name.replace('/', '.')}={wanted}   # as root"
    return ""


def _user() -> Iterator[Check]:
    root = os.getuid() == 0
    yield Check(
        name="user",
        ok=root,
        found="root: instances of each environment get a uid of their own" if root else "an ordinary user",
        expected="root, for instances with a uid of their own; else they run as you, kept apart by namespaces alone",
        needed=False,
    )


def _memory() -> Iterator[Check]:
    kind = Cgroups().kind
    yield Check(
        name="memory limits",
        ok=kind is not None,
        found=f"cgroup {kind}: a limit holds for the whole instance" if kind else "RLIMIT_DATA: per process",
        expected="a cgroup that can be written to, so that a limit holds for the whole instance",
        mend="" if kind else _memory_mend(),
        needed=False,
    )


def _memory_mend() -> str:
    if os.getuid() == 0:
        return "mount /sys/fs/cgroup so that it can be written to; in a container, start that with a cgroup of its own"
    return "run the engine as root, or in a delegated unit: systemd-run --user --scope -p Delegate=yes"


def _packet_filter() -> Iterator[Check]:
    sudo = "" if os.getuid() == 0 else "sudo "
    mend = f"{sudo}nft '{packet_filter.RULES}'"
    found = packet_filter.active()
    if found is None:
        mend = f"{install('nftables')}; {mend}"
    active = bool(found)
    problem = "instances can be reached from outside" if os.getuid() == 0 or found is None else "can't be seen by you"
    yield Check(
        name="packet filter",
        ok=active,
        found=f"ports {PORTS.start}–{PORTS.stop - 1} are closed from outside" if active else problem,
        expected=f"that only this machine reaches ports {PORTS.start}–{PORTS.stop - 1}: apps listen on every address",
        mend=mend,
        needed=False,
    )


def _certificates(home: Home) -> Iterator[Check]:
    """Those that lie where the platform files of the environments that are up say."""
    if not home.state.exists():
        return
    now = SystemClock().now()
    for id_, kept in sorted(Records(State(home.state)).environments().items()):
        if kept.place.tls is None:
            continue
        try:
            found = certificate.read(certificate.combined(kept.place.tls), kept.place.tls.certificate)
            certificate.check_pair(kept.place.tls)
            wrong = problems(found, (), now)
            said = wrong or (f"{days_left(found, now)} days left, until {found.ends_at:%Y-%m-%d %H:%M} UTC",)
        except Invalid as error:
            wrong = said = (error.message,)
        yield Check(
            name=f"certificate of {id_}",
            ok=not wrong,
            found="; ".join(said),
            expected=f"valid for {SOON.days} days more, with its key",
            needed=False,
        )


def _ports() -> Iterator[Check]:
    used = sum(port in PORTS for port in ports_in_use())
    yield Check(
        name="ports",
        ok=used < len(PORTS) // 2,
        found=f"{len(PORTS) - used} of {len(PORTS)} free from {PORTS.start} on",
        expected="most of them free",
        needed=used >= len(PORTS) - 100,
    )
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    yield Check(
        name="port range",
        ok=first >= PORTS.stop,
        found=f"outgoing connections take ports from {first} on",
        expected=f"from {PORTS.stop} on, so that they don't take those of instances",
        mend="sysctl -w net.ipv4.ip_local_port_range='32768 60999'   # as root",
        needed=False,
    )


def _runtime(home: Home) -> Iterator[Check]:
    longest = home.runtime / "haproxy-master.sock.00000"
    yield Check(
        name="runtime directory",
        ok=os.access(home.runtime, os.W_OK) and len(os.fsencode(longest)) <= LONGEST_SOCKET_BYTES,
        found=str(home.runtime),
        expected=f"writable, and short: sockets in it have at most {LONGEST_SOCKET_BYTES} bytes",
        mend="set XDG_RUNTIME_DIR to a short directory of yours",
    )


def _disk(home: Home) -> Iterator[Check]:
    found = room(home.root)
    yield Check(
        name="disk",
        ok=not nearly_full(found),
        found=f"{found.free_bytes / 1e9:.2f} of {found.total_bytes / 1e9:.2f} GB free at {home.root}",
        expected=f"at least {LEAST_FREE_BYTES / 1e9:g} GB, and {LEAST_FREE_SHARE:.0%} of the file system",
        mend=make_room(home.root),
        needed=found.free_bytes < LEAST_FREE_BYTES,
    )


def _interpreters() -> Iterator[Check]:
    available = interpreters()
    versions = ", ".join(each.version for each in available)
    yield Check(
        name="interpreters",
        ok=bool(available),
        found=f"Python {versions}" if available else "no Python in /usr/bin or /usr/local/bin",
        expected="a Python 3 that sandboxes see too",
        mend="" if available else install("python3", "python3-venv"),
        needed=False,
    )
    for each in available[:1]:
        code, _ = program.ask(each.path, "-I", "-c", "import ensurepip")
        yield Check(
            name="venv",
            ok=code == 0,
            found=f"Python {each.version} {'can' if code == 0 else 'cannot'} make virtual environments",
            expected="that it can, to install an app's requirements",
            mend=install("python3-venv"),
        )


def _node() -> Iterator[Check]:
    node = node_with_npm()
    yield Check(
        name="Node",
        ok=node is not None,
        found=f"Node {node.version} ({node.path})" if node else "no Node with npm in /usr/bin or /usr/local/bin",
        expected="both, for apps with a package.json",
        mend=install("nodejs", "npm"),
        needed=False,
    )


def _nginx() -> Iterator[Check]:
    there = Path(NGINX).exists()
    yield Check(
        name="nginx",
        ok=there,
        found=NGINX if there else f"{NGINX} isn't there",
        expected="nginx, for apps that are only pages",
        mend=install("nginx-light"),
        needed=False,
    )
