"""The door of the simulated AWS: each call is parsed by botocore's own model of the service, and answered by the
behaviour of ours that is registered for it; all others are moto's. Used by `simulator`, spoken to over HTTP.

moto's answers are watched: a call that it doesn't know, or breaks on, is kept in `Door.broken`.
"""

import io
import logging
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

from moto.core.errors import COMMON_ERROR_CODES
from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from msgspec import Struct
from werkzeug.datastructures import Headers, MultiDict
from werkzeug.wrappers import Request, Response

from homeport.simulation.aws.rights import Rights
from homeport.simulation.aws.rights_name import of_route53
from homeport.simulation.aws.wish import Wish, s3_wish

Answer = Mapping[str, Any] | None
Behaviour = Callable[["Call"], Answer]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""Of WSGI."""
LARGEST_BODY_BYTES = 1 << 20
OURS = ("autoscaling", "cloudformation", "pricing")
"""Services of which moto isn't asked at all: what isn't modelled is refused."""
SIGNED = {"elasticloadbalancing": "elbv2", "monitoring": "cloudwatch"}
"""Names in signatures → botocore's."""
COMMON = ("AccessDenied", "AccessDeniedException", "InternalFailure", "InvalidAction", "NotSimulated")
"""Codes that belong to no service: moto would warn of them."""
LOG = logging.getLogger("homeport.simulation.aws")

COMMON_ERROR_CODES.extend(each for each in COMMON if each not in COMMON_ERROR_CODES)


class Refused(ServiceException):
    """What AWS answers with an error: its code, and its words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


class Passed(Exception):
    """What a behaviour of ours leaves to moto, this time."""


class Call(Struct, frozen=True):
    """One call as it came in. `asked` are its parameters, in botocore's names; `key`: the caller's access key."""

    service: str
    operation: str
    region: str
    asked: dict[str, Any]
    key: str = ""

    def get(self, name: str, default: Any = None) -> Any:
        return self.asked.get(name, default)

    def names(self, name: str) -> list[str]:
        return list(self.asked.get(name) or ())


READING = ("Describe", "Get", "List", "Head")
KEPT = ("ec2", "elbv2")
"""Services whose answers are kept until something changes: moto takes long to write them, and everybody asks."""


class Knock(Struct, frozen=True):
    """A call as it stands at the door, not carried out yet. `key`: the caller's access key; `operation` is empty where
    none of ours could answer it, as of all of S3's; `path`: its method and path."""

    key: str
    service: str
    region: str
    operation: str
    path: str
    form: Any
    body: bytes

    def refusal(self, code: str, message: str, status: int | None = None) -> Response:
        """What the service says in its own form. `status`: where it isn't the one that goes with such words."""
        if not self.operation:
            text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            return Response(text, status=status or 400, content_type="application/xml")
        known = get_service_model(self.service).operation_model(self.operation)
        answer = _serialized(known, Refused(code, message))
        answer.status_code = status or answer.status_code
        return answer


class Heard(Struct, frozen=True):
    """An answer of moto's. `head`: what WSGI begins it with; `changes`: how many there had been."""

    changes: int
    head: Any
    body: bytes


Weather = Callable[[Knock, Application], Application]
"""Between callers and services: what it makes of a call that the application would carry out."""


