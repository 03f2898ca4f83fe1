"""What stands in for load balancers passes requests on as listeners, rules and targets say."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from homeport.simulation.aws.simulator import Simulator
from tests.aws.world import Stack, ref, resource, template, until

SLOW = """\
    #!/bin/sh
    token=$(curl -sf -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" \\
        "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/api/token")
    ask() { curl -sf -H "X-aws-ec2-metadata-token: $token" "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data/$1"; }
    exec python3 -c '
    import http.server, os, sys, time
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            while self.path == "/slow" and not os.path.exists("go"):
                time.sleep(0.05)
            body = (sys.argv[2] + " " + self.headers["Host"] + " " + str(self.headers["X-Forwarded-Proto"])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    http.server.ThreadingHTTPServer((sys.argv[1], 8080), Handler).serve_forever()
    ' "$(ask local-ipv4)" "$(ask instance-id)"
"""


@pytest.fixture
def stack(aws: Simulator) -> Iterator[Stack]:
    found = Stack(aws, "edge")
    yield found
    assert found.delete() == "DELETE_COMPLETE", found.failures()
    until(lambda: not aws.hypervisor.booted(), "no machine is left")


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(Stay)


def get(url: str, **headers: str) -> tuple[int, str, str]:
    """Status, body, where it sends one."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with OPENER.open(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers.get("Location", "")


def rule(priority: int, conditions: list[dict[str, Any]], *actions: dict[str, Any]) -> dict[str, Any]:
    return resource(
        "ElasticLoadBalancingV2::ListenerRule",
        ListenerArn=ref("Listener"),
        Priority=priority,
        Conditions=conditions,
        Actions=list(actions),
    )


def host(*values: str) -> dict[str, Any]:
    return {"Field": "host-header", "HostHeaderConfig": {"Values": list(values)}}


def path(*values: str) -> dict[str, Any]:
    return {"Field": "path-pattern", "PathPatternConfig": {"Values": list(values)}}


def fixed(text: str) -> dict[str, Any]:
    said = {"StatusCode": "418", "ContentType": "text/plain", "MessageBody": text}
    return {"Type": "fixed-response", "FixedResponseConfig": said}


def test_requests_reach_healthy_targets_by_rules_and_drain_when_one_leaves(aws: Simulator, stack: Stack) -> None:
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "80"}]
    body = template(user_data=SLOW, group={"DesiredCapacity": "3"}, target={"TargetGroupAttributes": delay})
    away = {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Host": "new.example.com", "Port": "443",
                                                   "Protocol": "HTTPS"}}  # fmt: skip
    body["Resources"] |= {
        "Tea": rule(10, [path("/tea/*", "/TEA")], fixed("it's tea")),
        "Both": rule(5, [host("*.example.com"), path("/tea/green")], fixed("green")),
        "Old": rule(20, [host("old.example.com")], away),
    }
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    until(lambda: len(stack.healthy()) == 3, "three are healthy")
    url = aws.url_of(stack.output("Dns"))
    assert url is not None
    until(lambda: get(url)[0] == 200, "it answers")
    until(lambda: {get(url)[1].split()[0] for _ in range(12)} == set(stack.healthy()), "each gets its share")
    assert get(url, Host="shop.example.com")[1].split()[1:] == ["shop.example.com", "http"]
    assert get(f"{url}/tea/x") == (418, "it's tea", "")
    assert get(f"{url}/tea/green", Host="A.Example.Com")[1] == "green"
    assert get(f"{url}/tea/green", Host="example.org")[1] == "it's tea"
    assert get(f"{url}/Tea/x")[0] == 200
    status, _, location = get(f"{url}/a?b=c", Host="old.example.com")
    assert (status, location) == (301, "https://new.example.com:443/a?b=c")

    answers: list[tuple[int, str, str]] = []
    threads = [threading.Thread(target=lambda: answers.append(get(f"{url}/slow"))) for _ in range(6)]
    for each in threads:
        each.start()
    until(lambda: aws.balancer.sessions() >= 6, "all are in flight")
    machines = [aws.hypervisor.machine(id) for id in stack.healthy()]
    aws.client("autoscaling").set_desired_capacity(AutoScalingGroupName=stack.output("Group"), DesiredCapacity=1)
    until(lambda: len(stack.in_service()) == 1, "two leave")
    left = stack.in_service()
    until(lambda: {get(url)[1].split()[0] for _ in range(6)} == set(left), "new requests go to the other")
    for machine in machines:
        assert machine is not None
        (machine.directory / "go").touch()
    for each in threads:
        each.join()
    assert [status for status, _, _ in answers] == [200] * 6


def test_weights_share_and_no_target_is_503(aws: Simulator, stack: Stack) -> None:
    body = template(user_data=SLOW, group={"DesiredCapacity": "1"})
    empty = dict(body["Resources"]["Targets"]["Properties"])
    body["Resources"]["Empty"] = resource("ElasticLoadBalancingV2::TargetGroup", **empty)

    def shared(first: int, second: int) -> dict[str, Any]:
        groups = [
            {"TargetGroupArn": ref("Targets"), "Weight": first},
            {"TargetGroupArn": ref("Empty"), "Weight": second},
        ]
        return {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}

    body["Resources"]["Listener"]["Properties"]["DefaultActions"] = [shared(1, 1)]
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    until(stack.healthy, "it is healthy")
    url = aws.url_of(stack.output("Dns"))
    assert url is not None
    until(lambda: get(url)[0] == 200, "it answers")
    counted = [get(url)[0] for _ in range(60)]
    assert 10 < counted.count(503) < 50
    assert set(counted) == {200, 503}
    body["Resources"]["Listener"]["Properties"]["DefaultActions"] = [shared(1, 0)]
    assert stack.apply(body) == "UPDATE_COMPLETE", stack.failures()
    until(lambda: {get(url)[0] for _ in range(20)} == {200}, "all go to the first")
