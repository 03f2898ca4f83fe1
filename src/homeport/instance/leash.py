"""What ends a sandbox whose caller is killed, at whatever moment. Called by `sandbox`.

Bubblewrap's --die-with-parent alone leaves gaps: as long as monitor and sandbox aren't bound, a monitor that ends
leaves a pid 1 that waits for it for ever, or goes on unattended. So bubblewrap's parent is a shell that nobody kills,
and it is told of the caller's end by a pipe, the leash: first it stops the monitor, so that nothing more is begun, then
it kills what that has begun, and the monitor last.
"""

import contextlib
import os
import select

# $$ is the outer shell, which waits for bubblewrap, and says nothing of its own about how that ended. The inner one
# waits at the leash, and keeps nothing else open of what the caller waits for.
_SHELL = r"""
(
    for each in /proc/$BASHPID/fd/*; do
        each=${each##*/}
        ((each > 2)) && eval "exec $each>&-"
    done
    read -r
    while read -r _ _ _ parent _ </proc/$BASHPID/stat && ((parent == $$)) && children=$(</proc/$$/task/$$/children); do
        for each in $children; do
            ((each == BASHPID)) && continue
            kill -STOP $each || continue
            while [[ $(</proc/$each/stat) == *") "[RSD]" "* ]]; do :; done
            kill -KILL $(</proc/$each/task/$each/children) $each
        done
    done
) <&0 >/dev/null 2>&1 &
exec </dev/null 2>/dev/null
"$@" 2>&1
exit $?
"""


def leashed(command: list[str]) -> list[str]:
    """A command line that runs that one, which becomes bubblewrap with --die-with-parent, and ends as it does (128 + n:
    by signal n). The reading end of the leash is its standard input, and is nowhere else."""
    return ["/bin/bash", "-c", _SHELL, "leashed", *command]


def pull(leash: int) -> None:
    """Whatever runs at this leash has been sent KILL, down to the sandbox's pid 1. `leash`: its writing end."""
    with contextlib.suppress(BrokenPipeError):
        os.write(leash, b"\n")
    poll = select.poll()
    poll.register(leash, 0)  # told in any case: nobody has the other end open any more
    poll.poll()
