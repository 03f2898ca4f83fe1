"""AWS as boto3 sees it: what moto answers becomes our models, what a service refuses our errors."""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from homeport.engines.aws.cloud import AwsCloud
from homeport.engines.aws.stack_answer import change_set
from homeport.errors import Conflict, HomeportError, Invalid, NotFound, Unavailable
from homeport.model.secret import Secret
from homeport.model.stack import ChangeRequest, ChangeSetStatus, Status, Target
from homeport.model.stack_plan import Action
from homeport.stacks.apply import Applier, Outcome, Wishes
from homeport.stacks.planner import Planner, Tools
from homeport.stores.encryption import AgeEncryption
from homeport.system.clock import SystemClock, pause
from tests.certificates import certificate
from tests.e2e.role import wait_for
from tests.stack_project import SETTINGS, Site
from tests.watched import Watched

TARGET = Target("123456789012", "eu-west-1")
TEMPLATE = """
Parameters: {Name: {Type: String}, Password: {Type: String, NoEcho: true}}
Resources:
  Topic: {Type: "AWS::SNS::Topic", Properties: {TopicName: !Ref Name}}
Outputs: {Arn: {Value: !Ref Topic}}
"""


def test_a_stack_is_made_and_described(cloud: AwsCloud) -> None:
    formation = cloud.cloudformation(TARGET)
    assert cloud.caller(TARGET) == "123456789012"
    assert formation.describe("web") is None
    request = ChangeRequest(
        stack="web",
        name="first",
        create=True,
        template=TEMPLATE,
        parameters={"Name": "t", "Password": Secret("hunter2")},
        tags={"team": "web"},
    )
    id = formation.create_change_set(request)
    change_set = formation.change_set(id)
    assert (change_set.status, [each.logical_id for each in change_set.changes]) == (ChangeSetStatus.READY, ["Topic"])
    assert [each.name for each in formation.change_sets("web")] == ["first"]
    formation.execute_change_set(id, "token")
    wait_for(lambda: (found := formation.describe("web")) is not None and not found.status.busy, "it is made")
    made = formation.describe("web")
    assert made is not None
    assert (made.status, made.tags, made.parameters["Name"]) == (Status.CREATE_COMPLETE, {"team": "web"}, "t")
    assert formation.template("web") == TEMPLATE
    assert formation.policy("web") == ""
    assert [each.type for each in formation.resources("web")] == ["AWS::SNS::Topic"]
    assert formation.events("web")[0].at <= formation.events("web")[-1].at
    assert "web" in [each.name for each in formation.list()]
    formation.delete("web", "token-2")
    wait_for(lambda: formation.describe("web") is None, "it is gone")
    with pytest.raises(NotFound):
        formation.template("web")


def test_a_project_is_planned_applied_and_deleted(cloud: AwsCloud, tmp_path: Path) -> None:
    files = {"config.yaml": SETTINGS, "a.yaml": "template: t\nparameters: {Name: one, Password: !env {name: PW}}\n"}
    site = Site(tmp_path, {**files, "t": TEMPLATE}, environ={"PW": "hunter2"})

    def planner() -> Planner:
        tools = Tools(cloud=lambda: cloud, encryption=lambda: AgeEncryption(tmp_path / "id"), environ=site.environ)
        return Planner(site.project, tools)

    def apply(planner: Planner) -> Outcome:
        plan = planner.plan(("a",))
        assert plan.problems == ()
        (result,) = Applier(planner, SystemClock(), pause, lambda id, what: None).apply(plan, Wishes())
        return result.outcome

    assert apply(planner()) is Outcome.DONE
    assert [each.action for each in planner().plan(("a",)).stacks] == [Action.NONE]
    going = planner()
    going.removing = frozenset({"a"})
    assert apply(going) is Outcome.DONE
    assert [each.action for each in planner().plan(("a",)).stacks] == [Action.CREATE]


def test_large_templates_lie_in_a_bucket_once(cloud: AwsCloud) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="templates")
    formation = cloud.cloudformation(TARGET)
    assert formation.put("templates", "a", b"1") == "https://templates.s3.eu-west-1.amazonaws.com/a"
    formation.put("templates", "a", b"2")
    assert boto3.client("s3", region_name="us-east-1").get_object(Bucket="templates", Key="a")["Body"].read() == b"1"
    with pytest.raises(NotFound):
        formation.put("no-such-bucket", "a", b"1")


