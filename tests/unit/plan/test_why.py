"""The chain of causes, from events as `control.note` makes them."""

from typing import Any

import pytest

from homeport.errors import Invalid, NotFound
from homeport.model.event import Decided, Event, Sight
from homeport.model.fleet import State
from homeport.model.why import Console
from homeport.plan.cause import Past
from homeport.plan.why import MOST, Wanted, of_group, of_instance, of_session, subject
from homeport.testing.builder import after, instance, observation


def decided(kind: str, id_: str, seconds: float, message: str = "", *, app: str = "shop", **fields: Any) -> Event:
    known = Decided(**({"rule": kind, "observed_at": after(seconds), "group": "web", "release": 1} | fields))
    return Event(
        at=after(seconds), environment="shop/staging", kind=kind, subject=id_, message=message, app=app, decided=known
    )


def asked(
    kind: str,
    about: str,
    seconds: float,
    message: str,
    *what: str,
    app: str = "shop",
    environment: str = "shop/staging",
) -> Event:
    return Event(
        at=after(seconds), environment=environment, kind=kind, subject=about, message=message, app=app, asked=what
    )


def past(*events: Event, live: tuple[str, ...] = ()) -> Past:
    seen = observation(*(instance(each) for each in live))
    return Past(environment="shop/staging", observed=seen, events=events, journals={})


IN_B = Sight(state="InService", run="running", check="healthy", zone="b")


def test_who_took_its_zone_away() -> None:
    found = past(
        asked("zone_failed", "zone a", 1, "Bob has zone a fail (kill)", app=""),
        asked("zone_failed", "zone b", 2, "Ada has zone b fail (kill)", app=""),
        decided("drain", "web-2", 3, "lost with zone b", cause="lost", seen=IN_B),
        decided("launch", "web-4", 3, "3 of r1 wanted, 2 there", replaces="web-2"),
    )
    launch = of_instance(found, "shop", "web-4", "", Console()).causes[0]
    (fell,) = launch.because
    assert fell.what == "web-2 had to go: lost with zone b"
    assert [each.what for each in fell.because] == ["Ada has zone b fail (kill)"]


def test_only_what_was_asked_since_its_launch_makes_one_surplus() -> None:
    before = asked("scaled", "web", 1, "Ada scales web from 2 to 3")
    launch = decided("launch", "web-3", 2)
    stop = decided("stop", "web-3", 9, "one more than wanted of r1")
    alone = of_instance(past(before, launch, stop), "shop", "web-3", "", Console())
    assert [[one.what for one in each.because] for each in alone.causes] == [[before.message], []]
    down = asked("scaled", "web", 8, "Bob scales web from 3 to 2")
    other = asked("scaled", "jobs", 8.5, "Bob scales jobs from 3 to 2")
    then = of_instance(past(before, launch, down, other, stop), "shop", "web-3", "", Console())
    assert [one.what for one in then.causes[1].because] == [down.message]


def test_one_that_recovered_had_not_to_go_for_what_it_had_before() -> None:
    found = past(
        decided("sick", "web-1", 1, "in service, unhealthy", cause="sick"),
        decided("well_again", "web-1", 2),
        decided("enter_standby", "web-1", 5, "on standby, as it was asked", cause="standby"),
        decided("launch", "web-2", 5, replaces="web-1"),
    )
    (fell,) = of_instance(found, "shop", "web-2", "", Console()).causes[0].because
    assert fell.what == "web-1 had to go: on standby, as it was asked"


def test_what_is_not_kept_any_more_is_said() -> None:
    found = of_instance(past(decided("terminate", "web-1", 5, "gone")), "shop", "web-1", "", Console())
    assert found.summary == "web-1 has ended: gone"
    assert [each.partition(":")[0] for each in found.unknown] == ["who wanted it", "what it wrote"]


def test_a_long_past_is_told_from_both_ends() -> None:
    events = [decided("sick", "web-1", number, str(number)) for number in range(100)]
    told = [each.what for each in of_instance(past(*events), "shop", "web-1", "", Console()).causes]
    assert len(told) == MOST
    assert (told[0], told[-1]) == ("sick: 0", "sick: 99")


