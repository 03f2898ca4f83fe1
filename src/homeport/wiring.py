"""From settings to objects: the only place that names concrete adapters. Called by `cli`; imports lazily, because a
command that only asks the daemon shall start at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeport.errors import Conflict, NotFound, Unavailable
from homeport.system.home import Home

if TYPE_CHECKING:
    from homeport.console.inside import Inside
    from homeport.engines.aws.cloud import AwsCloud
    from homeport.engines.aws.engine import AwsEngine
    from homeport.engines.local.doctor import Check
    from homeport.model.platform import Place
    from homeport.model.stack import StackEvent, Target
    from homeport.model.why import Why
    from homeport.ports.clock import Clock
    from homeport.ports.cloudformation import Cloud
    from homeport.ports.encryption import Encryption
    from homeport.ports.engine import LogLine, LogQuery
    from homeport.ports.objects import ObjectStore
    from homeport.ports.session import Sessions
    from homeport.releases.build import Builder
    from homeport.releases.catalogue import Catalogue
    from homeport.stacks.apply import Applier
    from homeport.stacks.history import History
    from homeport.stacks.planner import Planner
    from homeport.stacks.project import Project
    from homeport.stacks.remote import Remote

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
        found = found.within("aws", _remote[0].platform, _remote[0].name)
    if create:
        found.create()
    return found


def store(home: Home, *, must_exist: bool = True, hurried: bool = False) -> ObjectStore:
    """The one that the home uses; see `choose_store`. `hurried`: for a caller that must go on with other things, and
    tries again by itself."""
    from homeport.stores.choice import chosen
    from homeport.stores.objects import open_store

    if _remote:
        return _remote_store(_remote[0])
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

    if _remote and not home.identity.exists():
        _share_identity(home, _remote[0])
    return AgeEncryption(home.identity)


def catalogue(store: ObjectStore) -> Catalogue:
    from homeport.releases.catalogue import Catalogue

    return Catalogue(store)


def builder(home: Home, store: ObjectStore) -> Builder:
    """Builds as a uid of its own where the caller is root."""
    from homeport.instance.address import Addresses
    from homeport.instance.sandbox import BwrapSandbox
    from homeport.releases.build import Builder
    from homeport.system.clock import SystemClock

    uid = Addresses(home, SystemClock()).uid("build") if os.getuid() == 0 else None
    return Builder(BwrapSandbox(), store, home, uid=uid)


def local_logs(home: Home, environment: str, query: LogQuery, *, follow: bool) -> Iterator[LogLine]:
    """Log lines straight from disk: the daemon needn't run."""
    if _remote:
        return control_inside().control.engine.logs(environment, query, follow=follow)
    from homeport.engines.local.log import read_logs

    return read_logs(home, environment, query, follow=follow)


def past_why(home: Home, environment: str, word: str, app: str | None) -> Why:
    """The chain of causes, where no engine runs: from what it left on disk. Raises `NotFound`, `Invalid`,
    `Unavailable`."""
    from homeport.control.why import Sources, tell
    from homeport.model.fleet import Observation
    from homeport.stores.state import State
    from homeport.system.clock import SystemClock

    state = State(home.state)
    try:
        sources = Sources(
            environment=environment,
            observed=Observation(at=SystemClock().now()),
            events=lambda after, limit: state.events(environment, after, limit),
            logs=lambda query: local_logs(home, environment, query, follow=False),
            store=store(home),
        )
        return tell(sources, word, app)
    finally:
        state.close()


def engine_logs(home: Home, query: LogQuery, *, follow: bool) -> Iterator[LogLine]:
    """What daemon and HAProxy wrote, straight from disk; they lie there as the logs of an instance do."""
    from msgspec.structs import replace

    from homeport.instance import log

    return log.read(home.engine_logs.parent, replace(query, instance=home.engine_logs.name), follow=follow)


def sessions(home: Home) -> Sessions:
    """Commands that people run beside the fleet, on the local engine; straight on it: the daemon needn't run. Raises
    `NotFound` where there never was one."""
    from homeport.engines.local.session import LocalSessions
    from homeport.system.clock import SystemClock

    if _remote:
        from homeport.engines.aws.sessions import AwsSessions

        return AwsSessions(_aws_engine(_remote[0], SystemClock()))
    if not home.state.exists():
        raise NotFound("no environment is up", hint="homeport up")
    objects = store(home, must_exist=False)
    return LocalSessions(home, store=objects, encryption=encryption(home), clock=SystemClock())


