"""Config: env files, directories as chpst reads them, layers and their explanation."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from homeport.errors import Invalid
from homeport.model.release import ConfigValue
from homeport.plan import config
from homeport.plan.config import ConfigLayer, Explained, parse_env_dir, parse_env_file

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "config.md"


def layer(name: str, **values: str | ConfigValue | None) -> ConfigLayer:
    typed = {key: ConfigValue(text=value) if isinstance(value, str) else value for key, value in values.items()}
    return ConfigLayer(name=name, values=typed)


def test_the_env_file_of_the_reference_page() -> None:
    example = re.findall(r"```sh\n(.*?)```", REFERENCE.read_text(), re.DOTALL)[0]
    assert parse_env_file(example, file="x.env") == {
        "DEBUG": "0",
        "GREETING": "it's fine",
        "EMPTY": "",
        "QUOTED": 'a # stays, "so" do these\nand this is a second line',
        "LITERAL": "no \\n escapes here",
        "PEM": "-----BEGIN…\nquoted values may span lines\n-----END…",
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=", ""),
        ("A = b ", "b"),
        ("A=b # c", "b"),
        ("A=b#c", "b#c"),
        ("A=#c", ""),
        ("A=b\r", "b"),
        ("\texport  A=b", "b"),
        ("A='b ' # c", "b "),
        ('A="b\\q\\$x" ', "b\\q$x"),
        ('A="b \n c"', "b \n c"),
        ("A='b\r\n#c\n'", "b\n#c\n"),
        ("A=$HOME", "$HOME"),
        ("A=b=c", "b=c"),
        ('A="\\\\" # "', "\\"),
        ("A=\udce9", "\udce9"),
    ],
)
def test_a_value(text: str, value: str) -> None:
    assert parse_env_file(text, file="x.env") == {"A": value}


def test_mistakes_of_an_env_file() -> None:
    text = "A=1\nno\nA=2\n1B=x\nPORT=80\nHOMEPORT_X=1\nC='a' b\nMY-KEY=1\nD=a\0b\nE=\"open\nF=1\n"
    with pytest.raises(Invalid) as caught:
        parse_env_file(text, file="config/common.env")
    assert caught.value.message == "config/common.env has 9 mistakes"
    name = "a variable's name is made of letters, digits and _, and starts without a digit, found"
    assert caught.value.details == (
        "config/common.env:2: expected `KEY=value`",
        "config/common.env:3: A is there twice, first on line 1",
        f"config/common.env:4: {name} '1B'",
        "config/common.env:5: PORT is set by Homeport itself; choose another name",
        "config/common.env:6: HOMEPORT_X is set by Homeport itself; choose another name",
        "config/common.env:7: found more after the closing quote",
        f"config/common.env:8: {name} 'MY-KEY'",
        "config/common.env:9: the value of D holds a NUL byte, which no environment variable can",
        "config/common.env:10: the quote \" isn't closed",
    )


FILES = {
    "A": b"a \t\nsecond line",
    "EMPTY_LINE": b"\n",
    "UNSET": b"",
    "LINES": b"one\0two\0",
    "BLANK_BEFORE_NEWLINE": b"one \0\n",
    "BYTES": b"\xff\xe9",
    "LEADING": b"  x",
    "CR": b"x\r\n",
    "ONLY_BLANKS": b"  ",
    ".hidden": b"x",
}


def test_a_directory_is_read_as_chpst_reads_it(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    before = {"UNSET": "here before", "PATH": os.environ["PATH"]}
    shown = subprocess.run(["chpst", "-e", str(tmp_path), "env", "-0"], env=before, stdout=subprocess.PIPE, check=True)
    theirs = dict(each.split(b"=", 1) for each in shown.stdout.rstrip(b"\0").split(b"\0"))
    ours = parse_env_dir(FILES, directory="config/common")
    assert ours.pop("UNSET") is None
    assert {key.encode(): str(value).encode("utf-8", "surrogateescape") for key, value in ours.items()} == {
        key: value for key, value in theirs.items() if key != b"PATH"
    }


def test_mistakes_of_a_directory() -> None:
    with pytest.raises(Invalid) as caught:
        parse_env_dir({"a-b": b"x", "HOST": b"x", "OK": b"x"}, directory="config/common")
    assert [line.split(":")[0] for line in caught.value.details] == ["config/common/HOST", "config/common/a-b"]


@pytest.mark.parametrize("key", ["A", "_a1", "HOSTNAME", "PORTS", "HOMEPORT"])
def test_a_key(key: str) -> None:
    config.check_key(key)


@pytest.mark.parametrize("key", ["", "1A", "A B", "Ä", "A\n", "A=B", "PORT", "HOST", "HOMEPORT_APP"])
def test_a_key_refused(key: str) -> None:
    with pytest.raises(Invalid):
        config.check_key(key)


def test_a_value_may_be_anything_that_an_environment_can_hold() -> None:
    config.check_value("A", " \n'\"\t\udcff\x07 ")
    limit = 131_072 - len("A=") - 1
    config.check_value("A", "x" * limit)
    subprocess.run(["true"], env={"A": "x" * limit}, check=True)
    with pytest.raises(OSError):
        subprocess.run(["true"], env={"A": "x" * (limit + 1)}, check=True)
    for value in ("x" * (limit + 1), "secret\0", "secret\ud800"):
        with pytest.raises(Invalid) as caught:
            config.check_value("A", value)
        assert "secret" not in caught.value.message


def test_the_later_layer_wins_and_none_unsets() -> None:
    secret = ConfigValue(text="cipher", secret=True)
    layers = [
        layer("config/common", B="1", A="1", C="1"),
        layer("config/production", A="2", C=None, D=None),
        layer("config set #3", S=secret, D="4"),
    ]
    assert config.effective(layers) == {
        "A": ConfigValue(text="2", layer="config/production"),
        "B": ConfigValue(text="1", layer="config/common"),
        "D": ConfigValue(text="4", layer="config set #3"),
        "S": ConfigValue(text="cipher", secret=True, layer="config set #3"),
    }
    assert list(config.effective(layers)) == ["A", "B", "D", "S"]


def test_explained() -> None:
    layers = [
        layer("one", A="1", S="clear by mistake", U="x"),
        layer("two", A="2", U=None),
        layer("three", A="3", S=ConfigValue(text="cipher", secret=True)),
    ]
    assert config.explain(layers) == (
        Explained(key="A", value="3", layer="three", secret=False, overrode=(("two", "2"), ("one", "1"))),
        Explained(key="S", value="***", layer="three", secret=True, overrode=(("one", "***"),)),
        Explained(key="U", value=None, layer="two", secret=False, overrode=(("one", "x"),)),
    )


def test_layers_of_a_repository() -> None:
    files = {
        "config/common.env": b"A=common.env\nB=common.env\nC=common.env\n",
        "config/common/env": b"B=common/env\nC=common/env",
        "config/common/C": b"common/C",
        "config/common/README.md": b"not a variable",
        "config/common/sub/X": b"not a variable",
        "config/production/A": b"",
        "config/production/web.env": b"A=web",
        "config/production/worker/A": b"worker",
        "config/staging.env": b"A=staging",
        "config/settings.py": b"\xff",
        "app.py": b"",
    }

    def values(environment: str, group: str) -> dict[str, str]:
        layers = config.repository_layers(files, environment=environment, group=group)
        return {f"{key} {value.layer}": value.text for key, value in config.effective(layers).items()}

    common = {"B config/common": "common/env", "C config/common": "common/C"}
    assert values("production", "web") == {"A config/production/web": "web"} | common
    assert values("production", "worker") == {"A config/production/worker": "worker"} | common
    assert values("production", "clock") == common
    assert values("staging", "web") == {"A config/staging": "staging"} | common


def test_files_for_a_group_that_isnt_there() -> None:
    files = dict.fromkeys(
        (
            "config/production/wbe.env",
            "config/production/wokrer/KEY",
            "config/production/web.env",
            "config/production/web/KEY",
            "config/production/settings.yml",
            "config/production/initializers/x.rb",
            "config/production/KEY",
            "config/locales/en.env",
        ),
        b"",
    )
    assert config.ignored_files(files, groups={"production": ("web", "worker")}) == (
        'config/production/wbe.env isn\'t read: no group wbe in production, did you mean "web"?',
        'config/production/wokrer/KEY isn\'t read: no group wokrer in production, did you mean "worker"?',
    )
