"""What people ask of a running fleet: checked, kept by the engine, noted as an event. Called by `console`.

The loop reads it at its next tick; nothing is carried out here."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal

from msgspec.structs import replace

from homeport.control.control import Control
from homeport.control.deployment import AppControl
from homeport.errors import Conflict, Invalid, NotFound
from homeport.model.asked import CycleAsked, GroupAsked, StandbyAsked, Suspendable, ZoneAsked
from homeport.model.event import Event
from homeport.model.fleet import Instance, State
from homeport.model.platform import ZONES, Group
from homeport.plan.asked import outstanding
from homeport.plan.desired import size
from homeport.plan.mistake import instead

GroupName = tuple[str, str]
"""(app, group)."""


class Fleets:
    """Every method may raise `NotFound` for an environment, app or group that isn't there. `by`: whoever asks."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def suspend(self, environment: str, groups: Iterable[GroupName], what: Iterable[Suspendable], *, by: str) -> None:
        """The groups don't do this by themselves until it is resumed."""
        chosen = set(what)
        for name in self._all(environment, groups):
            said = self._said(environment, name)
            suspended = _ordered({*said.suspended, *chosen})
            said = replace(said, suspended=suspended)
            self._ask(environment, said, f"{by} suspends {_names(chosen)}", "suspended", _words(chosen))

    def resume(self, environment: str, groups: Iterable[GroupName], what: Iterable[Suspendable], *, by: str) -> None:
        """The groups do this again; harmless where they did."""
        chosen = set(what)
        for name in self._all(environment, groups):
            said = self._said(environment, name)
            suspended = _ordered(set(said.suspended) - chosen)
            said = replace(said, suspended=suspended)
            self._ask(environment, said, f"{by} resumes {_names(chosen)}", "resumed", _words(chosen))

    def enter_standby(self, environment: str, instance: str, *, decrement: bool, by: str) -> bool:
        """Whether that is new. It leaves traffic and is kept; with `decrement` the group wants one less, and nobody
        takes its place. Raises `Conflict` where it isn't in service, `Invalid` below the group's min."""
        with self.control.changed:
            found = self._instance(environment, instance)
            name = (found.app, found.group)
            said = self._said(environment, name)
            if any(each.instance == instance for each in said.standby):
                return False
            if found.state is not State.IN_SERVICE:
                raise Conflict(f"{instance} is {found.state.value}, expected InService", hint="homeport ps")
            asked = StandbyAsked(instance=instance, decrement=decrement)
            said = replace(said, standby=(*said.standby, asked))
            if decrement:
                said = self._resized(environment, said, -1)
            self._ask(environment, said, f"{by} puts {instance} on standby", "standby", ("enter",))
            return True

    def exit_standby(self, environment: str, instance: str, *, by: str) -> None:
        """It comes back into traffic once it is healthy; where the group was made one smaller for
        it, it wants one more again. Raises `Conflict` where it isn't on standby, `Invalid` above the group's max."""
        with self.control.changed:
            found = self._instance(environment, instance)
            said = self._said(environment, (found.app, found.group))
            asked = next((each for each in said.standby if each.instance == instance), None)
            if asked is None:
                raise Conflict(
                    f"{instance} isn't on standby, it is {found.state.value}", hint=f"homeport standby enter {instance}"
                )
            said = replace(said, standby=tuple(each for each in said.standby if each is not asked))
            if asked.decrement:
                said = self._resized(environment, said, 1)
            self._ask(environment, said, f"{by} brings {instance} back from standby", "standby", ("exit",))

    def cycle(self, environment: str, name: GroupName, *, max_age_seconds: float, batch: int, by: str) -> None:
        """All of the group's instances that are older are replaced, `batch` at a time. Raises `Conflict` while another
        cycle goes on, `Invalid`."""
        if batch < 1:
            raise Invalid(f"batch is {batch}, expected 1 or more")
        with self.control.changed:
            group = self._group(environment, name)
            said = self._said(environment, name)
            if said.cycle is not None:
                since = f"{said.cycle.since_at:%Y-%m-%d %H:%M:%S} UTC"
                raise Conflict(
                    f"{'/'.join(name)} is being cycled already: {said.cycle.by} asked for it, {since}",
                    hint=f"homeport cycle {'/'.join(name)} --cancel",
                )
            if group.surge < 1:
                raise Invalid(
                    f"{'/'.join(name)}: surge = {group.surge} leaves no room for a replacement beside the others",
                    hint=f"[groups.{name[1]}] surge = 1 in homeport.toml, then "
                    f"homeport deploy -e {environment.partition('/')[2]}",
                )
            now = self.control.clock.now()
            cycle = CycleAsked(since_at=now, older_than_at=now - timedelta(seconds=max_age_seconds), batch=batch, by=by)
            self._ask(environment, replace(said, cycle=cycle), f"{by} has it cycled", "cycle")

    def cancel_cycle(self, environment: str, name: GroupName, *, by: str) -> bool:
        """Whether there was one; a replacement that has begun comes to its end."""
        with self.control.changed:
            self._group(environment, name)
            said = self._said(environment, name)
            if said.cycle is None:
                return False
            self._ask(environment, replace(said, cycle=None), f"{by} cancels the cycle", "cycle")
            return True

    def reset_breakers(self, environment: str, groups: Iterable[GroupName], *, by: str) -> None:
        """Launches that have failed until now count no more."""
        for name in self._all(environment, groups):
            said = replace(self._said(environment, name), breaker_reset_at=self.control.clock.now())
            self._ask(environment, said, f"{by} resets the breaker", "breaker")

    def fail_zone(self, environment: str, zone: str, how: Literal["kill", "freeze"], *, by: str) -> bool:
        """Whether that is new. The zone fails, until it is restored. Raises `Conflict` where it is the last that
        hasn't, or failed in another way."""
        with self.control.changed:
            there = self._zones(environment)
            self._check_zone(zone)
            if (known := there.get(zone)) is not None and known.failure != how:
                raise Conflict(
                    f"zone {zone} has failed already ({known.failure})", hint=f"homeport zone restore {zone}"
                )
            others = sorted(set(ZONES) - {zone} - set(there))
            if not others:
                raise Conflict(
                    f"zone {zone} is the last that hasn't failed: nothing would be left",
                    hint=f"homeport zone restore {min(there)}",
                )
            if known is None:
                said = ZoneAsked(zone=zone, failure=how, since_at=self.control.clock.now())
                self.control.engine.ask(environment, said)
                self._note(environment, "", f"zone {zone}", f"{by} has zone {zone} fail ({how})", "zone_failed")
        self.control.wake()
        return known is None

    def restore_zone(self, environment: str, zone: str, *, by: str) -> bool:
        """Whether it had failed."""
        with self.control.changed:
            there = self._zones(environment)
            self._check_zone(zone)
            if zone in there:
                said = ZoneAsked(zone=zone, failure=None, since_at=self.control.clock.now())
                self.control.engine.ask(environment, said)
                self._note(environment, "", f"zone {zone}", f"{by} restores zone {zone}", "zone_restored")
        self.control.wake()
        return zone in there

    # --- inside -------------------------------------------------------------------------------------------------------

    def _all(self, environment: str, groups: Iterable[GroupName]) -> list[GroupName]:
        """Checked, before anything is changed."""
        names = list(groups)
        with self.control.changed:
            for name in names:
                self._group(environment, name)
        return names

    def _app(self, environment: str, app: str) -> AppControl:
        self.control.observation(environment)  # which raises where it isn't up
        return self.control.environments[environment].app(app)

    def _group(self, environment: str, name: GroupName) -> Group:
        """As the release has it that new instances get."""
        app, group = name
        observed = self.control.observation(environment)[0]
        launch = observed.launch.get(app)
        if launch is None:
            there = instead(app, sorted(observed.launch))
            raise NotFound(f"{app} has no good release in {environment}{there}", hint="homeport status")
        resolved = self._app(environment, app).resolve(launch)[launch]
        found = resolved.group(group)
        if found is None:
            raise NotFound(f"{app} has no group {group!r}{instead(group, [each.name for each in resolved.groups])}")
        return found

    def _instance(self, environment: str, id_: str) -> Instance:
        observed = self.control.observation(environment)[0]
        live = [each for each in observed.instances if each.state is not State.TERMINATED]
        found = next((each for each in live if each.id == id_), None)
        if found is None:
            ended = any(each.id == id_ for each in observed.instances)
            what = f"{id_} has ended" if ended else f"no instance {id_!r} in {environment}"
            raise NotFound(f"{what}{instead(id_, [each.id for each in live])}", hint="homeport ps")
        return found

    def _said(self, environment: str, name: GroupName) -> GroupAsked:
        """What is asked of it so far, without what has been done."""
        observed = self.control.observation(environment)[0]
        members = [each for each in observed.instances if (each.app, each.group) == name]
        return outstanding(self.control.engine.asked(environment).of(*name), members)

    def _resized(self, environment: str, said: GroupAsked, by: int) -> GroupAsked:
        control = self._app(environment, said.app)
        control.load()
        if control.active:
            raise Conflict(f"{said.app} is being deployed", hint="homeport deployment list, then again")
        group = self._group(environment, (said.app, said.group))
        count = size(group, {} if said.desired is None else {said.group: said.desired}) + by
        if not group.instances.min <= count <= group.instances.max:
            bounds = f"{group.instances.min} to {group.instances.max}"
            hint = "without --decrement another takes its place" if by < 0 else "homeport scale, one less first"
            raise Invalid(f"{said.app}/{said.group} would want {count} instances, expected {bounds}", hint=hint)
        return replace(said, desired=count)

    def _zones(self, environment: str) -> dict[str, ZoneAsked]:
        self.control.observation(environment)
        return {each.zone: each for each in self.control.engine.asked(environment).zones}

    def _check_zone(self, zone: str) -> None:
        if zone not in ZONES:
            raise NotFound(f"no zone {zone!r}{instead(zone, ZONES)}", hint="homeport zone list")

    def _ask(self, environment: str, said: GroupAsked, message: str, kind: str, asked: tuple[str, ...] = ()) -> None:
        with self.control.changed:
            self.control.engine.ask(environment, said)
            self._note(environment, said.app, said.group, message, kind, asked)
        self.control.wake()

    def _note(
        self, environment: str, app: str, subject: str, message: str, kind: str, asked: tuple[str, ...] = ()
    ) -> None:
        at = self.control.clock.now()
        event = Event(at=at, environment=environment, app=app, kind=kind, subject=subject, message=message, asked=asked)
        self.control.engine.record(event)


def _ordered(what: set[Suspendable]) -> tuple[Suspendable, ...]:
    return tuple(each for each in Suspendable if each in what)


def _words(what: set[Suspendable]) -> tuple[str, ...]:
    return tuple(each.value for each in _ordered(what))


def _names(what: set[Suspendable]) -> str:
    return ", ".join(_words(what))
