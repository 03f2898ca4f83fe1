"""What a server is, by its file and its variables."""

import pytest

from homeport.errors import Invalid
from homeport.plan.instance_file import InstanceFile, read

FILE = "/etc/homeport/instance.toml"


def test_nothing_need_be_said() -> None:
    assert read("", {}, FILE) == InstanceFile()


def test_variables_win() -> None:
    text = 'store = "s3://bucket/a"\napp = "shop"\nenvironment = "production"\ngroup = "web"\nmode = "review"\n'
    variables = {
        "HOMEPORT_GROUP": "jobs",
        "HOMEPORT_LISTEN": "127.0.0.1:9000",
        "HOMEPORT_APP": "",
        "HOMEPORT_HOME": "/x",
    }
    found = read(text, variables, FILE)
    assert (found.store, found.app, found.environment) == ("s3://bucket/a", "shop", "production")
    assert (found.group, found.mode, found.listen) == ("jobs", "review", "127.0.0.1:9000")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('gruop = "web"', "unknown key 'gruop', did you mean \"group\"?"),
        ("app = 1", "app: expected a text, found 1"),
        ('listen = "8080"', 'listen: expected an address and a port such as "127.0.0.1:8080", found "8080"'),
        ('mode = "reviews"', "expected one of review, staging, production, found 'reviews', did you mean \"review\"?"),
        ('identity = "key"', "identity: expected an absolute path, found 'key'"),
        ('instance = "../x"', "instance: expected letters, digits and -, found '../x'"),
        ('zone = "A"', "zone: expected small letters, digits and -, found 'A'"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(Invalid) as raised:
        read(f'{text}\nstore = ""', {}, FILE)
    assert FILE in raised.value.message
    assert any(said in each for each in raised.value.details), raised.value.details
    assert len(raised.value.details) == 2


def test_a_variable_is_named_where_it_is_wrong() -> None:
    with pytest.raises(Invalid) as raised:
        read("", {"HOMEPORT_LISTEN": "x"}, FILE)
    assert "HOMEPORT_LISTEN: " in raised.value.details[0]


def test_what_is_no_toml() -> None:
    with pytest.raises(Invalid, match="isn't TOML"):
        read("app = ", {}, FILE)
