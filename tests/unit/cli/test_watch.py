"""`--watch`."""

import pytest

from homeport.cli import watch
from homeport.errors import Unavailable


def test_what_is_new_is_printed_and_an_engine_that_is_away_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SECONDS", 0.0)
    seen = iter(("one", "one", None, "two"))

    def look() -> None:
        text = next(seen, "end")
        if text is None:
            raise Unavailable("the engine isn't running")
        if text == "end":
            raise KeyboardInterrupt
        print(text)

    with pytest.raises(KeyboardInterrupt):
        watch.watch(look)
    assert capsys.readouterr().out == "one\nthe engine isn't running\ntwo\n"
