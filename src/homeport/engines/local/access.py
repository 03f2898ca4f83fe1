"""What became of requests, by HAProxy's access log. Called by `engines.local.engine`.

The log is bounded: of a busy group only the last minutes are there, of all its targets alike."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from homeport.engines.local.watch_tree import HAPROXY
from homeport.instance import log
from homeport.model.canary import Answers
from homeport.plan.canary import tally
from homeport.ports.engine import LogQuery
from homeport.system.home import Home

FIRST_ERROR = 500


class _Line(Struct, frozen=True, kw_only=True):
    """Of `plan.balancer_text.ACCESS_LOG`. `end`: how the session ended; it begins with C where the client did it."""

    backend: str
    server: str
    status: int
    response_ms: int
    end: str


def answers(
    home: Home, backend: str, releases: Mapping[str, int], since_at: datetime, until_at: datetime
) -> dict[int, Answers]:
    """Release → what became of the requests to its servers that ended within the time. `releases`: by the name of a
    server of the backend."""
    query = LogQuery(instance=home.engine_logs.name, process=HAPROXY, since_at=since_at)
    mark = f'"backend":"{backend}"'
    found: dict[int, list[tuple[bool, int]]] = defaultdict(list)
    for line in log.read(home.engine_logs.parent, query):
        if line.at > until_at or mark not in line.text:
            continue
        try:
            seen = msgspec.json.decode(line.text, type=_Line)
        except msgspec.DecodeError:
            continue
        if seen.server in releases and not seen.end.startswith("C"):
            error = seen.status >= FIRST_ERROR or seen.response_ms < 0
            found[releases[seen.server]].append((error, seen.response_ms))
    return {release: tally(each) for release, each in found.items()}
