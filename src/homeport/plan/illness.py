"""What an instance suffers from, and whether several suffer from one cause. Pure. Called by the fleet's deciders.

`plan.diagnosis` says at greater length, for a deployment's verdict, what to change.
"""

import enum
import re
from collections import Counter
from collections.abc import Sequence

from homeport.model.fleet import Check, Instance, Probe, Silence

LOOPING_EXITS = 3
_BODY_CHARACTERS = 120
_ADDRESS = re.compile(r"\b(?:\d{1,3}(?:\.\d{1,3}){3}|[A-Za-z][\w-]*(?:\.[\w-]+)+|localhost):\d{2,5}\b")


class Illness(enum.Enum):
    """ENDED: a process of one that isn't asked anything. HUNG: it accepts, and doesn't answer. REFUSED: nobody listens.
    WRONG: it answers, but not with 2xx."""

    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "disk full"
    CRASHED = "crashed"
    LOOPING = "looping"
    ENDED = "ended"
    WRONG = "wrong answer"
    HUNG = "hung"
    REFUSED = "refused"
    SILENT = "silent"


def illness(instance: Instance) -> Illness | None:
    """The nearest to a cause that is known; None: nothing speaks against it."""
    if instance.check is Check.HEALTHY and not instance.died:
        return None
    looping = any(each.exits >= LOOPING_EXITS for each in instance.processes)
    answers = not instance.died and instance.probe is not None and instance.probe.status is not None
    if instance.oom_kills > instance.oom_kills_well and not answers:
        return Illness.OUT_OF_MEMORY
    if instance.disk_full:
        return Illness.DISK_FULL
    if instance.died:
        return Illness.CRASHED
    if looping and not answers:  # both are counted since it began, and one that answers has got over them
        return Illness.LOOPING
    if instance.probe is not None:
        return _answer(instance.probe)
    return Illness.ENDED if any(each.exits for each in instance.processes) else Illness.SILENT


def _answer(probe: Probe) -> Illness:
    if probe.status is not None:
        return Illness.WRONG
    return {Silence.TIMEOUT: Illness.HUNG, Silence.REFUSED: Illness.REFUSED}.get(
        probe.silence or Silence.OTHER, Illness.SILENT
    )


def describe(instance: Instance) -> str:
    """One line for people, such as `hung: GET /healthz of …: no answer within 2 s`."""
    if not instance.launched:
        return instance.reason
    found = illness(instance)
    if found is None:
        return "nothing speaks against it"
    said = ""
    ended = [each for each in instance.processes if each.exits]
    exits = "; ".join(f"{each.name} ended {_times(each.exits)}, last with {each.last_exit}" for each in ended)
    if found in (Illness.LOOPING, Illness.ENDED):
        said = exits
    elif found is Illness.OUT_OF_MEMORY:
        said = f"the kernel killed {instance.oom_kills - instance.oom_kills_well} of its processes"
    elif found in (Illness.WRONG, Illness.HUNG, Illness.REFUSED, Illness.SILENT) and instance.probe is not None:
        said = f"{instance.probe.asked}: {_said(instance.probe)}"
        if found is Illness.REFUSED and exits:
            said += f"; {exits}"
    said = said or instance.reason
    return f"{found.value}: {said}" if said else found.value


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _said(probe: Probe) -> str:
    if probe.status is None:
        return probe.error or "no answer"
    body = " ".join(probe.body.split())[:_BODY_CHARACTERS]
    return f"{probe.status} {body}".strip()


def way(instance: Instance) -> tuple[object, ...]:
    """Equal for instances that suffer in the same way: the same kind, the same answer but for its figures, or the same
    address in it."""
    found = illness(instance)
    probe = instance.probe
    if found is not Illness.WRONG or probe is None:
        return (found,)
    if address := _ADDRESS.search(probe.body):
        return (found, probe.status, address.group())
    return (found, probe.status, re.sub(r"\d+", "#", " ".join(probe.body.split())[:_BODY_CHARACTERS]))


def common_cause(sick: Sequence[Instance]) -> str:
    """What most of them have in common, for people; empty: nothing."""
    ways = Counter(way(each) for each in sick)
    if not ways:
        return ""
    most, count = min(ways.items(), key=lambda item: (-item[1], repr(item[0])))
    if count * 2 < len(sick):
        return ""
    example = next(each for each in sick if way(each) == most)
    share = "all" if count == len(sick) else f"{count} of them"
    if len(most) > 2 and _ADDRESS.fullmatch(str(most[2])):
        return f"{share} name {most[2]}: {describe(example)}"
    return f"{share} in the same way: {describe(example)}"
