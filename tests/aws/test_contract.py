"""Engine aws keeps the contract, on the simulated AWS: in an environment as `homeport up` makes it, with instances that
boot. What a case leaves as it found it, the next one finds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from homeport.agent.fleet import LAST_HOOK
from homeport.engines.aws.answer import STATES
from homeport.engines.aws.engine import AwsEngine
from homeport.instance.task import NEVER_STARTED
from homeport.model.action import RunTask, SetCapacity, Stop, Terminate
from homeport.model.fleet import Observation, State
from homeport.model.release import ConfigValue, Release, Snapshot
from homeport.plan.last_words import last_words_prefix
from homeport.plan.release import release_key
from homeport.releases.catalogue import Catalogue
from homeport.releases.publish import encode, publish_snapshot
from homeport.simulation.aws.service import Application, Knock
from homeport.simulation.aws.simulator import Simulator
from homeport.stores.objects import open_store
from homeport.system.clock import SystemClock
from homeport.testing.contract import EngineContract
from homeport.testing.contract_healing import HealingContract
from homeport.testing.step import GONE, living, run, serves, state
from homeport.testing.world import APP, BAD_TASK, BETTER, DEAF, GOOD, NEVER_HEALTHY
from tests.app_repository import make_repository
from tests.e2e.person import Person

FILE = """app = "plain"
[health]
path = "/healthz"
interval = "200ms"
grace = "60s"
unhealthy_after = "50s"
[groups.web]
run = ["web"]
instances = { min = 0, desired = 0, max = 4 }
stop_grace = "5m"
drain = "1s"
[groups.worker]
run = ["worker"]
instances = { min = 0, desired = 0, max = 4 }
stop_grace = "5m"
[deploy]
bake = "200ms"
[environments.production]
engine = "aws"
account = "123456789012"
region = "eu-west-1"
"""
CONFIGS = {
    BETTER: {"APP_BETTER": "yes"},
    NEVER_HEALTHY: {"APP_HEALTH": "500"},
    DEAF: {"APP_IGNORE_TERM": "1"},
    BAD_TASK: {"APP_TASK": "fail"},
}
FULL = ("InsufficientInstanceCapacity", "We currently do not have sufficient capacity in the Availability Zone")
PATIENCE_SECONDS, SETTLE_SECONDS = 120, 30


class AwsWorld:
    """An environment with a pool for each group. Nobody is in it at first, and later at most one who serves."""

    def __init__(self, aws: Simulator) -> None:
        self.aws = aws
        self.store = open_store(f"s3://homeport-plain-{aws.account}-{aws.region}")
        self.clock = SystemClock()
        first = Catalogue(self.store).get(APP, "production", GOOD)
        self.place = first.resolved.place
        self.releases = {GOOD: first, **{number: self._put(first, number) for number in CONFIGS}}
        self.engine = self.driver()

    def _put(self, first: Release, number: int) -> Release:
        """It lies in the store."""
        values = {key: ConfigValue(text=text, layer="config set #1") for key, text in CONFIGS[number].items()}
        resolved = first.resolved
        if number == NEVER_HEALTHY:  # and soon given up
            short = timedelta(seconds=1)
            groups = tuple(replace(each, health=replace(each.health, grace=short)) for each in resolved.groups)
            resolved = replace(resolved, groups=groups)
        snapshot = Snapshot(groups={each.name: values for each in resolved.groups})
        sha = publish_snapshot(self.store, APP, "production", snapshot)
        made = replace(first, number=number, origin=number, config=sha, resolved=resolved)
        self.store.create(release_key(APP, "production", number), encode(made))
        return made

    def driver(self) -> AwsEngine:
        """An engine that knows nothing but what AWS and the store say."""
        return AwsEngine(
            self.place,
            client=self.aws.client,
            store=self.store,
            clock=self.clock,
            url=lambda: "http://public.example.net",
            listener=self._listener,
        )

    def _listener(self) -> str:
        (balancer,) = self.aws.client("elbv2").describe_load_balancers()["LoadBalancers"]
        said = self.aws.client("elbv2").describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])
        return str(said["Listeners"][0]["ListenerArn"])

    def release(self, number: int) -> Release:
        return self.releases[number]

    def until(self, ready: Callable[[Observation], bool], seconds: float = PATIENCE_SECONDS) -> Observation:
        deadline = time.monotonic() + seconds
        while not ready(observed := self.engine.observe(self.place.id)):
            assert time.monotonic() < deadline, f"never ready: {observed}"
            self.pause(0.05)
        return observed

    def destroy(self, instance: str) -> None:
        self.aws.hypervisor.crash(instance)

    def pause(self, seconds: float | None) -> None:
        time.sleep(0.05 if seconds is None else min(seconds, 0.05))

    @contextmanager
    def refusing(self) -> Iterator[None]:
        def full(knock: Knock, application: Application) -> Application:
            return knock.refusal(*FULL) if knock.operation == "RunInstances" else application

        self.aws.door.weather = full
        try:
            yield
        finally:
            self.aws.door.weather = None

    def begin(self) -> None:
        """Whatever was kept of the environment, nothing is; who serves goes on."""
        self.engine = self.driver()
        self.engine.memory.forget()
        self.engine.diary.forget()
        for key in self.store.list(last_words_prefix(APP, "production")):
            self.store.delete(key)
        self.engine.open_environment(self.place)

    def leave(self) -> None:
        """One of web may stay, if it came from the first release and serves."""
        self.begin()
        self._bury()
        counts = {each.group: each.count for each in self.engine.observe(self.place.id).capacity}
        if counts != {"web": 1, "worker": 0} or not self._settled():
            self.empty()

    def _bury(self) -> None:
        """Nobody waits for the last word of who is dead, as groups do until their hook's time is over."""
        leaving = (State.TERMINATING, State.TERMINATING_WAIT)
        for pool in self.engine.fleet.look():
            for each in pool.members:
                if each.down and STATES[each.lifecycle] in leaving:
                    self._last_word(pool.name, each.id)

    def _last_word(self, group: str, instance: str) -> None:
        self.until(lambda seen: state(seen, instance) in (State.TERMINATING_WAIT, *GONE))
        with suppress(ClientError):  # it has gone just now
            self.aws.client("autoscaling").complete_lifecycle_action(
                AutoScalingGroupName=group,
                LifecycleHookName=LAST_HOOK,
                InstanceId=instance,
                LifecycleActionResult="CONTINUE",
            )

    def _settled(self) -> bool:
        """Whether there is one as it should be, or soon."""

        def whole(seen: Observation) -> bool:
            found = living(seen)
            return len(found) == 1 and serves(found[0])

        try:
            if any(each.release != GOOD for each in living(self.engine.observe(self.place.id))):
                return False
            return all(each.release == GOOD for each in living(self.until(whole, SETTLE_SECONDS)))
        except AssertionError:
            return False

    def empty(self) -> None:
        """Nobody is left."""

        def gone(seen: Observation) -> bool:
            for group in seen.capacity:
                nobody = SetCapacity(app=group.app, group=group.group, count=0, going=group.protected)
                self.engine.execute(self.place.id, nobody, fence=1_000)
            for each in living(seen):
                if each.state is State.STANDBY:
                    self.engine.execute(self.place.id, Terminate(instance=each.id), fence=1_000)
                if each.state is State.TERMINATING_WAIT:
                    self.engine.execute(self.place.id, Stop(instance=each.id), fence=1_000)
            return not living(seen)

        self.until(gone)


