"""The program `homeport-agent`: called, does it, exits. Wires itself; nothing of it stays on a server.

A server has this program, runit, bubblewrap and what its apps need; a store and `/etc/homeport/instance.toml` say the
rest.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from homeport import __version__
from homeport.agent.here import Here, emit, printable
from homeport.errors import Bug, HomeportError, Invalid, Unavailable
from homeport.system.memory import tidied_seldom


def _options(*, waits: bool) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        if waits:
            command = click.option(
                "--wait",
                default="1m",
                metavar="DURATION",
                help="How long to wait for another homeport-agent that is at work here (1m).",
            )(command)
        return click.option("--json", "as_json", is_flag=True, help="One JSON document instead of words.")(command)

    return add


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="homeport-agent %(version)s")
def cli() -> None:
    """Runs one release on this server: no balancer, no daemon.

    What the server is stands in /etc/homeport/instance.toml, or in variables: HOMEPORT_STORE, HOMEPORT_APP,
    HOMEPORT_ENVIRONMENT, HOMEPORT_GROUP, HOMEPORT_LISTEN, …
    """


@cli.command()
@click.argument("url")
@_options(waits=True)
def deploy(url: str, wait: str, as_json: bool) -> None:
    """Bring a release onto this server, in place of what runs.

    URL names it in its store: s3://bucket/prefix/shop/production/r12, or a path. What runs is stopped only when the
    new release lies here, whole and verified; it comes back if the new one doesn't get healthy.

    \b
    homeport-agent deploy s3://bucket/prefix/shop/production/r12
    homeport-agent deploy /srv/store/shop/production/r12
    """
    from homeport.agent.fetch import fetch
    from homeport.plan.release_url import parse

    named = parse(url if "://" in url else os.path.abspath(url))
    server = Here(as_json=as_json)
    with server.alone(wait):
        server.bring(fetch(named, server.said, server.home, server.say))


@cli.command()
@_options(waits=True)
def boot(wait: str, as_json: bool) -> None:
    """Start what this server is to run.

    That is what its group's launch pointer names, else the last good release.

    Meant for the start of the machine, and harmless to repeat. Where nothing says which app this is, or the store is
    away, it is what served here last.

    On an EC2 instance, its tags say what it is to run, and it tells its Auto Scaling group when it is ready.

    \b
    homeport-agent boot
    """
    from homeport.agent.fetch import fetch, newest

    server = Here(as_json=as_json)
    with server.alone(wait):
        last = server.records.load().good
        if last is not None and server.said.store is None and server.said.app is None:
            server.bring(last, patient=True)
            return
        with server.launching():
            try:
                wanted = fetch(newest(server.said), server.said, server.home, server.say)
            except Unavailable as error:
                of = (server.said.app, server.said.environment)
                if last is None or of != (last.release.app, last.release.environment):
                    raise
                server.say(f"{error.message}: starting what served here last")
                wanted = last
            server.bring(wanted, patient=True)


@cli.command()
@_options(waits=True)
def stop(wait: str, as_json: bool) -> None:
    """End what runs here: TERM, and after the grace time KILL. `boot` or `deploy` starts again.

    \b
    homeport-agent stop
    """
    server = Here(as_json=as_json)
    with server.alone(wait):
        fleet = server.fleet
        if fleet is not None:
            server.attempt(fleet.give_name_back)
        ended = server.deployment().stop()
        if fleet is not None:
            # its app may speak to others to its very end
            server.attempt(lambda: fleet.let_address_go(server.say))
            server.leave()
            fleet.gone()
        server.show(f"{ended.bound.name} has ended" if ended is not None else "nothing runs")


@cli.command()
@click.argument("url")
@click.argument("id", metavar="ID")
@click.argument("line", metavar="COMMAND")
@_options(waits=True)
def task(url: str, id: str, line: str, wait: str, as_json: bool) -> None:
    """Run a release's one-off process, once and only once under this ID.

    COMMAND is a line for bash, run with the release's code and config. What it writes and its exit code lie in the
    store, below tasks/ID: whoever had it run may be far away, and this server gone. Meant for a server that is there
    for this alone: a deployment's release task on AWS.

    \b
    homeport-agent task s3://bucket/shop/production/r12 shop-release-d4 "python manage.py migrate"
    """
    from homeport.plan.release_url import parse

    server = Here(as_json=as_json)
    with server.alone(wait):
        server.run_task(parse(url if "://" in url else os.path.abspath(url)), id, line)


@cli.command("exec", context_settings={"allow_interspersed_args": False})
@click.option("--process", "name", metavar="TYPE", help="Whose environment it gets. Default: the one that serves.")
@click.option("--timeout", metavar="TIME", help="Ended after so long, such as 10m. Default: never.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(name: str | None, timeout: str | None, command: tuple[str, ...]) -> int:
    """Run a command inside what runs here, with its rights and no more.

    Its exit code is the agent's; 124 at the time limit.

    \b
    homeport-agent exec -- ps aux
    """
    from homeport.agent.inside import run

    server = Here(as_json=False)
    code, reason = run(server.generations, server.records.load().generation, name, command, timeout)
    if reason:
        click.echo(printable(reason), err=True)
    return code


@cli.command()
@_options(waits=False)
def status(as_json: bool) -> None:
    """What runs here, and how it is.

    \b
    homeport-agent status
    homeport-agent status --json
    """
    from homeport.agent.status import words

    server = Here(as_json=as_json)
    server.show(*words(server.status()))


@cli.command()
@click.option("--last", type=click.IntRange(1), default=200, metavar="N", help="The newest so many lines (200).")
@click.option("--since", metavar="TIME", help="Not older than this moment: 2026-01-31T12:00:00+00:00.")
@click.option("--process", default="", metavar="TYPE", help="Only this process type.")
@click.option("--grep", default="", metavar="RE", help="Only lines that this regular expression finds.")
@click.option("--bytes", "most", type=click.IntRange(1), metavar="N", help="No more than so many bytes, the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
def logs(last: int, since: str | None, process: str, grep: str, most: int | None, as_json: bool) -> None:
    """What the processes wrote.

    \b
    homeport-agent logs --last 50
    """
    from homeport.agent.words import lines_of

    server = Here(as_json=as_json)
    for line in lines_of(server.home, last=last, since=since, process=process, pattern=grep, most=most, json=as_json):
        click.echo(line if as_json else printable(line))


def main() -> None:
    """Entry point of the program."""
    tidied_seldom()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code, after everything was printed."""
    as_json = "--json" in arguments and arguments[:1] != ["exec"]
    try:
        code = cli.main(arguments, prog_name="homeport-agent", standalone_mode=False)
        sys.stdout.flush()
    except HomeportError as error:
        return _refused(error, as_json=as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "homeport-agent"
        return _refused(Invalid(error.format_message(), hint=f"{where} --help"), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:  # noqa: BLE001 - the last door: what comes here is a bug of ours
        hint = "please report it with what HOMEPORT_DEBUG=1 prints when you do the same again"
        return _refused(Bug(f"an error of Homeport's own: {type(error).__name__}: {error}", hint=hint), as_json=as_json)
    return code if isinstance(code, int) else 0


def _refused(error: HomeportError, *, as_json: bool) -> int:
    if as_json:
        after = error.retry_after if isinstance(error, Unavailable) else None
        said = {"kind": error.kind, "message": error.message, "hint": error.hint, "details": error.details}
        emit({"error": said | {"retry_after_seconds": None if after is None else after.total_seconds()}})
    else:
        lines = [f"error: {error.message}", *(f"  {each}" for each in error.details)]
        lines += [f"→ {error.hint}"] if error.hint else []
        click.echo("\n".join(printable(each) for line in lines for each in line.splitlines()), err=True)
    if os.environ.get("HOMEPORT_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    return error.exit_code


if __name__ == "__main__":
    main()
