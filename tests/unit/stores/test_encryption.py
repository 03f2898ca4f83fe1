"""Encryption of secrets with age."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from homeport.errors import Invalid, Unavailable
from homeport.model.secret import Secret
from homeport.stores.encryption import AgeEncryption


@pytest.fixture(scope="module")
def age(tmp_path_factory: pytest.TempPathFactory) -> AgeEncryption:
    return AgeEncryption(tmp_path_factory.mktemp("age") / "identity.age")


@given(some.binary(max_size=200))
def test_any_bytes_survive(age: AgeEncryption, data: bytes) -> None:
    secret = Secret(data.decode("utf-8", "surrogateescape"))
    ciphertext = age.encrypt(secret)
    assert ciphertext.isascii()
    assert AgeEncryption(age.path).decrypt(ciphertext) == secret


def test_the_same_secret_looks_different_each_time(age: AgeEncryption) -> None:
    first, second = (age.encrypt(Secret("hunter2")) for _ in range(2))
    assert first != second
    assert "hunter2" not in repr(age.decrypt(first))


def test_the_identity_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "identity.age"
    AgeEncryption(path).encrypt(Secret("x"))
    before = path.read_bytes()
    AgeEncryption(path).encrypt(Secret("x"))
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["identity.age"]


def test_two_that_start_together_agree(tmp_path: Path) -> None:
    path = tmp_path / "identity.age"
    barrier = threading.Barrier(6)
    made: list[str] = []

    def work() -> None:
        barrier.wait()
        made.append(AgeEncryption(path).encrypt(Secret("x")))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [AgeEncryption(path).decrypt(each).reveal() for each in made] == ["x"] * 6


def test_without_its_identity_nothing_is_decrypted_or_made(tmp_path: Path, age: AgeEncryption) -> None:
    ciphertext = age.encrypt(Secret("hunter2"))
    lost = AgeEncryption(tmp_path / "identity.age")
    with pytest.raises(Unavailable, match="can't read the identity") as caught:
        lost.decrypt(ciphertext)
    assert caught.value.hint
    assert not lost.path.exists()
    lost.encrypt(Secret("x"))
    with pytest.raises(Unavailable, match="another identity"):
        lost.decrypt(ciphertext)


def test_what_is_no_identity_and_no_ciphertext(tmp_path: Path, age: AgeEncryption) -> None:
    (tmp_path / "identity.age").write_text("rubbish\n")
    with pytest.raises(Unavailable, match="isn't an age identity"):
        AgeEncryption(tmp_path / "identity.age").encrypt(Secret("x"))
    with pytest.raises(Invalid):
        age.decrypt("no base64!")


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_making_the_identity(tmp_path: Path, when: str) -> None:
    path = tmp_path / "identity.age"
    script = (
        "import sys; from pathlib import Path; from homeport.stores.encryption import *;"
        "AgeEncryption(Path(sys.argv[1])).encrypt(Secret('x'))"
    )
    environment = {**os.environ, "HOMEPORT_CRASH": f"identity.create:{when}"}
    done = subprocess.run((sys.executable, "-c", script, str(path)), env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    age = AgeEncryption(path)
    assert age.decrypt(age.encrypt(Secret("y"))).reveal() == "y"
