"""What is good in staging comes to production byte for byte, with production's own sections and config."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app_repository import commit, git, make_repository, replaced
from tests.e2e.person import FILE, Person

PRODUCTION = """
[environments.production]
engine = "local"
groups.web.instances = { min = 1, desired = 1, max = 3 }
deploy.bake = "100ms"
"""
SECRETS = ("hunter2", "letmein")


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    edits = {
        "homeport.toml": FILE.replace("instances = 2", "instances = 1") + PRODUCTION,
        "Procfile": "web: exec python3 web.py\n",
        "config/common.env": "COLOUR=blue\n",
        "config/production.env": "LEVEL=warning\n",
    }
    found = Person(make_repository("plain", tmp_path, edits=edits), tmp_path / "home")
    try:
        yield found
    finally:
        found.leave("production", "staging")


def layers(person: Person, name: str, environment: str) -> Any:
    return person.document("release", "show", name, "-e", environment)["slug"]


def variables(person: Person, environment: str) -> dict[str, str]:
    found = person.document("config", "list", "-e", environment)["values"]
    return {each["key"]: each["value"] for each in found}


def test_promote(person: Person) -> None:
    said = []

    def say(*words: str, code: int = 0) -> str:
        said.append(person(*words, code=code))
        return said[-1]

    say("up", "-e", "staging")
    say("config", "set", "-e", "staging", "--no-deploy", "--secret", f"API_KEY={SECRETS[0]}")
    say("config", "set", "-e", "production", "--no-deploy", "--secret", f"API_KEY={SECRETS[1]}")
    first = git(person.app, "rev-parse", "HEAD")

    plan = say("promote", "staging", "production", code=2)
    assert "nobody is here to confirm" in plan
    assert "+ web: 1 (1–3) of web" in plan
    assert "+ API_KEY=***" in plan
    assert person.document("release", "list", "-e", "production")["releases"] == []
    assert say("promote", "staging", "production", "--dry-run", code=10)

    done = say("promote", "staging", "production", "--yes", "--why", "launch")
    assert "plain r1 is good in plain/production" in done
    assert layers(person, "r1", "production") == layers(person, "r1", "staging")
    assert person.document("release", "show", "r1", "-e", "production")["why"] == "promote staging r1: launch"
    assert git(person.app, "rev-parse", "homeport/production/r1") == first
    assert variables(person, "production") == {"COLOUR": "blue", "LEVEL": "warning", "API_KEY": "***"}
    assert "nothing to do" in say("promote", "staging", "production")
    assert person.document("promote", "staging", "production", "--dry-run")["changes"] is False

    second = commit(person.app, {"new.txt": "x"} | replaced(person.app, "homeport.toml", "max = 3", "max = 4"))
    assert "a new release" in say("deploy", "-e", "staging", "--dry-run", code=10)
    assert "changes: 1 commit" in say("deploy", "-e", "staging")
    assert "nothing would change" in say("deploy", "-e", "staging", "--dry-run")
    parity = say("status", "--diff", "staging", "production", "--exit-code", code=10)
    assert "production is 1 commit behind staging" in parity
    assert "API_KEY: another secret" in parity
    document = person.document("promote", "staging", "production", "--yes")
    said.append(str(document))
    assert (document["release"], document["verdict"], document["commits"]["ahead"]) == ("r2", "good", 1)
    assert document["difference"]["formation"] == [{"what": "web: instances", "old": "1 (1–3)", "new": "1 (1–4)"}]
    assert layers(person, "r2", "production") == layers(person, "r2", "staging")
    assert layers(person, "r2", "production")["commit"] == second
    assert "1 commit back" in say("rollback", "-e", "production")
    assert "1 commit taken back" in say("release", "diff", "r2", "r3", "-e", "production")

    say("engine", "stop")
    assert "nobody knows what plain/staging runs" in say("status", "--diff", "staging", "production")
    assert "API_KEY: another secret" in say("config", "diff", "staging", "production", "--exit-code", code=10)
    assert not [text for text in said for secret in SECRETS if secret in text]
