"""Why an operation on a stack failed: the first thing that really went wrong, out of all that followed from it. Pure;
called by `stacks.operation`."""

from collections.abc import Sequence

from homeport.model.stack import StackEvent

STACK = "AWS::CloudFormation::Stack"


def first_failure(events: Sequence[StackEvent]) -> StackEvent | None:
    """The earliest failure that isn't a cancellation; of a resource rather than of the stack around it; None: there is
    none. Events of several stacks may be mixed, oldest first."""
    failed = [each for each in events if each.failed and not each.cancelled]
    inner = [each for each in failed if each.type != STACK]
    return next(iter([*inner, *failed]), None)


def in_words(event: StackEvent) -> str:
    """Which resource, and what CloudFormation said."""
    return f"{event.logical_id} ({event.type}) {event.status}: {event.reason or 'no reason given'}"
