"""What AWS's price list says, read: in its own shape, as botocore checks it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.session import Session
from botocore.stub import ANY, Stubber

from homeport.engines.aws.price import listed_in, prices
from homeport.errors import Invalid, NotFound


@pytest.fixture
def stub() -> Iterator[Stubber]:
    client = Session().create_client(
        "pricing", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as found:
        yield found


def listed(usage: str, price: str, unit: str = "Hrs", currency: str = "USD") -> str:
    hour = {"unit": unit, "pricePerUnit": {currency: price}, "description": f"{price} per {usage}"}
    terms = {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": hour}}}, "Reserved": {"A.D": {"priceDimensions": {}}}}
    return json.dumps({"product": {"attributes": {"usagetype": usage}}, "terms": terms})


def answers(stub: Stubber, service: str, *products: str) -> None:
    said: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": list(products)}
    stub.add_response("get_products", said, {"ServiceCode": service, "Filters": ANY})


def test_what_is_on_demand_and_not_for_nothing_counts(stub: Stubber) -> None:
    answers(
        stub, "AmazonEC2", listed("EU-UnusedBox:t3.small", "0.0000000000"), listed("EU-BoxUsage:t3.small", "0.0228")
    )
    answers(
        stub,
        "AWSELB",
        listed("EU-LCUUsage", "0.0080", "LCU-Hrs"),
        listed("EU-TS-LoadBalancerUsage", "0.0056"),
        listed("EU-LoadBalancerUsage", "0.0252"),
    )
    found = prices(stub.client, "eu-west-1", "t3.small")
    assert (found.instance, found.balancer, found.currency) == (0.0228, 0.0252, "USD")


def test_it_is_asked_for_the_region_and_the_type(stub: Stubber) -> None:
    said = {"FormatVersion": "aws_v1", "PriceList": [listed("BoxUsage:t3.small", "1")]}
    wanted = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used",
              "instanceType": "t3.small", "regionCode": "eu-west-1"}  # fmt: skip
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    stub.add_response("get_products", said, {"ServiceCode": "AmazonEC2", "Filters": filters})
    answers(stub, "AWSELB")
    with pytest.raises(NotFound, match=r"the price list of AWSELB has nothing for .*eu-west-1"):
        prices(stub.client, "eu-west-1", "t3.small")


def test_who_may_not_ask_is_told_so(stub: Stubber) -> None:
    stub.add_client_error("get_products", "AccessDeniedException", "not authorized to perform: pricing:GetProducts")
    with pytest.raises(Invalid) as caught:
        prices(stub.client, "eu-west-1", "t3.small")
    assert "pricing:GetProducts" in caught.value.message


@pytest.mark.parametrize(("region", "where"), [("eu-west-1", "us-east-1"), ("cn-north-1", "cn-northwest-1")])
def test_the_list_of_a_partition_is_asked(region: str, where: str) -> None:
    assert listed_in(region) == where
