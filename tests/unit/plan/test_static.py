"""nginx's configuration, as text; what nginx makes of it is shown by tests/e2e/test_example_site.py."""

from pathlib import Path

import pytest

from homeport.errors import Invalid
from homeport.plan.platform import parse, static_of
from homeport.plan.procfile import Procfile
from homeport.plan.static import COMMAND, CONFIGURATION, PORT, Static, nginx_text, with_web

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("name", "static"),
    [("pages", Static()), ("one_page", Static(directory="web/dist", fallback="index.html"))],
)
def test_the_text(name: str, static: Static) -> None:
    """A difference here is one that users get: look at it, then write it into the file."""
    text = nginx_text(static)
    assert text == (GOLDEN / f"{name}.conf").read_text()
    assert text.count(PORT) == 2, "where it listens, and the note at the top"
    assert CONFIGURATION in COMMAND


def test_pages_are_the_process_type_web() -> None:
    assert with_web(None) == Procfile(processes={"web": COMMAND})
    worker = Procfile(processes={"mail": "python mail.py"}, release="true")
    assert with_web(worker) == Procfile(processes={"web": COMMAND, "mail": "python mail.py"}, release="true")
    with pytest.raises(Invalid, match="which Procfile has already") as caught:
        with_web(Procfile(processes={"web": "gunicorn x"}))
    assert caught.value.hint


def test_what_the_file_says() -> None:
    file = parse('app = "site"\n[static]\ndirectory = "./web/dist/"\nfallback = "index.html"\n')
    assert static_of(file, "site") == Static(directory="web/dist", fallback="index.html")
    assert static_of(parse('app = "site"\n[static]\n'), "site") == Static()
    assert static_of(parse('app = "site"\n'), "site") is None


@pytest.mark.parametrize("said", ['directory = "../x"', 'directory = "/srv"', 'directory = "a b"', 'fallback = "/x"'])
def test_what_it_may_not_say(said: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(f'app = "site"\n[static]\n{said}\n')
    assert f"static.{said.split()[0]}: expected" in caught.value.details[0]
