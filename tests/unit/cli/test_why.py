import sys

from homeport.cli.why import told
from homeport.model.why import Cause, Why

WORDS = " ".join(f"word{number}" for number in range(30))
FOUND = Why(
    kind="instance",
    subject="web-1",
    app="shop",
    environment="staging",
    summary="web-1 serves",
    causes=(Cause(what=WORDS, seen=(WORDS,), because=(Cause(what=WORDS, lines=(WORDS,)),)), Cause(what="short")),
)


def test_lines_fit_a_terminal_and_are_whole_elsewhere() -> None:
    wrapped = list(told(FOUND, 40))
    assert max(map(len, wrapped)) <= 40
    assert [each[:3] for each in wrapped if each[:1] in "├└"] == ["├─ ", "└─ "]
    whole = list(told(FOUND, sys.maxsize))
    assert whole[1:] == [f"├─ {WORDS}", f"│  │  saw {WORDS}", f"│  └─ {WORDS}", f"│        {WORDS}", "└─ short"]
