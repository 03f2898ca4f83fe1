"""The stacks of an environment on AWS: from what its apps come to, to the files of a stack project. Pure.

Templates are the shipped ones (`stacks/shipped`), the same for everybody; what differs is in parameters, and in the one
template that is written here, a rule for each route. Called by the command line, which has `stacks` apply them.

  store            the bucket; one for the whole platform, kept when environments go
  network          three zones; absent where the file names a VPC
  access           security groups
  names            private names; absent where every group is balanced
  <app>-<group>    a pool
  edge             balancer and listeners
  routes           a rule for each route
  hosts            DNS records for the hosts of routes; absent where the file names no hosted zone
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from homeport.errors import Invalid
from homeport.model.platform import Aws, Group, Place, Resolved
from homeport.plan import aws_name
from homeport.plan.aws_route import rules

PORT = 8080
"""That instances listen on; they have an address each."""
LONGEST_STACK, LONGEST_BUCKET = 100, 63
FETCH = timedelta(minutes=5)
"""What an instance may take to boot and to fetch, before its app's own time begins."""
PARTING = timedelta(seconds=30)
"""What it may take beyond its app's own time to end: to hear that it shall, and to leave its log in the store."""
SHIPPED = ("store", "network", "access", "names", "pool", "edge")
OPERATOR = "operator"
LONGEST_ROLE = 64
END = "--"
"""Of the platform's name, in names that rights go by: so that no platform's begin as another one's do."""

Parameters = Mapping[str, object]


def bucket(place: Place) -> str:
    """Of the platform's object store."""
    aws = of(place)
    return _short(f"homeport-{place.platform}", LONGEST_BUCKET - 28) + f"-{aws.account}-{aws.region}"


def store_url(place: Place) -> str:
    return f"s3://{bucket(place)}"


def identity_path(place: Place) -> str:
    """Name of the parameter that holds the age identity by which the environment's secrets are decrypted."""
    return f"/homeport/{place.platform}/{place.name}/identity"


def pool_name(place: Place, app: str, group: str) -> str:
    """Of the stack, and so of the Auto Scaling group in it."""
    return stack_name(place, f"{app}-{group}")


def store_name(place: Place) -> str:
    return _short(f"homeport-{place.platform}{END}store", LONGEST_STACK)


def owner(place: Place) -> str:
    """What the tag `homeport:project` of the environment's stacks says."""
    return place.id


def place_tags(place: Place) -> dict[str, str]:
    """By which the environment's instances, groups and target groups are told from others'."""
    return {"homeport-platform": place.platform, "homeport-environment": place.name}


ORDER = ("hosts", "routes", "pool-", "names", "edge", "access", "network")
"""How the ids of stacks begin, in the order in which they can be deleted."""


def removal(ids: Iterable[str]) -> list[list[str]]:
    """The stacks, by turns: those of one turn may go side by side."""
    found = sorted(ids)
    turns = [[each for each in found if each.startswith(start)] for start in ORDER]
    rest = [each for each in found if not each.startswith(ORDER)]
    return [each for each in (rest, *turns) if each]


def edge_name(place: Place) -> str:
    return stack_name(place, "edge")


def names_name(place: Place) -> str:
    return stack_name(place, "names")


def stack_name(place: Place, part: str) -> str:
    return _short(f"homeport-{place.platform}{END}{place.name}-{part}", LONGEST_STACK)


def of(place: Place) -> Aws:
    """What the file says of AWS. Raises `Invalid` where it says nothing, or the platform can't be told from others."""
    if place.aws is None:
        raise Invalid(
            f"{place.id} has no account and region", hint=f"[environments.{place.name}] account = …, region = …"
        )
    if END in place.platform:
        raise Invalid(
            f"a platform on AWS can't be called {place.platform}: what comes before \"{END}\" would be another one's",
            hint='platform = "…" in homeport.toml, with single hyphens',
        )
    return place.aws


def check(app: Resolved) -> None:
    """Nothing, where engine aws can do what the file asks for. Raises `Invalid` with all that it can't yet."""
    of(app.place)
    lacks = []
    own = {f"groups.{each.name}.deploy": each.deploy for each in app.groups if each.deploy is not None}
    for where, deploy in ({"deploy": app.deploy} | own).items():
        if deploy.strategy not in ("rolling", "replace"):
            lacks.append(f"{where}: strategy {deploy.strategy}; rolling and replace work")
        lacks += [f"{where}: the alarm {each.name}, by a metric" for each in deploy.alarms if each.metric is not None]
    for group in app.groups:
        if group.hooks.launching is not None or group.hooks.terminating is not None:
            lacks.append(f"groups.{group.name}: hooks")
    lacks += aws_name.problems(app)
    if lacks:
        what = f"{app.app} asks for what engine aws can't do yet"
        raise Invalid(what, details=tuple(lacks), hint="docs/limits.md; without it: homeport.toml, Procfile")


