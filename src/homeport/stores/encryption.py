"""Encryption of secrets with age (pyrage). Wiring makes one; `config set --secret` encrypts, the engine decrypts."""

import base64
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from homeport.errors import Invalid, Unavailable
from homeport.model.secret import Secret
from homeport.system.effect import effect

if TYPE_CHECKING:
    from pyrage import x25519


class AgeEncryption:
    """One X25519 identity in a file, made on first use. Implements `ports.encryption.Encryption`."""

    def __init__(self, identity: Path) -> None:
        self.path = identity
        self._identity: x25519.Identity | None = None

    def encrypt(self, secret: Secret) -> str:
        """Raises `Unavailable` where the identity can't be read or made."""
        import pyrage

        if not self.path.exists():
            self._make()
        clear = secret.reveal().encode("utf-8", "surrogateescape")
        return base64.b64encode(pyrage.encrypt(clear, [self._load().to_public()])).decode("ascii")

    def decrypt(self, ciphertext: str) -> Secret:
        """Raises `Unavailable` where the identity isn't there or doesn't fit, `Invalid` for what isn't base64."""
        import pyrage

        try:
            data = base64.b64decode(ciphertext, validate=True)
        except ValueError as error:
            raise Invalid("a secret's ciphertext isn't base64 text; set the value again") from error
        try:
            clear = pyrage.decrypt(data, [self._load()])
        except pyrage.DecryptError as error:
            raise Unavailable(
                f"a secret can't be decrypted with {self.path}: it was encrypted for another identity, or is damaged",
                hint=f"bring back the {self.path.name} that it was set with, or: homeport config set --secret KEY=…",
            ) from error
        return Secret(clear.decode("utf-8", "surrogateescape"))

    def _load(self) -> "x25519.Identity":
        import pyrage

        if self._identity is None:
            hint = f"restore {self.path} from your backup, or set every secret again"
            try:
                text = self.path.read_text("utf-8", "replace")
                keys = [line for line in text.splitlines() if line and not line.startswith("#")]
                self._identity = pyrage.x25519.Identity.from_str(keys[0].strip())
            except OSError as error:
                raise Unavailable(f"can't read the identity {self.path}: {error.strerror}", hint=hint) from error
            except (IndexError, pyrage.IdentityError) as error:
                raise Unavailable(f"{self.path} isn't an age identity (AGE-SECRET-KEY-1…)", hint=hint) from error
        return self._identity

    def _make(self) -> None:
        try:
            self._write_new()
        except OSError as error:
            raise Unavailable(f"can't make the identity {self.path}: {error.strerror}") from error

    @effect("identity.create")
    def _write_new(self) -> None:
        """A new identity at the path, 0600; where another process was first, its identity stays."""
        import pyrage

        part = self.path.with_name(f".{self.path.name}.{secrets.token_hex(6)}")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f"{pyrage.x25519.Identity.generate()}\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(part, self.path)
        finally:
            part.unlink(missing_ok=True)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def make_identity() -> str:
    """A new age identity, as text. It is a secret."""
    import pyrage

    return str(pyrage.x25519.Identity.generate())
