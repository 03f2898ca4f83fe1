"""An environment on AWS: its control plane and store, and what is asked of the account before anything is made there.
Called by `cli`, `storage` and `engine`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeport.errors import Conflict, HomeportError, NotFound
from homeport.wiring import cloud

if TYPE_CHECKING:
    from homeport.console.inside import Inside
    from homeport.engines.aws.engine import AwsEngine
    from homeport.engines.aws.price import Prices
    from homeport.model.check import Check
    from homeport.model.platform import Place
    from homeport.model.stack import Deployed, Target
    from homeport.ports.clock import Clock
    from homeport.ports.cloudformation import CloudFormation
    from homeport.ports.objects import ObjectStore
    from homeport.ports.session import Sessions

AT_FIRST = ("autoscaling", "ec2", "elbv2")
"""Services that a look at an environment asks, in this order."""

_stores: dict[str, ObjectStore] = {}
"""By URL: what one part of a command has fetched no other fetches again."""


def target(place: Place) -> Target:
    from homeport.model.stack import Target
    from homeport.plan.aws_stacks import of

    aws = of(place)
    return Target(aws.account, aws.region)


def cloudformation(place: Place) -> CloudFormation:
    """Where its stacks stand."""
    return cloud.chosen().cloudformation(target(place))


def standing(place: Place) -> dict[str, Deployed]:
    """The environment's stacks that are there, by their ids, whoever made them: all but the store's. Raises
    `Unavailable`, `Invalid`."""
    from homeport.plan.aws_stacks import owner, store_name
    from homeport.stacks.standing import of_owner

    found = of_owner(cloudformation(place), owner(place))
    return {id_: each for id_, each in found.items() if each.name != store_name(place)}


def store(place: Place) -> ObjectStore:
    from homeport.plan.aws_stacks import store_url
    from homeport.stores.fetched import FetchedObjects
    from homeport.stores.objects import open_store

    url = store_url(place)
    if url not in _stores:
        _stores[url] = FetchedObjects(open_store(url), again="_environments/")
    return _stores[url]


def share_identity(place: Place, path: Path) -> None:
    """The environment's age identity lies at `path`, and in a parameter of which all others have it."""
    from homeport.engines.aws.identity import share
    from homeport.plan.aws_stacks import identity_path
    from homeport.stores.encryption import make_identity

    client = _client(place)
    check_account(place)
    share(client, identity_path(place), path, make_identity)


# --- what runs -----------------------------------------------------------------------------------------------------


def control_inside(place: Place) -> Inside:
    """The environment's control plane, in this process. Raises `Invalid` without credentials, `Conflict` with those of
    another account, `Unavailable`."""
    from homeport.system.clock import SystemClock

    clock = SystemClock()
    said: deque[tuple[str, str]] = deque()
    engine = _engine(place, clock, hear=lambda instance, text: said.append((instance, text)))
    from homeport.console.inside import Inside
    from homeport.control.control import Control

    holder = f"{os.uname().nodename}:{os.getpid()}:{clock.now().isoformat(timespec='seconds')}"
    return Inside(Control(engine, engine.store, clock, holder=holder), said)


def sessions(place: Place) -> Sessions:
    """Commands that people run on its instances. Raises as `control_inside`."""
    from homeport.engines.aws.sessions import AwsSessions
    from homeport.system.clock import SystemClock

    return AwsSessions(_engine(place, SystemClock()))


def _engine(place: Place, clock: Clock, hear: Callable[[str, str], None] | None = None) -> AwsEngine:
    from homeport.engines.aws.kept import Memory

    # the longest way first: what the store keeps, and then the clients, come while the rest is imported
    objects = store(place)
    memory = Memory(objects, place.id, clock)
    memory.begin()
    cloud.aws().begin(target(place), AT_FIRST)
    from homeport.engines.aws.engine import AwsEngine

    check_account(place)
    return AwsEngine(
        place,
        client=_client(place),
        store=objects,
        memory=memory,
        hear=hear,
        clock=clock,
        url=lambda: _url(place),
        listener=lambda: _edge(place)["Listener"],
    )


def _client(place: Place) -> Callable[[str], Any]:
    """Makes boto3's clients, by the name of the service."""
    found, where = cloud.aws(), target(place)
    return lambda service: found.client(service, where)


def _url(place: Place) -> str:
    """Of the environment's public side. Raises `NotFound` while its stacks don't stand."""
    from homeport.plan.aws_stacks import of

    return f"{'https' if of(place).certificate else 'http'}://{_edge(place)['Name']}"


