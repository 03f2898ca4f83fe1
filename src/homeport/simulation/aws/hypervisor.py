"""Machines for instances: each that EC2 calls running is booted from its user data; what EC2 ends, ends. Made by
`simulator`, which calls `tick`. EC2 itself is moto."""

import base64
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from homeport.simulation.aws import metadata
from homeport.simulation.aws.inventory import Clients, Inventory
from homeport.simulation.aws.machine import Machine
from homeport.simulation.aws.metadata import Metadata
from homeport.simulation.aws.network import Network
from homeport.simulation.aws.rights import Rights
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused
from homeport.system.clock import SystemClock

CONSOLE_BYTES = 65_536
USER_DATA = "user-data"
SHELL = b"#!"


class Booted:
    """An instance that runs: its machine, and its metadata service."""

    def __init__(self, machine: Machine, service: Metadata, user_data: str) -> None:
        self.machine = machine
        self.service = service
        self.user_data = user_data

    def end(self) -> None:
        self.machine.shut_down()
        self.service.close()


class Hypervisor:
    """`life_cycle`: from an instance to what its metadata say of its group's wishes; `endpoint`: where AWS is."""

    def __init__(
        self,
        client: Clients,
        inventory: Inventory,
        root: Path,
        network: Network,
        *,
        endpoint: str,
        region: str,
        account: str,
        life_cycle: Callable[[str], str],
        rights: Rights,
    ) -> None:
        self._client = client
        self._inventory = inventory
        self._root = root
        self._network = network
        self._endpoint = endpoint
        self._region = region
        self._account = account
        self._life_cycle = life_cycle
        self._rights = rights
        self._lock = threading.Lock()
        self._booted: dict[str, Booted] = {}
        self._ending: list[threading.Thread] = []
        self._keys: dict[str, tuple[str, str]] = {}

    def behaviours(self) -> Mapping[str, Behaviour]:
        return {"GetConsoleOutput": self._console}

    def machine(self, id: str) -> Machine | None:
        """None: it doesn't run."""
        with self._lock:
            found = self._booted.get(id)
        return found.machine if found else None

    def role(self, id: str) -> str:
        """Of the instance's profile; empty: it has none."""
        profile = self._inventory.instances().get(id, {}).get("IamInstanceProfile", {}).get("Arn", "")
        return self._role(id, str(profile))[0]

    def booted(self) -> list[str]:
        with self._lock:
            return list(self._booted)

    def tick(self) -> None:
        """As EC2 says."""
        instances = self._inventory.instances()
        for id, each in instances.items():
            if each["State"]["Name"] == "running" and self.machine(id) is None:
                self._boot(id, each)
        for id in self.booted():
            state = instances.get(id, {}).get("State", {}).get("Name", "terminated")
            if state != "running":
                self._end(id)
            elif (machine := self.machine(id)) is not None and not machine.alive:
                # EC2 User Guide, InstanceInitiatedShutdownBehavior: a machine that shuts itself down is stopped
                self._client("ec2").stop_instances(InstanceIds=[id])
        self._ending = [each for each in self._ending if each.is_alive()]

    def stop(self) -> None:
        """Nothing runs any more."""
        for id in self.booted():
            self._end(id)
        for each in self._ending:
            each.join()

    def crash(self, id: str) -> None:
        """The machine is without power, and nobody was told. Raises KeyError."""
        with self._lock:
            found = self._booted[id]
        found.machine.power_off()

    def _boot(self, id: str, instance: Mapping[str, Any]) -> None:
        asked = self._client("ec2").describe_instance_attribute(InstanceId=id, Attribute="userData")
        text = base64.b64decode(asked.get("UserData", {}).get("Value", "") or "")
        directory = self._root / id
        service = Metadata(
            self._network.address,
            lambda: self._entries(id, text.decode(errors="replace")),
            lambda: self._old_allowed(id),
        )
        variables = {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url,
            "HOMEPORT_DIRECTORY": str(directory / "homeport"),
            "LANG": "C.UTF-8",
        }
        machine = Machine(directory, variables, self._network, str(instance["PrivateIpAddress"]))
        with self._lock:
            self._booted[id] = Booted(machine, service, text.decode(errors="replace"))
        if text.startswith(SHELL):
            # page "Run commands on your Linux instance at launch": scripts that begin with #! are run, as root, once
            script = directory / USER_DATA
            script.write_bytes(text)
            script.chmod(0o700)
            machine.run((str(script),), machine.console)
        elif text:
            with machine.console.open("ab") as console:
                console.write(b"the simulator runs user data only where it begins with #!\n")

    def _end(self, id: str) -> None:
        with self._lock:
            found = self._booted.pop(id)
        thread = threading.Thread(target=found.end, name=f"end {id}", daemon=True)
        self._ending.append(thread)
        thread.start()

    def _old_allowed(self, id: str) -> bool:
        options = self._inventory.instances().get(id, {}).get("MetadataOptions", {})
        return str(options.get("HttpTokens")) != "required"

    def _entries(self, id: str, user_data: str) -> Mapping[str, str]:
        instance = self._inventory.instances()[id]
        role, keys = self._role(id, str(instance.get("IamInstanceProfile", {}).get("Arn", "")))
        return metadata.entries(
            instance,
            region=self._region,
            account=self._account,
            user_data=user_data,
            life_cycle=self._life_cycle(id),
            role=role,
            keys=keys,
        )

    def _role(self, id: str, profile: str) -> tuple[str, str]:
        """Name of the role, and its credentials as JSON; empty without one."""
        if not profile:
            return "", ""
        if id not in self._keys:
            try:
                name = profile.rpartition("/")[2]
                iam = self._client("iam")
                role = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"][0]
                answer = self._client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName=id)["Credentials"]
            except (ClientError, LookupError):
                return "", ""
            self._rights.issue(answer["AccessKeyId"], role["RoleName"])
            said = {
                "Code": "Success",
                "LastUpdated": SystemClock().now().strftime("%Y-%m-%dT%H:%M:%SZ"),
                "Type": "AWS-HMAC",
                "AccessKeyId": answer["AccessKeyId"],
                "SecretAccessKey": answer["SecretAccessKey"],
                "Token": answer["SessionToken"],
                "Expiration": answer["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            self._keys[id] = (role["RoleName"], json.dumps(said))
        return self._keys[id]

    def _console(self, call: Call) -> Answer:
        """EC2 API Reference, GetConsoleOutput: "the most recent 64 KB of console output", and some time after the
        instance has ended."""
        id = call.get("InstanceId")
        path = self._root / id / "console.log"
        if id not in self._inventory.instances():
            raise Refused("InvalidInstanceID.NotFound", f"The instance ID '{id}' does not exist")
        data = path.read_bytes()[-CONSOLE_BYTES:] if path.exists() else b""
        return {
            "InstanceId": id,
            "Timestamp": SystemClock().now(),
            "Output": base64.b64encode(data).decode() if data else None,
        }
