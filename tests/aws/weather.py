"""What goes wrong between a driver and AWS, as tests arrange it: throttling, errors, answers that get lost or lag,
credentials that end. Set as `Door.weather`; callers with other access keys have sun."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from homeport.simulation.aws.service import READING, Application, Knock
from homeport.simulation.aws.simulator import Simulator

DRIVER = "AKIAI44QH8DHBEXAMPLE"
"""Access key of who has this weather: the simulator's own clients have another."""
Fault = Callable[[Knock], "tuple[str, str, int] | None"]
"""Code, words and status of what is answered instead; None: the call goes through."""


class Weather:
    """`refused`: instead of carrying it out; `lost`: it is carried out, and this is answered. `lag`: so many times an
    answer to a question is as it was before. `seen`: what was done with calls, by operation."""

    def __init__(self, *, refused: Fault | None = None, lost: Fault | None = None, lag: int = 0) -> None:
        self.refused = refused
        self.lost = lost
        self.lag = lag
        self.seen: Counter[str] = Counter()
        self._old: dict[tuple[str, bytes], list[Any]] = {}

    def __call__(self, knock: Knock, application: Application) -> Application:
        if knock.key != DRIVER:
            return application
        found = self.refused(knock) if self.refused is not None else None
        if found is not None:
            self.seen[f"refused {knock.service}.{knock.operation or knock.path}"] += 1
            return knock.refusal(*found)
        found = self.lost(knock) if self.lost is not None else None
        if found is not None:
            self.seen[f"lost {knock.service}.{knock.operation or knock.path}"] += 1
            refusal = knock.refusal(*found)

            def carried_out(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
                list(application(environ, lambda *_: lambda _: None))
                return refusal(environ, start)

            return carried_out
        if self.lag and knock.operation.startswith(READING):
            return self._late(knock, application)
        return application

    def _late(self, knock: Knock, application: Application) -> Application:
        """An answer that differs from the one before is given only when it was asked for so many times more."""

        def answered(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            heads: list[Any] = []
            body = b"".join(application(environ, lambda *head: heads.append(head) or (lambda _: None)))
            kept = self._old.setdefault((f"{knock.service}.{knock.operation}", knock.body), [heads[0], body, 0])
            if body != kept[1] and kept[2] < self.lag:
                kept[2] += 1
                self.seen[f"lagged {knock.service}.{knock.operation}"] += 1
            else:
                kept[:] = [heads[0], body, 0]
            start(*kept[0])
            return [kept[1]]

        return answered


@contextmanager
def weather(aws: Simulator, made: Weather) -> Iterator[Mapping[str, str]]:
    """The variables of a driver who has it."""
    aws.door.weather = made
    try:
        yield aws.variables | {"AWS_ACCESS_KEY_ID": DRIVER}
    finally:
        aws.door.weather = None
