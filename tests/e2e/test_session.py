"""`run` and `exec` as people use them, at a real terminal and in scripts, as root and as an ordinary user."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.instance.cgroup import Cgroups
from tests.app_repository import make_repository
from tests.e2e.person import FILE, Person
from tests.e2e.program import program_for
from tests.e2e.role import ROLES, ROOT, wait_for
from tests.e2e.terminal import terminal
from tests.mounted import sandboxes_with

USER = 61996
FIRST = pytest.mark.parametrize("person", ROLES[:1], indirect=True, scope="module")
LAST = pytest.mark.parametrize("person", ROLES[-1:], indirect=True, scope="module")
"""What is alike for both roles is tried by one."""
LIMITED = FILE.replace("instances = 2\n", 'instances = 2\nmemory = "200MB"\n')
DEADLY = ("state.write", "sandbox.start", "session.begin", "session.join_cgroup", "session.kill", "session.end_sandbox")
DEADLY += ("session.make_log", "session.write_log", "removal.remove")
PATIENCE_SECONDS = 30
LOOK = """
import json, os, pathlib
def seen(pid):
    place = pathlib.Path("/proc") / pid
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    kept = {key: value for key, value in status.items() if key in ("Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp")}
    kept |= {key: value for key, value in status.items() if key.startswith("Cap")}
    spaces = sorted(os.readlink(each) for each in (place / "ns").iterdir())
    given = {each for each in (place / "environ").read_bytes().decode().split(chr(0)) if each}
    return {"status": kept, "spaces": spaces, "root": os.stat(place / "root").st_ino, "cwd": os.readlink(place / "cwd"),
            "environ": sorted(each for each in given if each.split("=")[0] not in ("_", "PWD", "SHLVL", "OLDPWD"))}
def web(pid):
    try:
        return b"web.py" in (pathlib.Path("/proc") / pid / "cmdline").read_bytes().split(bytes(1))
    except OSError:
        return False
pid, = [each for each in os.listdir("/proc") if each.isdigit() and web(each)]
print(json.dumps([seen("self"), seen(pid)]))
"""
PEEK = """
import os, pathlib
keepers = []
for each in pathlib.Path("/proc").glob("[0-9]*"):
    if each.name != "1" and (each / "stat").read_text().rpartition(")")[2].split()[1] == "0":
        keepers.append(each)
        for what in ("exe", "root", "cwd", "fd/0", "ns/user"):
            try:
                os.readlink(each / what)
                print("read", what)
            except OSError:
                pass
        for what in ("environ", "mem", "maps"):
            try:
                (each / what).open("rb").read(1)
                print("opened", what)
            except OSError:
                pass
print(len(keepers), "keepers")
"""


@pytest.fixture(scope="module", params=ROLES)
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    """Somebody whose app is up."""
    # Not pytest's own directory: only its owner may look into that.
    directory = Path(tempfile.mkdtemp(prefix="homeport-session-"))
    directory.chmod(0o755)
    uid = USER if ROOT and request.param == "user" else None
    own = directory / "own"
    own.mkdir(mode=0o700)
    app = make_repository("plain", own, edits={"homeport.toml": LIMITED, "Procfile": "web: exec python3 web.py\n"})
    program = program_for(uid, directory) if uid else None
    if uid:
        subprocess.run(("chown", "-R", f"{uid}:{uid}", str(own)), check=True)
    environ = {"HOME": str(own), "XDG_RUNTIME_DIR": "", **(program.environ if program else {})}
    given = {"program": program.argv} if program else {}
    made = Person(app, own / "home", environ=environ, uid=uid, **given)  # type: ignore[arg-type]
    try:
        made("config", "set", "--no-deploy", "ODD=it's\nodd  ")
        made("up")
        yield made
    finally:
        made.leave()
        shutil.rmtree(directory)


def sessions(person: Person) -> dict[str, Any]:
    return {each["id"]: each for each in person.document("ps", "--all")["sessions"]}


def newest(person: Person) -> dict[str, Any]:
    return dict(list(sessions(person).values())[-1])


def inside(person: Person, mark: str) -> list[int]:
    """Host pids of what runs in the person's sandboxes as `sleep <mark>`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            levels = (process / "status").read_text().partition("NSpid:")[2].split("\n")[0].split()
        except OSError:
            continue
        if words[:2] == [b"sleep", mark.encode()] and len(levels) > 1:
            found.append(int(process.name))
    return found


def sandboxes(person: Person) -> set[int]:
    """Host pids of the first processes of all sandboxes with something of the person's home in them."""
    return set(sandboxes_with(person.home / "instances"))


def one_offs(person: Person) -> list[str]:
    """Directories of one-off instances that are there."""
    return [path.name for path in (person.home / "instances/plain/staging").glob("run.*")]


