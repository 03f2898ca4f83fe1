"""What instances and balancers cost by the hour, by AWS's own price list: on demand, before any contract of the
account's. Called by wiring.

The Price List Query API is in few regions, and each tells the prices of all in its partition (AWS Billing User Guide).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from homeport.engines.aws.error import translated
from homeport.errors import NotFound

LISTED_IN = {"cn-": "cn-northwest-1"}
ELSEWHERE = "us-east-1"
INSTANCE = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
BALANCER = {"productFamily": "Load Balancer-Application", "operation": "LoadBalancing:Application"}
BALANCER_HOUR = "LoadBalancerUsage"
NOT_IT = ("TS-LoadBalancerUsage", "Outposts-LoadBalancerUsage")
"""Usage types that end so as well, of trust stores and of Outposts."""


class Prices(Struct, frozen=True, kw_only=True):
    """By the hour, in `currency` (ISO 4217)."""

    instance: float
    balancer: float
    currency: str


def listed_in(region: str) -> str:
    """The region whose price list has this one's prices."""
    return next((found for start, found in LISTED_IN.items() if region.startswith(start)), ELSEWHERE)


def prices(client: Any, region: str, instance_type: str) -> Prices:
    """`client`: of the service `pricing`. Raises `NotFound` where the list hasn't them, `Invalid`, `Unavailable`."""
    instance, currency = _price(client, "AmazonEC2", {**INSTANCE, "instanceType": instance_type, "regionCode": region})
    balancer, _ = _price(client, "AWSELB", {**BALANCER, "regionCode": region}, _balancer_hour)
    return Prices(instance=instance, balancer=balancer, currency=currency)


def _balancer_hour(product: Mapping[str, Any]) -> bool:
    usage = str(product["attributes"].get("usagetype", ""))
    return usage.endswith(BALANCER_HOUR) and not usage.endswith(NOT_IT)


def _price(
    client: Any, service: str, wanted: Mapping[str, str], fits: Callable[[Mapping[str, Any]], bool] = lambda _: True
) -> tuple[float, str]:
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    with translated(f"the price list of {service}"):
        pages = client.get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
        found = [json.loads(each) for page in pages for each in page["PriceList"]]
    # what is reserved, or free to begin with, is listed with a price of nothing
    hours = [each for one in found if fits(one["product"]) for each in _hours(one) if each[0] > 0]
    if not hours:
        raise NotFound(f"the price list of {service} has nothing for {', '.join(wanted.values())}")
    return min(hours)


def _hours(listed: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    for term in listed.get("terms", {}).get("OnDemand", {}).values():
        for each in term["priceDimensions"].values():
            if each.get("unit", "").startswith("H"):  # Hrs, Hours
                yield from ((float(price), currency) for currency, price in each["pricePerUnit"].items())
