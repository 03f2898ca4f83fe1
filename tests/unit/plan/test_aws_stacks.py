"""An environment's stacks: the files of the project, and that CloudFormation's linter has nothing against them."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from homeport.errors import Invalid
from homeport.model.asked import MaintenanceAsked
from homeport.model.platform import Resolved
from homeport.plan import aws_route, aws_stacks, platform
from homeport.plan.procfile import Procfile
from homeport.stacks.shipping import operator_template, templates

GOLDEN = Path(__file__).parent / "golden" / "aws"
FILE = """
app = "shop"
[health]
path = "/healthz"
[groups.web]
run = ["web"]
instances = { min = 2, desired = 3, max = 9 }
drain = "20s"
[groups.jobs]
run = ["worker"]
[[routes]]
path = "/"
to = "web"
[[routes]]
host = "www.example.com"
path = "/shop"
to = "web"
[environments.production]
engine = "aws"
account = "123456789012"
region = "eu-west-1"
"""


def resolved(text: str = FILE) -> Resolved:
    procfile = Procfile(processes={"web": "./web", "worker": "./worker"})
    file = platform.parse(text)
    return platform.resolve(file, environment=file.environments[0], app="shop", procfile=procfile)


def test_the_project_is_as_it_was_reviewed() -> None:
    found = aws_stacks.project([resolved()], templates())
    shipped = {f"templates/{each}.yaml" for each in templates()}
    written = {name: text for name, text in found.items() if name not in shipped}
    kept = {str(each.relative_to(GOLDEN)): each.read_text() for each in GOLDEN.rglob("*") if each.is_file()}
    assert written == kept


def test_two_groups_that_would_be_one_stack_are_refused() -> None:
    other = replace(resolved(), app="shop-new", groups=(replace(resolved().groups[0], name="web"),))
    shop = replace(resolved(), groups=(replace(resolved().groups[0], name="new-web"),))
    with pytest.raises(Invalid, match="shop/new-web and shop-new/web of shop/production would both be the stack"):
        aws_stacks.project([shop, other], templates())


def test_one_with_a_vpc_of_its_own_makes_none() -> None:
    named = FILE + 'vpc = "vpc-0a1b2c3d"\nsubnets = ["subnet-0a1b2c3d", "subnet-0a1b2c3e"]\n'
    found = aws_stacks.project([resolved(named)], templates())
    assert "network.yaml" not in found
    assert 'Subnets: "subnet-0a1b2c3d,subnet-0a1b2c3e"' in found["edge.yaml"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ('to = "https://blog.example.net"', "upstream outside"),
        ('to = "web"\nstrip_prefix = true', "strip_prefix"),
    ],
)
def test_a_route_that_a_load_balancer_of_aws_cannot_have_is_named(said: str, problem: str) -> None:
    text = FILE.replace("[environments.production]", f'[[routes]]\npath = "/blog"\n{said}\n[environments.production]')
    with pytest.raises(Invalid) as refused:
        aws_stacks.project([resolved(text)], templates())
    assert problem in refused.value.details[0]


def test_names_stay_within_what_aws_allows() -> None:
    text = FILE.replace('"shop"', f'"{"s" * 40}"', 1)
    procfile = Procfile(processes={"web": "./web", "worker": "./worker"})
    found = platform.resolve(platform.parse(text), environment="production", app="s" * 40, procfile=procfile)
    assert len(aws_stacks.bucket(found.place)) <= 63
    assert len({aws_stacks.pool_name(found.place, "s" * 40, each.name) for each in found.groups}) == 2


def test_no_platform_is_taken_for_another() -> None:
    """`shop`, with an environment `two-production`, isn't `shop-two` with `production`."""
    files = [
        aws_stacks.project([resolved(text)], templates())
        for text in (
            FILE.replace('app = "shop"', 'platform = "shop-two"\napp = "shop"'),
            FILE.replace('app = "shop"', 'platform = "shop"\napp = "shop"').replace("production", "two-production"),
        )
    ]
    said = [
        {line for text in each.values() for line in text.splitlines() if line.startswith("name: ")} for each in files
    ]
    assert said[0].isdisjoint(said[1])
    assert files[0]["config.yaml"] != files[1]["config.yaml"]
    with pytest.raises(Invalid, match='can\'t be called shop--two: what comes before "--"'):
        aws_stacks.check(resolved(FILE.replace('app = "shop"', 'platform = "shop--two"\napp = "shop"')))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('account = "12345"', "twelve digits"),
        ('region = "europe"', "an AWS region"),
        ('listen = "127.0.0.1:80"', "isn't for engine"),
        ('vpc = "vpc-0a1b2c3d"', "goes with subnets"),
        ('subnets = ["subnet-0a1b2c3d"]', "two subnets"),
        ('subnets = ["subnet-a", "subnet-0a1b2c3d"]', 'found "subnet-a"'),
        (
            'certificate = "arn:aws:acm:us-east-1:123456789012:certificate/a"',
            "is of us-east-1 and 123456789012, expected one of the balancer's own region and account, eu-west-1",
        ),
        ('instance_type = "large"', "an EC2 instance type"),
        ('boundary = "homeport-shop"', "the ARN of a policy"),
    ],
)
def test_a_bad_value_is_named_with_its_line(line: str, problem: str) -> None:
    key = line.split(" ")[0]
    kept = "\n".join(each for each in FILE.splitlines() if not each.startswith(f"{key} "))
    with pytest.raises(Invalid) as refused:
        platform.parse(f"{kept}\n{line}\n")
    assert any(problem in each and key in each for each in refused.value.details), refused.value.details


