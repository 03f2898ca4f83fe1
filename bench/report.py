"""All results as one table and one plot: `results/README.md` and `results/goals.svg`, from what the benches have left
in `results/*.json`. Called by `bench/run` at its end."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from bench.site import HEAD, RESULTS

ORDER = (
    "zero",
    "most",
    "deploy_under_load",
    "deploy_and_quiet",
    "switch",
    "up",
    "heal",
    "balancer_cpu",
    "ps",
    "idle",
    "side_by_side",
    "side_by_side_hup",
    "side_by_side_drain",
    "strategies",
    "soak",
    "aws_calls",
    "aws_time",
)
INTRODUCTION = """# Results

Made by `bench/report.py` from the JSON files beside this one; what each bench is and what a miss comes from is said in
[the benches' own page](../README.md). Values are medians; all runs are in the JSON files. A goal is of the value, of
its difference from the control, or of its ratio to that.

![Each figure that has a goal, each run as a dot, in units of the goal](goals.svg)
"""
MACHINE = {"cores": "cores", "memory_gb": "GB of memory", "kernel": "Linux", "python": "Python", "haproxy": "HAProxy"}
LABELS, PLOT, ROW, TOP = 470, 420, 22, 40
MOST = 3.0
"""In goals: what lies further to the right is drawn at the edge."""


def results() -> Iterator[tuple[str, dict[str, Any]]]:
    others = sorted(path.stem for path in RESULTS.glob("*.json") if path.stem not in ORDER)
    for name in (*ORDER, *others):
        path = RESULTS / f"{name}.json"
        if path.exists() and "line" in (found := json.loads(path.read_text()))["figures"][0]:
            yield name, found


def table() -> str:
    lines = [INTRODUCTION]
    for name, result in results():
        lines += [f"## {name}", "", f"Control: {result['control']}.", ""]
        lines += [f"| figure | {' | '.join(HEAD)} |", "|---" * (len(HEAD) + 1) + "|"]
        lines += [f"| {' | '.join(each['line'])} |" for each in result["figures"]]
        lines += ["", f"On {machine(result['machine'])}.", ""]
    return "\n".join(lines)


def machine(found: dict[str, Any]) -> str:
    words = [
        f"{found[key]} {word}" if key in ("cores", "memory_gb") else f"{word} {found[key]}"
        for key, word in MACHINE.items()
    ]
    return f"{', '.join(words)}; load average {found['load_average']} at its end, the bench's own included"


def in_goals(figure: dict[str, Any]) -> list[float]:
    """Each run's value in units of the goal, 1 being just met; empty where the goal is 0 or there is none."""
    goal, control = figure["goal"], figure["control"]
    if goal is None or not goal["most"]:
        return []
    values = figure["value"]["values"]
    if goal["of"] == "value" or control is None:
        return [each / goal["most"] for each in values]
    others = control["values"] if len(control["values"]) == len(values) else [control["median"]] * len(values)
    if goal["of"] == "ratio":
        return [a / b / goal["most"] for a, b in zip(values, others, strict=True)]
    return [(a - b) / goal["most"] for a, b in zip(values, others, strict=True)]


def plot() -> str:
    rows = [
        (f"{name}: {figure['what']}", dots, figure["line"][-1] == "met")
        for name, result in results()
        for figure in result["figures"]
        if (dots := in_goals(figure))
    ]
    height = TOP + ROW * len(rows) + 30
    width = LABELS + PLOT + 20
    goal = LABELS + PLOT / MOST
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{goal}" y="16" text-anchor="middle">goal</text>',
        f'<line x1="{goal}" x2="{goal}" y1="22" y2="{height - 26}" stroke="#999"/>',
    ]
    for tick in range(int(MOST) + 1):
        x = LABELS + PLOT * tick / MOST
        lines.append(f'<text x="{x}" y="{height - 8}" text-anchor="middle" fill="#666">{tick}</text>')
    for number, (label, dots, met) in enumerate(rows):
        y = TOP + ROW * number
        color = "#2a7" if met else "#c43"
        lines.append(f'<text x="{LABELS - 12}" y="{y + 4}" text-anchor="end">{escape(label)}</text>')
        lines.append(f'<line x1="{LABELS}" x2="{LABELS + PLOT}" y1="{y}" y2="{y}" stroke="#eee"/>')
        for each in dots:
            x = LABELS + PLOT * min(max(each, 0), MOST) / MOST
            lines.append(f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{color}" fill-opacity="0.5"/>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def main() -> None:
    (RESULTS / "README.md").write_text(table().rstrip("\n") + "\n")
    (RESULTS / "goals.svg").write_text(plot())


if __name__ == "__main__":
    main()
