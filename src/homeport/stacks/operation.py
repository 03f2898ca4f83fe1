"""One stack is brought to its plan: change set, review, execution, events until the end. Called by `stacks.apply`.

Everything may be repeated: the change set's name follows from what is wanted, the operation's token from it, so that a
program that was killed finds its own when it comes again.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from homeport.errors import Conflict, Failed, HomeportError, NotFound, Unavailable
from homeport.model.secret import Secret
from homeport.model.stack import (
    ChangeRequest,
    ChangeSet,
    ChangeSetStatus,
    Deployed,
    Import,
    ResourceChange,
    StackEvent,
    Status,
    Unknown,
)
from homeport.model.stack_plan import Action, StackPlan
from homeport.plan.stack.failure import STACK, first_failure, in_words
from homeport.plan.stack.package import nested_anyhow
from homeport.plan.stack.review import Review, check, check_protected, nested_change
from homeport.plan.stack.state import Wanted
from homeport.ports.clock import Clock
from homeport.ports.cloudformation import CloudFormation
from homeport.system.effect import effect

FIRST_LOOK_SECONDS, LAST_LOOK_SECONDS, SLOWER = 0.1, 3.0, 1.6
"""Pauses between looks: short after something happened, then longer and longer."""
PATIENCE = timedelta(minutes=5)
"""So long CloudFormation may be out of reach while an operation runs there; it goes on without us."""
NOT_SEEN = timedelta(seconds=60)
"""So long what was just made may not be seen."""
OURS = "homeport-"
"""Change sets and operations that are ours begin so."""
GOOD = (Status.CREATE_COMPLETE, Status.UPDATE_COMPLETE, Status.IMPORT_COMPLETE)
T = TypeVar("T")


class Watcher(Struct, frozen=True, kw_only=True):
    """How an operation looks on. `say`: an event as it happens; `pause`: between two looks."""

    clock: Clock
    pause: Callable[[float], None]
    say: Callable[[StackEvent], None]


class Events:
    """Of a stack and of those nested in it, as they come. `id`: the stack's."""

    def __init__(self, formation: CloudFormation, id: str) -> None:
        self.formation = formation
        self.id = id
        self.known: set[str] = set()
        self._since: datetime | None = None

    def new(self) -> list[StackEvent]:
        """Those that weren't given before, the oldest first."""
        found = [each for each in self._all() if each.id not in self.known]
        self.known |= {each.id for each in found}
        return found

    def skip(self) -> None:
        """What there is up to now isn't given, nor asked for again."""
        before = self.new()
        self._since = before[-1].at if before else None

    def _all(self) -> list[StackEvent]:
        found: list[StackEvent] = []
        asked: set[str] = set()
        queue = [self.id]
        while queue:
            each = queue.pop()
            asked.add(each)
            try:
                events = self.formation.events(each, self._since)
            except NotFound:
                continue
            found += events
            inner = (event.physical_id for event in events if event.type == STACK and event.physical_id)
            queue += [stack for stack in dict.fromkeys(inner) if stack not in asked and stack not in queue]
        return sorted(found, key=lambda event: event.at)