def test_engine_aws_needs_account_and_region() -> None:
    with pytest.raises(Invalid) as refused:
        platform.parse('app = "shop"\n[environments.production]\nengine = "aws"\n')
    assert len([each for each in refused.value.details if "missing" in each]) == 2


def test_the_linter_has_nothing_against_any_template_in_any_region(tmp_path: Path) -> None:
    found = aws_stacks.project([resolved()], templates())
    found |= aws_stacks.operator_project(resolved().place, operator_template())
    files = [name for name in found if name.startswith("templates/")]
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(found[name])
    program = (sys.executable, "-c", "import sys; from cfnlint.runner import main; sys.exit(main())")
    done = subprocess.run(
        (*program, "--regions", "ALL_REGIONS", "--template", *(str(tmp_path / each) for each in files)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_what_needs_another_is_deleted_before_it() -> None:
    ids = ["access", "edge", "network", "pool-shop-jobs", "pool-shop-web", "routes"]
    turns = [["routes"], ["pool-shop-jobs", "pool-shop-web"], ["edge"], ["access"], ["network"]]
    assert aws_stacks.removal(ids) == turns
    assert aws_stacks.removal(["something", "network"]) == [["something"], ["network"]]


def closed(app: str = "", *allow: str, page: str = "") -> MaintenanceAsked:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return MaintenanceAsked(app=app, on=True, since_at=at, by="ada", allow=allow, page=page)


def test_maintenance_stands_before_each_route_and_what_no_route_takes() -> None:
    found = aws_route.maintenance_rules([resolved()], [closed("", "192.0.2.7", "10.0.0.0/8", "2001:db8::1")])
    assert [(each.priority, bool(each.page)) for each in found] == [
        (1, False), (2, False), (9, True), (11, False), (12, False), (19, True), (aws_route.LAST, True)
    ]  # fmt: skip
    sources = [each.conditions[-1]["SourceIpConfig"]["Values"] for each in found[:2]]
    assert sources == [["192.0.2.7/32", "10.0.0.0/8"], ["2001:db8::1/128"]]
    assert aws_route.maintenance_rules([resolved()], [closed("blog")]) == []
    assert [each.priority for each in aws_route.maintenance_rules([resolved()], [closed("shop")])] == [9, 19]


def test_maintenance_that_a_load_balancer_has_no_room_for_is_refused() -> None:
    with pytest.raises(Invalid, match="1024"):
        aws_route.maintenance_rules([resolved()], [closed(page="x" * 1025)])
    with pytest.raises(Invalid, match="17 networks"):
        aws_route.maintenance_rules([resolved()], [closed("", *(f"192.0.2.{each}" for each in range(17)))])
