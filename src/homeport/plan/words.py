"""A deployment's journal in words. Pure. Called by `control` for its events, by `follow` and by `deployment show`."""

from typing import assert_never

from homeport.model.deployment import (
    Baking,
    Continued,
    Ended,
    Entry,
    Judged,
    Moved,
    Paused,
    Prepared,
    Progress,
    Resized,
    Reverting,
    Shared,
    Staged,
    Started,
    Switched,
    TaskEnded,
    TaskStarted,
    Verdict,
    Watched,
)


def in_words(entry: Entry, *, first: bool = False) -> str:
    """One line for people, without the time. `first`: the deployment has no release to go back to."""
    match entry:
        case Started():
            return _started(entry)
        case Prepared():
            return "code and config lie ready"
        case TaskStarted():
            return "release task started"
        case TaskEnded(exit_code=code):
            return "release task done" if code == 0 else f"release task ended with {code}"
        case Staged() | Moved() | Paused() | Continued() | Resized() | Shared() | Watched() | Judged() | Switched():
            return _progress(entry)
        case Baking(at=at, until_at=until_at):
            return f"everything runs and is healthy; watching for {(until_at - at).total_seconds():g} s"
        case Reverting(verdict=verdict, evidence=evidence):
            what, rest = ("giving up", "; there is no release before it to go back to") if first else ("going back", "")
            return f"{what} ({verdict.value}): {evidence.summary}{rest}"
        case Ended(verdict=Verdict.GOOD):
            return "good"
        case Ended(verdict=verdict, evidence=evidence):
            return f"{verdict.value}: {evidence.summary}"
        case _:
            assert_never(entry)


def _progress(entry: Progress) -> str:
    match entry:
        case Staged(groups=groups):
            return f"what comes first is up; next: {', '.join(groups) or 'the groups after it'}"
        case Moved(batch=batch, groups=groups):
            counts = ", ".join(f"{count} of {name}" for name, count in groups.items())
            return f"batch {batch}: {counts or 'the next'} on the new release"
        case Paused(reached=reached):
            return f"pausing: {reached}"
        case Continued(by=by):
            return f"{by} lets it go on"
        case Resized(counts=counts):
            return f"scaled meanwhile: {', '.join(f'{count} of {name}' for name, count in counts.items())}"
        case Shared(percent=percent):
            return f"{percent}% of the requests go to the new release"
        case Watched(at=at, until_at=until_at):
            return f"its answers are compared with the old release's for {(until_at - at).total_seconds():g} s"
        case Judged(few=few):
            return (
                f"too little was seen to judge it, and it goes on all the same: {few}"
                if few
                else "no worse than the old"
            )
        case Switched():
            return "traffic goes to the new release"
        case _:
            assert_never(entry)


def _started(entry: Started) -> str:
    before = f" over r{entry.previous}" if entry.previous is not None else ""
    stages: dict[int, list[str]] = {}
    kept: list[str] = []
    for group in entry.groups:
        same = group.old_count in (0, group.new_count)
        count = f"{group.new_count}" if same else f"{group.old_count} → {group.new_count}"
        count += f" (those of r{group.aside} are there)" if group.aside is not None else ""
        (kept if group.kept else stages.setdefault(group.stage, [])).append(f"{group.name} {count}")
    changes = ", then ".join(", ".join(stages[each]) for each in sorted(stages))
    parts = [f"{entry.strategy}: {changes}"] if changes else []
    parts += [f"unchanged, kept: {', '.join(kept)}"] if kept else []
    head = f"deployment {entry.number}: r{entry.release} of {entry.app}{before} in {entry.environment}"
    over = f", over the freeze: {entry.over_freeze}" if entry.over_freeze else ""
    return f"{head} ({'; '.join(parts)}){over}"