def doctor(home: Home) -> list[Check]:
    """What the local engine needs of this machine, looked at, and the store."""
    from homeport.engines.local.doctor import Check, examine
    from homeport.errors import HomeportError
    from homeport.stores.choice import VARIABLE, chosen
    from homeport.stores.objects import check_conditions, open_store

    mend, well = "", True
    try:
        choice = chosen(home, os.environ.get(VARIABLE), os.environ)
        found = choice.store
        check_conditions(open_store(choice.store, variables=choice.variables))
    except HomeportError as error:
        well, found, mend = False, "; ".join((error.message, *error.details)), error.hint or ""
    expected = "that it answers, and keeps what exists"
    return [*examine(home), Check(name="store", ok=well, found=found, expected=expected, mend=mend)]


# --- stacks --------------------------------------------------------------------------------------------------------


def stack_project(directory: Path) -> Project:
    """The directory `stacks` that belongs to this one. Raises `NotFound`."""
    from homeport.stacks.project import Project, find

    return Project(find(directory))


def stack_planner(project: Project) -> Planner:
    from homeport.stacks.planner import Planner, Tools

    tools = Tools(cloud=cloud, encryption=lambda: encryption(home()), environ=dict(os.environ), remote=stack_remote())
    return Planner(project, tools)


def stack_remote() -> Remote:
    """Fetches modules and templates that lie elsewhere."""
    from homeport.stacks.remote import Remote

    return Remote(Home.from_environment().modules)


def stack_applier(
    planner: Planner, say: Callable[[str, StackEvent | str], None], *, who: str, why: str = ""
) -> Applier:
    from homeport.stacks.apply import Applier, Diary
    from homeport.system.clock import SystemClock, pause

    diary = Diary(history=stack_history(), who=who, why=why)
    return Applier(planner, SystemClock(), pause, say, diary)


def stack_unlock(planner: Planner, id: str, skip: tuple[str, ...], say: Callable[[StackEvent], None]) -> Sequence[str]:
    """What was done; see `Operation.unlock`."""
    from homeport.model.stack_plan import Action, StackPlan
    from homeport.stacks.operation import Operation, Watcher
    from homeport.system.clock import SystemClock, pause

    stack = planner.project.stack(id)
    planner.guard(stack.target)
    plan = StackPlan(id=id, name=stack.name, target=stack.target, action=Action.NONE, reason="")
    watcher = Watcher(clock=SystemClock(), pause=pause, say=say)
    return Operation(plan, planner.cloud.cloudformation(stack.target), watcher).unlock(skip)


def stack_history() -> History:
    from homeport.stacks.history import History

    return History(store(home()))


_clouds: list[AwsCloud] = []
"""AWS, once it was asked for: making clients takes longer than asking."""


def cloud() -> Cloud:
    """The one that HOMEPORT_CLOUD names, `name` or `name:argument` of the entry points `homeport.clouds`; else AWS.
    Raises `Unavailable`."""
    from importlib.metadata import entry_points

    name, _, argument = os.environ.get("HOMEPORT_CLOUD", "aws").partition(":")
    if name == "aws":
        return _aws()
    known = {each.name: each for each in entry_points(group="homeport.clouds")}
    if name not in known:
        hint = f"HOMEPORT_CLOUD={' or '.join(['aws', *sorted(known)])}"
        raise Unavailable(f"no cloud {name!r} is installed, so that nothing can be said of what is deployed", hint=hint)
    found: Cloud = known[name].load()(argument)
    return found


def _aws() -> AwsCloud:
    if _clouds:
        return _clouds[0]
    try:
        from homeport.engines.aws.cloud import open_cloud
    except ModuleNotFoundError as error:
        if error.name not in ("boto3", "botocore"):
            raise
        raise Unavailable("boto3, which asks AWS, isn't installed", hint="pip install 'homeport[aws]'") from error
    _clouds.append(open_cloud())
    return _clouds[0]


# --- an environment on AWS -----------------------------------------------------------------------------------------


def aws_target(place: Place) -> Target:
    from homeport.model.stack import Target
    from homeport.plan.aws_stacks import of

    aws = of(place)
    return Target(aws.account, aws.region)


