"""Which decisions become events, and what they say of how they came about. Decisions: the real decider's."""

from homeport.control.note import SAID_AGAIN, Notes
from homeport.model.asked import GroupAsked, Suspendable
from homeport.model.event import Event
from homeport.model.fleet import Check, Cohort, GroupDesired, Instance, Probe, Process, Run, Silence, State, Target
from homeport.plan.fleet import reconcile
from homeport.testing.builder import NOW, after, desired, instance, observation

THREE = [instance("web-1", zone="a"), instance("web-2", zone="b"), instance("web-3", zone="c")]
FULL = desired(Cohort(release=1, count=3))


def tick(notes: Notes, wanted: GroupDesired, *instances: Instance, seconds: float = 0, failed: str = "") -> list[Event]:
    """Events of a tick at that time."""
    observed = observation(*instances, at=after(seconds))
    notes.see(observed)
    plan = reconcile(wanted, observed, after(seconds))
    events = [
        notes.event(each, wanted, observed, after(seconds), failed=failed if each.action else "")
        for each in plan.decisions
    ]
    return [each for each in events if each is not None]


def kinds(events: list[Event]) -> list[tuple[str, str]]:
    return [(each.kind, each.subject) for each in events]


def sick(id_: str, since: float = -5) -> Instance:
    probe = Probe(asked="GET /healthz", ok=False, at=after(-1), error="no answer", silence=Silence.TIMEOUT)
    return instance(id_, check=Check.UNHEALTHY, check_since_at=after(since), probe=probe)


def test_what_stays_as_it_is_is_no_news() -> None:
    notes = Notes("shop/staging")
    assert tick(notes, FULL, *THREE) == []
    assert tick(notes, FULL, *THREE, seconds=1) == []


def test_a_dead_instance_and_the_one_in_its_place() -> None:
    notes = Notes("shop/staging")
    well = instance("web-1", probe=Probe(asked="GET /healthz", ok=True, at=after(-3), status=200, body="fine"))
    tick(notes, FULL, well, *THREE[1:])
    processes = (Process(name="web", up=False, exits=1, last_exit="signal 9"),)
    dead = instance("web-1", run=Run.STOPPED, died=True, reason="web ended with signal 9", processes=processes)
    launch, cleaned = tick(notes, FULL, dead, *THREE[1:], seconds=1)
    assert launch.decided is not None
    assert cleaned.decided is not None
    assert (launch.kind, launch.decided.rule, launch.decided.replaces) == ("launch", "launch", "web-1")
    assert launch.message.endswith("in place of web-1")
    assert (cleaned.kind, cleaned.decided.rule, cleaned.decided.observed_at) == ("terminate", "gone", after(1))
    seen = cleaned.decided.seen
    assert seen is not None
    assert (seen.died, seen.exits) == (True, ("web ended once: signal 9",))
    assert (seen.asked, seen.answered, seen.answered_at) == ("GET /healthz", "200 fine", after(-3))


def test_sick_once_and_well_again_once() -> None:
    notes = Notes("shop/staging")
    tick(notes, FULL, *THREE)
    (first,) = tick(notes, FULL, sick("web-1"), *THREE[1:])
    assert (first.kind, first.subject) == ("sick", "web-1")
    assert "hung" in first.message
    assert tick(notes, FULL, sick("web-1"), *THREE[1:], seconds=1) == []
    assert kinds(tick(notes, FULL, *THREE, seconds=2)) == [("well_again", "web-1")]
    flaps = [each for second in range(3, 40) for each in tick(notes, FULL, *_flapping(second), seconds=second)]
    assert flaps == [], "what comes and goes is noted now and then"
    later = SAID_AGAIN.total_seconds() + 3
    assert kinds(tick(notes, FULL, sick("web-1"), *THREE[1:], seconds=later)) != []


def _flapping(second: int) -> list[Instance]:
    return [sick("web-1", second) if second % 2 else THREE[0], *THREE[1:]]


def test_who_must_go_is_said_with_its_cause_and_its_successor() -> None:
    notes = Notes("shop/staging")
    old = sick("web-1", -60)
    needed, launch = tick(notes, FULL, old, *THREE[1:])
    assert needed.decided is not None
    assert launch.decided is not None
    assert (needed.kind, needed.decided.cause) == ("still_needed", "sick")
    assert (launch.kind, launch.decided.replaces) == ("launch", "web-1")
    fresh = instance(
        "web-4", target=Target.UNUSED, state=State.PENDING, in_service_at=None, check=Check.INITIAL, started_at=NOW
    )
    assert tick(notes, FULL, old, *THREE[1:], fresh, seconds=1) == []
    dead = instance("web-2", run=Run.STOPPED, died=True)
    later = tick(notes, FULL, old, dead, THREE[2], fresh, seconds=2)
    assert [each.decided.replaces for each in later if each.decided and each.kind == "launch"] == ["web-2"]


def test_what_holds_a_group_back_is_said_once_until_it_comes_again() -> None:
    notes = Notes("shop/staging")
    suspended = GroupAsked(app="shop", group="web", suspended=(Suspendable.LAUNCH, Suspendable.REPLACE_UNHEALTHY))
    wanted = desired(Cohort(release=1, count=4), asked=suspended)
    first = tick(notes, wanted, sick("web-1"), *THREE[1:])
    assert ("no_launch", "web") in kinds(first)
    assert ("suspended", "web") in kinds(first)
    assert tick(notes, wanted, sick("web-1"), *THREE[1:], seconds=1) == []
    tick(notes, FULL, *THREE, seconds=2)
    again = SAID_AGAIN.total_seconds() + 3
    assert ("no_launch", "web") in kinds(tick(notes, wanted, *THREE, seconds=again))


def test_an_action_that_fails_again_and_again_is_said_once() -> None:
    notes = Notes("shop/staging")
    (first,) = tick(notes, FULL, *THREE[1:], failed="the disk is full")
    assert (first.kind, first.message.endswith("; the disk is full")) == ("launch_failed", True)
    assert tick(notes, FULL, *THREE[1:], seconds=1, failed="the disk is full") == []
    assert kinds(tick(notes, FULL, *THREE[1:], seconds=2)) == [("launch", "web-4")]


def test_what_ends_inside_an_instance_that_lives_on() -> None:
    notes = Notes("shop/staging")

    def seen(seconds: float, exits: int, *, oom_kills: int = 0, generation: int = 1, **fields: object) -> list[Event]:
        starved = bool(fields.get("starved"))
        web = Process(name="web", up=True, exits=exits, last_exit="signal 9", out_of_memory=starved)
        now = instance("web-1", processes=(web,), oom_kills=oom_kills, generation=generation)
        return notes.see(observation(now, at=after(seconds)))

    assert seen(0, exits=2) == [], "how often it had ended before isn't news"
    (ended,) = seen(1, exits=3, oom_kills=1, starved=True)
    assert (ended.kind, ended.subject) == ("process_ended", "web-1")
    assert ended.message == "web ended with signal 9, 3 times by now; its supervisor starts it again"
    assert seen(2, exits=4, oom_kills=1, starved=True) == [], "not more often than what comes and goes"
    (killed,) = seen(3, exits=4, oom_kills=2)
    assert killed.kind == "out_of_memory", "a process whose own parent replaces it"
    assert seen(4, exits=9, generation=2) == [], "another generation counts anew"
