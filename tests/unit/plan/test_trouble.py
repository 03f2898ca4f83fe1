"""What a verdict says of the instance that spoke against its release."""

from datetime import UTC, datetime, timedelta

import pytest

from homeport.model.fleet import Instance, Run, State
from homeport.plan.trouble import trouble

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("id_", "reason", "said"),
    [
        ("web-1", "", "web-1 ended by itself"),
        (
            "i-1:r3",
            "r3 isn't healthy after 8 s; r2 serves again",
            "i-1:r3: r3 isn't healthy after 8 s; r2 serves",
        ),
    ],
)
def test_only_what_ended_for_no_reason_ended_by_itself(id_: str, reason: str, said: str) -> None:
    dead = Instance(
        id=id_,
        app="plain",
        group="web",
        zone="a",
        release=3,
        created_at=AT,
        state=State.TERMINATED,
        run=Run.STOPPED,
        died=True,
        reason=reason,
    )
    found = trouble(dead, since_at=AT, grace=timedelta(seconds=8), baking_since_at=None)
    assert found.startswith(said)