def store_project(place: Place, templates: Mapping[str, str]) -> dict[str, str]:
    """The stack that must stand before anything can be released: path → text."""
    return {
        "config.yaml": _config(place),
        "templates/store.yaml": templates["store"],
        # it belongs to no environment in particular
        "store.yaml": f"project: {place.platform}\n" + _stack("store", store_name(place), {"Name": bucket(place)}),
    }


def operator_name(place: Place) -> str:
    """Of the role for those who type commands; its policies begin so."""
    return _short(f"homeport-{place.platform}-{of(place).region}-{OPERATOR}", LONGEST_ROLE)


def viewer_name(place: Place) -> str:
    """Of the role for those who only look."""
    return _short(f"homeport-{place.platform}-{of(place).region}-viewer", LONGEST_ROLE)


def operator_stack(place: Place) -> str:
    """Outside of the names that its policies allow to change."""
    return _short(f"homeport-{OPERATOR}-{place.platform}", LONGEST_STACK)


def operator_parameters(place: Place) -> dict[str, str]:
    aws = of(place)
    image = aws.image
    return {
        "Platform": place.platform,
        "Bucket": bucket(place),
        "Image": image if image.startswith("/") else f"/{image}",
        "Name": operator_name(place),
        "Viewer": viewer_name(place),
        "Zone": aws.zone_id or ("*" if aws.zone else "none"),
    }


def operator_project(place: Place, template: str) -> dict[str, str]:
    """The stack that gives people what commands need, by itself: path → text. It belongs to no environment in
    particular."""
    stack = _stack(OPERATOR, operator_stack(place), operator_parameters(place))
    return {
        "config.yaml": _config(place),
        f"templates/{OPERATOR}.yaml": template,
        f"{OPERATOR}.yaml": f"project: {place.platform}\n{stack}",
    }


def operator_template(place: Place, template: str) -> str:
    """For those who apply it by other means: the parameters have their values."""
    for name, value in operator_parameters(place).items():
        template = template.replace(
            f"  {name}:\n    Type: String\n", f"  {name}:\n    Type: String\n    Default: {_text(value)}\n"
        )
    return template


def project(apps: Sequence[Resolved], templates: Mapping[str, str]) -> dict[str, str]:
    """The whole environment: path → text. `apps`: all that are there, of one place. Raises `Invalid` for what AWS's own
    parts can't do."""
    place = apps[0].place
    aws = of(place)
    files = store_project(place, templates)
    files |= {f"templates/{name}.yaml": templates[name] for name in SHIPPED}
    if aws.vpc is None:
        files["network.yaml"] = _stack("network", stack_name(place, "network"), {})
        vpc, subnets = "!stack_output network/Vpc", "!stack_output network/Subnets"
    else:
        del files["templates/network.yaml"]
        vpc, subnets = _text(aws.vpc), _text(",".join(aws.subnets))
    among = {"Port": PORT, "Among": "true" if aws_name.named(apps) else "false"}
    files["access.yaml"] = _stack("access", stack_name(place, "access"), among, {"Vpc": vpc})
    if aws_name.named(apps):
        files["names.yaml"] = _stack("names", names_name(place), {"Domain": aws_name.domain(place)}, {"Vpc": vpc})
    else:
        del files["templates/names.yaml"]
    named = {"Vpc": vpc, "Subnets": subnets, "SecurityGroup": "!stack_output access/Instances"}
    # looked up by us, not by CloudFormation: so a newer image is a change that is shown
    named["Image"] = f"!ssm_parameter {_text(aws.image)}"
    whose: dict[str, str] = {}
    for app in apps:
        for group in app.groups:
            name = pool_name(place, app.app, group.name)
            if name in whose:
                raise Invalid(
                    f"groups {whose[name]} and {app.app}/{group.name} of {place.id} would both be the stack {name}",
                    hint=f"another name for [groups.{group.name}]",
                )
            whose[name] = f"{app.app}/{group.name}"
            own = named if group.balanced else named | {"NameZone": "!stack_output names/Zone"}
            files[f"{pool_id(app.app, group.name)}.yaml"] = _stack("pool", name, _pool(app, group), own)
    balancer = {"Subnets": subnets, "SecurityGroup": "!stack_output access/Balancer"}
    files["edge.yaml"] = _stack("edge", edge_name(place), {"Certificate": aws.certificate or ""}, balancer)
    return files | _routes(place, apps) | _hosts(place, apps)


def pool_id(app: str, group: str) -> str:
    return f"pool-{app}-{group}"


# --- inside -----------------------------------------------------------------------------------------------------------


