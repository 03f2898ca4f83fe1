"""Prices of the simulated AWS: none that anybody pays. In XTS, by ISO 4217 the code "reserved for testing". Called by
`simulator`."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeport.simulation.aws.service import Behaviour, Call

HOURLY = {"AmazonEC2": ("BoxUsage:", "1.0000000000"), "AWSELB": ("LoadBalancerUsage", "0.5000000000")}
"""Service → usage type and price."""


def behaviours() -> "Mapping[str, Behaviour]":
    return {"GetProducts": products}


def products(call: "Call") -> dict[str, Any]:
    """One that has all that is asked for. GetProducts, PriceList: "The list of products that match your filters. The
    list contains both the product metadata and the price information", each a JSON document."""
    service = call.asked["ServiceCode"]
    if service not in HOURLY:
        return {"FormatVersion": "aws_v1", "PriceList": []}
    usage, price = HOURLY[service]
    asked = {each["Field"]: each["Value"] for each in call.get("Filters", ())}
    dimension = {"unit": "Hrs", "pricePerUnit": {"XTS": price}}
    listed = {
        "product": {"attributes": {**asked, "usagetype": f"{usage}{asked.get('instanceType', '')}"}},
        "terms": {"OnDemand": {"TERM": {"priceDimensions": {"TERM.HOUR": dimension}}}},
    }
    return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(listed)]}
