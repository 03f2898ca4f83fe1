"""Addresses, ports and uids of this machine, claimed so that two users' Homeports, and two homes of a user, never meet.

Called by the engine. Every home keeps its claims in a file of its own, and shows them to the others in a directory that
all can write (sticky), under a lock that all can take. Others' files are read with distrust: who owns one may only
speak for himself, and garbage counts as empty.
"""

import contextlib
import fcntl
import hashlib
import ipaddress
import os
import pwd
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from homeport.errors import Unavailable
from homeport.ports.clock import Clock
from homeport.system import process, text_file
from homeport.system.disk import is_full, make_room
from homeport.system.effect import effect
from homeport.system.home import Home
from homeport.system.sockets import addresses_in_use, port_is_free

MACHINE = Path("/var/tmp/.homeport")
"""Not below /tmp: what one home was given before a reboot mustn't be given to another that comes back sooner."""
QUARANTINE = timedelta(seconds=60)
"""How long a port that was given back isn't given out: clients may still try the old one."""

PORTS = range(20000, 30000)
PUBLIC_PORTS = range(8080, 9080)
UIDS = range(70000, 80000)
"""Above what `adduser` gives out, below the ranges of containers."""

_INSTANCES = "127.64.0.0/12"
_BALANCERS = "127.96.0.0/16"
_FILE_LIMIT_BYTES = 4_000_000

Kind = Literal["instance", "balancer", "port", "public_port", "uid"]


class Claim(msgspec.Struct, frozen=True):
    """`value`: a port, a uid, or an address as text."""

    kind: Kind
    key: str
    value: str


class Wanted(msgspec.Struct, frozen=True):
    """A claim to be made: the first of the candidates that nobody has and that is `free`."""

    kind: Kind
    key: str
    candidates: Iterable[str]
    free: Callable[[str], bool] = lambda _: True


class _Claims(msgspec.Struct):
    """A claims file. `released`: ports given back, and when."""

    home: str
    claims: list[Claim] = []
    released: dict[str, datetime] = {}


