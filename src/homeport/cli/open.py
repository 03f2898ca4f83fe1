"""`homeport open`: the environment in a browser."""

import os
import shlex
import shutil
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import click

from homeport.cli import options, output, place
from homeport.console.views import StatusView
from homeport.errors import NotFound


class Page(NamedTuple):
    """A route, as a browser asks for it."""

    url: str
    app: str
    to: str


@click.command(
    "open",
    epilog=options.example("homeport open", "homeport open -e production", "homeport open --app blog", see="status"),
)
@options.app
@click.option("--print", "only_print", is_flag=True, help="Print the URL, and nothing else.")
@options.common
def open_(environment: str | None, directory: Path, as_json: bool, app: str | None, only_print: bool) -> None:
    """Open the environment in a browser.

    Prints its URL, or that of --app, and below it those of other routes. The browser is $BROWSER, else the desktop's.
    Where there is neither, such as in an ssh session, it is only printed, with the tunnel that leads there.
    """
    api = place.client()
    found = api.status(place.environment_id(directory, environment, api))
    every = pages(found)
    wanted = [each for each in every if app in (None, each.app)]
    if app is not None and not wanted:
        raise NotFound(f"no route of {found.environment} leads to {app}", hint="homeport status")
    url = wanted[0].url if wanted else found.urls[0]
    opened = not (only_print or as_json) and tell_browser(url)
    if as_json:
        output.emit({"url": url, "routes": [each._asdict() for each in every]})
        return
    print(url)
    if only_print:
        return
    others = [each for each in every if each.url != url]
    if others:
        output.table(("", ""), [(each.url, f"{each.app}: {each.to}") for each in others], indent="  ")
    if not opened and "SSH_CONNECTION" in os.environ:
        show_tunnel(url)


def pages(found: StatusView) -> list[Page]:
    """What the routes of an environment answer, its top without a host first."""
    base = urlsplit(found.urls[0])
    port = f":{base.port}" if base.port else ""
    routes = [(app.app, each) for app in found.apps for each in app.routes]
    routes.sort(key=lambda each: (each[1].host is not None, each[1].host or "", each[1].path))
    return [
        Page(
            f"{base.scheme}://{f'{each.host}{port}' if each.host else base.netloc}{each.path}".rstrip("/"), app, each.to
        )
        for app, each in routes
    ]


def tell_browser(url: str) -> bool:
    """Whether a browser was told. It outlives this command."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    program = shlex.split(os.environ.get("BROWSER", "")) or (["xdg-open"] if display else [])
    if not program or shutil.which(program[0]) is None:
        return False
    quiet = subprocess.DEVNULL
    subprocess.Popen((*program, url), stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    return True


def show_tunnel(url: str) -> None:
    """It listens on this machine's loopback, where the browser isn't."""
    where = urlsplit(url)
    if where.port is not None and (where.hostname or "").startswith("127."):
        print(f"→ on your own machine: ssh -L {where.port}:{where.hostname}:{where.port} {socket.gethostname()}")
