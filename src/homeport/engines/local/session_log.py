"""The log of a session that nobody attends: what it writes goes to svlogd, outside of its sandbox. Called by `session`.

It lies where logs of instances do, and is read as those are. The app can't reach it: it isn't mounted."""

import contextlib
import os
import subprocess
from pathlib import Path

from homeport.errors import Unavailable
from homeport.instance.service import LogLimits, log_config
from homeport.system import program
from homeport.system.effect import effect


class SessionLog:
    """`descriptor`: to write to. As a context: at its end all that was written is in the log."""

    def __init__(self, directory: Path) -> None:
        """Raises `Unavailable`."""
        found = program.find("svlogd")
        if found is None:
            raise Unavailable("svlogd isn't installed", hint="apt-get install runit")
        try:
            make(directory)
            read, self.descriptor = os.pipe()
            try:
                self._writer = write(found, directory, read)
            finally:
                os.close(read)
        except OSError as error:
            raise Unavailable(f"can't log to {directory}: {error.strerror}") from error

    def __enter__(self) -> "SessionLog":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        self._writer.wait()

    def say(self, text: str) -> None:
        """A line of our own."""
        with contextlib.suppress(OSError):
            os.write(self.descriptor, text.encode() + b"\n")


@effect("session.make_log")
def make(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (directory / "config").write_text(log_config(LogLimits()))


@effect("session.write_log")
def write(svlogd: str, directory: Path, stdin: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        (svlogd, "-ttt", str(directory)),
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
