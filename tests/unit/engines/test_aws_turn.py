"""Whatever Systems Manager says of a command, or doesn't, a turn ends; and who isn't there keeps nobody from being
told."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from homeport.engines.aws.command import Commands
from homeport.engines.aws.fleet import Fleet, Member, Pool
from homeport.engines.aws.kept import Kept, Turn
from homeport.engines.aws.orders import Orders
from homeport.engines.aws.turn import DELIVERED_WITHIN, OVER_WITHIN, SHOWN_WITHIN, Turns
from homeport.engines.memory.clock import VirtualClock
from homeport.model.action import Start
from homeport.model.platform import Aws, Place

PLACE = Place(platform="shop", name="production", engine="aws", aws=Aws(account="123456789012", region="eu-west-1"))
SECOND = timedelta(seconds=1)


class Service:
    """Systems Manager as a client shows it. `states`: instance → (status, details); `unknown`: instances that it
    doesn't know."""

    def __init__(self) -> None:
        self.states: dict[str, tuple[str, str]] = {}
        self.unknown: set[str] = set()
        self.sent: list[Mapping[str, Any]] = []
        self.cancelled: list[str] = []
        self.errors = ""

    def send_command(self, **said: Any) -> Mapping[str, Any]:
        if self.unknown & set(said["InstanceIds"]):
            raise ClientError(
                {"Error": {"Code": "InvalidInstanceId", "Message": "not in a valid state"}}, "SendCommand"
            )
        self.sent.append(said)
        return {"Command": {"CommandId": f"c{len(self.sent)}"}}

    def get_paginator(self, _: str) -> "Service":
        return self

    def paginate(self, *, CommandId: str, Details: bool = False) -> Iterator[Mapping[str, Any]]:
        errors = f"----------ERROR-------\n{self.errors}" if self.errors else ""
        wrote = {"CommandPlugins": [{"Output": f"it serves\n{errors}"}]} if Details else {}
        yield {
            "CommandInvocations": [{"InstanceId": id_, "Status": each[0], **wrote} for id_, each in self.states.items()]
        }

    def get_command_invocation(self, *, CommandId: str, InstanceId: str) -> Mapping[str, Any]:
        status, details = self.states[InstanceId]
        return {"Status": status, "StatusDetails": details, "StandardErrorContent": self.errors}

    def cancel_command(self, *, CommandId: str, InstanceIds: list[str]) -> None:
        self.cancelled += InstanceIds


class Desk:
    """Turns of three instances, and what is kept of them."""

    def __init__(self) -> None:
        self.service = Service()
        self.clock = VirtualClock()
        self.kept = Kept(place=PLACE, url="")
        commands = Commands(self._client)
        self.pool = Pool(name="p", app="shop", group="web", capacity=3, targets=(), members=())
        self.heard: list[tuple[str, str]] = []
        self.turns = Turns(
            commands,
            self.clock,
            members=lambda: ("i-1", "i-2", "i-3"),
            change=self._change,
            hear=lambda instance, text: self.heard.append((instance, text)),
        )
        self.orders = Orders(
            PLACE,
            fleet=Fleet(self._client, PLACE),
            commands=commands,
            clock=self.clock,
            turns=self.turns,
            told=lambda: None,
        )

    def _client(self, _: str) -> Service:
        return self.service

    def _change(self, changed: Callable[[Kept], Kept]) -> Kept:
        self.kept = changed(self.kept)
        return self.kept

    def begin(self, *instances: str) -> None:
        with self.orders.together():
            for each in instances:
                self.orders.tell(self.pool, Start(instance=each, release=2))

    def after(self, time: timedelta, instance: str = "i-1") -> Turn:
        self.clock.advance(time.total_seconds())
        return self.turns.followed(self.kept).turns[instance]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_command_goes_to_all_at_once_whatever_becomes_of_it_on_one(desk: Desk) -> None:
    desk.begin("i-1", "i-2", "i-3")
    (said,) = desk.service.sent
    assert (said["MaxConcurrency"], said["MaxErrors"]) == ("100%", "100%")
    assert said["InstanceIds"] == ["i-1", "i-2", "i-3"]


