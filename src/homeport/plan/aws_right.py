"""What a deployment asks of AWS for an environment: actions, on what, with which tags. Pure; `homeport doctor` asks IAM
about it. The whole of what commands may need is the shipped policy (`stacks/shipped/operator.yaml`).
"""

from msgspec import Struct

from homeport.model.platform import Place
from homeport.plan import aws_stacks

DOCUMENT = "AWS-RunShellScript"
"""By which Run Command is given a shell's line."""
ANY = "*"


class Right(Struct, frozen=True, kw_only=True):
    """All of these actions on each of these resources. `tags`: those that the resources have. `what`: in words."""

    what: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    tags: dict[str, str] = {}


def of_deploy(place: Place) -> tuple[Right, ...]:
    """Ids that nobody can know before are `*`."""
    aws = aws_stacks.of(place)
    store = f"{_partition(aws.region)}:s3:::{aws_stacks.bucket(place)}"
    tags = aws_stacks.place_tags(place)

    def here(service: str, what: str) -> str:
        return f"{_partition(aws.region)}:{service}:{aws.region}:{aws.account}:{what}"

    image = aws.image.removeprefix("/")
    group = f"autoScalingGroup:*:autoScalingGroupName/{aws_stacks.stack_name(place, ANY)}"
    document = f"{_partition(aws.region)}:ssm:{aws.region}::document/{DOCUMENT}"
    return (
        Right(
            what="to look",
            actions=(
                "autoscaling:DescribeAutoScalingGroups",
                "cloudformation:DescribeStacks",
                "ec2:DescribeInstances",
                "elasticloadbalancing:DescribeTargetHealth",
                "ssm:GetCommandInvocation",
                "ssm:ListCommandInvocations",
            ),
            resources=(ANY,),
        ),
        Right(what="releases", actions=("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), resources=(f"{store}/*",)),
        Right(what="releases", actions=("s3:ListBucket",), resources=(store,)),
        Right(
            what="stacks",
            actions=("cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet", "cloudformation:GetTemplate"),
            resources=(here("cloudformation", f"stack/{aws_stacks.stack_name(place, ANY)}/*"),),
        ),
        Right(
            what="groups",
            actions=(
                "autoscaling:SetDesiredCapacity",
                "autoscaling:SetInstanceProtection",
                "autoscaling:TerminateInstanceInAutoScalingGroup",
            ),
            resources=(here("autoscaling", group),),
        ),
        Right(
            what="traffic",
            actions=("elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"),
            resources=(here("elasticloadbalancing", "targetgroup/*"),),
            tags=tags,
        ),
        Right(
            what="commands on instances",
            actions=("ssm:SendCommand",),
            resources=(here("ec2", "instance/*"), document),
            tags=tags,
        ),
        Right(
            what="the machine image's id",
            actions=("ssm:GetParameters",),
            resources=(here("ssm", f"parameter/{image}"),),
        ),
        Right(
            what="secrets",
            actions=("ssm:GetParameter",),
            resources=(here("ssm", f"parameter{aws_stacks.identity_path(place)}"),),
        ),
    )


def _partition(region: str) -> str:
    for start, name in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
        if region.startswith(start):
            return f"arn:{name}"
    return "arn:aws"
