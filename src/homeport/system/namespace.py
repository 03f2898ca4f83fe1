"""The namespaces of another process, and giving up rights, as the kernel offers them (setns(2), ioctl_ns(2), prctl(2)).

Called by `instance.enter` and `.keeper`, in children made for it: nothing here can be taken back.
"""

import ctypes
import fcntl
import os
import signal
import struct

from homeport.system import process

_libc = ctypes.CDLL(None, use_errno=True)  # Python has os.setns from 3.12 on
_NS_GET_USERNS = 0xB701
_SET_PDEATHSIG, _SET_DUMPABLE, _CAPBSET_DROP, _SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
_CAPABILITY_VERSION = 0x20080522
_KINDS = ("cgroup", "ipc", "uts", "pid", "mnt")
"""In the order of entering: with the mounts goes this process's own view of /proc."""


class Namespaces:
    """Those of one very process, held open: they stay the same ones whatever becomes of it."""

    def __init__(self, pid: int, started: int) -> None:
        """Raises OSError; ProcessLookupError where that process has ended."""
        self._entered: list[int] = []
        self._user: int | None = None
        try:
            self._open(pid)
            if not process.alive(pid, started):
                raise ProcessLookupError
        except BaseException:
            self.close()
            raise

    def enter(self) -> None:
        """This process, which must have one thread, is in all of them but the user's; its children to come also in that
        of the pids. Where that is a step down, it has every right there. Raises OSError."""
        for descriptor in self._entered:
            _enter(descriptor)

    def enter_user(self) -> None:
        """And in that of the user. Raises OSError."""
        if self._user is not None:
            _enter(self._user)

    def close(self) -> None:
        for descriptor in self._entered if self._user is None else (*self._entered, self._user):
            os.close(descriptor)
        self._entered, self._user = [], None

    def _open(self, pid: int) -> None:
        place = process.PROC / str(pid) / "ns"
        own = {os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("user", *_KINDS)}
        for kind in _KINDS:
            descriptor = os.open(place / kind, os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(descriptor).st_ino in own:
                os.close(descriptor)
                continue
            self._entered.append(descriptor)
            if kind == "pid":
                # Bubblewrap nests two user namespaces: what it made belongs to the outer one, where who made that has
                # every right; its processes are in the inner one.
                owner = fcntl.ioctl(descriptor, _NS_GET_USERNS)
                if os.fstat(owner).st_ino in own:
                    os.close(owner)
                else:
                    own.add(os.fstat(owner).st_ino)
                    self._entered.insert(0, owner)
        user = os.open(place / "user", os.O_RDONLY | os.O_CLOEXEC)
        if os.fstat(user).st_ino in own:
            os.close(user)
        else:
            self._user = user


def hide() -> None:
    """Nobody without rights over the machine looks into this process, not even one of the same uid: not at its memory,
    its open files or its program. Ends with execve(2)."""
    _prctl(_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Whatever descends from this process stays below it when its own parent ends."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """This process gets KILL when its parent ends. Stays so over execve(2) of what gives no rights."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)


def give_up_rights(uid: int | None) -> None:
    """No capability is left, nor a way to get one. `uid`: this process's from now on, with the group of that number
    alone; None: it has the right one. Raises OSError."""
    for capability in range(64):
        if _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # the kernel has no more
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header, nothing = struct.pack("Ii", _CAPABILITY_VERSION, 0), bytes(24)
    if _libc.capset(header, nothing) != 0:
        raise _error("capset")
    _prctl(_SET_NO_NEW_PRIVS, 1)
    hide()  # a change of uid may have undone it


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, 0) != 0:
        raise _error("setns")


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise _error("prctl")


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
