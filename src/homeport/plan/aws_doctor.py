"""What `homeport doctor` says of an environment on AWS: from what was found to checks with the command that mends it.
Pure. Called by `engines.aws.doctor`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from homeport.model.check import Check
from homeport.model.platform import Place
from homeport.model.stack import Deployed, Status
from homeport.plan.stack.decide import EMPTY, REMAINS

SKEW, TOO_LATE = timedelta(seconds=30), timedelta(minutes=5)
"""What nobody notices; and from where AWS refuses what is signed ("within five minutes of the timestamp": IAM User
Guide, signing requests)."""
SET_BACK = {
    "versioned": "put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled",
    "encrypted": "put-bucket-encryption --bucket {bucket} --server-side-encryption-configuration "
    "'Rules=[{{ApplyServerSideEncryptionByDefault={{SSEAlgorithm=AES256}}}}]'",
    "closed to the public": "put-public-access-block --bucket {bucket} --public-access-block-configuration "
    "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
}
"""What the shipped bucket is → AWS's own command for it."""
WELL = (Status.CREATE_COMPLETE, Status.UPDATE_COMPLETE, Status.IMPORT_COMPLETE)
TAKEN_BACK = (Status.UPDATE_ROLLBACK_COMPLETE, Status.IMPORT_ROLLBACK_COMPLETE)


def credentials(place: Place, account: str, arn: str, expected: str) -> Check:
    """Whose they are."""
    return Check(
        name="credentials",
        ok=account == expected,
        found=f"{arn}, of account {account}",
        expected=f"of account {expected}, which {place.id} is in",
        mend="export AWS_PROFILE=<one for that account>",
    )


def clock(skew: timedelta) -> Check:
    """`skew`: how much this machine's clock is ahead of AWS's; known to the second."""
    seconds = abs(skew.total_seconds())
    return Check(
        name="clock",
        ok=abs(skew) <= SKEW,
        found=f"{seconds:.0f} s {'ahead of' if skew > timedelta() else 'behind'} AWS's" if seconds > 1 else "as AWS's",
        expected=f"at most {SKEW.seconds} s off; from {TOO_LATE.seconds // 60} min on AWS refuses what is signed by it",
        mend="timedatectl set-ntp true   # as root",
        needed=abs(skew) >= TOO_LATE,
    )


def bucket(place: Place, name: str, lacks: Sequence[str] | None) -> Check:
    """`lacks`: in words, of what the shipped stack says; None: there is no such bucket yet."""
    found = "isn't there yet" if lacks is None else "; ".join(lacks) if lacks else "private, versioned, encrypted"
    return Check(
        name="bucket",
        ok=lacks == [],
        found=f"{name}: {found}",
        expected="this account's, versioned, encrypted, no public access",
        mend=f"homeport up -e {place.name}" if lacks is None else _of_bucket(name, lacks),
        needed=lacks is not None,
    )


def _of_bucket(name: str, lacks: Sequence[str]) -> str:
    """The commands that set it back: CloudFormation leaves alone what isn't changed in its template."""
    known = [f"aws s3api {each.format(bucket=name)}" for what, each in SET_BACK.items() if f"not {what}" in lacks]
    return "; ".join(known) or f"aws s3api get-bucket-policy --bucket {name}"


def rights(missing: Sequence[str]) -> Check:
    """`missing`: in words."""
    return Check(
        name="rights",
        ok=not missing,
        found=f"not allowed: {'; '.join(missing)}" if missing else "what a deployment asks for is allowed",
        expected="what a deployment asks for, as far as IAM tells it beforehand",
        mend="homeport operator   # an administrator makes the role that may",
    )


