"""`homeport ps`: the instances of an environment, and what people run beside."""

from pathlib import Path

import click

from homeport.cli import options, output, place, remote
from homeport.cli.maintenance import closed_in_words
from homeport.cli.watch import present
from homeport.console.views import InstanceList, InstanceView


@click.command(
    epilog=options.example(
        "homeport ps", "homeport ps --watch", "homeport ps -e staging --json", see="status, logs, events"
    )
)
@click.option("--all", "ended", is_flag=True, help="Also what has ended, while it is remembered.")
@options.watch
@options.common
def ps(environment: str | None, directory: Path, as_json: bool, ended: bool, watching: bool) -> None:
    """List instances and how they are.

    Below them: the processes of those that have several, and what people `run` and `exec`. With --watch and --json, one
    document a line.
    """
    api = place.client()
    where = place.environment_id(directory, environment, api)
    present(lambda: api.instances(where, ended=ended), _show, as_json=as_json, watching=watching)


def _show(found: InstanceList) -> None:
    if found.closing:
        output.line(f"{found.environment}: {remote.going_down()}")
    for each in found.maintenance:
        output.line(closed_in_words(each))
    if found.instances:
        _show_instances(found)
    else:
        print(f"{found.environment} has no instances")
    if any(map(_has_more_to_say, found.instances)):
        print()
        _show_processes(found)
    if found.sessions:
        print()
        _show_sessions(found)


def _show_instances(found: InstanceList) -> None:
    several = len({each.app for each in found.instances}) > 1
    named = ("NAME", "PUBLIC") if any(each.name for each in found.instances) else ()
    output.table(
        ("ID", "GROUP", "ZONE", "STATE", "RELEASE", "HEALTH", "TARGET", "ADDRESS", *named, "PID", "UP", "WHY"),
        [
            (
                each.id,
                f"{each.app}/{each.group}" if several else each.group,
                each.zone,
                each.state,
                each.release,
                each.check,
                each.target,
                f"{each.address}:{each.port}" if each.port is not None else each.address,
                *((each.name, each.public_address) if named else ()),
                each.pid,
                output.ago(each.started_at).removesuffix(" ago") if each.started_at else None,
                _why(each),
            )
            for each in found.instances
        ],
        spare=("PID", *named[1:], "ZONE", "TARGET", "ADDRESS", *named[:1]),
    )


def _why(instance: InstanceView) -> str:
    """The decider's reason; and what was killed, which may be a process that its own parent has replaced."""
    killed = f"out of memory: {instance.oom_kills} of its processes killed" if instance.oom_kills else ""
    return "; ".join(each for each in (instance.reason, "" if "out of memory" in instance.reason else killed) if each)


def _has_more_to_say(instance: InstanceView) -> bool:
    return len(instance.processes) > 1 or any(each.exits for each in instance.processes)


def _show_processes(found: InstanceList) -> None:
    """Of the instances that have several, or where one has ended."""
    output.table(
        ("IN", "PROCESS", "STATE", "FOR", "PORT", "ENDED"),
        [
            (
                each.id,
                process.name,
                process.state,
                output.ago(process.since_at).removesuffix(" ago") if process.since_at else None,
                process.port,
                f"{process.exits} ×, last: {process.last_exit}" if process.exits else None,
            )
            for each in found.instances
            if _has_more_to_say(each)
            for process in each.processes
        ],
        spare=("PORT", "FOR"),
    )


def _show_sessions(found: InstanceList) -> None:
    output.table(
        ("ID", "IN", "RELEASE", "BY", "BEGAN", "EXIT", "COMMAND"),
        [
            (
                each.id,
                "-" if each.kind == "run" else each.instance,
                each.release,
                each.by,
                output.ago(each.began_at),
                "?" if each.ended_at is not None and each.exit_code is None else each.exit_code,
                each.command,
            )
            for each in found.sessions
        ],
        spare=("BY", "BEGAN"),
    )
