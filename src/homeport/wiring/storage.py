"""What nearly every command works with: the home, the object store, secrets, releases; of this machine, or of one
environment on AWS. Called by `cli` and `daemon`.

The modules of this room turn settings into objects, and are the only place that names concrete adapters. They import
lazily, because a command that only asks the daemon shall start at once. Each may call those that stand before it:
`cloud`, `aws`, `storage`, `stacks` and `engine`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from homeport.system.home import Home

if TYPE_CHECKING:
    from homeport.model.platform import Place
    from homeport.ports.encryption import Encryption
    from homeport.ports.objects import ObjectStore
    from homeport.releases.catalogue import Catalogue

_remote: list[Place] = []
"""The environment on AWS that this run of the program works for; none: an engine of this machine."""


def work_for(place: Place) -> None:
    """Home, store and secrets are that environment's from now on, and its region is where AWS is asked."""
    from homeport.plan.aws_stacks import of

    _remote[:] = [place]
    os.environ["AWS_REGION"] = of(place).region


def remote() -> Place | None:
    return _remote[0] if _remote else None


def home(*, create: bool = True) -> Home:
    """The user's, its directories made; of an environment on AWS, what is its own in it."""
    found = Home.from_environment()
    if _remote:
        found = found.within(_remote[0])
    if create:
        found.create()
    return found


def store(home: Home, *, must_exist: bool = True, hurried: bool = False) -> ObjectStore:
    """The one that the home uses; see `choose_store`. `hurried`: for a caller that must go on with other things, and
    tries again by itself."""
    if home.place is not None:
        from homeport.wiring import aws

        return aws.store(home.place)
    from homeport.stores.choice import chosen
    from homeport.stores.objects import open_store

    choose_store(home)
    choice = chosen(home, None, os.environ)
    return open_store(choice.store, must_exist=must_exist, hurried=hurried, variables=choice.variables)


def choose_store(home: Home, stated: str | None = None) -> None:
    """The home uses the store that is stated, here or by HOMEPORT_STORE, from its first use on: one that answers, and
    keeps what exists. Without such a word it is the home's own directory. Raises `Conflict` where the home uses another
    one, `Invalid`, `Unavailable`."""
    from homeport.stores.choice import VARIABLE, chosen, remember, remembered
    from homeport.stores.objects import check_conditions, open_store

    stated = stated or os.environ.get(VARIABLE)
    if not stated:
        return
    choice = chosen(home, stated, os.environ)
    if remembered(home) is None:
        check_conditions(open_store(choice.store, variables=choice.variables))
        remember(home, choice)


def encryption(home: Home) -> Encryption:
    from homeport.stores.encryption import AgeEncryption

    if home.place is not None and not home.identity.exists():
        from homeport.wiring import aws

        aws.share_identity(home.place, home.identity)
    return AgeEncryption(home.identity)


def catalogue(store: ObjectStore) -> Catalogue:
    from homeport.releases.catalogue import Catalogue

    return Catalogue(store)
