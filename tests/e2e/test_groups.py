"""Groups that run several process types, and what comes after what, as a person sees it: from the file to `ps`."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app_repository import commit, make_repository, replaced
from tests.e2e.person import FILE, Person
from tests.e2e.role import wait_for

PROCFILE = """\
web: exec python3 web.py
cache: PORT=$PORT exec python3 web.py
worker: exec python3 worker.py
clock: exec python3 worker.py
"""
MORE = """
[groups.back]
run = ["*"]
stop_grace = "3s"
[processes.web]
after = ["cache"]
[processes.worker]
stop = "echo finishing $PID; exit 7"
"""


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    text = FILE.replace('run = ["web"]\ninstances = 2', 'run = ["web", "cache"]').replace(
        'grace = "30s"', 'grace = "30s"\nsettle = "200ms"'
    )
    app = make_repository("plain", tmp_path, edits={"homeport.toml": text + MORE, "Procfile": PROCFILE})
    found = Person(app, tmp_path / "home")
    try:
        yield found
    finally:
        found.leave()


def processes(person: Person, instance: str) -> dict[str, dict[str, Any]]:
    (found,) = [each for each in person.instances() if each["id"] == instance]
    return {each["name"]: each for each in found["processes"]}


def pids(person: Person, group: str) -> dict[str, int]:
    return {each["id"]: each["pid"] for each in person.settled() if each["group"] == group}


def process_id(person: Person, instance: str, name: str) -> int:
    """As the machine has it: its environment says whose it is."""
    wanted = {b"HOMEPORT_INSTANCE=" + instance.encode(), b"PORT=%d" % processes(person, instance)[name]["port"]}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError(f"{instance} has no {name}")


def test_several_process_types_in_a_group_and_one_that_moves_out(person: Person) -> None:
    assert "web 1, back 1" in person("up")
    assert person.get("/healthz")
    web, back = processes(person, "web-1"), processes(person, "back-1")
    assert [sorted(each) for each in (web, back)] == [["cache", "web"], ["clock", "worker"]]
    assert {each["state"] for each in (*web.values(), *back.values())} == {"up"}
    assert len({each["port"] for each in (*web.values(), *back.values())}) == 4
    assert web["cache"]["since_at"] < web["web"]["since_at"]
    assert re.search(r"back-1 +clock +up", person("ps"))
    clock = ("logs", "--instance", "back-1", "--process", "clock")
    wait_for(lambda: "back-1 clock | tick 1 back-1" in person(*clock), "its first line")
    assert "worker |" not in person(*clock)

    os.kill(process_id(person, "back-1", "worker"), signal.SIGKILL)
    wait_for(lambda: processes(person, "back-1")["worker"]["exits"] == 1, "its end")
    wait_for(lambda: processes(person, "back-1")["worker"]["state"] == "up", "the worker")
    assert processes(person, "back-1")["clock"] == back["clock"]
    assert re.search(r"back-1 +worker +up .* 1 ×, last: signal 9", person("ps"))

    serving, worked = pids(person, "web"), pids(person, "back")
    commit(
        person.app,
        replaced(person.app, "homeport.toml", "[processes.web]", '[groups.clock]\nafter = ["back"]\n[processes.web]'),
    )
    said = person("up")
    assert "(replace: back 1, then clock 1; unchanged, kept: web 1)" in said
    assert "what comes first is up; next: clock" in said
    assert pids(person, "web") == serving
    assert not set(pids(person, "back").values()) & set(worked.values())
    assert [*processes(person, "back-2")] == ["worker"]
    assert [*processes(person, "clock-1")] == ["clock"]
    said_last = person("logs", "--instance", "back-1", "--process", "worker", "-n", "20").splitlines()
    last_words = "\n".join(each for each in said_last if " | tick " not in each)
    assert re.search(
        r"finishing \d+\n.*stop command ended with exit code 7\n.*worker got TERM\n.*exit code 0$", last_words
    )

    before = {**pids(person, "web"), **pids(person, "back"), **pids(person, "clock")}
    assert "replace: web 1, back 1, then clock 1" in person("deploy", "--force")
    after = {**pids(person, "web"), **pids(person, "back"), **pids(person, "clock")}
    assert len(after) == len(before)
    assert not {*before.values()} & {*after.values()}


def test_what_waits_for_ever_is_said(person: Person) -> None:
    soon = replaced(person.app, "homeport.toml", 'grace = "30s"', 'grace = "1500ms"')
    commit(person.app, {**soon, "Procfile": PROCFILE.replace("PORT=$PORT", "PORT=$PORT APP_START=never-listen")})
    error = person.document("up", code=6)["error"]
    assert "wasn't healthy within 1.5 s" in error["message"]
    assert "web: hasn't begun; it comes after cache" in error["details"]


def test_a_worker_that_loops_is_replaced(person: Person) -> None:
    worker = "worker: if [ -e /tmp/sick ]; then exit 3; fi; exec python3 worker.py\n"
    web = replaced(person.app, "homeport.toml", 'run = ["web", "cache"]', 'run = ["web"]')
    soon = 'stop_grace = "3s"\nhealth = { grace = "1s", unhealthy_after = "1s" }'
    file = web["homeport.toml"].partition("[processes.web]")[0].replace('stop_grace = "3s"', soon)
    commit(person.app, {"Procfile": f"web: exec python3 web.py\n{worker}", "homeport.toml": file})
    person("up")
    person("exec", "back-1", "--", "touch", "/tmp/sick")
    os.kill(process_id(person, "back-1", "worker"), signal.SIGKILL)
    wait_for(lambda: [*pids(person, "back")] == ["back-2"], "its successor")
    events = person.document("events")["events"]
    assert any(each["kind"] == "process_ended" and each["subject"] == "back-1" for each in events)
    assert "worker ended" in next(
        each["message"] for each in events if each["kind"] == "drain" or each["kind"] == "stop"
    )
