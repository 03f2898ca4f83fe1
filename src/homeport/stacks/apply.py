"""A plan is carried out: stacks side by side as the graph allows, dependents of a failure left alone. Called by the
command `stack apply`."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from homeport.errors import Conflict, Failed, HomeportError, NotFound
from homeport.model.stack import Import, StackEvent, Unknown
from homeport.model.stack_history import Begun, Ended
from homeport.model.stack_plan import Action, Plan, StackPlan
from homeport.plan.mistake import instead
from homeport.plan.stack.parameter import MASK, declared
from homeport.plan.stack.review import Review
from homeport.plan.stack.state import Wanted
from homeport.ports.clock import Clock
from homeport.ports.cloudformation import CloudFormation
from homeport.stacks.history import History
from homeport.stacks.operation import Operation, Watcher
from homeport.stacks.planner import Planner
from homeport.system.effect import effect


class Outcome(StrEnum):
    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It wasn't begun, because something that it needs failed."""


BAD = (Outcome.FAILED, Outcome.SKIPPED)


class Result(Struct, frozen=True, kw_only=True):
    """How one stack ended. `error` only where it failed."""

    id: str
    outcome: Outcome
    reason: str = ""
    error: HomeportError | None = None


class Diary(Struct, frozen=True, kw_only=True):
    """Where it is kept what is done, who does it, and why."""

    history: History
    who: str
    why: str = ""


class Wishes(Struct, frozen=True, kw_only=True):
    """`allow`: `stack/Resource`, whose replacement or deletion is wanted. `surprises`: see `Review`."""

    allow: frozenset[str] = frozenset()
    surprises: bool = False
    at_once: int = 4
    imports: dict[str, tuple[Import, ...]] = {}
    """By stack: resources that exist and are taken into it."""
    retain: frozenset[str] = frozenset()
    """`stack/Resource` that a deletion leaves where it is."""


