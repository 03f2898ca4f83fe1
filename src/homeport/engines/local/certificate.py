"""Certificates and keys on this machine, as the platform file names them. Called by the balancer and the engine."""

from datetime import datetime
from pathlib import Path

from homeport.errors import Invalid
from homeport.model.certificate import Certificate
from homeport.model.platform import Tls
from homeport.plan import certificate


def combined(tls: Tls) -> str:
    """Chain and key in one PEM text, as HAProxy wants them. Raises `Invalid` where they can't be read."""
    parts = dict.fromkeys((_text("certificate", tls.certificate), _text("key", tls.key)))
    return "".join(part.rstrip("\n") + "\n" for part in parts)


def check_pair(tls: Tls) -> None:
    """Raises `Invalid` where the key isn't the certificate's, or one of them is none."""
    import ssl  # takes its time, and few need it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # a password is asked for on the terminal else
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Invalid(f"the key {tls.key} isn't that of the certificate {tls.certificate}") from error
        what = f"certificate {tls.certificate} and key {tls.key} can't be used ({error.reason or error})"
        raise Invalid(what, hint="both must be PEM, and the key without a password") from error
    except OSError as error:
        raise Invalid(f"can't read {tls.certificate} or {tls.key}: {error.strerror}") from error


def check_new(tls: Tls, now: datetime) -> None:
    """Raises `Invalid` for what an environment must not begin with: a pair that isn't one, or that isn't valid now."""
    found = read(_text("certificate", tls.certificate), tls.certificate)
    check_pair(tls)
    if (why := certificate.untimely(found, now)) is not None:
        raise Invalid(f"the certificate {tls.certificate} {why}", hint="renew it, then the same command again")


def read(text: str, path: str) -> Certificate:
    """Raises `Invalid`, which names the path."""
    try:
        return certificate.read(text)
    except Invalid as error:
        raise Invalid(f"the certificate {path} {error.message}") from error


def _text(what: str, path: str) -> str:
    try:
        text = Path(path).read_text()
    except OSError as error:
        hint = "`tls` of the environment in homeport.toml says where it is; the engine's user must be able to read it"
        raise Invalid(f"can't read the {what} {path}: {error.strerror}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise Invalid(f"the {what} {path} isn't a PEM file") from error
    if "-----BEGIN " not in text:
        raise Invalid(f"the {what} {path} isn't a PEM file")
    return text
