"""Run inside and outside of a sandbox: what may a program with this uid do to the host? Prints what worked."""

import os
import pathlib
import socket
import sys

directory, pid = pathlib.Path(sys.argv[1]), int(sys.argv[2])


def connect():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(directory / "sock"))


for name, attempt in {
    "read": lambda: (directory / "secret").read_text(),
    "write": lambda: (directory / "planted").write_text("x"),
    "connect": connect,
    "environ": lambda: pathlib.Path(f"/proc/{pid}/environ").read_bytes().index(b"SECRET"),
    "signal": lambda: os.kill(pid, 0),
}.items():
    try:
        attempt()
    except (OSError, ValueError):
        continue
    print(name)
