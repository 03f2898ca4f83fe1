"""A file of several apps: whose group, build and route is whose; what two apps can't both have."""

import pytest

from homeport.errors import Invalid
from homeport.model.platform import Resolved, Route
from homeport.plan import platform, procfile, route

WEB = procfile.parse("web: serve\nadmin: serve")
MARKET = """
platform = "market"
[build]
python = "3.11"
[apps.shop]
[apps.blog]
source = "https://example.net/blog.git"
ref = "main"
build = { command = "make" }
[[routes]]
to = "shop/web"
[[routes]]
path = "/blog/"
to = "blog/web"
[[routes]]
path = "/old"
to = "https://old.example.net"
[[apps.blog.routes]]
path = "/feed"
to = "web"
[environments.staging]
[environments.production.apps.blog]
groups.web.instances = 4
[[environments.production.routes]]
to = "blog/web"
"""


def of(app: str, environment: str = "staging", text: str = MARKET) -> Resolved:
    return platform.resolve(platform.parse(text), environment=environment, app=app, procfile=WEB)


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(Invalid) as caught:
        platform.parse(text)
    return caught.value.details


def several(rest: str) -> str:
    return f'platform = "p"\n[apps.shop]\n[apps.blog]\n{rest}'


def test_each_app_carries_the_routes_that_lead_to_it() -> None:
    upstream = Route(to="https://old.example.net", path="/old")
    assert of("shop").routes == (Route(to="web"), upstream)
    assert of("blog").routes == (Route(to="web", path="/feed"), Route(to="web", path="/blog/"))
    assert (of("shop", "production").routes, of("blog", "production").routes) == ((), (Route(to="web"),))
    assert [each.instances.desired for each in of("blog", "production").groups] == [4, 1]


def test_build_is_the_apps_own_over_that_of_the_file() -> None:
    file = platform.parse(MARKET)
    assert platform.build_of(file, "shop") == platform.Build(python="3.11")
    assert platform.build_of(file, "blog") == platform.Build(python="3.11", command="make")


def test_where_the_code_is() -> None:
    shop, blog = platform.parse(MARKET).apps
    assert (shop.remote, blog.remote, blog.ref) == (False, True, "main")


def test_an_app_without_routes_beside_a_table_gets_none() -> None:
    text = several('[[routes]]\nto = "shop/web"')
    assert of("blog", text=text).routes == ()
    assert of("blog", text=several("")).routes == (Route(to="web"),)


