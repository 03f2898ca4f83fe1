"""Any Procfile that is written is read back; any text is either read or refused with lines."""

import re
import string

from hypothesis import given
from hypothesis import strategies as st

from homeport.errors import Invalid
from homeport.plan.procfile import Procfile, parse

names = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
word = st.one_of(
    st.text(string.ascii_letters + "$./=:-&|;#", min_size=1, max_size=8).map(lambda text: "x" + text),
    st.text(string.printable.translate({ord(each): None for each in "'\n\r\x0b\x0c"}), max_size=12).map("'{}'".format),
    st.text(string.ascii_letters + " #'", max_size=12).map('"{}"'.format),
)
commands = st.lists(word, min_size=1, max_size=4).map(" ".join)
blanks = st.text(" \t", max_size=2)
comments = st.one_of(st.just(""), st.text(string.printable.replace("\n", "").replace("\r", "")).map(" #{}".format))


@given(st.dictionaries(names, commands, min_size=1, max_size=5), st.data())
def test_what_is_written_is_read(processes: dict[str, str], data: st.DataObject) -> None:
    release = processes.get("release")
    others = {name: command for name, command in processes.items() if name != "release"}
    if not others:
        return
    rows = [
        f"{data.draw(blanks)}{name}{data.draw(blanks)}:{data.draw(blanks)}{command}{data.draw(blanks)}{data.draw(comments)}"
        for name, command in processes.items()
    ]
    text = data.draw(st.sampled_from(["\n", "\r\n", "\n\n# comment: x\n"])).join(rows)
    assert parse(text) == Procfile(processes=others, release=release)


@given(st.text(alphabet=st.sampled_from("ab:# \t\n\r'\"\\$()<=>-_\0é"), max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except Invalid as error:
        last = text.count("\n") + 1
        for line in error.details:
            number = re.match(r"Procfile(?::(\d+))?: .", line)
            assert number
            assert 1 <= int(number[1] or 1) <= last
    else:
        assert found.processes
        for name, command in found.processes.items():
            assert re.fullmatch(r"[A-Za-z0-9_-]+", name)
            assert command == command.strip(" \t")
            assert command
            assert "\n" not in command
