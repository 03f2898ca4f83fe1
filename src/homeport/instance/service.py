"""The runit services of a generation, as text: one per process type, each with its log. Pure. Called by `assemble`.

A service directory is read-only inside the sandbox but for each `supervise`. `boot` is the sandbox's first process: it
keeps a runsv per service and ends when all of them were told to exit, which ends the sandbox. (runsvdir would start
those again, and as pid 1 die of a HUP.) The file `stopping` tells it not to start one again.
"""

import shlex
from collections.abc import Mapping, Sequence

from msgspec import Struct

from homeport.instance.environment import PRIVATE
from homeport.instance.turn import TOLD, TURN, Place, Turns, turn_files

BOOT = "boot"
STOPPING = "stopping"
OOM_COUNTER = f"{PRIVATE}/oom"
"""Inside: the kernel's count of processes killed for want of memory, where memory is limited by cgroup."""

_BOOT = """\
#!/bin/sh
cd {directory} || exit 1
for service in */; do
    ([ ! -e "$service/{turn}" ] || "$service/{turn}"; until [ -e {stopping} ] || runsv "$service"; do sleep 1; done) &
done
wait
"""

# The group is written down so that `finish` can end stragglers, and `run` those that outlived a killed runsv.
_RUN = """\
#!/bin/sh
exec 2>&1
[ -e supervise/group ] && kill -KILL "-$(cat supervise/group)" 2>/dev/null
echo $$ >supervise/group
exec chpst -P{directories} ./start
"""

_START = """\
#!/bin/bash
{exact}export PORT={port}
cd {directory} && exec /bin/bash -c {command}
"""

_ONCE = """\
#!/bin/sh
cd {directory} && exec chpst{chpst} ./start
"""

# A shell that waits for the process which was killed ends with 137. A shell that was told together with its group dies
# at once, while its children still finish what they do; one of them that never ends is killed with the instance.
_FINISH = """\
#!/bin/sh
kills=0 before=0 why=''
[ -r {counter} ] && while read -r what count; do [ "$what" = oom_kill ] && kills=$count; done <{counter}
[ -r supervise/oom ] && read -r before <supervise/oom
case "$1 $2" in "-1 9" | "137 "*) [ "$kills" -gt "$before" ] && why=oom ;; esac
echo "$kills" >supervise/oom
if [ -e supervise/group ]; then
    group=$(cat supervise/group)
    [ -e {told} ] && while kill -0 "-$group" 2>/dev/null; do sleep 0.05; done
    kill -KILL "-$group" 2>/dev/null
    rm -f supervise/group {told}
fi
last=$(tail -n 1 supervise/exits 2>/dev/null)
number=${{last%% *}}
{{
    tail -n 19 supervise/exits 2>/dev/null
    echo "$((${{number:-0}} + 1)) $(date +%s.%N) $1 $2${{why:+ $why}}"
}} >supervise/exits.new
mv supervise/exits.new supervise/exits
if [ "$1" = -1 ]; then said="by signal $2"; else said="with exit code $1"; fi
echo "[homeport] ended $said${{why:+, out of memory}}"
"""

_LOG = """\
#!/bin/sh
exec svlogd -ttt {directory}
"""


class LogLimits(Struct, frozen=True, kw_only=True):
    """Of one process: svlogd keeps `files` of `file_bytes` each."""

    file_bytes: int = 1_000_000
    files: int = 10


def log_config(limits: LogLimits) -> str:
    """svlogd's `config` file."""
    return f"s{limits.file_bytes}\nn{limits.files}\n"


def service_tree(
    processes: Mapping[str, str],
    *,
    ports: Mapping[str, int],
    env_directories: Sequence[str],
    exact: str | None,
    directory: str,
    service_directory: str,
    log_directory: str,
    turns: Turns = Turns(),
    hosts: Sequence[str] = (),
) -> dict[str, tuple[str, int]]:
    """Relative path → (content, mode). `processes`: process type → command line, in bash, run in `directory` with
    `PORT` from `ports`; `<name>/once` runs it in the same way, unsupervised, for tasks. `exact`: a file of assignments
    read after the directories. All paths as seen inside. `hosts`: addresses on which a process may listen."""
    boot = _BOOT.format(directory=shlex.quote(service_directory), stopping=STOPPING, turn=TURN)
    tree = {BOOT: (boot, 0o755)}
    # one chpst per directory: of several -e it would heed the last alone
    chpst = " chpst".join(f" -e {shlex.quote(each)}" for each in env_directories)
    place = Place(
        directory=directory,
        service_directory=service_directory,
        chpst=chpst,
        exact=f". {shlex.quote(exact)}\n" if exact else "",
        hosts=hosts,
    )
    for name, command in processes.items():
        start = _START.format(
            exact=place.exact,
            port=ports[name],
            directory=shlex.quote(directory),
            command=shlex.quote(command),
        )
        tree |= {
            f"{name}/once": (_ONCE.format(directory=shlex.quote(f"{service_directory}/{name}"), chpst=chpst), 0o755),
            f"{name}/run": (_RUN.format(directories=chpst), 0o755),
            f"{name}/start": (start, 0o755),
            f"{name}/finish": (_FINISH.format(counter=OOM_COUNTER, told=TOLD), 0o755),
            f"{name}/log/run": (_LOG.format(directory=shlex.quote(f"{log_directory}/{name}")), 0o755),
        }
        tree |= turn_files(name, processes, ports, turns, place, stopping=STOPPING)
    return tree
