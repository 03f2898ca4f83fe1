"""Which of an environment's decisions become events: what is done, and what changes without anything being done; not
each tick anew. Called by `control.environment`."""

from datetime import datetime, timedelta

from homeport.model.action import Decision, Launch, Start, Terminate
from homeport.model.event import Decided, Event
from homeport.model.fleet import GroupDesired, Instance, Observation, Probe
from homeport.plan.note import ends, kind_of, sight

SAID_AGAIN = timedelta(minutes=5)
"""What comes and goes by itself, or fails again and again, isn't noted more often."""
Subject = tuple[str, str]
"""(app, instance or group)."""


class Notes:
    """Forgotten with the process: then what still holds is noted once more."""

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self._rules: dict[Subject, str] = {}
        """By which rule it was last decided."""
        self._said: dict[Subject, dict[str, datetime]] = {}
        """Kind → when it was noted, of what may come again soon."""
        self._standing: set[tuple[str, str, str]] = set()
        self._stood: set[tuple[str, str, str]] = set()
        """(app, group, rule) of what isn't done for a group: of this tick, and of the one before."""
        self._instances: dict[str, Instance] = {}
        self._probes: dict[str, Probe] = {}
        """Of who doesn't answer any more, too."""

    def see(self, observed: Observation) -> list[Event]:
        """A tick begins: what is known before its decisions; what has happened inside instances."""
        self._stood, self._standing = self._standing, set()
        found = [
            Event(at=observed.at, environment=self.environment, app=now.app, kind=kind, subject=now.id, message=message)
            for now in observed.instances
            if (before := self._instances.get(now.id)) is not None
            for kind, message in ends(before, now)
            if self._is_due((now.app, now.id), kind, observed.at)
        ]
        self._instances = {each.id: each for each in observed.instances}
        for each in observed.instances:
            if each.probe is not None:
                self._probes[each.id] = each.probe
        return found

    def event(
        self, decision: Decision, group: GroupDesired, observed: Observation, at: datetime, *, failed: str = ""
    ) -> Event | None:
        """None: it is no news. `failed`: why its action couldn't be carried out."""
        subject = (group.app, decision.subject)
        before = self._before(decision, group)
        if decision.action is None and before == decision.rule:
            return None
        kind = kind_of(decision, group.name, before)
        if failed:
            kind = f"{kind}_failed"
        if not kind or ((decision.action is None or failed) and not self._is_due(subject, kind, at)):
            return None
        instance = self._instances.get(decision.subject)
        event = Event(
            at=at,
            environment=self.environment,
            app=group.app,
            kind=kind,
            subject=decision.subject,
            message=f"{decision.reason}; {failed}" if failed else decision.reason,
            decided=self._decided(decision, group, observed, instance),
        )
        if isinstance(decision.action, Terminate) and not failed:
            self._forget(subject)
        return event

    def _before(self, decision: Decision, group: GroupDesired) -> str:
        """The rule that fired for the subject at the tick before; of several for a group, this one if it did."""
        if decision.subject == group.name:
            standing = (group.app, group.name, decision.rule)
            self._standing.add(standing)
            return decision.rule if standing in self._stood else ""
        subject = (group.app, decision.subject)
        before = self._rules.get(subject, "")
        self._rules[subject] = decision.rule
        return before

    def _decided(
        self, decision: Decision, group: GroupDesired, observed: Observation, instance: Instance | None
    ) -> Decided:
        release = None if instance is None else instance.release
        if isinstance(decision.action, Launch | Start):
            release = decision.action.release
        return Decided(
            rule=decision.rule,
            observed_at=observed.at,
            group=group.name,
            release=release,
            cause=decision.cause,
            replaces=decision.replaces,
            seen=None if instance is None else sight(instance, self._probes.get(instance.id)),
        )

    def _is_due(self, subject: Subject, kind: str, at: datetime) -> bool:
        said = self._said.setdefault(subject, {})
        if kind in said and at - said[kind] < SAID_AGAIN:
            return False
        said[kind] = at
        return True

    def _forget(self, subject: Subject) -> None:
        self._rules.pop(subject, None)
        self._said.pop(subject, None)
        self._probes.pop(subject[1], None)
