"""What resolvers ask AWS for, by boto3: the adapter of `ports.lookup.Lookup`. Made by `cloud`."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from homeport.engines.aws.error import translated
from homeport.errors import Invalid, NotFound
from homeport.model.secret import Secret
from homeport.plan.mistake import instead


class AwsLookup:
    """`client`: from a service to boto3's client for one account and region."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client

    def parameter(self, name: str) -> str | Secret:
        with translated(f"the SSM parameter {name}"):
            found = self._client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]
        return Secret(found["Value"]) if found["Type"] == "SecureString" else str(found["Value"])

    def secret(self, id: str, key: str = "") -> Secret:
        with translated(f"the secret {id}"):
            text = self._client("secretsmanager").get_secret_value(SecretId=id).get("SecretString")
        if text is None:
            raise Invalid(f"the secret {id} is binary")
        if not key:
            return Secret(text)
        try:
            entries = json.loads(text)
        except ValueError:
            raise Invalid(f"the secret {id} isn't JSON, so that it has no entry {key}") from None
        if not isinstance(entries, dict) or key not in entries:
            raise NotFound(f"the secret {id} has no entry {key}")
        value = entries[key]
        return Secret(value if isinstance(value, str) else json.dumps(value))

    def latest_image(self, owners: Sequence[str], filters: Mapping[str, Sequence[str]]) -> str:
        with translated("machine images"):
            pages = self._client("ec2").get_paginator("describe_images")
            asked = [*_filters(filters), {"Name": "state", "Values": ["available"]}]
            images = [each for page in pages.paginate(Owners=list(owners), Filters=asked) for each in page["Images"]]
        if not images:
            said = ", ".join(f"{name}: {' or '.join(values)}" for name, values in filters.items())
            raise NotFound(f"no machine image of {', '.join(owners)} with {said}")
        newest = max(images, key=lambda each: (each.get("CreationDate", ""), each["ImageId"]))
        return str(newest["ImageId"])

    def latest_container(self, repository: str, tag: str = "", registry: str = "") -> str:
        whose = {"registryId": registry} if registry else {}
        with translated(f"the repository {repository}"):
            ecr = self._client("ecr")
            uri = ecr.describe_repositories(repositoryNames=[repository], **whose)["repositories"][0]["repositoryUri"]
            pages = ecr.get_paginator("describe_images")
            which = {"imageIds": [{"imageTag": tag}]} if tag else {}
            found = [
                each
                for page in pages.paginate(repositoryName=repository, **which, **whose)
                for each in page["imageDetails"]
            ]
        if not found:
            raise NotFound(f"the repository {repository} has no image")
        newest = max(found, key=lambda each: (str(each.get("imagePushedAt", "")), each["imageDigest"]))
        return f"{uri}@{newest['imageDigest']}"

    def security_group(self, name: str, vpc: str = "") -> str:
        filters = {"group-name": [name]} | ({"vpc-id": [vpc]} if vpc else {})
        with translated(f"the security group {name}"):
            pages = self._client("ec2").get_paginator("describe_security_groups")
            found = [each for page in pages.paginate(Filters=_filters(filters)) for each in page["SecurityGroups"]]
        hint = "!security_group {name: …, vpc: vpc-…}" if not vpc else None
        return _only([str(each["GroupId"]) for each in found], f"security group {name}", hint)

    def topic(self, name: str) -> str:
        with translated(f"the topic {name}"):
            pages = self._client("sns").get_paginator("list_topics")
            arns = [str(each["TopicArn"]) for page in pages.paginate() for each in page["Topics"]]
        names = {each.rpartition(":")[2]: each for each in arns}
        if name not in names:
            raise NotFound(f"no topic {name}{instead(name, names)}")
        return names[name]

    def certificate(self, domain: str) -> str:
        with translated(f"the certificate for {domain}"):
            acm = self._client("acm")
            pages = acm.get_paginator("list_certificates").paginate(CertificateStatuses=["ISSUED"])
            arns = [each["CertificateArn"] for page in pages for each in page["CertificateSummaryList"]
                    if each["DomainName"] == domain]  # fmt: skip
            whole = [acm.describe_certificate(CertificateArn=arn)["Certificate"] for arn in arns]
        if not whole:
            raise NotFound(f"no issued certificate for exactly {domain}")
        return str(max(whole, key=lambda each: str(each.get("NotAfter", "")))["CertificateArn"])

    def vpc(self, tags: Mapping[str, str]) -> str:
        with translated("VPCs"):
            pages = self._client("ec2").get_paginator("describe_vpcs")
            found = [each for page in pages.paginate(Filters=_by_tags(tags)) for each in page["Vpcs"]]
        return _only([str(each["VpcId"]) for each in found], f"VPC tagged {_said(tags)}")

    def subnets(self, tags: Mapping[str, str], vpc: str = "") -> Sequence[str]:
        filters = [*_by_tags(tags), *_filters({"vpc-id": [vpc]} if vpc else {})]
        with translated("subnets"):
            pages = self._client("ec2").get_paginator("describe_subnets")
            found = [each for page in pages.paginate(Filters=filters) for each in page["Subnets"]]
        if not found:
            raise NotFound(f"no subnet tagged {_said(tags)}")
        return [
            str(each["SubnetId"]) for each in sorted(found, key=lambda one: (one["AvailabilityZone"], one["SubnetId"]))
        ]


def _filters(filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": list(values)} for name, values in filters.items()]


def _by_tags(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    return _filters({f"tag:{name}": [value] for name, value in tags.items()})


def _said(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in tags.items())


def _only(found: Sequence[str], what: str, hint: str | None = None) -> str:
    if not found:
        raise NotFound(f"no {what}")
    if len(found) > 1:
        raise Invalid(f"{len(found)} are a {what}: {', '.join(sorted(found))}", hint=hint)
    return found[0]
