"""What instances of the local engine wrote, straight from disk: the daemon needn't run. Called by `engine`, wiring."""

from collections.abc import Iterator

from homeport.instance import log
from homeport.ports.engine import LogLine, LogQuery
from homeport.system.home import Home


def read_logs(home: Home, environment: str, query: LogQuery, *, follow: bool) -> Iterator[LogLine]:
    def wanted(instance: str) -> bool:
        if query.app and log.app_of(home.logs / environment / instance) != query.app:
            return False
        return query.group in ("", instance.rpartition("-")[0])

    return log.read(home.logs / environment, query, follow=follow, wanted=wanted)
