"""How two environments of a platform differ: for `status --diff` and `config diff`. Reads the store, and asks the
engine where it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeport.cli import difference, output, place, standing
from homeport.cli.standing import Standing
from homeport.errors import CHANGES_EXIT_CODE, Invalid, NotFound
from homeport.plan.difference import Difference, config_difference
from homeport.plan.difference import difference as difference_of
from homeport.releases.git import Apart
from homeport.releases.side import comparable

if TYPE_CHECKING:
    from homeport.model.release import Snapshot
    from homeport.releases.catalogue import Catalogue


def places(directory: Path, names: tuple[str, str]) -> tuple[str, str]:
    """`<platform>/<environment>` of both. Raises `Invalid` where they don't compare."""
    one, other = (place.stored_environment(directory, each) for each in names)
    if one.partition("/")[0] != other.partition("/")[0]:
        raise Invalid(f"{one} and {other} are of two platforms; environments of one are compared")
    if one == other:
        raise Invalid(f"both are {one}", hint="homeport status --diff staging production")
    return one, other


def show_standing(directory: Path, names: tuple[str, str], app: str | None, *, as_json: bool) -> int:
    """Prints how what runs in the one differs from what runs in the other; the exit code where that matters."""
    from homeport.wiring import storage

    home = storage.home()
    catalogue, encryption = storage.catalogue(storage.store(home)), storage.encryption(home)
    both = places(directory, names)
    app = place.app_name(directory, both[0], app)
    stands = [standing.stand(catalogue, each, app) for each in both]
    sides = [standing.compared(each, catalogue, encryption) for each in stands]
    for stand, side in zip(stands, sides, strict=True):
        if side is None:
            raise NotFound(
                f"{app} has no good release in {stand.environment}: nothing to compare",
                hint=f"homeport deploy -e {stand.name}",
            )
    assert sides[0] is not None
    assert sides[1] is not None
    found = difference_of(sides[0], sides[1])
    apart = standing.commits(directory, app, sides[0].slug.commit, sides[1].slug.commit)
    unknown = [sentence for stand in stands for sentence in stand.unknown]
    if as_json:
        output.emit(
            {
                "app": app,
                "environments": [_document(each) for each in stands],
                "same": not found,
                "commits": apart,
                "difference": found,
                "unknown": unknown,
            }
        )
    else:
        _show(app, stands, found, apart, unknown)
    return CHANGES_EXIT_CODE if found else 0


def _show(app: str, stands: list[Standing], found: Difference, apart: Apart | None, unknown: list[str]) -> None:
    rows = []
    for each in stands:
        assert each.release is not None
        slug = each.release.slug
        healthy = ", ".join(
            f"{group.name} {group.healthy}/{'?' if group.desired is None else group.desired}" for group in each.groups
        )
        state = f"{healthy} healthy" if each.running else "unknown" if each.running is None else "not up"
        commit = f"{slug.commit[:10]}{'+' if slug.dirty else ''}"
        rows.append((each.name, each.release.id, commit, output.ago(each.release.created_at), state))
    print(output.printable(f"{app}: {stands[0].environment} → {stands[1].environment}"))
    output.table(("", "RELEASE", "COMMIT", "CREATED", "INSTANCES"), rows, indent="  ")
    if apart is not None:
        print(f"  {_far(apart, stands)}")
    if found:
        print()
        difference.show(found)
    else:
        print("  no difference")
    for sentence in unknown:
        output.line(f"note: {sentence}")


def _far(apart: Apart, stands: list[Standing]) -> str:
    """`production is 3 commits behind staging`."""
    one, other = (each.name for each in stands)
    if apart.ahead and apart.behind:
        return (
            f"{one} and {other} have parted: {output.plural(apart.behind, 'commit')} only in {one}, "
            f"{apart.ahead} only in {other}"
        )
    count = output.plural(apart.ahead or apart.behind, "commit")
    return f"{other} is {count} {'ahead of' if apart.ahead else 'behind'} {one}"


def _document(each: Standing) -> dict[str, Any]:
    assert each.release is not None
    slug = each.release.slug
    return {
        "environment": each.environment,
        "release": each.release.id,
        "commit": slug.commit,
        "dirty": slug.dirty,
        "subject": slug.subject,
        "created_at": each.release.created_at,
        "running": each.running,
        "groups": [
            {"name": group.name, "desired": group.desired, "healthy": group.healthy, "scaled": group.scaled}
            for group in each.groups
        ],
    }


# --- config -----------------------------------------------------------------------------------------------------------


def show_config(directory: Path, names: tuple[str, str], app: str | None, *, as_json: bool) -> int:
    """Prints how the variables that the next release of each environment gets differ; the exit code where that
    matters. Asks no engine."""
    from homeport.wiring import storage

    home = storage.home()
    catalogue, encryption = storage.catalogue(storage.store(home)), storage.encryption(home)
    both = places(directory, names)
    app = place.app_name(directory, both[0], app)
    one, other = (comparable(_next(directory, each, app, catalogue), encryption) for each in both)
    found = config_difference(one, other)
    if as_json:
        output.emit({"app": app, "environments": both, "same": not found, "config": found})
    else:
        print(f"{app}: {both[0]} → {both[1]}")
        for each in found:
            output.line(f"  {difference.variable(each)}")
        if not found:
            print("  the same variables, with the same values")
    return CHANGES_EXIT_CODE if found else 0


def _next(directory: Path, where: str, app: str, catalogue: "Catalogue") -> "Snapshot":
    """As `config list` has it: what `config/` of the last commit here, else of the newest release, says, and what was
    set."""
    from homeport.cli import publish
    from homeport.cli.code import Asked, read_code

    name = where.partition("/")[2]
    here = place.platform_here(directory)
    if here is not None and here.name == where.partition("/")[0]:
        (code,) = read_code(Asked(directory=directory, environment=name, app=app))
        wanted = code.wanted
        return publish.snapshot(wanted.config, catalogue, wanted.resolved)
    newest = publish.newest_of(catalogue, app, name)
    return publish.snapshot(publish.files_of_release(catalogue.store, newest), catalogue, newest.resolved)
