"""What instances left when they went, or when they refused a release: why, and what their processes wrote. Used by
`engine` and `log`."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from homeport.engines.aws import answer
from homeport.engines.aws.fleet import Pool
from homeport.engines.aws.kept import Kept
from homeport.errors import NotFound
from homeport.instance.log import matcher
from homeport.model.fleet import Instance
from homeport.model.platform import Place
from homeport.plan.last_words import LastWords, last_words_key, last_words_prefix, left_log_prefix
from homeport.ports.engine import LogLine, LogQuery
from homeport.ports.objects import Entry, ObjectStore
from homeport.releases.catalogue import Catalogue

WORDS_COUNT = timedelta(hours=1)
"""So long an instance's last words are told."""
AGENT = "homeport-agent"


class Left:
    """Of one environment."""

    def __init__(self, place: Place, *, store: ObjectStore, catalogue: Catalogue) -> None:
        self._place = place
        self._store = store
        self._catalogue = catalogue
        self._words: dict[str, LastWords] = {}
        self._entries: dict[str, tuple[frozenset[str] | None, Sequence[Entry]]] = {}
        """App → what there was, and who was in service then; None: somebody wasn't."""

    def ended(self, kept: Kept, pools: Sequence[Pool], now: datetime) -> Iterator[Instance]:
        """Those that left word why they never got ready."""
        living = {each.id for pool in pools for each in pool.members}
        began = {each.instance: each.at for pool in pools for each in pool.activities if each.what == "launch"}
        for app in kept.fences:
            prefix = last_words_prefix(app, self._place.name)
            for entry in self._there(app, prefix, [each for each in pools if each.app == app]):
                id_ = entry.key.removeprefix(prefix)
                if id_ in living or now - entry.modified_at > WORDS_COUNT:
                    continue
                if entry.key not in self._words:
                    self._words[entry.key] = msgspec.json.decode(self._store.get(entry.key), type=LastWords)
                words = self._words[entry.key]
                pointed = self._catalogue.launch(app, self._place.name, words.group)
                yield answer.ended(words, app, words.release or pointed or 0, began.get(id_))

    def lines(self, kept: Kept, query: LogQuery) -> list[LogLine]:
        """What the query's one instance left, oldest first; empty: nothing. Raises `Invalid` for a pattern that is
        none."""
        matches = matcher(query)
        found = [
            line
            for line in (*self._log(kept, query.instance), *self._said(kept, query.instance))
            if query.process in ("", line.process) and matches(line)
        ]
        return found if query.last is None else found[-query.last :]

    # --- inside -------------------------------------------------------------------------------------------------------

    def _there(self, app: str, prefix: str, pools: Sequence[Pool]) -> Sequence[Entry]:
        """Nobody leaves a word while all are in service, and the same as before."""
        settled = all(each.whole for each in pools)
        seen = frozenset(each.id for pool in pools for each in pool.members) if settled else None
        known = self._entries.get(app)
        if known is None or seen is None or known[0] != seen:
            known = self._entries[app] = (seen, self._store.entries(prefix))
        return known[1]

    def _log(self, kept: Kept, instance: str) -> list[LogLine]:
        keys = (
            key
            for app in kept.fences
            for key in sorted(self._store.list(left_log_prefix(app, self._place.name, instance)))
        )
        found = [line for key in keys for line in parsed(self._store.get(key).decode(errors="replace"), instance)]
        return sorted(found, key=lambda each: each.at)

    def _said(self, kept: Kept, id_: str) -> list[LogLine]:
        """Why it never got ready, or refused what it was told."""
        instance, _, refused = id_.partition(":")
        turn = kept.turns.get(instance)
        if refused and turn is not None and turn.failed:
            return _lines(turn.ended_at or turn.begun_at, id_, turn.lines)
        for app in kept.fences:
            try:
                data = self._store.get(last_words_key(app, self._place.name, instance))
            except NotFound:
                continue
            words = msgspec.json.decode(data, type=LastWords)
            return _lines(words.at, id_, (words.message, *words.details))
        return []


def parsed(text: str, instance: str) -> Iterator[LogLine]:
    """As the instance's agent writes them, a line a document."""
    for each in text.split("\n"):  # other ends of lines may stand in what an app wrote
        try:
            yield replace(msgspec.json.decode(each, type=LogLine), instance=instance)
        except msgspec.DecodeError:
            continue  # cut off in the middle


def refused(living: Sequence[Instance], kept: Kept, now: datetime) -> Iterator[Instance]:
    """Generations that never came to run."""
    for each in living:
        turn = kept.turns.get(each.id)
        if turn is not None and turn.failed and turn.ended_at is not None and now - turn.ended_at < WORDS_COUNT:
            yield answer.refused(each, turn)


def _lines(at: datetime, instance: str, texts: Sequence[str]) -> list[LogLine]:
    return [LogLine(at=at, instance=instance, process=AGENT, text=each) for each in texts]