def _pool(app: Resolved, group: Group) -> Parameters:
    place, health = app.place, group.health
    interval = max(5, min(300, math.ceil(health.interval.total_seconds())))
    timeout = max(2, min(interval - 1, math.ceil(health.timeout.total_seconds())))
    unhealthy = max(2, min(10, math.ceil(health.replaced_after.total_seconds() / interval)))
    return {
        "Platform": place.platform,
        "Environment": place.name,
        "App": app.app,
        "Group": group.name,
        "Mode": place.mode,
        "Bucket": bucket(place),
        "Identity": identity_path(place),
        "InstanceType": of(place).instance_type,
        # `replace` has a whole second set beside the first
        "Most": 2 * group.instances.max + group.surge,
        "Grace": _seconds(FETCH + health.grace),
        "StopGrace": _seconds(group.stop_grace + PARTING),
        "Port": PORT,
        "Balanced": "true" if group.balanced else "false",
        "HealthPath": health.path or "/",
        "HealthCodes": "200-299" if health.path else "200-499",
        "HealthInterval": interval,
        "HealthTimeout": timeout,
        "Unhealthy": unhealthy,
        "Drain": min(3600, _seconds(group.drain)),
        "Boundary": of(place).boundary or "",
    } | ({} if group.balanced else _own_names(app, group))


def _own_names(app: Resolved, group: Group) -> dict[str, object]:
    found: dict[str, object] = {"PrivateName": aws_name.private_name(app.place, app.app, group.name)}
    return found | ({"Addresses": ",".join(group.elastic_ips)} if group.elastic_ips else {})


def _routes(place: Place, apps: Sequence[Resolved]) -> dict[str, str]:
    found = rules(apps)
    if not found:
        return {}
    groups = dict.fromkeys((each.app, each.group) for each in found)
    parameter = {key: f"Targets{number}" for number, key in enumerate(groups, 1)}
    resources = {
        f"Route{each.priority}": {
            "Type": "AWS::ElasticLoadBalancingV2::ListenerRule",
            "Properties": {
                "ListenerArn": {"Ref": "Listener"},
                "Priority": each.priority,
                "Conditions": each.conditions,
                "Actions": [{"Type": "forward", "TargetGroupArn": {"Ref": parameter[each.app, each.group]}}],
            },
        }
        for each in found
    }
    template = {
        "Description": "Homeport - a rule for each route, the most exact first.",
        "Parameters": {name: {"Type": "String"} for name in ("Listener", *parameter.values())},
        "Resources": resources,
    }
    named = {"Listener": "!stack_output edge/Listener"}
    named |= {name: f"!stack_output {pool_id(*key)}/Targets" for key, name in parameter.items()}
    return {
        "templates/routes.json": json.dumps(template, indent=2) + "\n",
        "routes.yaml": _stack("routes", stack_name(place, "routes"), {}, named, suffix="json"),
    }


def _hosts(place: Place, apps: Sequence[Resolved]) -> dict[str, str]:
    aws = of(place)
    within, _ = aws_name.hosts(apps, aws.zone) if aws.zone is not None else ([], [])
    if not within:
        return {}
    named = {"Balancer": "!stack_output edge/Name", "BalancerZone": "!stack_output edge/Zone"}
    zone = {"Zone": aws.zone_id or aws.zone}
    return {
        "templates/hosts.json": json.dumps(aws_name.host_records(within, aws.zone_id), indent=2) + "\n",
        "hosts.yaml": _stack("hosts", stack_name(place, "hosts"), zone, named, suffix="json"),
    }


def _config(place: Place) -> str:
    aws = of(place)
    return "".join(
        (
            f"# {place.id}, as homeport.toml has it; written anew by each homeport up.\n",
            f"project: {owner(place)}\n",
            f"account: {_text(aws.account)}\n",
            f"region: {aws.region}\n",
        )
    )


def _stack(
    template: str, name: str, parameters: Parameters, named: Mapping[str, str] = {}, *, suffix: str = "yaml"
) -> str:
    """`named`: parameters whose values are written as they are."""
    said = {key: _text(value) for key, value in parameters.items()} | dict(named)
    return "".join((f"template: templates/{template}.{suffix}\n", f"name: {name}\n", *_block("parameters", said)))


def _block(key: str, said: Mapping[str, str]) -> Iterator[str]:
    if said:
        yield f"{key}:\n"
        yield from (f"  {name}: {value}\n" for name, value in said.items())


def _text(value: object) -> str:
    return json.dumps(str(value))


def _seconds(duration: timedelta) -> int:
    return math.ceil(duration.total_seconds())


def _short(name: str, longest: int) -> str:
    """As it is, or cut, with a digest so that two don't meet."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
