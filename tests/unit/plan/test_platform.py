"""homeport.toml: the reference page loads, layers merge, and every mistake is placed."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from homeport.errors import Invalid, NotFound
from homeport.model.alarm import Alarm
from homeport.model.platform import (
    Deploy,
    Group,
    Health,
    Hook,
    Hooks,
    Instances,
    Maintenance,
    Place,
    ProcessType,
    Resolved,
    Route,
    Tls,
    Weight,
)
from homeport.plan import platform, platform_check, platform_name, procfile

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "homeport.toml"
PROCFILE = procfile.parse("web: serve\nworker: work\nrelease: migrate")


def resolve(text: str, environment: str = "staging", processes: procfile.Procfile = PROCFILE) -> Resolved:
    return platform.resolve(platform.parse(text), environment=environment, app="shop", procfile=processes)


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(Invalid) as caught:
        platform.parse(text)
    return caught.value.details


STEPS = (Weight(percent=5, pause=timedelta(minutes=2)), Weight(percent=25, pause=timedelta(minutes=2)))
ALARMS = (
    Alarm(name="checkout", url="https://www.example.com/checkout"),
    Alarm(name="alarm-2", metric="p99", above_ms=500, group="web"),
)
DEPLOY = Deploy(timeout=timedelta(minutes=30), pause_after="25%", steps=STEPS, alarms=ALARMS)
LONG_SICK = Health(unhealthy_after=timedelta(seconds=10))


def test_the_reference_page_loads_and_means_what_it_says() -> None:
    file = platform.parse(REFERENCE.read_text())
    assert (file.name, file.default, file.environments) == ("shop", "staging", ("staging", "demo", "production"))
    assert file.apps == (platform.AppEntry(name="shop", source="."),)
    assert file.build == platform.Build(
        python="3.11",
        node="20",
        command="make dist",
        dependencies=platform.Dependencies(
            command="pip install --target vendor -r requirements.txt", paths=("vendor",)
        ),
        env={"DJANGO_SETTINGS_MODULE": "shop.settings"},
        collectstatic=True,
    )
    web = Group(
        name="web",
        run=("web",),
        instances=Instances(min=2, desired=3, max=10),
        memory_bytes=512_000_000,
        stop_grace=timedelta(seconds=20),
        drain=timedelta(seconds=30),
        health=Health(path="/healthz", grace=timedelta(minutes=1), unhealthy_after=timedelta(seconds=10)),
        balanced=True,
        max_lifetime=timedelta(days=7),
        hooks=Hooks(
            launching=Hook(command="./warm-up", heartbeat=timedelta(minutes=2)),
            terminating=Hook(url="https://example.net/leaves", result="CONTINUE"),
        ),
        deploy=replace(DEPLOY, max_unavailable="50%", alarms=()),
    )
    blog = Route(to="https://blog.example.net", host="www.example.com", path="/blog", strip_prefix=True)
    assert resolve(REFERENCE.read_text()) == Resolved(
        app="shop",
        place=Place(platform="shop", name="staging", listen="127.0.0.1:8080"),
        groups=(web, Group(name="jobs", run=("worker",), after=("web",), health=LONG_SICK)),
        routes=(Route(to="web"), blog),
        deploy=DEPLOY,
        processes={"web": "serve", "worker": "work"},
        release_task="migrate",
        types={"worker": ProcessType(after=("web",), stop="bin/finish $PID", stop_signal="INT")},
        maintenance=Maintenance(page="back.html", allow=("10.0.0.0/8",)),
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[groups.web.breaker]\nlongest = '1h'", "longest < window"),
        ("[groups.web.breaker]\nfailures = 1", "from 2"),
        ("[groups.web]\nhooks.launching = { heartbeat = '1s' }", "command or url"),
        ("[groups.web]\nhooks.launching = { command = 'a', url = 'http://b' }", "command or url"),
        ("[groups.web]\nhooks.launching = { url = 'b' }", "a URL such as"),
        ("[groups.web]\nhooks.starting = { command = 'a' }", "unknown key"),
        ("[groups.web]\nhooks.launching = { command = 'a', result = 'STOP' }", "CONTINUE"),
        ("[groups.web]\nsurge = -1", "from 0"),
        ("[groups.web]\nmax_lifetime = '0s'", "more than zero"),
    ],
)
def test_care_that_makes_no_sense_is_refused(written: str, expected: str) -> None:
    with pytest.raises(Invalid) as caught:
        resolve(f'app = "shop"\n{written}')
    assert any(expected in line for line in caught.value.details), caught.value.details


def test_environments_of_the_reference_page_override() -> None:
    text = REFERENCE.read_text()
    production, demo = resolve(text, "production"), resolve(text, "demo")
    assert production.deploy == replace(DEPLOY, strategy="rolling")
    assert (production.place.engine, production.place.mode) == ("aws", "production")
    web = production.group("web")
    assert web is not None
    assert web.instances == Instances(min=3, desired=3, max=30)
    assert web.memory_bytes == 512_000_000
    assert len(production.routes) == 2
    assert platform.parse(text).environment("production")["account"] == "123456789012"
    assert demo.routes == (Route(to="web"),)
    assert demo.groups[0].health.path == "/ready"
    assert demo.place.tls == Tls(certificate="/etc/ssl/certs/demo.pem", key="/etc/ssl/private/demo.key")


@pytest.mark.parametrize(
    "section",
    [
        "HEALTH",
        "GROUP",
        "BREAKER",
        "HOOK",
        "HOOKS",
        "PROCESS",
        "ROUTE",
        "DEPLOY",
        "DEPENDENCIES",
        "BUILD",
        "STATIC",
        "TLS",
        "PLACE",
        "TOP",
    ],
)
def test_the_reference_page_names_every_key(section: str) -> None:
    text = REFERENCE.read_text()
    keys = getattr(platform_check, section)
    assert [key for key in keys if not re.search(rf"^[^#]*\b{key}\b[^#]*[=\]]", text, re.MULTILINE)] == []


def test_the_smallest_file() -> None:
    resolved = resolve('app = "shop"')
    assert resolved.place == Place(platform="shop", name="staging", engine="local", mode="staging")
    assert [(each.name, each.run, each.balanced, each.instances) for each in resolved.groups] == [
        ("web", ("web",), True, Instances()),
        ("worker", ("worker",), False, Instances()),
    ]
    assert resolved.routes == (Route(to="web"),)


def test_process_types_become_groups_under_a_valid_name() -> None:
    resolved = resolve('app = "shop"', processes=procfile.parse("web: a\nHeavy_Jobs: b"))
    assert [(each.name, each.run) for each in resolved.groups] == [("web", ("web",)), ("heavy-jobs", ("Heavy_Jobs",))]
    with pytest.raises(Invalid) as caught:
        resolve('app = "shop"', processes=procfile.parse("a-b: a\na_b: b\n__: c"))
    assert [re.search(r'"(.+?)"', line)[1] for line in caught.value.details] == ["__", "a_b"]


def test_an_override_doesnt_lose_the_groups_that_nobody_wrote_down() -> None:
    text = 'app = "shop"\n[environments.production]\ngroups.web.instances = 3'
    resolved = resolve(text, "production")
    assert [(each.name, each.instances.desired) for each in resolved.groups] == [("web", 3), ("worker", 1)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0", (0, 0, 10)),
        ("1", (1, 1, 10)),
        ("30", (1, 30, 30)),
        ("{ min = 2 }", (2, 2, 10)),
        ("{ min = 0 }", (0, 1, 10)),
        ("{ desired = 12 }", (1, 12, 12)),
        ("{ max = 3 }", (1, 1, 3)),
        ("{ desired = 0 }", (0, 0, 10)),
    ],
)
def test_instances(written: str, expected: tuple[int, int, int]) -> None:
    counts = resolve(f'app = "shop"\n[groups.web]\ninstances = {written}').groups[0].instances
    assert (counts.min, counts.desired, counts.max) == expected


def test_health_of_a_group_goes_over_that_of_the_file() -> None:
    text = """
        app = "shop"
        [health]
        path = "/up"
        interval = "3s"
        [groups.web.health]
        path = "/health?full=1"
        [groups.worker]
        [environments.a]
        health.interval = "500ms"
    """
    web, worker = resolve(text, "a").groups
    assert web.health == Health(path="/health?full=1", interval=timedelta(milliseconds=500))
    assert worker.health == Health(path=None, interval=timedelta(milliseconds=500))


def test_who_is_balanced() -> None:
    text = """
        app = "shop"
        [groups.front]
        run = ["web"]
        [groups.worker]
        [groups.api]
        run = ["worker"]
        balanced = true
        [[routes]]
        to = "worker"
    """
    assert [each.balanced for each in resolve(text).groups] == [True, True, True]
    assert resolve(text.replace("[[routes]]", "#").replace("to =", "#")).routes == (Route(to="front"),)
    quiet = 'app = "shop"\n[groups.web]\nbalanced = false'
    assert resolve(quiet).routes == ()
    assert not resolve(quiet).groups[0].balanced
    assert resolve('app = "shop"\nroutes = []').routes == ()


def test_several_apps() -> None:
    file = platform.parse("""
        platform = "shops"
        [health]
        path = "/up"
        [apps.shop]
        [apps.blog]
        source = "../blog"
        health.path = "/ping"
        groups.web.instances = 2
    """)
    assert file.apps == (platform.AppEntry(name="shop"), platform.AppEntry(name="blog", source="../blog"))
    blog = platform.resolve(file, environment="staging", app="blog", procfile=PROCFILE)
    assert [(each.name, each.health.path, each.instances.desired) for each in blog.groups] == [("web", "/ping", 2)]
    shop = platform.resolve(file, environment="staging", app="shop", procfile=PROCFILE)
    assert [(each.name, each.health.path) for each in shop.groups] == [("web", "/up"), ("worker", None)]
    assert shop.place.id == "shops/staging"
    with pytest.raises(NotFound) as caught:
        platform.resolve(file, environment="staging", app="bolg", procfile=PROCFILE)
    assert caught.value.hint == "did you mean blog?"


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    text = """\
ap = "shop"
listen = "127.0.0.1:80"
[health]
interval = 5
path = "healthz"
default = "prod"
[groups.web]
instanecs = 1
instances = { min = 5, desired = 2, maximum = 3 }
stop_grace = "0s"
run = []
[[routes]]
to = "wbe"
[[routes]]
path = "blog"
to = "ftp://x"
[[routes]]
host = "http://x"
[environments.prod]
listen = "8080"
tls = { certificate = "x" }
deploy.strategy = "blue-grean"
build.python = "3"
[environments.Common]
[build]
python = 3.11
env = { PORT = "1" }
"""
    assert mistakes(text) == (
        'homeport.toml:1: ap: unknown key, did you mean "app"?',
        "homeport.toml:2: listen: unknown key; it belongs in [environments.<name>]",
        'homeport.toml:4: health.interval: expected a duration such as "1s", found 5',
        'homeport.toml:5: health.path: expected a path that starts with "/", such as "/healthz", found "healthz"',
        "homeport.toml:6: health.default: unknown key; it belongs above the first [section]",
        'homeport.toml:8: groups.web.instanecs: unknown key, did you mean "instances"?',
        'homeport.toml:9: groups.web.instances.maximum: unknown key, did you mean "max"?',
        "homeport.toml:9: groups.web.instances: expected min ≤ desired ≤ max, found 5, 2, 10",
        'homeport.toml:10: groups.web.stop_grace: expected more than zero, found "0s"',
        'homeport.toml:11: groups.web.run: expected an array such as ["web"], found an array',
        'homeport.toml:13: routes[1].to: no group "wbe", did you mean "web"?',
        'homeport.toml:15: routes[2].path: expected a path that starts with "/", such as "/blog", found "blog"',
        'homeport.toml:16: routes[2].to: expected http:// or https://, a host and perhaps a port, found "ftp://x"',
        "homeport.toml:17: routes[3].to: missing",
        'homeport.toml:18: routes[3].host: expected a host name such as "www.example.com", without scheme or port, '
        'found "http://x"',
        'homeport.toml:20: environments.prod.listen: expected an address and a port such as "127.0.0.1:8080", '
        'found "8080"',
        "homeport.toml:21: environments.prod.tls.key: missing",
        'homeport.toml:22: environments.prod.deploy.strategy: expected "replace" or "rolling" or "blue-green" or '
        '"canary", found "blue-grean", did you mean "blue-green"?',
        "homeport.toml:23: environments.prod.build: unknown key; a slug is built once, for every environment",
        'homeport.toml:24: environments.Common: a name is made of a–z, 0–9 and inner hyphens, found "Common"',
        'homeport.toml:26: build.python: expected a version as text such as "3.11", found 3.11',
        "homeport.toml:27: build.env.PORT: PORT is set by Homeport itself; choose another name",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '1: app: missing; write app = "shop" above the first [section]'),
        ("app = ", "1:1: Invalid value"),
        ('app = "shop"\nx = [1\ny = 2', "3:1: Unclosed array"),
        ('app = "shop"\n[apps.blog]', "1: app: stands beside [apps]; one of them names the apps"),
        ("[apps.a]\n[apps.b]", '1: platform: missing; a file with several apps needs a name: platform = "shops"'),
        (
            'default = "prod"\napp = "a"\n[environments.production]',
            '1: default: no environment "prod", did you mean "production"?',
        ),
        (
            'app = "a"\n[environments.common]',
            '2: environments.common: "common" is taken: config/common is for every environment',
        ),
        (f'app = "{"a" * 41}"', "1: app: a name has at most 40 characters, found 41"),
        ('app = "a"\ngroups = 3', "2: groups: expected a table for each group, found 3"),
        ('app = "a"\n[routes]\nto = "web"', "2: routes: expected an array of tables, found a table; write [[routes]]"),
        (
            'app = "a"\n[deploy]\nstrategy = "rolling"\nmax_unavailable = "0%"',
            "4: deploy.max_unavailable: no instance may be away, and none may come beside (max_surge): none can move",
        ),
        (
            'app = "a"\n[deploy]\nmax_surge = "200%"',
            '3: deploy.max_surge: expected a number from 0 to 10000 or a share such as "25%", found "200%"',
        ),
        (
            'app = "a"\n[deploy]\nstrategy = "canary"',
            '3: deploy.strategy: canary needs steps, such as steps = [{ weight = "5%", pause = "2m" }]',
        ),
        (
            'app = "a"\n[deploy]\nsteps = [{ weight = "100%", pause = "1m" }]',
            '3: deploy.steps[1].weight: expected a share from "1%" to "99%" (all of it comes after the last step), '
            'found "100%"',
        ),
        (
            'app = "a"\n[deploy]\nsteps = [{ weight = "50%", pause = "1m" }, { weight = "5%", pause = "1m" }]',
            "3: deploy.steps: expected weights that rise, found 50% before 5%",
        ),
        (
            'app = "a"\n[deploy]\nsteps = [{ weight = "50%" }]',
            "3: deploy.steps[1].pause: missing",
        ),
        (
            'app = "a"\nroutes = []\n[groups.w]\n[deploy]\nstrategy = "canary"\n'
            'steps = [{ weight = "5%", pause = "1m" }]',
            "5: deploy.strategy: canary shares requests, and no group gets any",
        ),
        (
            'app = "a"\n[groups.w]\ndeploy.strategy = "canary"\n[groups.web]\n[deploy]\n'
            'steps = [{ weight = "5%", pause = "1m" }]',
            "3: groups.w.deploy.strategy: canary shares requests, and w gets none",
        ),
        ('app = "a"\n[deploy]\ntimeout = "0s"', '3: deploy.timeout: expected more than zero, found "0s"'),
        (
            'app = "a"\n[groups.w]\ndeploy.bake = "1s"',
            "3: groups.w.deploy.bake: unknown key; it is one for all groups, and belongs in [deploy]",
        ),
        ('app = "a"\n[groups]\nweb = true', "3: groups.web: expected a table, found true"),
        (
            'app = "a"\n[groups.web]\ninstances = true',
            "3: groups.web.instances: expected a number from 0 to 10000, found true",
        ),
        (
            'app = "a"\n[groups.web]\nrun = ["release"]',
            '3: groups.web.run: "release" is the release task: it runs once in each deployment, in no group',
        ),
        ('app = "a"\n[groups.web]\nmemory = 512', '3: groups.web.memory: expected a size such as "512MB", found 512'),
        (
            'app = "a"\n[groups.a]\nrun = ["web"]\n[groups.b]\nrun = ["web"]',
            "4: groups.b: a, b all run web; say in [[routes]] which of them gets what",
        ),
        (
            'app = "a"\n[groups.w]\n[[routes]]\nto = "w"\n[[routes]]\npath = "/"\nto = "https://x.y"',
            '5: routes[2]: "/" is that of routes[1] in line 3',
        ),
        (
            'app = "a"\n[groups.w]\nbalanced = false\n[[routes]]\nto = "w"',
            '5: routes[1].to: group "w" says balanced = false, so no route can lead to it',
        ),
        (
            'app = "a"\n[[routes]]\nto = "https://x.y/path"',
            "3: routes[1].to: an upstream has no path of its own (strip_prefix removes the route's), "
            'found "https://x.y/path"',
        ),
        (
            'app = "a"\n[environments.e]\nengine = "locla"',
            '3: environments.e.engine: expected "local" or "aws" or "memory", found "locla", did you mean "local"?',
        ),
        (
            'app = "a"\n[build]\ndependencies = { command = "x", paths = ["../y"] }',
            '3: build.dependencies.paths: expected paths inside the app such as "node_modules", found "../y"',
        ),
    ],
)
def test_one_mistake(text: str, expected: str) -> None:
    assert mistakes(text) == (f"homeport.toml:{expected}",)


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "[::1]:8080", "0.0.0.0:65535"])
def test_listen(listen: str) -> None:
    assert resolve(f'app = "shop"\n[environments.a]\nlisten = "{listen}"', "a").place.listen == listen


@pytest.mark.parametrize(
    "listen",
    [":80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:80", "localhost:80", "[1.2.3.4]:80", "1.2.3.4:80\\n"],
)
def test_listen_refused(listen: str) -> None:
    assert "expected an address and a port" in mistakes(f'app = "shop"\n[environments.a]\nlisten = "{listen}"')[0]


@pytest.mark.parametrize("to", ["https://x.y:0", "https://x.y:99999", "https://u:p@x.y", "https://", "https://x.y?q"])
def test_upstream_refused(to: str) -> None:
    assert len(mistakes(f'app = "shop"\n[[routes]]\nto = "{to}"')) == 1


def test_a_trailing_slash_makes_no_other_route() -> None:
    routes = '[[routes]]\nto = "https://x.y"\npath = "/blog"\n'
    assert len(mistakes('app = "shop"\n' + routes + routes.replace("/blog", "/blog/"))) == 1


def test_mistakes_that_show_beside_the_procfile() -> None:
    text = 'app = "shop"\n[groups.jobs]\nrun = ["wroker", "cron"]\n[environments.a]\ngroups.wbe.instances = 2'
    with pytest.raises(Invalid) as caught:
        resolve(text, "a")
    assert caught.value.details == (
        'homeport.toml:3: groups.jobs.run: no process type "cron" in the Procfile; there is web, worker',
        'homeport.toml:3: groups.jobs.run: no process type "wroker" in the Procfile, did you mean "worker"?',
        'homeport.toml:5: environments.a.groups.wbe.run: no process type "wbe" in the Procfile, did you mean "web"?',
    )
    with pytest.raises(Invalid) as caught:
        resolve('app = "shop"\n[[routes]]\nto = "jobs"')
    assert caught.value.details == ('homeport.toml:3: routes[1].to: no group "jobs"; there is web, worker',)


def test_which_environment() -> None:
    one = platform.parse('app = "a"\n[environments.live]')
    two = platform.parse('app = "a"\ndefault = "b"\n[environments.a]\n[environments.b]')
    assert platform_name.environment_name(one, None) == "live"
    assert platform_name.environment_name(two, None) == "b"
    assert platform_name.environment_name(two, "a") == "a"
    with pytest.raises(NotFound) as caught:
        platform_name.environment_name(one, "liev")
    assert caught.value.hint == "did you mean live?"
    with pytest.raises(Invalid, match="has 2 environments") as refused:
        platform_name.environment_name(platform.parse('app = "a"\n[environments.a]\n[environments.b]'), None)
    assert refused.value.hint is not None


@pytest.mark.parametrize(("name", "mode"), [("production", "production"), ("review-x", "review"), ("prod", "staging")])
def test_mode_by_name(name: str, mode: str) -> None:
    assert resolve(f'app = "shop"\n[environments.{name}]', name).place.mode == mode


def test_unused_processes() -> None:
    processes = procfile.parse("web: a\nworker: b\nclock: c")
    assert platform.unused_processes(platform.parse('app = "a"'), processes) == ()
    only_override = platform.parse('app = "a"\n[environments.a]\ngroups.web.instances = 2')
    assert platform.unused_processes(only_override, processes) == ()
    some = platform.parse('app = "a"\n[groups.web]\n[environments.a]\ngroups.jobs.run = ["worker"]')
    assert platform.unused_processes(some, processes) == ("clock",)
