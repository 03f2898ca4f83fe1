"""What comes after what: of groups in a deployment, of process types in an instance. Pure. Called by `plan.formation`,
which refuses circles, by `plan.desired` and `instance.service`.
"""

from collections.abc import Mapping, Sequence


def stages(after: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Each name's stage: 0 for one that waits for nobody, else one above the highest that it waits for. Names that
    aren't keys count for nothing. Raises ValueError for a circle."""
    if path := circle(after):
        raise ValueError(f"a circle: {' → '.join(path)}")
    found: dict[str, int] = {}
    while len(found) < len(after):
        for name, earlier in after.items():
            known = [each for each in earlier if each in after]
            if name not in found and all(each in found for each in known):
                found[name] = 1 + max((found[each] for each in known), default=-1)
    return found


def circle(after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A way from a name over what it waits for back to itself, such as `web`, `worker`, `web`; empty: there is none."""
    for start in after:
        path = [start]
        while len(path) <= len(after):
            earlier = [each for each in after.get(path[-1], ()) if _leads_to(after, each, start)]
            if not earlier:
                break
            path.append(start if start in earlier else earlier[0])
            if path[-1] == start:
                return tuple(path)
    return ()


def _leads_to(after: Mapping[str, Sequence[str]], name: str, goal: str) -> bool:
    reached, ahead = set(), [name]
    while ahead:
        each = ahead.pop()
        if each not in reached:
            reached.add(each)
            ahead += after.get(each, ())
    return goal in reached
