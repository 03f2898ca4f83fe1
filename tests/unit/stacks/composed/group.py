"""A component: a security group that opens ports."""

from dataclasses import dataclass


@dataclass
class Port:
    number: int


def component(ports: list[Port], vpc: str) -> dict[str, object]:
    rules = [
        {"IpProtocol": "tcp", "FromPort": each.number, "ToPort": each.number, "CidrIp": "0.0.0.0/0"} for each in ports
    ]
    group = {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"GroupDescription": "web", "VpcId": vpc, "SecurityGroupIngress": rules},
    }
    return {"Resources": {"Group": group}, "Outputs": {"Id": {"Value": {"Fn::GetAtt": ["Group", "GroupId"]}}}}
