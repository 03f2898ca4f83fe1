"""IAM's policy simulator, over what roles may here: moto has none. Called by `simulator`.

Sentences in quotation marks are AWS's: IAM API reference, SimulatePrincipalPolicy.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from homeport.simulation.aws.rights import Rights
from homeport.simulation.aws.wish import Wish

if TYPE_CHECKING:
    from homeport.simulation.aws.service import Behaviour, Call


def behaviours(rights: Rights) -> "Mapping[str, Behaviour]":
    def simulate(call: "Call") -> dict[str, Any]:
        """ "Simulate how a set of IAM policies attached to an IAM entity works with a list of API operations and AWS
        resources". Who has no role's credentials may everything here."""
        kind, _, name = str(call.asked["PolicySourceArn"]).rpartition(":")[2].partition("/")
        role = name.rpartition("/")[2] if kind == "role" else ""
        context = {each["ContextKeyName"]: list(each["ContextKeyValues"]) for each in call.get("ContextEntries") or ()}
        results = [
            {
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": "allowed"
                if not role or rights.granted(role, Wish(action, resource, context), counts=False)
                else "implicitDeny",
            }
            for action in call.names("ActionNames")
            for resource in call.names("ResourceArns") or ["*"]
        ]
        return {"EvaluationResults": results, "IsTruncated": False}

    return {"SimulatePrincipalPolicy": simulate}
