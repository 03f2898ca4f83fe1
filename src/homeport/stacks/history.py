"""Every operation on a stack, kept in the object store: who, when, why, what was planned and sent, how it ended. Called
by `apply` and by `stack history`.

    _stacks/<account>/<region>/<name>/000007/begun    written before anything is done
    _stacks/<account>/<region>/<name>/000007/ended
"""

from typing import TypeVar

import msgspec
from msgspec.structs import replace

from homeport.errors import Conflict, Failed, NotFound
from homeport.model.stack import Target
from homeport.model.stack_history import Begun, Ended, Operated
from homeport.plan.mistake import instead
from homeport.ports.objects import ObjectStore
from homeport.system.effect import effect

T = TypeVar("T")
TRIES = 20
"""Others may be writing numbers too; CloudFormation lets only one of them through."""


class History:
    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def begin(self, operation: Begun) -> int:
        """The number under which it is kept."""
        plan = operation.plan
        for _ in range(TRIES):
            number = max(self.numbers(plan.target, plan.name), default=0) + 1
            try:
                self._begin(replace(operation, number=number))
                return number
            except Conflict:
                continue
        raise Failed(f"{plan.id}: no number for its history after {TRIES} tries")

    @effect("stack_history.begin")
    def _begin(self, operation: Begun) -> None:
        key = f"{_prefix(operation.plan.target, operation.plan.name)}{operation.number:06d}/begun"
        self.store.create(key, msgspec.json.encode(operation))

    @effect("stack_history.end")
    def end(self, target: Target, name: str, number: int, ended: Ended) -> None:
        self.store.create(f"{_prefix(target, name)}{number:06d}/ended", msgspec.json.encode(ended))

    def numbers(self, target: Target, name: str) -> list[int]:
        """Ascending."""
        return sorted({number for number, _ in _parts(self.store.list(_prefix(target, name)))})

    def get(self, target: Target, name: str, number: int) -> Operated:
        """Raises `NotFound`, and `Failed` for what can't be read."""
        prefix = f"{_prefix(target, name)}{number:06d}/"
        try:
            begun = _read(self.store.get(f"{prefix}begun"), Begun, prefix)
        except NotFound as error:
            there = map(str, self.numbers(target, name))
            raise NotFound(f"{name} has no operation {number}{instead(str(number), there)}") from error
        try:
            ended = _read(self.store.get(f"{prefix}ended"), Ended, prefix)
        except NotFound:
            return Operated(begun=begun)
        return Operated(begun=begun, ended=ended)

    def last(self, target: Target, name: str, count: int) -> list[Operated]:
        """The newest first."""
        return [self.get(target, name, number) for number in reversed(self.numbers(target, name)[-count:])]

    def to_last_end(self, target: Target, name: str) -> list[Operated]:
        """The newest first: those whose end nobody saw, and the one before, which has one."""
        found: list[Operated] = []
        for number in reversed(self.numbers(target, name)):
            found.append(self.get(target, name, number))
            if found[-1].ended is not None:
                break
        return found


def _prefix(target: Target, name: str) -> str:
    return f"_stacks/{target.account}/{target.region}/{name}/"


def _parts(keys: list[str]) -> list[tuple[int, str]]:
    found = (key.split("/")[-2:] for key in keys)
    return [(int(number), what) for number, what in found if number.isdigit()]


def _read(data: bytes, kind: type[T], where: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failed(f"{where} can't be read: {error}") from error
