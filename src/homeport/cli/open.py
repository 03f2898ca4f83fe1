"""`homeport open`: the environment in a browser."""

import os
import shutil
import subprocess
from pathlib import Path

import click

from homeport.cli import options, output, place


@click.command("open", epilog=options.example("homeport open", "homeport open -e production", see="status"))
@options.common
def open_(environment: str | None, directory: Path, as_json: bool) -> None:
    """Open the environment in a browser.

    Where there is no display, its URL is printed only.
    """
    api = place.client()
    url = api.status(place.environment_id(directory, environment, api)).urls[0]
    if as_json:
        output.emit({"url": url})
        return
    print(url)
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    program = shutil.which("xdg-open")
    if display and program:
        subprocess.Popen((program, url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
