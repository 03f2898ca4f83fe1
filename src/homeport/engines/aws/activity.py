"""Scaling activities: what an Auto Scaling group has done, and what became of it, as it tells. Pure. Used by `fleet`,
`answer` and `engine`.

Sentences in quotation marks are AWS's: Amazon EC2 Auto Scaling, API reference and user guide.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from homeport.model.event import Decided, Event

MOST = 100
"""So many are asked for, as many as one call answers: the newest."""
WORDS = {"Launching": "launch", "Terminating": "end"}
"""How descriptions begin → what is being done."""
_INSTANCE = re.compile(r"\bi-[0-9a-f]+\b")
_HOOK, _ILL, _NOT_RUNNING = "Lifecycle Action", "system health check failure", "EC2 health check"
"""What a group says only in words: that a launching hook abandoned an instance ("Instance failed to complete user's
Lifecycle Action"), and that an instance was ill, by the balancer ("ELB system health check failure") or by EC2."""
RULE = "Auto Scaling"


class Activity(Struct, frozen=True, kw_only=True):
    """`instance`: empty where there never was one. `cause`: why the group did it; `said`: what went wrong with it."""

    id: str
    what: Literal["launch", "end", "other"]
    description: str
    instance: str
    status: str
    at: datetime
    ended_at: datetime | None = None
    cause: str = ""
    said: str = ""

    @property
    def refused(self) -> bool:
        """EC2 didn't launch anything."""
        return self.what == "launch" and self.status == "Failed"

    @property
    def abandoned(self) -> bool:
        """By its launching hook: the agent said so, or nobody said anything in time."""
        return self.what == "launch" and self.status == "Cancelled" and _HOOK in self.said

    @property
    def went_well(self) -> bool:
        return self.what == "launch" and self.status == "Successful"

    @property
    def of_illness(self) -> bool:
        """An instance is ended that serves badly: what it runs may be to blame."""
        return self.what == "end" and _ILL in self.cause

    @property
    def known_at(self) -> datetime:
        """When it was known how it ended. Times are of whole seconds, and launches of one attempt may be refused one
        after the other: whoever is launched within the same second didn't know."""
        return max(self.ended_at or self.at, self.at + timedelta(seconds=1))


def parse(said: Mapping[str, Any]) -> Activity:
    description = str(said.get("Description", ""))
    found = _INSTANCE.search(description)
    what = next((each for word, each in WORDS.items() if description.startswith(word)), "other")
    return Activity(
        id=said["ActivityId"],
        what=what,  # type: ignore[arg-type]
        description=description,
        instance=found.group() if found else "",
        status=said["StatusCode"],
        at=said["StartTime"],
        ended_at=said.get("EndTime"),
        cause=str(said.get("Cause", "")),
        said=str(said.get("StatusMessage", "")),
    )


def name_of(activity: Activity) -> str:
    """By which what it is about is known: a launch that was refused has a name of its own."""
    return activity.instance or f"launch-{activity.id[:8]}"


def events(activities: Iterable[Activity], environment: str, app: str, group: str) -> Iterator[Event]:
    """As what has happened in the environment, for `homeport why`."""
    for each in activities:
        subject = name_of(each) if each.what == "launch" or each.instance else group
        message = "; ".join(text for text in (_in_words(each), each.said, each.cause) if text)
        ill = each.what == "end" and (each.of_illness or _NOT_RUNNING in each.cause)
        decided = Decided(rule=RULE, observed_at=each.at, group=group, cause="sick" if ill else "")
        kind = {"launch": "launch", "end": "terminate", "other": "scaling"}[each.what]
        yield Event(
            at=each.at,
            environment=environment,
            app=app,
            kind=kind,
            subject=subject,
            message=message,
            decided=decided,
        )


def _in_words(activity: Activity) -> str:
    if activity.refused:
        return "EC2 didn't launch it"
    if activity.abandoned:
        return "its launching hook gave it up"
    if activity.what == "launch" and activity.status != "Successful":
        return f"its launch is {activity.status}"
    return "" if activity.what == "launch" or activity.status == "Successful" else f"its end is {activity.status}"
