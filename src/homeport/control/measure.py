"""What a canary's requests came to, asked of the engine once per look. Called by `control.deployment`."""

from datetime import datetime

from homeport.model.canary import Answers
from homeport.model.deployment import Deployment
from homeport.model.platform import Place
from homeport.plan.canary_step import canaries, look_at
from homeport.ports.engine import Engine

Measured = dict[str, tuple[Answers, Answers]]


class Measure:
    """Of one app in one environment."""

    def __init__(self, place: Place, engine: Engine) -> None:
        self.place = place
        self.engine = engine
        self._last: tuple[datetime | None, Measured] = (None, {})

    def look(self, deployment: Deployment, now: datetime) -> tuple[datetime | None, Measured]:
        """Until when it counts, and group → answers of the old and the new release since the step began; (None, {}):
        there is nothing to look at. Raises `Unavailable`."""
        until_at = look_at(deployment, now)
        if until_at is None:
            return None, {}
        if self._last[0] != until_at:
            self._last = (until_at, self._ask(deployment, until_at))
        return self._last

    def _ask(self, deployment: Deployment, until_at: datetime) -> Measured:
        started, since_at = deployment.started, deployment.step_since_at
        assert since_at is not None
        found: Measured = {}
        for change in canaries(deployment):
            answers = self.engine.answers(self.place.id, started.app, change.name, since_at=since_at, until_at=until_at)
            old = Answers() if started.previous is None else answers.get(started.previous, Answers())
            found[change.name] = (old, answers.get(started.release, Answers()))
        return found
