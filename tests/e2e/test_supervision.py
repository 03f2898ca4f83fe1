"""A generation in a real sandbox under real runit: assembled, watched, ended, and its logs read."""

import os
import signal
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from homeport.instance import log, supervision
from homeport.instance.assemble import Assembly, assemble, service_directory
from homeport.instance.cgroup import Cgroups
from homeport.instance.sandbox import BwrapSandbox
from homeport.ports.engine import LogQuery
from homeport.system import process
from homeport.system.sockets import listening
from tests.e2e.balanced import free_ports
from tests.e2e.role import Role, wait_for
from tests.e2e.role import role as role  # a fixture

SERVER = """
import http.server, os, signal, sys, time

def bye(*_):
    time.sleep(0.3)  # longer than a shell needs to die
    print("server got TERM", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, bye)
server = http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler)
print("up", os.getpid(), flush=True)
server.serve_forever()
"""
START = "#!/bin/bash\npython3 server.py\necho script ended\n"
TRAP = "trap 'kill $child; wait $child; echo trapped; exit 0' TERM\npython3 server.py & child=$!\nwait $child\n"


@dataclass
class Generation:
    assembly: Assembly
    pid: int = 0
    started: int = 0

    @property
    def services(self) -> Path:
        return service_directory(self.assembly.directory)

    def alive(self) -> bool:
        return process.alive(self.pid, self.started)

    def process(self, name: str = "web"):
        return next(each for each in supervision.processes(self.services) if each.name == name)

    def lines(self, name: str = "web") -> list[str]:
        found = log.read(self.assembly.logs.parent, LogQuery(instance=self.assembly.logs.name, process=name))
        return [line.text for line in found]

    def port(self) -> int:
        return self.assembly.ports["web"]

    def starts(self, name: str = "web") -> int:
        return sum(line.split()[:1] == ["up"] for line in self.lines(name))

    def wait_until_up(self, name: str = "web", times: int = 1) -> None:
        wait_for(lambda: self.starts(name) == times, f"{name}'s first line")

    def wait_until_gone(self) -> None:
        wait_for(lambda: not self.alive(), "the sandbox's end")


def ports_of(*names: str) -> dict[str, int]:
    """A free one for each process."""
    return dict(zip(names, free_ports(len(names)), strict=True))


def assembly_of(role_directory: Path, uid: int | None, command: str, **fields: object) -> Assembly:
    source = role_directory / "source"
    source.mkdir(exist_ok=True)
    for name, text in {"server.py": SERVER, "start.sh": START, "trap.sh": TRAP}.items():
        (source / name).write_text(text)
        (source / name).chmod(0o755)
    made = Assembly(
        directory=role_directory / "instance",
        logs=role_directory / "logs/web-1",
        source=source,
        dependencies={},
        processes={"web": command},
        ports=ports_of("web"),
        environment=[],
        hostname="web-1",
        uid=uid,
    )
    return Assembly(**{name: fields.get(name, getattr(made, name)) for name in made.__struct_fields__})


@contextmanager
def running(assembly: Assembly) -> Iterator[Generation]:
    generation = Generation(assembly)
    pid = BwrapSandbox().start(
        assemble(assembly), info=assembly.directory / "info", output=assembly.directory / "output"
    )
    generation = replace(generation, pid=pid, started=process.start_time(pid) or 0)
    try:
        yield generation
    finally:
        supervision.kill(generation.pid, generation.started)
        generation.wait_until_gone()


COMMANDS = {
    "web": ("python3 server.py", []),
    "compound": ("true && python3 server.py", []),
    "after": ("cd . ; X=1 python3 server.py; echo and after", ["and after"]),
    "script": ("./start.sh", ["script ended"]),
    "nested": ("bash -c './start.sh; true'", ["script ended"]),
    "trap": ("bash trap.sh", ["trapped"]),
    "several": ("sleep 100 & python3 server.py", []),
}


