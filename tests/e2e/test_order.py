"""What comes after what inside an instance, and how a process is told to end: real sandboxes, real runit."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from homeport.instance import supervision
from homeport.instance.turn import Turns
from homeport.model.platform import ProcessType
from tests.e2e.role import Role, wait_for
from tests.e2e.role import role as role  # a fixture
from tests.e2e.test_supervision import Generation, assembly_of, ports_of, running

# Says what it does, in a file of the instance. Words: how often it dies first, the signal that ends it, after how long
# it listens (never without).
ACTOR = """
import os, signal, socket, sys, time

name, deaths, ending = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def say(what):
    print(what, flush=True)
    with open("order", "a") as file:
        file.write(f"{name} {what}\\n")

def end(number, _):
    signal.signal(number, signal.SIG_IGN)  # it may be told twice, and Python's own end undoes handlers
    say(signal.Signals(number).name)
    os._exit(0)

for each in ("TERM", "INT", "QUIT", "USR1"):
    deaf = lambda number, _: print(number, flush=True)
    signal.signal(getattr(signal, f"SIG{each}"), end if each in ending.split(",") else deaf)
say("begins")
with open("order") as file:
    if file.read().count(f"{name} begins") <= deaths:
        sys.exit(1)
if len(sys.argv) > 4:
    time.sleep(float(sys.argv[4]))
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    say("listens")
while True:
    if os.path.exists(f"finish-{name}"):
        say("finishes its job")
        sys.exit(0)
    time.sleep(0.02)
