"""The life cycle's table: who may follow whom."""

from homeport.model.fleet import NEXT_STATES, State


def reached(start: State) -> set[State]:
    found, ahead = set(), [start]
    while ahead:
        for each in NEXT_STATES[ahead.pop()] - found:
            found.add(each)
            ahead.append(each)
    return found


def test_every_state_is_in_the_table_and_can_end() -> None:
    assert set(NEXT_STATES) == set(State)
    assert all(State.TERMINATED in reached(each) for each in State if each is not State.TERMINATED)


def test_what_ends_never_serves_again() -> None:
    for each in (State.TERMINATING_WAIT, State.TERMINATING, State.TERMINATED):
        assert not reached(each) & {State.PENDING, State.PENDING_WAIT, State.IN_SERVICE, State.STANDBY}


def test_nobody_skips_the_hook_of_the_other_end() -> None:
    assert State.TERMINATING_WAIT not in NEXT_STATES[State.TERMINATING]
    assert State.STANDBY not in NEXT_STATES[State.PENDING]
