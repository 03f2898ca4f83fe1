"""The server that `homeport-agent` is called on, as its commands work with it: what it is to run, what it runs, and who
hears of it. Called by `agent.main`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click
import msgspec

from homeport.errors import HomeportError, Unavailable

if TYPE_CHECKING:
    from homeport.agent.deployment import Deployment
    from homeport.agent.fleet import Fleet
    from homeport.agent.record import Bound
    from homeport.agent.status import StatusView
    from homeport.plan.release_url import ReleaseUrl


class Here:
    """What a command works with. `say` gets progress, `show` what was asked for."""

    def __init__(self, *, as_json: bool) -> None:
        from homeport.agent import server
        from homeport.agent.generation import Generations
        from homeport.agent.record import Records
        from homeport.instance.sandbox import BwrapSandbox
        from homeport.system.clock import SystemClock

        self.as_json = as_json
        self.tried: int | None = None
        self.clock = SystemClock()
        self.fleet = _fleet()
        self.said = server.stated(os.environ, self.fleet.member.said if self.fleet is not None else {})
        self.home = server.place(self.said, os.environ)
        self.instance = server.instance(self.said)
        self.records = Records(self.home.root)
        identity = server.identity(self.said, self.home)
        self.generations = Generations(self.home, sandbox=BwrapSandbox(), identity=identity, clock=self.clock)

    @contextmanager
    def alone(self, wait: str) -> Iterator[None]:
        from homeport.agent import server
        from homeport.plan.quantity import parse_duration

        patience = parse_duration(wait)
        server.make(self.home)
        with server.alone(self.home, patience, self.clock, self.say):
            yield

    def deployment(self) -> "Deployment":
        from homeport.agent.deployment import Deployment

        said = self.said
        return Deployment(
            self.records, self.generations, instance=self.instance, zone=said.zone, listen=said.listen, say=self.say
        )

    def bring(self, wanted: "Bound", *, patient: bool = False) -> None:
        """It serves, and that has been told."""
        from homeport.agent.health import asked_at
        from homeport.agent.status import reached_at

        self.tried = wanted.release.number

        task = wanted.release.resolved.release_task
        if task is not None and self.fleet is None:  # in a fleet, the deployment has seen to it
            self.say(f"{wanted.name} has a release task, which isn't run here: {task}")
        self._bring_identity(wanted)
        if self.fleet is not None:
            self.fleet.take_address(self.say)
        generation = self.deployment().deploy(wanted, patient=patient)
        if self.fleet is not None:
            self.fleet.take_name(self.say)
            self.fleet.tell(wanted.release.id)
        address = reached_at(generation)
        if address is None:
            self.show(f"{wanted.name} runs; it listens on nothing")
        elif asked_at(generation) == generation.address:
            self.show(f"{wanted.name} serves on {address}")
        else:
            port = address.rpartition(":")[2]
            self.show(f"{wanted.name} serves on {address}: http://{asked_at(generation)}:{port}/")

    def attempt(self, give_back: Callable[[], None]) -> None:
        """Where AWS doesn't hear it, the instance ends all the same: its end, or whoever boots next, gives it back."""
        try:
            give_back()
        except Unavailable as error:
            self.say(error.message)

    def run_task(self, url: "ReleaseUrl", id_: str, line: str) -> None:
        """It has ended, and that has been told. Raises `Conflict` where it was begun before, and why it couldn't be."""
        from homeport.agent.fetch import fetch
        from homeport.agent.task import Told, run
        from homeport.instance.task import NEVER_STARTED
        from homeport.plan.task_object import task_prefix
        from homeport.stores.objects import open_store

        told = Told(open_store(url.store), task_prefix(url.app, url.environment, id_), self.clock)
        told.begin(self.instance)
        try:
            bound = fetch(url, self.said, self.home, self.say)
            self._bring_identity(bound)
            self.say(f"running {id_} of {bound.name}: {line}")
            ended = run(self.generations, bound, told, id_, line)
        except HomeportError as error:
            told.end(NEVER_STARTED, (error.message, *error.details))
            raise
        told.end(ended.exit_code, ended.tail)
        self.say(f"{id_} ended with exit code {ended.exit_code}")

    def _bring_identity(self, wanted: "Bound") -> None:
        """What decrypts the release's secrets is here, where there are any."""
        values = (each for group in wanted.snapshot.groups.values() for each in group.values())
        if self.fleet is not None and any(each.secret for each in values):
            self.fleet.bring_identity(self.generations.identity)

    @contextmanager
    def launching(self) -> Iterator[None]:
        """The instance's Auto Scaling group, if it has one, hears how it went."""
        try:
            yield
        except HomeportError as error:
            if self.fleet is not None:
                self.leave(error)
                self.fleet.ready(well=False)
            raise
        if self.fleet is not None:
            self.fleet.ready(well=True)

    def leave(self, error: HomeportError | None = None) -> None:
        """What its processes wrote can be read when the server is gone, and why it never got ready."""
        from homeport.agent import parting

        with suppress(HomeportError):  # what went wrong is said here as well
            if error is not None:
                parting.last_words(self.said, error, self.clock.now(), self.tried)
            parting.log(self.said, self.home, self.clock.now())

    def status(self) -> "StatusView":
        from homeport.agent.status import status

        return status(self.records.load(), self.generations, self.instance)

    def say(self, text: str) -> None:
        if not self.as_json:
            click.echo(printable(text))

    def show(self, *lines: str) -> None:
        """The lines; with `--json` the status instead."""
        if self.as_json:
            emit(self.status())
        for line in lines:
            self.say(line)


def _fleet() -> "Fleet | None":
    """The Auto Scaling group of this instance; None: it isn't in one."""
    from homeport.agent import metadata

    found = metadata.here(os.environ)
    if found is None:
        return None
    from homeport.agent.fleet import Fleet, member

    who = member(found)
    if who is None:
        return None
    os.environ.setdefault("AWS_REGION", who.region)  # the store is in its region, and nobody else says which that is
    return Fleet(who)


def emit(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def printable(text: str) -> str:
    """What apps wrote can't change the terminal."""
    return "".join(each if each.isprintable() or each == "\t" else ascii(each)[1:-1] for each in text)
