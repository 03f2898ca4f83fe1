"""Which app, release, group, process type, instance or session a person means by what `run` and `exec` are told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from homeport.errors import HomeportError
from homeport.model.session import Session
from homeport.plan import session_choice as choice
from tests.memory_world import formation

RESOLVED = formation()
WEB = RESOLVED.groups[0]
GOES_ON = Session(
    id="run.1", kind="run", app="shop", group="web", instance="run.1", release=1, command="true", by="ada",
    grace=timedelta(), began_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip
OVER = replace(GOES_ON, id="run.2", ended_at=GOES_ON.began_at)


def test_the_only_app_and_what_runs_and_what_serves_are_meant_where_nothing_is_said() -> None:
    assert choice.app("shop/staging", ["shop"], None) == "shop"
    assert choice.release("shop/staging", "shop", 3, None) == 3
    assert choice.release("shop/staging", "shop", None, 2) == 2
    assert choice.group(RESOLVED, 1, None) == WEB
    assert choice.group(RESOLVED, 1, "worker").name == "worker"
    assert choice.process_type("web-1", WEB, None) == "web"
    choice.instance("shop/staging", {"web-1": "", "web-2": "has ended"}, "web-1")
    choice.session("shop/staging", [GOES_ON, OVER], "run.1")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: choice.app("p", ["blog", "shop"], None), "p has 2 apps: blog, shop"),
        (lambda: choice.app("p", ["shop"], "shp"), "no app 'shp' in p, did you mean \"shop\"?"),
        (lambda: choice.app("p", [], None), "no app '' in p"),
        (lambda: choice.release("p", "shop", None, None), "shop runs no release in p yet"),
        (lambda: choice.group(RESOLVED, 2, "wbe"), f"r2 of {RESOLVED.app} has no group 'wbe', did you mean \"web\"?"),
        (lambda: choice.process_type("web-1", WEB, "worker"), "web-1 runs no process type 'worker'"),
        (lambda: choice.instance("p", {"web-1": ""}, "web-9"), "no instance 'web-9' in p"),
        (lambda: choice.instance("p", {"web-1": "", "web-2": "has ended"}, "web-2"), "web-2 has ended; live: web-1"),
        (lambda: choice.session("p", [OVER], "run.2"), "run.2 has ended"),
        (lambda: choice.session("p", [GOES_ON], "run.3"), "no session 'run.3' in p"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(HomeportError) as caught:
        ask()
    assert caught.value.message.startswith(message)
    assert caught.value.hint or "has no group" in message or "process type" in message
