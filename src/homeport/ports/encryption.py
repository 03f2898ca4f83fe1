"""Encryption of secrets, as a port."""

from typing import Protocol

from homeport.model.secret import Secret


class Encryption(Protocol):
    """Text is UTF-8 with surrogate escapes, so that any bytes survive."""

    def encrypt(self, secret: Secret) -> str:
        """Ciphertext as base64 text, different at every call."""
        ...

    def decrypt(self, ciphertext: str) -> Secret:
        """Raises `Unavailable` where the identity isn't there or doesn't fit."""
        ...
