"""The names in a platform file, read without the rest of it."""

import pytest

from homeport.errors import Invalid
from homeport.plan import platform
from homeport.plan.platform_name import names

TWO = 'platform = "market"\ndefault = "staging"\n[apps.shop]\nsource = "shop"\n[apps.blog]\nsource = "blog"\n'
HERE = "[environments.staging]\n[environments.production]\n"


@pytest.mark.parametrize("text", ['app = "shop"', 'app = "shop"\nplatform = "p"', "[apps.shop]", TWO + HERE])
def test_they_are_those_of_the_whole_file(text: str) -> None:
    found, whole = names(text, file="f"), platform.parse(text, file="f")
    assert found is not None
    assert found.apps == tuple(each.name for each in whole.apps)
    assert (found.file, found.name, found.environments, found.default) == (
        whole.file,
        whole.name,
        whole.environments,
        whole.default,
    )


def test_a_mistake_elsewhere_is_not_theirs() -> None:
    found = names('app = "shop"\n[groups.web]\ninstanecs = 2\n', file="f")
    assert found is not None
    assert found.name == "shop"


@pytest.mark.parametrize(
    "text",
    [
        "app = ",
        "",
        'app = "Shop!"',
        "app = 3",
        f'app = "{"a" * 41}"',
        'app = "a"\n[apps.b]',
        "apps = 3",
        'app = "a"\nenvironments = 3',
        'app = "a"\ndefault = "x"',
        "[apps.a]\n[apps.b]",
    ],
)
def test_the_whole_parser_says_what_is_wrong(text: str) -> None:
    assert names(text, file="f") is None
    with pytest.raises(Invalid):
        platform.parse(text)
