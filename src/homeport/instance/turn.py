"""When a process of an instance begins and how it ends, as scripts of its runit service. Pure. Called by `service`.

It begins once those that it comes after are up; when the instance stops, those that come after it end first. Nothing
outlives the instance for that: `boot` runs `turn` before the service's runsv, and runsv runs `control/t`.
"""

import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

from homeport.model.platform import Group, ProcessType

TURN = "turn"
TOLD = "supervise/told"
"""There once the signal went to the whole group: what is left of it then may end in its own time."""
PATIENCE = 0.75
"""Share of `stop_grace` after which TERM is sent whatever is still waited for: the rest of it is for TERM."""

# Up is what listens on its port, wherever it binds, and where it needn't listen, what has stayed up for the settling
# time. A look every tenth of a second: nothing tells of a port that is listened on.
_TURN = """\
#!/bin/bash
cd {directory} || exit 1
listens() {{
    for host in {hosts}; do
        {{ exec 3<>"/dev/tcp/$host/$1"; }} 2>/dev/null && exec 3>&- && return
    done
    return 1
}}
up() {{
    local pid known= since=0
    until listens "$2"; do
        [ -e {stopping} ] && exit
        if [ -n "$3" ]; then
            pid= now=${{EPOCHREALTIME/[.,]/}}
            read -r pid 2>/dev/null <"$1/supervise/pid"
            [ -n "$pid" ] && [ "$pid" = "$known" ] || since=$now
            [ -n "$pid" ] && [ $((now - since)) -ge "$3" ] && return
            known=$pid
        fi
        sleep 0.1
    done
}}
"""

# A shell doesn't hand TERM on to the command that it waits for: the signal goes to the one at the end of the chain.
# A shell that has several children, or a trap of its own for TERM, gets it together with its whole group. npm is such a
# shell too, by its title: some of its versions pass TERM to a shell of theirs, which dies of it and leaves the server.
# Of TERM nginx drops what it is sending; what others do on TERM, it does on QUIT.
_SIGNAL = """\
#!/bin/sh
show=$1
pid=$(cat supervise/pid)
[ -n "$pid" ] || exit 0
group="-$pid" to='' name=
while :; do
    exe=$(readlink "/proc/$pid/exe") || break
    name=${{exe##*/}}
    [ "$name" = node ] && read -r name <"/proc/$pid/comm"
    case $name in
    npm* | yarn*) ;;
    ash | bash | busybox | dash | ksh* | mksh | sh | zsh*)
        caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$pid/status")
        case $caught in {caught}) to=$group && break ;; esac
        ;;
    *) break ;;
    esac
    set -- $(cat "/proc/$pid/task/$pid/children")
    [ $# -eq 1 ] || {{ to=$group && break; }}
    pid=$1
done
[ "$show" = show ] && echo "$pid" && exit
signal={signal}
[ "$name $signal" = "nginx TERM" ] && signal=QUIT
[ -n "$to" ] && : >{told}
kill -s "$signal" -- "${{to:-$pid}}"
"""

# runsv waits for its control script, and doesn't see the process's end meanwhile. It may be told more than once.
_CONTROL = """\
#!/bin/sh
[ -e supervise/ending ] && exit 0
mkdir supervise/ending
./end &
"""

# A runsv holds its lock as long as its process lives.
_END = """\
#!/bin/bash
exec 2>&1
read -r pid <supervise/pid
[ -n "$pid" ] || exit 0
now() {{ echo $((${{EPOCHREALTIME/[.,]/}} / 1000)); }}
until=$(($(now) + {patience}))
left() {{
    local left=$((until - $(now)))
    [ "$left" -gt 0 ] || left=1
    printf '%d.%03d' $((left / 1000)) $((left % 1000))
}}
for each in {later}; do
    [ -e "../$each/supervise/lock" ] && flock -s -w "$(left)" "../$each/supervise/lock" true
done
{stop}read -r still <supervise/pid
[ "$still" = "$pid" ] && exec ./signal
exit 0
"""

