"""Which resources a change would add, modify, make anew or remove, predicted offline. Pure: two evaluated templates and
the schemas of the types that differ.

What a type's schema calls create-only can't be changed in place: the resource is made anew, and with it the id that
others refer to. Called by `plan.stack.decide`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, json
from msgspec.structs import replace

from homeport.model.stack import Replacement, ResourceChange, Template
from homeport.plan.stack.evaluate import HIDDEN, LOOKED_UP, UNKNOWN, references, unknown

STATEFUL = frozenset(
    f"AWS::{each}"
    for each in (
        "Backup::BackupVault", "Cognito::IdentityPool", "Cognito::UserPool", "DAX::Cluster", "DocDB::DBCluster",
        "DocDB::DBInstance", "DynamoDB::GlobalTable", "DynamoDB::Table", "EC2::Volume", "ECR::Repository",
        "EFS::FileSystem", "ElastiCache::CacheCluster", "ElastiCache::ReplicationGroup",
        "ElastiCache::ServerlessCache", "Elasticsearch::Domain", "FSx::FileSystem", "KMS::Key", "Kinesis::Stream",
        "MSK::Cluster", "MemoryDB::Cluster", "Neptune::DBCluster", "Neptune::DBInstance",
        "OpenSearchService::Domain", "RDS::DBCluster", "RDS::DBInstance", "RDS::GlobalCluster", "Redshift::Cluster",
        "RedshiftServerless::Namespace", "S3::Bucket", "SQS::Queue", "SecretsManager::Secret", "Timestream::Database",
        "Timestream::Table", "Route53::HostedZone",
    )
)  # fmt: skip
"""Types that hold what people would miss."""
ATTRIBUTES = ("Properties", "Metadata", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "UpdatePolicy",
              "CreationPolicy")  # fmt: skip
LONGEST_VALUE = 60
CERTAINTY = (Replacement.NO, Replacement.MAYBE, Replacement.YES)


class Schema(Struct, frozen=True):
    """Of one resource type: paths of properties, `*` for any element of a list."""

    create_only: tuple[tuple[str, ...], ...] = ()
    conditional: tuple[tuple[str, ...], ...] = ()
    """A change of these may or may not make the resource anew."""
    identifier: tuple[str, ...] = ()
    """Properties that name a resource of this type."""


SchemaOf = Callable[[str], Schema | None]
"""From a type; None: nobody knows this type's schema."""


def predict(old: Template, new: Template, schema_of: SchemaOf) -> tuple[ResourceChange, ...]:
    """Changes from one evaluated template to the other, sorted by logical id."""
    before, after = old.get("Resources", {}), new.get("Resources", {})
    found = {name: _added(name, after[name]) for name in after.keys() - before.keys()}
    found |= {name: _removed(name, before[name]) for name in before.keys() - after.keys()}
    both = sorted(before.keys() & after.keys())
    reads = {name: references(after[name].get("Properties", {})) for name in both}
    for name in both:
        change = _modified(name, before[name], after[name], schema_of)
        if change:
            found[name] = change
    _follow(found, after, reads, schema_of)
    return tuple(found[name] for name in sorted(found))


def stateful(change: ResourceChange) -> bool:
    """Whether carrying the change out may lose what somebody keeps in the resource."""
    if change.type not in STATEFUL:
        return False
    return change.replacement is not Replacement.NO or (change.action == "remove" and not change.retained)


def _added(name: str, resource: Any) -> ResourceChange:
    return ResourceChange(action="add", logical_id=name, type=_type(resource))


def _removed(name: str, resource: Any) -> ResourceChange:
    kept = resource.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate")
    return ResourceChange(action="remove", logical_id=name, type=_type(resource), retained=kept)


def _type(resource: Any) -> str:
    return str(resource.get("Type", ""))


def _modified(name: str, before: Any, after: Any, schema_of: SchemaOf) -> ResourceChange | None:
    if before == after:
        return None
    if _type(before) != _type(after):
        text = f"Type: {_type(before)} → {_type(after)}, which CloudFormation refuses: give it another logical id"
        return ResourceChange(
            action="modify", logical_id=name, type=_type(after), replacement=Replacement.YES, causes=(text,)
        )
    causes = tuple(
        cause
        for attribute in ATTRIBUTES
        for cause in differences(before.get(attribute), after.get(attribute), _path(attribute))
    )
    if not causes:
        return None
    old, new = before.get("Properties", {}), after.get("Properties", {})
    replacement, why = _replacement(_type(after), old, new, schema_of) if old != new else (Replacement.NO, ())
    return ResourceChange(
        action="modify",
        logical_id=name,
        type=_type(after),
        replacement=replacement,
        causes=(*causes, *why),
        retained=before.get("UpdateReplacePolicy") == "Retain",
    )


