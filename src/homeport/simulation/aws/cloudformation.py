"""CloudFormation's API over `stack`: stacks here, change sets in `change_set`. moto's isn't asked: its updates lose
resources, and what it can't make it skips. Registered by `simulator`.

Sentences in quotation marks are AWS's: CloudFormation API Reference (API).
"""

import threading
from collections.abc import Mapping

from homeport.model.stack import Status
from homeport.plan.stack.capability import capabilities
from homeport.plan.stack.parameter import declared
from homeport.simulation.aws.change_set import ChangeSets, changes, same
from homeport.simulation.aws.rights import Rights
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused
from homeport.simulation.aws.stack import Operation
from homeport.simulation.aws.stack_answer import described, resource_said
from homeport.simulation.aws.stack_contents import Client
from homeport.simulation.aws.stack_model import Stack
from homeport.simulation.aws.stack_register import Register, check_free


class CloudFormation:
    def __init__(self, client: Client, account: str, rights: Rights) -> None:
        self._register = Register(client, account, rights)
        self._lock = threading.RLock()

    def behaviours(self) -> Mapping[str, Behaviour]:
        named: dict[str, Behaviour] = {
            "CreateStack": self.create_stack,
            "UpdateStack": self.update_stack,
            "DeleteStack": self.delete_stack,
            "DescribeStacks": self.describe_stacks,
            "ListStacks": self.list_stacks,
            "GetTemplate": self.get_template,
            "GetStackPolicy": lambda call: {"StackPolicyBody": self._register.named(call).policy or None},
            "SetStackPolicy": self.set_policy,
            "UpdateTerminationProtection": self.protect,
            **ChangeSets(self._register).behaviours(),
            "DescribeStackEvents": lambda call: {"StackEvents": self._register.named(call, True).events[::-1]},
            "ListStackResources": self.list_resources,
            "DescribeStackResources": self.describe_resources,
            "ListExports": self.list_exports,
            "ValidateTemplate": self.validate,
        }
        return {name: self._alone(each) for name, each in named.items()}

    def stop(self) -> None:
        """No operation goes on."""
        self._register.stop()

    def _alone(self, behaviour: Behaviour) -> Behaviour:
        def locked(call: Call) -> Answer:
            with self._lock:
                return behaviour(call)

        return locked

    def create_stack(self, call: Call) -> Answer:
        if self._register.find(call.region, call.get("StackName")):
            raise Refused("AlreadyExistsException", f"Stack [{call.get('StackName')}] already exists")
        contents = self._register.contents(call, None)
        stack = self._register.new(call)
        stack.token = call.get("ClientRequestToken", "")
        stack.protected = bool(call.get("EnableTerminationProtection", False))
        self._register.begin(stack, contents, call, Operation.create)
        return {"StackId": stack.id}

    def update_stack(self, call: Call) -> Answer:
        stack = self._register.named(call)
        check_free(stack)
        contents = self._register.contents(call, stack)
        if not changes(stack, contents, self._register.region(call.region).place) and same(stack.contents, contents):
            raise Refused("ValidationError", "No updates are to be performed.")
        stack.token = call.get("ClientRequestToken", "")
        self._register.begin(stack, contents, call, Operation.update)
        return {"StackId": stack.id}

    def delete_stack(self, call: Call) -> Answer:
        stack = self._register.find(call.region, call.get("StackName"))
        token = call.get("ClientRequestToken", "")
        if stack is None or (token and token == stack.token):
            return None
        if stack.protected:
            # API, UpdateTerminationProtection: "If a user attempts to delete a stack with termination protection
            # enabled, the operation fails and the stack remains unchanged."
            raise Refused(
                "ValidationError", f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        if stack.status.busy and stack.status is not Status.DELETE_IN_PROGRESS:
            raise Refused("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be deleted.")
        self._check_exports(stack, call.region)
        stack.token = token
        stack.change_sets.clear()
        retain = tuple(call.names("RetainResources"))
        self._register.begin(stack, stack.contents, call, lambda operation: operation.delete(retain))
        return None

    def _check_exports(self, stack: Stack, region: str) -> None:
        """API: "You can't delete a stack if another stack references one of its outputs" (Outputs section)."""
        names = {each["ExportName"] for each in stack.outputs if "ExportName" in each}
        for other in self._register.living(region):
            if other is not stack and (used := sorted(names & other.imports)):
                raise Refused("ValidationError", f"Export {used[0]} cannot be deleted as it is in use by {other.name}")

    def describe_stacks(self, call: Call) -> Answer:
        if call.get("StackName"):
            return {"Stacks": [described(self._register.named(call, True))]}
        return {"Stacks": [described(each) for each in self._register.living(call.region)]}

    def list_stacks(self, call: Call) -> Answer:
        wanted = call.names("StackStatusFilter")
        found = [
            each for each in self._register.region(call.region).stacks.values() if not wanted or each.status in wanted
        ]
        return {"StackSummaries": [described(each) for each in found]}

    def get_template(self, call: Call) -> Answer:
        return {
            "TemplateBody": self._register.named(call, True).contents.text,
            "StagesAvailable": ["Original", "Processed"],
        }

    def set_policy(self, call: Call) -> Answer:
        self._register.named(call).policy = call.get("StackPolicyBody", "")
        return None

    def protect(self, call: Call) -> Answer:
        stack = self._register.named(call)
        stack.protected = bool(call.get("EnableTerminationProtection"))
        return {"StackId": stack.id}

    def list_resources(self, call: Call) -> Answer:
        stack = self._register.named(call, True)
        return {"StackResourceSummaries": [resource_said(each) for each in stack.resources.values()]}

    def describe_resources(self, call: Call) -> Answer:
        stack = self._register.named(call, True)
        found = [each for each in stack.resources.values() if call.get("LogicalResourceId") in (None, each.name)]
        own = {"StackName": stack.name, "StackId": stack.id}
        return {"StackResources": [{**resource_said(each), **own, "Timestamp": each.at} for each in found]}

    def list_exports(self, call: Call) -> Answer:
        found = [
            {"ExportingStackId": stack.id, "Name": each["ExportName"], "Value": each["OutputValue"]}
            for stack in self._register.living(call.region)
            for each in stack.outputs
            if "ExportName" in each
        ]
        return {"Exports": found}

    def validate(self, call: Call) -> Answer:
        body = self._register.contents(call, None, check=False).body
        return {"Parameters": [{"ParameterKey": name} for name in declared(body)], "Capabilities": capabilities(body)}
