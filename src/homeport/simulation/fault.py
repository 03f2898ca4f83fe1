"""What goes wrong, and what people do meanwhile: one by one, planned from a seed, or read from a scenario.

Used by `simulation.world`, which brings them about."""

import random
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from msgspec import Struct

from homeport.errors import Invalid
from homeport.model.asked import Suspendable
from homeport.model.platform import ZONES
from homeport.plan.mistake import instead
from homeport.plan.quantity import parse_duration

Kind = Literal[
    "deploy",
    "bad-deploy",
    "scale",
    "die",
    "hang",
    "flap",
    "recover",
    "lie",
    "lose-sight",
    "see-again",
    "fail-zone",
    "freeze-zone",
    "restore-zone",
    "outage",
    "outage-ends",
    "slow-launches",
    "failing-launches",
    "hanging-launches",
    "good-launches",
    "suspend",
    "resume",
    "standby",
    "cycle",
    "crash",
    "blind",
    "stale",
    "jump",
    "deploy-as",
    "abort",
    "continue",
    "lose-task",
    "store-away",
    "store-back",
    "usurp",
]
HOW = (
    "well",
    "never-healthy",
    "dies",
    "sickens",
    "errors",
    "slowly",
    "task-fails",
    "task-hangs",
    "task-is-deaf",
    "gate",
)
"""What a release that is deployed does: see `simulation.world`."""
STRATEGIES = ("replace", "rolling", "blue-green", "canary")
WORDS: dict[str, tuple[Kind, str]] = {
    "deploy": ("deploy", "a release that works"),
    "deploy bad": ("bad-deploy", "a release that never gets healthy"),
    "scale GROUP COUNT": ("scale", "as homeport scale"),
    "kill GROUP": ("die", "an instance's processes are gone"),
    "hang GROUP": ("hang", "an instance accepts, and doesn't answer"),
    "flap GROUP": ("flap", "an instance is unhealthy every other 20 s"),
    "recover": ("recover", "whoever hangs or flaps is well again"),
    "fail zone ZONE": ("fail-zone", "its instances are killed, none is launched there"),
    "freeze zone ZONE": ("freeze-zone", "its instances are there, and nobody reaches them"),
    "restore zone ZONE": ("restore-zone", "it is back"),
    "outage": ("outage", "what every instance needs is gone: all answer 503"),
    "outage ends": ("outage-ends", "it is back"),
    "launches fail": ("failing-launches", "new instances die at once"),
    "launches hang": ("hanging-launches", "new instances never get healthy"),
    "launches are slow": ("slow-launches", "new instances need 20 s"),
    "launches are good": ("good-launches", "as ever"),
    "suspend GROUP PROCESS": ("suspend", "Launch, Terminate, ReplaceUnhealthy, AZRebalance or HealthCheck"),
    "resume GROUP": ("resume", "all of them"),
    "cycle GROUP": ("cycle", "every instance is replaced"),
    "abort": ("abort", "as homeport deployment abort"),
    "store away": ("store-away", "the object store doesn't answer"),
    "store back": ("store-back", "it does again"),
    "crash": ("crash", "the control plane dies between two effects, and is started again"),
}
"""What a scenario may say → what it means. Capitals stand for values."""
_LINE = re.compile(r"\s*(?:at\s+)?(\S+)\s+(.*?)\s*")


class Fault(Struct, frozen=True, kw_only=True):
    """`at_seconds` from the beginning. `value`: a group, a zone, a number, as the kind wants; `choice`: which of those
    that may be meant."""

    at_seconds: float
    kind: Kind
    group: str = ""
    value: str = ""
    choice: int = 0

    @property
    def words(self) -> str:
        return " ".join(each for each in (self.kind.replace("-", " "), self.group, self.value) if each)


def planned(chance: random.Random, groups: Sequence[str], *, seconds: float) -> list[Fault]:
    """Faults for so many seconds, in order; what must end is ended before they are over."""
    found: list[Fault] = []
    at = 0.0
    while (at := at + chance.expovariate(1 / 60)) < seconds * 0.8:
        group = chance.choice(list(groups))
        until = at + chance.uniform(20, max(25, min(600, seconds - at)))
        zone = chance.choice(ZONES)
        found += [
            replace_choice(each, chance.randrange(10_000))
            for each in _chosen(chance, at, min(until, seconds), group, zone)
        ]
    return _ended(found, groups, seconds)


def deploying(chance: random.Random, groups: Sequence[str], *, seconds: float) -> list[Fault]:
    """As `planned`, but with a deployment every few minutes, by any strategy, to any end; and what happens to those."""
    found: list[Fault] = []
    at = 0.0
    while (at := at + chance.expovariate(1 / 25)) < seconds * 0.8:
        until = min(seconds, at + chance.uniform(5, 40))
        kind = chance.choices(list(_DEPLOYING), list(_DEPLOYING.values()))[0]
        if kind == "any":
            found += _chosen(chance, at, until, chance.choice(list(groups)), chance.choice(ZONES))
            continue
        value = {
            "deploy-as": f"{chance.choice(STRATEGIES)} {chance.choices(HOW, (6, *[1] * (len(HOW) - 1)))[0]}",
            "crash": str(chance.randint(1, 80)),
            "scale": str(chance.randint(1, 6)),
        }.get(kind, "")
        group = chance.choice(list(groups)) if kind == "scale" else ""
        found.append(Fault(at_seconds=at, kind=kind, group=group, value=value, choice=chance.randrange(10_000)))
        if kind == "store-away":
            found.append(Fault(at_seconds=until, kind="store-back"))
    found += [Fault(at_seconds=seconds, kind="store-back"), Fault(at_seconds=seconds, kind="continue")]
    return _ended(found, groups, seconds)


