"""What a browser is shown."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeport.cli import open as opening
from homeport.console.views import AppView, StatusView, StoreView
from homeport.model.platform import Route

PATIENCE_SECONDS = 20


def status(url: str, **routes: tuple[Route, ...]) -> StatusView:
    return StatusView(
        environment="market/staging",
        platform="market",
        name="staging",
        engine="local",
        mode="staging",
        urls=(url,),
        closing=False,
        trouble="",
        apps=tuple(
            AppView(app=app, release="r1", groups=(), deployment=None, routes=each) for app, each in routes.items()
        ),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        store=StoreView(place="/store", problem=""),
    )


def test_every_route_has_its_url() -> None:
    blog = (Route(to="web", path="/blog"), Route(to="web", path="/", host="blog.example.com"))
    found = opening.pages(status("https://127.0.0.1:8443", blog=blog, shop=(Route(to="web", path="/"),)))
    assert found == [
        ("https://127.0.0.1:8443", "shop", "web"),
        ("https://127.0.0.1:8443/blog", "blog", "web"),
        ("https://blog.example.com:8443", "blog", "web"),
    ]
    assert opening.pages(status("https://127.0.0.1:8443")) == []


def test_the_browser_that_is_stated_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, told = tmp_path / "browser", tmp_path / "told"
    browser.write_text(f'#!/bin/sh\necho "$@" > {told}.new\nmv {told}.new {told}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} --new-tab")
    assert opening.tell_browser("http://127.0.0.1:8080")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not told.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert told.read_text() == "--new-tab http://127.0.0.1:8080\n"


def test_without_a_browser_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not opening.tell_browser("http://127.0.0.1:8080")
    monkeypatch.setenv("BROWSER", "/no/such/browser")
    assert not opening.tell_browser("http://127.0.0.1:8080")


def test_the_way_from_another_machine(capsys: pytest.CaptureFixture[str]) -> None:
    opening.show_tunnel("http://127.0.0.1:8096")
    assert "ssh -L 8096:127.0.0.1:8096 " in capsys.readouterr().out
    opening.show_tunnel("http://192.0.2.1:80")
    assert capsys.readouterr().out == ""