def _edge(place: Place) -> Mapping[str, str]:
    """Name and listener of the environment's balancer. Raises `NotFound`."""
    from homeport.plan.aws_stacks import edge_name

    deployed = cloud.aws().cloudformation(target(place)).describe(edge_name(place))
    if deployed is None or not deployed.outputs.get("Name"):
        raise NotFound(f"{place.id} has no load balancer", hint=f"homeport up -e {place.name}")
    return deployed.outputs


# --- what is asked before anything is made, or goes ----------------------------------------------------------------


def check_account(place: Place) -> None:
    """Nothing, where the credentials are of the account that the file names. Raises `Conflict`, `Invalid`."""
    expected = target(place)
    found = cloud.aws().caller(expected)
    if found != expected.account:
        raise Conflict(
            f"these credentials are of account {found}, {place.id} is in {expected.account}",
            hint="export AWS_PROFILE=<one for that account>",
        )


def check_region(place: Place) -> None:
    """Nothing, where its region has all that an environment stands on, as far as boto3 knows. Raises `Invalid`."""
    from homeport.plan.aws_stacks import of

    cloud.aws()  # which says what is missing where boto3 isn't installed
    from homeport.engines.aws import premises

    premises.check_region(place, of(place))


def check_image(place: Place) -> None:
    """Nothing, where there is a machine image to boot from. Raises `Invalid`, `Unavailable`."""
    from homeport.engines.aws import premises
    from homeport.plan.aws_stacks import of

    premises.check_image(_client(place), place, of(place))


def check_premises(place: Place, *, fresh: bool, addresses: Sequence[str]) -> None:
    """Nothing, where what the file asks for is to be had; `fresh`: its bucket too, which is yet to be made;
    `addresses`: ids of Elastic IPs. Raises `Invalid`, `Conflict`, `Unavailable`."""
    from homeport.engines.aws import premises
    from homeport.plan.aws_stacks import bucket, of, store_name

    client, aws = _client(place), of(place)
    premises.check_instance_type(client, place, aws)
    if addresses:
        premises.check_addresses(client, place, addresses)
    if aws.vpc is not None:
        premises.check_network(client, place, aws.vpc, aws.subnets)
    if aws.zone is not None:
        premises.check_zone(client, place, aws.zone, aws.zone_id)
    if fresh:
        premises.check_bucket(client, bucket(place), account=aws.account, stack=store_name(place))


def doctor(place: Place) -> list[Check]:
    """What the environment stands on, looked at; raises nothing of what it finds."""
    from homeport.engines.aws.doctor import Standing, examine
    from homeport.stacks.history import History
    from homeport.stacks.standing import by_hand
    from homeport.system.clock import SystemClock

    def look() -> Standing:
        there, history, formation = standing(place), History(store(place)), cloudformation(place)
        last = {id_: history.to_last_end(target(place), each.name) for id_, each in there.items()}
        changed = {
            id_: by_hand(each, formation.template(each.name), last[id_]) for id_, each in there.items() if last[id_]
        }
        return Standing(stacks=there, by_hand=changed)

    return examine(place, client=_client(place), clock=SystemClock(), standing=look)


def prices(place: Place) -> Prices:
    """What an instance and a balancer cost there. Asked once: nobody has to wait long for a price. Raises `NotFound`,
    `Invalid`, `Unavailable`."""
    from homeport.engines.aws import price
    from homeport.engines.aws.cloud import AwsCloud
    from homeport.model.stack import Target
    from homeport.plan.aws_stacks import of

    aws = of(place)
    client = AwsCloud(attempts=1).client("pricing", Target(aws.account, price.listed_in(aws.region)))
    return price.prices(client, aws.region, aws.instance_type)


def sizes(place: Place) -> dict[str, dict[str, int]]:
    """App → group → what `homeport scale` asked for; nothing of an environment that isn't up, or can't be read: they
    are for showing."""
    from homeport.engines.aws.kept import Memory
    from homeport.system.clock import SystemClock

    with suppress(HomeportError):
        kept = Memory(store(place), place.id, SystemClock()).read()
        found: dict[str, dict[str, int]] = {}
        for each in kept.groups if kept is not None else ():
            if each.desired is not None:
                found.setdefault(each.app, {})[each.group] = each.desired
        return found
    return {}


def empty_names(place: Place) -> None:
    """No instance's record is left in the environment's private hosted zone, if it has one. Raises `Conflict` where
    somebody else has put records there, `Unavailable`."""
    from homeport.engines.aws import names
    from homeport.plan.aws_name import domain
    from homeport.plan.aws_stacks import names_name

    deployed = cloud.aws().cloudformation(target(place)).describe(names_name(place))
    zone = deployed.outputs.get("Zone") if deployed is not None else None
    if zone:
        names.empty(_client(place), zone, domain(place))
