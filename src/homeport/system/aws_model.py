"""AWS's services as botocore describes them, and times that they tell, read faster than it does by itself. Used by
`engines.aws` and `agent`: the `data_loader` of their sessions, and the `timestamp_parser` of the first.
"""

import gzip
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from botocore.loaders import JSONFileLoader, Loader, instance_cache
from botocore.utils import parse_timestamp


class _Files(JSONFileLoader):  # type: ignore[misc] # botocore states no types
    def load_file(self, file_path: str) -> Any:
        """None: there is no such file. The order of keys is the file's: a dict of Python's own keeps it."""
        for suffix, opened in ((".json", open), (".json.gz", gzip.open)):
            if Path(file_path + suffix).is_file():
                with opened(file_path + suffix, "rb") as file:
                    return msgspec.json.decode(file.read())
        return None


class Models(Loader):  # type: ignore[misc] # botocore states no types
    FILE_LOADER_CLASS = _Files

    @instance_cache  # type: ignore[untyped-decorator]
    def list_available_services(self, type_name: str) -> list[str]:
        """Those that have a directory, looked for once. botocore looks in each of its four hundred whether that file is
        there, and then once more in that which it needs."""
        return sorted({name for place in self.search_paths for name in _directories(place)})


def _directories(place: str) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return [each.name for each in entries if each.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def moment(value: Any) -> datetime:
    """A time that AWS tells. Nearly all are written one way; botocore tries every way to write a time. Raises
    `ValueError`."""
    read: datetime = full_time(value) or parse_timestamp(value)
    return read


def full_time(value: Any) -> datetime | None:
    """What is written as ISO 8601 has it, with its offset from UTC; None: written in another way."""
    if isinstance(value, str) and value[10:11] == "T":
        with suppress(ValueError):
            found = datetime.fromisoformat(value)
            return found if found.tzinfo is not None else None
    return None
