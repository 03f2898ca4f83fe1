"""What hooks come to on the local engine: what a command or a URL says, and what holds where they don't."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from homeport.model.action import AskHook
from homeport.model.fleet import Check, Instance
from homeport.model.platform import Hook
from homeport.plan.hook import verdict
from homeport.ports.engine import LogQuery
from homeport.system import process
from homeport.testing.step import healthy, run, when
from homeport.testing.world import GOOD
from tests.contract.test_local import machine, world
from tests.local_world import LocalWorld

__all__ = ["machine", "world"]  # fixtures
SOON = timedelta(milliseconds=600)


def asked(world: LocalWorld, hook: Hook) -> Instance:
    """The instance, once the hook says something or its time is over."""
    healthy(world)
    run(world, AskHook(instance="web-1", hook=hook))
    return when(world, "web-1", lambda each: each.hook is not None and bool(each.hook.said))


def judged(world: LocalWorld, seen: Instance) -> str | None:
    assert seen.hook is not None
    return verdict(seen.hook, world.clock.now())


def test_what_a_command_says_is_known_and_logged(world: LocalWorld) -> None:
    command = 'echo "$HOMEPORT_INSTANCE in $HOMEPORT_HOOK at $PORT"; echo too cold >&2; exit 3'
    seen = asked(world, Hook(command=command))
    assert seen.hook is not None
    assert (judged(world, seen), seen.hook.said) == ("ABANDON", "too cold")
    lines = [each.text for each in world.engine.logs(world.place.id, LogQuery(instance="web-1", process="hook"))]
    assert lines == [f"web-1 in launching at {seen.port}", "too cold", "[homeport] ABANDON: too cold"]


@pytest.mark.parametrize("result", ["CONTINUE", "ABANDON"])
def test_one_that_never_answers_is_ended_and_its_default_holds(world: LocalWorld, result: str) -> None:
    hook = Hook(command="trap '' TERM; touch begun; sleep 1000", heartbeat=SOON, result=result)  # type: ignore[arg-type]
    seen = asked(world, hook)
    assert seen.hook is not None
    assert (judged(world, seen), seen.hook.said) == (result, "no sign of life for 0.6 s")
    world.until(lambda each: not any(b"sleep\x001000" in line for line in commands(world, each.instances[0])))
    assert when(world, "web-1", lambda each: each.check is Check.HEALTHY)


def commands(world: LocalWorld, instance: Instance) -> list[bytes]:
    assert instance.pid
    found = []
    for pid in process.descendants(instance.pid):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            continue
    return found


def test_each_line_is_a_heartbeat(world: LocalWorld) -> None:
    command = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i; sleep 0.3; done"
    hook = Hook(command=command, heartbeat=timedelta(seconds=3))
    assert judged(world, asked(world, hook)) == "CONTINUE"


class Told(http.server.BaseHTTPRequestHandler):
    status = 204
    heard: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(status: int) -> Iterator[tuple[str, list[dict[str, str]]]]:
    told = type("Answering", (Told,), {"status": status, "heard": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), told) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/leave", told.heard  # type: ignore[attr-defined]
        server.shutdown()


@pytest.mark.parametrize(("status", "result"), [(204, "CONTINUE"), (503, "ABANDON")])
def test_a_url_is_told_once(world: LocalWorld, status: int, result: str) -> None:
    with listening(status) as (url, heard):
        seen = asked(world, Hook(url=url))
        assert seen.hook is not None
        assert (judged(world, seen), seen.hook.said) == (result, f"{url} answered {status}")
    said = {"transition": "launching", "environment": world.place.id, "app": "plain", "group": "web"}
    assert heard == [{**said, "instance": "web-1", "zone": "a", "release": f"r{GOOD}"}]


def test_a_url_that_nobody_answers(world: LocalWorld) -> None:
    seen = asked(world, Hook(url="http://127.0.0.1:9/", heartbeat=SOON, result="CONTINUE"))
    assert seen.hook is not None
    assert (judged(world, seen), seen.hook.said) == ("CONTINUE", "http://127.0.0.1:9/: [Errno 111] Connection refused")
