"""What works on CloudFormation stacks: a project, its planner, who applies it and the history that is kept of it.
Called by `cli`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homeport.system.home import Home
from homeport.wiring import cloud, storage

if TYPE_CHECKING:
    from homeport.model.stack import StackEvent
    from homeport.stacks.apply import Applier
    from homeport.stacks.history import History
    from homeport.stacks.planner import Planner
    from homeport.stacks.project import Project
    from homeport.stacks.remote import Remote


def project(directory: Path) -> Project:
    """The directory `stacks` that belongs to this one. Raises `NotFound`."""
    from homeport.stacks.project import Project, find

    return Project(find(directory))


def planner(project: Project) -> Planner:
    from homeport.stacks.planner import Planner, Tools

    tools = Tools(
        cloud=cloud.chosen,
        encryption=lambda: storage.encryption(storage.home()),
        environ=dict(os.environ),
        remote=remote(),
    )
    return Planner(project, tools)


def remote() -> Remote:
    """Fetches modules and templates that lie elsewhere."""
    from homeport.stacks.remote import Remote

    return Remote(Home.from_environment().modules)


def applier(
    planner: Planner, say: Callable[[str, StackEvent | str], None], *, who: str, why: str = "", kept: bool = True
) -> Applier:
    """`kept`: in the history, which lies in the store."""
    from homeport.stacks.apply import Applier, Diary
    from homeport.system.clock import SystemClock, pause

    diary = Diary(history=history(), who=who, why=why) if kept else None
    return Applier(planner, SystemClock(), pause, say, diary)


def unlock(planner: Planner, id: str, skip: tuple[str, ...], say: Callable[[StackEvent], None]) -> Sequence[str]:
    """What was done; see `Operation.unlock`."""
    from homeport.model.stack_plan import Action, StackPlan
    from homeport.stacks.operation import Operation, Watcher
    from homeport.system.clock import SystemClock, pause

    stack = planner.project.stack(id)
    planner.guard(stack.target)
    plan = StackPlan(id=id, name=stack.name, target=stack.target, action=Action.NONE, reason="")
    watcher = Watcher(clock=SystemClock(), pause=pause, say=say)
    return Operation(plan, planner.cloud.cloudformation(stack.target), watcher).unlock(skip)


def history() -> History:
    from homeport.stacks.history import History

    return History(storage.store(storage.home()))
