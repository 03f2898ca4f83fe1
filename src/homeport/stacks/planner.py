"""From a project and what stands in the clouds to a plan of the whole graph. Called by `stack plan` and by apply.

Stacks are loaded and observed side by side, then decided level by level, because what a stack reads of another one may
only be known once that one is decided. What is wrong with one stack is its problem and that of those that need it.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from homeport.errors import Conflict, HomeportError, Invalid, NotFound
from homeport.model.located import Located
from homeport.model.stack import Stack, Target, Template, Unknown, Value
from homeport.model.stack_history import Begun
from homeport.model.stack_plan import Action, Plan, Problem, StackPlan
from homeport.plan.mistake import instead
from homeport.plan.stack import graph, parameter, reference, template
from homeport.plan.stack.capability import capabilities
from homeport.plan.stack.decide import Decided, decide
from homeport.plan.stack.package import nested_anyhow
from homeport.plan.stack.state import Observed, Wanted
from homeport.plan.stack.text import decode, read
from homeport.ports.cloudformation import Cloud, CloudFormation
from homeport.ports.encryption import Encryption
from homeport.stacks.compose import Composer, given_by
from homeport.stacks.package import Package, packaged, templates
from homeport.stacks.project import Project
from homeport.stacks.remote import Remote
from homeport.stacks.resolver import Context, resolve
from homeport.stacks.schema import Schemas

AT_ONCE = 8
"""Stacks that are asked about side by side; CloudFormation throttles by account and region."""
T = TypeVar("T")


class Tools(Struct, frozen=True, kw_only=True):
    """What the planner is given by wiring."""

    cloud: Callable[[], Cloud]
    encryption: Callable[[], Encryption]
    environ: Mapping[str, str]
    remote: Remote = Remote()


class Planner:
    """One look at the world; a new one looks anew."""

    def __init__(self, project: Project, tools: Tools) -> None:
        self.project = project
        self.removing: frozenset[str] = frozenset()
        """Ids that shall go, whatever the project says."""
        self.pinned: dict[str, Begun] = {}
        """What shall be again, instead of what the project says."""
        self.hidden = False
        """Whether NoEcho parameters may have changed, which only an apply tells."""
        self.tools = tools
        self.composer = Composer(project.root, project.root.name, tools.remote)
        self.stacks: dict[str, Stack] = {}
        self.problems: dict[str, HomeportError] = {}
        self.needs: dict[str, tuple[str, ...]] = {}
        self.seen: dict[str, Observed] = {}
        self.decided: dict[str, Decided] = {}
        self._schemas: dict[str, Schemas] = {}
        self._cloud: Cloud | None = None

    # --- what the project says

    def load(self, ids: Iterable[str]) -> None:
        """The stacks and their needs are known; problems are kept with their ids."""
        loaded = self.project.load(id for id in ids if id not in self.stacks)
        self.problems |= loaded.problems
        for id, found in loaded.stacks.items():
            stack = replace(found, obsolete=True) if id in self.removing else found
            self.stacks[id] = stack
            try:
                self.needs[id] = self.needs_of(stack)
            except HomeportError as error:
                self.problems[id] = error

    def add(self, stacks: Iterable[Stack]) -> None:
        """Stacks that the project doesn't have, to be planned alone."""
        for each in stacks:
            self.stacks[each.id] = each
            self.needs[each.id] = ()

    def needs_of(self, stack: Stack) -> tuple[str, ...]:
        """Ids that must stand before: stated, then referred to. Raises `NotFound`, `Invalid`."""
        found = list(stack.depends_on)
        for name, _, node in reference.find(stack):
            try:
                found.append(self.project.refer(name, stack.id))
            except NotFound as error:
                raise NotFound(f"{node.at}: {error.message}", hint="homeport stack list") from error
        return tuple(dict.fromkeys(found))

    def wanted(self, stack: Stack, output: Callable[[str, str], str | Unknown]) -> Wanted:
        """The stack with its template and all values. `output`: (id, output's name) → value. Raises what reading and
        resolvers raise."""
        pinned = self.pinned.get(stack.id)
        composed = (
            packaged(self.composer.compose(stack.template, given_by(stack)), stack)
            if pinned is None
            else _as_it_was(pinned)
        )
        context = self._context(stack, output)
        known = parameter.declared(composed.body)
        given = {name: _resolved(node, name, context) for name, node in stack.parameters.items()}
        if pinned is not None:
            was = {name: value for name, value in pinned.parameters.items() if value != parameter.MASK}
            given = {name: value for name, value in given.items() if pinned.parameters.get(name) == parameter.MASK}
            given |= was
        tags = {name: parameter.as_text(_resolved(node, name, context)) for name, node in stack.tags.items()}
        return Wanted(
            stack=stack,
            template=composed.body,
            parameters=parameter.settle(stack.id, known, given),
            tags=tags,
            policy=self._policy(stack),
            capabilities=capabilities(composed.body) if stack.capabilities is None else stack.capabilities,
            text=composed.text,
            url=composed.url,
            objects=composed.objects,
            nested=templates(composed.nested),
        )

    def _policy(self, stack: Stack) -> str | None:
        if not stack.policy:
            return None
        name = f"{self.project.root.name}/{stack.policy}"
        try:
            data = (self.project.root / stack.policy).read_bytes()
        except OSError as error:
            raise Invalid(f"{stack.id}: can't read the stack policy {name}: {error.strerror}") from error
        return template.minified(_plain(read(decode(data, name), name)))

    def _context(self, stack: Stack, output: Callable[[str, str], str | Unknown]) -> Context:
        return Context(
            stack=stack,
            root=self.project.root,
            environ=self.tools.environ,
            output=lambda name, key: output(self.project.refer(name, stack.id), key),
            external_output=lambda name, key, region, role: self._external(_elsewhere(stack, region, role), name, key),
            lookup=lambda: self.cloud.lookup(stack.target),
            encryption=self.tools.encryption,
        )

    # --- what stands

    @property
    def cloud(self) -> Cloud:
        if self._cloud is None:
            self._cloud = self.tools.cloud()
        return self._cloud

    def observe(self, ids: Iterable[str]) -> None:
        """What is deployed of each is known, or why it can't be."""
        wanted = [each for each in ids if each in self.stacks and each not in self.seen and each not in self.problems]
        targets = {self.stacks[each].target for each in wanted}
        guarded = self._side_by_side(sorted(targets), self.guard)
        allowed = [each for each in wanted if not isinstance(guarded[self.stacks[each].target], HomeportError)]
        for each in wanted:
            refusal = guarded[self.stacks[each].target]
            if isinstance(refusal, HomeportError):
                self.problems[each] = type(refusal)(f"{each}: {refusal.message}", hint=refusal.hint)
        for id, found in self._side_by_side(allowed, lambda id: self._look(self.stacks[id])).items():
            if isinstance(found, HomeportError):
                self.problems[id] = found
            else:
                self.seen[id] = found

    def guard(self, target: Target) -> None:
        """Nothing, where the credentials belong to the account that is stated. Raises `Invalid`, `Conflict`."""
        if not target.account:
            hint = 'account: "123456789012" in its config.yaml'
            raise Invalid("it states no account, so that it may be in none", hint=hint)
        caller = self.cloud.caller(target)
        if caller != target.account:
            raise Conflict(
                f"it belongs to account {target.account}, and the credentials here to {caller}",
                hint="choose other credentials (AWS_PROFILE), or state assume_role",
            )

    def _look(self, stack: Stack) -> Observed:
        formation = self.cloud.cloudformation(stack.target)
        deployed = formation.describe(stack.name)
        if deployed is None:
            return Observed()
        text = formation.template(stack.name)
        body = _read(text, stack)
        policy = formation.policy(stack.name) if stack.policy else ""  # a call less where nobody states one
        nested = self._look_inside(formation, stack, deployed.id, body)
        return Observed(deployed=deployed, template=body, text=text, policy=policy, nested=nested)

    def _look_inside(
        self, formation: CloudFormation, stack: Stack, id: str, body: Template, path: str = ""
    ) -> dict[str, Template]:
        """Templates of nested stacks as they are deployed."""
        names = set(nested_anyhow(body))
        if not names:
            return {}
        found: dict[str, Template] = {}
        for each in formation.resources(id):
            if each.logical_id in names and each.physical_id:
                inner = _read(formation.template(each.physical_id), stack)
                found[f"{path}{each.logical_id}"] = inner
                found |= self._look_inside(formation, stack, each.physical_id, inner, f"{path}{each.logical_id}/")
        return found

    def _external(self, target: Target, name: str, output: str) -> str:
        deployed = self.cloud.cloudformation(target).describe(name)
        if deployed is None:
            raise NotFound(f"no stack {name} in {target.region} of account {target.account}")
        if output not in deployed.outputs:
            raise NotFound(f"the stack {name} has no output {output}{instead(output, deployed.outputs)}")
        return deployed.outputs[output]

    # --- and what follows

    def plan(self, ids: Iterable[str], progress: Callable[[str], None] = lambda _: None) -> Plan:
        """The plan for these stacks, in the order of the graph. Raises `Invalid` for a circle."""
        chosen = tuple(ids)
        self.load(chosen)
        inside = {id: self.needs[id] for id in chosen if id in self.needs}
        levels = graph.levels(inside)
        outside = {need for needs in inside.values() for need in needs if need not in inside}
        self.load(each for each in sorted(outside) if each not in self.problems)
        progress(f"looking at {len(inside)} {'stack' if len(inside) == 1 else 'stacks'}")
        self.observe([*inside, *sorted(outside)])
        for level in levels:
            ready = [id for id in level if id not in self.problems]
            found = self._side_by_side(ready, lambda id: self._decide(id, inside))
            for id, each in found.items():
                if isinstance(each, HomeportError):
                    self.problems[id] = each
                else:
                    self.decided[id] = each
        return self._plan(chosen, levels)

    def _plan(self, chosen: tuple[str, ...], levels: tuple[tuple[str, ...], ...]) -> Plan:
        ids = [id for level in levels for id in level if id in self.decided]
        self._name_consumers()
        removals = [id for id in ids if self.decided[id].plan.action is Action.DELETE]
        order = [*(id for id in ids if id not in removals), *reversed(removals)]
        problems = tuple(_problem(id, self.problems[id]) for id in chosen if id in self.problems)
        return Plan(stacks=tuple(self.decided[id].plan for id in order), problems=problems)

    def _name_consumers(self) -> None:
        """Who reads outputs that change or go, in the whole project: asked only where some do."""
        moved = [id for id, each in self.decided.items() if _moves_outputs(each.plan)]
        if not moved:
            return
        self.load(each for each in self.project.entries if each not in self.needs and each not in self.problems)
        readers = graph.reverse(self.needs)
        for id in moved:
            each = self.decided[id]
            self.decided[id] = replace(each, plan=replace(each.plan, consumers=readers.get(id, ())))

    def _decide(self, id: str, inside: Mapping[str, tuple[str, ...]]) -> Decided:
        needs = self.needs[id]
        broken = [need for need in needs if need in inside and need in self.problems]
        if broken:
            raise Conflict(f"{id} needs {', '.join(broken)}, which can't be planned")
        stack = self.stacks[id]
        wanted = self.wanted(stack, self.output) if not stack.obsolete else _obsolete(stack)
        region = stack.target.region
        schemas = self._schemas.setdefault(region, Schemas(region))
        near = tuple(need for need in needs if need in inside)
        return decide(wanted, self.seen[id], schemas, needs=near, hidden=self.hidden)

    def output(self, id: str, name: str) -> str | Unknown:
        """What the plan counts on. Raises `NotFound`, or the other stack's problem."""
        if id in self.decided:
            outputs: Mapping[str, str | Unknown] = self.decided[id].outputs
        elif id in self.problems:
            raise self.problems[id]
        else:
            deployed = self.seen[id].deployed
            if deployed is None:
                raise NotFound(f"{id} isn't there yet", hint=f"homeport stack apply {id}, or both together")
            outputs = deployed.outputs
        if name not in outputs:
            raise NotFound(f"{id} has no output {name}{instead(name, outputs)}")
        return outputs[name]

    def _side_by_side(self, keys: Iterable[Any], work: Callable[[Any], T]) -> "dict[Any, T | HomeportError]":
        def safe(key: Any) -> T | HomeportError:
            try:
                return work(key)
            except HomeportError as error:
                return error

        listed = list(keys)
        if len(listed) < 2:
            return {key: safe(key) for key in listed}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(listed, pool.map(safe, listed), strict=True))


