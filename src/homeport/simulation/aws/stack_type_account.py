"""Rights, stores and names in CloudFormation: IAM, S3, SSM parameters, logs, SNS, Route 53, each by its own API. Fills
`stack_type.TYPES`."""

import json
from typing import Any

from homeport.simulation.aws.stack_type import TYPES, Made, Scene, Type, tags, typed, without


def _role(scene: Scene, said: dict[str, Any]) -> Made:
    iam = scene.client("iam")
    name = said.get("RoleName", scene.name[:64])
    asked = {"RoleName": name, "AssumeRolePolicyDocument": json.dumps(said["AssumeRolePolicyDocument"])}
    for key in ("Path", "Description", "PermissionsBoundary"):
        if key in said:
            asked[key] = said[key]
    made = iam.create_role(**asked, Tags=_plain(scene, said))["Role"]
    _grant(iam, name, {}, said)
    return Made(name, {"Arn": made["Arn"], "RoleId": made["RoleId"]})


def _change_role(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
    iam = scene.client("iam")
    iam.update_assume_role_policy(RoleName=id, PolicyDocument=json.dumps(said["AssumeRolePolicyDocument"]))
    if said.get("PermissionsBoundary") != old.get("PermissionsBoundary"):
        if said.get("PermissionsBoundary"):
            iam.put_role_permissions_boundary(RoleName=id, PermissionsBoundary=said["PermissionsBoundary"])
        else:
            iam.delete_role_permissions_boundary(RoleName=id)
    _grant(iam, id, old, said)
    made = iam.get_role(RoleName=id)["Role"]
    return Made(id, {"Arn": made["Arn"], "RoleId": made["RoleId"]})


def _delete_role(scene: Scene, id: str, said: dict[str, Any]) -> None:
    iam = scene.client("iam")
    _grant(iam, id, said, {})
    iam.delete_role(RoleName=id)


def _grant(iam: Any, role: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """What the role may, from one to the other."""
    before, after = set(old.get("ManagedPolicyArns") or ()), set(new.get("ManagedPolicyArns") or ())
    for arn in sorted(before - after):
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    for arn in sorted(after - before):
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    wanted = {each["PolicyName"]: each["PolicyDocument"] for each in new.get("Policies") or ()}
    for each in old.get("Policies") or ():
        if each["PolicyName"] not in wanted:
            iam.delete_role_policy(RoleName=role, PolicyName=each["PolicyName"])
    for name, document in wanted.items():
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def _profile(scene: Scene, said: dict[str, Any]) -> Made:
    iam = scene.client("iam")
    name = said.get("InstanceProfileName", scene.name[:128])
    made = iam.create_instance_profile(InstanceProfileName=name, Path=said.get("Path", "/"))["InstanceProfile"]
    for role in said["Roles"]:
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
    return Made(name, {"Arn": made["Arn"]})


def _delete_profile(scene: Scene, id: str, said: dict[str, Any]) -> None:
    iam = scene.client("iam")
    for role in said["Roles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=id, RoleName=role)
    iam.delete_instance_profile(InstanceProfileName=id)


def _policy(scene: Scene, said: dict[str, Any]) -> Made:
    for role in said.get("Roles") or ():
        document = json.dumps(said["PolicyDocument"])
        scene.client("iam").put_role_policy(RoleName=role, PolicyName=said["PolicyName"], PolicyDocument=document)
    return Made(said["PolicyName"])


def _delete_policy(scene: Scene, id: str, said: dict[str, Any]) -> None:
    for role in said.get("Roles") or ():
        scene.client("iam").delete_role_policy(RoleName=role, PolicyName=id)


def _managed(scene: Scene, said: dict[str, Any]) -> Made:
    """UG, AWS::IAM::ManagedPolicy: Ref is its ARN."""
    name, text = said.get("ManagedPolicyName", scene.name), json.dumps(said["PolicyDocument"])
    asked = {"PolicyName": name, "PolicyDocument": text, "Path": said.get("Path", "/")}
    arn = scene.client("iam").create_policy(**asked, Description=said.get("Description", ""))["Policy"]["Arn"]
    return Made(arn, {"PolicyArn": arn})


def _change_managed(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
    text = json.dumps(said["PolicyDocument"])
    _forget_versions(scene, id)
    scene.client("iam").create_policy_version(PolicyArn=id, PolicyDocument=text, SetAsDefault=True)
    return Made(id, {"PolicyArn": id})


def _delete_managed(scene: Scene, id: str, said: dict[str, Any]) -> None:
    _forget_versions(scene, id)
    scene.client("iam").delete_policy(PolicyArn=id)


def _forget_versions(scene: Scene, arn: str) -> None:
    """All but the one that counts."""
    iam = scene.client("iam")
    for each in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not each["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=each["VersionId"])


def _bucket(scene: Scene, said: dict[str, Any]) -> Made:
    name = said.get("BucketName", scene.name.lower()[:63])
    where: dict[str, Any] = {}
    if scene.region != "us-east-1":
        where["CreateBucketConfiguration"] = {"LocationConstraint": scene.region}
    scene.client("s3").create_bucket(Bucket=name, **where)
    return _set_bucket(scene, name, said)


def _set_bucket(scene: Scene, name: str, said: dict[str, Any]) -> Made:
    s3 = scene.client("s3")
    if "VersioningConfiguration" in said:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=said["VersioningConfiguration"])
    if "PublicAccessBlockConfiguration" in said:
        blocked = {key: str(value).lower() == "true" for key, value in said["PublicAccessBlockConfiguration"].items()}
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=blocked)
    if "BucketEncryption" in said:
        rules = [
            {
                "ApplyServerSideEncryptionByDefault": each["ServerSideEncryptionByDefault"],
                "BucketKeyEnabled": bool(each.get("BucketKeyEnabled", False)),
            }
            for each in said["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        ]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    if "OwnershipControls" in said:
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=said["OwnershipControls"])
    if found := _plain(scene, said):
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": found})
    domain = f"{name}.s3.{scene.region}.amazonaws.com"
    return Made(name, {"Arn": f"arn:aws:s3:::{name}", "DomainName": domain, "RegionalDomainName": domain})


def _bucket_policy(scene: Scene, said: dict[str, Any]) -> Made:
    # moto looks at no conditions: what is denied to those who come without TLS it would deny to everybody
    document = said["PolicyDocument"]
    known = json.loads(document) if isinstance(document, str) else document
    statements = [each for each in known["Statement"] if "aws:SecureTransport" not in json.dumps(each)]
    if statements:
        text = json.dumps({**known, "Statement": statements})
        scene.client("s3").put_bucket_policy(Bucket=said["Bucket"], Policy=text)
    return Made(said["Bucket"])


def _parameter(scene: Scene, said: dict[str, Any]) -> Made:
    ssm = scene.client("ssm")
    name = said.get("Name", scene.name)
    asked = typed(ssm, "PutParameter", without(said, "Tags", "Name"))
    ssm.put_parameter(**asked, Name=name, Overwrite=True)
    return Made(name, {"Type": said["Type"], "Value": said["Value"]})


def _log_group(scene: Scene, said: dict[str, Any]) -> Made:
    logs = scene.client("logs")
    name = said.get("LogGroupName", scene.name)
    logs.create_log_group(logGroupName=name)
    return _retain(scene, name, said, {})


def _retain(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
    if "RetentionInDays" in said:
        scene.client("logs").put_retention_policy(logGroupName=id, retentionInDays=int(said["RetentionInDays"]))
    return Made(id, {"Arn": f"arn:aws:logs:{scene.region}:{scene.account}:log-group:{id}:*"})


def _topic(scene: Scene, said: dict[str, Any]) -> Made:
    name = said.get("TopicName", scene.name)
    arn = scene.client("sns").create_topic(Name=name, Tags=_plain(scene, said))["TopicArn"]
    return Made(arn, {"TopicArn": arn, "TopicName": name})


def _zone(scene: Scene, said: dict[str, Any]) -> Made:
    asked: dict[str, Any] = {"Name": said["Name"], "CallerReference": scene.name}
    if said.get("VPCs"):
        first, *others = said["VPCs"]
        if others:
            raise NotImplementedError("a private hosted zone of several VPCs")
        asked["VPC"] = first
        asked["HostedZoneConfig"] = {"PrivateZone": True}
    made = scene.client("route53").create_hosted_zone(**asked)
    id = made["HostedZone"]["Id"].rpartition("/")[2]
    return Made(id, {"Id": id, "NameServers": made.get("DelegationSet", {}).get("NameServers", [])})


def _record(verb: str, scene: Scene, said: dict[str, Any]) -> Made:
    route53 = scene.client("route53")
    zone = said.get("HostedZoneId")
    if zone is None:
        named = route53.list_hosted_zones_by_name(DNSName=said["HostedZoneName"])["HostedZones"]
        zone = named[0]["Id"].rpartition("/")[2]
    record = without(said, "HostedZoneId", "HostedZoneName", "Comment", "ResourceRecords", "TTL")
    if "ResourceRecords" in said:
        record["ResourceRecords"] = [{"Value": each} for each in said["ResourceRecords"]]
        record["TTL"] = int(said.get("TTL", 300))
    if "AliasTarget" in record:
        record["AliasTarget"] = {"EvaluateTargetHealth": False, **record["AliasTarget"]}
    batch = {"Changes": [{"Action": verb, "ResourceRecordSet": record}]}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
    return Made(said["Name"])


def _plain(scene: Scene, said: dict[str, Any]) -> list[dict[str, str]]:
    return [each for each in tags(scene, said) if not each["Key"].startswith("aws:")]


TYPES |= {
    "AWS::IAM::Role": Type(_role, _delete_role, _change_role),
    "AWS::IAM::InstanceProfile": Type(_profile, _delete_profile),
    "AWS::IAM::Policy": Type(_policy, _delete_policy, lambda scene, id, said, old: _policy(scene, said)),
    "AWS::IAM::ManagedPolicy": Type(_managed, _delete_managed, _change_managed),
    "AWS::S3::Bucket": Type(
        _bucket,
        lambda scene, id, said: scene.client("s3").delete_bucket(Bucket=id),
        lambda scene, id, said, old: _set_bucket(scene, id, said),
    ),
    "AWS::S3::BucketPolicy": Type(
        _bucket_policy,
        lambda scene, id, said: scene.client("s3").delete_bucket_policy(Bucket=id),
        lambda scene, id, said, old: _bucket_policy(scene, said),
    ),
    "AWS::SSM::Parameter": Type(
        _parameter,
        lambda scene, id, said: scene.client("ssm").delete_parameter(Name=id),
        lambda scene, id, said, old: _parameter(scene, {**said, "Name": id}),
    ),
    "AWS::Logs::LogGroup": Type(
        _log_group, lambda scene, id, said: scene.client("logs").delete_log_group(logGroupName=id), _retain
    ),
    "AWS::SNS::Topic": Type(_topic, lambda scene, id, said: scene.client("sns").delete_topic(TopicArn=id)),
    "AWS::Route53::HostedZone": Type(_zone, lambda scene, id, said: scene.client("route53").delete_hosted_zone(Id=id)),
    "AWS::Route53::RecordSet": Type(
        lambda scene, said: _record("CREATE", scene, said),
        lambda scene, id, said: (_record("DELETE", scene, said), None)[1],
        lambda scene, id, said, old: _record("UPSERT", scene, said),
    ),
}
