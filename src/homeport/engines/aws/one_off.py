"""One-off processes, such as release tasks: each on an EC2 instance of its own, launched from its group's template, and
gone afterwards. Used by `engine`.

That it runs once is held by two things: EC2 launches no second instance for one token, and the instance begins it by
creating an object that must not be there. What both tell each other: `plan.task_object`.
"""

import hashlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from homeport.engines.aws.error import NoRoom, translated
from homeport.engines.aws.fleet import Pool
from homeport.engines.aws.kept import Kept, OneOff
from homeport.errors import Conflict, Invalid, NotFound
from homeport.instance.task import NEVER_STARTED
from homeport.model.action import RunTask
from homeport.model.fleet import Task
from homeport.model.platform import Place
from homeport.model.session import Session
from homeport.plan.aws_stacks import PORT, identity_path, place_tags, store_url
from homeport.plan.task import GRACE
from homeport.plan.task_object import Begun, EndedTask, Written, stop_key, task_prefix
from homeport.ports.clock import Clock
from homeport.ports.engine import LogLine
from homeport.ports.objects import ObjectStore
from homeport.system.clock import pause
from homeport.system.effect import effect

KEPT_TASKS = 20
SHOWN_WITHIN = timedelta(minutes=2)
"""EC2's answers "might not be immediately visible to all subsequent" questions (EC2 API, eventual consistency)."""
BEGIN_WITHIN = timedelta(minutes=10)
"""From launch until the agent has taken it on."""
END_WITHIN = GRACE + timedelta(seconds=30)
"""From the word until the agent has told the end: then its instance is taken from it."""
GONE = ("shutting-down", "terminated", "stopping", "stopped")
CONSOLE_LINES = 20
TOKEN = "homeport-token"
"""A tag: by it an instance is found again whose launch nobody could write down."""
FOLLOW_SECONDS = 1.0

Change = Callable[[Callable[[Kept], Kept]], Kept]
"""What is kept is changed, durably."""