@pytest.fixture(scope="module")
def environment(running_aws: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsWorld]:
    """Brought up, and taken down, by a person's commands."""
    path = tmp_path_factory.mktemp("contract")
    person = Person(make_repository("plain", path, edits={"homeport.toml": FILE}), path / "home",
                    environ=running_aws.variables)  # fmt: skip
    with pytest.MonkeyPatch.context() as shell:
        for name, value in running_aws.variables.items():
            shell.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            shell.delenv(name, raising=False)
        try:
            person("up", "--yes")
            world = AwsWorld(running_aws)
            yield world
            world.begin()
            world.empty()
        finally:
            person.begin("down", "--yes", "--purge").communicate(timeout=240)


@pytest.fixture
def world(aws: Simulator, environment: AwsWorld) -> Iterator[AwsWorld]:
    environment.begin()
    try:
        yield environment
    finally:
        environment.leave()


class TestAwsEngine(EngineContract, HealingContract):
    pass


def test_who_comes_second_sees_what_the_first_one_kept(world: AwsWorld) -> None:
    other = world.driver()
    for fence in range(1, 8):
        (world.engine, other)[fence % 2].admit(world.place.id, APP, fence=fence)
    assert world.engine.observe(world.place.id).fence == other.observe(world.place.id).fence == {APP: 7}
    world.engine.begin_close(world.place.id)
    assert other.observe(world.place.id).closing


@pytest.mark.parametrize("full", [1, 3])
def test_a_task_goes_to_a_zone_that_has_room(world: AwsWorld, full: int) -> None:
    """`full`: so many of the three zones have none."""
    refused: list[str] = []

    def weather(knock: Knock, application: Application) -> Application:
        if knock.operation != "RunInstances":
            return application
        subnet = str(knock.form["SubnetId"])
        if subnet not in refused and len(refused) < full:
            refused.append(subnet)
        return knock.refusal(*FULL, status=500) if subnet in refused else application

    task = f"t-full-{full}"
    world.aws.door.weather = weather
    try:
        run(world, RunTask(app=APP, task=task, release=GOOD, command="true"))
    finally:
        world.aws.door.weather = None
    (seen,) = world.until(lambda each: each.tasks[0].exit_code is not None).tasks
    launched = world.aws.client("ec2").describe_instances(Filters=[{"Name": "tag:homeport-task", "Values": [task]}])
    subnets = [each["SubnetId"] for one in launched["Reservations"] for each in one["Instances"]]
    if full == 3:
        assert (seen.exit_code, subnets) == (NEVER_STARTED, [])
        assert FULL[1] in seen.tail[0]
    else:
        assert (seen.exit_code, len(subnets)) == (0, 1)
        assert not set(subnets) & set(refused)
