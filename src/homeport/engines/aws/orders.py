"""What instances are told, or is told of them: one call for many of the same kind. Used by `engine`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from msgspec.structs import replace

from homeport.engines.aws.command import Commands
from homeport.engines.aws.fleet import Fleet, Pool
from homeport.engines.aws.kept import Turn
from homeport.engines.aws.many import AT_ONCE, refused
from homeport.engines.aws.turn import DEPLOY_SECONDS, Turns
from homeport.errors import HomeportError, NotFound
from homeport.model.action import Drain, EnterStandby, Inherit, PutInService, Start, Stop, Terminate
from homeport.model.platform import Place
from homeport.plan.aws_stacks import store_url
from homeport.ports.clock import Clock

Order = Start | Inherit | EnterStandby | PutInService | Drain | Stop | Terminate
STOP_SECONDS = 600
STOP = ("homeport-agent", "stop")
BOOT = ("homeport-agent", "boot", "--wait", "10m")
SINGLY = (EnterStandby, Terminate)
"""AWS takes one at a time, or takes back the capacity with each."""


class Orders:
    """Of one environment. `turns` remembers those that are begun; `told`: something was told just now."""

    def __init__(
        self,
        place: Place,
        *,
        fleet: Fleet,
        commands: Commands,
        clock: Clock,
        turns: Turns,
        told: Callable[[], None],
    ) -> None:
        self.place = place
        self.fleet = fleet
        self.commands = commands
        self.clock = clock
        self.stopped: dict[str, datetime] = {}
        """When this very process told instances to stop."""
        self.turns = turns
        self._told = told
        self._gathered: list[tuple[Pool, Order]] | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is told inside is told when it ends. Raises what went wrong first, after all else was told."""
        self._gathered = []
        try:
            yield
        finally:
            gathered, self._gathered = self._gathered, None
            self._tell_all(gathered)

    def tell(self, pool: Pool, order: Order) -> None:
        if self._gathered is not None:
            self._gathered.append((pool, order))
        else:
            self._tell_all([(pool, order)])

    def _tell_all(self, orders: Sequence[tuple[Pool, Order]]) -> None:
        alike: dict[tuple[str, Order], tuple[Pool, list[str]]] = {}
        for pool, order in orders:
            # what a command says is the same for all groups of an app
            where = pool.app if isinstance(order, Start | Stop) else pool.name
            alike.setdefault((where, replace(order, instance="")), (pool, []))[1].append(order.instance)
        trouble: list[HomeportError] = []
        for (_, order), (pool, instances) in alike.items():
            trouble += self._tell(pool, order, instances)
        if trouble:
            raise trouble[0]

    def _tell(self, pool: Pool, order: Order, instances: Sequence[str]) -> list[HomeportError]:
        """What went wrong."""
        trouble: list[HomeportError] = []

        def tell(chosen: Sequence[str]) -> None:
            try:
                self._call(pool, order, chosen)
            except NotFound:
                raise
            except HomeportError as error:
                trouble.append(error)
            finally:
                self._told()

        for instance, error in refused(instances, tell, at_once=1 if isinstance(order, SINGLY) else AT_ONCE):
            match order:
                case Start(release=release):
                    self.turns.unsent(instance, release)
                case Stop():
                    self.stopped[instance] = self.clock.now()
                case _:
                    trouble.append(error)
        return trouble

    def _call(self, pool: Pool, order: Order, instances: Sequence[str]) -> None:
        now = self.clock.now()
        match order:
            case Terminate() if pool.ending(instances[0]):
                return
            case Start(release=release):
                url = f"{store_url(self.place)}/{pool.app}/{self.place.name}/r{release}"
                argv = ("homeport-agent", "deploy", "--wait", "10m", url)
                why = f"r{release} of {pool.app}"
                command = self.commands.send(instances, argv, seconds=DEPLOY_SECONDS, why=why)
                turn = Turn(release=release, command=command, begun_at=self.clock.now())
                self.turns.keep(dict.fromkeys(instances, turn))
            case Inherit(release=release):
                self.fleet.tag(instances, release)
                self.turns.inherited([each for each in pool.members if each.id in instances], release)
            case EnterStandby():
                self.fleet.enter_standby(pool, instances[0])
            case PutInService():
                back = self.fleet.put_in_service(pool, instances)
                if back:
                    self.commands.send(back, BOOT, seconds=DEPLOY_SECONDS, why="it comes from standby")
            case Drain():
                self.fleet.deregister(pool, instances)
            case Stop():
                fresh = [each for each in instances if each not in self.stopped]
                if fresh:
                    self.commands.send(fresh, STOP, seconds=STOP_SECONDS, why="its group ends it")
                    self.stopped |= dict.fromkeys(fresh, now)
            case Terminate():
                self.fleet.terminate(pool, instances[0])
