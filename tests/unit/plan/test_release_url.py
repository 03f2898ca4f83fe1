"""Where a release lies, as one word."""

import pytest

from homeport.errors import Invalid
from homeport.plan.release_url import ReleaseUrl, parse


@pytest.mark.parametrize(
    ("text", "store"),
    [
        ("s3://bucket/shop/production/r12", "s3://bucket"),
        ("s3://bucket/a/b/shop/production/r12/", "s3://bucket/a/b"),
        ("s3://bucket/shop/production/r12/release.json", "s3://bucket"),
        ("file:///srv/store/shop/production/r12", "file:///srv/store"),
        ("/srv/store/shop/production/12", "/srv/store"),
    ],
)
def test_is_read(text: str, store: str) -> None:
    assert parse(text) == ReleaseUrl(store=store, app="shop", environment="production", number=12)
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "r12", "shop/production/r12", "s3://shop/production/r12", "s3:///shop/production/r12", "/production/r12",
     "/srv/store/shop/production", "s3://bucket/shop//r12", "/srv/store/shop/production/r0", "file://a/b/c/r1"],
)  # fmt: skip
def test_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)
