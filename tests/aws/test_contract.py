"""What of the engines' contract holds on AWS, on the simulated one.

What launches, starts, kills and asks hooks by single actions isn't among it: there the group does that by itself, and
tests/aws/test_environment.py looks at what comes of it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from homeport.engines.aws.engine import AwsEngine
from homeport.model.fleet import Observation
from homeport.model.platform import Aws
from homeport.model.release import Release
from homeport.ports.clock import Clock
from homeport.ports.engine import Engine
from homeport.ports.objects import ObjectStore
from homeport.simulation.aws.simulator import Simulator
from homeport.stores.objects import open_store
from homeport.system.clock import SystemClock
from homeport.testing.builder import put_release, release
from homeport.testing.contract import EngineContract
from homeport.testing.world import APP
from tests.aws.world import IMAGE, until
from tests.memory_world import formation


class AwsWorld:
    """An environment with one pool, in which nobody is."""

    def __init__(self, aws: Simulator, directory: Path, listener: str) -> None:
        stated = formation()
        aws_place = replace(stated.place, engine="aws", aws=Aws(account=aws.account, region=aws.region))
        self.place = aws_place
        self.store: ObjectStore = open_store(str(directory))
        self.clock: Clock = SystemClock()
        self._releases = {each: release(each, replace(stated, place=aws_place)) for each in range(1, 6)}
        for each in self._releases.values():
            put_release(self.store, each)
        self.engine: Engine = AwsEngine(
            self.place,
            client=aws.client,
            store=self.store,
            clock=self.clock,
            url=lambda: "http://public.example.net",
            listener=lambda: listener,
        )
        self.engine.open_environment(self.place)

    def release(self, number: int) -> Release:
        return self._releases[number]

    def until(self, ready: Callable[[Observation], bool]) -> Observation:
        """Nothing takes its time here."""
        found = self.engine.observe(self.place.id)
        assert ready(found)
        return found

    def destroy(self, instance: str) -> None:
        raise AssertionError(f"there is no {instance}")

    def pause(self, seconds: float | None) -> None:
        return


@pytest.fixture
def subnets(aws: Simulator) -> list[str]:
    return [each["SubnetId"] for each in aws.client("ec2").describe_subnets()["Subnets"]][:2]


@pytest.fixture
def listener(aws: Simulator, subnets: list[str]) -> Iterator[str]:
    elb = aws.client("elbv2")
    balancer = elb.create_load_balancer(Name="contract", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    nothing = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain"}}
    said = {"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": [nothing]}
    made = elb.create_listener(**said)["Listeners"][0]["ListenerArn"]
    yield made
    assert [each["IsDefault"] for each in elb.describe_rules(ListenerArn=made)["Rules"]] == [True], "nothing is left"
    elb.delete_listener(ListenerArn=made)
    elb.delete_load_balancer(LoadBalancerArn=balancer)


@pytest.fixture
def pool(aws: Simulator, subnets: list[str]) -> Iterator[str]:
    ec2, scaling, name = aws.client("ec2"), aws.client("autoscaling"), "contract"
    data = {"ImageId": IMAGE, "InstanceType": "t3.small"}
    template = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
    place = formation().place
    said = {"platform": place.platform, "environment": place.name, "app": APP, "group": "web"}
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=0,
        MaxSize=2,
        VPCZoneIdentifier=subnets[0],
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": "1"},
        Tags=[{"Key": f"homeport-{key}", "Value": said[key], "PropagateAtLaunch": False} for key in said],
    )
    yield name
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    until(lambda: not scaling.describe_auto_scaling_groups()["AutoScalingGroups"], "it has gone")
    ec2.delete_launch_template(LaunchTemplateId=template["LaunchTemplateId"])


@pytest.fixture
def world(aws: Simulator, tmp_path: Path, listener: str, pool: str) -> AwsWorld:
    (tmp_path / "store").mkdir()
    return AwsWorld(aws, tmp_path / "store", listener)


class TestAwsEngine:
    test_unknown_release = EngineContract.test_preparing_an_unknown_release_fails_and_says_so
    test_prepared_release = EngineContract.test_prepared_release_is_remembered
    test_pointers = EngineContract.test_pointers
    test_fence = EngineContract.test_lower_fence_is_refused
    test_known_app = EngineContract.test_an_app_is_known_before_anything_is_done_to_it
    test_unknown_instance = EngineContract.test_unknown_instance
    test_events = EngineContract.test_events
    test_asked_of_a_group = EngineContract.test_what_is_asked_of_a_group_is_kept
    test_maintenance = EngineContract.test_maintenance_is_kept_until_it_is_over


def test_who_comes_second_sees_what_the_first_one_kept(world: AwsWorld, aws: Simulator) -> None:
    other = AwsEngine(world.place, client=aws.client, store=world.store, clock=world.clock, url=lambda: "")
    for fence in range(1, 8):
        (world.engine, other)[fence % 2].admit(world.place.id, APP, fence=fence)
    assert world.engine.observe(world.place.id).fence == other.observe(world.place.id).fence == {APP: 7}
    world.engine.begin_close(world.place.id)
    assert other.observe(world.place.id).closing
    other.close_environment(world.place.id)
    assert world.engine.environments() == {}
    assert [each for each in world.store.list("_environments/") if "state" in each] == []
