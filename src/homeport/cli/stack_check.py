"""`homeport stack check`: all that can be said against stacks without asking any cloud."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import options, output
from homeport.cli.stack import directory, planner, words
from homeport.errors import Failed, Invalid

if TYPE_CHECKING:
    from homeport.model.finding import Finding


@click.command(epilog=options.example("homeport stack check", "homeport stack check production --sarif check.sarif"))
@words
@click.option("--no-lint", is_flag=True, help="Without cfn-lint, which takes seconds.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option(
    "--sarif", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the findings as SARIF too."
)
@directory
@options.as_json
def check(
    stacks: tuple[str, ...], no_lint: bool, strict: bool, sarif: Path | None, directory: Path, as_json: bool
) -> int:
    """Look for mistakes: settings, parameters, sizes, cfn-lint, the project's own rules, files that nobody uses.

    Ends with 6 where there is an error. Own rules lie in stacks/rules: Python files with functions check_…, and
    cfn-guard's.
    """
    from homeport.model.finding import Level
    from homeport.stacks.check import Checker

    found = planner(directory)
    project = found.project
    with output.Progress(quiet=as_json) as progress:
        ids = project.select(stacks)
        progress.waiting(f"checking {output.plural(len(ids), 'stack')}")
        findings = Checker(project, found.tools.remote, linting=not no_lint).check(ids)
    if sarif is not None:
        _write(sarif, findings)
    bad = sum(each.level is Level.ERROR or (strict and each.level is Level.WARNING) for each in findings)
    if as_json:
        output.emit({"findings": findings, "good": not bad})
    else:
        for each in findings:
            print(output.printable(_line(each)))
        print(f"{output.plural(len(ids), 'stack')}: {output.plural(len(findings), 'finding')}")
    return Failed.exit_code if bad else 0


def _line(finding: "Finding") -> str:
    place = ":".join(str(each) for each in (finding.file, finding.line, finding.column) if each)
    where = "  ".join(each for each in (finding.stack, place) if each)
    return f"{finding.level:8}{where}  {finding.rule}  {finding.message}"


def _write(path: Path, findings: "list[Finding]") -> None:
    import msgspec

    from homeport import __version__
    from homeport.plan.stack.sarif import sarif

    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(sarif(findings, __version__)), indent=2))
    except OSError as error:
        raise Invalid(f"can't write {path}: {error.strerror}") from error
