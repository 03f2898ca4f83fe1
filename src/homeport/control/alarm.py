"""Asks alarms while a release bakes: URLs and metrics, each in a thread of its own, so that one which hangs keeps
neither the loop nor the others. What an answer means says `plan.alarm`. Called by `control.deployment`."""

import threading
from datetime import datetime, timedelta

from msgspec.structs import replace

from homeport.errors import HomeportError
from homeport.model.alarm import Alarm, Reading
from homeport.model.deployment import Deployment
from homeport.model.platform import Place
from homeport.plan.alarm import EVERY, asked, metric_reading
from homeport.ports.clock import Clock
from homeport.ports.engine import Engine


class Alarms:
    """Of one app in one environment. `look` is called from one thread."""

    def __init__(self, place: Place, engine: Engine, clock: Clock) -> None:
        self.place = place
        self.engine = engine
        self.clock = clock
        self._lock = threading.Lock()
        self._number = 0
        self._readings: dict[str, Reading] = {}
        self._asking: set[str] = set()

    def look(self, deployment: Deployment, balanced: frozenset[str]) -> tuple[Reading, ...]:
        """The last answers since the bake time began. What is due is asked, and will be known at a later look."""
        alarms = asked(deployment)
        if not alarms:
            return ()
        now = self.clock.now()
        with self._lock:
            if self._number != deployment.started.number:
                self._number = deployment.started.number
                self._readings.clear()
                self._asking.clear()
            known = tuple(self._readings.values())
            due = [each for each in alarms if each.name not in self._asking and self._is_due(each, now)]
            self._asking |= {each.name for each in due}
        for each in due:
            work = threading.Thread(
                target=self._ask, args=(each, deployment, balanced), name=f"alarm {each.name}", daemon=True
            )
            work.start()
        return known

    def _is_due(self, alarm: Alarm, now: datetime) -> bool:
        last = self._readings.get(alarm.name)
        return last is None or now - last.at >= EVERY

    def _ask(self, alarm: Alarm, deployment: Deployment, balanced: frozenset[str]) -> None:
        at = self.clock.now()
        if alarm.url is not None:
            found = ask_url(alarm, alarm.url, at)
        else:
            found = self._measure(alarm, deployment, balanced, at)
        with self._lock:
            if self._number != deployment.started.number:
                return
            last = self._readings.get(alarm.name)
            in_row = (last.in_row if last is not None else 0) + 1 if found.rings else 0
            self._readings[alarm.name] = replace(found, in_row=in_row)
            self._asking.discard(alarm.name)

    def _measure(self, alarm: Alarm, deployment: Deployment, balanced: frozenset[str], at: datetime) -> Reading:
        started, until_at = deployment.started, deployment.bake_until_at
        assert until_at is not None
        since_at = until_at - started.bake
        groups = sorted(balanced) if alarm.group is None else [alarm.group]
        try:
            answers = [
                self.engine.answers(self.place.id, started.app, each, since_at=since_at, until_at=at).get(
                    started.release
                )
                for each in groups
            ]
        except HomeportError as error:
            return Reading(alarm=alarm.name, at=at, unknown=error.message)
        return metric_reading(alarm, [each for each in answers if each is not None], at)


def ask_url(alarm: Alarm, url: str, at: datetime) -> Reading:
    """GET, redirects followed, without a proxy: 2xx is well, any other status rings; no answer is none."""
    import urllib.error
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"User-Agent": "Homeport"})
    try:
        with opener.open(request, timeout=alarm.timeout / timedelta(seconds=1)) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        error.close()
        status = error.code
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        return Reading(alarm=alarm.name, at=at, unknown=f"GET {url}: {why}")
    if 200 <= status < 300:
        return Reading(alarm=alarm.name, at=at)
    return Reading(alarm=alarm.name, at=at, rings=f"GET {url} answers {status}, expected 2xx")