def scenario_of_term(directory: Path, uid: int | None) -> tuple[dict[str, list[str]], bool]:
    commands = {name: command for name, (command, _) in COMMANDS.items()}
    with running(assembly_of(directory, uid, "", processes=commands, ports=ports_of(*COMMANDS))) as generation:
        for name in COMMANDS:
            generation.wait_until_up(name)
        supervision.stop(generation.services)
        generation.wait_until_gone()
        return {name: generation.lines(name) for name in COMMANDS}, supervision.stopped(generation.services)


def test_term_reaches_the_server(role: Role) -> None:
    found, stopped = role.call(scenario_of_term, role.directory, role.uid)
    for name, (_, last_words) in COMMANDS.items():
        lines = found[name]
        assert lines.count("server got TERM") == 1, name
        assert [line for line in lines if line in ("and after", "script ended", "trapped")] == last_words
        assert lines[-1].startswith("[homeport] ended ")
    assert stopped


def scenario_of_killed_process(directory: Path, uid: int | None) -> None:
    with running(
        assembly_of(directory, uid, "(trap '' TERM; sleep 1000 & wait) & exec python3 server.py")
    ) as generation:
        generation.wait_until_up()
        before = generation.process()
        assert before.up
        assert before.exits == 0
        [server] = [each for each in process.descendants(generation.pid) if process.name(each) == "python3"]
        stragglers = [each for each in process.descendants(generation.pid) if process.name(each) == "sleep"]
        os.kill(server, signal.SIGKILL)
        wait_for(lambda: (seen := generation.process()).exits == 1 and seen.up, "the restart")
        assert generation.process().last_exit == "signal 9 (SIGKILL)"
        wait_for(lambda: not set(stragglers) & set(process.descendants(generation.pid)), "the stragglers' end")
        generation.wait_until_up(times=2)
        url = f"http://127.0.0.1:{generation.port()}/server.py"
        with urllib.request.urlopen(url, timeout=30) as response:
            assert response.status == 200
        assert listening(generation.pid) == (f"0.0.0.0:{generation.port()}",)
        assert "[homeport] ended by signal 9" in generation.lines()


def test_a_killed_process_is_back_without_stragglers(role: Role) -> None:
    role.call(scenario_of_killed_process, role.directory, role.uid)


def servers(generation: Generation) -> int:
    return sum(process.name(each) == "python3" for each in process.descendants(generation.pid))


def scenario_of_killed_runsv(directory: Path, uid: int | None) -> None:
    with running(assembly_of(directory, uid, "python3 server.py")) as generation:
        generation.wait_until_up()
        [runsv] = [each for each in process.descendants(generation.pid) if process.name(each) == "runsv"]
        os.kill(runsv, signal.SIGKILL)
        generation.wait_until_up(times=2)
        wait_for(lambda: servers(generation) == 1, "the end of the one before")
        supervision.stop(generation.services)
        generation.wait_until_gone()
        assert generation.lines()[-2] == "server got TERM"


def scenario_of_want_of_memory(directory: Path, uid: int | None) -> None:
    eat = """python3 -c 'b"x" * 300_000_000'"""
    commands = {"itself": f"exec {eat}", "waits": f"{eat}; exit $?"}
    assembly = assembly_of(directory, uid, "", processes=commands, ports=ports_of(*commands), memory_bytes=100_000_000)
    if not Cgroups().kind:
        return
    with running(assembly) as generation:
        for name in ("itself", "waits"):
            wait_for(lambda one=name: generation.process(one).exits >= 1, f"the end of {name}")
        own, waits = generation.process("itself"), generation.process("waits")
        assert (own.last_exit, own.out_of_memory) == ("signal 9 (SIGKILL), out of memory", True)
        assert (waits.last_exit, waits.out_of_memory) == ("exit code 137, out of memory", True)
        wait_for(lambda: "[homeport] ended by signal 9, out of memory" in generation.lines("itself"), "its log says so")


def test_a_process_killed_for_want_of_memory_says_so(role: Role) -> None:
    role.call(scenario_of_want_of_memory, role.directory, role.uid)


