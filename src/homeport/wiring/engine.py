"""What commands ask of an engine without its daemon: to build, to read logs, to run a command beside the fleet, to look
at this machine. Called by `cli`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from homeport.errors import NotFound
from homeport.wiring import storage

if TYPE_CHECKING:
    from homeport.model.check import Check
    from homeport.model.platform import Place
    from homeport.model.why import Why
    from homeport.ports.engine import LogLine, LogQuery
    from homeport.ports.objects import ObjectStore
    from homeport.ports.session import Sessions
    from homeport.releases.build import Builder
    from homeport.system.home import Home


def builder(home: Home, store: ObjectStore) -> Builder:
    """Builds as a uid of its own where the caller is root."""
    from homeport.instance.address import Addresses
    from homeport.instance.sandbox import BwrapSandbox
    from homeport.releases.build import Builder
    from homeport.system.clock import SystemClock

    uid = Addresses(home, SystemClock()).uid("build") if os.getuid() == 0 else None
    return Builder(BwrapSandbox(), store, home, uid=uid)


def check_certificate(place: Place, before: Place | None) -> None:
    """Nothing, where `place` says what the place `before` it said, or what a balancer on this machine can use. Raises
    `Invalid`. The engine looks again."""
    if place.tls is not None and (before is None or before.tls != place.tls):
        from homeport.engines.local.certificate import check_new
        from homeport.system.clock import SystemClock

        check_new(place.tls, SystemClock().now())


def logs(home: Home, environment: str, query: LogQuery, *, follow: bool) -> Iterator[LogLine]:
    """What instances wrote; on this machine straight from disk."""
    if home.place is not None:
        from homeport.wiring import aws

        return aws.control_inside(home.place).control.engine.logs(environment, query, follow=follow)
    from homeport.engines.local.log import read_logs

    return read_logs(home, environment, query, follow=follow)


def own_logs(home: Home, query: LogQuery, *, follow: bool) -> Iterator[LogLine]:
    """What daemon and HAProxy wrote, straight from disk; they lie there as the logs of an instance do."""
    from msgspec.structs import replace

    from homeport.instance import log

    return log.read(home.engine_logs.parent, replace(query, instance=home.engine_logs.name), follow=follow)


def past_why(home: Home, environment: str, word: str, app: str | None) -> Why:
    """The chain of causes, where no engine runs: from what it left on disk. Raises `NotFound`, `Invalid`,
    `Unavailable`."""
    from homeport.control.why import Sources, tell
    from homeport.model.fleet import Observation
    from homeport.stores.state import State
    from homeport.system.clock import SystemClock

    state = State(home.state)
    try:
        sources = Sources(
            environment=environment,
            observed=Observation(at=SystemClock().now()),
            events=lambda after, limit: state.events(environment, after, limit),
            logs=lambda query: logs(home, environment, query, follow=False),
            store=storage.store(home),
        )
        return tell(sources, word, app)
    finally:
        state.close()


def sessions(home: Home) -> Sessions:
    """Commands that people run beside the fleet; straight on the engine. Raises `NotFound` where there never was
    one."""
    if home.place is not None:
        from homeport.wiring import aws

        return aws.sessions(home.place)
    from homeport.engines.local.session import LocalSessions
    from homeport.system.clock import SystemClock

    if not home.state.exists():
        raise NotFound("no environment is up", hint="homeport up")
    objects = storage.store(home, must_exist=False)
    return LocalSessions(home, store=objects, encryption=storage.encryption(home), clock=SystemClock())


def doctor(home: Home) -> list[Check]:
    """What the local engine needs of this machine, looked at, and the store; where the home is of an environment on
    AWS, what building needs of this machine, and what the environment stands on there."""
    from homeport.engines.local.doctor import examine

    if home.place is not None:
        from homeport.wiring import aws

        return [*examine(home, runs=False), *aws.doctor(home.place)]
    from homeport.errors import HomeportError
    from homeport.model.check import Check
    from homeport.stores.choice import VARIABLE, chosen
    from homeport.stores.objects import check_conditions, open_store

    mend, well = "", True
    try:
        choice = chosen(home, os.environ.get(VARIABLE), os.environ)
        found = choice.store
        check_conditions(open_store(choice.store, variables=choice.variables))
    except HomeportError as error:
        well, found, mend = False, "; ".join((error.message, *error.details)), error.hint or ""
    expected = "that it answers, and keeps what exists"
    return [*examine(home), Check(name="store", ok=well, found=found, expected=expected, mend=mend)]