_DEPLOYING: dict[Any, int] = {
    "deploy-as": 30,
    "crash": 20,
    "any": 10,
    "abort": 6,
    "continue": 6,
    "scale": 6,
    "usurp": 6,
    "store-away": 4,
    "lose-task": 4,
}


def _ended(found: list[Fault], groups: Sequence[str], seconds: float) -> list[Fault]:
    """With the end of what doesn't end by itself."""
    found += [Fault(at_seconds=seconds, kind=kind) for kind in ("recover", "see-again", "outage-ends", "good-launches")]
    found += [Fault(at_seconds=seconds, kind="restore-zone", value=zone) for zone in ZONES]
    found += [Fault(at_seconds=seconds, kind="resume", group=group) for group in groups]
    return sorted(found, key=lambda each: each.at_seconds)


def replace_choice(fault: Fault, choice: int) -> Fault:
    return Fault(at_seconds=fault.at_seconds, kind=fault.kind, group=fault.group, value=fault.value, choice=choice)


def _chosen(chance: random.Random, at: float, until: float, group: str, zone: str) -> list[Fault]:
    def both(kind: Kind, end: Kind, value: str = "") -> list[Fault]:
        return [
            Fault(at_seconds=at, kind=kind, group=group, value=value),
            Fault(at_seconds=until, kind=end, group=group, value=value),
        ]

    def one(kind: Kind, value: str = "") -> list[Fault]:
        return [Fault(at_seconds=at, kind=kind, group=group, value=value)]

    some: list[tuple[int, list[Fault]]] = [
        (12, one("die")),
        (8, both("hang", "recover")),
        (4, both("flap", "recover")),
        (2, both("lie", "recover")),
        (4, both("lose-sight", "see-again")),
        (3, both("fail-zone", "restore-zone", zone)),
        (3, both("freeze-zone", "restore-zone", zone)),
        (3, both("outage", "outage-ends")),
        (3, both("failing-launches", "good-launches")),
        (3, both("hanging-launches", "good-launches")),
        (3, both("slow-launches", "good-launches")),
        (3, both("suspend", "resume", chance.choice(list(Suspendable)).value)),
        (3, both("standby", "resume")),
        (3, one("cycle")),
        (6, one("scale", str(chance.randint(1, 6)))),
        (4, one("deploy")),
        (2, one("bad-deploy")),
        (8, one("crash", str(chance.randint(1, 12)))),
        (4, one("blind")),
        (4, one("stale")),
        (2, one("jump", str(chance.choice([-20, 5, 45])))),
    ]
    return chance.choices([each for _, each in some], [weight for weight, _ in some])[0]


# --- scenarios -------------------------------------------------------------------------------------------------------


def parse(text: str, groups: Sequence[str]) -> list[Fault]:
    """A scenario: `5m deploy`, one each line or between semicolons, `#` begins a comment. Raises `Invalid`, which names
    every line that can't be read."""
    found, problems = [], []
    for line in re.split(r"[;\n]", text):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        try:
            found.append(_read(said, groups))
        except Invalid as error:
            problems.append(f"{said!r}: {error.message}")
    if problems:
        raise Invalid("the scenario can't be read", details=tuple(problems), hint="homeport simulate fleet --help")
    return sorted(found, key=lambda each: each.at_seconds)


def _read(said: str, groups: Sequence[str]) -> Fault:
    match = _LINE.fullmatch(said)
    if match is None:
        raise Invalid('expected a time and what happens, such as "5m deploy"')
    at = parse_duration(match[1])
    words = match[2].split()
    for pattern, (kind, _) in WORDS.items():
        wanted = pattern.split()
        if len(wanted) == len(words) and all(a == b or a.isupper() for a, b in zip(wanted, words, strict=True)):
            values = {a: b for a, b in zip(wanted, words, strict=True) if a.isupper()}
            return _fault(at, kind, values, groups)
    raise Invalid(f"isn't known{instead(match[2], list(WORDS))}")


def _fault(at: timedelta, kind: Kind, values: dict[str, str], groups: Sequence[str]) -> Fault:
    group = values.get("GROUP", "")
    if group and group not in groups:
        raise Invalid(f'no group "{group}"{instead(group, groups)}')
    zone = values.get("ZONE", "")
    if zone and zone not in ZONES:
        raise Invalid(f'no zone "{zone}", expected one of {", ".join(ZONES)}')
    process = values.get("PROCESS", "")
    if process and process not in {each.value for each in Suspendable}:
        raise Invalid(f'no process "{process}"{instead(process, [each.value for each in Suspendable])}')
    count = values.get("COUNT", "")
    if count and not (count.isascii() and count.isdigit()):
        raise Invalid(f'expected a number of instances, found "{count}"')
    return Fault(at_seconds=at.total_seconds(), kind=kind, group=group, value=zone or process or count)
