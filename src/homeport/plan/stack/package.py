"""Templates that are uploaded: nested stacks' local paths become URLs that follow from the content. Pure; called by
`stacks.package`."""

import hashlib
from collections.abc import Mapping
from typing import Any

from homeport.model.stack import Template

NESTED = "AWS::CloudFormation::Stack"
ELSEWHERE = ("https://", "http://")
"""CloudFormation fetches these itself; it knows no s3://."""


def nested(body: Template) -> dict[str, str]:
    """Logical id of each nested stack whose template is a local path, or one in a bucket → that path."""
    found = {}
    for name, each in body.get("Resources", {}).items():
        url = _properties(each).get("TemplateURL")
        if isinstance(url, str) and each.get("Type") == NESTED and not url.startswith(ELSEWHERE):
            found[name] = url
    return found


def nested_anyhow(body: Template) -> tuple[str, ...]:
    """Logical ids of all nested stacks."""
    return tuple(
        name
        for name, each in body.get("Resources", {}).items()
        if isinstance(each, dict) and each.get("Type") == NESTED
    )


def pointed(body: Template, urls: Mapping[str, str]) -> Template:
    """The template with these URLs (by logical id) for its nested stacks."""
    resources = {
        name: {**each, "Properties": {**_properties(each), "TemplateURL": urls[name]}} if name in urls else each
        for name, each in body["Resources"].items()
    }
    return {**body, "Resources": resources}


def key(prefix: str, text: str) -> str:
    """Where a text lies in the bucket: another text lies elsewhere, so that nothing is ever written twice."""
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.template"
    return f"{prefix.strip('/')}/{name}" if prefix.strip("/") else name


def url(bucket: str, region: str, key: str) -> str:
    """UG, "Specify a template": virtual-hosted-style URL."""
    suffix = ".cn" if region.startswith("cn-") else ""
    return f"https://{bucket}.s3.{region}.amazonaws.com{suffix}/{key}"


def _properties(resource: Any) -> dict[str, Any]:
    found = resource.get("Properties") if isinstance(resource, dict) else None
    return found if isinstance(found, dict) else {}
