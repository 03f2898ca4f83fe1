"""Networks in CloudFormation: VPCs, subnets, routes, security groups, by EC2's API. Fills `stack_type.TYPES`."""

from typing import Any

from homeport.simulation.aws.stack_type import TYPES, Made, Scene, Type, spec, tags, typed, without


def _vpc(scene: Scene, said: dict[str, Any]) -> Made:
    ec2 = scene.client("ec2")
    id = ec2.create_vpc(CidrBlock=said["CidrBlock"], TagSpecifications=spec(scene, said, "vpc"))["Vpc"]["VpcId"]
    for name in ("EnableDnsSupport", "EnableDnsHostnames"):
        if name in said:
            ec2.modify_vpc_attribute(VpcId=id, **{name: {"Value": str(said[name]).lower() == "true"}})
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [id]}])["SecurityGroups"]
    attributes = {"VpcId": id, "CidrBlock": said["CidrBlock"], "DefaultSecurityGroup": groups[0]["GroupId"]}
    return Made(id, attributes)


def _subnet(scene: Scene, said: dict[str, Any]) -> Made:
    ec2 = scene.client("ec2")
    asked = without(said, "Tags", "MapPublicIpOnLaunch")
    made = ec2.create_subnet(**asked, TagSpecifications=spec(scene, said, "subnet"))["Subnet"]
    if str(said.get("MapPublicIpOnLaunch", "")).lower() == "true":
        ec2.modify_subnet_attribute(SubnetId=made["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    zone = made["AvailabilityZone"]
    return Made(made["SubnetId"], {"SubnetId": made["SubnetId"], "AvailabilityZone": zone, "VpcId": made["VpcId"]})


def _gateway(scene: Scene, said: dict[str, Any]) -> Made:
    made = scene.client("ec2").create_internet_gateway(TagSpecifications=spec(scene, said, "internet-gateway"))
    id = made["InternetGateway"]["InternetGatewayId"]
    return Made(id, {"InternetGatewayId": id})


def _attachment(scene: Scene, said: dict[str, Any]) -> Made:
    scene.client("ec2").attach_internet_gateway(**said)
    return Made(f"IGW|{said['VpcId']}", {})


def _detach(scene: Scene, id: str, said: dict[str, Any]) -> None:
    scene.client("ec2").detach_internet_gateway(**said)


def _route_table(scene: Scene, said: dict[str, Any]) -> Made:
    made = scene.client("ec2").create_route_table(
        VpcId=said["VpcId"], TagSpecifications=spec(scene, said, "route-table")
    )
    id = made["RouteTable"]["RouteTableId"]
    return Made(id, {"RouteTableId": id})


def _route(scene: Scene, said: dict[str, Any]) -> Made:
    scene.client("ec2").create_route(**said)
    return Made(f"{said['RouteTableId']}|{said['DestinationCidrBlock']}")


def _association(scene: Scene, said: dict[str, Any]) -> Made:
    id = scene.client("ec2").associate_route_table(**said)["AssociationId"]
    return Made(id, {"Id": id})


def _elastic_ip(scene: Scene, said: dict[str, Any]) -> Made:
    made = scene.client("ec2").allocate_address(Domain="vpc", TagSpecifications=spec(scene, said, "elastic-ip"))
    return Made(made["PublicIp"], {"AllocationId": made["AllocationId"], "PublicIp": made["PublicIp"]})


def _release(scene: Scene, id: str, said: dict[str, Any]) -> None:
    found = scene.client("ec2").describe_addresses(PublicIps=[id])["Addresses"]
    scene.client("ec2").release_address(AllocationId=found[0]["AllocationId"])


def _nat(scene: Scene, said: dict[str, Any]) -> Made:
    asked = without(said, "Tags")
    made = scene.client("ec2").create_nat_gateway(**asked, TagSpecifications=spec(scene, said, "natgateway"))
    return Made(made["NatGateway"]["NatGatewayId"], {"NatGatewayId": made["NatGateway"]["NatGatewayId"]})


def _endpoint(scene: Scene, said: dict[str, Any]) -> Made:
    ec2 = scene.client("ec2")
    asked = typed(ec2, "CreateVpcEndpoint", without(said, "Tags"))
    made = ec2.create_vpc_endpoint(**asked, TagSpecifications=spec(scene, said, "vpc-endpoint"))["VpcEndpoint"]
    return Made(made["VpcEndpointId"], {"Id": made["VpcEndpointId"]})


def _security_group(scene: Scene, said: dict[str, Any]) -> Made:
    ec2 = scene.client("ec2")
    asked = {"GroupName": said.get("GroupName", scene.name), "Description": said["GroupDescription"]}
    if "VpcId" in said:
        asked["VpcId"] = said["VpcId"]
    id = ec2.create_security_group(**asked, TagSpecifications=spec(scene, said, "security-group"))["GroupId"]
    _set_rules(scene, id, {}, said)
    return Made(id, {"GroupId": id, "VpcId": said.get("VpcId", "")})


def _change_group(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
    _set_rules(scene, id, old, said)
    scene.client("ec2").create_tags(Resources=[id], Tags=[*_plain(tags(scene, said))])
    return Made(id, {"GroupId": id, "VpcId": said.get("VpcId", "")})


def _plain(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return [each for each in found if not each["Key"].startswith("aws:")]


def _set_rules(scene: Scene, id: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    ec2 = scene.client("ec2")
    for key, grant, revoke in (
        ("SecurityGroupIngress", ec2.authorize_security_group_ingress, ec2.revoke_security_group_ingress),
        ("SecurityGroupEgress", ec2.authorize_security_group_egress, ec2.revoke_security_group_egress),
    ):
        before, after = old.get(key) or [], new.get(key) or []
        if key == "SecurityGroupEgress" and after and not before:
            # "When you specify outbound rules, the default rule is removed": AWS::EC2::SecurityGroup
            ec2.revoke_security_group_egress(
                GroupId=id, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
            )
        if gone := [_permission(each) for each in before if each not in after]:
            revoke(GroupId=id, IpPermissions=gone)
        if added := [_permission(each) for each in after if each not in before]:
            grant(GroupId=id, IpPermissions=added)


def _permission(said: dict[str, Any]) -> dict[str, Any]:
    """A rule of a template as EC2's API has it."""
    found: dict[str, Any] = {"IpProtocol": str(said["IpProtocol"])}
    for name in ("FromPort", "ToPort"):
        if name in said:
            found[name] = int(said[name])
    words = {"Description": said["Description"]} if "Description" in said else {}
    other = said.get("SourceSecurityGroupId") or said.get("DestinationSecurityGroupId")
    prefix = said.get("SourcePrefixListId") or said.get("DestinationPrefixListId")
    if "CidrIp" in said:
        found["IpRanges"] = [{"CidrIp": said["CidrIp"], **words}]
    if "CidrIpv6" in said:
        found["Ipv6Ranges"] = [{"CidrIpv6": said["CidrIpv6"], **words}]
    if other:
        found["UserIdGroupPairs"] = [{"GroupId": other, **words}]
    if prefix:
        found["PrefixListIds"] = [{"PrefixListId": prefix, **words}]
    return found


def _rule(ingress: bool) -> Type:
    """A rule of a security group that stands for itself."""
    word = "ingress" if ingress else "egress"

    def change(verb: str, scene: Scene, said: dict[str, Any]) -> None:
        call = getattr(scene.client("ec2"), f"{verb}_security_group_{word}")
        call(GroupId=said["GroupId"], IpPermissions=[_permission(said)])

    def create(scene: Scene, said: dict[str, Any]) -> Made:
        change("authorize", scene, said)
        return Made(scene.name)

    def update(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
        change("revoke", scene, old)
        change("authorize", scene, said)
        return Made(id)

    return Type(create, lambda scene, id, said: change("revoke", scene, said), update)


def _deleted(operation: str, parameter: str) -> Any:
    return lambda scene, id, said: getattr(scene.client("ec2"), operation)(**{parameter: id})


TYPES |= {
    "AWS::EC2::VPC": Type(_vpc, _deleted("delete_vpc", "VpcId")),
    "AWS::EC2::Subnet": Type(_subnet, _deleted("delete_subnet", "SubnetId")),
    "AWS::EC2::InternetGateway": Type(_gateway, _deleted("delete_internet_gateway", "InternetGatewayId")),
    "AWS::EC2::VPCGatewayAttachment": Type(_attachment, _detach),
    "AWS::EC2::RouteTable": Type(_route_table, _deleted("delete_route_table", "RouteTableId")),
    "AWS::EC2::Route": Type(
        _route,
        lambda scene, id, said: scene.client("ec2").delete_route(
            RouteTableId=said["RouteTableId"], DestinationCidrBlock=said["DestinationCidrBlock"]
        ),
    ),
    "AWS::EC2::SubnetRouteTableAssociation": Type(_association, _deleted("disassociate_route_table", "AssociationId")),
    "AWS::EC2::EIP": Type(_elastic_ip, _release),
    "AWS::EC2::NatGateway": Type(_nat, _deleted("delete_nat_gateway", "NatGatewayId")),
    "AWS::EC2::VPCEndpoint": Type(
        _endpoint, lambda scene, id, said: scene.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[id])
    ),
    "AWS::EC2::SecurityGroup": Type(_security_group, _deleted("delete_security_group", "GroupId"), _change_group),
    "AWS::EC2::SecurityGroupIngress": _rule(True),
    "AWS::EC2::SecurityGroupEgress": _rule(False),
}
