"""What an environment on AWS is called, and which addresses its instances may have."""

import subprocess
import sys
from pathlib import Path

import pytest

from homeport.errors import Invalid
from homeport.model.platform import Resolved
from homeport.plan import aws_name, aws_stacks, platform
from homeport.plan.procfile import Procfile
from homeport.stacks.shipping import templates

FILE = """
app = "shop"
[groups.web]
run = ["web"]
[groups.jobs]
run = ["worker"]
instances = { min = 1, desired = 1, max = 1 }
[[routes]]
to = "web"
[[routes]]
host = "www.example.com"
to = "web"
[[routes]]
host = "example.com"
to = "web"
[[routes]]
host = "notexample.com"
to = "web"
[environments.production]
engine = "aws"
account = "123456789012"
region = "eu-west-1"
"""
ONE, TWO = '"eipalloc-0a1b2c3d"', '"eipalloc-0a1b2c3e"'
LOCAL = '[environments.staging]\nengine = "local"\n'


def resolved(text: str = FILE, environment: str = "production") -> Resolved:
    procfile = Procfile(processes={"web": "./web", "worker": "./worker"})
    return platform.resolve(platform.parse(text), environment=environment, app="shop", procfile=procfile)


def project(text: str = FILE) -> dict[str, str]:
    return aws_stacks.project([resolved(text)], templates())


def mistakes(text: str) -> str:
    with pytest.raises(Invalid) as refused:
        resolved(text)
    return "\n".join(refused.value.details)


def test_names_are_made_only_for_groups_that_nobody_balances() -> None:
    found = project()
    assert 'PrivateName: "jobs.shop.production.internal"' in found["pool-shop-jobs.yaml"]
    assert "NameZone: !stack_output names/Zone" in found["pool-shop-jobs.yaml"]
    assert "Name" not in found["pool-shop-web.yaml"].replace("LaunchTemplateName", "")
    assert 'Among: "true"' in found["access.yaml"]
    balanced = project(FILE.replace('run = ["worker"]', 'run = ["worker"]\nbalanced = true'))
    assert {"names.yaml", "templates/names.yaml"} & set(balanced) == set()
    assert 'Among: "false"' in balanced["access.yaml"]


def test_an_environment_whose_names_would_hide_aws_s_own_is_refused() -> None:
    text = FILE.replace("environments.production", "environments.compute")
    with pytest.raises(Invalid) as refused:
        aws_stacks.check(resolved(text, "compute"))
    assert "compute.internal" in refused.value.details[0]
    assert list(aws_name.problems(resolved())) == []


def test_hosts_within_the_zone_get_records_and_the_linter_has_nothing_against_them(tmp_path: Path) -> None:
    assert "hosts.yaml" not in project()
    assert "hosts.yaml" not in project(FILE + 'zone = "example.org"\n')
    assert aws_name.hosts([resolved()], "example.com") == (["example.com", "www.example.com"], ["notexample.com"])
    for number, more in enumerate(("", 'zone_id = "Z0123456789ABCDEFGHIJ"\n')):
        found = project(FILE + 'zone = "example.com"\n' + more)
        assert found["hosts.yaml"].count("!stack_output edge/") == 2
        (tmp_path / f"{number}.json").write_text(found["templates/hosts.json"])
    program = (sys.executable, "-c", "import sys; from cfnlint.runner import main; sys.exit(main())")
    done = subprocess.run(
        (*program, "--template", *map(str, tmp_path.iterdir())),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_addresses_go_to_the_pool_of_their_group() -> None:
    found = project(FILE + f"groups.jobs.elastic_ips = [{ONE}, {TWO}]\n")
    assert 'Addresses: "eipalloc-0a1b2c3d,eipalloc-0a1b2c3e"' in found["pool-shop-jobs.yaml"]
    assert "Addresses" not in found["pool-shop-web.yaml"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (f"groups.jobs.elastic_ips = [{ONE}]", "1 addresses, and 2 instances may be there at once"),
        (f'groups.jobs.elastic_ips = [{ONE}, {TWO}]\ndeploy.strategy = "replace"', "3 instances may be there"),
        (f"groups.jobs.elastic_ips = [{ONE}, {TWO}]\ngroups.jobs.surge = 2", "3 instances may be there"),
        (f"groups.jobs.elastic_ips = [{ONE}, {TWO}]\ndeploy.max_surge = 2", "3 instances may be there"),
        (f"groups.jobs.elastic_ips = [{ONE}, {ONE}]", "eipalloc-0a1b2c3d twice"),
        ('groups.jobs.elastic_ips = ["192.0.2.1"]', "expected allocation ids"),
        (f"groups.web.elastic_ips = [{ONE}, {TWO}]", "come by the load balancer"),
        ('zone = "example com"', "the name of a hosted zone"),
        ('zone_id = "Z0123456789"', "goes with zone"),
        ('zone = "example.com"\nzone_id = "example.com"', "the id of a hosted zone"),
        (f"{LOCAL}groups.jobs.elastic_ips = [{ONE}, {TWO}]", "[environments.<name>.groups.jobs]"),
        (f'{LOCAL}zone = "example.com"', 'is for engine = "aws"'),
    ],
)
def test_what_cannot_be_is_named_with_its_line(said: str, problem: str) -> None:
    assert problem in mistakes(f"{FILE}{said}\n")


def test_two_groups_cannot_have_the_same_address() -> None:
    more = '[groups.more]\nrun = ["worker"]\ninstances = { min = 1, desired = 1, max = 1 }\n[environments.production]'
    text = FILE.replace("[environments.production]", more)
    said = "".join(f"groups.{each}.elastic_ips = [{ONE}, {TWO}]\n" for each in ("jobs", "more"))
    assert "is an address of jobs already" in mistakes(text + said)