class Operation:
    """On one stack. Raises `Failed` with the first real failure, `Conflict` where the world isn't as planned."""

    def __init__(self, plan: StackPlan, formation: CloudFormation, watcher: Watcher) -> None:
        self.plan = plan
        self.formation = formation
        self.watcher = watcher
        self.events: list[StackEvent] = []
        self._pause_seconds = FIRST_LOOK_SECONDS
        self._reader = Events(formation, plan.name)

    def apply(self, wanted: Wanted, review: Review) -> bool:
        """Whether anything was changed; the stack is as wanted then."""
        if self.plan.action is Action.RECREATE:
            self.delete()
        create = self.plan.action in (Action.CREATE, Action.RECREATE)
        for key, text in sorted(wanted.objects.items()):
            self._upload(wanted.stack.bucket, key, text)
        request = self._request(wanted, create, review.imports)
        change_set = self._change_set(request)
        changed = change_set.status is ChangeSetStatus.READY
        if changed:
            self._review(change_set, review)
            self._execute(change_set)
        else:
            self._discard(change_set)
        return self._settings(wanted) or changed

    # --- the change set

    def _request(self, wanted: Wanted, create: bool, imports: tuple[Import, ...]) -> ChangeRequest:
        stack = wanted.stack
        token = hashlib.sha256(f"{self.plan.wanted} {self.plan.base} {self.plan.action}".encode()).hexdigest()[:20]
        return ChangeRequest(
            stack=stack.name,
            name=f"{OURS}{token}",
            create=create,
            template=wanted.text,
            template_url=wanted.url,
            imports=imports,
            parameters={name: _known(name, value) for name, value in wanted.parameters.items()},
            tags={name: _clear(name, value) for name, value in wanted.tags.items()},
            capabilities=wanted.capabilities,
            service_role=stack.service_role,
            notifications=stack.notifications,
            # of a stack that is yet to be made nothing can be lost, and its nested ones would be left under review
            nested=not create and not imports and bool(nested_anyhow(wanted.template)),
        )

    def _change_set(self, request: ChangeRequest) -> ChangeSet:
        """Made and examined by CloudFormation. Older ones of ours go: what they would do may be out of date."""
        older = self._ours(request.stack)
        for each in older:
            self._discard(each)
        if older:  # with those of nested stacks they take their time to go, and names come again
            what = f"the end of older change sets of {request.stack}"
            self._until(lambda: not self._ours(request.stack) or None, what)
        found = self._examined(request)
        if found.status is ChangeSetStatus.FAILED and request.nested:
            # it can't always look into nested stacks: their parameters may only be known once it works on them
            self._discard(found)
            found = self._examined(replace(request, name=f"{request.name}-alone", nested=False))
        if found.status is ChangeSetStatus.FAILED:
            self._discard(found)
            raise Failed(f"{self.plan.id}: CloudFormation refuses the change: {found.reason}")
        return found

    def _ours(self, stack: str) -> list[ChangeSet]:
        return [each for each in self.formation.change_sets(stack) if each.name.startswith(OURS)]

    def _examined(self, request: ChangeRequest) -> ChangeSet:
        id = self._ask(request)
        return self._until(lambda: self._ready(id), f"the change set {request.name} of {request.stack}")

    def _inside(self, change_set: ChangeSet, path: str = "") -> Iterator[ResourceChange]:
        """What it says of nested stacks."""
        for name, id in change_set.nested.items():
            inner = self._until(partial(self._ready, id), f"the change set of {path}{name} in {self.plan.name}")
            for each in inner.changes:
                yield nested_change(self.plan, each, f"{path}{name}/")
            yield from self._inside(inner, f"{path}{name}/")

    def _ready(self, id: str) -> ChangeSet | None:
        found = self.formation.change_set(id)
        return None if found.status is ChangeSetStatus.PENDING else found

    @effect("stack.upload")
    def _upload(self, bucket: str, key: str, text: str) -> None:
        self.formation.put(bucket, key, text.encode())

    @effect("stack.ask")
    def _ask(self, request: ChangeRequest) -> str:
        return self.formation.create_change_set(request)

    @effect("stack.discard")
    def _discard(self, change_set: ChangeSet) -> None:
        self.formation.delete_change_set(change_set.id)

    def _review(self, change_set: ChangeSet, review: Review) -> None:
        """Nothing, where it may be executed. Raises `Conflict`; the change set is gone."""
        try:
            check(self.plan, (*change_set.changes, *self._inside(change_set)), review)
        except Conflict:
            self._discard(change_set)
            raise

    # --- operations

    def _execute(self, change_set: ChangeSet) -> None:
        # of the change set: one that is made anew for the same wish is another operation to CloudFormation
        token = f"{OURS}{hashlib.sha256(change_set.id.encode()).hexdigest()[:20]}"
        self._known_events(change_set.stack)
        self._start(change_set, token)
        ended = self._follow(change_set.stack)
        if ended.status not in GOOD:
            self._failed(ended)

    @effect("stack.execute")
    def _start(self, change_set: ChangeSet, token: str) -> None:
        self.formation.execute_change_set(change_set.id, token)

    def remove(self, review: Review) -> bool:
        """As `delete`. Raises `Conflict` where that would lose what somebody keeps, and nobody allowed it by name."""
        check_protected(self.plan, [each for each in self.plan.protected if each not in review.retain], review)
        return self.delete(review.retain)

    def delete(self, retain: tuple[str, ...] = ()) -> bool:
        """Whether it was there; it is gone then."""
        there = self.formation.describe(self.plan.name)
        if there is None:
            return False
        self._known_events(there.id)
        token = hashlib.sha256(f"delete {there.id} {there.changed_at}".encode()).hexdigest()[:20]
        self._remove(there, f"{OURS}{token}", retain)
        ended = self._follow(there.id)
        if ended.status is not Status.DELETE_COMPLETE:
            self._failed(ended)
        return True

    @effect("stack.delete")
    def _remove(self, there: Deployed, token: str, retain: tuple[str, ...]) -> None:
        self.formation.delete(there.name, token, retain=retain)

    def unlock(self, skip: tuple[str, ...] = ()) -> tuple[str, ...]:
        """What was done, so that the stack can be applied: a stuck rollback goes on, change sets that were left are
        gone, and a stack that never got beyond its review. Raises `Failed`, `Conflict`."""
        there = self.formation.describe(self.plan.name)
        if there is None:
            return ()
        done = []
        for each in self.formation.change_sets(self.plan.name):
            self._discard(each)
            done.append(f"change set {each.name} deleted")
        if there.status is Status.UPDATE_ROLLBACK_FAILED:
            self._known_events(there.id)
            seen = len(self._reader.known)
            token = hashlib.sha256(f"continue {there.id} {there.changed_at} {seen}".encode()).hexdigest()[:20]
            self._continue(f"{OURS}{token}", skip)
            ended = self._follow(there.id)
            if ended.status is not Status.UPDATE_ROLLBACK_COMPLETE:
                self._failed(ended)
            done.append("the rollback is complete")
        elif there.status is Status.REVIEW_IN_PROGRESS:
            self.delete()
            done.append("deleted: there was nothing in it")
        return tuple(done)

    @effect("stack.continue_rollback")
    def _continue(self, token: str, skip: tuple[str, ...]) -> None:
        self.formation.continue_rollback(self.plan.name, token, skip=skip)

    def _follow(self, id: str) -> Deployed:
        """The stack once nothing goes on any more; its new events were told."""

        def look() -> Deployed | None:
            found = self.formation.describe(id)
            for event in self._reader.new():
                self._pause_seconds = FIRST_LOOK_SECONDS
                self.events.append(event)
                self.watcher.say(event)
            busy = found is None or found.status.busy or found.status is Status.REVIEW_IN_PROGRESS
            return None if busy or not self._ended(found) else found

        return self._until(look, f"{self.plan.name} in {self.plan.target.region}", forever=True)

    def _ended(self, found: Deployed | None) -> bool:
        """Whether the last of the stack's own events agrees: a description may be older than they are."""
        own = [each.status for each in self.events if each.logical_id == self.plan.name]
        return found is not None and bool(own) and own[-1] == found.status

    def _known_events(self, id: str) -> None:
        """Later ones are all that is asked for from here on."""
        self._reader = Events(self.formation, id)
        self._reader.skip()

    def _failed(self, ended: Deployed) -> None:
        first = first_failure(self.events)
        raise Failed(
            f"{self.plan.id}: {ended.status}" + (f": {in_words(first)}" if first else f": {ended.reason}"),
            hint=f"homeport stack plan {self.plan.id}",
        )

    # --- what isn't part of a template

    def _settings(self, wanted: Wanted) -> bool:
        """Whether stack policy or termination protection had to be changed."""
        names = {each.name for each in self.plan.settings}
        fresh = self.plan.action in (Action.CREATE, Action.RECREATE)
        stack = wanted.stack
        policy = wanted.policy is not None and (fresh or "policy" in names)
        protection = stack.termination_protection if fresh else "termination_protection" in names
        if policy:
            self._set_policy(stack.name, wanted.policy or "")
        if protection:
            self._protect(stack.name, stack.termination_protection)
        return policy or protection

    @effect("stack.set_policy")
    def _set_policy(self, name: str, policy: str) -> None:
        self.formation.set_policy(name, policy)

    @effect("stack.protect")
    def _protect(self, name: str, on: bool) -> None:
        self.formation.set_termination_protection(name, on)

    def _until(self, look: Callable[[], T | None], what: str, *, forever: bool = False) -> T:
        """What `look` gives once it isn't None. A service out of reach is waited for; so is what isn't seen yet.
        Raises `Unavailable` where that takes too long."""
        self._pause_seconds = FIRST_LOOK_SECONDS
        clock = self.watcher.clock
        reached = begun = clock.monotonic()
        while True:
            problem: HomeportError | None = None
            try:
                found = look()
                reached = clock.monotonic()
                if found is not None:
                    return found
            except (Unavailable, NotFound) as error:
                problem = error
            now = clock.monotonic()
            lost = problem is not None and now - reached > PATIENCE.total_seconds()
            unseen = isinstance(problem, NotFound) and now - begun > NOT_SEEN.total_seconds()
            if lost or unseen:
                raise Unavailable(
                    f"can't follow {what}: {problem}; what was begun goes on there",
                    hint=f"homeport stack plan {self.plan.id}",
                ) from problem
            if not forever and now - begun > PATIENCE.total_seconds():
                raise Unavailable(f"{what} isn't ready after {PATIENCE.total_seconds():g} s")
            self.watcher.pause(self._pause_seconds)
            self._pause_seconds = min(LAST_LOOK_SECONDS, self._pause_seconds * SLOWER)


def _known(name: str, value: str | Secret | Unknown) -> str | Secret:
    if isinstance(value, Unknown):
        raise Conflict(f"{name} isn't known yet: it depends on {', '.join(value.of)}")
    return value


def _clear(name: str, value: str | Secret | Unknown) -> str:
    found = _known(name, value)
    return found.reveal() if isinstance(found, Secret) else found
