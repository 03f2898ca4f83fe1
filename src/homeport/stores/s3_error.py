"""What S3 and obstore say when something goes wrong, as Homeport's errors. Called by `s3` alone.

obstore keeps the HTTP status and S3's error code only in its text: this is the one place that reads it.
"""

import re
from datetime import timedelta

from msgspec import Struct
from obstore.exceptions import AlreadyExistsError

from homeport.errors import Conflict, HomeportError, NoStore, NotAllowed, NotFound, Unavailable

AGAIN = timedelta(seconds=5)
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_METADATA = "/latest/api/token"
"""Part of the URL at which an EC2 instance gets the credentials of its role."""

_REDIRECT = "redirect without LOCATION"
"""What obstore makes of the answer of another region."""


class Trouble(Struct, frozen=True):
    """Of a kind that waiting doesn't mend, but the user. `{bucket}` and `{origin}` (of the credentials) are filled."""

    what: str
    hint: str


_NO_BUCKET = Trouble("there is no bucket {bucket}", "aws s3 mb s3://{bucket}   # or bring it back, or name another")
_DENIED = Trouble(
    "access denied (credentials: {origin})",
    "allow s3:GetObject, PutObject, DeleteObject and ListBucket on {bucket} and what is in it",
)
_WRONG_KEY = Trouble("the credentials are wrong ({origin})", "aws sts get-caller-identity")
_EXPIRED = Trouble("the credentials have expired ({origin})", "get new ones; then: homeport engine restart")
_NO_CREDENTIALS = Trouble(
    "there are no credentials; tried last: {origin}",
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
)
_REGION = Trouble(
    "bucket {bucket} is in another region", "aws s3api get-bucket-location --bucket {bucket}; AWS_REGION=…"
)
_CLOCK = Trouble("this machine's clock is wrong", "timedatectl")

_BY_CODE = {
    "NoSuchBucket": _NO_BUCKET,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "InvalidAccessKeyId": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_KEY,
    "InvalidToken": _WRONG_KEY,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "RequestTimeTooSkewed": _CLOCK,
}
_BY_STATUS = {401: _DENIED, 403: _DENIED}


def code_of(error: BaseException) -> str:
    """S3's error code; empty where the answer had none, such as that to HEAD."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def translated(
    error: Exception, *, store: str, bucket: str, doing: str, missing: str | None, origin: str, writes: bool = False
) -> HomeportError:
    """`missing`: the key that there isn't, where the answer is 404 without a reason of its own. `writes`: refused, it
    is `NotAllowed`, since who asked may only look; a store that can't be read is as good as away for who needs it."""
    text = str(error)
    said = text.partition("\n\nDebug source:")[0]
    found = _STATUS.search(said)
    status, code = int(found[1]) if found else None, code_of(error)
    start = f"object store {store}: can't {doing}"
    if isinstance(error, AlreadyExistsError):
        return Conflict(f"{start}: it exists already")
    trouble = _BY_CODE.get(code) or (_BY_STATUS.get(status) if status else None)
    if _REDIRECT in said:
        trouble = _REGION
    if _METADATA in said:
        trouble = _NO_CREDENTIALS
    if trouble is not None:
        what, hint = (each.format(bucket=bucket, origin=origin) for each in (trouble.what, trouble.hint))
        if trouble is _DENIED and writes:
            return NotAllowed(f"{start}: {what}", hint=hint, details=_short(said))
        kind = NoStore if trouble is _NO_BUCKET else Unavailable
        return kind(f"{start}: {what}", hint=hint, details=_short(said))
    if status == 404 and missing is not None:
        return NotFound(f"object store {store}: there is no {missing}")
    if status is None:
        why = "it doesn't answer"
    elif status == 429 or code == "SlowDown":
        why = "it wants fewer requests"
    else:
        why = f"it answered {status}{f' ({code})' if code else ''}"
    again = status is None or status == 429 or status >= 500
    return Unavailable(
        f"{start}: {why}",
        hint="try again in a moment" if again else None,
        details=_short(said),
        retry_after=AGAIN if again else None,
    )


def _short(said: str) -> tuple[str, ...]:
    """The first line, without the document that S3 may have sent."""
    line = said.partition("\n")[0].partition(": <?xml")[0].partition(": <Error")[0].rstrip(": ")
    return (line[:400],)