"""


def acting(
    directory: Path,
    uid: int | None,
    processes: Mapping[str, str],
    types: Mapping[str, ProcessType],
    *,
    stop_grace: timedelta = timedelta(seconds=8),
    settle: timedelta = timedelta(milliseconds=300),
    **fields: object,
):
    turns = Turns(types=types, settle=settle, stop_grace=stop_grace)
    assembly = assembly_of(directory, uid, "", processes=processes, ports=ports_of(*processes), turns=turns, **fields)
    (assembly.source / "actor.py").write_text(ACTOR)
    return running(assembly)


def order(generation: Generation) -> list[str]:
    written = generation.assembly.directory / "app/order"
    return written.read_text().splitlines() if written.exists() else []


def ended(generation: Generation) -> None:
    supervision.stop(generation.services)
    generation.wait_until_gone()


def scenario_of_turns(directory: Path, uid: int | None) -> list[str]:
    note = "echo clock begins >>order"
    processes = {
        "web": "python3 actor.py web 0 TERM 0",
        "cache": "python3 actor.py cache 0 TERM 0.7 $PORT",
        # dies at once: as long as a busy machine takes to begin a Python, it would be taken for one that stays
        "clock": f"{note}; [ -e died ] || {{ touch died; exit 1; }}; exec python3 actor.py clock 0 TERM",
        "last": "python3 actor.py last 0 TERM",
    }
    types = {
        "web": ProcessType(after=("cache", "clock", "elsewhere")),
        "last": ProcessType(after=("web",)),
    }
    with acting(directory, uid, processes, types, settle=timedelta(seconds=1)) as generation:
        wait_for(lambda: "last begins" in order(generation), "the last one")
        assert all(each.up for each in supervision.processes(generation.services))
        ended(generation)
        return order(generation)


@pytest.mark.parametrize("role", ["user"], indirect=True)
def test_a_process_begins_after_what_it_needs_and_ends_before_it(role: Role) -> None:
    found = role.call(scenario_of_turns, role.directory, role.uid)
    began = [each for each in found if each.endswith(("begins", "listens"))]
    del began[max(n for n, each in enumerate(began) if each == "clock begins")]  # its Python's, after its shell's two
    assert sorted(began[:4]) == ["cache begins", "cache listens", "clock begins", "clock begins"]
    assert began[4:] in (["web begins", "web listens", "last begins"], ["web begins", "last begins", "web listens"])
    ends = [each for each in found if each.endswith("SIGTERM")]
    assert ends[:2] == ["last SIGTERM", "web SIGTERM"]
    assert sorted(ends[2:]) == ["cache SIGTERM", "clock SIGTERM"]


def scenario_of_waiting(directory: Path, uid: int | None) -> list[str]:
    processes = {"web": "python3 actor.py web 0 TERM", "cache": "python3 actor.py cache 0 TERM # $PORT"}
    with acting(directory, uid, processes, {"web": ProcessType(after=("cache",))}) as generation:
        wait_for(lambda: "cache begins" in order(generation), "the cache")
        assert [each.up for each in supervision.processes(generation.services)] == [True, False]
        ended(generation)
        return order(generation)


@pytest.mark.parametrize("role", ["user"], indirect=True)
def test_what_still_waits_for_its_turn_ends_without_having_begun(role: Role) -> None:
    found = role.call(scenario_of_waiting, role.directory, role.uid)
    assert found == ["cache begins", "cache SIGTERM"]


OVER = "[homeport] ended with exit code 0"
STOPS = {
    "finishes": 'touch finish-finishes; while kill -0 $PID 2>/dev/null; do sleep 0.05; done; echo "$PORT $COLOUR"',
    "fails": "echo before; exit 3",
    "missing": "no-such-command",
    "hangs": "sleep 1000",
    "signals": "kill -s USR1 $PID; while kill -0 $PID 2>/dev/null; do sleep 0.05; done",
}


def scenario_of_stop_commands(directory: Path, uid: int | None) -> tuple[dict[str, list[str]], Mapping[str, int]]:
    processes = {name: f"true; python3 actor.py {name} 0 TERM,USR1; exit $?" for name in STOPS}
    processes["signals"] = "python3 actor.py signals 0 TERM,USR1; sleep 0.3; echo the line goes on"
    processes |= {"quits": "true; python3 actor.py quits 0 QUIT; exit $?", "deaf": "exec python3 actor.py deaf 0 INT"}
    types = {name: ProcessType(stop=command) for name, command in STOPS.items()}
    types |= {
        "quits": ProcessType(stop_signal="QUIT"),
        "finishes": ProcessType(stop=STOPS["finishes"], after=("deaf",)),
    }
    environment = [("common", {"COLOUR": "red "})]
    grace = timedelta(seconds=4)
    with acting(directory, uid, processes, types, stop_grace=grace, environment=environment) as generation:
        wait_for(lambda: sum(each.endswith("begins") for each in order(generation)) == len(processes), "all")
        supervision.stop(generation.services)
        supervision.stop(generation.services)  # as a daemon does that comes after a killed one
        others = [each for each in processes if each != "deaf"]
        wait_for(lambda: all(OVER in generation.lines(each) for each in others), "all but one to end")
        # it ignores TERM: what is left to the engine, after the whole of stop_grace
        wait_for(lambda: "15" in generation.lines("deaf"), "TERM")
        assert generation.alive()
        supervision.kill(generation.pid, generation.started)
        generation.wait_until_gone()
        return {name: generation.lines(name) for name in processes}, generation.assembly.ports


def test_stop_commands(role: Role) -> None:
    found, ports = role.call(scenario_of_stop_commands, role.directory, role.uid)
    assert sorted(found["finishes"][1:]) == sorted(["finishes its job", OVER, f"{ports['finishes']} red "])
    assert found["fails"] == ["begins", "before", "[homeport] the stop command ended with exit code 3", "SIGTERM", OVER]
    assert found["missing"][2:] == ["[homeport] the stop command ended with exit code 127", "SIGTERM", OVER]
    assert found["hangs"] == ["begins", "[homeport] the stop command took longer than 3 s", "SIGTERM", OVER]
    assert found["signals"] == ["begins", "SIGUSR1", "the line goes on", OVER]
    assert found["quits"] == ["begins", "SIGQUIT", OVER]
    assert found["deaf"][:2] == ["begins", "15"]
