"""Whatever goes wrong between a driver and AWS, an environment comes to where it was told to go, or back: nothing is
doubled or lost.

The driver runs in this process, so that it can die at each call that changes AWS. One environment for all of them, in
this order.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from homeport.control.control import Control
from homeport.engines.aws.cloud import AwsCloud
from homeport.engines.aws.engine import AwsEngine
from homeport.errors import Conflict, HomeportError
from homeport.model.deployment import Verdict
from homeport.model.release import Release
from homeport.model.stack import Target
from homeport.plan.release import release_key
from homeport.releases.catalogue import Catalogue
from homeport.releases.publish import encode
from homeport.simulation.aws.service import Knock
from homeport.simulation.aws.simulator import Simulator
from homeport.stores.objects import open_store
from homeport.system import effect
from homeport.system.clock import SystemClock
from tests.aws.environment import asked_all_the_time, leaving, person_of, public
from tests.aws.weather import DRIVER, Weather
from tests.e2e.person import Person

WRITES = ("Create", "Set", "Send", "Register", "Deregister", "Terminate", "Put", "Suspend", "Resume")
APP, PLACE = "plain", "plain/production"
PATIENCE_SECONDS = 400
REACHED = {"aws.deregister", "aws.forget", "aws.keep", "aws.register", "aws.send_command", "aws.set_capacity"}
"""Of the engine's labels; the others are one call each that changes nothing when it is repeated."""


class Killed(BaseException):
    """Nobody in the driver may catch it, as nobody catches SIGKILL."""


