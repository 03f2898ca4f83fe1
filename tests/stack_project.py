"""A project of stacks in a directory, planned and applied on the scripted CloudFormation. Used by tests of stacks."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from homeport.model.stack import StackEvent
from homeport.model.stack_plan import Plan, StackPlan
from homeport.ports.encryption import Encryption
from homeport.stacks.apply import Applier, Result, Wishes
from homeport.stacks.planner import Planner, Tools
from homeport.stacks.project import Project, find
from homeport.testing.cloudformation import ACCOUNT, FakeCloud

SETTINGS = f'account: "{ACCOUNT}"\nregion: eu-west-1\n'
NETWORK = """
Parameters:
  Cidr: {Type: String, Default: 10.0.0.0/16}
Resources:
  Vpc:
    Type: AWS::EC2::VPC
    Properties: {CidrBlock: !Ref Cidr}
Outputs:
  VpcId: {Value: !Ref Vpc}
"""
WEB = """
Parameters:
  Vpc: {Type: String}
  Size: {Type: String, Default: small}
Resources:
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties: {VpcId: !Ref Vpc, GroupDescription: web, Tags: [{Key: size, Value: !Ref Size}]}
Outputs:
  Group: {Value: !GetAtt Group.GroupId}
"""
DATA = """
Parameters:
  Name: {Type: String, Default: a}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties: {TableName: !Ref Name, Tags: [{Key: name, Value: !Ref Name}]}
"""
FILES = {
    "config.yaml": SETTINGS,
    "network.yaml": "template: templates/network.yaml\n",
    "web.yaml": "template: templates/web.yaml\nparameters: {Vpc: !stack_output network/VpcId}\n",
    "data.yaml": "template: templates/data.yaml\n",
    "templates/network.yaml": NETWORK,
    "templates/web.yaml": WEB,
    "templates/data.yaml": DATA,
}


class PatientClock:
    """Moves only by pauses."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


class Site:
    """`root`: the directory that holds `stacks`. `environ`: what `!env` sees."""

    def __init__(
        self,
        root: Path,
        files: Mapping[str, str] = FILES,
        *,
        environ: Mapping[str, str] = {},
        encryption: Encryption | None = None,
    ) -> None:
        self.root = root / "stacks"
        self.cloud = FakeCloud()
        self.clock = PatientClock()
        self.environ = environ
        self.encryption = encryption
        self.said: list[tuple[str, StackEvent | str]] = []
        self.write(files)

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        self.write({name: text.replace(old, new)})

    @property
    def project(self) -> Project:
        return Project(find(self.root))

    def planner(self) -> Planner:
        def encryption() -> Encryption:
            assert self.encryption is not None
            return self.encryption

        return Planner(self.project, Tools(cloud=lambda: self.cloud, encryption=encryption, environ=self.environ))

    def plan(self, *words: str) -> Plan:
        planner = self.planner()
        return planner.plan(planner.project.select(words))

    def one(self, id: str) -> StackPlan:
        """The plan of this stack in the plan of all."""
        return next(each for each in self.plan().stacks if each.id == id)

    def applier(self, planner: Planner) -> Applier:
        return Applier(planner, self.clock, self.clock.pause, lambda id, what: self.said.append((id, what)))

    def apply(self, *words: str, wishes: Wishes = Wishes(surprises=True)) -> dict[str, Result]:
        planner = self.planner()
        plan = planner.plan(planner.project.select(words))
        assert not plan.problems, plan.problems
        return {each.id: each for each in self.applier(planner).apply(plan, wishes)}
