"""`homeport status`: an environment at a glance."""

from pathlib import Path

import click

from homeport.cli import candidates, hint, options, output, place, remote, zone
from homeport.cli.care import care_in_words
from homeport.cli.maintenance import closed_in_words
from homeport.cli.watch import present
from homeport.console.views import AppView, CertificateView, DeploymentView, DiskView, StatusView
from homeport.errors import Invalid
from homeport.plan.freeze import in_words
from homeport.plan.route import shown


@click.command(
    epilog=options.example(
        "homeport status",
        "homeport status --watch",
        "homeport status -e production --json",
        "homeport status --diff staging production",
        codes={10: "with --diff and --exit-code: something differs"},
        see="ps, deployment list, config diff",
    )
)
@options.watch
@click.option(
    "--diff",
    "compared",
    nargs=2,
    metavar="A B",
    shell_complete=candidates.environments,
    help="How what runs in environment B differs from what runs in A.",
)
@options.app
@options.exit_code
@options.common
def status(
    environment: str | None,
    directory: Path,
    as_json: bool,
    watching: bool,
    compared: tuple[str, str] | None,
    app: str | None,
    exit_code: bool,
) -> int:
    """Show an environment at a glance.

    With --watch and --json, one document a line. --diff compares the releases, commits, groups, routes, health and
    config of two environments; it reads the store, and says what only the engine would know where that isn't running.
    --app and --exit-code are for --diff.
    """
    if compared is not None:
        from homeport.cli.parity import show_standing

        if watching or environment is not None:
            raise Invalid("--diff names two environments; --watch and -e don't go with it")
        code = show_standing(directory, compared, app, as_json=as_json)
        return code if exit_code else 0
    if app is not None or exit_code:
        raise Invalid("--app and --exit-code go with --diff", hint="homeport status --diff staging production")
    api = place.client()
    where = place.environment_id(directory, environment, api)
    present(lambda: api.status(where), show, as_json=as_json, watching=watching)
    return 0


def show(found: StatusView) -> None:
    print(f"{found.environment}  {' '.join(found.urls)}")
    if found.closing:
        output.line(f"  {remote.going_down()}")
    if found.trouble:
        output.line(f"  trouble: {found.trouble}")
    for each in found.maintenance:
        output.line(f"  {closed_in_words(each)}")
    if found.freeze is not None:
        output.line(f"  frozen {in_words(found.freeze)}")
    for one in found.zones:
        if one.failure:
            output.line(f"  zone {one.zone} {zone.in_words(one)}  → homeport zone restore {one.zone}")
    if found.certificate is not None:
        _show_certificate(found.certificate)
    for app in found.apps:
        _show_app(app)
    print(f"\nstore  {output.printable(found.store.place)}")
    if found.store.problem and found.store.problem != found.trouble:
        print(f"  trouble: {output.printable(found.store.problem)}")
    if found.disk is not None:
        _show_disk(found.disk, here="://" not in found.store.place)


def _show_certificate(found: CertificateView) -> None:
    left = f"{found.days_left} days left, until {found.ends_at:%Y-%m-%d %H:%M} UTC"
    print(f"  certificate for {', '.join(found.names) or 'no host'}: {left}")
    for each in found.problems:
        print(f"  trouble: the certificate {output.printable(each)}")


def _show_app(app: AppView) -> None:
    print(f"\n{app.app}  {app.release or 'no release yet'}")
    rows = [
        (
            each.name,
            f"{each.healthy}/{'?' if each.desired is None else each.desired} healthy",
            ", ".join(each.releases),
        )
        for each in app.groups
    ]
    if rows:
        output.table(("GROUP", "INSTANCES", "RELEASE"), rows, indent="  ")
    for group in app.groups:
        for each in care_in_words(group):
            output.line(f"  {group.name}: {each}", hanging=4)
    if app.routes:
        output.line(f"  routes: {', '.join(f'{shown(each)} → {each.to}' for each in app.routes)}")
    if app.deployment is not None:
        output.line(f"  {in_short(app.deployment)}")


def in_short(deployment: DeploymentView) -> str:
    """A deployment in one line."""
    text = f"deployment {deployment.number} of {deployment.release}"
    if not deployment.verdict:
        waits = f", waits for {hint.completed(deployment.waits_for)}" if deployment.waits_for else ""
        return f"{text}: {deployment.phase}{waits}; by {deployment.by}, begun {output.ago(deployment.started_at)}"
    when = output.ago(deployment.ended_at) if deployment.ended_at else ""
    why = f": {deployment.summary}" if deployment.summary and deployment.verdict != "good" else ""
    return output.printable(f"{text}: {deployment.verdict}, {when}{why}")


def _show_disk(disk: DiskView, *, here: bool) -> None:
    """`here`: the store lies on this machine too."""
    free = f"{output.size(disk.free_bytes)} of {output.size(disk.total_bytes)} free"
    if disk.measured_at is None:
        print(f"\ndisk  {free}")
    else:
        both = (
            ("instances", disk.instances_bytes, disk.environment_instances_bytes),
            ("logs", disk.logs_bytes, disk.environment_logs_bytes),
        )
        store = (("store", disk.store_bytes),) if here else ()
        shared = (*store, ("layers", disk.layers_bytes), ("builds", disk.builds_bytes))
        total = sum(each[1] for each in (*both, *shared))
        print()
        output.line(f"disk  {output.size(total)}: {', '.join(f'{name} {output.size(size)}' for name, size in shared)},")
        output.line(
            f"      {', '.join(f'{name} {output.size(size)} (here {output.size(own)})' for name, size, own in both)}"
        )
        print(f"      {free}")
    if disk.nearly_full:
        print("      nearly full: make room  → homeport gc")
