"""Databases and caches in a stack: why not. Pure; called by `decide` and by `stacks.check`."""

from homeport.model.stack import Template

PREFIXES = tuple(
    f"AWS::{each}::"
    for each in ("DAX", "DocDB", "ElastiCache", "MemoryDB", "Neptune", "RDS", "Redshift", "RedshiftServerless")
)
BESIDE = ("SubnetGroup", "ParameterGroup", "OptionGroup", "SecurityGroup", "EventSubscription")
WHY = (
    "a stack that got stuck can only be deleted with all that is in it: make databases and caches by API, or say "
    "`protected: true` in the stack's settings"
)


def databases(template: Template) -> tuple[str, ...]:
    """Logical ids of resources that hold what applications store."""
    return tuple(
        name
        for name, each in template.get("Resources", {}).items()
        if isinstance(each, dict)
        and str(each.get("Type", "")).startswith(PREFIXES)
        and not str(each.get("Type", "")).endswith(BESIDE)
    )