class OneOffs:
    """Of one environment. Everything may raise `Unavailable` and `Invalid`."""

    def __init__(
        self, client: Callable[[str], Any], place: Place, *, store: ObjectStore, clock: Clock, change: Change
    ) -> None:
        self._client = client
        self._place = place
        self._store = store
        self._clock = clock
        self._change = change

    def run(self, kept: Kept, action: RunTask, pool: Pool, session: Session | None = None) -> None:
        """It was begun at most once, whoever says so again. What EC2 refuses for good has ended. `session`: whose it
        is, if a person's."""
        known = kept.tasks.get(action.task)
        if known is None:
            if not all((*pool.template, pool.subnets)):
                raise Invalid(f"{pool.name} has no launch template, or no subnet", hint="homeport up")
            template, version = pool.template
            begun_at = self._clock.now()
            # another each time: a zone in which nothing begins doesn't hold up whoever tries again
            subnet = pool.subnets[begun_at.microsecond % len(pool.subnets)]
            known = OneOff(
                app=action.app,
                group=pool.group,
                release=action.release,
                begun_at=begun_at,
                template=template,
                version=version,
                subnet=subnet,
                session=session,
            )
            self._keep({action.task: known})
        if known.instance or known.ended:
            return
        try:
            known = self._launched(action, known, pool)
        except (Invalid, NoRoom) as error:
            known = replace(known, exit_code=NEVER_STARTED, tail=(error.message,), ended_at=self._clock.now())
        self._keep({action.task: known})

    def end(self, kept: Kept, task: str, *, by_force: bool) -> None:
        """The agent tells the process, and kills it where it doesn't hear; where that doesn't either, its instance is
        ended."""
        known = kept.tasks.get(task)
        if known is None or known.ended:
            return
        now = self._clock.now()
        if not known.instance and not self._found(self._token(task, known)):
            self._keep({task: replace(known, exit_code=NEVER_STARTED, stop_at=now, ended_at=now)})
        elif known.stop_at is None:
            _tell(self._store, stop_key(self._prefix(task, known)), b"{}")
            self._keep({task: replace(known, stop_at=now)})
        elif by_force and now >= known.stop_at + END_WITHIN and known.instance:
            self._terminate(known.instance)

    def followed(self, kept: Kept) -> Kept:
        """With what has become of those that went on."""
        found = {}
        for id_, each in kept.tasks.items():
            if not each.ended and (seen := self._seen(id_, each)) != each:
                found[id_] = seen
        return self._keep(found) if found else kept

    def log(self, kept: Kept, task: str, *, follow: bool) -> Iterator[LogLine] | None:
        """What a task wrote; None: there is none of that id, nor was."""
        known = kept.tasks.get(task)
        apps = [known.app] if known is not None else sorted(kept.fences)
        for app in apps:
            prefix = task_prefix(app, self._place.name, task)
            if known is not None or self._store.list(prefix):
                return self._lines(prefix, task, follow=follow)
        return None

    # --- inside -------------------------------------------------------------------------------------------------------

    def _seen(self, id_: str, known: OneOff) -> OneOff:
        if not known.instance:
            found = self._found(self._token(id_, known))
            late = not found and self._clock.now() - known.begun_at >= BEGIN_WITHIN
            return self._not_begun(known, "EC2 launched no instance for it") if late else replace(known, instance=found)
        ended = self._told(id_, known)
        if ended is not None:
            self._terminate(known.instance)
            return replace(known, exit_code=ended.exit_code, tail=ended.tail, ended_at=ended.at)
        age = self._clock.now() - known.begun_at
        state = self._state(known.instance)
        if state in GONE or (not state and age >= SHOWN_WITHIN):
            if self._told(id_, known) is not None:
                return known  # it has told just now
            if state in ("stopping", "stopped"):
                self._terminate(known.instance)
            return replace(known, lost=True, tail=self._tail(id_, known), ended_at=self._clock.now())
        if age >= BEGIN_WITHIN and self._give_up(id_, known):
            console = self.console(known.instance)
            self._terminate(known.instance)
            return self._not_begun(known, f"{known.instance}, launched for it, didn't begin it", *console)
        return known

    def _not_begun(self, known: OneOff, why: str, *more: str) -> OneOff:
        tail = (f"{why} within {BEGIN_WITHIN.total_seconds():g} s", *more)
        return replace(known, exit_code=NEVER_STARTED, tail=tail, ended_at=self._clock.now())

    def _launched(self, action: RunTask, known: OneOff, pool: Pool) -> OneOff:
        """In its subnet, or in the next that has room. Raises `NoRoom` where none has, and what `_launch` raises."""
        for _ in pool.subnets[1:]:
            try:
                return replace(known, instance=self._launch(action, known, pool))
            except NoRoom:
                known = replace(known, subnet=_after(known.subnet, pool.subnets))
                self._keep({action.task: known})
        return replace(known, instance=self._launch(action, known, pool))

    def _prefix(self, id_: str, known: OneOff) -> str:
        return task_prefix(known.app, self._place.name, id_)

    def _told(self, id_: str, known: OneOff) -> EndedTask | None:
        try:
            return msgspec.json.decode(self._store.get(f"{self._prefix(id_, known)}ended"), type=EndedTask)
        except NotFound:
            return None

    def _tail(self, id_: str, known: OneOff) -> tuple[str, ...]:
        lines = self._lines(self._prefix(id_, known), id_, follow=False)
        return tuple(each.text for each in list(lines)[-CONSOLE_LINES:])

    def _lines(self, prefix: str, task: str, *, follow: bool) -> Iterator[LogLine]:
        after = ""
        while True:
            over = not follow or self._store.size(f"{prefix}ended") is not None
            lines, after = self.piece(prefix, after)
            for each in lines:
                yield LogLine(at=each.at, instance=task, process=each.process, text=each.text)
            if over:
                return
            pause(FOLLOW_SECONDS)

    def piece(self, prefix: str, after: str) -> tuple[list[Written], str]:
        """What has been written since the piece `after` (empty: from the beginning), and the last piece then."""
        keys = self._store.list(f"{prefix}lines/", after=after)
        found = [msgspec.json.decode(self._store.get(key), type=list[Written]) for key in keys]
        return [line for each in found for line in each], keys[-1] if keys else after

    def _keep(self, tasks: Mapping[str, OneOff]) -> Kept:
        def kept_then(kept: Kept) -> Kept:
            every = {**kept.tasks, **tasks}
            ended = [id_ for id_, each in every.items() if each.ended and id_ not in tasks]
            for id_ in ended[: max(0, len(every) - KEPT_TASKS)]:
                del every[id_]
            return replace(kept, tasks=every)

        return self._change(kept_then)

    def _token(self, id_: str, known: OneOff) -> str:
        said = f"{self._place.id} {id_} {known.begun_at.isoformat()} {known.subnet}"
        return hashlib.sha256(said.encode()).hexdigest()[:64]

    def _give_up(self, id_: str, known: OneOff) -> bool:
        """Whether it never begins; False: it has."""
        data = msgspec.json.encode(Begun(at=self._clock.now(), instance=""))
        try:
            _tell(self._store, f"{self._prefix(id_, known)}begun", data, once=True)
        except Conflict:
            return False
        return True

    # --- EC2 ----------------------------------------------------------------------------------------------------------

    @effect("aws.launch")
    def _launch(self, action: RunTask, known: OneOff, pool: Pool) -> str:
        """Id of the instance that this token stands for."""
        url = f"{store_url(self._place)}/{known.app}/{self._place.name}/r{known.release}"
        argv = ("exec", "homeport-agent", "task", url, action.task, action.command)
        tags = {
            "Name": action.task,
            **place_tags(self._place),
            "homeport-app": known.app,
            "homeport-group": known.group,
            "homeport-mode": self._place.mode,
            "homeport-store": store_url(self._place),
            "homeport-identity": identity_path(self._place),
            "homeport-listen": str(PORT),
            "homeport-fleet": pool.name,
            "homeport-task": action.task,
            TOKEN: self._token(action.task, known),
        }
        with translated(f"an instance for {action.task}"):
            answer = self._client("ec2").run_instances(
                LaunchTemplate={"LaunchTemplateId": known.template, "Version": known.version},
                SubnetId=known.subnet,
                MinCount=1,
                MaxCount=1,
                ClientToken=self._token(action.task, known),
                InstanceInitiatedShutdownBehavior="terminate",
                UserData=f"#!/bin/sh\n{shlex.join(argv)}\n",
                TagSpecifications=[
                    {"ResourceType": "instance", "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}
                ],
            )
        return str(answer["Instances"][0]["InstanceId"])

    @effect("aws.end_one_off")
    def _terminate(self, instance: str) -> None:
        """Harmless for one that has ended."""
        try:
            with translated(f"the instance {instance}"):
                self._client("ec2").terminate_instances(InstanceIds=[instance])
        except NotFound:
            return

    def _found(self, token: str) -> str:
        """Empty: there is none."""
        return next((str(each["InstanceId"]) for each in self._described(f"tag:{TOKEN}", token)), "")

    def _state(self, instance: str) -> str:
        """Empty: EC2 doesn't show it, yet or any more."""
        return next((str(each["State"]["Name"]) for each in self._described("instance-id", instance)), "")

    def _described(self, name: str, value: str) -> list[Mapping[str, Any]]:
        with translated(f"the instance of {name} {value}"):
            answer = self._client("ec2").describe_instances(Filters=[{"Name": name, "Values": [value]}])
        return [each for reservation in answer["Reservations"] for each in reservation["Instances"]]

    def console(self, instance: str) -> tuple[str, ...]:
        """The last lines that its machine wrote: "available for at least one hour after the most recent post" (EC2 API,
        GetConsoleOutput), also when it is gone."""
        with translated(f"the console of {instance}"):
            text = str(self._client("ec2").get_console_output(InstanceId=instance).get("Output", ""))
        return tuple(text.splitlines()[-CONSOLE_LINES:])


def observed(kept: Kept) -> tuple[Task, ...]:
    """As the deciders know them. One that isn't known to be launched may be begun again."""
    return tuple(
        Task(id=id_, app=each.app, exit_code=each.exit_code, lost=each.lost, stop_at=each.stop_at, tail=each.tail)
        for id_, each in kept.tasks.items()
        if each.session is None and (each.instance or each.ended)
    )


def sessions(kept: Kept) -> tuple[Session, ...]:
    """What people run, and have run lately."""
    return tuple(
        replace(
            each.session,
            stop_at=each.stop_at,
            ended_at=each.ended_at,
            exit_code=each.exit_code,
            reason="its instance has ended" if each.lost else "",
        )
        for each in kept.tasks.values()
        if each.session is not None
    )


def _after(subnet: str, subnets: Sequence[str]) -> str:
    place = subnets.index(subnet) if subnet in subnets else -1
    return subnets[(place + 1) % len(subnets)]


@effect("aws.tell_task")
def _tell(store: ObjectStore, key: str, data: bytes, *, once: bool = False) -> None:
    """`once`: raises `Conflict` where it was told before."""
    try:
        store.create(key, data)
    except Conflict:
        if once:
            raise