class Addresses:
    """Claims of one home, from any thread. A key that has its claim gets the same value again, also after a restart."""

    def __init__(self, home: Home, clock: Clock, *, machine: Path = MACHINE) -> None:
        self._clock = clock
        self._machine = machine
        self._kept = home.root / "addresses.json"
        key = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:16]
        self._shown = machine / f"{os.getuid()}-{key}.json"
        self._mutex = threading.Lock()
        self._theirs: dict[Path, tuple[tuple[int, ...], _Claims | None]] = {}
        """Others' files as they were when they were read, and what they said."""
        self._own = _read(self._kept, os.getuid()) or _Claims(home=str(home.root))
        self._yield()

    def instance(self, key: str) -> str:
        """A 127.x.y.z of its own for an instance."""
        return self._claim("instance", key, _hosts(_INSTANCES))

    def generation(self, key: str, number: int, names: Iterable[str]) -> tuple[str, dict[str, int]]:
        """The `instance` address of `key`, and for each name the `port` of `<key>/<number>/<name>`: at once, for each
        claim by itself is a look at what all others have, and a write."""
        names, last = tuple(names), self._last_port()
        address, *found = self._claim_all(
            Wanted("instance", key, _hosts(_INSTANCES)),
            *(Wanted("port", f"{key}/{number}/{name}", map(str, _after(last, PORTS)), _port_is_free) for name in names),
        )
        return address, dict(zip(names, map(int, found), strict=True))

    def balancer(self, key: str) -> str:
        """A 127.x.y.z on which the balancer serves a group's private name."""
        return self._claim("balancer", key, _hosts(_BALANCERS), free=_not_in(addresses_in_use))

    def port(self, key: str) -> int:
        """A port for a process: unused by anybody, and not given back in the last minute."""
        return int(self._claim("port", key, map(str, _after(self._last_port(), PORTS)), free=_port_is_free))

    def public_port(self, key: str) -> int:
        """A loopback port for the public side of an environment."""
        return int(self._claim("public_port", key, map(str, PUBLIC_PORTS), free=_port_is_free))

    def uid(self, key: str) -> int:
        """A uid (and gid) that nobody has. Nor does anything run under it: where somebody had emptied the directory of
        claims, another home's instances may."""
        free = _not_in(lambda: {str(each) for each in (*process.uids(), *(user.pw_uid for user in pwd.getpwall()))})
        return int(self._claim("uid", key, map(str, UIDS), free=free))

    def all(self) -> tuple[Claim, ...]:
        """This home's claims."""
        with self._mutex:
            return tuple(self._own.claims)

    def release(self, key: str) -> None:
        """Nothing is claimed for `key` any more, nor for keys below it (`key/…`)."""
        with self._locked():
            gone = [each for each in self._own.claims if each.key == key or each.key.startswith(f"{key}/")]
            if not gone:
                return
            now = self._clock.now()
            recent = {port: at for port, at in self._own.released.items() if now - at < QUARANTINE}
            recent |= {each.value: now for each in gone if each.kind == "port"}
            self._save([each for each in self._own.claims if each not in gone], recent)

    def keep_only(self, wanted: Callable[[Claim], bool]) -> None:
        """Every other claim of this home is given back."""
        for each in self.all():
            if not wanted(each):
                self.release(each.key)

    @contextlib.contextmanager
    def unclaimed(self, kind: Kind) -> Iterator[bool]:
        """Whether no home of the machine has a claim of this kind; while it is asked, none gets one."""
        with self._locked():
            yield not any(each.kind == kind for claims in (self._own, *self._others()) for each in claims.claims)

    def show(self) -> None:
        """The others see our claims, even if somebody emptied their directory."""
        with self._locked():
            self._save(self._own.claims, self._own.released)

    def _yield(self) -> None:
        """The others see our claims. Where somebody had emptied their directory, others may have been given addresses
        of our private names: then we take new ones."""
        with self._locked():
            kept = self._own.claims
            if any(each.kind == "balancer" for each in kept):
                theirs = {each.value for claims in self._others() for each in claims.claims if each.kind == "balancer"}
                kept = [each for each in kept if each.kind != "balancer" or each.value not in theirs]
            self._save(kept, self._own.released)

    def _claim(
        self, kind: Kind, key: str, candidates: Iterable[str], free: Callable[[str], bool] = lambda _: True
    ) -> str:
        return self._claim_all(Wanted(kind, key, candidates, free))[0]

    def _claim_all(self, *wanted: Wanted) -> list[str]:
        """All of them, or (`Unavailable`) none."""
        with self._locked():
            known = {(each.kind, each.key): each.value for each in self._own.claims}
            new = [each for each in wanted if (each.kind, each.key) not in known]
            taken = self._taken() if new else set()
            for each in new:
                value = next((value for value in each.candidates if value not in taken and each.free(value)), None)
                if value is None:
                    raise Unavailable(f"no {each.kind} is free for {each.key}: all are taken on this machine")
                taken.add(value)
                known[each.kind, each.key] = value
            if new:
                made = [Claim(each.kind, each.key, known[each.kind, each.key]) for each in new]
                self._save([*self._own.claims, *made], self._own.released)
            return [known[each.kind, each.key] for each in wanted]

    def _last_port(self) -> int:
        ports = [int(each.value) for each in self.all() if each.kind == "port"]
        return ports[-1] if ports else PORTS[-1]

    def _taken(self) -> set[str]:
        """Values that nobody may get: claimed by any home that still exists, or given back a moment ago."""
        now = self._clock.now()
        found: set[str] = set()
        for claims in (self._own, *self._others()):
            found |= {each.value for each in claims.claims}
            found |= {port for port, at in claims.released.items() if abs(now - at) < QUARANTINE}
        return found

    def _others(self) -> Iterator[_Claims]:
        for path in self._machine.glob("*-*.json"):
            owner = path.name.partition("-")[0]
            if path == self._shown or not owner.isdigit():
                continue
            claims = self._said(path, int(owner))
            if claims is None:
                continue
            if _vanished(claims.home):
                with contextlib.suppress(OSError):  # not ours to remove
                    _remove(path)
            else:
                yield claims

    def _said(self, path: Path, owner: int) -> _Claims | None:
        """As `_read`, anew only where the file is another: they are replaced, never written to."""
        try:
            info = path.lstat()
        except OSError:
            return None
        seen = (info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_uid)
        known = self._theirs.get(path)
        if known is None or known[0] != seen:
            known = self._theirs[path] = (seen, _read(path, owner))
        return known[1]

    def _save(self, claims: list[Claim], released: dict[str, datetime]) -> None:
        """Writes nothing where that is said already: on a full disk an engine comes back all the same."""
        self._own = _Claims(home=self._own.home, claims=claims, released=released)
        text = msgspec.json.encode(self._own).decode()
        try:
            if _read(self._kept, os.getuid()) != self._own:
                _keep(self._kept, text)
            if _read(self._shown, os.getuid()) != self._own:
                _show(self._shown, text)
        except OSError as error:
            # what fails when it is written to, not opened, has no name
            raise Unavailable(
                f"can't write {error.filename or self._kept}: {error.strerror}",
                hint=next(
                    (make_room(each) for each in (self._kept.parent, self._machine) if is_full(each)),
                    f"ls -ld {self._kept.parent} {self._machine}",
                ),
            ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._mutex:
            descriptor = _lock(self._machine)
            try:
                # A build of this home claims for itself.
                self._own = _read(self._kept, os.getuid()) or self._own
                yield
            finally:
                os.close(descriptor)


def _hosts(network: str) -> Iterator[str]:
    """Addresses without those that look like a network's or a broadcast."""
    return (str(each) for each in ipaddress.ip_network(network) if each.packed[-1] not in (0, 255))


def _port_is_free(port: str) -> bool:
    return port_is_free(int(port))


def _not_in(used: Callable[[], Collection[str]]) -> Callable[[str], bool]:
    """Looks once, when it is first asked."""
    known: list[Collection[str]] = []

    def free(value: str) -> bool:
        if not known:
            known.append(used())
        return value not in known[0]

    return free


def _after(last: int, numbers: range) -> Iterator[int]:
    """All of the range, beginning behind `last`: what was used longest ago comes first."""
    start = numbers.index(last) + 1 if last in numbers else 0
    yield from numbers[start:]
    yield from numbers[:start]


def _vanished(home: str) -> bool:
    """Only where that is certain: one that we may not look at exists."""
    try:
        os.stat(home)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _read(path: Path, owner: int) -> _Claims | None:
    """None: not there, not its owner's, or garbage."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != owner or info.st_size > _FILE_LIMIT_BYTES:
            return None
        try:
            return msgspec.json.decode(file.read(_FILE_LIMIT_BYTES), type=_Claims)
        except msgspec.DecodeError:
            return None


def _lock(machine: Path) -> int:
    """Descriptor of the machine's lock, held until it is closed. Raises `Unavailable`."""
    path = machine / "lock"
    try:
        while True:
            _make_lock(machine, path)
            # Without O_CREAT: the kernel refuses that for others' files in a sticky directory.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path, follow_symlinks=False).st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
            os.close(descriptor)  # somebody emptied the directory while we waited
    except OSError as error:
        raise Unavailable(
            f"can't lock {path}: {error.strerror}, expected a directory with mode 1777 and a file that all can read",
            hint=f"sudo rm -r {machine}",
        ) from error


@effect("address.make_lock")
def _make_lock(machine: Path, path: Path) -> None:
    if path.exists():
        return
    with contextlib.suppress(FileExistsError):
        machine.mkdir()
        machine.chmod(0o1777)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        os.fchmod(descriptor, 0o644)
        os.close(descriptor)


@effect("address.keep")
def _keep(path: Path, text: str) -> None:
    """As `text_file.replace`, but it outlives a power loss: uids own what lies on the disk."""
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@effect("address.show")
def _show(path: Path, text: str) -> None:
    text_file.replace(path, text, 0o644)


@effect("address.remove")
def _remove(path: Path) -> None:
    path.unlink()