def stacks(
    place: Place, standing: Mapping[str, Deployed], by_hand: Mapping[str, Sequence[str]], lacking: Collection[str]
) -> list[Check]:
    """One line for all that are well, one for each other. `by_hand`: what differs from what was applied last, by the
    stack's id; `lacking`: ids of those that no environment is without."""
    well = sorted(id_ for id_, each in standing.items() if each.status in WELL and not by_hand.get(id_))
    checks = [_stack(place, id_, each, by_hand.get(id_, ())) for id_, each in sorted(standing.items())]
    up = f"homeport up -e {place.name}"
    if not standing:
        return [Check(name="stacks", ok=False, found="none stands", expected="those of homeport up", mend=up,
                      needed=False)]  # fmt: skip
    found = f"{', '.join(well)} stand{'s' if len(well) == 1 else ''}" if well else "none is as it should be"
    found += f"; there is no {', '.join(sorted(lacking))}" if lacking else ""
    whole = Check(
        name="stacks",
        ok=not lacking and len(well) == len(standing),
        found=found,
        expected="each complete, and as it was applied",
        mend=f"{up}   # goes on where one stopped; homeport down takes away what is there" if lacking else up,
        needed=bool(lacking),
    )
    return [whole, *(each for each in checks if not each.ok)]


def _stack(place: Place, id_: str, found: Deployed, by_hand: Sequence[str]) -> Check:
    said, mend = _state(place, id_, found, by_hand)
    return Check(
        name=f"stack {id_}",
        ok=found.status in WELL and not by_hand,
        found=said,
        expected="complete, and as it was applied",
        mend=mend,
        needed=not (found.status in (*WELL, *TAKEN_BACK) or found.status.busy),
    )


def _state(place: Place, id_: str, found: Deployed, by_hand: Sequence[str]) -> tuple[str, str]:
    """In words, and what mends it."""
    said, up = f"{found.status}{f' ({found.reason})' if found.reason else ''}", f"homeport up -e {place.name}"
    down = f"homeport down -e {place.name}"
    if found.status in WELL:
        return f"changed by hand since it was applied: {', '.join(by_hand)}", f"{up}   # shows it, and takes it back"
    if found.status.busy:
        return f"{said}: CloudFormation is at work on it", f"{up}   # waits for it, and goes on"
    if found.status in TAKEN_BACK:
        return f"{said}: its last change was taken back", f"{up}   # tries again; homeport stack events {id_} says why"
    if found.status in EMPTY:
        return f"{said}: it was begun, and nothing is in it", f"{up}   # goes on"
    if found.status in REMAINS:
        return f"{said}: parts of it are left", f"{down}   # takes them away, or says what is in the way"
    return said, f"homeport stack unlock {id_}{_project(place)}"


def templates(place: Place, groups: Sequence[str], lost: Sequence[str], gone: Sequence[str]) -> Check:
    """What Auto Scaling groups launch from. `lost`: templates, `gone`: images, in words."""
    up = f"homeport up -e {place.name}"
    return Check(
        name="launch templates",
        ok=not lost and not gone,
        found="; ".join((*lost, *gone)) or f"there, with their machine images: {', '.join(sorted(groups))}",
        expected="that groups can launch instances",
        mend=f"homeport down -e {place.name}, then {up}   # CloudFormation makes no lost part anew by itself"
        if lost
        else f"{up}   # takes the image that the parameter names now",
    )


def agents(versions: Mapping[str, str], expected: str) -> Check:
    """`versions`: by instance; empty: it said nothing. Nobody asked is nobody there."""
    silent = sorted(id_ for id_, each in versions.items() if not each)
    other = sorted(id_ for id_, each in versions.items() if each and each != expected)
    said = [f"{len(versions) - len(silent) - len(other)} of {len(versions)} answer with {expected}"]
    said += [f"no answer from {', '.join(silent)}"] if silent else []
    said += [f"{id_} has {versions[id_]}" for id_ in other]
    return Check(
        name="agents",
        ok=not silent and not other,
        found="; ".join(said) if versions else "no instance is there to ask",
        expected=f"that each instance answers by Run Command, with this command's version {expected}",
        mend="homeport cycle <group>   # new instances; of a new image: make image, homeport up, then that",
        needed=bool(silent),
    )


def _project(place: Place) -> str:
    """Where commands on its stacks are typed, as a remark."""
    return f"   # in $HOMEPORT_HOME/aws/{place.platform}/{place.name}/stacks"
