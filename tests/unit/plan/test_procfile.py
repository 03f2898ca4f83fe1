"""The Procfile's dialect, as docs/reference/procfile.md fixes it."""

import re
from pathlib import Path

import pytest

from homeport.errors import Invalid
from homeport.plan.procfile import Procfile, parse

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "procfile.md"


def test_the_example_of_the_reference_page() -> None:
    example = re.findall(r"```\n(.*?)```", REFERENCE.read_text(), re.DOTALL)[0]
    assert parse(example) == Procfile(
        processes={"web": "gunicorn shop.wsgi", "worker": "python -m shop.jobs"}, release="python manage.py migrate"
    )


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("web: a", "a"),
        ("web:a", "a"),
        ("  web \t:\t a  ", "a"),
        ("web: a\r", "a"),
        ("web: a # b", "a"),
        ("web: a\t# b 'c", "a"),
        ("web: a#b", "a#b"),
        ("web: a ${x#y} $#", "a ${x#y} $#"),
        ("web: echo 'x # y' \"p # q\" # r", "echo 'x # y' \"p # q\""),
        ('web: echo "\\" # y"', 'echo "\\" # y"'),
        ("web: echo it\\'s # x", "echo it\\'s"),
        ('web: a "$(b "c # d")" # e', 'a "$(b "c # d")"'),
        ("web: (a; b) # c", "(a; b)"),
        ('web: a "( # b" # c', 'a "( # b"'),
        ("web: echo \\# x", "echo \\# x"),
        ("web: http://x:1", "http://x:1"),
        ("web: a && exec b --bind 0.0.0.0:$PORT", "a && exec b --bind 0.0.0.0:$PORT"),
    ],
)
def test_a_line(line: str, command: str) -> None:
    assert parse(line).processes == {"web": command}


def test_order_comments_blank_lines_and_byte_order_mark() -> None:
    found = parse("\ufeff# web: no\r\n\r\nz_1: a\r\n   # x\r\nA-b: c\r\n")
    assert list(found.processes.items()) == [("z_1", "a"), ("A-b", "c")]
    assert found.release is None


def test_every_mistake_with_its_line() -> None:
    text = """\
web: a
<<<<<<< HEAD
worker: b
=======
worker: c
>>>>>>> other: branch
no colon
b@d: x
empty:
comment: # only
open: echo "x
web: again
release: bell \x07
"""
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert caught.value.message == "Procfile has 11 mistakes"
    assert caught.value.details == (
        "Procfile:2: a conflict marker of a merge, '<<<<<<< HEAD'",
        "Procfile:4: a conflict marker of a merge, '======='",
        'Procfile:5: process type "worker" is there twice, first on line 3',
        "Procfile:6: a conflict marker of a merge, '>>>>>>> other: branch'",
        "Procfile:7: expected `name: command`, found no colon in 'no colon'",
        "Procfile:8: a process type is made of letters, digits, - and _, found 'b@d'",
        'Procfile:9: process type "empty" has no command',
        'Procfile:10: process type "comment" has no command',
        'Procfile:11: a quote in the command of "open" isn\'t closed',
        'Procfile:12: process type "web" is there twice, first on line 1',
        'Procfile:13: the command of "release" holds a control character',
    )


@pytest.mark.parametrize("text", ["", "# web: x\n", "release: x\n"])
def test_a_procfile_without_a_process_type(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text, file="apps/Procfile")
    assert caught.value.details[0].startswith("apps/Procfile: names no process type")
