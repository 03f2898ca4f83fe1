"""A command inside the generation that runs on this server. Called by `agent.main`."""

import shlex

from homeport.agent.generation import Generations, stop_grace
from homeport.agent.record import Generation
from homeport.errors import Conflict, NotFound
from homeport.instance.assemble import variables
from homeport.instance.attend import attend, explained
from homeport.instance.enter import enter
from homeport.instance.keeper import Command
from homeport.plan.mistake import instead
from homeport.plan.quantity import parse_duration
from homeport.ports.session import Asked, Streams


def run(
    generations: Generations,
    generation: Generation | None,
    name: str | None,
    command: tuple[str, ...],
    timeout: str | None,
) -> tuple[int, str]:
    """Exit code, and what to say about it. `name`: the process type whose environment it gets; None: of the one that
    serves. Raises `Conflict` where nothing runs, `NotFound`, `Unavailable`."""
    living = generations.pid(generation)
    if generation is None or living is None:
        raise Conflict("nothing runs here", hint="homeport-agent status")
    chosen = next(iter(generation.ports)) if name is None else name  # who serves is the first
    if chosen not in generation.ports:
        raise NotFound(f"no process type {chosen!r} runs here{instead(chosen, list(generation.ports))}")
    assembly = generations.assembly(generation)
    limit = generations.sandbox.limit(generations.info(generation), assembly.memory_bytes)
    inside = Command(
        argv=command,
        environment=variables(assembly, generation.ports[chosen]),
        directory="/app",
        uid=assembly.uid,
        grace_seconds=stop_grace(generation.bound).total_seconds(),
        data_bytes=assembly.memory_bytes if limit is None else None,
    )
    asked = Asked(
        argv=command,
        shown=shlex.join(command),
        by="",
        timeout=None if timeout is None else parse_duration(timeout),
    )
    entered = enter(*living, inside, cgroup=limit, owned=False)
    try:
        return explained(attend(entered, Streams(0, 1, 2), asked.timeout), asked)
    finally:
        entered.close()
