"""What one `homeport.toml` comes to for one app in one environment. Made by `plan.platform`, kept in each release."""

from datetime import timedelta
from typing import Literal

from msgspec import Struct

from homeport.model.alarm import Alarm

EngineName = Literal["local", "aws", "memory"]
Mode = Literal["review", "staging", "production"]
Strategy = Literal["replace", "rolling", "blue-green", "canary"]
Amount = int | str
"""A number of instances, or a share of them such as "25%"."""
HookResult = Literal["CONTINUE", "ABANDON"]
StopSignal = Literal["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH"]

ZONES = ("a", "b", "c")


class Health(Struct, frozen=True, kw_only=True):
    """How one tells that an instance works. `path` None: a TCP connect is enough."""

    path: str | None = None
    interval: timedelta = timedelta(seconds=1)
    timeout: timedelta = timedelta(seconds=2)
    grace: timedelta = timedelta(seconds=30)
    """How long a started instance may take until it is healthy."""
    settle: timedelta = timedelta(seconds=2)
    """A process without a port is healthy when it has stayed up so long."""
    unhealthy_after: timedelta | None = None
    """How long one in service may fail its check before it is replaced. None: see `replaced_after`."""

    @property
    def replaced_after(self) -> timedelta:
        """Ten checks, but 10 s at least: a pause of the app's is no illness."""
        return self.unhealthy_after or max(10 * self.interval, timedelta(seconds=10))


class ProcessType(Struct, frozen=True, kw_only=True):
    """How a process type is begun and ended, beside its command line. `after`: types of the same instance that must be
    up before it begins, and that end after it. `stop`: command line that is run before the signal, and may end it."""

    after: tuple[str, ...] = ()
    stop: str | None = None
    stop_signal: StopSignal = "TERM"


class Instances(Struct, frozen=True, kw_only=True):
    """How many instances: `desired` only seeds; `homeport scale` persists over it; `min` and `max` hold."""

    min: int = 1
    desired: int = 1
    max: int = 10


class Breaker(Struct, frozen=True, kw_only=True):
    """What stops a launch loop (the rule is `plan.breaker`'s). A launch fails that never gets in service, or dies
    within `soon`. After the second failed round launches pause for `backoff`, twice as long after each further one, up
    to `longest`; `failures` rounds open the breaker. `window` without a failure: they are forgotten."""

    failures: int = 5
    soon: timedelta = timedelta(seconds=60)
    backoff: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=5)
    window: timedelta = timedelta(minutes=15)


class Hook(Struct, frozen=True, kw_only=True):
    """What is asked before an instance goes on in its life: a command run in it, or a URL that is told. Without an
    answer or a further heartbeat for so long, `result` holds. ABANDON at launch ends the instance."""

    command: str | None = None
    url: str | None = None
    heartbeat: timedelta = timedelta(minutes=1)
    result: HookResult = "ABANDON"


class Hooks(Struct, frozen=True, kw_only=True):
    """`launching`: once it is healthy, before it is in service. `terminating`: once it is drained, before TERM."""

    launching: Hook | None = None
    terminating: Hook | None = None


class Weight(Struct, frozen=True, kw_only=True):
    """A step of `canary`: the new release's share of the requests, and for how long it is watched."""

    percent: int
    pause: timedelta


class Deploy(Struct, frozen=True, kw_only=True):
    """How a release comes to its groups. A group may say `strategy`, `max_unavailable`, `max_surge` and `batch` for
    itself."""

    strategy: Strategy = "replace"
    bake: timedelta = timedelta(seconds=5)
    max_unavailable: Amount = 1
    """rolling: of a group, at once. A share is rounded down."""
    max_surge: Amount = 0
    """rolling: so many more than the group has may be there meanwhile. A share is rounded up."""
    batch: Literal["count", "zone"] = "count"
    """rolling: "zone": all instances of one zone at a time, whatever their number."""
    keep_old: timedelta = timedelta(minutes=10)
    """blue-green: how long the old instances are kept aside after a good verdict."""
    steps: tuple[Weight, ...] = ()
    """canary."""
    min_requests: int = 50
    """canary: so many of each release a step must have seen to be judged."""
    inconclusive: Literal["continue", "back"] = "back"
    """canary: what follows a step that saw fewer."""
    pause_after: Amount | None = None
    """Once so many instances run the new release, a person must say `homeport deployment continue`."""
    alarms: tuple[Alarm, ...] = ()
    """Each may fail the release in its bake time."""
    hook_timeout: timedelta = timedelta(minutes=10)
    """For each hook of the command that deploys."""
    timeout: timedelta | None = None
    """For the whole deployment, without what it is told to wait for; then it goes back. None: none."""