@pytest.mark.parametrize(
    ("status", "details", "said"),
    [
        ("TimedOut", "DeliveryTimedOut", "couldn't deliver"),
        ("TimedOut", "Delivery Timed Out", "couldn't deliver"),
        ("Failed", "Undeliverable", "can't deliver"),
        ("Cancelled", "Terminated", "before it was sent"),
        ("Cancelled", "Cancelled", "was cancelled"),
        ("Failed", "AccessDenied", "denied access"),
    ],
)
def test_one_that_never_heard_of_it(desk: Desk, status: str, details: str, said: str) -> None:
    desk.begin("i-1")
    desk.service.states = {"i-1": (status, details)}
    turn = desk.after(SECOND)
    assert (turn.unheard, turn.command, said in turn.failed) == (True, "", True), turn.failed


def test_what_an_instance_wrote_is_handed_on_once_its_turn_is_over(desk: Desk) -> None:
    desk.begin("i-1", "i-2")
    desk.service.states = {"i-1": ("Success", "Success"), "i-2": ("InProgress", "InProgress")}
    for _ in range(2):
        desk.after(SECOND)
        assert desk.heard == [("i-1", "it serves\n")]


def test_one_that_heard_and_failed_is_another_matter(desk: Desk) -> None:
    desk.begin("i-1")
    desk.service.states = {"i-1": ("Failed", "Failed")}
    turn = desk.after(SECOND)
    assert (turn.unheard, turn.failed) == (False, "homeport-agent deploy: Failed")


def test_what_systems_managers_agent_adds_is_no_word_of_ours(desk: Desk) -> None:
    desk.begin("i-1")
    desk.service.states = {"i-1": ("Failed", "Failed")}
    said = "error: r2 isn't healthy; r1 serves again\n  it answered 500\n"
    desk.service.errors = f"{said}failed to run commands: exit status 6"
    turn = desk.after(SECOND)
    assert (turn.failed, turn.lines) == ("r2 isn't healthy; r1 serves again", ("  it answered 500",))
    assert desk.heard == [("i-1", "it serves\nerror: r2 isn't healthy; r1 serves again\n  it answered 500\n")]


def test_an_invocation_that_never_appears_is_given_up_and_mustnt_come_late(desk: Desk) -> None:
    desk.begin("i-1")
    assert desk.after(SHOWN_WITHIN).command == "c1"
    turn = desk.after(SECOND)
    assert (turn.unheard, "never took the command up" in turn.failed, desk.service.cancelled) == (True, True, ["i-1"])


def test_one_that_never_ends_is_given_up(desk: Desk) -> None:
    desk.begin("i-1")
    desk.service.states = {"i-1": ("InProgress", "InProgress")}
    assert desk.after(OVER_WITHIN).command == "c1"
    assert desk.after(SECOND).unheard


def test_who_isnt_known_keeps_nobody_from_being_told_and_is_tried_for_a_while(desk: Desk) -> None:
    desk.service.unknown = {"i-2"}
    desk.begin("i-1", "i-2", "i-3")
    assert [each["InstanceIds"] for each in desk.service.sent] == [["i-1"], ["i-3"]]
    assert desk.kept.turns["i-2"].unsent
    desk.clock.advance(DELIVERED_WITHIN.total_seconds())
    desk.begin("i-2")
    assert desk.kept.turns["i-2"].unsent
    desk.service.unknown = set()
    desk.begin("i-2")
    assert desk.kept.turns["i-2"].command == "c3", "it was only late"
    desk.service.unknown = {"i-3"}
    desk.begin("i-3")
    desk.clock.advance(DELIVERED_WITHIN.total_seconds() + 1)
    desk.begin("i-3")
    assert (desk.kept.turns["i-3"].unheard, desk.kept.turns["i-3"].unsent) == (True, False)


def test_who_is_inherited_runs_since_when_he_did(desk: Desk) -> None:
    begun_at = desk.clock.now()
    members = tuple(
        Member(
            id=each, zone="a", lifecycle="InService", well=True, launched_at=begun_at, tags={"homeport-release": "r1"}
        )
        for each in ("i-1", "i-2")
    )
    turned_at = begun_at + SECOND
    desk.kept = replace(desk.kept, turns={"i-2": Turn(release=1, command="", begun_at=turned_at)})
    desk.clock.advance(60)
    desk.turns.inherited(members, 2)
    assert {id_: (each.release, each.begun_at) for id_, each in desk.kept.turns.items()} == {
        "i-1": (2, begun_at),
        "i-2": (2, turned_at),
    }
