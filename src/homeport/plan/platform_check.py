"""What each key of homeport.toml must look like: one table of readers. Called by plan.platform only.

A reader turns the raw value into its typed one. What it can't read it notes as a mistake, and leaves out.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from homeport.errors import Invalid
from homeport.model.alarm import Metric
from homeport.model.platform import HookResult, StopSignal, Strategy
from homeport.plan import platform_value as typed
from homeport.plan.env_file import check_variable
from homeport.plan.mistake import Mistake, meant
from homeport.plan.platform_value import Convert, found, name_problem
from homeport.plan.toml_line import Path

Data = dict[str, Any]
WRONG = object()

RESERVED_ENVIRONMENT = "common"


class Notes:
    """The mistakes found so far, and the lines to place them on."""

    def __init__(self, lines: Mapping[Path, int]) -> None:
        self._lines = lines
        self.mistakes: list[Mistake] = []

    def known(self, path: Path) -> bool:
        """Whether the file says it."""
        return path in self._lines

    def line(self, path: Path) -> int:
        """Where the file says it, or what it is in."""
        known = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in self._lines), ())
        return self._lines.get(known, 1)

    def add(self, path: Path, text: str) -> None:
        self.mistakes.append(Mistake(self.line(path), f"{show(path)}: {text}"))


Reader = Callable[[Any, Path, Notes], Any]


def show(path: Path) -> str:
    """`routes[1].to`: array items counted from 1, for people."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


# --- readers of composites -------------------------------------------------------------------------------------------


def leaf(convert: Convert) -> Reader:
    def read(value: Any, path: Path, notes: Notes) -> Any:
        try:
            return convert(value)
        except Invalid as error:
            notes.add(path, error.message)
            return WRONG

    return read


def table(
    fields: Mapping[str, Reader], *, required: tuple[str, ...] = (), misplaced: Mapping[str, str] | None = None
) -> Reader:
    """`misplaced`: key that belongs elsewhere → where, as the end of a sentence."""

    def read(value: Any, path: Path, notes: Notes) -> Any:
        if not isinstance(value, dict):
            notes.add(path, f"expected a table, found {found(value)}")
            return {}
        for key in required:
            if key not in value:
                notes.add((*path, key), "missing")
        result: Data = {}
        for key, raw in value.items():
            where = (*path, key)
            if key in fields:
                result[key] = fields[key](raw, where, notes)
            else:
                elsewhere = (misplaced or {}).get(key)
                notes.add(where, f"unknown key{f'; {elsewhere}' if elsewhere else meant(key, fields)}")
        return {key: each for key, each in result.items() if each is not WRONG}

    return read


def named(reader: Reader, what: str, *, reserved: str | None = None, free: bool = False) -> Reader:
    """Name → thing. A wrong name is noted and kept, so that what points to it isn't called a mistake too. `free`: names
    come from elsewhere, and are compared with those there."""

    def read(value: Any, path: Path, notes: Notes) -> Any:
        if not isinstance(value, dict):
            notes.add(path, f"expected a table for each {what}, found {found(value)}")
            return {}
        for name in value:
            if name == reserved:
                notes.add((*path, name), f'"{name}" is taken: config/{name} is for every {what}')
            elif not free and (problem := name_problem(name)):
                notes.add((*path, name), problem)
        return {name: reader(raw, (*path, name), notes) for name, raw in value.items()}

    return read


def rows(reader: Reader) -> Reader:
    def read(value: Any, path: Path, notes: Notes) -> Any:
        if not isinstance(value, list):
            notes.add(path, f"expected an array of tables, found {found(value)}; write [[{path[-1]}]]")
            return WRONG
        return [reader(raw, (*path, row), notes) for row, raw in enumerate(value)]

    return read


def _instances(value: Any, path: Path, notes: Notes) -> Any:
    """A bare number n sets all three: at least one (none, if n is 0), n, at most ten (or n)."""
    if isinstance(value, dict):
        fields = {"min": leaf(typed.count(0)), "desired": leaf(typed.count(0)), "max": leaf(typed.count(0))}
        return table(fields)(value, path, notes)
    number = leaf(typed.count(0))(value, path, notes)
    return number if number is WRONG else {"min": min(1, number), "desired": number, "max": max(10, number)}


def _variables(value: Any, path: Path, notes: Notes) -> Any:
    if not isinstance(value, dict):
        notes.add(path, f"expected a table of variables, found {found(value)}")
        return WRONG
    for key, each in value.items():
        if not isinstance(each, str):
            notes.add((*path, key), f"expected a text, found {found(each)}")
        elif problem := check_variable(key, each):
            notes.add((*path, key), problem)
    return value


def _alarm(value: Any, path: Path, notes: Notes) -> Any:
    """What it asks is counted as it is written: a wrong URL is one mistake, not two."""
    kinds = [each for each in ALARM_KINDS if isinstance(value, dict) and each in value]
    if isinstance(value, dict) and len(kinds) != 1:
        notes.add(path, f"expected one of {', '.join(ALARM_KINDS)}, found {' and '.join(kinds) or 'none'}")
    return table(ALARM)(value, path, notes)


