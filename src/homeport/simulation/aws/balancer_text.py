"""HAProxy's configuration for the listeners, rules and target groups of Application Load Balancers: pure. Called by
`balancer`. Pages named in docstrings are AWS's: User Guide for Application Load Balancers.

What isn't here is refused by `unsupported`, before anything is sent.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from homeport.simulation.aws.inventory import Balancing, forwards

ROLLS = 1000
SLOTS = 64
FINGERPRINT = "FINGERPRINT"
NOWHERE = "127.0.0.1:1"
LARGEST_PRIORITY = 1_000_000


class Text(Struct, frozen=True):
    """`text` says where requests go now; `fingerprint`: of all that can't be changed while it runs."""

    text: str
    fingerprint: str


class Slot(Struct, frozen=True):
    """One server of a backend. `state`: ready, drain or maint."""

    name: str
    address: str = NOWHERE
    state: str = "maint"


def render(
    balancing: Balancing, ports: Mapping[str, int], slots: Mapping[str, Sequence[Slot]], socket: str, pid: str
) -> Text:
    """`ports`: where each listener listens here, by its ARN; `slots`: by target group."""
    lines = [
        "global",
        f"    stats socket {socket} mode 600 level admin expose-fd listeners",
        f"    pidfile {pid}",
        "    maxconn 4000",
        "    hard-stop-after 1h",
        f"    description {FINGERPRINT}",
        "defaults",
        "    mode http",
        "    timeout connect 5s",
        "    timeout client 60s",
        "    timeout server 60s",
        "    retries 0",
        "    option forwardfor",
    ]
    for arn in sorted(ports):
        lines += _frontend(balancing, balancing.listeners[arn], ports[arn])
    for arn in sorted(slots):
        lines += _backend(arn, balancing.groups[arn])
    fixed = "\n".join([*lines, *(f"{arn} {len(each)}" for arn, each in sorted(slots.items()))])
    fingerprint = hashlib.sha256(fixed.encode()).hexdigest()[:16]
    servers = {backend(arn): each for arn, each in slots.items()}
    text = []
    for line in lines:
        text.append(line.replace(FINGERPRINT, fingerprint))
        if line.startswith("backend "):
            text += [_server(each) for each in servers[line.removeprefix("backend ")]]
    return Text("\n".join(text) + "\n", fingerprint)


def backend(arn: str) -> str:
    """The target group's name in HAProxy."""
    return "group-" + hashlib.sha256(arn.encode()).hexdigest()[:12]


def unsupported(balancing: Balancing) -> list[str]:
    """What of it the stand-in can't do, for people."""
    found = []
    for arn, listener in balancing.listeners.items():
        for rule in listener["Rules"]:
            for action in rule["Actions"]:
                if action["Type"] not in ("forward", "redirect", "fixed-response"):
                    found.append(f"{arn}: actions of the type {action['Type']}")
            for each in rule.get("Conditions") or ():
                if each.get("Field") not in _CONDITIONS:
                    found.append(f"{arn}: conditions on {each.get('Field')}")
    return found


def _server(slot: Slot) -> str:
    """In the text a server that drains is one without weight: that is all a new HAProxy needs to know."""
    mark = {"ready": "", "drain": " weight 0", "maint": " disabled"}[slot.state]
    return f"    server {slot.name} {slot.address}{mark}"


def _backend(arn: str, group: Mapping[str, Any]) -> list[str]:
    kind = group["Attributes"].get("load_balancing.algorithm.type", "round_robin")
    return [
        f"backend {backend(arn)}",
        f"    balance {'leastconn' if kind == 'least_outstanding_requests' else 'roundrobin'}",
    ]


def _frontend(balancing: Balancing, listener: Mapping[str, Any], port: int) -> list[str]:
    """Page "HTTP headers and Application Load Balancers": X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Port. Page
    "Listener rules": "Rules are evaluated in priority order, from the lowest value to the highest value. The default
    rule is evaluated last." """
    owner = balancing.balancers[listener["LoadBalancerArn"]]
    idle = owner["Attributes"].get("idle_timeout.timeout_seconds", "60")
    protocol = str(listener["Protocol"]).lower()
    lines = [
        f"frontend listener-{port}",
        f"    bind 127.0.0.1:{port}",
        f"    timeout client {idle}s",
        f"    http-request set-header X-Forwarded-Proto {protocol}",
        f"    http-request set-header X-Forwarded-Port {listener['Port']}",
        f"    http-request set-var(txn.roll) rand({ROLLS})",
    ]
    rules = sorted(listener["Rules"], key=lambda each: _priority(each["Priority"]))
    for number, rule in enumerate(rules, 1):
        conditions = " ".join(_condition(each) for each in rule.get("Conditions") or ())
        lines.append(
            f"    http-request set-var(txn.rule) int({number}) if !{{ var(txn.rule) -m found }} {conditions}".rstrip()
        )
    for number, rule in enumerate(rules, 1):
        lines += _action(number, rule["Actions"][-1])
    return lines