@pytest.mark.parametrize("role", ["user"], indirect=True)
def test_a_killed_runsv_is_back_with_one_server(role: Role) -> None:
    role.call(scenario_of_killed_runsv, role.directory, role.uid)


def scenario_of_output(directory: Path, uid: int | None, lines: int) -> list[str]:
    script = (
        f"import sys\nfor n in range({lines}): print(n, 'x' * (n % 7 and 40 or 5000))\nsys.stdout.write('no newline')"
    )
    assembly = assembly_of(directory, uid, "python3 talk.py; sleep 1000")
    (assembly.source / "talk.py").write_text(script)
    with running(assembly) as generation:
        wait_for(lambda: any(process.name(each) == "sleep" for each in process.descendants(generation.pid)), "sleep")
        supervision.stop(generation.services)
        generation.wait_until_gone()
        return generation.lines()


def test_log_is_complete_after_stop(role: Role) -> None:
    lines = role.call(scenario_of_output, role.directory, role.uid, 2000)
    assert [len(line) for line in lines[:2000]] == [len(f"{n} ") + (40 if n % 7 else 5000) for n in range(2000)]
    assert [int(line.split()[0]) for line in lines[:2000]] == list(range(2000))
    assert lines[2000].startswith("no newline")


VALUES: Mapping[str, bytes] = {
    "EMPTY": b"",
    "BLANK": b" \t ",
    "NEWLINES": b"\na\n\nb\n",
    "QUOTES": b"""'a' "b" `c` $D \\ ${E} !""",
    "BYTES": bytes(range(1, 256)),
    "TRAILING": b"x\xff\x81\x88 ",
    "EQUALS": b"a=b=c",
}


def scenario_of_values(directory: Path, uid: int | None) -> dict[bytes, bytes]:
    environment = [("common", {"WINS": "common", "OVER": "1 ", "FIRST": "1"}), ("environment", {**VALUES, "WINS": "b"})]
    environment.append(("group", {"WINS": "group", "OVER": "2"}))
    command = "cat /proc/self/environ >environ.new && mv environ.new environ; sleep 1000"
    with running(assembly_of(directory, uid, command, environment=environment)) as generation:
        written = generation.assembly.directory / "app/environ"
        wait_for(written.exists, "the environment")
        assert (generation.assembly.directory / "output").read_text() == ""
        found = dict(entry.split(b"=", 1) for entry in written.read_bytes().split(b"\0") if entry)
        assert found[b"PORT"] == b"%d" % generation.port()
        return found


def test_values_arrive_exactly_and_later_layers_win(role: Role) -> None:
    found = role.call(scenario_of_values, role.directory, role.uid)
    assert {key: found[key.encode()] for key in VALUES} == dict(VALUES)
    assert (found[b"FIRST"], found[b"WINS"], found[b"OVER"]) == (b"1", b"group", b"2")
    assert {found[b"HOME"], found[b"USER"]} == {b"/home", b"app"}


HOSTILE = r"""
for f in run finish start control/t log/run; do
    echo x >>/run/homeport/service/web/$f && echo "[bad] wrote $f"
    rm -f /run/homeport/service/web/$f && echo "[bad] removed $f"
done
mv /run/homeport/service/web /run/homeport/service/other && echo "[bad] moved"
mkdir /run/homeport/service/more && echo "[bad] made"
mount -o remount,rw /run/homeport/service && echo "[bad] remounted"
cd /run/homeport/service/web/supervise
rm -f status exits pid; ln -s /etc/passwd status; mkfifo exits
rm -f /run/homeport/log/web/config; ln -s /etc/passwd /run/homeport/log/web/config
ln -s /etc/passwd /run/homeport/log/web/@400000000000000000000000.s
mkfifo /run/homeport/log/web/@400000000000000000000001.s
echo planted
sleep 1000
"""


