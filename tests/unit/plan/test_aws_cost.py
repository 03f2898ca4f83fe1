"""What groups cost by the hour goes by how many instances they have, not by what the file began with."""

from homeport.plan import aws_cost, procfile
from homeport.plan.platform import parse, resolve

TEXT = """app = "shop"
[groups.web]
instances = { min = 1, desired = 2, max = 6 }
[groups.jobs]
instances = 1
[environments.production]
engine = "aws"
account = "123456789012"
region = "eu-west-1"
"""
PROCFILE = procfile.parse("web: serve\njobs: work")
SHOP = resolve(parse(TEXT), environment="production", app="shop", procfile=PROCFILE)


def said(sizes: aws_cost.Sizes, price: float | None = 0.5) -> list[str]:
    return list(aws_cost.lines([SHOP], sizes, "t3.small", price, " USD"))


def test_what_was_asked_for_counts_within_the_bounds() -> None:
    assert said({})[0] == "shop/web: 2 × t3.small, 1 to 6; an hour costs 1 USD, 0.5 to 3"
    assert said({"shop": {"web": 4}})[0] == (
        "shop/web: 4 × t3.small as scaled, 2 in the file, 1 to 6; an hour costs 2 USD, 0.5 to 3"
    )
    assert said({"shop": {"web": 9}})[0].startswith("shop/web: 6 × t3.small")
    assert aws_cost.count([SHOP], {"shop": {"web": 4}, "blog": {"web": 7}}) == 5


def test_without_a_price_only_the_numbers_are_said() -> None:
    assert said({}, None)[0] == "shop/web: 2 × t3.small, 1 to 6"
