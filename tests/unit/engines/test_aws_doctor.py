"""Doctor on AWS: with credentials that are none, or somebody else's, nothing further is asked; where IAM doesn't tell
what they may, that is advice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from homeport.engines.aws import doctor
from homeport.model.check import Check
from homeport.model.platform import Aws, Place
from homeport.system.clock import SystemClock

PLACE = Place(platform="shop", name="production", engine="aws", aws=Aws(account="123456789012", region="eu-west-1"))
ROLE = "arn:aws:sts::123456789012:assumed-role/deployer/ida"


class Account:
    """AWS's answers, as one client for all services: who asks is `arn`, and what isn't here is refused."""

    def __init__(self, arn: str = ROLE, *, error: Exception | None = None, ahead: timedelta = timedelta()) -> None:
        self.arn = arn
        self.error = error
        self.at = datetime.now(UTC) - ahead
        self.asked: list[str] = []

    def __call__(self, service: str) -> "Account":
        return self

    def __getattr__(self, operation: str) -> Any:
        def refuse(*_: object, **__: object) -> Any:
            self.asked.append(operation)
            said = {"Error": {"Code": "AccessDenied", "Message": f"not authorized to perform: x:{operation}"}}
            raise ClientError(said, operation)  # type: ignore[arg-type]

        return refuse

    def get_caller_identity(self) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        date = f"{self.at:%a, %d %b %Y %H:%M:%S} GMT"
        return {
            "Arn": self.arn,
            "Account": self.arn.split(":")[4],
            "ResponseMetadata": {"HTTPHeaders": {"date": date}},
        }


def found(account: Account) -> dict[str, Check]:
    def standing() -> doctor.Standing:
        account.asked.append("stacks")
        return doctor.Standing(stacks={}, by_hand={})

    checks = doctor.examine(PLACE, client=account, clock=SystemClock(), standing=standing)
    return {each.name: each for each in checks}


@pytest.mark.parametrize(
    ("account", "said"),
    [
        (Account(error=NoCredentialsError()), "no credentials for AWS"),
        (Account(ROLE.replace("123456789012", "210987654321")), "of account 210987654321"),
    ],
)
def test_without_credentials_of_the_account_nothing_further_is_asked(account: Account, said: str) -> None:
    checks = found(account)
    assert said in checks["credentials"].found
    assert "AWS_PROFILE" in checks["credentials"].mend
    assert "stacks" not in checks
    assert account.asked == []


def test_every_check_is_made_though_others_are_refused() -> None:
    account = Account(ahead=timedelta(minutes=7))
    checks = found(account)
    assert checks["credentials"].ok
    assert (checks["clock"].ok, checks["clock"].needed) == (False, True)
    assert {name for name, each in checks.items() if each.needed and not each.ok} >= {"region", "machine image"}
    assert all("not authorized to perform" in checks[each].found for each in ("region", "bucket", "launch templates"))
    assert (checks["rights"].ok, checks["rights"].needed) == (False, False)
    assert "x:get_paginator" in checks["rights"].found
    assert "stacks" in account.asked
