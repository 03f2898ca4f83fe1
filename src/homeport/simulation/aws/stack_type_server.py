"""Servers and balancers in CloudFormation: launch templates, Auto Scaling groups, Elastic Load Balancing, each by its
own API. Fills `stack_type.TYPES`."""

from typing import Any

from botocore.exceptions import ClientError

from homeport.simulation.aws.stack_type import TYPES, Made, Scene, Type, missing, tags, typed, without

GROUP_NAME = "AutoScalingGroupName"


def _template(scene: Scene, said: dict[str, Any]) -> Made:
    ec2 = scene.client("ec2")
    made = ec2.create_launch_template(
        LaunchTemplateName=said.get("LaunchTemplateName", scene.name),
        LaunchTemplateData=_data(ec2, said),
        TagSpecifications=said.get("TagSpecifications", []),
    )["LaunchTemplate"]
    return _versions(made["LaunchTemplateId"], 1)


def _data(ec2: Any, said: dict[str, Any]) -> Any:
    return typed(ec2, "CreateLaunchTemplate", {"LaunchTemplateData": said["LaunchTemplateData"]})["LaunchTemplateData"]


def _new_version(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
    """ "When you update a launch template, … CloudFormation creates a new version": AWS::EC2::LaunchTemplate, "Update
    requires: No interruption"."""
    ec2 = scene.client("ec2")
    made = ec2.create_launch_template_version(LaunchTemplateId=id, LaunchTemplateData=_data(ec2, said))
    return _versions(id, int(made["LaunchTemplateVersion"]["VersionNumber"]))


def _versions(id: str, latest: int) -> Made:
    return Made(id, {"LaunchTemplateId": id, "LatestVersionNumber": str(latest), "DefaultVersionNumber": "1"})


def _group(scene: Scene, said: dict[str, Any]) -> Made:
    scaling = scene.client("autoscaling")
    name = said.get(GROUP_NAME, scene.name)
    asked = _asked(scaling, said) | {GROUP_NAME: name, "Tags": _group_tags(scene, said, name)}
    hooks = [typed(scaling, "PutLifecycleHook", each) for each in said.get("LifecycleHookSpecificationList") or ()]
    # the hooks are there before the first instance is launched
    if hooks:
        asked["LifecycleHookSpecificationList"] = hooks
    scaling.create_auto_scaling_group(**asked)
    if "MetricsCollection" in said:
        raise NotImplementedError("MetricsCollection")
    return Made(name)


def _asked(scaling: Any, said: dict[str, Any]) -> dict[str, Any]:
    asked = without(said, "Tags", "VPCZoneIdentifier", "MetricsCollection", "LifecycleHookSpecificationList")
    if "VPCZoneIdentifier" in said:
        asked["VPCZoneIdentifier"] = ",".join(said["VPCZoneIdentifier"])
    found: dict[str, Any] = typed(scaling, "CreateAutoScalingGroup", asked)
    return found


def _group_tags(scene: Scene, said: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """ "All stack-level tags … are propagated to resources"; those of the group say themselves whether its instances
    get them, those of the stack do: Resource tag."""
    own = {each["Key"]: each for each in said.get("Tags") or ()}
    found = [{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in scene.tags.items()
             if key not in own]  # fmt: skip
    found += [{**each, "PropagateAtLaunch": str(each["PropagateAtLaunch"]).lower() == "true"} for each in own.values()]
    return [{**each, "ResourceId": name, "ResourceType": "auto-scaling-group"} for each in found]


def _change_group(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
    scaling = scene.client("autoscaling")
    asked = without(_asked(scaling, said), "TargetGroupARNs", "LoadBalancerNames", GROUP_NAME)
    scaling.update_auto_scaling_group(**{GROUP_NAME: id}, **asked)
    before, after = set(old.get("TargetGroupARNs") or ()), set(said.get("TargetGroupARNs") or ())
    if gone := before - after:
        scaling.detach_load_balancer_target_groups(**{GROUP_NAME: id}, TargetGroupARNs=sorted(gone))
    if new := after - before:
        scaling.attach_load_balancer_target_groups(**{GROUP_NAME: id}, TargetGroupARNs=sorted(new))
    scaling.create_or_update_tags(Tags=_group_tags(scene, said, id))
    kept = {each["LifecycleHookName"]: each for each in said.get("LifecycleHookSpecificationList") or ()}
    for each in old.get("LifecycleHookSpecificationList") or ():
        if each["LifecycleHookName"] not in kept:
            scaling.delete_lifecycle_hook(**{GROUP_NAME: id}, LifecycleHookName=each["LifecycleHookName"])
    for each in kept.values():
        scaling.put_lifecycle_hook(**typed(scaling, "PutLifecycleHook", {**each, GROUP_NAME: id}))
    return Made(id)


def _delete_group(scene: Scene, id: str, said: dict[str, Any]) -> None:
    """ "If you delete … the stack, CloudFormation … sets the minimum and maximum size … to zero"; the group goes once
    its instances have: Auto Scaling, Delete your Auto Scaling infrastructure."""
    scaling = scene.client("autoscaling")
    if scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[id])["AutoScalingGroups"]:
        scaling.update_auto_scaling_group(**{GROUP_NAME: id}, MinSize=0, MaxSize=0, DesiredCapacity=0)


def _group_gone(scene: Scene, id: str) -> bool:
    scaling = scene.client("autoscaling")
    found = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[id])["AutoScalingGroups"]
    if found and not found[0]["Instances"]:
        scaling.delete_auto_scaling_group(**{GROUP_NAME: id})
        return True
    return not found


def _hook(scene: Scene, said: dict[str, Any]) -> Made:
    scaling = scene.client("autoscaling")
    name = said.get("LifecycleHookName", scene.name)
    scaling.put_lifecycle_hook(**typed(scaling, "PutLifecycleHook", {**said, "LifecycleHookName": name}))
    return Made(name)


def _delete_hook(scene: Scene, id: str, said: dict[str, Any]) -> None:
    group = said[GROUP_NAME]
    scene.client("autoscaling").delete_lifecycle_hook(**{GROUP_NAME: group}, LifecycleHookName=id)


def _target_group(scene: Scene, said: dict[str, Any]) -> Made:
    elb = scene.client("elbv2")
    name = said.get("Name", scene.name[:32].rstrip("-"))
    asked = typed(elb, "CreateTargetGroup", without(said, "TargetGroupAttributes", "Tags", "Targets"))
    made = elb.create_target_group(**{**asked, "Name": name}, Tags=tags(scene, said))["TargetGroups"][0]
    arn = made["TargetGroupArn"]
    _attributes(scene, arn, said, "TargetGroup")
    attributes = {
        "TargetGroupArn": arn,
        "TargetGroupName": made["TargetGroupName"],
        "TargetGroupFullName": arn.rpartition(":")[2],
        "LoadBalancerArns": [],
    }
    return Made(arn, attributes)


def _change_target_group(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
    elb = scene.client("elbv2")
    names = elb.meta.service_model.operation_model("ModifyTargetGroup").input_shape.members
    asked = {key: value for key, value in said.items() if key in names}
    elb.modify_target_group(**typed(elb, "ModifyTargetGroup", {**asked, "TargetGroupArn": id}))
    _attributes(scene, id, said, "TargetGroup")
    made = elb.describe_target_groups(TargetGroupArns=[id])["TargetGroups"][0]
    full = id.rpartition(":")[2]
    return Made(id, {"TargetGroupArn": id, "TargetGroupName": made["TargetGroupName"], "TargetGroupFullName": full})


def _attributes(scene: Scene, arn: str, said: dict[str, Any], kind: str) -> None:
    wanted = [{"Key": each["Key"], "Value": str(each["Value"])} for each in said.get(f"{kind}Attributes") or ()]
    if wanted:
        word = "target_group" if kind == "TargetGroup" else "load_balancer"
        call = getattr(scene.client("elbv2"), f"modify_{word}_attributes")
        call(**{f"{kind}Arn": arn}, Attributes=wanted)


def _balancer(scene: Scene, said: dict[str, Any]) -> Made:
    elb = scene.client("elbv2")
    asked = typed(elb, "CreateLoadBalancer", without(said, "LoadBalancerAttributes", "Tags"))
    asked["Name"] = said.get("Name", scene.name[:32].rstrip("-"))
    made = elb.create_load_balancer(**asked, Tags=tags(scene, said))["LoadBalancers"][0]
    _attributes(scene, made["LoadBalancerArn"], said, "LoadBalancer")
    return _balancer_made(made)


def _balancer_made(made: dict[str, Any]) -> Made:
    arn = made["LoadBalancerArn"]
    attributes = {
        "LoadBalancerArn": arn,
        "DNSName": made["DNSName"],
        "CanonicalHostedZoneID": made["CanonicalHostedZoneId"],
        "LoadBalancerName": made["LoadBalancerName"],
        "LoadBalancerFullName": arn.partition(":loadbalancer/")[2],
        "SecurityGroups": made.get("SecurityGroups", []),
    }
    return Made(arn, attributes)


def _change_balancer(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
    elb = scene.client("elbv2")
    if said.get("SecurityGroups") != old.get("SecurityGroups"):
        elb.set_security_groups(LoadBalancerArn=id, SecurityGroups=said.get("SecurityGroups") or [])
    if said.get("Subnets") != old.get("Subnets"):
        elb.set_subnets(LoadBalancerArn=id, Subnets=said["Subnets"])
    _attributes(scene, id, said, "LoadBalancer")
    return _balancer_made(elb.describe_load_balancers(LoadBalancerArns=[id])["LoadBalancers"][0])


def _listener(scene: Scene, said: dict[str, Any]) -> Made:
    elb = scene.client("elbv2")
    asked = typed(elb, "CreateListener", without(said, "ListenerAttributes", "Tags"))
    arn = elb.create_listener(**asked, Tags=tags(scene, said))["Listeners"][0]["ListenerArn"]
    return Made(arn, {"ListenerArn": arn})


def _change_listener(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
    elb = scene.client("elbv2")
    asked = without(said, "LoadBalancerArn", "ListenerAttributes", "Tags")
    elb.modify_listener(ListenerArn=id, **typed(elb, "ModifyListener", asked))
    return Made(id, {"ListenerArn": id})


def _rule(scene: Scene, said: dict[str, Any]) -> Made:
    elb = scene.client("elbv2")
    asked = typed(elb, "CreateRule", without(said, "Tags"))
    arn = elb.create_rule(**asked, Tags=tags(scene, said))["Rules"][0]["RuleArn"]
    return Made(arn, {"RuleArn": arn, "IsDefault": False})


def _change_rule(scene: Scene, id: str, said: dict[str, Any], old: dict[str, Any]) -> Made:
    elb = scene.client("elbv2")
    elb.modify_rule(RuleArn=id, Conditions=said["Conditions"], Actions=typed(elb, "ModifyRule", said)["Actions"])
    if str(said["Priority"]) != str(old["Priority"]):
        elb.set_rule_priorities(RulePriorities=[{"RuleArn": id, "Priority": int(said["Priority"])}])
    return Made(id, {"RuleArn": id, "IsDefault": False})


def _policy(scene: Scene, said: dict[str, Any]) -> Made:
    scaling = scene.client("autoscaling")
    asked = typed(scaling, "PutScalingPolicy", {**said, "PolicyName": said.get("PolicyName", scene.name)})
    arn = scaling.put_scaling_policy(**asked)["PolicyARN"]
    return Made(arn, {"Arn": arn, "PolicyName": asked["PolicyName"]})


def _elb_gone(operation: str, parameter: str) -> Any:
    def delete(scene: Scene, id: str, said: dict[str, Any]) -> None:
        try:
            getattr(scene.client("elbv2"), operation)(**{parameter: id})
        except ClientError as error:
            if not missing(error):
                raise

    return delete


TYPES |= {
    "AWS::EC2::LaunchTemplate": Type(
        _template,
        lambda scene, id, said: scene.client("ec2").delete_launch_template(LaunchTemplateId=id),
        _new_version,
    ),
    "AWS::AutoScaling::AutoScalingGroup": Type(_group, _delete_group, _change_group, _group_gone),
    "AWS::AutoScaling::LifecycleHook": Type(_hook, _delete_hook, lambda scene, id, said, old: _hook(scene, said)),
    "AWS::AutoScaling::ScalingPolicy": Type(
        _policy,
        lambda scene, id, said: scene.client("autoscaling").delete_policy(PolicyName=id),
        lambda scene, id, said, old: _policy(scene, {**said, "PolicyName": id.rpartition("/")[2]}),
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": Type(
        _target_group, _elb_gone("delete_target_group", "TargetGroupArn"), _change_target_group
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": Type(
        _balancer, _elb_gone("delete_load_balancer", "LoadBalancerArn"), _change_balancer
    ),
    "AWS::ElasticLoadBalancingV2::Listener": Type(
        _listener, _elb_gone("delete_listener", "ListenerArn"), _change_listener
    ),
    "AWS::ElasticLoadBalancingV2::ListenerRule": Type(_rule, _elb_gone("delete_rule", "RuleArn"), _change_rule),
}