def _resolved(node: Located, name: str, context: Context) -> Value:
    try:
        return resolve(node, context)
    except HomeportError as error:
        where = "" if str(node.at.file) in error.message else f"{node.at}: "
        raise type(error)(f"{where}{name}: {error.message}", hint=error.hint, details=error.details) from error


def _elsewhere(stack: Stack, region: str, role: str) -> Target:
    """The stack's own account and region, but for what is stated."""
    account = role.split(":")[4] if role.startswith("arn:") else stack.target.account
    return Target(account, region or stack.target.region, role or stack.target.role)


def _as_it_was(pinned: Begun) -> Package:
    """What was sent. Nested templates still lie in the bucket: they are never overwritten."""
    body = template.parse(pinned.template, f"operation {pinned.number}").body
    return Package(body=body, text=pinned.template, url=pinned.template_url)


def _moves_outputs(plan: StackPlan) -> bool:
    return bool(plan.outputs) or plan.action in (Action.REPLACE, Action.RECREATE, Action.DELETE)


def _obsolete(stack: Stack) -> Wanted:
    return Wanted(stack=stack, template={}, parameters={}, tags={})


def _read(text: str, stack: Stack) -> Template:
    """What is deployed may be of any make: what we can't read is compared as a whole."""
    try:
        return template.parse(text, stack.name).body if text else {}
    except Invalid:
        return {"Transform": text}


def _plain(node: Located) -> Any:
    match node.value:
        case dict() as entries:
            return {key: _plain(each) for key, each in entries.items()}
        case list() as items:
            return [_plain(each) for each in items]
    return node.value


def _problem(id: str, error: HomeportError) -> Problem:
    return Problem(id=id, kind=error.kind, message=error.message, hint=error.hint, details=error.details)
