"""An environment on the simulated AWS, as a person has it: the same file, the same commands."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homeport.simulation.aws.simulator import Simulator
from tests.app_repository import make_repository
from tests.aws.world import until
from tests.e2e.person import Person

FILE = """app = "plain"
[health]
path = "/healthz"
grace = "60s"
unhealthy_after = "50s"
[groups.web]
run = ["web"]
instances = { min = 1, desired = 2, max = 4 }
stop_grace = "2s"
drain = "1s"
[deploy]
bake = "200ms"
[environments.production]
engine = "aws"
account = "123456789012"
region = "eu-west-1"
"""
WEB = "web: exec python3 web.py\n"


def person_of(aws: Simulator, directory: Path, file: str = FILE, *, procfile: str = WEB) -> Person:
    """Who has the app `plain` there, with this platform file, and may everything. They have brought nothing up."""
    app = make_repository("plain", directory, edits={"homeport.toml": file, "Procfile": procfile})
    return Person(app, directory / "home", environ=aws.variables)


@contextmanager
def leaving(person: Person) -> Iterator[Person]:
    """Afterwards nothing of theirs is up, however far they came."""
    try:
        yield person
    finally:
        person.begin("down", "--yes", "--purge").communicate(timeout=240)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


@contextmanager
def asked_all_the_time(url: str) -> Iterator[list[str]]:
    """What went wrong meanwhile."""
    wrong: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            try:
                get(f"{url}/healthz")
            except OSError as error:
                wrong.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield wrong
    finally:
        over.set()
        thread.join()


def public(aws: Simulator, person: Person) -> str:
    """Where the load balancer's stand-in answers, as it does by now."""
    name = person.url().removeprefix("http://")

    def answers() -> str | None:
        url = aws.url_of(name)
        try:
            if url is not None:
                get(f"{url}/healthz")
        except OSError:
            return None
        return url

    return str(until(answers, "the load balancer answers"))
