"""References between stacks in settings: `!stack_output network/VpcId`. Used by `stacks.project`'s callers to find the
graph without asking any resolver."""

from collections.abc import Iterator

from homeport.errors import Invalid
from homeport.model.located import Located, Tagged
from homeport.model.stack import Stack
from homeport.plan.stack.setting import kind, text_of


def split(node: Located) -> tuple[str, str]:
    """(stack, output) of what follows `!stack_output`. Raises `Invalid`."""
    if isinstance(node.value, list | dict | Tagged | None):
        raise Invalid(f"{node.at}: expected !stack_output stack/Output, found {kind(node)}")
    stack, slash, output = text_of(node).rpartition("/")
    if not slash or not output or not stack.strip("/"):
        raise Invalid(f"{node.at}: expected !stack_output stack/Output, found {node.text!r}")
    return stack, output


def find(stack: Stack) -> Iterator[tuple[str, str, Located]]:
    """(stack as it is written, output, its place) for each reference in parameters and tags."""
    for node in (*stack.parameters.values(), *stack.tags.values()):
        yield from _find(node)


def _find(node: Located) -> Iterator[tuple[str, str, Located]]:
    match node.value:
        case Tagged(tag="stack_output", content=content):
            yield (*split(content), content)
        case Tagged(content=content):
            yield from _find(content)
        case dict() as entries:
            for each in entries.values():
                yield from _find(each)
        case list() as items:
            for each in items:
                yield from _find(each)
