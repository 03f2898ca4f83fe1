"""What the scripted CloudFormation makes of a request: refuses it, or says in a change set what it would do. For
`testing.cloudformation_api`.

Sentences in quotation marks are AWS's: CloudFormation User Guide (UG) and API Reference (API).
"""

import hashlib
from collections.abc import Mapping

from msgspec.structs import replace

from homeport.errors import Invalid
from homeport.model.secret import Secret
from homeport.model.stack import ChangeRequest, ChangeSet, ChangeSetStatus, Replacement, ResourceChange, Template
from homeport.plan.stack.capability import capabilities
from homeport.plan.stack.evaluate import evaluate
from homeport.plan.stack.nested import predict_inside
from homeport.plan.stack.package import nested_anyhow
from homeport.plan.stack.parameter import declared, scene
from homeport.plan.stack.place import above
from homeport.plan.stack.replacement import predict
from homeport.plan.stack.template import parse
from homeport.stacks.schema import Schemas
from homeport.testing.cloudformation_state import Asked, Contents, StackState, World

LARGEST_INLINE_BYTES = 51_200


class Examiner:
    """Of one account and region."""

    def __init__(self, world: World, account: str, region: str) -> None:
        self.world = world
        self.account = account
        self.region = region

    def checked(self, request: ChangeRequest) -> Template:
        """The template's meaning. Raises `Invalid` in CloudFormation's words."""
        body = parse(self._text(request), "Template format error")
        known = declared(body.body)
        extra = sorted(request.parameters.keys() - known.keys())
        if extra:
            raise Invalid(f"Parameters: [{', '.join(extra)}] do not exist in the template")
        missing = [name for name, each in known.items() if each.default is None and name not in request.parameters]
        if missing:
            raise Invalid(f"Parameters: [{', '.join(missing)}] must have values")
        lacking = sorted(set(capabilities(body.body)) - set(request.capabilities))
        if lacking:
            # API: "If you don't specify either of these capabilities, CloudFormation returns an
            # InsufficientCapabilities error."
            raise Invalid(f"Requires capabilities : [{', '.join(lacking)}]")
        return body.body

    def _text(self, request: ChangeRequest) -> str:
        if not request.template_url:
            if len(request.template.encode()) > LARGEST_INLINE_BYTES:
                # API, TemplateBody: "The minimum length is 1 byte, and the maximum length is 51,200 bytes."
                raise Invalid("'templateBody' failed to satisfy constraint: Member must have length less than 51200")
            return request.template
        return self.fetched(request.template_url)

    def fetched(self, url: str) -> str:
        """What was put there. Raises `Invalid`."""
        host, _, key = url.removeprefix("https://").partition("/")
        place = f"{host.partition('.')[0]}/{key}"
        if place not in self.world.objects:
            raise Invalid("S3 error: The specified key does not exist.")
        return self.world.objects[place]

    def asked(self, state: StackState, request: ChangeRequest, body: Template) -> Asked:
        """A change set of the stack, not yet kept. `body`: what `checked` gave. Raises `Invalid`."""
        values = {
            name: each.reveal() if isinstance(each, Secret) else each for name, each in request.parameters.items()
        }
        contents = Contents(
            template=self._text(request),
            parameters=values,
            tags=dict(request.tags),
            capabilities=request.capabilities,
            service_role=request.service_role,
            notifications=request.notifications,
        )
        changes = self._changes(state, contents, body)
        if request.imports:
            imported = {each.logical_id for each in request.imports}
            # API, CreateChangeSet, IMPORT: resources to import must have a DeletionPolicy
            bare = [
                name for name in sorted(imported) if "DeletionPolicy" not in body.get("Resources", {}).get(name, {})
            ]
            if bare:
                raise Invalid(f"Resources [{', '.join(bare)}] is missing mandatory DeletionPolicy attribute")
            changes = tuple(replace(each, action="import") if each.logical_id in imported else each for each in changes)
            if any(each.action != "import" for each in changes):
                # UG: "you can't … create, update, or delete" in the same operation
                raise Invalid("You have modified resources in your template that are not being imported.")
        contents.physical = self._physical(state, changes, body)
        differs = changes or self._whole(state.contents) != self._whole(contents)
        number = hashlib.sha256(f"{state.id} {request.name} {self.world.now()}".encode()).hexdigest()[:8]
        # UG, Troubleshooting: "The submitted information didn't contain changes. Submit different information to
        # create a change set." The change set's status is FAILED.
        reason = "" if differs else "The submitted information didn't contain changes."
        change_set = ChangeSet(
            id=f"arn:aws:cloudformation:{self.region}:{self.account}:changeSet/{request.name}/{number}",
            name=request.name,
            stack=state.id,
            status=ChangeSetStatus.READY if differs else ChangeSetStatus.EMPTY,
            reason=reason,
            changes=changes,
        )
        asked = Asked(change_set=change_set, contents=contents, create=request.create)
        if request.nested and differs:
            self._look_inside(state, asked)
        return asked

    def _look_inside(self, state: StackState, asked: Asked) -> None:
        """API, CreateChangeSet, IncludeNestedStacks: "Creates a change set for the all nested stacks specified in the
        template."

        ResourceChange, ChangeSetId: "The change set ID of the nested change set."
        """
        if state.name in self.world.no_nested:
            reason = "Nested change set was not successfully created: Currently in FAILED."
            asked.change_set = replace(asked.change_set, status=ChangeSetStatus.FAILED, reason=reason, changes=())
            return
        old, new = (evaluate(each.body, self._scene(each)) for each in (state.contents, asked.contents))
        templates = self._deployed(state.contents), self._sent(asked.contents.body)
        found = predict_inside(old, new, *templates, Schemas(self.region))
        forced = self.world.replaced.get(state.name, [])
        inside: dict[str, list[ResourceChange]] = {}
        for each in found:
            path, _, name = each.logical_id.rpartition("/")
            sure = Replacement.YES if each.logical_id in forced and each.action == "modify" else each.replacement
            for outer in above(path)[1:]:
                inside.setdefault(outer, [])
            inside[path].append(replace(each, logical_id=name, replacement=sure))
        root = asked.change_set
        made = {
            path: replace(root, id=f"{root.id}-{path.replace('/', '-')}", stack=path, changes=tuple(changes))
            for path, changes in inside.items()
        }
        asked.nested = {one.id: replace(one, nested=_children(made, path)) for path, one in made.items()}
        asked.change_set = replace(root, nested=_children(made, ""))

    def _deployed(self, contents: Contents, path: str = "") -> dict[str, Template]:
        """Templates of nested stacks, by path."""
        found: dict[str, Template] = {}
        by_id = {each.id: each for each in self.world.stacks.values()}
        for name in nested_anyhow(contents.body):
            state = by_id.get(contents.physical.get(name, ""))
            if state is not None:
                found[f"{path}{name}"] = state.contents.body
                found |= self._deployed(state.contents, f"{path}{name}/")
        return found

    def _sent(self, body: Template, path: str = "") -> dict[str, Template]:
        found: dict[str, Template] = {}
        for name in nested_anyhow(body):
            url = str(body["Resources"][name].get("Properties", {}).get("TemplateURL", ""))
            inner = parse(self.fetched(url), "template").body
            found[f"{path}{name}"] = inner
            found |= self._sent(inner, f"{path}{name}/")
        return found

    def _whole(self, contents: Contents) -> tuple[object, ...]:
        """What an update without changed resources can still change: tags, outputs, notifications, the role."""
        said = evaluate(contents.body, self._scene(contents)).get("Outputs")
        hidden = [contents.parameters.get(name) for name, each in declared(contents.body).items() if each.hidden]
        return contents.tags, said, contents.notifications, contents.service_role, hidden

    def _scene(self, contents: Contents) -> dict[str, object]:
        pseudo = {"AWS::Region": self.region, "AWS::AccountId": self.account}
        known = {name: replace(each, hidden=False) for name, each in declared(contents.body).items()}
        return scene(known, contents.parameters, pseudo)

    def _changes(self, state: StackState, contents: Contents, body: Template) -> tuple[ResourceChange, ...]:
        old = evaluate(state.contents.body, self._scene(state.contents)) if state.contents.template else {}
        found = predict(old, evaluate(body, self._scene(contents)), Schemas(self.region))
        forced = self.world.replaced.get(state.name, [])
        return tuple(
            replace(each, replacement=Replacement.YES)
            if each.logical_id in forced and each.action == "modify"
            else each
            for each in found
        )

    def _physical(self, state: StackState, changes: tuple[ResourceChange, ...], body: Template) -> dict[str, str]:
        fresh = ("add", "import")
        new = {each.logical_id for each in changes if each.action in fresh or each.replacement is Replacement.YES}
        gone = {each.logical_id for each in changes if each.action == "remove"}
        kept = {name: id for name, id in state.contents.physical.items() if name not in gone}
        serial = self.world.ticks
        return kept | {name: f"{state.name}-{name}-{serial}" for name in sorted(new)}


def _children(made: Mapping[str, ChangeSet], path: str) -> dict[str, str]:
    """Logical id of each nested stack directly in this one → id of its change set."""
    return {name: each.id for key, each in made.items() for outer, _, name in [key.rpartition("/")] if outer == path}