def control_inside() -> Inside:
    """A control plane in this process, of the environment that this run works for. Raises `Invalid` without
    credentials, or with those of another account, `Unavailable`."""
    from homeport.console.inside import Inside
    from homeport.control.control import Control
    from homeport.system.clock import SystemClock

    clock = SystemClock()
    engine = _aws_engine(_remote[0], clock)
    holder = f"{os.uname().nodename}:{os.getpid()}:{clock.now().isoformat(timespec='seconds')}"
    return Inside(Control(engine, engine.store, clock, holder=holder))


def _aws_engine(place: Place, clock: Clock) -> AwsEngine:
    from homeport.engines.aws.engine import AwsEngine

    cloud, target = _aws(), aws_target(place)
    check_account(place)
    return AwsEngine(
        place,
        client=lambda service: cloud.client(service, target),
        store=_remote_store(place),
        clock=clock,
        url=lambda: aws_url(place),
        listener=lambda: _edge(place)["Listener"],
    )


def aws_url(place: Place) -> str:
    """Of the environment's public side. Raises `NotFound` while its stacks don't stand."""
    from homeport.plan.aws_stacks import of

    return f"{'https' if of(place).certificate else 'http'}://{_edge(place)['Name']}"


def _edge(place: Place) -> Mapping[str, str]:
    """Name and listener of the environment's balancer. Raises `NotFound`."""
    from homeport.plan.aws_stacks import edge_name

    deployed = _aws().cloudformation(aws_target(place)).describe(edge_name(place))
    if deployed is None or not deployed.outputs.get("Name"):
        raise NotFound(f"{place.id} has no load balancer", hint=f"homeport up -e {place.name}")
    return deployed.outputs


def check_account(place: Place) -> None:
    """Nothing, where the credentials are of the account that the file names. Raises `Conflict`, `Invalid`."""
    target = aws_target(place)
    found = _aws().caller(target)
    if found != target.account:
        raise Conflict(
            f"these credentials are of account {found}, {place.id} is in {target.account}",
            hint="export AWS_PROFILE=<one for that account>",
        )


def check_region(place: Place) -> None:
    """Nothing, where its region has all that an environment stands on, as far as boto3 knows. Raises `Invalid`."""
    from homeport.plan.aws_stacks import of

    _aws()  # which says what is missing where boto3 isn't installed
    from homeport.engines.aws import premises

    premises.check_region(place, of(place))


def check_image(place: Place) -> None:
    """Nothing, where there is a machine image to boot from. Raises `Invalid`, `Unavailable`."""
    from homeport.engines.aws import premises
    from homeport.plan.aws_stacks import of

    cloud, target = _aws(), aws_target(place)
    premises.check_image(lambda service: cloud.client(service, target), place, of(place))


def check_premises(place: Place, *, fresh: bool) -> None:
    """Nothing, where what the file asks for is to be had; `fresh`: its bucket too, which is yet to be made. Raises
    `Invalid`, `Conflict`, `Unavailable`."""
    from homeport.engines.aws import premises
    from homeport.plan.aws_stacks import bucket, of, store_name

    cloud, target = _aws(), aws_target(place)

    def client(service: str) -> Any:
        return cloud.client(service, target)

    premises.check_instance_type(client, place, of(place))
    if fresh:
        premises.check_bucket(client, bucket(place), account=target.account, stack=store_name(place))


def aws_applier(planner: Planner, say: Callable[[str, StackEvent | str], None], *, who: str, kept: bool) -> Applier:
    """`kept`: in the history, which lies in the bucket."""
    from homeport.stacks.apply import Applier
    from homeport.system.clock import SystemClock, pause

    if kept:
        return stack_applier(planner, say, who=who)
    return Applier(planner, SystemClock(), pause, say)


def _remote_store(place: Place) -> ObjectStore:
    from homeport.plan.aws_stacks import store_url
    from homeport.stores.objects import open_store

    return open_store(store_url(place))


def _share_identity(home: Home, place: Place) -> None:
    """The environment's age identity lies in this home, and in a parameter of which all others have it."""
    from homeport.engines.aws.identity import share
    from homeport.plan.aws_stacks import identity_path
    from homeport.stores.encryption import make_identity

    cloud, target = _aws(), aws_target(place)
    check_account(place)
    share(lambda service: cloud.client(service, target), identity_path(place), home.identity, make_identity)
