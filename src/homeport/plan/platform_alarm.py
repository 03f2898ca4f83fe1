"""[[deploy.alarms]]: what each row comes to, and what can be wrong with it. Called by plan.platform_deploy."""

import re
from collections.abc import Callable, Sequence

from homeport.errors import Invalid
from homeport.model.alarm import Alarm
from homeport.model.platform import Group
from homeport.plan.mistake import meant
from homeport.plan.platform_check import ALARM_KINDS, Data
from homeport.plan.quantity import parse_duration
from homeport.plan.toml_line import Path

Note = Callable[[Path, str], None]
OF_METRICS = ("above", "group", "min_requests")
_PERCENT = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,3})?)%")


def alarms(rows: Sequence[Data], path: Path, note: Note) -> tuple[Alarm, ...]:
    """Those rows that can be used. `path`: of [deploy]."""
    found: list[Alarm] = []
    for number, row in enumerate(rows):
        where = (*path, "alarms", number)
        kinds = [each for each in ALARM_KINDS if each in row]
        if len(kinds) != 1:
            continue  # said when it was read
        if kinds != ["metric"] and (odd := [each for each in OF_METRICS if each in row]):
            note(where, f"{', '.join(odd)}: of metrics only, and this is a {kinds[0]}")
            continue
        plain = {"name": f"alarm-{number + 1}", **{key: value for key, value in row.items() if key != "above"}}
        try:
            made = Alarm(**plain, **(_above(row) if kinds == ["metric"] else {}))
        except Invalid as error:
            note((*where, "above"), error.message)
            continue
        if made.name in {each.name for each in found}:
            note((*where, "name"), f'another alarm is called "{made.name}"')
        found.append(made)
    return tuple(found)


def check(found: Sequence[Alarm], groups: Sequence[Group], note: Note) -> None:
    """Metrics are of requests, so somebody must get some."""
    names = [each.name for each in groups if each.balanced]
    for number, alarm in enumerate(found):
        where: Path = ("deploy", "alarms", number)
        if alarm.metric is not None and not names:
            note(where, f"{alarm.metric} is one of requests, and no group gets any")
        elif alarm.group is not None and alarm.group not in names:
            note((*where, "group"), f'no group "{alarm.group}" gets requests{meant(alarm.group, names)}')


def _above(row: Data) -> Data:
    """Raises `Invalid`."""
    said = row.get("above")
    if row["metric"] == "error_rate":
        match = _PERCENT.fullmatch(said or "")
        if match is None:
            raise Invalid(f'expected a share of the requests such as "1%" or "0.5%", found {_shown(said)}')
        return {"above_share": float(match[1]) / 100}
    try:
        return {"above_ms": parse_duration(said or "").total_seconds() * 1000}
    except Invalid as error:
        raise Invalid(f'expected a response time such as "500ms", found {_shown(said)}') from error


def _shown(said: object) -> str:
    return "nothing" if said is None else f'"{said}"'
