"""Findings as SARIF 2.1.0, which code hosts show beside the lines. Pure; called by `stack check`."""

from collections.abc import Sequence
from typing import Any

from homeport.model.finding import Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """One run; a rule is named once."""
    rules = sorted({each.rule for each in findings})
    driver = {
        "name": "homeport stack check",
        "version": version,
        "rules": [{"id": each, "shortDescription": {"text": each}} for each in rules],
    }
    results = [_result(each, rules.index(each.rule)) for each in findings]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(finding: Finding, index: int) -> dict[str, Any]:
    text = f"{finding.stack}: {finding.message}" if finding.stack else finding.message
    found: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.level.value,
        "message": {"text": text},
    }
    if finding.file:
        place: dict[str, Any] = {"artifactLocation": {"uri": finding.file}}
        if finding.line:
            region = {"startLine": finding.line}
            place["region"] = region | ({"startColumn": finding.column} if finding.column else {})
        found["locations"] = [{"physicalLocation": place}]
    return found