# --- the keys --------------------------------------------------------------------------------------------------------

HEALTH: dict[str, Reader] = {
    "path": leaf(typed.matching(typed.HEALTH_PATH, 'a path that starts with "/", such as "/healthz"')),
    "interval": leaf(typed.duration(zero=False)),
    "timeout": leaf(typed.duration(zero=False)),
    "grace": leaf(typed.duration(zero=False)),
    "settle": leaf(typed.duration(zero=True)),
    "unhealthy_after": leaf(typed.duration(zero=False)),
}
BREAKER: dict[str, Reader] = {
    "failures": leaf(typed.count(2)),
    "soon": leaf(typed.duration(zero=True)),
    "backoff": leaf(typed.duration(zero=False)),
    "longest": leaf(typed.duration(zero=False)),
    "window": leaf(typed.duration(zero=False)),
}
HOOK: dict[str, Reader] = {
    "command": leaf(typed.text("./warm-up")),
    "url": leaf(typed.matching(typed.HOOK_URL, 'a URL such as "https://example.net/hook"')),
    "heartbeat": leaf(typed.duration(zero=False)),
    "result": leaf(typed.one_of(*get_args(HookResult))),
}
_ONE_FOR_ALL = "it is one for all groups, and belongs in [deploy]"
HOOKS: dict[str, Reader] = {"launching": table(HOOK), "terminating": table(HOOK)}
GROUP_DEPLOY: dict[str, Reader] = {
    "strategy": leaf(typed.one_of(*get_args(Strategy))),
    "max_unavailable": leaf(typed.amount(0)),
    "max_surge": leaf(typed.amount(0)),
    "batch": leaf(typed.one_of("count", "zone")),
}
ALARM_KINDS = ("url", "command", "metric")
ALARM: dict[str, Reader] = {
    "name": leaf(typed.name),
    "url": leaf(typed.matching(typed.HOOK_URL, 'a URL such as "https://example.net/checkout"')),
    "command": leaf(typed.text("./smoke")),
    "metric": leaf(typed.one_of(*get_args(Metric))),
    "above": leaf(typed.text("1%")),
    "group": leaf(typed.name),
    "min_requests": leaf(typed.count(1)),
    "timeout": leaf(typed.duration(zero=False)),
    "unknown": leaf(typed.one_of("back", "continue")),
}
STEP: dict[str, Reader] = {"weight": leaf(typed.weight), "pause": leaf(typed.duration(zero=False))}
DEPLOY: dict[str, Reader] = {
    **GROUP_DEPLOY,
    "bake": leaf(typed.duration(zero=True)),
    "keep_old": leaf(typed.duration(zero=True)),
    "steps": rows(table(STEP, required=("weight", "pause"))),
    "min_requests": leaf(typed.count(10)),
    "inconclusive": leaf(typed.one_of("continue", "back")),
    "pause_after": leaf(typed.amount(1)),
    "alarms": rows(_alarm),
    "hook_timeout": leaf(typed.duration(zero=False)),
    "timeout": leaf(typed.duration(zero=False)),
}
GROUP: dict[str, Reader] = {
    "run": leaf(typed.names),
    "instances": _instances,
    "memory": leaf(typed.size),
    "stop_grace": leaf(typed.duration(zero=False)),
    "drain": leaf(typed.duration(zero=True)),
    "balanced": leaf(typed.boolean),
    "health": table(HEALTH),
    "after": leaf(typed.names),
    "surge": leaf(typed.count(0)),
    "replace_budget": leaf(typed.count(1)),
    "max_lifetime": leaf(typed.duration(zero=False)),
    "breaker": table(BREAKER),
    "hooks": table(HOOKS),
    "elastic_ips": leaf(typed.allocations),
    "deploy": table(GROUP_DEPLOY, misplaced=dict.fromkeys(set(DEPLOY) - set(GROUP_DEPLOY), _ONE_FOR_ALL)),
}
PROCESS: dict[str, Reader] = {
    "after": leaf(typed.names),
    "stop": leaf(typed.text("bin/finish $PID")),
    "stop_signal": leaf(typed.one_of(*get_args(StopSignal))),
}
ROUTE: dict[str, Reader] = {
    "to": leaf(typed.route_to),
    "host": leaf(typed.host),
    "path": leaf(typed.matching(typed.URL_PATH, 'a path that starts with "/", such as "/blog"')),
    "strip_prefix": leaf(typed.boolean),
}
RETENTION: dict[str, Reader] = {
    "releases": leaf(typed.count(1)),
    "logs": leaf(typed.duration(zero=True)),
}
MAINTENANCE: dict[str, Reader] = {
    "page": leaf(typed.matching(typed.FILE_INSIDE, 'a file of the app such as "maintenance.html"')),
    "allow": leaf(typed.networks),
    "retry_after": leaf(typed.duration(zero=False)),
}
DEPENDENCIES: dict[str, Reader] = {"command": leaf(typed.text("npm ci")), "paths": leaf(typed.paths_inside)}
BUILD: dict[str, Reader] = {
    "python": leaf(typed.python),
    "node": leaf(typed.node),
    "command": leaf(typed.text("make dist")),
    "dependencies": table(DEPENDENCIES, required=("command", "paths")),
    "env": _variables,
    "collectstatic": leaf(typed.boolean),
    "timeout": leaf(typed.duration(zero=False)),
}
STATIC: dict[str, Reader] = {
    "directory": leaf(typed.directory_inside),
    "fallback": leaf(typed.matching(typed.FILE_INSIDE, 'a file in that directory such as "index.html"')),
}
TLS: dict[str, Reader] = {
    "certificate": leaf(typed.text("/etc/ssl/shop.pem")),
    "key": leaf(typed.text("/etc/ssl/shop.key")),
}

