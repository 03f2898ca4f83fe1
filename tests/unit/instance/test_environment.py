import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.errors import Invalid
from homeport.instance.environment import PRIVATE, Environment, environment_files


def as_seen(environment: Environment, directory: Path) -> dict[bytes, bytes]:
    """The environment that a start script gets of these files, by the real chpst and bash."""
    for path, content in environment.files.items():
        file = directory / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    chpst = [word for each in environment.directories for word in ("chpst", "-e", f"{directory}{each}")]
    exact = f". {shlex.quote(f'{directory}{environment.exact}')}; " if environment.exact else ""
    done = subprocess.run(
        [*chpst, "bash", "-c", f"{exact}exec cat /proc/self/environ"],
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    return dict(entry.split(b"=", 1) for entry in done.stdout.split(b"\0") if entry)


KEYS = st.from_regex(r"V_[A-Za-z0-9_]{0,8}", fullmatch=True)
PIECES = st.sampled_from([b" ", b"\t", b"\n", b"'", b'"', b"\\", b"$X", b"\xff", b"\x81", b"\xc3\xa9", b"=", b"#"])
VALUES = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"\n")) | st.lists(PIECES).map(b"".join)
LAYERS = st.lists(st.dictionaries(KEYS, VALUES, max_size=5), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(layers=LAYERS)
def test_every_value_arrives_exactly(tmp_path_factory: pytest.TempPathFactory, layers: list[dict[str, bytes]]) -> None:
    environment = environment_files([(f"layer{number}", layer) for number, layer in enumerate(layers)])
    seen = as_seen(environment, tmp_path_factory.mktemp("env"))
    expected = {key: value for layer in layers for key, value in layer.items()}
    assert {key: seen.get(key.encode()) for key in expected} == expected
    assert not [key for key in seen if key.startswith(b"V_") and key.decode() not in expected]


def test_directories_are_nested_common_first() -> None:
    environment = environment_files([("common", {"A": "1"}), ("environment", {}), ("group", {"A": "2"})])
    assert environment.directories == (f"{PRIVATE}/env/0-common", f"{PRIVATE}/env/2-group")
    assert environment.files == {f"{PRIVATE}/env/0-common/A": b"1", f"{PRIVATE}/env/2-group/A": b"2"}
    assert environment.exact is None


def test_text_stands_for_its_bytes() -> None:
    text = b"caf\xc3\xa9 \xff".decode("utf-8", "surrogateescape")
    assert list(environment_files([("common", {"A": text})]).files.values()) == [b"caf\xc3\xa9 \xff"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"A-B": "1"}, "config name 'A-B'"),
        ({"1A": "1"}, "config name '1A'"),
        ({"": "1"}, "config name ''"),
        ({"A": "1\0"}, "NUL"),
        ({"A": "x" * 131072}, "131075 bytes"),
        ({f"A{n}": "x" * 100_000 for n in range(20)}, "expected at most 1572864"),
    ],
)
def test_what_no_process_could_be_given_is_refused(variables: dict[str, str], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        environment_files([("common", variables)])


def test_an_error_shows_no_value() -> None:
    with pytest.raises(Invalid) as caught:
        environment_files([("common", {"A": "hidden\0"})])
    assert "hidden" not in str(caught.value)
