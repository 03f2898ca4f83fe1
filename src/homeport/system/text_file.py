"""Small files that are replaced whole. Called by whoever owns the file, under an effect label of its own."""

import os
from pathlib import Path


def replace(path: Path, text: str, mode: int = 0o600) -> None:
    """The file has this content; a reader sees the old one or the new one, never a part. Not fsynced: for files that
    needn't outlive a power loss."""
    part = path.with_name(f".{path.name}.new")
    part.unlink(missing_ok=True)
    with open(part, "w", opener=lambda name, flags: os.open(name, flags | os.O_EXCL, mode)) as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    part.replace(path)


def read(path: Path) -> str | None:
    """Its content; None: there is no such file."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
