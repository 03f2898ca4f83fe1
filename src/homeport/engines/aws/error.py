"""What boto3 raises, as Homeport's errors: translated here, once. Used by the adapters beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from botocore import exceptions
from botocore.parsers import ResponseParserError

from homeport.errors import Conflict, HomeportError, Invalid, NotAllowed, NotFound, Unavailable

LOGIN = (
    "AWS_PROFILE=… with keys of its own, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; with SSO: aws sso login, then "
    'eval "$(aws configure export-credentials --format env)"'
)
NETWORK = "look at this machine's network and the variables HTTPS_PROXY and AWS_ENDPOINT_URL, then try again"
ALLOW = "an administrator makes the role that may: homeport operator"
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
UNKNOWN_KEY = {
    "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure",
    "InvalidAccessKeyId", "IncompleteSignature",
}  # fmt: skip
NOT_ENABLED = {"OptInRequired", "SubscriptionRequiredException"}
"""Of a region or a service that an account has to be signed up for."""
FORBIDDEN = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled", "403"}
THROTTLED = {
    "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException",
    "RequestThrottled", "RequestThrottledException", "SlowDown", "PriorRequestNotComplete",
}  # fmt: skip
MISSING = {
    "ChangeSetNotFound", "ChangeSetNotFoundException", "StackNotFoundException", "ParameterNotFound",
    "ResourceNotFoundException", "RepositoryNotFoundException", "ImageNotFoundException", "NoSuchBucket", "NoSuchKey",
    "InvalidGroup.NotFound", "InvalidAMIID.NotFound", "InvalidInstanceID.NotFound", "InvalidInstanceId",
    "InvalidTarget", "InvalidCommandId", "404",
}  # fmt: skip
BUSY = {
    "AlreadyExistsException", "InvalidChangeSetStatus", "InvalidChangeSetStatusException",
    "OperationInProgressException", "OperationIdAlreadyExistsException", "TokenAlreadyExistsException",
    "ScalingActivityInProgress",
}  # fmt: skip
NO_ROOM = {"InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet", "Unsupported"}
"""What EC2 says of one zone, or one subnet ("Your requested instance type is not supported in your requested
Availability Zone"): another may do."""
NOT_THERE, NOT_NOW = "does not exist", " state and can"
"""Parts of messages of ValidationError, by which alone CloudFormation tells these cases from others."""
RETRY = timedelta(seconds=5)
NO_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.ProfileNotFound,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
    exceptions.NoAuthTokenError,
)
NO_NETWORK = (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.ProxyConnectionError)


class NoRoom(Unavailable):
    """EC2 launches nothing there now, and has launched nothing."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """`what` is being asked for: begins the message."""
    try:
        yield
    except exceptions.ClientError as error:
        raise of_service(what, error) from error
    except NO_CREDENTIALS as error:
        raise Invalid(f"{what}: no credentials for AWS: {error}", hint=LOGIN) from error
    except NO_NETWORK as error:
        raise Unavailable(f"{what}: can't reach AWS: {error}", hint=NETWORK) from error
    except exceptions.NoRegionError as error:
        raise Invalid(f"{what}: no region is stated") from error
    except exceptions.ParamValidationError as error:
        raise Invalid(f"{what}: {error}") from error
    except ResponseParserError as error:
        said = str(error).splitlines() or [""]
        raise Unavailable(f"{what}: what answers isn't AWS: {said[0][:200]}", details=(said[-1][:400],)) from error
    except exceptions.BotoCoreError as error:
        raise Unavailable(f"{what}: {error}") from error


def of_service(what: str, error: exceptions.ClientError) -> HomeportError:
    """What an answer with an error means."""
    said = error.response.get("Error", {})
    code, text = str(said.get("Code", "")), str(said.get("Message", "")) or str(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in EXPIRED:
        return Invalid(f"{what}: the credentials are expired", hint=LOGIN)
    if code in UNKNOWN_KEY:
        return Invalid(f"{what}: AWS doesn't know these credentials ({code})", hint=LOGIN)
    if code in NOT_ENABLED:
        return Invalid(f"{what}: this account isn't signed up for that, or not in this region: {text}")
    if code in FORBIDDEN:
        return NotAllowed(f"{what}: these credentials aren't allowed to: {_refused(error, text)}", hint=ALLOW)
    if code in THROTTLED:
        return Unavailable(f"{what}: AWS throttles: {text}", hint="try again in a moment", retry_after=RETRY)
    if code in NO_ROOM:
        return NoRoom(f"{what}: {text}")
    if code in MISSING or (code == "ValidationError" and NOT_THERE in text):
        return NotFound(f"{what}: {text}")
    if code in BUSY or (code == "ValidationError" and NOT_NOW in text):
        return Conflict(f"{what}: {text}")
    if status >= 500:
        return Unavailable(f"{what}: AWS failed ({code or status}): {text}", hint="try again in a moment")
    return Invalid(f"{what}: {text}")


def _refused(error: exceptions.ClientError, text: str) -> str:
    """With the action, which most services name themselves; without EC2's message for who may decode it."""
    said = text.partition(" Encoded authorization failure message")[0]
    return said if ":" in said else f"{error.operation_name}: {said}"
