"""Settings of a stack: merged values become a `Stack`. Called by `stacks.project`.

docs/reference/stacks.md explains every key.
"""

import re
from collections.abc import Callable, Mapping

from homeport.errors import Invalid
from homeport.model.located import Located, Tagged
from homeport.model.stack import Stack, Target
from homeport.plan.mistake import meant
from homeport.plan.stack.place import check_name, cloudformation_name, is_region

ACCOUNT = re.compile(r"[0-9]{12}")
KEYS = (
    "account",
    "accounts",
    "assume_role",
    "bucket",
    "bucket_prefix",
    "capabilities",
    "depends_on",
    "environment",
    "like",
    "name",
    "notifications",
    "obsolete",
    "parameter_files",
    "parameters",
    "policy",
    "project",
    "protected",
    "region",
    "service_role",
    "tags",
    "template",
    "termination_protection",
    "variables",
)


def check(layer: Located) -> None:
    """Nothing, where a file holds settings. Raises `Invalid` for what isn't a mapping, and for a key that nobody reads;
    keys that begin with `x-` are the user's own."""
    if not isinstance(layer.value, dict):
        raise Invalid(f"{layer.at}: expected settings (key: value), found {kind(layer)}")
    for key, value in layer.value.items():
        if key not in KEYS and not key.startswith("x-"):
            raise Invalid(
                f"{value.at}: no setting {key!r}{meant(key, KEYS)}", hint="docs/reference/stacks.md lists them"
            )


def axis(layer: Located, key: str) -> tuple[str, ...] | str | None:
    """`region` or `environment` as one layer says it: a name, several, or None: it says nothing. Raises `Invalid`."""
    found = layer.value.get(key) if isinstance(layer.value, dict) else None
    if found is None or found.value is None:
        return None
    if isinstance(found.value, list):
        return tuple(_axis(each, key) for each in found.value)
    return _axis(found, key)


def _axis(node: Located, key: str) -> str:
    text = text_of(node)
    if key == "region" and not is_region(text):
        raise Invalid(f"{node.at}: expected a region such as eu-west-1, found {text!r}")
    return text


def settle(id: str, merged: Located, *, region: str, depends_on: Callable[[str], str], files: tuple[str, ...]) -> Stack:
    """The stack that the merged settings describe. `region`: what its place says; empty: the settings do. `depends_on`:
    from a reference to an id. Raises `Invalid`, `NotFound`."""
    assert isinstance(merged.value, dict)
    said = merged.value
    name = text_of(said["name"]) if "name" in said else cloudformation_name(id)
    check_name(name, id)
    if "template" not in said:
        raise Invalid(f"{id} names no template", hint=f"template: templates/….yaml in {files[-1]}")
    capabilities = _texts(said["capabilities"]) if "capabilities" in said else None
    region = region or (_axis(said["region"], "region") if "region" in said else "")
    if not region:
        raise Invalid(f"{id} has no region", hint="region: eu-west-1 in its config.yaml, or a directory of that name")
    account = _account(said)
    parameters = _mapping(said.get("parameters"))
    project = text_of(said["project"]) if "project" in said else ""
    variables = {key: text_of(value) for key, value in _mapping(said.get("variables")).items()}
    built_in = {"stack": id, "name": name, "environment": id.partition("/")[0] if "/" in id else ""}
    return Stack(
        id=id,
        environment=built_in["environment"],
        name=name,
        target=Target(account, region, text_of(said["assume_role"]) if "assume_role" in said else ""),
        template=text_of(said["template"]),
        parameters=parameters,
        tags=_mapping(said.get("tags")) | _owned(project, id, merged),
        project=project,
        variables=variables | built_in | {"account": account, "region": region},
        depends_on=tuple(depends_on(each) for each in _texts(said.get("depends_on"))),
        service_role=text_of(said["service_role"]) if "service_role" in said else "",
        notifications=_texts(said.get("notifications")),
        capabilities=capabilities,
        policy=text_of(said["policy"]) if "policy" in said else "",
        termination_protection=_switch(said.get("termination_protection")),
        bucket=text_of(said["bucket"]) if "bucket" in said else "",
        bucket_prefix=text_of(said["bucket_prefix"]) if "bucket_prefix" in said else "",
        protected=_switch(said.get("protected")),
        obsolete=_switch(said.get("obsolete")),
        at=merged.at,
        files=files,
    )


OWNER_TAG, STACK_TAG = "homeport:project", "homeport:stack"
"""Tags of every stack of a project that has a name: `stack prune` finds by them what is no longer in it."""


def _owned(project: str, id: str, merged: Located) -> dict[str, Located]:
    if not project:
        return {}
    return {OWNER_TAG: Located(project, merged.at, project), STACK_TAG: Located(id, merged.at, id)}


def like(layer: Located) -> Located | None:
    """The stack that a file says it is like; None: none."""
    return layer.value.get("like") if isinstance(layer.value, dict) else None


def inherited(layer: Located) -> Located:
    """A stack's file as another stack inherits it: without what is its own."""
    assert isinstance(layer.value, dict)
    own = ("name", "like", "obsolete")
    return Located({key: value for key, value in layer.value.items() if key not in own}, layer.at)


def parameter_files(merged: Located) -> tuple[Located, ...]:
    """Paths as they were written, with their places."""
    found = merged.value.get("parameter_files") if isinstance(merged.value, dict) else None
    if found is None:
        return ()
    if not isinstance(found.value, list):
        return (found,)
    return tuple(found.value)


def _account(said: Mapping[str, Located]) -> str:
    """Twelve digits; empty: none is stated."""
    if "account" not in said:
        return ""
    node = said["account"]
    text, names = text_of(node), _mapping(said.get("accounts"))
    if text in names:
        node, text = names[text], text_of(names[text])
    if not ACCOUNT.fullmatch(text):
        known = f"{meant(text, names)}" or (f"; there is {', '.join(names)}" if names else "")
        raise Invalid(f"{node.at}: expected an account: twelve digits, or a name in `accounts`; found {text!r}{known}")
    return text


def kind(node: Located) -> str:
    """What it is, in words for errors."""
    match node.value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case Tagged(tag=tag):
            return f"!{tag}"
        case None:
            return "nothing"
    return repr(node.text)


def text_of(node: Located) -> str:
    """A scalar as it was typed, true and false in lower case. Raises `Invalid` for anything else."""
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    if node.value is None or isinstance(node.value, list | dict | Tagged):
        raise Invalid(f"{node.at}: expected a text, found {kind(node)}")
    return node.text


def _texts(node: Located | None) -> tuple[str, ...]:
    if node is None:
        return ()
    if not isinstance(node.value, list):
        raise Invalid(f"{node.at}: expected a list, found {kind(node)}")
    return tuple(text_of(each) for each in node.value)


def _mapping(node: Located | None) -> dict[str, Located]:
    if node is None:
        return {}
    if not isinstance(node.value, dict):
        raise Invalid(f"{node.at}: expected key: value, found {kind(node)}")
    return node.value


def _switch(node: Located | None) -> bool:
    if node is None:
        return False
    if not isinstance(node.value, bool):
        raise Invalid(f"{node.at}: expected true or false, found {kind(node)}")
    return node.value