class Deaths:
    """Stands where the program would be killed: before and after each labelled call, once. Who has died does nothing
    more."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.armed = self.dead = False

    def __call__(self, label: str, when: str) -> None:
        if not self.armed or threading.current_thread() is not threading.main_thread():
            return
        name = f"{label}:{when}"
        if self.dead or name not in self.seen:
            self.seen.add(name)
            self.dead = True
            raise Killed(name)


class Operator:
    """Gives commands, and is there again whenever the driver has died."""

    def __init__(self, aws: Simulator, person: Person, deaths: Deaths) -> None:
        self.aws = aws
        self.deaths = deaths
        self.mortal = False
        self.cloud = AwsCloud()
        self.store = open_store(f"s3://homeport-plain-{aws.account}-{aws.region}")
        self.first = Catalogue(self.store).get(APP, "production", 1)
        self.place = self.first.resolved.place
        self.control = self.driver()

    def driver(self) -> Control:
        self.deaths.dead = False
        target = Target(self.aws.account, self.aws.region)
        engine = AwsEngine(
            self.place,
            client=lambda service: self.cloud.client(service, target),
            store=self.store,
            clock=SystemClock(),
            url=lambda: "http://public.example.net",
        )
        return Control(engine, self.store, SystemClock(), holder="the operator")

    def release(self, number: int, web: str) -> Release:
        """It lies in the store."""
        resolved = replace(self.first.resolved, processes={"web": web})
        made = replace(self.first, number=number, origin=number, resolved=resolved)
        self.store.create(release_key(APP, "production", number), encode(made))
        return made

    def until(self, done: Callable[[Control], bool], command: Callable[[Control], object] = lambda _: None) -> None:
        """`command` is given again where nobody knows whether it was carried out."""
        self.deaths.armed = self.mortal
        try:
            self._until(done, command)
        finally:
            self.deaths.armed = False

    def _until(self, done: Callable[[Control], bool], command: Callable[[Control], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        asked = False
        while True:
            assert time.monotonic() < deadline, self.state()
            try:
                if not asked:
                    with suppress(Conflict):  # it was carried out, and the answer got lost
                        command(self.control)
                    asked = True
                self.control.tick()
                for app in [app for each in self.control.environments.values() for app in each.apps.values()]:
                    app.beat()
                if done(self.control):
                    return
                time.sleep(0.05)
            except Killed:
                self.control = self.reborn()
            except HomeportError:
                time.sleep(0.05)

    def reborn(self) -> Control:
        while True:
            try:
                return self.driver()
            except Killed:
                continue

    def deploy(self, number: int, web: str = "exec python3 web.py") -> Verdict:
        self.release(number, f"{web} # {number}")

        def begin(control: Control) -> None:
            control.deploy(self.place, APP, number, by="somebody", why="")

        def ended(control: Control) -> bool:
            newest = control.newest(PLACE, APP)
            return newest is not None and newest.started.release == number and newest.ended is not None

        self.until(ended, begin)
        newest = self.control.newest(PLACE, APP)
        assert newest is not None
        assert newest.ended is not None
        return newest.ended.verdict

    def running(self) -> list[tuple[str, int]]:
        """(id, release) of the instances that carry traffic, if there are no others."""
        seen = [each for each in self.control.engine.observe(PLACE).instances if each.state.value != "Terminated"]
        carrying = [each for each in seen if each.state.value == "InService" and each.check.value == "healthy"]
        return [(each.id, each.release) for each in carrying] if len(carrying) == len(seen) else []

    def state(self) -> str:
        try:
            seen = self.control.engine.observe(PLACE).instances
            troubles = [each.trouble for each in self.control.environments.values()]
            waits = [app.waits_for for each in self.control.environments.values() for app in each.apps.values()]
            return (
                f"{troubles} {waits} {[(each.id, each.state, each.check, each.release, each.reason) for each in seen]}"
            )
        except HomeportError as error:
            return error.message


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> Deaths:
    found = Deaths()
    monkeypatch.setattr(effect, "crash_point", found)
    return found


@pytest.fixture(scope="module")
def person(running_aws: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    directory: Path = tmp_path_factory.mktemp("fault")
    with leaving(person_of(running_aws, directory)) as found:
        found("up", "--yes")
        yield found


@pytest.fixture(scope="module")
def url(running_aws: Simulator, person: Person) -> str:
    return public(running_aws, person)


@pytest.fixture
def operator(aws: Simulator, person: Person, deaths: Deaths, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    for name, value in (aws.variables | {"AWS_ACCESS_KEY_ID": DRIVER}).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield Operator(aws, person, deaths)
    aws.door.weather = None


def every(step: int, answer: tuple[str, str, int], *, times: int, writes: bool = False) -> Callable[[Knock], Any]:
    """Each so manieth call of ours, or of those that change something; so often at most: whoever is throttled again and
    again asks ever more slowly."""
    count = [0]

    def fault(knock: Knock) -> tuple[str, str, int] | None:
        if not knock.operation or (writes and not knock.operation.startswith(WRITES)):
            return None
        count[0] += 1
        return answer if count[0] % step == 0 and count[0] <= step * times else None

    return fault


THROTTLED = ("ThrottlingException", "Rate exceeded", 400)
FAILED = ("InternalFailure", "We encountered an internal error", 500)
EXPIRED = ("ExpiredTokenException", "The security token included in the request is expired", 400)


def test_bad_weather_is_sat_out_and_somebody_else_goes_on(aws: Simulator, url: str, operator: Operator) -> None:
    with asked_all_the_time(url) as wrong:
        # throttled, answered with 500 after it was carried out, and told what was a moment ago
        bad = Weather(refused=every(9, THROTTLED, times=6), lost=every(2, FAILED, times=4, writes=True), lag=1)
        aws.door.weather = bad
        assert operator.deploy(2) is Verdict.GOOD
        operator.until(lambda _: {number for _, number in operator.running()} == {2})
        assert {each.split()[0] for each in bad.seen} == {"refused", "lost", "lagged"}, bad.seen

        # credentials end in the middle
        begun = operator.release(3, "exec python3 web.py # 3")
        sent = aws.door.calls["ssm.SendCommand"]
        operator.until(
            lambda _: aws.door.calls["ssm.SendCommand"] > sent,
            lambda control: control.deploy(operator.place, APP, begun.number, by="somebody", why=""),
        )
        aws.door.weather = Weather(refused=lambda _: EXPIRED)
        for _ in range(5):
            operator.control.tick()
        assert "expired" in next(iter(operator.control.environments.values())).trouble
        aws.door.weather = None
        operator.control = operator.driver()
        operator.until(lambda control: {number for _, number in operator.running()} == {3} and not going_on(control))
    assert wrong == []


def test_who_drives_may_die_before_and_after_each_call(
    aws: Simulator, url: str, operator: Operator, deaths: Deaths
) -> None:
    operator.mortal = True
    with asked_all_the_time(url) as wrong:
        assert operator.deploy(4) is Verdict.GOOD
        assert operator.deploy(5, "echo going under; exit 3") is Verdict.FAILED
        newest = operator.control.newest(PLACE, APP)
        assert newest is not None
        assert newest.ended is not None
        assert "web keeps ending" in str(newest.ended.evidence), "nobody waits for that"
        operator.until(lambda _: [number for _, number in operator.running()] == [4, 4])
    assert wrong == []
    numbers = [each[0].release for each in operator.control.environments[PLACE].apps[APP].journals.all()]
    assert numbers == [1, 2, 3, 4, 5], "each deployment is there once"
    operator.until(lambda control: not control.environments, lambda control: control.down(PLACE))
    labels = {each.split(":")[0] for each in deaths.seen}
    assert labels >= REACHED


def going_on(control: Control) -> bool:
    newest = control.newest(PLACE, APP)
    return newest is not None and newest.ended is None