def test_a_single_app_may_be_named_in_its_routes() -> None:
    file = platform.parse('app = "shop"\n[[routes]]\nto = "shop/web"')
    assert platform.resolve(file, environment="staging", app="shop", procfile=WEB).routes == (Route(to="web"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (several('[[routes]]\nto = "web"'), '5: routes[1].to: say whose group that is, such as "shop/web"'),
        (several('[[routes]]\nto = "blgo/web"'), '5: routes[1].to: no app "blgo", did you mean "blog"?'),
        ('app = "shop"\n[[routes]]\nto = "blog/web"', '3: routes[1].to: no app "blog"; there is shop'),
        (
            several("[apps.blog.groups.web]\n[[routes]]\nto = 'blog/wbe'"),
            '6: routes[1].to: no group "wbe" of blog, did you mean "web"?',
        ),
        (
            several('[[apps.blog.routes]]\nto = "shop/web"'),
            "5: apps.blog.routes[1].to: leads to another app than blog: it belongs in [[routes]]",
        ),
        (
            several('[[routes]]\nto = "shop/web"\n[[routes]]\nto = "blog/web"'),
            '6: routes[2]: "/" is that of routes[1] in line 4',
        ),
        (
            several('[[routes]]\nto = "shop/web"\npath = "/a"\n[[apps.blog.routes]]\npath = "/a/"\nto = "web"'),
            '7: apps.blog.routes[1]: "/a/" is that of routes[1] in line 4',
        ),
        (
            several("[apps.shop.groups.web]\n[apps.blog.groups.web]"),
            '3: apps.blog: gets "/" because it says no routes; so does apps.shop: write [[apps.blog.routes]]',
        ),
        (several("[groups.web]"), "4: groups.web: a group belongs to an app: [apps.shop.groups.web]"),
        (
            several("[environments.a]\ngroups.web.instances = 2"),
            "5: environments.a.groups.web: a group belongs to an app: [environments.a.apps.shop.groups.web]",
        ),
        (several("[environments.a.apps.x]"), '4: environments.a.apps.x: no app "x"; there is shop, blog'),
        (
            'app = "a"\n[environments.a]\nredirect = "0.0.0.0:80"',
            "3: environments.a.redirect: sends plain HTTP on to HTTPS, which needs tls = { certificate, key } "
            "beside it",
        ),
        (
            'app = "a"\n[environments.a]\nlisten = "0.0.0.0:80"\nredirect = "0.0.0.0:80"\n'
            'tls = { certificate = "c", key = "k" }',
            "4: environments.a.redirect: is 0.0.0.0:80, where HTTPS listens; plain HTTP needs an address of its own",
        ),
        ('[apps.a]\nref = "main"', "2: apps.a.ref: goes with a git URL; the source here is ."),
        (
            '[apps.a]\nsource = "https://ada:secret@example.net/a"',
            "2: apps.a.source: holds a login, which doesn't belong in a file; git's credential helpers keep it",
        ),
        (
            '[apps.a]\nsource = "https://example.net/a#main"',
            '2: apps.a.source: a branch or tag is said by ref = "main" beside it, found "https://example.net/a#main"',
        ),
    ],
)
def test_one_mistake(text: str, expected: str) -> None:
    assert mistakes(text) == (f"homeport.toml:{expected}",)


@pytest.mark.parametrize("source", ["ext::sh -c id://x", "ftp://x/y", "https://", "https://x.y"])
def test_no_git_url(source: str) -> None:
    assert "expected a git URL" in mistakes(f'[apps.a]\nsource = "{source}"')[0]


@pytest.mark.parametrize("source", ["git@example.net:a/b.git", "ssh://git@example.net/a", "file:///srv/a.git"])
def test_git_urls(source: str) -> None:
    assert platform.parse(f'[apps.a]\nsource = "{source}"').apps[0].remote


@pytest.mark.parametrize("ref", ["-x", "a..b", "a b", "/a", "a/", "a.lock", "a@{1}", "--upload-pack=x", ":a", "a~1"])
def test_no_ref(ref: str) -> None:
    assert "expected a branch or a tag" in mistakes(f'[apps.a]\nsource = "https://x/y"\nref = "{ref}"')[0]


def holder(app: str, *routes: Route) -> route.Holder:
    file = platform.parse(f'app = "{app}"')
    resolved = platform.resolve(file, environment="staging", app=app, procfile=WEB)
    return route.Holder(release="r1", resolved=Resolved(**{**_fields(resolved), "routes": routes}))


def _fields(resolved: Resolved) -> dict[str, object]:
    return {name: getattr(resolved, name) for name in resolved.__struct_fields__}


def test_a_route_that_another_app_has() -> None:
    blog = holder("blog", Route(to="web", path="/blog/"), Route(to="https://x.y", path="/x")).resolved
    others = [holder("shop", Route(to="web"), Route(to="web", path="/blog")), holder("blog", Route(to="web"))]
    found = route.clash(blog, others)
    assert found is not None
    assert found.text == "the route /blog/ belongs to shop (r1)"
    assert route.clash(blog, [holder("shop", Route(to="web", path="/blog", host="a.b"))]) is None
    assert route.clash(blog, [holder("shop", Route(to="https://x.y", path="/x"))]) is None
    assert route.clash(blog, [holder("shop", Route(to="https://x.z", path="/x"))]) is not None