def test_a_command_gets_what_a_new_instance_would(person: Person) -> None:
    data = bytes(range(256)) * 2000
    script = 'cat; echo $((6*7)) $(pwd) $HOMEPORT_INSTANCE $HOMEPORT_RELEASE $HOMEPORT_GROUP $GIVEN "$ODD" >&2; exit 3'
    done = subprocess.run(
        (*person.program, "run", "--env", "GIVEN=one", script),
        cwd=person.app,
        env=person.environ,
        input=data,
        capture_output=True,
        user=person.uid,
        group=person.uid,
        timeout=PATIENCE_SECONDS,
    )
    assert (done.returncode, done.stdout) == (3, data)
    session = newest(person)
    assert done.stderr.decode() == f"42 /app {session['id']} r1 web one it's\nodd  \n"
    assert (session["exit_code"], session["command"]) == (3, script)
    assert one_offs(person) == []
    said = [each for each in person.document("events")["events"] if each["subject"] == session["id"]]
    assert [each["kind"] for each in said] == ["run", "run_ended"]
    assert script in said[0]["message"]
    assert "exit code 3" in said[1]["message"]
    assert "GIVEN" not in json.dumps(said).replace(json.dumps(script)[1:-1], "")


def test_exec_has_the_rights_and_variables_of_the_instance(person: Person) -> None:
    ours, theirs = json.loads(person("exec", "web-1", "--", "python3", "-c", LOOK))
    assert ours == theirs
    assert "ODD=it's\nodd  " in ours["environ"]
    assert set(ours["status"]["CapBnd"].strip()) == {"0"}
    assert ours["status"]["NoNewPrivs"].strip() == "1"
    assert ours["status"]["Uid"].split()[0] != "0"
    # what runs beside can't look into the one that keeps the session
    assert person("exec", "web-1", "--", "python3", "-c", PEEK) == "1 keepers\n"
    assert [each["check"] for each in person.instances()] == ["healthy", "healthy"]


@pytest.mark.parametrize("words", [("exec", "web-1"), ("run", "bash")], ids=["exec", "run"])
def test_a_shell_at_a_terminal(person: Person, words: tuple[str, ...]) -> None:
    with terminal(person, *words) as shell:
        shell.type("PS1=rea''dy:\r")
        shell.until("ready:")
        shell.type("tty; stty size; echo $TERM\r")
        said = shell.until("ready:")
        assert all(each in said for each in ("/dev/pts/", "33 99", "xterm"))
        assert shell.settings() != shell.before
        shell.resize(20, 50)
        shell.type("while [ \"$(stty size)\" != '20 50' ]; do :; done\r")
        shell.until("ready:")
        for key, code in (("\x03", 130), ("\x1c", 131)):
            shell.type("sh -c 'echo begun=$((1+1)); exec sleep 1000'\r")
            shell.until("begun=2")
            shell.type(key)
            shell.until("ready:")
            shell.type("echo code=$?,\r")
            shell.until(f"code={code},")
            shell.until("ready:")
        shell.type("sh -c 'echo begun=$((1+1)); exec sleep 1000'\r")
        shell.until("begun=2")
        shell.type("\x1a")
        shell.until("Stopped")
        shell.type("exit\r")
        shell.until("stopped jobs")
        shell.type("exit 7\r")
        assert shell.ended() == 7
        assert shell.settings() == shell.before
    assert newest(person)["exit_code"] == 7


@pytest.mark.parametrize("words", [("exec", "web-1"), ("run", "bash")], ids=["exec", "run"])
@pytest.mark.parametrize("how", ["hung up", "killed"])
def test_whatever_becomes_of_the_terminal_nothing_is_left(person: Person, words: tuple[str, ...], how: str) -> None:
    mark = str(700_000 + os.getpid())
    with terminal(person, *words) as shell:
        # one in the background that a hang-up doesn't end, in a session of its own
        shell.type(f"(trap '' HUP; setsid --fork sleep {mark}); sleep {mark}\r")
        wait_for(lambda: len(inside(person, mark)) == 2, "both sleep", PATIENCE_SECONDS)
        if how == "hung up":
            shell.hang_up()
            shell.ended()
        else:
            shell.command.kill()
            shell.ended()
            wait_for(lambda: shell.settings() == shell.before, "the terminal is as it was", PATIENCE_SECONDS)
        wait_for(lambda: inside(person, mark) == [], "nothing of it lives", PATIENCE_SECONDS)
        last = wait_for(lambda: (s := newest(person))["ended_at"] and s, "it is known to have ended", PATIENCE_SECONDS)
    assert (last["exit_code"] is None) == (how == "killed")
    assert one_offs(person) == []
    assert [each["check"] for each in person.instances()] == ["healthy", "healthy"]


