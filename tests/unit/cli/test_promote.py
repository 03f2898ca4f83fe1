"""`homeport promote` and what compares, on a real store with no engine running: what is refused, and why."""

from pathlib import Path

import msgspec
import pytest

from homeport.plan.lease import entry_key
from homeport.plan.release import Pointer, current_prefix, platform_file_key
from homeport.releases.catalogue import Catalogue
from homeport.wiring import storage
from tests.app_repository import commit, make_repository
from tests.unit.cli.command import Shell

FILE = """app = "plain"
[groups.web]
run = ["web"]
[environments.staging]
[environments.production]
"""


@pytest.fixture
def app(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    """r1 is released to staging, and good."""
    edits = {"homeport.toml": FILE, "Procfile": "web: exec python3 web.py\n", "config/staging.env": "ONLY_HERE=1\n"}
    path = make_repository("plain", tmp_path, edits=edits)
    monkeypatch.chdir(path)
    assert shell("release", "create", "-e", "staging").code == 0
    key = entry_key(current_prefix("plain", "staging"), 1, 1)
    catalogue().store.create(key, msgspec.json.encode(Pointer(release=1)))
    return path


def catalogue() -> Catalogue:
    return storage.catalogue(storage.store(storage.home()))


def test_what_will_change_is_known_without_an_engine(app: Path, shell: Shell) -> None:
    found = shell("promote", "staging", "production", "--dry-run")
    assert found.code == 10
    assert "where nothing was good yet" in found.out
    assert "staging has ONLY_HERE; production will not" in found.out
    assert "the engine isn't running" in found.out
    assert catalogue().numbers("plain", "production") == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("staging", "staging"), 2, "both are plain/staging"),
        (("blog/staging", "production"), 2, "blog/staging and plain/production are of two platforms"),
        (("blog/staging", "blog/production", "--app", "plain"), 2, "is of the platform plain, asked for one of blog"),
        (("plain", "production"), 2, "plain is an app; a release is promoted from one environment of it to another"),
        (("staging", "producton"), 3, 'no environment "producton"'),
        (("production", "staging"), 3, "plain has no good release in plain/production"),
        (("staging", "production", "--release", "r9"), 3, "plain has no release r9 in staging"),
        (("staging", "production", "--force"), 2, "--force goes with --release"),
    ],
)
def test_what_is_no_promotion(app: Path, shell: Shell, words: tuple[str, ...], code: int, said: str) -> None:
    found = shell("promote", *words, "--yes")
    assert (found.code, catalogue().numbers("plain", "production")) == (code, [])
    assert said in found.err


def test_what_is_not_good_goes_only_by_force(app: Path, shell: Shell) -> None:
    assert shell("release", "create", "--force", "-e", "staging").code == 0
    refused = shell("promote", "staging", "production", "--release", "r2", "--dry-run")
    assert refused.code == 2
    assert "r2 has no good verdict in plain/staging; those that have: r1" in refused.err
    found = shell("promote", "staging", "production", "--dry-run", "--json").document
    assert found["source"]["release"] == "r1"
    forced = shell("promote", "staging", "production", "--release", "r2", "--force", "--dry-run")
    assert forced.code == 10


def test_the_file_that_was_released_decides_which_environments_there_are(app: Path, shell: Shell) -> None:
    commit(app, {"homeport.toml": FILE + "[environments.qa]\n"})
    found = shell("promote", "staging", "qa", "--dry-run")
    assert found.code == 3
    assert "the homeport.toml of plain r1, released to staging, has no environment 'qa'" in found.err
    assert "[environments.qa]" in found.err


def test_a_release_whose_file_was_not_kept_says_how_to_get_one_that_has_it(app: Path, shell: Shell) -> None:
    release = catalogue().get("plain", "staging", 1)
    catalogue().store.delete(platform_file_key("plain", release.slug.platform_file))
    found = shell("promote", "staging", "production", "--dry-run")
    assert found.code == 3
    assert "homeport deploy --force -e staging" in found.err


def test_secrets_of_another_identity_are_said_to_be_unreadable(app: Path, shell: Shell) -> None:
    for environment in ("staging", "production"):
        assert shell("config", "set", "-e", environment, "--secret", "KEY=hunter2").code == 0
    same = shell("config", "diff", "staging", "production")
    assert "KEY" not in same.out
    (storage.home().identity).unlink()
    other = shell("config", "diff", "staging", "production", "--exit-code")
    assert other.code == 10
    assert "? KEY: a secret that can't be decrypted here" in other.out
    promoted = shell("promote", "staging", "production", "--dry-run")
    assert "KEY can't be decrypted with this home's identity" in promoted.out
    assert "hunter2" not in same.out + other.out + promoted.out


def test_two_releases_differ_in_what_was_changed(app: Path, shell: Shell) -> None:
    commit(app, {"Procfile": "web: exec python3 web.py --fast\n"}, message="Faster")
    assert shell("release", "create", "-e", "staging").code == 0
    found = shell("release", "diff", "r1", "r2", "-e", "staging", "--json", "--exit-code")
    assert found.code == 10
    assert found.document["commits"]["ahead"] == 1
    (change,) = found.document["difference"]["formation"]
    assert change["what"] == "command of web"
    same = shell("release", "diff", "r1", "r1", "-e", "staging", "--exit-code")
    assert (same.code, same.out.splitlines()[-1]) == (0, "  no difference")


def test_parity_needs_two_environments_with_releases(app: Path, shell: Shell) -> None:
    lacking = shell("status", "--diff", "staging", "production")
    assert lacking.code == 3
    assert "plain has no good release in plain/production: nothing to compare" in lacking.err
    assert shell("status", "--exit-code").code == 2
    assert shell("status", "--diff", "staging", "production", "--watch").code == 2