SECTIONS: dict[str, Reader] = {
    "health": table(HEALTH),
    "groups": named(table(GROUP), "group"),
    "processes": named(table(PROCESS), "process type", free=True),
    "routes": rows(table(ROUTE, required=("to",))),
    "deploy": table(DEPLOY),
    "retention": table(RETENTION),
    "maintenance": table(MAINTENANCE),
}
PLACE: dict[str, Reader] = {
    "engine": leaf(typed.one_of("local", "aws", "memory")),
    "mode": leaf(typed.one_of("review", "staging", "production")),
    "listen": leaf(typed.listen),
    "tls": table(TLS, required=("certificate", "key")),
    "redirect": leaf(typed.listen),
    "account": leaf(typed.matching(typed.ACCOUNT, 'the twelve digits of an AWS account, as text "123456789012"')),
    "region": leaf(typed.matching(typed.REGION, 'an AWS region such as "eu-west-1"')),
    "vpc": leaf(typed.matching(typed.VPC, 'the id of a VPC such as "vpc-0a1b2c3d"')),
    "subnets": leaf(typed.subnets),
    "image": leaf(typed.matching(typed.PARAMETER, 'the name of an SSM parameter that holds an image\'s id, "/…"')),
    "instance_type": leaf(typed.matching(typed.INSTANCE_TYPE, 'an EC2 instance type such as "t3.small"')),
    "certificate": leaf(typed.matching(typed.CERTIFICATE, 'the ARN of a certificate, "arn:aws:acm:…"')),
    "price_per_hour": leaf(typed.price),
    "zone": leaf(typed.matching(typed.HOST, 'the name of a hosted zone such as "example.com"')),
    "zone_id": leaf(typed.matching(typed.HOSTED_ZONE, 'the id of a hosted zone such as "Z0123456789ABCDEFGHIJ"')),
    "boundary": leaf(typed.matching(typed.POLICY, 'the ARN of a policy, "arn:aws:iam::…:policy/…"')),
}
APP: dict[str, Reader] = {
    "source": leaf(typed.source),
    "ref": leaf(typed.matching(typed.REF, 'a branch or a tag such as "main"')),
}
TOP: dict[str, Reader] = {
    "app": leaf(typed.name),
    "platform": leaf(typed.name),
    "default": leaf(typed.name),
}
_IN_ENVIRONMENT = "it belongs in [environments.<name>]"
_ABOVE = "it belongs above the first [section]"
_ENVIRONMENT_MISPLACED = dict.fromkeys(TOP, _ABOVE) | dict.fromkeys(
    ("build", "static"), "a slug is built once, for every environment"
)


def _section(fields: Mapping[str, Reader]) -> Reader:
    """A table in which a key of the file's top is a header that came too early."""
    return table(fields, misplaced=dict.fromkeys(TOP, _ABOVE))


PLATFORM: Reader = table(
    {
        **TOP,
        "apps": named(_section({**APP, "build": table(BUILD), "static": table(STATIC), **SECTIONS}), "app"),
        "build": _section(BUILD),
        "static": _section(STATIC),
        "health": _section(HEALTH),
        "groups": SECTIONS["groups"],
        "processes": SECTIONS["processes"],
        "routes": SECTIONS["routes"],
        "deploy": _section(DEPLOY),
        "retention": _section(RETENTION),
        "maintenance": _section(MAINTENANCE),
        "environments": named(
            table(
                {**PLACE, **SECTIONS, "apps": named(table(SECTIONS, misplaced=_ENVIRONMENT_MISPLACED), "app")},
                misplaced=_ENVIRONMENT_MISPLACED,
            ),
            "environment",
            reserved=RESERVED_ENVIRONMENT,
        ),
    },
    misplaced=dict.fromkeys(PLACE, _IN_ENVIRONMENT),
)