def test_what_resolvers_ask_for(cloud: AwsCloud, tmp_path: Path) -> None:
    def client(service: str) -> Any:
        return boto3.client(service, region_name="eu-west-1")

    client("ssm").put_parameter(Name="/plain", Value="v", Type="String")
    client("ssm").put_parameter(Name="/hidden", Value="s", Type="SecureString")
    client("secretsmanager").create_secret(Name="db", SecretString='{"user": "u", "port": 5432}')
    vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    client("ec2").create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "main"}])
    subnets = []
    for zone, cidr in (("b", "10.0.1.0/24"), ("a", "10.0.2.0/24")):
        made = client("ec2").create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"eu-west-1{zone}")["Subnet"]
        client("ec2").create_tags(Resources=[made["SubnetId"]], Tags=[{"Key": "tier", "Value": "public"}])
        subnets.append(made["SubnetId"])
    group = client("ec2").create_security_group(GroupName="web", Description="w", VpcId=vpc)["GroupId"]
    topic = client("sns").create_topic(Name="alarms")["TopicArn"]
    pair = certificate(tmp_path, "www.example.com")
    content = {"Certificate": Path(pair.certificate).read_bytes(), "PrivateKey": Path(pair.key).read_bytes()}
    imported = client("acm").import_certificate(**content)["CertificateArn"]
    machine = client("ec2").run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    images = [client("ec2").create_image(InstanceId=machine, Name=f"web-{n}")["ImageId"] for n in (1, 2)]

    lookup = cloud.lookup(TARGET)
    assert lookup.parameter("/plain") == "v"
    hidden = lookup.parameter("/hidden")
    assert isinstance(hidden, Secret)
    assert hidden.reveal() == "s"
    assert [lookup.secret("db", key).reveal() for key in ("user", "port")] == ["u", "5432"]
    assert lookup.vpc({"Name": "main"}) == vpc
    assert lookup.subnets({"tier": "public"}, vpc) == subnets[::-1]
    assert lookup.security_group("web", vpc) == group
    assert lookup.topic("alarms") == topic
    assert lookup.certificate("www.example.com") == imported
    assert lookup.latest_image(["self"], {"name": ["web-*"]}) in images
    for missing in (
        lambda: lookup.parameter("/none"),
        lambda: lookup.secret("none"),
        lambda: lookup.secret("db", "none"),
        lambda: lookup.vpc({"Name": "none"}),
        lambda: lookup.subnets({"tier": "none"}),
        lambda: lookup.security_group("none"),
        lambda: lookup.topic("none"),
        lambda: lookup.certificate("none.example.com"),
        lambda: lookup.latest_image(["self"], {"name": ["none"]}),
        lambda: lookup.latest_container("none"),
    ):
        with pytest.raises(NotFound):
            missing()
    with pytest.raises(Invalid, match="are a security group default"):
        lookup.security_group("default")


def test_an_answer_that_is_none(server: Watched, cloud: AwsCloud) -> None:
    expected = "the termination protection of web: what answers isn't AWS: Unable to parse response"
    with pytest.raises(Unavailable, match=expected) as refused:  # moto fails at it, in HTML
        AwsCloud(attempts=1).cloudformation(TARGET).set_termination_protection("web", True)
    assert "Internal Server Error" in refused.value.details[0]
    assert server.complaints == {"POST /: server error": 1}
    server.forgive()


class Refusing(BaseHTTPRequestHandler):
    """Answers every question with the error that the server was made for, as the Query protocol has it."""

    code, status, message = "", 400, ""

    def do_POST(self) -> None:
        body = (
            f"<ErrorResponse><Error><Code>{self.code}</Code><Message>{self.message}</Message></Error></ErrorResponse>"
        )
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("code", "status", "message", "kind", "said"),
    [
        ("ExpiredToken", 403, "The security token is expired", Invalid, "the credentials are expired"),
        ("InvalidClientTokenId", 403, "The token is invalid", Invalid, "doesn't know these credentials"),
        ("AccessDenied", 403, "User: x may not: y", Invalid, "aren't allowed to: User: x may not: y"),
        ("AccessDenied", 403, "Access Denied", Invalid, "aren't allowed to: GetTemplate: Access Denied"),
        ("AccessDenied", 403, "No: a. Encoded authorization failure message: x", Invalid, "allowed to: No: a.$"),
        ("Throttling", 400, "Rate exceeded", Unavailable, "AWS throttles: Rate exceeded"),
        ("InternalFailure", 500, "oops", Unavailable, "AWS failed"),
        ("ValidationError", 400, "Stack with id web does not exist", NotFound, "does not exist"),
        (
            "ValidationError",
            400,
            "Stack:arn is in UPDATE_IN_PROGRESS state and can not be updated.",
            Conflict,
            "UPDATE_IN_PROGRESS",
        ),
        ("AlreadyExistsException", 400, "ChangeSet c already exists", Conflict, "already exists"),
        ("ValidationError", 400, "Template format error: YAML", Invalid, "Template format error"),
    ],
)
def test_what_a_service_refuses(
    keys: Callable[[str], None], code: str, status: int, message: str, kind: type[HomeportError], said: str
) -> None:
    handler = type("Handler", (Refusing,), {"code": code, "status": status, "message": message})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        keys(f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(kind, match=said):
            AwsCloud(attempts=1).cloudformation(TARGET).template("web")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_no_network_and_no_credentials(keys: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        keys(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(Unavailable, match="can't reach AWS"):
            AwsCloud(attempts=1).caller(TARGET)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Invalid, match="no credentials for AWS") as refused:
        AwsCloud(attempts=1).caller(TARGET)
    assert "aws sso login" in (refused.value.hint or "")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(Invalid, match="nobody"):
        AwsCloud(attempts=1).caller(TARGET)


def test_change_sets_of_nested_stacks_are_named() -> None:
    said = {"ChangeSetId": "arn:1", "ChangeSetName": "c", "StackId": "arn:site", "Status": "CREATE_COMPLETE"}
    inner = {"Action": "Modify", "LogicalResourceId": "Web", "ResourceType": "AWS::CloudFormation::Stack"}
    changes = [{"ResourceChange": inner | {"ChangeSetId": "arn:2"}}, {"ResourceChange": inner | {"Action": "Add"}}]
    found = change_set(said, changes)
    assert (found.nested, [each.action for each in found.changes]) == ({"Web": "arn:2"}, ["modify", "add"])