def _path(attribute: str) -> str:
    return "" if attribute == "Properties" else attribute


def _replacement(type: str, old: Any, new: Any, schema_of: SchemaOf) -> tuple[Replacement, tuple[str, ...]]:
    schema = schema_of(type)
    if schema is None:
        return Replacement.MAYBE, (f"nothing is known of the type {type}",)
    level = Replacement.NO
    for path in schema.create_only:
        one, other = _values(old, path), _values(new, path)
        if one != other:
            level = _more(level, Replacement.MAYBE if unknown(one) or unknown(other) else Replacement.YES)
    if any(_values(old, path) != _values(new, path) for path in schema.conditional):
        level = _more(level, Replacement.MAYBE)
    return level, ()


def _follow(
    found: dict[str, ResourceChange], after: Mapping[str, Any], reads: Mapping[str, frozenset[str]], schema_of: SchemaOf
) -> None:
    """A resource that is made anew gets another id: whoever refers to it changes too, as far as that goes."""
    queue = [name for name, each in found.items() if each.replacement is not Replacement.NO]
    while queue:
        source = queue.pop()
        level = found[source].replacement
        for name, names in reads.items():
            if source not in names:
                continue
            known = found.get(name) or ResourceChange(action="modify", logical_id=name, type=_type(after[name]))
            cause = f"refers to {source}, which {'is' if level is Replacement.YES else 'may be'} made anew"
            if cause in known.causes:
                continue
            spread = _more(known.replacement, _spread(after[name], source, level, schema_of))
            found[name] = replace(known, replacement=spread, causes=(*known.causes, cause))
            if spread is not known.replacement:
                queue.append(name)


def _spread(resource: Any, source: str, level: Replacement, schema_of: SchemaOf) -> Replacement:
    """Whether the resource is made anew because `source` gets another id. An attribute may stay as it was."""
    schema = schema_of(_type(resource))
    if schema is None:
        return Replacement.MAYBE
    properties = resource.get("Properties", {})
    hit = Replacement.NO
    for path in (*schema.create_only, *schema.conditional):
        values = _values(properties, path)
        if source in references(values):
            sure = path in schema.create_only and level is Replacement.YES and {"Ref": source} in values
            hit = _more(hit, Replacement.YES if sure else Replacement.MAYBE)
    return hit


def _more(one: Replacement, other: Replacement) -> Replacement:
    return max(one, other, key=CERTAINTY.index)


def _values(properties: Any, path: tuple[str, ...]) -> list[Any]:
    """What stands at the path; several with `*`, none where there is nothing."""
    found = [properties]
    for step in path:
        below: list[Any] = []
        for each in found:
            if step == "*" and isinstance(each, list):
                below += each
            elif isinstance(each, dict) and step in each:
                below.append(each[step])
            elif (
                isinstance(each, dict) and len(each) == 1 and next(iter(each)).startswith(("Fn::", "Ref", "Homeport::"))
            ):
                below.append(each)  # what it comes to isn't known: the function stands for all that is in it
        found = below
    return found


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """One line for each value that differs, such as `Tags[0].Value: "a" → "b"`."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict) and not (_is_function(before) or _is_function(after)):
        return [
            line
            for key in sorted(before.keys() | after.keys())
            for line in differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            line
            for index, (one, other) in enumerate(zip(before, after, strict=True))
            for line in differences(one, other, f"{path}[{index}]")
        ]
    return [f"{path}: {shown(before)} → {shown(after)}" if path else f"{shown(before)} → {shown(after)}"]


def _is_function(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref", "Homeport::"))


def shown(value: Any) -> str:
    """For people: short, and without what must not be shown."""
    match value:
        case None:
            return "(none)"
        case {"Homeport::Unknown": names}:
            return f"(known after apply: {', '.join(names)})"
        case {"Homeport::Hidden": _}:
            return "***"
    text = json.encode(_masked(value)).decode()
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _masked(value: Any) -> Any:
    match value:
        case dict() if HIDDEN in value:
            return "***"
        case dict() if LOOKED_UP in value:
            return value[LOOKED_UP]
        case dict() if UNKNOWN in value:
            return f"(known after apply: {', '.join(value[UNKNOWN])})"
        case dict():
            return {key: _masked(each) for key, each in value.items()}
        case list():
            return [_masked(each) for each in value]
    return value
