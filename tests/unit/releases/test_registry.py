"""Which of the user's settings a build gets."""

from pathlib import Path

import pytest

from homeport.releases.registry import registry


@pytest.fixture
def user(tmp_path: Path) -> Path:
    for name in ("wheels", "mirror/simple", "uv/pages", "ca"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ca/own.pem").write_text("pem")
    home = tmp_path / "user"
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/uv").mkdir()
    return home


def mounts(environ: dict[str, str], home: Path) -> set[str]:
    found = registry(environ, home).mounts
    assert all(each.kind == "read_only" and str(each.source) == each.target for each in found)
    # files of the machine that the tests run on may name others
    return {each.target for each in found if each.target.startswith(str(home.parent))}


def test_settings_of_registries_proxies_and_certificates_pass_and_nothing_else(user: Path) -> None:
    passed = {
        "PIP_INDEX_URL": "https://ada:secret@pypi.example.net/simple",
        "UV_INDEX_URL": "https://pypi.example.net/simple",
        "NPM_CONFIG_REGISTRY": "https://npm.example.net",
        "npm_config_registry": "https://npm.example.net",
        "HTTPS_PROXY": "http://proxy.example.net",
        "no_proxy": "localhost",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt",
    }
    kept_out = {
        "AWS_SECRET_ACCESS_KEY": "x",
        "HOME": "/root",
        "PATH": "/bin",
        "PIP_TARGET": "/x",
        "PIP_CACHE_DIR": "/x",
        "UV_PROJECT_ENVIRONMENT": "/x",
        "UV_PYTHON_INSTALL_DIR": "/x",
        "npm_config_prefix": "/x",
        "npm_config_cache": "/x",
    }
    assert registry(passed | kept_out, user).environment == passed


def test_files_of_the_user_lie_in_the_home_of_the_sandbox(user: Path) -> None:
    (user / ".config/pip/pip.conf").write_text("[global]\n")
    (user / ".npmrc").write_text("registry=https://npm.example.net\n")
    (user / ".config/uv/uv.toml").write_text("")
    (user / "named.conf").write_text("[global]\n")
    (user / ".netrc").write_text("secret")
    files = registry({"PIP_CONFIG_FILE": str(user / "named.conf"), "UV_CONFIG_FILE": "/nowhere/uv.toml"}, user).files
    named = {path for path in files if not path.startswith("/etc/")}
    assert named == {"/home/.config/pip/pip.conf", "/home/.npmrc", "/home/.config/uv/uv.toml", str(user / "named.conf")}


def test_directories_that_settings_name_are_there_too(user: Path) -> None:
    top = user.parent
    (user / ".config/pip/pip.conf").write_text(
        f"[global]\nfind-links = {top}/wheels\n  https://example.net{top}/ca\n"
        f"extra_index_url =\n  file://{top}/mirror/simple\nlog = {top}/ca\n"
    )
    (user / ".config/uv/uv.toml").write_text(f'[[index]]\nurl = "file://{top}/uv/pages"\n[pip]\nprefix = "{top}/ca"\n')
    assert mounts({}, user) == {f"{top}/wheels", f"{top}/mirror", f"{top}/uv/pages"}


def test_so_are_those_of_the_environment(user: Path) -> None:
    top = user.parent
    environ = {
        "PIP_FIND_LINKS": f"https://example.net/x {top}/wheels",
        "UV_INDEX": f"own=file://{top}/uv/pages https://example.net",
        "PIP_NO_BINARY": f"{top}/ca",
        "NODE_EXTRA_CA_CERTS": f"{top}/ca/own.pem",
    }
    found = registry(environ, user)
    assert mounts(environ, user) == {f"{top}/wheels", f"{top}/uv/pages"}
    assert found.files[f"{top}/ca/own.pem"] == b"pem"


def test_the_home_directory_itself_never_is(user: Path) -> None:
    (user / "simple").mkdir()
    assert mounts({"PIP_INDEX_URL": f"file://{user}/simple"}, user) == {f"{user}/simple"}
    assert mounts({"PIP_FIND_LINKS": f"{user} {user.parent} /"}, user) == set()


def test_what_cannot_be_read_is_left_out(user: Path) -> None:
    (user / ".config/pip/pip.conf").write_bytes(b"[[[\xff")
    (user / ".config/uv/uv.toml").write_text("= 1")
    assert mounts({"PIP_FIND_LINKS": "/nowhere/at/all"}, user) == set()
