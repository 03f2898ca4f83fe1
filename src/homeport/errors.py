"""Every error that leaves a room.

    HomeportError
    ├── Invalid      the user can mend it                        exit 2   HTTP 400
    │   └── NotAllowed   with other credentials                  exit 2   HTTP 400
    ├── NotFound     what was named isn't there                  exit 3   HTTP 404
    │   └── NotUp    an environment                              exit 3   HTTP 404
    ├── Conflict     somebody or something else was first        exit 4   HTTP 409
    ├── Unavailable  try again, perhaps after `retry_after`      exit 5   HTTP 503
    │   └── NoStore      the object store's bucket isn't there   exit 5   HTTP 503
    ├── Failed       it was done, and the answer is no           exit 6   HTTP 422
    └── Bug          ours; please report                         exit 70  HTTP 500

A message says what, on which id, expected and got; `hint` is the next thing to type. Nobody branches on the text:
branch on the type or on a field.
"""

from datetime import timedelta
from typing import ClassVar

CHANGES_EXIT_CODE = 10


class HomeportError(Exception):
    """Base of all. `details` holds further lines to show (log tails, lists of problems)."""

    exit_code: ClassVar[int] = 70
    http_status: ClassVar[int] = 500
    kind: ClassVar[str] = "bug"

    def __init__(self, message: str, *, hint: str | None = None, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return self.message


class _MayPass(HomeportError):
    """`retry_after`: when it may be otherwise."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        details: tuple[str, ...] = (),
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.retry_after = retry_after


class Invalid(HomeportError):
    """The input is wrong and the user can mend it."""

    exit_code = 2
    http_status = 400
    kind = "invalid"


class NotAllowed(Invalid):
    """These credentials aren't allowed to; nothing was changed."""


class NotFound(HomeportError):
    """What was named isn't there."""

    exit_code = 3
    http_status = 404
    kind = "not_found"


class NotUp(NotFound):
    """Nothing is known of that environment where it would be run. Parts of it may stand all the same."""


class Conflict(_MayPass):
    """Somebody or something else was first: a lease, a taken port, a number already written. `retry_after`: so long
    whoever was first may be dead without anybody knowing it; None: it isn't about that."""

    exit_code = 4
    http_status = 409
    kind = "conflict"


class Unavailable(_MayPass):
    """A part that is needed doesn't answer; nothing was changed. `retry_after` is None where waiting won't help."""

    exit_code = 5
    http_status = 503
    kind = "unavailable"


class NoStore(Unavailable):
    """The bucket of the object store isn't there."""


class Failed(HomeportError):
    """It was carried out, and the answer is no: a build, a deployment's verdict."""

    exit_code = 6
    http_status = 422
    kind = "failed"


class Bug(HomeportError):
    """A state that the code says can't be. Please report it."""


BY_KIND: dict[str, type[HomeportError]] = {
    each.kind: each for each in (Invalid, NotFound, Conflict, Unavailable, Failed, Bug)
}