class Group(Struct, frozen=True, kw_only=True):
    """n identical instances that run one or more process types of an app."""

    name: str
    run: tuple[str, ...]
    instances: Instances = Instances()
    memory_bytes: int | None = None
    stop_grace: timedelta = timedelta(seconds=10)
    """From TERM to KILL."""
    drain: timedelta = timedelta(seconds=30)
    """How long open connections (WebSockets too) may go on after the last new request."""
    health: Health = Health()
    balanced: bool = False
    """True: its instances are targets of the balancer and get a private name; on engine `aws` the others get one."""
    after: tuple[str, ...] = ()
    """Groups that a deployment has up before it begins with this one."""
    surge: int = 1
    """So many more than there may be else may be there for a while, so that a replacement comes before what it
    replaces goes."""
    replace_budget: int = 1
    """So many at once are replaced while most of the group is unhealthy."""
    max_lifetime: timedelta | None = None
    """Older ones are replaced; None: however old."""
    breaker: Breaker = Breaker()
    hooks: Hooks = Hooks()
    deploy: Deploy | None = None
    """None: as the whole release."""
    elastic_ips: tuple[str, ...] = ()
    """Allocation ids of addresses, of which each instance takes one; only on engine `aws`, without a balancer. Empty:
    whatever addresses AWS gives."""

    @property
    def serving(self) -> str | None:
        """The process type that gets the requests; None: none does."""
        if not self.balanced:
            return None
        return "web" if "web" in self.run else self.run[0]


class Route(Struct, frozen=True, kw_only=True):
    """Host and path prefix → group of the app, or an upstream outside (`https://…`). `host` None: any host."""

    to: str
    host: str | None = None
    path: str = "/"
    strip_prefix: bool = False

    @property
    def upstream(self) -> bool:
        return "://" in self.to


class Tls(Struct, frozen=True, kw_only=True):
    """Certificate chain and key, as paths of PEM files on the machine of the engine."""

    certificate: str
    key: str


class Retention(Struct, frozen=True, kw_only=True):
    """What is kept for how long. `releases`: how many with a good verdict. `logs`: those of instances that have ended.
    The rules are `plan.retention`'s."""

    releases: int = 10
    logs: timedelta = timedelta(days=14)


class Maintenance(Struct, frozen=True, kw_only=True):
    """What `homeport maintenance on` shows, and whom it lets through. `page`: a file of the app's; None: a plain page.
    `allow`: networks, as "10.0.0.0/8"."""

    page: str | None = None
    allow: tuple[str, ...] = ()
    retry_after: timedelta = timedelta(minutes=5)


IMAGE = "/homeport/image"
"""The SSM parameter that `make image` writes."""


class Aws(Struct, frozen=True, kw_only=True):
    """Where an environment of engine `aws` stands, and on what. `vpc` None: one is made; else `subnets` are in it.
    `image`: the SSM parameter that holds the machine image's id. `certificate`: ARN of one of ACM; None: plain HTTP.
    `price_per_hour`: of one instance, as the file says it; None: nobody says it. `zone`: name of the hosted zone
    in which hosts of routes get records; None: they get none. `zone_id`: which of several of that name."""

    account: str
    region: str
    vpc: str | None = None
    subnets: tuple[str, ...] = ()
    image: str = IMAGE
    instance_type: str = "t3.small"
    certificate: str | None = None
    price_per_hour: float | None = None
    zone: str | None = None
    zone_id: str | None = None
    boundary: str | None = None
    """ARN of a policy beyond which the role of instances may nothing; None: there is none."""


class Place(Struct, frozen=True, kw_only=True):
    """An environment as the platform file describes it."""

    platform: str
    name: str
    engine: EngineName = "local"
    mode: Mode = "staging"
    listen: str | None = None
    """`address:port` of the public side; None: a free loopback port, kept."""
    tls: Tls | None = None
    redirect: str | None = None
    """`address:port` of plain HTTP that is sent on to HTTPS; only with `tls`."""
    aws: Aws | None = None
    """Only with engine `aws`."""

    @property
    def id(self) -> str:
        """`<platform>/<environment>`: unique within one $HOMEPORT_HOME."""
        return f"{self.platform}/{self.name}"


class Resolved(Struct, frozen=True, kw_only=True):
    """The resolved platform file of one app in one environment: formation, routes, health, strategy, process types."""

    app: str
    place: Place
    groups: tuple[Group, ...]
    routes: tuple[Route, ...]
    deploy: Deploy
    processes: dict[str, str]
    """Process type → command line, without the release task."""
    release_task: str | None = None
    types: dict[str, ProcessType] = {}
    """Process type → what the file says of it; those it doesn't name are absent."""
    retention: Retention = Retention()
    maintenance: Maintenance = Maintenance()

    def group(self, name: str) -> Group | None:
        return next((each for each in self.groups if each.name == name), None)