class Applier:
    """One run. `say` gets a stack's id and what happens, one thing at a time, though each stack has a
    thread of its own.

    `stop` ends the looking on: what runs in CloudFormation goes on there, and nothing new is begun.
    """

    def __init__(
        self,
        planner: Planner,
        clock: Clock,
        pause: Callable[[float], None],
        say: Callable[[str, StackEvent | str], None],
        diary: Diary | None = None,
    ) -> None:
        self.planner = planner
        self.clock = clock
        self._pause = pause
        self._say = say
        self._saying = threading.Lock()
        self._diary = diary
        self.results: dict[str, Result] = {}
        self.running: dict[str, StackPlan] = {}
        self._stopped = threading.Event()

    def say(self, id: str, what: StackEvent | str) -> None:
        with self._saying:
            self._say(id, what)

    def stop(self) -> None:
        self._stopped.set()

    def cancel(self) -> tuple[str, ...]:
        """Ids whose updates go back now: of those that were running at `stop`, what CloudFormation can take back."""
        cancelled = []
        for id, plan in self.running.items():
            stack = self.planner.stacks[id]
            with suppress(Conflict, NotFound):
                _cancel(self.planner.cloud.cloudformation(stack.target), plan.name)
                cancelled.append(id)
        return tuple(cancelled)

    def apply(self, plan: Plan, wishes: Wishes) -> tuple[Result, ...]:
        """One result per stack that had to be changed, in the plan's order. Raises `Conflict` before anything is done
        where a protected resource would go that nobody allowed, or a stack is blocked."""
        work = {each.id: each for each in plan.stacks if each.changes}
        refuse(plan, wishes)
        waits = _order(plan, work)
        running: dict[Future[Result], str] = {}
        with ThreadPoolExecutor(max_workers=wishes.at_once) as pool, self._stopping():
            while waits or running:
                for id in [each for each, needs in waits.items() if needs <= self.results.keys()]:
                    needs = waits.pop(id)
                    failed = sorted(each for each in needs if self.results[each].outcome in BAD)
                    if failed:
                        self._keep(Result(id=id, outcome=Outcome.SKIPPED, reason=f"{', '.join(failed)} failed"))
                    else:
                        running[pool.submit(self._one, work[id], wishes)] = id
                if running:
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for each in ended:
                        running.pop(each)
                        self._keep(each.result())
        return tuple(self.results[id] for id in work)

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        """Leaves no thread behind that goes on, whatever ends the run."""
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def pause(self, seconds: float) -> None:
        if self._stopped.is_set():
            raise Failed("no longer looked at: what was begun goes on in CloudFormation")
        self._pause(seconds)

    def _keep(self, result: Result) -> None:
        self.results[result.id] = result
        self.say(result.id, f"{result.outcome}{f': {result.reason}' if result.reason else ''}")

    def _one(self, plan: StackPlan, wishes: Wishes) -> Result:
        if self._stopped.is_set():
            return Result(id=plan.id, outcome=Outcome.SKIPPED, reason="the run was stopped before")
        self.running[plan.id] = plan
        try:
            changed = self._carry_out(plan, wishes)
            self.running.pop(plan.id)
        except HomeportError as error:
            if not self._stopped.is_set():
                self.running.pop(plan.id)
            return Result(id=plan.id, outcome=Outcome.FAILED, reason=error.message, error=error)
        return Result(id=plan.id, outcome=Outcome.DONE if changed else Outcome.UNCHANGED)

    def _carry_out(self, plan: StackPlan, wishes: Wishes) -> bool:
        stack = self.planner.stacks[plan.id]
        prefix = f"{plan.id}/"
        review = Review(
            allowed=frozenset(each.removeprefix(prefix) for each in wishes.allow if each.startswith(prefix)),
            surprises=wishes.surprises,
            imports=wishes.imports.get(plan.id, ()),
            retain=tuple(sorted(each.removeprefix(prefix) for each in wishes.retain if each.startswith(prefix))),
        )
        watcher = Watcher(clock=self.clock, pause=self.pause, say=lambda event: self.say(plan.id, event))
        formation = self.planner.cloud.cloudformation(stack.target)
        operation = Operation(plan, formation, watcher)
        self.say(plan.id, str(plan.action))
        if plan.action is Action.DELETE:
            with self._kept(plan, None):
                return operation.remove(review)
        wanted = self.planner.wanted(stack, self._output)
        with self._kept(plan, wanted) as note:
            note.changed = operation.apply(wanted, review)
        return note.changed

    @contextmanager
    def _kept(self, plan: StackPlan, wanted: Wanted | None) -> "Iterator[_Note]":
        """In the history, if there is one: before it is begun, and how it ended."""
        note = _Note()
        if self._diary is None:
            yield note
            return
        history = self._diary.history
        number = history.begin(self._begun(plan, wanted))
        try:
            yield note
        except HomeportError as error:
            if not self._stopped.is_set():  # else it goes on, and nobody knows how it will end
                ended = Ended(at=self.clock.now(), outcome=Outcome.FAILED, reason=error.message)
                history.end(plan.target, plan.name, number, ended)
            raise
        outcome = Outcome.DONE if note.changed else Outcome.UNCHANGED
        history.end(plan.target, plan.name, number, Ended(at=self.clock.now(), outcome=outcome))

    def _begun(self, plan: StackPlan, wanted: Wanted | None) -> Begun:
        assert self._diary is not None
        begun = Begun(number=0, at=self.clock.now(), who=self._diary.who, why=self._diary.why, plan=plan)
        if wanted is None:
            return begun
        hidden = {name for name, each in declared(wanted.template).items() if each.hidden}
        return replace(
            begun,
            template=wanted.text,
            template_url=wanted.url,
            parameters={name: MASK if name in hidden else str(value) for name, value in wanted.parameters.items()},
            tags={name: str(value) for name, value in wanted.tags.items()},
        )

    def _output(self, id: str, name: str) -> str | Unknown:
        """As it is now: what this run has changed is asked for anew."""
        if id not in self.results:
            return self.planner.output(id, name)
        stack = self.planner.stacks[id]
        deployed = self.planner.cloud.cloudformation(stack.target).describe(stack.name)
        outputs = deployed.outputs if deployed else {}
        if name not in outputs:
            raise Conflict(f"{id} has no output {name}{instead(name, outputs)}")
        return outputs[name]


class _Note(Struct):
    changed: bool = True


def refuse(plan: Plan, wishes: Wishes) -> None:
    """Nothing, where the plan may be carried out. Raises `Conflict`."""
    blocked = [each for each in plan.stacks if each.action is Action.BLOCKED]
    if blocked:
        lines = tuple(f"{each.id}: {each.reason}" for each in blocked)
        if len(lines) == 1:
            raise Conflict(lines[0])
        raise Conflict(f"{len(lines)} stacks can't be applied as they stand", details=lines)
    refused = [
        f"{each.id}/{name}"
        for each in plan.stacks
        for name in each.protected
        if each.changes and f"{each.id}/{name}" not in wishes.allow | wishes.retain
    ]
    if refused:
        raise Conflict(
            f"{', '.join(refused)} would be replaced or deleted, with what people keep there; nothing was done",
            hint=" ".join(f"--allow-replace {each}" for each in refused),
        )


@effect("stack.cancel")
def _cancel(formation: CloudFormation, name: str) -> None:
    formation.cancel_update(name)


def _order(plan: Plan, work: dict[str, StackPlan]) -> dict[str, set[str]]:
    """Id → ids that must be done before. A stack goes only after those that need it."""
    waits = {id: {need for need in each.needs if need in work} for id, each in work.items()}
    for id, each in work.items():
        if each.action is Action.DELETE:
            waits[id] -= set(each.needs)
            for need in each.needs:
                if need in work and work[need].action is Action.DELETE:
                    waits[need].add(id)
    return waits
