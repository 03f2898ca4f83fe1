"""Other programs, asked a question: nothing is changed by it. Called by the local engine's doctor."""

import os
import shutil
import subprocess

ADMIN = "/usr/sbin:/sbin:/usr/local/sbin"
"""Directories that an ordinary user's PATH often lacks."""


def find(name: str) -> str | None:
    """The program's path; None: it isn't installed."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{ADMIN}")


def ask(*argv: str, timeout_seconds: float = 10) -> tuple[int, str]:
    """Exit code, and standard output and error as text. 127 where it can't be run, 124 where it doesn't end."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", check=False, timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {timeout_seconds:g} s"
    except OSError as error:
        return 127, error.strerror or str(error)
    return done.returncode, done.stdout + done.stderr
