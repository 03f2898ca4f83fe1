"""What has been released, and which of it was good; what `config set` said. Reads the store anew at every question.

Called by the command line and by `control`.
"""

import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from homeport.errors import Conflict, Failed, NotFound
from homeport.model.release import ConfigValue, Release
from homeport.plan.config import ConfigLayer
from homeport.plan.lease import Marker, sequence_of, valid_keys
from homeport.plan.release import (
    LaunchPointer,
    Pointer,
    config_key,
    config_prefix,
    current_prefix,
    good_numbers,
    launch_prefix,
    next_number,
    page_numbers,
    parse_number,
    release_key,
    release_numbers,
    rollback_target,
)
from homeport.ports.objects import ObjectStore
from homeport.releases.publish import decode, encode


class ConfigPage(Struct, frozen=True, kw_only=True):
    """One `config set` or `config unset`. A value of None unsets. `group` None: for every group."""

    values: dict[str, ConfigValue | None]
    group: str | None = None
    created_at: datetime | None = None
    created_by: str = ""


class Catalogue:
    """Releases and config pages of all apps and environments in one store."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def numbers(self, app: str, environment: str) -> list[int]:
        """Numbers of all releases there, ascending; empty if there is none."""
        keys = self.store.list(f"{app}/{environment}/", after=f"{app}/{environment}/r")
        return release_numbers(app, environment, keys)

    def get(self, app: str, environment: str, number: int | str) -> Release:
        """The release 12, `12` or `r12`. Raises `NotFound`, `Invalid` for what is no number, `Failed` if it is
        damaged."""
        wanted = parse_number(number)
        key = release_key(app, environment, wanted)
        try:
            data = self.store.get(key)
        except NotFound as error:
            raise self._missing(app, environment, wanted) from error
        release = decode(data, Release, key)
        if (release.app, release.environment, release.number) != (app, environment, wanted):
            raise Failed(
                f"object {key} holds {release.app}/{release.environment}/{release.id}: it was changed or damaged"
            )
        return release

    def newest(self, app: str, environment: str) -> Release | None:
        """The release with the greatest number, good or not; None if there is none."""
        numbers = self.numbers(app, environment)
        return self.get(app, environment, numbers[-1]) if numbers else None

    def good(self, app: str, environment: str) -> list[int]:
        """Numbers of releases that a good verdict made current, by their last verdict, oldest first."""
        while True:
            try:
                keys = self._pointers(current_prefix(app, environment))
                return good_numbers([decode(self.store.get(key), Pointer, key).release for key in keys])
            except NotFound:
                continue  # a cleaner removed old ones meanwhile

    def launch(self, app: str, environment: str, group: str) -> int | None:
        """Number of the release that a new instance of the group gets; None: there is none."""
        while True:
            try:
                newest = self._pointers(launch_prefix(app, environment, group))[-1:]
                return next((decode(self.store.get(key), LaunchPointer, key).release for key in newest), None)
            except NotFound:
                continue

    def launch_since(self, app: str, environment: str, group: str) -> tuple[int, datetime] | None:
        """As `launch`, and since when, by the store's clock."""
        while True:
            moved = {each.key: each.modified_at for each in self.store.entries(launch_prefix(app, environment, group))}
            try:
                newest = self._valid(sorted(moved))[-1:]
                found = [(decode(self.store.get(key), LaunchPointer, key).release, moved[key]) for key in newest]
            except NotFound:
                continue
            return next(((release, at) for release, at in found if release is not None), None)

    def current(self, app: str, environment: str) -> Release | None:
        """The release with the last good verdict; None where none was ever good."""
        good = self.good(app, environment)
        return self.get(app, environment, good[-1]) if good else None

    def rollback_target(self, app: str, environment: str, running: Release) -> Release:
        """The newest good release older in origin than `running`. Raises `NotFound` where there is none."""
        there = set(self.numbers(app, environment))
        good = [each for each in self.good(app, environment) if each in there]
        return rollback_target(running, self._left(app, environment, good))

    def append_config(self, app: str, environment: str, page: ConfigPage) -> int:
        """Number of the new page, which nobody else got."""
        prefix = config_prefix(app, environment)
        number = next_number(page_numbers(app, environment, self.store.list(prefix)))
        while True:
            try:
                self.store.create(config_key(app, environment, number), encode(page))
            except Conflict:
                number += 1
                continue
            return number

    def config_pages(self, app: str, environment: str) -> dict[int, ConfigPage]:
        """Number → page, ascending."""
        numbers = page_numbers(app, environment, self.store.list(config_prefix(app, environment)))
        keys = {number: config_key(app, environment, number) for number in numbers}
        return {number: decode(self.store.get(key), ConfigPage, key) for number, key in keys.items()}

    def config_layers(self, app: str, environment: str, group: str) -> list[ConfigLayer]:
        """What was set, as layers for one group, weakest first: pages for every group, then those for this one."""
        pages = self.config_pages(app, environment).items()
        ordered = [each for each in pages if each[1].group is None] + [each for each in pages if each[1].group == group]
        return [ConfigLayer(name=f"config set #{number}", values=page.values) for number, page in ordered]

    def _pointers(self, prefix: str) -> Sequence[str]:
        """Keys of the pointers that count, oldest first."""
        return self._valid(self.store.list(prefix))

    def _valid(self, keys: Sequence[str]) -> Sequence[str]:
        markers = {key: decode(self.store.get(key), Marker, key) for key in keys if sequence_of(key) == 0}
        return valid_keys(keys, markers)

    def _left(self, app: str, environment: str, numbers: Iterable[int]) -> "list[Release]":
        """Those of them that no cleaner has removed meanwhile."""
        found = []
        for number in numbers:
            with contextlib.suppress(NotFound):
                found.append(self.get(app, environment, number))
        return found

    def _missing(self, app: str, environment: str, wanted: int) -> NotFound:
        newest = [f"r{number}" for number in self.numbers(app, environment)[::-1][:5]]
        if not newest:
            return NotFound(
                f"{app} has no release in {environment}, so no r{wanted}",
                hint=f"homeport deploy -e {environment}",
            )
        return NotFound(
            f"{app} has no release r{wanted} in {environment}, expected one of: {', '.join(newest)}",
            hint=f"homeport release list -e {environment}",
        )

    def list(self, app: str, environment: str, last: int = 20) -> list[Release]:
        """The newest `last` releases, newest first."""
        # last in the class: below it, `list` would mean this method to a type checker
        return self._left(app, environment, self.numbers(app, environment)[::-1][:last])
