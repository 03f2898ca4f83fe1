"""Certificates for tests, made by openssl. Imported by tests."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from homeport.model.platform import Tls


def certificate(
    directory: Path, name: str, *, hosts: tuple[str, ...] = (), starts_in: timedelta = timedelta(0), days: float = 60
) -> Tls:
    """A self-signed pair `<name>.crt`, `<name>.key` for `hosts`, valid for so many days after `starts_in` from now."""
    key, crt, config, database = (directory / f"{name}.{each}" for each in ("key", "crt", "cnf", "db"))
    starts_at = datetime.now(UTC) + starts_in
    names = ",".join(f"DNS:{each}" for each in hosts)
    config.write_text(
        f"[ca]\ndefault_ca=a\n[a]\ndatabase={database}\nnew_certs_dir={directory}\nrand_serial=yes\npolicy=p\n"
        f"default_md=sha256\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nbasicConstraints=CA:FALSE\n"
        + (f"subjectAltName={names}\n" if names else "")
        + "[req]\ndistinguished_name=d\n[d]\n"
    )
    database.write_text("")
    request = directory / f"{name}.csr"
    make_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key))
    _openssl("req", "-new", *make_key, "-config", str(config), "-subj", f"/CN={name}", "-out", str(request))
    dates = ("-startdate", _stamp(starts_at), "-enddate", _stamp(starts_at + timedelta(days=days)))
    signed = ("-selfsign", "-keyfile", str(key), "-in", str(request), "-out", str(crt), "-notext", *dates)
    _openssl("ca", "-batch", "-config", str(config), *signed)
    return Tls(certificate=str(crt), key=str(key))


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%SZ}"


def _openssl(*words: str) -> None:
    subprocess.run(("openssl", *words), check=True, capture_output=True)
