"""The simulated AWS as a whole: one endpoint for all services, and what AWS does by itself behind it.

    with simulator() as aws:
        os.environ |= aws.variables        # AWS_ENDPOINT_URL, a region, credentials
        …
        aws.url_of(dns_name)               # where a load balancer's stand-in answers

Called by tests and by `homeport simulate aws`. What it leaves out: docs/reference/simulator.md and docs/limits.md.
"""

import logging
import shutil
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server

from homeport.model.platform import IMAGE
from homeport.simulation.aws import moto_answer, moto_patch, price, rights_simulated
from homeport.simulation.aws import stack_type_account as _account  # noqa: F401 - fills the table of types
from homeport.simulation.aws import stack_type_network as _network  # noqa: F401
from homeport.simulation.aws import stack_type_server as _server  # noqa: F401
from homeport.simulation.aws.balancer import Balancer
from homeport.simulation.aws.cloudformation import CloudFormation
from homeport.simulation.aws.command import Commands
from homeport.simulation.aws.ground import AwsGround
from homeport.simulation.aws.hypervisor import Hypervisor
from homeport.simulation.aws.inventory import Inventory
from homeport.simulation.aws.launch import Launches
from homeport.simulation.aws.network import network
from homeport.simulation.aws.rights import Rights
from homeport.simulation.aws.scaling import Scaling
from homeport.simulation.aws.service import Door
from homeport.simulation.aws.target import Targets
from homeport.system.aws_model import Models
from homeport.system.clock import SystemClock
from homeport.system.memory import tidied_seldom

REGION, ACCOUNT = "eu-west-1", "123456789012"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "simulated"
TURN_SECONDS = 0.1
LOG = logging.getLogger("homeport.simulation.aws")


class _Quiet(MotoRequestHandler):
    def log_request(self, *_: object) -> None:
        """Nothing: calls are counted by the door."""


class PacedClock:
    """AWS's own: its waits pass `pace` times as fast as ours. Implements `ports.clock.Clock`."""

    def __init__(self, pace: float) -> None:
        self.pace = pace

    def now(self) -> datetime:
        return SystemClock().now()

    def monotonic(self) -> float:
        return time.monotonic() * self.pace