def scenario_of_hostile(directory: Path, uid: int | None) -> list[str]:
    victim = directory / "victim"
    victim.write_text("untouched")
    assembly = assembly_of(directory, uid, HOSTILE)
    with running(assembly) as generation:
        wait_for(lambda: "planted" in generation.lines(), "the links")
        seen = generation.process()
        assert (seen.exits, seen.last_exit) == (0, "")
        lines = generation.lines()
        # The next assembly writes where the app could: it mustn't be led to the host's files.
        config = assembly.logs / "web/config"
        config.unlink()
        config.symlink_to(victim)
        supervision.kill(generation.pid, generation.started)
        generation.wait_until_gone()
        assemble(assembly)
        assert victim.read_text() == "untouched"
        assert not config.is_symlink()
        return lines


def test_a_hostile_app_cannot_change_its_supervision_or_lead_us_astray(role: Role) -> None:
    lines = role.call(scenario_of_hostile, role.directory, role.uid)
    assert not [line for line in lines if line.startswith("[bad]")]
    assert not [line for line in lines if "root:" in line]


def scenario_of_stop_at_once(directory: Path, uid: int | None) -> None:
    for _ in range(3):
        with running(assembly_of(directory, uid, "python3 server.py")) as generation:
            wait_for(lambda g=generation: supervision.stop(g.services) or not g.alive(), "a runsv that listens")
            generation.wait_until_gone()


def test_stop_may_come_at_any_moment(role: Role) -> None:
    role.call(scenario_of_stop_at_once, role.directory, role.uid)


def scenario_of_deaf(directory: Path, uid: int | None) -> None:
    command = "trap '' TERM; setsid --fork sleep 1000; echo up deaf; while :; do sleep 1000; done"
    with running(assembly_of(directory, uid, command)) as generation:
        generation.wait_until_up()
        family = {each: process.start_time(each) for each in process.descendants(generation.pid)}
        assert supervision.stop(generation.services)
        assert not supervision.stopped(generation.services)
        assert generation.alive()
        assert supervision.kill(generation.pid, generation.started)
        generation.wait_until_gone()
        assert not [each for each, began in family.items() if began is not None and process.alive(each, began)]
        assert not supervision.kill(generation.pid, generation.started)


def test_what_ignores_term_is_killed_whole(role: Role) -> None:
    role.call(scenario_of_deaf, role.directory, role.uid)


def scenario_of_generations(directory: Path, uid: int | None) -> list[str]:
    command = "ls; touch left /home/kept /tmp/left; echo up; sleep 1000"
    assembly = assembly_of(directory, uid, command)
    layer = directory / "layer"
    layer.mkdir(exist_ok=True)
    (layer / "dependency").write_text("")
    (assembly.source / ".venv").symlink_to("/usr")
    assembly = assembly_of(directory, uid, command, dependencies={".venv": layer})
    for times in (1, 2):
        with running(assembly) as generation:
            generation.wait_until_up(times=times)
            if os.getuid() == 0:
                assert (assembly.directory / "app/left").stat().st_uid == uid
            supervision.kill(generation.pid, generation.started)
            generation.wait_until_gone()
    assert (assembly.directory / "home/kept").exists()
    assert sorted(path.name for path in layer.iterdir()) == ["dependency"]
    return generation.lines()


def test_each_generation_has_a_fresh_app_and_the_same_home(role: Role) -> None:
    lines = role.call(scenario_of_generations, role.directory, role.uid)
    assert "left" not in lines
    assert lines.count("server.py") == 2


def scenario_of_once(directory: Path, uid: int | None) -> tuple[int, str]:
    assembly = assembly_of(directory, uid, "echo $A$PORT; pwd; exit 3", environment=[("common", {"A": "x "})])
    spec = assemble(assembly)
    output = bytearray()
    once = type(spec)(
        **{name: getattr(spec, name) for name in spec.__struct_fields__}
        | {"command": ("/run/homeport/service/web/once",)}
    )
    return BwrapSandbox().run(once, output=output.extend), output.decode()


def test_a_process_can_be_run_once(role: Role) -> None:
    status, text = role.call(scenario_of_once, role.directory, role.uid)
    assert status == 3
    assert text.split()[0] == "x"
    assert text.splitlines()[-1] == "/app"
