"""How S3 is reached: endpoint, region, credentials; from the variables and files that AWS's own programs go by.

Called by `s3`. obstore itself knows the variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
AWS_REGION and AWS_DEFAULT_REGION, a web identity, a container's credentials and, last, the role of an EC2 instance. It
doesn't know profiles: their files are read here.
"""

import configparser
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from homeport.errors import HomeportError, Invalid
from homeport.system.clock import SystemClock

REREAD = timedelta(minutes=15)
"""A file's credentials may be replaced while a program runs."""
PAIR = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
ELSEWHERE = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class Access(Struct, frozen=True, kw_only=True):
    """`endpoint` None: AWS itself. `profile` None: obstore finds the credentials. `metadata`: where the instance's role
    is asked for; None: where AWS has it. `origin`: of the credentials, for people."""

    endpoint: str | None
    region: str | None
    profile: str | None
    metadata: str | None
    origin: str


def access(env: Mapping[str, str]) -> Access:
    """By these variables. Raises `Invalid` for a profile that isn't there, or of a kind that isn't supported."""
    profile, origin = _credentials(env)
    settings = _settings(env, env.get("AWS_PROFILE") or "default")
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or settings.get("endpoint_url")
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or settings.get("region")
    return Access(
        endpoint=endpoint,
        region=region,
        profile=profile,
        metadata=env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        origin=origin,
    )


def provider(profile: str, env: Mapping[str, str], trouble: list[HomeportError]) -> Callable[[], dict[str, object]]:
    """Reads the profile's keys whenever obstore asks. What goes wrong there reaches the caller only as text, so the
    error itself is left in `trouble`."""

    def credentials() -> dict[str, object]:
        trouble.clear()
        try:
            keys = _keys(env, profile)
        except HomeportError as error:
            trouble.append(error)
            raise
        return {
            "access_key_id": keys["aws_access_key_id"],
            "secret_access_key": keys["aws_secret_access_key"],
            "token": keys.get("aws_session_token"),
            "expires_at": SystemClock().now() + REREAD,
        }

    return credentials


def _credentials(env: Mapping[str, str]) -> tuple[str | None, str]:
    """(profile whose file has them, if one does; where they come from)."""
    if all(env.get(each) for each in PAIR):
        return None, "AWS_ACCESS_KEY_ID in the environment"
    stated = env.get("AWS_PROFILE")
    half = [each for each in PAIR if env.get(each)]
    if half and not stated:
        lacking = next(each for each in PAIR if each not in half)
        raise Invalid(f"{half[0]} is set in the environment, and {lacking} isn't", hint=f"export {lacking}=…")
    if stated:
        _keys(env, stated)
        return stated, f"profile {stated}"
    if any(env.get(each) for each in ELSEWHERE):
        return None, "the web identity or container that the environment names"
    if "aws_access_key_id" in _settings(env, "default"):
        return "default", "profile default"
    return None, "the role of this EC2 instance, since neither environment nor profile has any"


def _keys(env: Mapping[str, str], profile: str) -> dict[str, str]:
    """The profile's settings, keys among them. Raises `Invalid`."""
    found = _settings(env, profile)
    if not found:
        raise Invalid(f"no AWS profile {profile!r} in {_shared(env)} or {_config(env)}", hint="echo $AWS_PROFILE")
    if not {"aws_access_key_id", "aws_secret_access_key"} <= found.keys():
        raise Invalid(
            f"AWS profile {profile!r} has no keys of its own ({', '.join(sorted(found))}): not supported",
            hint=f'eval "$(aws configure export-credentials --profile {profile} --format env)"   # then again',
        )
    return found


def _settings(env: Mapping[str, str], profile: str) -> dict[str, str]:
    """What both files say of a profile; empty where they don't. Raises `Invalid` for a file that can't be read."""
    section = profile if profile == "default" else f"profile {profile}"
    return _section(_config(env), section) | _section(_shared(env), profile)


def _section(path: Path, name: str) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        # the error's own text may quote a line, and with it a key
        raise Invalid(f"can't read {path} ({type(error).__name__})", hint=f"ls -l {path}") from error
    return dict(parser[name]) if parser.has_section(name) else {}


def _shared(env: Mapping[str, str]) -> Path:
    return _path(env, "AWS_SHARED_CREDENTIALS_FILE", "credentials")


def _config(env: Mapping[str, str]) -> Path:
    return _path(env, "AWS_CONFIG_FILE", "config")


def _path(env: Mapping[str, str], variable: str, name: str) -> Path:
    stated = env.get(variable)
    return Path(stated).expanduser() if stated else Path(env.get("HOME") or Path.home()) / ".aws" / name
