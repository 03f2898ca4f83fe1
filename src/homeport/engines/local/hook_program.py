"""A program of its own: asks one life-cycle hook, and writes down the answer. Begun by `engines.local.hook`.

It needs nobody: a daemon that is killed and comes back begins another, which waits for this one and then finds the
answer. So a hook is asked once, unless the machine stops in the middle of it.
"""

import fcntl
import os
import select
import sys
import time
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from homeport.engines.local.session_log import SessionLog
from homeport.errors import HomeportError
from homeport.instance import keeper
from homeport.instance.enter import Entered, enter
from homeport.instance.keeper import Command
from homeport.model.platform import Hook, HookResult
from homeport.system.clock import pause
from homeport.system.effect import effect

_GRACE_SECONDS = 2.0
_AGAIN_SECONDS = 1.0
_LAST_CHARACTERS = 200


class Question(Struct, frozen=True, kw_only=True):
    """`pid`, `started`, `variables`, `uid`, `cgroup`: of the instance, for a command. `about`: what a URL is told.
    `log`: directory of the log of what the command says."""

    hook: Hook
    answer: str
    log: str
    about: dict[str, str]
    pid: int
    started: int
    variables: dict[bytes, bytes]
    uid: int | None
    cgroup: str | None


class Answer(Struct, frozen=True, kw_only=True):
    """`result` None: there was none in time."""

    result: HookResult | None = None
    said: str = ""


def main() -> None:
    question = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Question)
    place = Path(question.answer)
    with lock(place.with_suffix(".lock")):
        if not place.exists():
            write(place, ask(question))


def ask(question: Question) -> Answer:
    """What the hook says; what goes wrong is in it."""
    try:
        with SessionLog(Path(question.log)) as log:
            answer = _tell(question) if question.hook.url is not None else _run(question, log)
            log.say(f"[homeport] {answer.result or 'no answer'}: {answer.said}")
            return answer
    except HomeportError as error:
        return Answer(result="ABANDON", said=error.message)


def _run(question: Question, log: SessionLog) -> Answer:
    """Each line that the command writes is a heartbeat."""
    command = Command(
        # through one pipe: in the order in which it was written
        argv=("/bin/bash", "-c", f"exec 2>&1\n{question.hook.command}"),
        environment=question.variables,
        directory="/app",
        uid=question.uid,
        grace_seconds=_GRACE_SECONDS,
    )
    cgroup = None if question.cgroup is None else Path(question.cgroup)
    entered = enter(question.pid, question.started, command, cgroup=cgroup, owned=False)
    try:
        return _attend(entered, log, question.hook.heartbeat.total_seconds())
    finally:
        entered.close()


def _attend(entered: Entered, log: SessionLog, heartbeat_seconds: float) -> Answer:
    assert entered.pipes is not None
    stdin, *outputs = entered.pipes
    os.close(stdin)
    control = entered.control.fileno()
    poll = select.poll()
    for each in (control, *outputs):
        poll.register(each, select.POLLIN)
    last, due = b"", time.monotonic() + heartbeat_seconds
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000)}
        for each in ready & set(outputs):
            if piece := os.read(each, 65536):
                os.write(log.descriptor, piece)
                last, due = (last + piece)[-4096:], time.monotonic() + heartbeat_seconds
            else:
                poll.unregister(each)
        if ready - {control}:  # all that it wrote, before how it ended
            continue
        if control in ready:
            ended = entered.hear()
            code = ended.exit_code if ended is not None else None
            said = _last_line(last) or f"exit code {code}"
            return Answer(result="CONTINUE" if code == 0 else "ABANDON", said=said)
        if time.monotonic() >= due:
            entered.signal(keeper.STOP)
            return Answer(said=f"no sign of life for {heartbeat_seconds:g} s")


def _last_line(written: bytes) -> str:
    lines = written.decode(errors="replace").split("\n")
    return next((each.strip() for each in reversed(lines) if each.strip()), "")[:_LAST_CHARACTERS]


def _tell(question: Question) -> Answer:
    """A URL that nobody answers is told again, until its time is over."""
    import urllib.error
    import urllib.request

    url, body = question.hook.url or "", msgspec.json.encode(question.about)
    until = time.monotonic() + question.hook.heartbeat.total_seconds()
    said = "no answer"
    while (left := until - time.monotonic()) > 0:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=left) as response:
                return Answer(result="CONTINUE", said=f"{url} answered {response.status}")
        except urllib.error.HTTPError as error:
            return Answer(result="ABANDON", said=f"{url} answered {error.code}")
        except (OSError, ValueError) as error:
            said = f"{url}: {getattr(error, 'reason', None) or error}"
        pause(min(_AGAIN_SECONDS, max(0.0, until - time.monotonic())))
    return Answer(said=said)


@effect("hook.lock")
def lock(path: Path) -> IO[str]:
    """Held until it is closed."""
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


@effect("hook.answer")
def write(path: Path, answer: Answer) -> None:
    made = path.with_suffix(".new")
    made.write_bytes(msgspec.json.encode(answer))
    made.replace(path)


if __name__ == "__main__":
    main()
