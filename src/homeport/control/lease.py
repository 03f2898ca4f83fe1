"""The lease: who may change an app's things in an environment. Rules: `plan.lease`. Used by `control.deployment`."""

import contextlib

import msgspec

from homeport.errors import Conflict, NotAllowed, NotFound, Unavailable
from homeport.plan.lease import BEAT_EVERY, TIME_TO_LIVE, Beat, LeaseView, beat_key, read_lease, released_key
from homeport.ports.clock import Clock
from homeport.ports.objects import ObjectStore
from homeport.system.effect import effect


class Lease:
    """One app's lease in one environment, as seen and held by one control plane.

    `holder` names the control plane: the same name again means the same lock file, so whoever holds that lock knows
    that the former holder of this name is dead, and needn't wait for the time-to-live."""

    def __init__(self, store: ObjectStore, app: str, environment: str, *, holder: str, clock: Clock) -> None:
        self.store = store
        self.prefix = f"{app}/{environment}/lease/"
        self.what = f"{app} in {environment}"
        self.holder = holder
        self.clock = clock
        self.fence = 0
        self.held = False
        self._beat = 0
        self._by = ""
        self._beaten_at = 0.0
        self._watched: tuple[str, float] = ("", 0.0)

    def take(self, by: str) -> int:
        """The fence under which to write. Raises `Conflict` saying who holds it and since when; calling again after the
        time-to-live takes over from a holder that sent no beat meanwhile."""
        if self.held:
            raise Conflict(
                f"{self.what} is being changed by {self._by}", hint="homeport deployment list, or wait and try again"
            )
        view = read_lease(self.store.list(self.prefix))
        if not view.released:
            self._refuse_unless_dead(view)
        self.fence, self._beat, self._by = view.fence + 1, 0, by
        try:
            self._write(self._beat)
        except Conflict as error:
            raise Conflict(f"{self.what}: somebody else took the lease just now", hint="try again") from error
        self.held = True
        return self.fence

    def was_left(self) -> bool:
        """Whether a holder of this name was killed while it held it."""
        view = read_lease(self.store.list(self.prefix))
        return not self.held and not view.released and self._content(view).holder == self.holder

    def is_anothers(self) -> bool:
        """Whether somebody else holds it, who may be dead."""
        return not self.held and not read_lease(self.store.list(self.prefix)).released

    def beat(self) -> None:
        """Shows that the holder lives, where a beat is due. Raises `Conflict` where the lease was taken over,
        `Unavailable` where the store doesn't answer."""
        if not self.held or self.clock.monotonic() - self._beaten_at < BEAT_EVERY.total_seconds():
            return
        newest = read_lease(self.store.list(self.prefix)).fence
        if newest > self.fence:
            self.held = False
            raise Conflict(f"the lease of {self.what} was taken over: fence {newest}, ours was {self.fence}")
        try:
            self._write(self._beat + 1)
        except Conflict:
            # Nobody else writes under this fence: it is a beat of ours whose answer got lost, and may be old.
            self._beat += 1
            self._write(self._beat + 1)
        self._beat += 1
        remove_beat(self.store, beat_key(self.prefix, self.fence, self._beat - 1))

    @property
    def may_act(self) -> bool:
        """Held, and beaten within half the time-to-live."""
        return self.held and self.clock.monotonic() - self._beaten_at < TIME_TO_LIVE.total_seconds() / 2

    def release(self) -> None:
        """Ended at once for everybody; harmless to repeat."""
        if self.held:
            with contextlib.suppress(Conflict):  # an answer got lost
                create_beat(self.store, released_key(self.prefix, self.fence), b"{}")
            self.held = False
            remove_beat(self.store, beat_key(self.prefix, self.fence, self._beat))

    def _write(self, beat: int) -> None:
        content = Beat(holder=self.holder, by=self._by, since_at=self.clock.now().isoformat(timespec="seconds"))
        create_beat(self.store, beat_key(self.prefix, self.fence, beat), msgspec.json.encode(content))
        self._beaten_at = self.clock.monotonic()

    def _refuse_unless_dead(self, view: LeaseView) -> None:
        content = self._content(view)
        if content.holder == self.holder:
            return
        now = self.clock.monotonic()
        if self._watched[0] != view.last_key:
            self._watched = (view.last_key, now)
        if now - self._watched[1] >= TIME_TO_LIVE.total_seconds():
            return
        raise Conflict(
            f"{self.what} is being changed by {content.by} ({content.holder}), last sign of life {content.since_at}",
            hint=f"try again: after {TIME_TO_LIVE.total_seconds():g} s without a sign of life it is taken over",
            retry_after=TIME_TO_LIVE,
        )

    def _content(self, view: LeaseView) -> Beat:
        try:
            return msgspec.json.decode(self.store.get(view.last_key), type=Beat)
        except (NotFound, msgspec.DecodeError):
            return Beat(holder="?", by="somebody", since_at="?")


@effect("lease.beat")
def create_beat(store: ObjectStore, key: str, data: bytes) -> None:
    store.create(key, data)


@effect("lease.remove_beat")
def remove_beat(store: ObjectStore, key: str) -> None:
    """Old beats are only clutter: a store that doesn't answer now, or lets nobody delete, keeps them."""
    with contextlib.suppress(Unavailable, NotAllowed):
        store.delete(key)
