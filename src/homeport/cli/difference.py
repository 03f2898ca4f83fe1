"""Differences in words. Called by `promote`, `rollback`, `deploy`, and by whatever compares."""

from collections.abc import Iterator

from homeport.cli import output
from homeport.plan.difference import Change, ConfigChange, Difference
from homeport.releases.git import Apart

LONGEST_VALUE = 60
SHOWN_COMMITS = 10


def show(found: Difference, apart: Apart | None = None, *, built: bool = True, first: bool = False) -> None:
    """Prints what differs, a line each, by section; then what doesn't. `built` False: the new side isn't yet. `first`:
    there was nothing before."""
    before = ""
    rows = []
    for section, text in lines(found, apart):
        rows.append((section if section != before else " ", text))
        before = section
    if rows:
        output.table(("", ""), rows, indent="  ")
    same = [] if first else unchanged(found, built=built)
    if same:
        print(f"  unchanged: {', '.join(same)}")


def lines(found: Difference, apart: Apart | None) -> Iterator[tuple[str, str]]:
    """(section, what differs there), without control characters."""
    if apart is not None:
        for text in _commits(apart):
            yield "commits", output.printable(text)
    new_commit = any(each.what == "commit" for each in found.code)
    for section in ("code", "settings", "formation", "routes", "health", "strategy"):
        for each in getattr(found, section):
            # a new commit has another source, of course
            if not (section == "code" and new_commit and each.what == "source"):
                yield section, output.printable(in_words(each))
    for key in found.config:
        yield "config", output.printable(variable(key))


def unchanged(found: Difference, *, built: bool) -> list[str]:
    """What people look for and needn't."""
    code = {each.what for each in found.code}
    layers = [] if "dependencies" in code or not built else ["dependencies"]
    sections = [each for each in ("formation", "routes", "health", "strategy", "config") if not getattr(found, each)]
    return (["code"] if not code and built else layers) + sections


def _commits(apart: Apart) -> Iterator[str]:
    if apart.behind:
        yield f"{output.plural(apart.behind, 'commit')} taken back"
    for each in apart.commits[:SHOWN_COMMITS]:
        yield f"+ {each.sha[:10]} {each.subject}"
    if apart.ahead > SHOWN_COMMITS:
        yield f"… and {apart.ahead - SHOWN_COMMITS} more"


def in_words(change: Change) -> str:
    """`web: memory: 256 MB → 512 MB`; with + or - where it is on one side only."""
    if change.what == "homeport.toml":
        return "homeport.toml is another"  # digests are for programs
    if change.old is None:
        return f"+ {change.what}: {_short(change.new)}"
    if change.new is None:
        return f"- {change.what}: {_short(change.old)}"
    return f"{change.what}: {_short(change.old)} → {_short(change.new)}"


def variable(change: ConfigChange) -> str:
    """`LOG_LEVEL: debug → info`; a secret's values never."""
    where = f" (only {', '.join(change.groups)})" if change.groups else ""
    match change.kind:
        case "added":
            return f"+ {change.key}={_short(change.new)}{where}"
        case "removed":
            return f"- {change.key}={_short(change.old)}{where}"
        case "unknown":
            return f"? {change.key}: a secret that can't be decrypted here, so nobody knows whether it differs{where}"
    if change.secret:
        return f"{change.key}: another secret{where}"
    return f"{change.key}: {_short(change.old)} → {_short(change.new)}{where}"


def _short(text: str | None) -> str:
    text = "" if text is None else text
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def in_short(found: Difference, apart: Apart | None) -> str:
    """One line: `2 commits, new dependencies, web: instances: 2 → 3, config +A -B ~C`."""
    return output.printable(", ".join(_parts(found, apart)) or "nothing but a new release")


def _parts(found: Difference, apart: Apart | None) -> Iterator[str]:
    code = {each.what: each for each in found.code}
    if apart is not None:
        if apart.behind:
            yield f"{output.plural(apart.behind, 'commit')} back"
        if apart.ahead:
            yield output.plural(apart.ahead, "commit")
    elif "commit" in code:
        yield in_words(code["commit"])
    if "dependencies" in code:
        yield "new dependencies" if code["dependencies"].new else "no dependencies any more"
    if 0 < len(found.formation) <= 2:
        yield from map(in_words, found.formation)
    elif found.formation:
        yield f"{len(found.formation)} changes of the formation"
    yield from (section for section in ("routes", "health", "strategy", "settings") if getattr(found, section))
    signs = {"added": "+", "removed": "-", "changed": "~", "unknown": "?"}
    if found.config:
        yield "config " + " ".join(dict.fromkeys(f"{signs[each.kind]}{each.key}" for each in found.config))