class Simulator:
    """One account, one region in which instances run; one at a time in a process, since moto keeps what it knows in the
    process. Begins empty."""

    def __init__(self, root: Path, *, region: str = REGION, account: str = ACCOUNT, pace: float = 1.0) -> None:
        moto_patch.check()
        moto_patch.others_buckets_are_theirs()
        self.root = root
        self.region = region
        self.account = account
        self.clock = PacedClock(pace)
        self.door = Door(account)
        self._network = network()
        moto_patch.instances_here(self._network.take)
        moto_patch.objects_created_once()
        moto_patch.addresses_let_go()
        moto_patch.tags_of_one()
        moto_patch.services_found_once()
        moto_patch.operations_listed_once()
        moto_answer.sooner()
        self._http: BaseWSGIServer = make_server(
            self._network.address, 0, self.door, threaded=True, request_handler=_Quiet
        )
        self.endpoint_url = f"http://{self._network.address}:{self._http.server_port}"
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._models = Models()  # read once: each stack is made with another key, so by clients of its own
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.inventory = Inventory(self.client, self.door)
        self.rights = Rights(self.client, self.inventory.instances, account=account, region=region)
        self.door.rights = self.rights
        self.targets = Targets(self.inventory, self.clock)
        self.balancer = Balancer(self.inventory, self.targets)
        self.scaling = Scaling(AwsGround(self.client, self.inventory, self.targets, self.clock), account, self.clock)
        self.hypervisor = Hypervisor(
            self.client,
            self.inventory,
            root / "instances",
            self._network,
            endpoint=self.endpoint_url,
            region=region,
            account=account,
            life_cycle=self.scaling.life_cycle,
            rights=self.rights,
        )
        self.commands = Commands(self.hypervisor, self.inventory, self.rights, self.clock)
        self.formation = CloudFormation(self._client, account, self.rights)
        self.door.register("autoscaling", self.scaling.behaviours())
        self.door.register("cloudformation", self.formation.behaviours())
        self.door.register("ec2", self.hypervisor.behaviours())
        self.door.register("ec2", Launches(self.client).behaviours())
        self.door.register("elbv2", self.targets.behaviours())
        self.door.register("ssm", self.commands.behaviours())
        self.door.register("pricing", price.behaviours())
        self.door.register("iam", rights_simulated.behaviours(self.rights))
        self._serving = threading.Thread(target=self._http.serve_forever, name="aws", daemon=True)
        # the balancer has a turn of its own: HAProxy may let it wait
        turns = ((self.scaling.tick, self.hypervisor.tick, self.targets.tick), (self.balancer.tick,))
        self._turning = [threading.Thread(target=self._turn, args=(each,), daemon=True) for each in turns]

    @property
    def variables(self) -> dict[str, str]:
        """With which a program reaches it, and nothing else of AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    def variables_of(self, role: str) -> dict[str, str]:
        """As `variables`, with the credentials of that role: what its policies don't allow is denied."""
        arn = self.client("iam").get_role(RoleName=role)["Role"]["Arn"]
        keys = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="person")["Credentials"]
        self.rights.issue(keys["AccessKeyId"], role)
        own = {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"]}
        return self.variables | own | {"AWS_SESSION_TOKEN": keys["SessionToken"]}

    def url_of(self, dns_name: str) -> str | None:
        """Where the stand-in of that load balancer answers on this machine; None: it has no listener yet."""
        return self.balancer.url(dns_name)

    def urls(self) -> dict[str, str]:
        """Where stand-ins answer, by the load balancer's DNS name."""
        names = [each["DNSName"] for each in self.inventory.balancing().balancers.values()]
        return {each: url for each in names if (url := self.url_of(each)) is not None}

    @property
    def broken(self) -> list[str]:
        """Calls that the simulator could not answer as AWS would; a test that leaves any has shown nothing."""
        return self.door.broken

    @property
    def hurried(self) -> list[str]:
        """What may have gone wrong only because AWS's own waits pass faster than servers boot and end, in words."""
        pace = self.clock.pace
        return [
            f"{id_}: nobody completed the hook {hook.name} within its {hook.timeout} s, which are "
            f"{hook.timeout / pace:.3g} s at --pace {pace:g}; a server takes its own time to boot and to end"
            for id_, hook in (self.scaling.late if pace > 1 else ())
        ]

    def client(self, service: str) -> Any:
        """boto3's, of this region."""
        return self._client(service, self.region)

    def keep_image(self, parameter: str) -> None:
        """There is a machine image of that name, as `make image` leaves one; what it holds doesn't matter here."""
        found = self.client("ec2").describe_images()["Images"][0]["ImageId"]
        said = {"Value": found, "Type": "String", "DataType": "aws:ec2:image", "Overwrite": True}
        self.client("ssm").put_parameter(Name=parameter, **said)

    def start(self) -> None:
        self._serving.start()
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint_url}/moto-api/reset", method="POST")).close()
        self.keep_image(IMAGE)
        tidied_seldom()  # what moto has read is much, stays, and takes seconds to look through
        for each in self._turning:
            each.start()

    def stop(self) -> None:
        """Nothing runs any more, whatever was."""
        self._stopped.set()
        for each in self._turning:
            each.join()
        self.formation.stop()
        self.commands.stop()
        self.hypervisor.stop()
        self.targets.stop()
        self.balancer.stop()
        self._http.shutdown()
        self._serving.join()
        self._http.server_close()
        self._network.close()

    def _client(self, service: str, region: str, key: str = "") -> Any:
        """`key`: with whose access key it asks; empty: one that may everything."""
        with self._lock:
            if (service, region, key) not in self._clients:
                own = botocore.session.Session()
                own.register_component("data_loader", self._models)
                session = boto3.Session(
                    aws_access_key_id=key or KEY,
                    aws_secret_access_key=SECRET,
                    region_name=region,
                    botocore_session=own,
                )
                # more than one turn of anything waits for is a bug here, not AWS's weather
                config = Config(
                    retries={"total_max_attempts": 1}, max_pool_connections=32, s3={"addressing_style": "path"}
                )
                made = session.client(service, endpoint_url=self.endpoint_url, config=config)
                self._clients[service, region, key] = made
            return self._clients[service, region, key]

    def _turn(self, ticks: tuple[Callable[[], None], ...]) -> None:
        while not self._stopped.wait(TURN_SECONDS):
            for what in ticks:
                try:
                    what()
                except Exception as error:  # the loop goes on; who reads `broken` hears of it
                    LOG.exception("%s", what.__qualname__)
                    self.door.broken.append(f"{what.__qualname__}: {type(error).__name__}: {error}")


@contextmanager
def simulator(
    root: Path | None = None, *, region: str = REGION, account: str = ACCOUNT, pace: float = 1.0
) -> Iterator[Simulator]:
    """It runs; afterwards nothing of it does. `root`: where its instances keep their files, kept then; None: nowhere
    for long. `pace`: how much faster than ours AWS's own waits pass."""
    chosen = root or Path(tempfile.mkdtemp(prefix="homeport-aws-"))
    made = Simulator(chosen, region=region, account=account, pace=pace)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        if root is None:
            shutil.rmtree(chosen, ignore_errors=True)
