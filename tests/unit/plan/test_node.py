"""Which Node an app asks for, and whether the machine's will do."""

import pytest

from homeport.errors import Invalid
from homeport.plan.interpreter import Interpreter
from homeport.plan.node import choose_node, package, wanted_node

HERE = Interpreter(version="20.11.1", path="/usr/bin/node")


@pytest.mark.parametrize(
    ("file", "text", "wanted"),
    [
        (".nvmrc", "v20.9.0\n", "v20.9.0"),
        (".nvmrc", "# ours\nlts/iron\n", "lts/iron"),
        (".nvmrc", "lts/*\n", None),
        (".nvmrc", "node\n", None),
        (".node-version", "20.9\n", "20.9"),
        (".tool-versions", "python 3.12\nnodejs 18.20.4\n", "18.20.4"),
        (".tool-versions", "python 3.12\n", None),
        ("package.json", '{"engines": {"node": "^18 || >=20"}}', "^18 || >=20"),
        ("package.json", '{"engines": {"node": "*"}}', None),
        ("package.json", '{"engines": {"npm": "9"}}', None),
        ("package.json", '["engines"]', None),
    ],
)
def test_the_node_that_is_asked_for(file: str, text: str, wanted: str | None) -> None:
    found, source = wanted_node({file: text}, package({file: text}))
    assert found == wanted
    assert source.startswith(file if wanted else "")


@pytest.mark.parametrize(
    "wanted",
    [
        *("20", "v20.11.1", "20.x", "20.11", "lts/iron", "iron", "^20", "^20.5.1", "~20.11", ">=18", ">= 18.0.0"),
        *("18 || 20", "^18.17.0 || >=20.5.0", ">=18 <21", "18 - 20", "18.0.0 - 20.11.x", "<21", "<=20", ">=18.0.0-0"),
    ],
)
def test_what_fits(wanted: str) -> None:
    assert choose_node(wanted, ".nvmrc", HERE) is None


@pytest.mark.parametrize("wanted", ["20.9.0", "v20.12", "20.11.0"])
def test_of_one_version_the_major_counts(wanted: str) -> None:
    notice = choose_node(wanted, ".nvmrc", HERE)
    assert notice == f".nvmrc asks for Node {wanted}; 20.11.1 is here and is taken"


@pytest.mark.parametrize(
    "wanted",
    [
        *("18", "22.1.0", "lts/jod", "^18", "^20.12.0", "~20.10", ">=21", ">20", "<20", "18 || 22", ">=18 <20"),
        *("16 - 18", "nightly", "lts/-1"),
    ],
)
def test_what_does_not_fit_says_what_is_here(wanted: str) -> None:
    with pytest.raises(Invalid, match=r"asks for Node .+; there is 20\.11\.1 \(/usr/bin/node\)") as caught:
        choose_node(wanted, ".nvmrc", HERE)
    assert 'node = "20"' in str(caught.value.hint)
