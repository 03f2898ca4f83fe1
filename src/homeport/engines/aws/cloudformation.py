"""CloudFormation by boto3: the adapter of `ports.cloudformation.CloudFormation`. Made by `cloud`.

Sentences in quotation marks are AWS's: CloudFormation API Reference.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from homeport.engines.aws.error import translated
from homeport.engines.aws.stack_answer import change_set, deployed, drifted, event, resource
from homeport.errors import Failed, NotFound
from homeport.model.secret import Secret
from homeport.model.stack import ChangeRequest, ChangeSet, Deployed, Drift, StackEvent, StackResource
from homeport.plan.stack.package import url


class AwsCloudFormation:
    """`client`: from a service to boto3's client for one account and region."""

    def __init__(self, client: Callable[[str], Any], region: str) -> None:
        self._client = client
        self._region = region

    @property
    def _cloudformation(self) -> Any:
        return self._client("cloudformation")

    def describe(self, stack: str) -> Deployed | None:
        try:
            with translated(f"the stack {stack}"):
                return deployed(self._cloudformation.describe_stacks(StackName=stack)["Stacks"][0])
        except NotFound:
            return None

    def list(self) -> Iterator[Deployed]:
        with translated("stacks"):
            for page in self._cloudformation.get_paginator("describe_stacks").paginate():
                yield from map(deployed, page["Stacks"])

    def template(self, stack: str) -> str:
        with translated(f"the template of {stack}"):
            body = self._cloudformation.get_template(StackName=stack, TemplateStage="Original").get("TemplateBody", "")
        # boto3 has already read JSON
        return body if isinstance(body, str) else json.dumps(body)

    def policy(self, stack: str) -> str:
        with translated(f"the policy of {stack}"):
            return str(self._cloudformation.get_stack_policy(StackName=stack).get("StackPolicyBody") or "")

    def set_policy(self, stack: str, policy: str) -> None:
        with translated(f"the policy of {stack}"):
            self._cloudformation.set_stack_policy(StackName=stack, StackPolicyBody=policy)

    def set_termination_protection(self, stack: str, on: bool) -> None:
        with translated(f"the termination protection of {stack}"):
            self._cloudformation.update_termination_protection(StackName=stack, EnableTerminationProtection=on)

    def create_change_set(self, request: ChangeRequest) -> str:
        asked: dict[str, Any] = {
            "StackName": request.stack,
            "ChangeSetName": request.name,
            "ChangeSetType": "IMPORT" if request.imports else "CREATE" if request.create else "UPDATE",
            "Parameters": [
                {"ParameterKey": name, "ParameterValue": value.reveal() if isinstance(value, Secret) else value}
                for name, value in request.parameters.items()
            ],
            "Tags": [{"Key": name, "Value": value} for name, value in request.tags.items()],
            "Capabilities": list(request.capabilities),
        }
        asked |= {"TemplateURL": request.template_url} if request.template_url else {"TemplateBody": request.template}
        if request.service_role:
            asked["RoleARN"] = request.service_role
        if request.notifications or not request.create:
            asked["NotificationARNs"] = list(request.notifications)
        if request.nested:
            asked["IncludeNestedStacks"] = True
        if request.imports:
            asked["ResourcesToImport"] = [
                {"ResourceType": each.type, "LogicalResourceId": each.logical_id, "ResourceIdentifier": each.identifier}
                for each in request.imports
            ]
        with translated(f"a change set for {request.stack}"):
            return str(self._cloudformation.create_change_set(**asked)["Id"])

    def change_set(self, id: str) -> ChangeSet:
        with translated(f"the change set {id}"):
            answer = self._cloudformation.describe_change_set(ChangeSetName=id, IncludePropertyValues=True)
            changes = list(answer.get("Changes", ()))
            # "If there are additional results, this is the token for the next page"; there is no paginator in boto3
            # that keeps what isn't repeated
            token = answer.get("NextToken")
            while token:
                more = self._cloudformation.describe_change_set(
                    ChangeSetName=id, IncludePropertyValues=True, NextToken=token
                )
                changes += more.get("Changes", ())
                token = more.get("NextToken")
        return change_set(answer, changes)

    def change_sets(self, stack: str) -> Iterator[ChangeSet]:
        try:
            with translated(f"change sets of {stack}"):
                pages = self._cloudformation.get_paginator("list_change_sets").paginate(StackName=stack)
                found = [each for page in pages for each in page["Summaries"]]
        except NotFound:
            return
        for each in found:
            yield change_set(each, ())

    def execute_change_set(self, id: str, token: str) -> None:
        with translated(f"the change set {id}"):
            self._cloudformation.execute_change_set(ChangeSetName=id, ClientRequestToken=token)

    def delete_change_set(self, id: str) -> None:
        try:
            with translated(f"the change set {id}"):
                self._cloudformation.delete_change_set(ChangeSetName=id)
        except NotFound:
            return

    def events(self, stack: str, since: datetime | None = None) -> Sequence[StackEvent]:
        found: list[StackEvent] = []
        with translated(f"events of {stack}"):
            for page in self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
                for said in page["StackEvents"]:  # "in reverse chronological order"
                    one = event(said)
                    if since is not None and one.at < since:
                        return found[::-1]
                    found.append(one)
        return found[::-1]

    def resources(self, stack: str) -> Sequence[StackResource]:
        with translated(f"resources of {stack}"):
            pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
            return [resource(each) for page in pages for each in page["StackResourceSummaries"]]

    def detect_drift(self, stack: str) -> str:
        with translated(f"drift of {stack}"):
            return str(self._cloudformation.detect_stack_drift(StackName=stack)["StackDriftDetectionId"])

    def drift(self, stack: str, detection: str) -> Sequence[Drift] | None:
        with translated(f"drift of {stack}"):
            client = self._cloudformation
            answer = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
            if answer["DetectionStatus"] == "DETECTION_IN_PROGRESS":
                return None
            if answer["DetectionStatus"] == "DETECTION_FAILED" and answer.get("StackDriftStatus") != "DRIFTED":
                raise Failed(
                    f"drift of {stack} can't be told: {answer.get('DetectionStatusReason', 'no reason given')}"
                )
            asked = {"StackName": stack, "StackResourceDriftStatusFilters": ["MODIFIED", "DELETED"]}
            found: list[Drift] = []
            while True:
                page = client.describe_stack_resource_drifts(**asked)
                found += map(drifted, page["StackResourceDrifts"])
                if not page.get("NextToken"):
                    return found
                asked["NextToken"] = page["NextToken"]

    def continue_rollback(self, stack: str, token: str, *, skip: tuple[str, ...] = ()) -> None:
        with translated(f"the rollback of {stack}"):
            self._cloudformation.continue_update_rollback(
                StackName=stack, ResourcesToSkip=list(skip), ClientRequestToken=token
            )

    def put(self, bucket: str, key: str, content: bytes) -> str:
        s3 = self._client("s3")
        with translated(f"the bucket {bucket}"):
            try:
                with translated(f"{key} in the bucket {bucket}"):
                    s3.head_object(Bucket=bucket, Key=key)
            except NotFound:
                s3.put_object(Bucket=bucket, Key=key, Body=content)
        return url(bucket, self._region, key)

    def delete(self, stack: str, token: str, *, retain: tuple[str, ...] = ()) -> None:
        asked: dict[str, Any] = {"StackName": stack, "ClientRequestToken": token}
        if retain:
            asked["RetainResources"] = list(retain)
        with translated(f"the stack {stack}"):
            self._cloudformation.delete_stack(**asked)

    def cancel_update(self, stack: str) -> None:
        with translated(f"the update of {stack}"):
            self._cloudformation.cancel_update_stack(StackName=stack)
