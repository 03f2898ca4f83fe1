"""What doctor says of an environment on AWS: what was found, whether it is needed, and the command that mends it."""

from datetime import UTC, datetime, timedelta

import pytest

from homeport.model.check import Check
from homeport.model.platform import Aws, Place
from homeport.model.stack import Deployed, Status
from homeport.plan import aws_doctor, aws_right

PLACE = Place(platform="shop", name="production", engine="aws", aws=Aws(account="123456789012", region="eu-west-1"))
UP = "homeport up -e production"


def stacks(*lacking: str, by_hand: dict[str, list[str]] | None = None, **statuses: Status) -> dict[str, Check]:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    standing = {
        id_: Deployed(id=id_, name=id_, status=each, reason="no room", changed_at=at) for id_, each in statuses.items()
    }
    return {each.name: each for each in aws_doctor.stacks(PLACE, standing, by_hand or {}, lacking)}


def test_credentials_of_another_account_are_said() -> None:
    found = aws_doctor.credentials(PLACE, "210987654321", "arn:aws:iam::210987654321:user/ida", "123456789012")
    assert (found.ok, found.needed) == (False, True)
    assert "user/ida" in found.found
    assert "123456789012" in found.expected


@pytest.mark.parametrize(
    ("seconds", "ok", "needed", "said"),
    [(1, True, False, "as AWS's"), (-60, False, False, "60 s behind"), (400, False, True, "400 s ahead of")],
)
def test_a_clock_that_is_wrong_is_advice_until_aws_refuses_it(seconds: int, ok: bool, needed: bool, said: str) -> None:
    found = aws_doctor.clock(timedelta(seconds=seconds))
    assert (found.ok, found.needed) == (ok, needed)
    assert said in found.found


def test_stacks_that_are_well_take_one_line() -> None:
    found = stacks(edge=Status.UPDATE_COMPLETE, access=Status.CREATE_COMPLETE)
    assert [(each.ok, each.found) for each in found.values()] == [(True, "access, edge stand")]


@pytest.mark.parametrize(
    ("status", "needed", "mend"),
    [
        (Status.UPDATE_ROLLBACK_COMPLETE, False, UP),
        (Status.UPDATE_IN_PROGRESS, False, UP),
        (Status.REVIEW_IN_PROGRESS, True, UP),
        (Status.ROLLBACK_COMPLETE, True, UP),
        (Status.CREATE_FAILED, True, "homeport down -e production"),
        (Status.DELETE_FAILED, True, "homeport down -e production"),
        (Status.UPDATE_ROLLBACK_FAILED, True, "homeport stack unlock edge"),
    ],
)
def test_each_other_stack_says_its_state_and_what_mends_it(status: Status, needed: bool, mend: str) -> None:
    found = stacks(edge=status, access=Status.CREATE_COMPLETE)
    edge = found["stack edge"]
    assert f"{status} (no room)" in edge.found
    assert (edge.ok, edge.needed) == (False, needed)
    assert edge.mend.startswith(mend)
    assert (found["stacks"].ok, found["stacks"].found) == (False, "access stands")


def test_what_was_changed_by_hand_and_what_is_lacking_is_named() -> None:
    found = stacks("access", by_hand={"edge": ["Certificate", "its template"]}, edge=Status.CREATE_COMPLETE)
    assert "by hand since it was applied: Certificate, its template" in found["stack edge"].found
    assert (found["stacks"].needed, "there is no access" in found["stacks"].found) == (True, True)
    none = stacks()["stacks"]
    assert (none.ok, none.needed, none.mend) == (False, False, UP)


def test_a_bucket_is_as_shipped_or_what_it_lacks_is_said() -> None:
    assert aws_doctor.bucket(PLACE, "b", []).ok
    open_ = aws_doctor.bucket(PLACE, "b", ["not versioned"])
    assert (open_.ok, open_.needed, open_.found) == (False, True, "b: not versioned")
    assert open_.mend.startswith("aws s3api put-bucket-versioning --bucket b ")
    clear = aws_doctor.bucket(PLACE, "b", ["not encrypted", "not closed to the public"]).mend
    assert "{ApplyServerSideEncryptionByDefault={SSEAlgorithm=AES256}}" in clear
    assert "; aws s3api put-public-access-block --bucket b " in clear
    missing = aws_doctor.bucket(PLACE, "b", None)
    assert (missing.ok, missing.needed, missing.mend) == (False, False, UP)


def test_a_lost_template_wants_more_than_a_lost_image() -> None:
    assert aws_doctor.templates(PLACE, ["web"], [], []).ok
    image = aws_doctor.templates(PLACE, ["web"], [], ["ami-1 of web is gone"])
    assert (image.ok, image.mend.split("   ")[0]) == (False, UP)
    template = aws_doctor.templates(PLACE, ["web"], ["lt-1 doesn't exist"], [])
    assert (template.ok, template.mend.split("   ")[0]) == (False, f"homeport down -e production, then {UP}")


def test_agents_of_another_version_are_advice_and_silent_ones_are_not() -> None:
    assert aws_doctor.agents({"i-1": "0.1.0", "i-2": "0.1.0"}, "0.1.0").ok
    other = aws_doctor.agents({"i-1": "0.0.9", "i-2": "0.1.0"}, "0.1.0")
    assert (other.ok, other.needed, "i-1 has 0.0.9" in other.found) == (False, False, True)
    silent = aws_doctor.agents({"i-1": "", "i-2": "0.1.0"}, "0.1.0")
    assert (silent.ok, silent.needed, "no answer from i-1" in silent.found) == (False, True, True)


def test_what_a_deployment_asks_for_is_of_this_platform_alone() -> None:
    rights = aws_right.of_deploy(PLACE)
    resources = {one for each in rights for one in each.resources}
    assert "arn:aws:s3:::homeport-shop-123456789012-eu-west-1/*" in resources
    assert "arn:aws:cloudformation:eu-west-1:123456789012:stack/homeport-shop--production-*/*" in resources
    tagged = [each for each in rights if any("instance/" in one for one in each.resources)]
    assert [each.tags["homeport-platform"] for each in tagged] == ["shop"]
    assert aws_doctor.rights(["ssm:SendCommand on *"]).found == "not allowed: ssm:SendCommand on *"