class Door:
    """A WSGI application. `calls` counts by service and operation; `changes` by service those that moto answered and
    that don't only read, so that who keeps an answer knows when it is out of date."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.calls: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()
        self.broken: list[str] = []
        self.rights: Rights | None = None
        """Whose limits are kept; None: nobody's."""
        self.weather: Weather | None = None
        """None: every call arrives, and so does its answer."""
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._alone = threading.Lock()
        """moto looks through its own dictionaries while other calls change them. Not in S3, which is asked the most."""
        self._behaviours: dict[tuple[str, str], Behaviour] = {}
        self._kept: dict[tuple[str, bytes], Heard] = {}

    def register(self, service: str, behaviours: Mapping[str, Behaviour]) -> None:
        """These operations are answered by us from now on."""
        self._behaviours |= {(service, operation): each for operation, each in behaviours.items()}

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        key, service, region = _scope(environ.get("HTTP_AUTHORIZATION", ""))
        operation, form, body = _named(service, environ)
        path = f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '')}"
        knock = Knock(key, service, region, operation, path, form, body)
        carried_out = partial(self._carry_out, knock)
        return (carried_out if self.weather is None else self.weather(knock, carried_out))(environ, start)

    def _carry_out(self, knock: Knock, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        service, operation = knock.service, knock.operation
        if operation:
            self.calls[f"{service}.{operation}"] += 1
        if self.rights is not None and self.rights.limited(knock.key):
            refusal = self._refusal(self.rights, knock, environ)
            if refusal is not None:
                return refusal(environ, start)
        behaviour = self._behaviours.get((service, operation))
        if behaviour is not None or service in OURS:
            with suppress(Passed):
                return self._answer(behaviour, knock)(environ, start)
        if service in KEPT and operation.startswith(READING):
            return self._recall(knock, environ, start)
        return self._ask_moto(environ, start, f"{service}.{operation or environ.get('PATH_INFO', '')}")

    def _recall(self, knock: Knock, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """moto's answer to a question, given again as long as nothing has changed since in any service but S3. Counted
        before asking: what changes meanwhile is asked for again."""
        changes = self.changes.total() - self.changes["s3"]
        place = (f"{knock.region} {knock.service}", knock.body)
        heard = self._kept.get(place)
        if heard is None or heard.changes != changes:
            heads: list[Any] = []
            answer = self._ask_moto(environ, lambda *head: heads.append(head), f"{knock.service}.{knock.operation}")
            heard = Heard(changes, heads[0], b"".join(answer))
            if heard.head[0].startswith("200"):
                self._kept[place] = heard
        start(*heard.head)
        return [heard.body]

    def _refusal(self, rights: Rights, knock: Knock, environ: dict[str, Any]) -> Response | None:
        """The answer to who may not; None: they may."""
        key, service, operation = knock.key, knock.service, knock.operation
        if service == "s3":
            method, path = str(environ["REQUEST_METHOD"]), str(environ.get("RAW_URI", environ["PATH_INFO"]))
            wish = s3_wish(method, path.partition("?")[0], str(environ.get("QUERY_STRING", "")))
            text = f"<Error><Code>AccessDenied</Code><Message>{_refused([wish])}</Message></Error>"
            bucket, _, name = wish.resource.removeprefix("arn:aws:s3:::").partition("/")
            able = rights.permits(key, [wish])
            if able and wish.action == "s3:GetObject" and not rights.sees_missing(key, bucket):
                able = rights.there(bucket, name)
            return None if able else Response(text, status=403, content_type="application/xml")
        if service == "route53":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            wish = Wish(*of_route53(str(environ["REQUEST_METHOD"]), str(environ["PATH_INFO"]), body))
            may_not = knock.refusal("AccessDenied", _refused([wish]), 403)
            return None if rights.permits(key, [wish]) else may_not
        known = get_service_model(service).operation_model(operation)
        refused = rights.refused(key, rights.wishes.of(service, operation, _parsed(known, knock.form, knock.body)))
        if not refused:
            return None
        codes = {"ec2": "UnauthorizedOperation", "json": "AccessDeniedException"}
        code = codes.get(known.service_model.protocol, "AccessDenied")
        return knock.refusal(code, _refused(refused))

    def _answer(self, behaviour: Behaviour | None, knock: Knock) -> Response:
        service, operation = knock.service, knock.operation
        model = get_service_model(service)
        try:
            known = model.operation_model(operation)
        except Exception:  # noqa: BLE001 - of botocore's own kind, for a name that isn't one
            return _serialized(OperationModel({}, model), Refused("InvalidAction", f"no such action: {operation}"))
        try:
            if behaviour is None:
                raise Refused("NotSimulated", f"the simulator doesn't model {service}:{operation}")
            asked = _parsed(known, knock.form, knock.body)
            result: Any = behaviour(Call(service, operation, knock.region, asked, knock.key)) or {}
        except Passed:
            raise
        except Refused as error:
            if error.code == "NotSimulated":
                self.broken.append(error.message)
            result = error
        except Exception as error:  # the last door: what comes here is a bug of the simulator
            LOG.exception("%s.%s", service, operation)
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.broken.append(f"{service}.{operation}: {type(error).__name__}: {error} ({where.name}:{where.lineno})")
            result = Refused("InternalFailure", f"a bug of the simulator: {error}")
        return _serialized(known, result)

    def _ask_moto(self, environ: dict[str, Any], start: Callable[..., Any], what: str) -> Iterable[bytes]:
        def begin(status: str, headers: Any, *more: Any) -> Any:
            if status.startswith("5"):
                self.broken.append(f"{what}: moto answers {status}")
            return start(status, headers, *more)

        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self.account
        application = self._moto.get_application(environ)
        try:
            with nullcontext() if what.startswith("s3.") else self._alone:
                answer: Iterable[bytes] = application(environ, begin)
        except Exception as error:  # noqa: BLE001 - what moto does not know ends so
            self.broken.append(f"{what}: moto breaks: {type(error).__name__}: {error}")
            return Response(f"moto breaks at {what}", status=500)(environ, start)
        service, _, operation = what.partition(".")
        if not operation.startswith(READING):
            self.changes[service] += 1
            if service != "s3":
                self._kept.clear()
            if service == "iam" and self.rights is not None:
                self.rights.forget()
        return answer


def _refused(wishes: list[Wish]) -> str:
    """IAM User Guide, troubleshoot access denied error messages: what most services say."""
    action, resource = wishes[0].action, wishes[0].resource
    return (f"User is not authorized to perform: {action} on resource: {resource} because no identity-based policy "
            f"allows the {action} action")  # fmt: skip


def _parsed(operation: OperationModel, form: Any, body: bytes) -> dict[str, Any]:
    request: Any = {"body": body, "headers": Headers(), "method": "POST", "url_params": {}, "url_path": "/"}
    request["values"] = form
    return dict(PROTOCOL_PARSERS[operation.service_model.protocol](operation).parse(request))


def _serialized(operation: OperationModel, result: Any) -> Response:
    model = operation.service_model
    made = get_serializer_class(model.service_name, model.protocol)(operation_model=operation).serialize(result)
    return Response(made["body"], status=made["status_code"], headers=dict(made["headers"]))


def _scope(authorization: str) -> tuple[str, str, str]:
    """Access key, service and region that a request was signed for; empty: it wasn't."""
    _, found, rest = authorization.partition("Credential=")
    parts = rest.partition(",")[0].split("/")
    if not found or len(parts) < 5:
        return "", "", ""
    return parts[0], SIGNED.get(parts[3], parts[3]), parts[2]


def _named(service: str, environ: dict[str, Any]) -> tuple[str, "MultiDict[str, str]", bytes]:
    """The operation's name (empty: none that we could answer), its form, its body. The request can be read again."""
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    simple = str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded")
    size = int(environ.get("CONTENT_LENGTH") or 0)
    if service == "s3" or not (target or simple) or size > LARGEST_BODY_BYTES:
        return "", MultiDict(), b""
    body = environ["wsgi.input"].read(size)
    environ["wsgi.input"] = io.BytesIO(body)
    if target:
        return target.rpartition(".")[2], MultiDict(), body
    form = Request({**environ, "wsgi.input": io.BytesIO(body)}).form
    return form.get("Action", ""), form, body
