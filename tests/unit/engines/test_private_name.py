"""Private names in a sandbox's hosts file."""

from homeport.engines.local.traffic import private_names


def test_the_short_name_is_there_where_it_is_clear() -> None:
    addresses = {("blog", "web"): "127.96.0.1", ("shop", "web"): "127.96.0.2", ("shop", "api"): "127.96.0.3"}
    assert private_names("staging", addresses) == [
        "127.96.0.1 web.blog.staging.internal",
        "127.96.0.2 web.shop.staging.internal",
        "127.96.0.3 api.shop.staging.internal api.staging.internal",
    ]