def _priority(said: str) -> int:
    return int(said) if said.isdigit() else LARGEST_PRIORITY


def _action(number: int, action: Mapping[str, Any]) -> Iterator[str]:
    chosen = f"if {{ var(txn.rule) -m int {number} }}"
    match action["Type"]:
        case "fixed-response":
            said = action["FixedResponseConfig"]
            kind, body = _quoted(said.get("ContentType") or "text/plain"), said.get("MessageBody")
            payload = f" content-type {kind} string {_quoted(body)}" if body else ""
            yield f"    http-request return status {said['StatusCode']}{payload} {chosen}"
        case "redirect":
            said = action["RedirectConfig"]
            code = str(said["StatusCode"]).removeprefix("HTTP_")
            yield f"    http-request redirect code {code} location {_location(said)} {chosen}"
        case "forward":
            groups = [(arn, weight) for arn, weight in forwards(dict(action)) if weight > 0]
            total, up_to = sum(weight for _, weight in groups), 0
            for arn, weight in groups:
                up_to += weight
                below = f" {{ var(txn.roll) -m int lt {ROLLS * up_to // total} }}" if up_to < total else ""
                yield f"    use_backend {backend(arn)} {chosen}{below}"


def _location(said: Mapping[str, Any]) -> str:
    """Page "Listener rules", redirect actions: #{protocol}, #{host}, #{port}, #{path} and #{query} keep what the
    request has."""
    query = said.get("Query", "#{query}")
    whole = (
        f"{said.get('Protocol', '#{protocol}')}://{said.get('Host', '#{host}')}:{said.get('Port', '#{port}')}"
        f"{said.get('Path', '/#{path}')}{'?' + query if query else ''}"
    )
    words = {
        "#{protocol}": "%[req.hdr(x-forwarded-proto)]",
        "#{host}": "%[req.hdr(host),field(1,:)]",
        "#{port}": "%[req.hdr(x-forwarded-port)]",
        "/#{path}": "%[path]",
        "#{path}": "%[path]",
        "#{query}": "%[query]",
    }
    for name, value in words.items():
        whole = whole.replace(name, value)
    return whole.lower() if "://" not in whole else whole[: whole.index("://")].lower() + whole[whole.index("://") :]


def _condition(said: Mapping[str, Any]) -> str:
    return _CONDITIONS[said["Field"]](said)


def _host(said: Mapping[str, Any]) -> str:
    """Page "Listener rules", host conditions: wildcards * and ?, "not case-sensitive"."""
    return _matching("req.hdr(host),field(1,:)", _values(said, "HostHeaderConfig"), " -i")


def _path(said: Mapping[str, Any]) -> str:
    """Path conditions: of the path alone, "case-sensitive"."""
    return _matching("path", _values(said, "PathPatternConfig"))


def _method(said: Mapping[str, Any]) -> str:
    values = said["HttpRequestMethodConfig"]["Values"]
    return f"{{ method -m str {' '.join(map(_quoted, values))} }}"


def _header(said: Mapping[str, Any]) -> str:
    config = said["HttpHeaderConfig"]
    return _matching(f"req.hdr({config['HttpHeaderName']})", config["Values"], " -i")


def _query(said: Mapping[str, Any]) -> str:
    texts = []
    for each in said["QueryStringConfig"]["Values"]:
        pair = f"{_pattern(each['Key'])}=" if each.get("Key") else "[^&]*=?"
        texts.append(f"(^|&){pair}{_pattern(each['Value'])}(&|$)")
    return f"{{ query -m reg -i {' '.join(map(_quoted, texts))} }}"


def _source(said: Mapping[str, Any]) -> str:
    return f"{{ src {' '.join(said['SourceIpConfig']['Values'])} }}"


_CONDITIONS = {
    "host-header": _host,
    "http-header": _header,
    "http-request-method": _method,
    "path-pattern": _path,
    "query-string": _query,
    "source-ip": _source,
}


def _values(said: Mapping[str, Any], config: str) -> list[str]:
    return list(said.get(config, {}).get("Values") or said.get("Values") or ())


def _matching(what: str, values: Sequence[str], flag: str = "") -> str:
    texts = [f"^{_pattern(each)}$" for each in values]
    return f"{{ {what} -m reg{flag} {' '.join(map(_quoted, texts))} }}"


def _pattern(text: str) -> str:
    return "".join(".*" if each == "*" else "." if each == "?" else re.escape(each) for each in text)


def _quoted(text: str) -> str:
    """As HAProxy's configuration reads it: within single quotes nothing is special but those."""
    return "'" + text.replace("'", "'\"'\"'") + "'" if "\n" not in text else "'" + text.replace("\n", " ") + "'"