def test_a_group_tells_what_holds_it_back_and_since_when() -> None:
    note = decided("no_launch", "web", 4, "1 of r1 missing: Launch is suspended")
    found = past(asked("suspended", "web", 3, "Ada suspends Launch"), note, live=("web-1",))
    wanted = Wanted(size="2 wanted by the platform file, within 1 to 4", notes=(note.message,))
    told = of_group(found, "shop", "web", wanted)
    assert [each.what for each in told.causes[0].because] == ["Ada suspends Launch"]
    assert (told.causes[1].what, told.causes[1].because[0].at) == (note.message, after(4))
    assert told.causes[2].what.startswith("web-1: InService, r1")


def test_the_nearest_names_and_the_apps_that_share_one() -> None:
    shared = past(decided("launch", "web-12", 1), decided("launch", "web-13", 1, app="blog"), live=("web-1",))
    assert subject(shared, "web-12", None).app == "shop"
    assert subject(shared, "blog/web", None).kind == "group"
    with pytest.raises(Invalid, match="several apps: blog, shop"):
        subject(shared, "web", None)
    with pytest.raises(NotFound, match=r"near it: web-12, web-1"):
        subject(shared, "wbe-12", None)
    with pytest.raises(NotFound, match=r"near it: web$"):
        subject(shared, "7", None)


def test_ended_but_remembered() -> None:
    gone = instance("web-1", state=State.TERMINATED, reason="web ended with signal 9")
    found = Past(environment="shop/staging", observed=observation(gone), events=(), journals={})
    assert of_instance(found, "shop", "web-1", "", Console()).summary.endswith("zone a: web ended with signal 9")


def launched_for(*events: Event) -> list[str]:
    launch = decided("launch", "web-3", 9)
    causes = of_instance(past(*events, launch), "shop", "web-3", "", Console()).causes
    return [each.what for each in causes[0].because]


def test_who_wanted_more_is_who_changed_the_size_whatever_else_was_asked_since() -> None:
    scaled = asked("scaled", "web", 1, "Ada scales web from 2 to 3")
    others = (
        asked("suspended", "web", 2, "Bob suspends HealthCheck", "HealthCheck"),
        asked("standby", "web", 3, "Bob puts web-1 on standby", "enter"),
        asked("resumed", "web", 4, "Bob resumes HealthCheck", "HealthCheck"),
        asked("breaker", "web", 5, "Bob resets the breaker"),
    )
    assert launched_for(scaled, *others) == [scaled.message]
    late = asked("scaled", "web", 9, "Eve scales web from 3 to 4")
    launch = decided("launch", "web-3", 9)
    told = of_instance(past(scaled, launch, late), "shop", "web-3", "", Console()).causes[0]
    assert [each.what for each in told.because] == [scaled.message], "of the same moment: the order of records counts"


def test_who_let_it_go_on_comes_first() -> None:
    scaled = asked("scaled", "web", 1, "Ada scales web from 2 to 3")
    held = decided("no_launch", "web", 2, "1 of r1 missing: Launch is suspended")
    resumed = asked("resumed", "web", 3, "Bob resumes Launch", "Launch")
    assert launched_for(scaled, held, resumed) == [resumed.message, scaled.message]
    assert launched_for(held, resumed, scaled) == [scaled.message], "what was held then was something else"


def test_a_session_and_what_became_of_its_instance() -> None:
    found = past(
        asked("exec", "exec.4", 1, "Ada in web-3: bash (r1 of web)", "web-3"),
        decided("stop", "web-3", 2, "one more than wanted of r1"),
        asked("exec_ended", "exec.4", 3, "exit code 137 after 2.0 s: web-3 ended"),
    )
    assert subject(found, "exec.4", None).kind == "session"
    told = of_session(found, "shop", "exec.4", Console())
    assert told.summary == "exec.4: exit code 137 after 2.0 s: web-3 ended"
    assert [each.what for each in told.causes] == [
        "exec by Ada in web-3: bash (r1 of web)",
        "web-3 stop: one more than wanted of r1",
        "it ended: exit code 137 after 2.0 s: web-3 ended",
    ]
    goes_on = of_session(past(asked("run", "run.1", 1, "Ada: ./work (r1 of web)")), "shop", "run.1", Console())
    assert goes_on.summary == "run.1: goes on, as far as is known"