@LAST
def test_a_detached_one_goes_on_by_itself_and_is_stopped(person: Person) -> None:
    mark = str(800_000 + os.getpid())
    id_ = person("run", "--detach", f"trap 'echo told; exit 5' TERM; echo begun; sleep {mark} & wait").strip()
    wait_for(lambda: "begun" in person("logs", "--instance", id_), "it has said so", PATIENCE_SECONDS)
    assert id_ in person("ps")
    person("engine", "restart")
    assert sessions(person)[id_]["ended_at"] is None
    person("run", "--stop", id_)
    ended = wait_for(lambda: (s := sessions(person)[id_])["ended_at"] and s, "it has ended", PATIENCE_SECONDS)
    assert ended["exit_code"] == 5
    wait_for(lambda: "exit code 5" in person("logs", "--instance", id_), "its log says so", PATIENCE_SECONDS)
    assert "told" in person("logs", "--instance", id_)
    why = person("why", id_)
    assert f"{id_}: exit code 5" in why
    assert "run by " in why
    assert ": told" in why
    assert (inside(person, mark), one_offs(person)) == ([], [])


@LAST
def test_the_time_limit_ends_the_whole_tree(person: Person) -> None:
    mark = str(900_000 + os.getpid())
    deaf = f"trap '' TERM; setsid --fork sleep {mark}; while :; do sleep {mark}; done"
    assert "time limit of 0.2 s" in person("run", "--timeout", "200ms", deaf, code=124)
    assert inside(person, mark) == []


@LAST
def test_what_cannot_be_is_said(person: Person) -> None:
    for words, code, said in (
        (("run", "nosuch"), 127, "a command wasn't found"),
        (("run", "--", "nosuch", "x"), 127, "no command 'nosuch'"),
        (("exec", "web-1", "--", "/app", "x"), 126, "can't be executed"),
        (("exec", "web-1", "echo $HOMEPORT_INSTANCE; exit 9"), 9, "web-1"),
        (("exec", "--timeout", "soon", "web-1", "ls"), 2, "--timeout: expected a duration"),
        (("exec", "web-1", "-e", "live", "--", "ls"), 2, "homeport exec -e live web-1 -- ls"),
        (("exec", "web-11"), 3, 'did you mean "web-1"?'),
        (("exec", "--process", "worker", "web-1"), 3, "runs no process type 'worker'; there is web"),
        (("run", "--release", "r7", "ls"), 3, "no release r7"),
        (("run", "--group", "wep", "ls"), 3, 'did you mean "web"?'),
        (("run", "-e", "plain/live", "ls"), 3, "isn't up, did you mean"),
        (("run", "--timeout", "0s", "ls"), 2, "more than nothing"),
        (("run", "--env", "a-b=c", "ls"), 2, "config name 'a-b'"),
        (("run",), 2, "run what?"),
        (("run", "--stop", "run.999"), 3, "no session 'run.999'"),
        (("run", "kill -TERM $$"), 143, ""),
    ):
        assert said in person(*words, code=code)
    document = person.document("run", "--release", "r1", code=2)
    assert document["error"]["kind"] == "invalid"
    assert json.loads(person("run", "--json", "true"))["exit_code"] == 0


@FIRST
def test_a_command_that_is_killed_anywhere_leaves_nothing(person: Person) -> None:
    mark = str(970_000 + os.getpid())
    reached = [each for each in DEADLY if each != "session.join_cgroup" or (ROOT and Cgroups().kind)]
    for point in (f"{label}:{when}" for label in reached for when in ("before", "after")):
        person.environ["HOMEPORT_CRASH"] = point
        apart = ["--detach"] if "_log" in point else []
        # one that ends by itself and leaves something behind, or one whose `homeport` is killed
        last = "wait" if "end_sandbox" in point else "true"
        command = person.begin("run", *apart, f"setsid --fork sleep {mark}; sleep {mark} & {last}")
        if last == "wait":
            wait_for(lambda: len(inside(person, mark)) == 2, "both sleep", PATIENCE_SECONDS)
            command.kill()
        command.communicate(timeout=PATIENCE_SECONDS)
        assert command.returncode != 0, f"{point} wasn't reached"
        del person.environ["HOMEPORT_CRASH"]
    wait_for(lambda: inside(person, mark) == [], "nothing of it lives", PATIENCE_SECONDS)
    wait_for(lambda: all(each["ended_at"] for each in sessions(person).values()), "all have ended", PATIENCE_SECONDS)
    wait_for(lambda: one_offs(person) == [], "no directory is left", PATIENCE_SECONDS)
    assert sandboxes(person) == {each["pid"] for each in person.instances()}


def test_down_ends_them(person: Person) -> None:
    mark = str(950_000 + os.getpid())
    id_ = person("run", "--detach", f"sleep {mark}").strip()
    with terminal(person, "exec", "web-1", "sleep", mark) as shell:
        wait_for(lambda: len(inside(person, mark)) == 2, "both sleep", PATIENCE_SECONDS)
        person("down", "--yes")
        assert shell.ended() in (128 + signal.SIGKILL, 128 + signal.SIGTERM)
    assert inside(person, mark) == []
    logs = ("logs", "--instance", id_, "-e", "plain/staging")
    wait_for(lambda: "exit code 143" in person(*logs), "its log says so", PATIENCE_SECONDS)
