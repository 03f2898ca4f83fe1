"""In place, on one port: the old generation is stopped, the new one started, and the old one again where that fails.

Called by `agent.main`, by one agent at a time. What is about to be done stands in the record before it is done, so that
whoever is killed here is succeeded by the next call: of the same release, it goes on; of another one, it begins anew.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from homeport.agent.fetch import complete
from homeport.agent.generation import Generations
from homeport.agent.health import look, wait
from homeport.agent.record import Bound, Generation, Record, Records, Refusal
from homeport.errors import Failed, HomeportError
from homeport.instance.release import sweep
from homeport.plan.release_url import parse
from homeport.stores.objects import open_store
from homeport.system.effect import effect

Say = Callable[[str], None]


class Deployment:
    """`instance`, `zone`, `listen`: of this server, for every generation from now on."""

    def __init__(
        self, records: Records, generations: Generations, *, instance: str, zone: str, listen: str, say: Say
    ) -> None:
        self.records = records
        self.generations = generations
        self.instance = instance
        self.zone = zone
        self.listen = listen
        self.say = say

    def deploy(self, wanted: Bound, *, patient: bool = False) -> Generation:
        """The generation of that release that serves. Raises `Failed` where it doesn't become healthy: the old one
        serves again then; any other error before something was stopped. `patient`: its processes may end and begin
        again as often as they like in the grace time: what they need may be coming up as well."""
        record = self.records.load()
        if record.refused is not None and record.refused.bound == wanted:
            self.say(f"{wanted.name} was refused a moment ago: going on with the way back")
            raise self._go_back(record, record.refused)
        generation = self._new(record, wanted)
        if self._serves(record, generation):
            assert record.generation is not None
            self.say(f"{wanted.name} runs already")
            self._settle(record, stopped=False)  # whoever began it may have been killed at the very end
            return record.generation
        self._restore(wanted)
        self.generations.check(generation, record.generation)
        record = self.records.save(replace(record, trying=wanted, refused=None))
        refusal = self._bring(record, generation, patient=patient)
        record = self.records.load()
        if refusal is not None:
            raise self._go_back(record, refusal)
        record = self._settle(record, good=wanted, stopped=False)
        assert record.generation is not None
        return record.generation

    def stop(self) -> Generation | None:
        """What ran and has ended; None: nothing did."""
        record = self.records.load()
        record = self.records.save(replace(record, trying=None, refused=None, stopped=True))
        living = self.generations.pid(record.generation)
        if record.generation is None:
            return None
        self._end(record.generation)
        self.records.save(replace(record, generation=None))
        return record.generation if living is not None else None

    # --- inside -------------------------------------------------------------------------------------------------------

    def _new(self, record: Record, bound: Bound) -> Generation:
        return self.generations.new(record.last + 1, bound, instance=self.instance, zone=self.zone, listen=self.listen)

    def _serves(self, record: Record, generation: Generation) -> bool:
        running = record.generation
        return (
            record.good == generation.bound
            and running is not None
            and running.like(generation)
            and look(self.generations, running).well
        )

    def _bring(self, record: Record, generation: Generation, *, patient: bool = True) -> Refusal | None:
        """It runs instead of what ran, and is healthy: None."""
        running = record.generation
        try:
            if running is None or not running.like(generation) or self.generations.pid(running) is None:
                generation = self._replace(record, generation)
            else:
                generation = running
                self.say(f"{generation.bound.name} was started before: going on")
            self.say(f"waiting until {generation.bound.name} is healthy")
            return wait(self.generations, generation, patient=patient)
        except HomeportError as error:
            return Refusal(
                bound=generation.bound,
                reason=f"{generation.bound.name} can't be started: {error.message}",
                details=error.details,
                hint=error.hint,
            )

    def _replace(self, record: Record, generation: Generation) -> Generation:
        """The generation, begun; what ran before has ended."""
        if record.generation is not None:
            self._end(record.generation)
        self.generations.check_ports(generation)
        generation = replace(generation, begun_at=self.generations.clock.now())
        record = self.records.save(replace(record, generation=generation, last=generation.number))
        self.say(f"starting {generation.bound.name} (generation {generation.number})")
        begun = self.generations.start(generation)
        self.records.save(replace(record, generation=begun))
        return begun

    def _end(self, generation: Generation) -> None:
        if self.generations.pid(generation) is not None:
            self.say(f"stopping {generation.bound.name} (generation {generation.number})")
        self.generations.stop(generation)

    def _go_back(self, record: Record, refusal: Refusal) -> Failed:
        """The error that says how it went; what served before serves again, if anything did."""
        record = self.records.save(replace(record, trying=None, refused=refusal))
        old = record.good
        if record.stopped or old is None:
            if record.generation is not None:
                self._end(record.generation)
            self._settle(record, generation=None)
            return _failed(refusal, "nothing served on this server before, and nothing runs on it now")
        if old == refusal.bound:
            # It was good once, and may become so again: what it needs is perhaps away.
            self._settle(record)
            runs = self.generations.pid(record.generation) is not None
            return _failed(refusal, "it was good before: it is left running" if runs else "nothing runs now")
        self.say(f"going back to {old.name}")
        try:
            self._restore(old)
            again = self._bring(record, self._new(record, old))
        except HomeportError as error:
            again = Refusal(bound=old, reason=error.message, details=error.details)
        self._settle(self.records.load())
        if again is None:
            return _failed(refusal, f"{old.name} serves again")
        details = (*refusal.details, again.reason, *again.details)
        return _failed(replace(refusal, details=details), f"and {old.name} doesn't serve either: {again.reason}")

    def _restore(self, bound: Bound) -> None:
        """Its layers are there, also where somebody removed them."""
        layers = self.generations.home.layers
        if not all((layers / each.sha256).is_dir() for each in bound.release.slug.layers):
            complete(open_store(parse(bound.url).store), layers, bound.release, self.say)

    def _settle(self, record: Record, **fields: object) -> Record:
        """Nothing is left half done."""
        record = self.records.save(replace(record, trying=None, refused=None, **fields))
        self._clean(record)
        return record

    def _clean(self, record: Record) -> None:
        """Only what the record speaks of is left of layers, and of other instances that this one was called."""
        home = self.generations.home
        running = record.generation
        bound = (record.good, running.bound if running is not None else None)
        layers = {layer.sha256 for each in bound if each is not None for layer in each.release.slug.layers}
        instances = {self.instance, running.instance if running is not None else self.instance}
        sweep(home.layers)
        for directory, kept in ((home.layers, layers), (home.instances, instances)):
            for path in directory.iterdir():
                if path.name not in kept:
                    _remove(path)


def _failed(refusal: Refusal, consequence: str) -> Failed:
    return Failed(f"{refusal.reason}; {consequence}", details=refusal.details, hint=refusal.hint)


@effect("agent.remove")
def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
