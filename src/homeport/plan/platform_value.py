"""What each single value of homeport.toml may be. Called by plan.platform_check.

A `Convert` takes the raw value and gives the typed one, or raises `Invalid` with what was expected and what was found.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from homeport.errors import Invalid
from homeport.plan.mistake import meant
from homeport.plan.platform_name import LONGEST_NAME, NAME
from homeport.plan.quantity import parse_duration, parse_size

Convert = Callable[[Any], Any]

HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
URL_PATH = re.compile(r"/[A-Za-z0-9._~!&()*+,;=:@%/-]*")
HEALTH_PATH = re.compile(URL_PATH.pattern + r"(\?[A-Za-z0-9._~!&()*+,;=:@%/?-]*)?")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
HOOK_URL = re.compile(r"https?://[A-Za-z0-9._~!&()*+,;=:%/?-]+")
ACCOUNT = re.compile(r"[0-9]{12}")
VPC = re.compile(r"vpc-[0-9a-f]{8,17}")
SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}")
ALLOCATION = re.compile(r"eipalloc-[0-9a-f]{8,17}")
HOSTED_ZONE = re.compile(r"Z[A-Z0-9]{1,31}")
PARAMETER = re.compile(r"(/[A-Za-z0-9_.-]+)+")
INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
POLICY = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+")
CERTIFICATE = re.compile(r"arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[A-Za-z0-9-]+")
REF = re.compile(r"(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)))[A-Za-z0-9_][A-Za-z0-9._/+#@=-]*(?<![./])")
FILE_INSIDE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
NO_NODE = "none"
MOST_ADDRESSES = 100
"""Of a group; their ids have to fit into the 4096 characters of a parameter."""

_PERCENT = re.compile(r"(0|[1-9][0-9]{0,2})%")
_SCHEME = re.compile(r"(?:https?|ssh|git|file)://")
_SSH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^/].*")
"""git's short form: git@github.com:shop/blog.git."""


def found(value: object) -> str:
    """A raw value as a message shows it."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value if len(value) <= 60 else value[:57] + "…"}"'
        case dict():
            return "a table"
        case list():
            return "an array"
    return str(value)


def name_problem(name: str) -> str | None:
    """Why `name` can't name an app, group or environment, or None. They become host names."""
    if not NAME.fullmatch(name):
        return f"a name is made of a–z, 0–9 and inner hyphens, found {found(name)}"
    if len(name) > LONGEST_NAME:
        return f"a name has at most {LONGEST_NAME} characters, found {len(name)}"
    return None