# The server may have ended while the shell line around it goes on to its own end: that isn't cut off.
_RUN_STOP = """\
target=$(./signal show)
timeout -k 1 "$(left)" chpst{chpst} ./stop "$target"
code=$?
case $code in
0) ;;
124 | 137) echo "[homeport] the stop command took longer than {seconds:g} s" ;;
*) echo "[homeport] the stop command ended with exit code $code" ;;
esac
while ! kill -0 "$target" 2>/dev/null && [ "$(now)" -lt "$until" ]; do
    read -r still <supervise/pid
    [ "$still" = "$pid" ] || exit 0
    sleep 0.1
done
"""

_STOP = """\
#!/bin/bash
{exact}export PORT={port} PID="$1"
cd {directory} && exec /bin/bash -c {command}
"""

_NAMES_PORT = re.compile(r"\$(PORT\b|\{PORT\b)")


class Place(Struct, frozen=True, kw_only=True):
    """Where a generation's services lie and run, as seen inside. `chpst`, `exact`: as the shell lines that give a
    process its environment. `hosts`: addresses on which a process may listen."""

    directory: str
    service_directory: str
    chpst: str
    exact: str
    hosts: Sequence[str]


class Turns(Struct, frozen=True, kw_only=True):
    """What there is to know of the order in an instance. `serving`: the process type that gets requests."""

    types: Mapping[str, ProcessType] = {}
    settle: timedelta = timedelta()
    stop_grace: timedelta = timedelta()
    serving: str | None = None


def turns_of(group: Group, types: Mapping[str, ProcessType]) -> Turns:
    return Turns(types=types, settle=group.health.settle, stop_grace=group.stop_grace, serving=group.serving)


def turn_files(
    name: str, processes: Mapping[str, str], ports: Mapping[str, int], turns: Turns, place: Place, *, stopping: str
) -> dict[str, tuple[str, int]]:
    """Relative path → (content, mode) of what begins and ends the process `name` in its turn."""
    said = turns.types.get(name, ProcessType())
    later = [each for each in processes if name in turns.types.get(each, ProcessType()).after]
    earlier = [each for each in said.after if each in processes]
    send = _SIGNAL.format(signal=said.stop_signal, caught=_caught(said.stop_signal), told=TOLD)
    files = {f"{name}/control/t": send}
    if later or said.stop is not None:
        patience = PATIENCE * turns.stop_grace
        run_stop = "" if said.stop is None else _RUN_STOP.format(chpst=place.chpst, seconds=patience.total_seconds())
        end = _END.format(patience=_thousandths(patience), later=" ".join(later), stop=run_stop)
        files |= {f"{name}/control/t": _CONTROL, f"{name}/signal": send, f"{name}/end": end}
    if said.stop is not None:
        files[f"{name}/stop"] = _STOP.format(
            exact=place.exact,
            port=ports[name],
            directory=shlex.quote(place.directory),
            command=shlex.quote(said.stop),
        )
    if earlier:
        turn = _TURN.format(
            directory=shlex.quote(place.service_directory),
            hosts=" ".join(map(shlex.quote, place.hosts)),
            stopping=stopping,
        )
        for each in earlier:
            must = each == turns.serving or _NAMES_PORT.search(processes[each])
            turn += f"up {each} {ports[each]} '{'' if must else 1000 * _thousandths(turns.settle)}'\n"
        files[f"{name}/{TURN}"] = turn
    return {path: (text, 0o755) for path, text in files.items()}


def _thousandths(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _caught(name: str) -> str:
    """A pattern of SigCgt's hexadecimal digits: the signal's bit is set."""
    digits, bit = divmod(signal.Signals[f"SIG{name}"] - 1, 4)
    able = "".join(f"{each:x}" for each in range(16) if each & 1 << bit)
    return f"*[{able}]{'?' * digits}"