def text(example: str) -> Convert:
    def convert(value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise Invalid(f'expected a text such as "{example}", found {found(value)}')
        if any(ord(char) < 32 and char not in "\n\t" for char in value):
            raise Invalid("holds a control character")
        return value

    return convert


def matching(pattern: re.Pattern[str], what: str) -> Convert:
    def convert(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Invalid(f"expected {what}, found {found(value)}")
        return value

    return convert


def name(value: Any) -> str:
    said: str = text("shop")(value)
    if problem := name_problem(said):
        raise Invalid(problem)
    return said


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"expected true or false, found {found(value)}")
    return value


def count(least: int) -> Convert:
    def convert(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 10_000:
            raise Invalid(f"expected a number from {least} to 10000, found {found(value)}")
        return value

    return convert


def amount(least: int) -> Convert:
    """A number, or a share such as "25%"."""

    def convert(value: Any) -> int | str:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= 10_000:
            return value
        if isinstance(value, str) and _PERCENT.fullmatch(value) and least <= int(value[:-1]) <= 100:
            return value
        raise Invalid(f'expected a number from {least} to 10000 or a share such as "25%", found {found(value)}')

    return convert


def weight(value: Any) -> int:
    """Percent."""
    if isinstance(value, str) and _PERCENT.fullmatch(value) and 1 <= int(value[:-1]) <= 99:
        return int(value[:-1])
    raise Invalid(f'expected a share from "1%" to "99%" (all of it comes after the last step), found {found(value)}')


def price(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1000:
        raise Invalid(f"expected what an instance costs by the hour, such as 0.0228, found {found(value)}")
    return float(value)


def duration(*, zero: bool) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, str):
            raise Invalid(f'expected a duration such as "1s", found {found(value)}')
        duration = parse_duration(value)
        if not duration and not zero:
            raise Invalid(f"expected more than zero, found {found(value)}")
        return duration

    return convert


def size(value: Any) -> int:
    if not isinstance(value, str):
        raise Invalid(f'expected a size such as "512MB", found {found(value)}')
    size = parse_size(value)
    if size == 0:
        raise Invalid(f"expected more than zero, found {found(value)}")
    return size


def one_of(*choices: str) -> Convert:
    def convert(value: Any) -> str:
        if value not in choices:
            expected = " or ".join(f'"{each}"' for each in choices)
            near = meant(value, choices) if isinstance(value, str) else ""
            raise Invalid(f"expected {expected}, found {found(value)}{near}")
        return str(value)

    return convert


def names(value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise Invalid(f'expected an array such as ["web"], found {found(value)}')
    if len(set(value)) != len(value):
        raise Invalid("names something twice")
    return value


def paths_inside(value: Any) -> list[str]:
    for each in (paths := names(value)):
        if each.startswith(("/", "~")) or ".." in each.split("/") or each.strip("./") == "":
            raise Invalid(f'expected paths inside the app such as "node_modules", found {found(each)}')
    return paths


def networks(value: Any) -> tuple[str, ...]:
    """Addresses and networks, IPv4 and IPv6."""
    if not isinstance(value, list):
        raise Invalid(f'expected a list of networks such as ["10.0.0.0/8"], found {found(value)}')
    return tuple(network(each) for each in value)


def network(value: Any) -> str:
    try:
        return str(ipaddress.ip_network(value if isinstance(value, str) else ""))
    except ValueError as error:
        raise Invalid(f'expected an address or a network such as "10.0.0.0/8", found {found(value)}') from error


def python(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"3(\.[0-9]{1,2}){1,2}", value):
        return value
    raise Invalid(f'expected a version as text such as "3.11", found {found(value)}')


def node(value: Any) -> str:
    if isinstance(value, str) and (value == NO_NODE or re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3}){0,2}", value)):
        return value
    raise Invalid(f'expected a version as text such as "20", or "{NO_NODE}", found {found(value)}')


def directory_inside(value: Any) -> str:
    """Without "./" and a last "/": "public"; "." for the app's own."""
    said: str = text("public")(value)
    parts = [part for part in said.split("/") if part not in ("", ".")]
    if said.startswith("/") or not all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", part) for part in parts):
        raise Invalid(f'expected a directory of the app such as "public", found {found(value)}')
    return "/".join(parts) or "."


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def listen(value: Any) -> str:
    if isinstance(value, str):
        address, _, port = value.rpartition(":")
        bare = address[1:-1] if address.startswith("[") and address.endswith("]") else None
        there = _is_address(address, 4) if bare is None else _is_address(bare, 6) and "%" not in bare
        if there and re.fullmatch(r"[1-9][0-9]{0,4}", port) and int(port) < 65536:
            return value
    raise Invalid(f'expected an address and a port such as "127.0.0.1:8080", found {found(value)}')


def host(value: Any) -> str:
    if not isinstance(value, str) or not HOST.fullmatch(value.lower()):
        raise Invalid(f'expected a host name such as "www.example.com", without scheme or port, found {found(value)}')
    return value.lower()


def is_git_url(source: str) -> bool:
    return "://" in source or _SSH.fullmatch(source) is not None


def source(value: Any) -> str:
    """A path, or a git URL. A login has no place in a file that is committed."""
    said: str = text("../blog")(value)
    if not is_git_url(said) or _SSH.fullmatch(said):
        return said
    try:
        url = urlsplit(said)
    except ValueError as error:
        raise Invalid(f"expected a git URL, found {found(said)}") from error
    if url.password is not None or (url.username and url.scheme != "ssh"):
        raise Invalid("holds a login, which doesn't belong in a file; git's credential helpers keep it")
    if not _SCHEME.match(said) or not url.path.strip("/") or not (url.hostname or url.scheme == "file"):
        raise Invalid(f'expected a git URL such as "https://example.net/blog.git", found {found(said)}')
    if url.fragment or url.query:
        raise Invalid(f'a branch or tag is said by ref = "main" beside it, found {found(said)}')
    return said


def route_to(value: Any) -> str:
    """A group's name, or the scheme, host and perhaps port of an upstream."""
    if not isinstance(value, str) or not value:
        raise Invalid(f'expected a group or a URL such as "https://blog.example.net", found {found(value)}')
    if "://" not in value:
        return value
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError as error:
        raise Invalid(f"expected a URL such as https://blog.example.net, found {found(value)}") from error
    host = url.hostname or ""
    plain = url.netloc.lower() == (host if port is None else f"{host}:{port}")
    if url.scheme not in ("http", "https") or not plain or not HOST.fullmatch(host) or port == 0:
        raise Invalid(f"expected http:// or https://, a host and perhaps a port, found {found(value)}")
    if url.path.strip("/") or url.query or url.fragment:
        raise Invalid(f"an upstream has no path of its own (strip_prefix removes the route's), found {found(value)}")
    return f"{url.scheme}://{url.netloc.lower()}"


def _wrong(value: Any, expected: re.Pattern[str]) -> str:
    """What isn't a list of such texts, or the first of it that is none; empty: all are."""
    if not isinstance(value, list):
        return found(value)
    return next((found(each) for each in value if not isinstance(each, str) or not expected.fullmatch(each)), "")


def subnets(value: Any) -> tuple[str, ...]:
    """A load balancer wants two zones at least."""
    if wrong := _wrong(value, SUBNET):
        raise Invalid(f'expected ids of subnets, ["subnet-…", "subnet-…"], found {wrong}')
    if len(set(value)) < 2:
        raise Invalid("expected two subnets at least, in different zones")
    return tuple(dict.fromkeys(value))


def allocations(value: Any) -> tuple[str, ...]:
    if wrong := _wrong(value, ALLOCATION):
        raise Invalid(f'expected allocation ids of Elastic IP addresses, ["eipalloc-…", …], found {wrong}')
    if twice := sorted({each for each in value if value.count(each) > 1}):
        raise Invalid(f"has {', '.join(twice)} twice")
    if len(value) > MOST_ADDRESSES:
        raise Invalid(f"expected at most {MOST_ADDRESSES} addresses, found {len(value)}")
    return tuple(value)
