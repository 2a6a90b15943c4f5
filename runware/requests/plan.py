"""The plan of a call: what the I/O loop needs to know about a request, decided once."""

# No `from __future__ import annotations` in this package: the checks read the annotations as types.

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from runware._support.http_headers import Headers, encode_headers
from runware._support.lazy_modules import lazy_module
from runware.errors import UsageError, ValidationError
from runware.options import DEFAULT_TIMEOUT, Options, seconds
from runware.protocol.call import Call, Completion, StoredInputs
from runware.protocol.codec import dumps, is_flat
from runware.protocol.ids import new_uuid
from runware.protocol.retry import Retries
from runware.requests import request_class
from runware.requests.base import Task, no_stream
from runware.requests.validation import object_names
from runware.results.base import shortened

if TYPE_CHECKING:
    import hashlib
    import json

    from runware.models.checker import Checker
else:
    hashlib = lazy_module("hashlib")
    json = lazy_module("json")


class Uploads(Protocol):
    """Stores large media once, as planning needs it."""

    def replaced(
        self, task_type: str, wire: Mapping[str, Any], headers: Headers = ()
    ) -> tuple[dict[str, Any], StoredInputs | None]:
        """Return an API object with its large media stored and named by UUIDs, and what was replaced."""
        ...


class Knowledge(Protocol):
    """What a client knows about models, as planning needs it."""

    @property
    def checker(self) -> "Checker":
        """Checks requests before they are sent."""
        ...


__all__ = ["Plan", "Planner", "Uploads", "completion_of", "fingerprint"]

_RESULTS, _ANSWER = Completion.RESULTS, Completion.ANSWER  # an attribute of an enum takes longer than a global variable
_MAX_KEPT_TEXT = 16_384
"""Size in bytes up to which a message is kept unchanged for `Result.meta`."""


class Plan(NamedTuple):
    """What a request turns into. The mutable `Call` starts as a copy of it.

    Attributes:
        uuid: The `taskUUID` of the first attempt.
        text: The message to send; empty when nothing is sent for the call itself.
        task_type: The API's task type.
        timeout: Seconds until the server's response is due.
        long_timeout: Seconds for the whole call once the server works on the task.
        expected: How many results complete it.
        completion: What completes it.
        repeatable: Whether the task only reads, so that sending it twice does no harm.
        policy: The retry policy; `None` means no retries.
        sent: The message as `Result.meta` shows it: with large inputs, an object without them.
        model: The model that is asked for; `None` if there is none.
        inputs: The media that was stored on the platform for it; `None` if there is none.
        fingerprint: A hash of what is asked for, if the client has a store.
        headers: The caller's headers for requests over HTTP.
    """

    uuid: str
    text: bytes
    task_type: str
    timeout: float
    long_timeout: float = 0.0
    expected: int = 1
    completion: Completion = Completion.RESULTS
    repeatable: bool = False
    policy: Retries | None = None
    sent: bytes | Mapping[str, Any] = b""
    model: str | None = None
    inputs: StoredInputs | None = None
    fingerprint: str = ""
    headers: Headers = ()

    def __repr__(self) -> str:
        # Error reporters show variables, and the text contains the prompt.
        return f"<Plan of {self.task_type or 'no task'} {self.uuid}, {len(self.text)} bytes>"

    def start(self) -> Call:
        """Return a new call in its initial state."""
        call = Call(*self[:9])  # `uuid` to `policy`
        call.headers = self.headers
        return call


class Planner:
    """Turn requests into plans. The client's options apply to what a request leaves open.

    Args:
        options: The client's options.
        knowledge: What the client knows about models.
        uploads: Stores large media once, if the client does that.
    """

    def __init__(self, options: Options, knowledge: Knowledge, uploads: Uploads | None = None) -> None:
        self._uploads = uploads
        self._fingerprints = options.store is not None
        self._knowledge = knowledge
        self._checker: Checker | None = None
        self._checks = options.check != "off"
        self._max_retries = options.max_retries
        self._retry_delay = options.retry_delay
        self._retries = Retries.of(None, options.max_retries, options.retry_delay)
        self._timeout = options.timeout
        self._long_timeout = options.longest_timeout
        self._over_http = options.transport == "http"
        self._given_headers = options.extra_headers
        self._headers = encode_headers(options.extra_headers)
        # A timeout that the user has chosen holds for slow models too.
        self._slow_after = options.timeout / 2 if options.timeout == DEFAULT_TIMEOUT else None
        counts = options.store is not None or options.budget is not None
        self._include_cost = True if options.include_cost is None and counts else options.include_cost

    def wire(self, task: Task[Any]) -> dict[str, Any]:
        """Return the API object of a request, without its UUID; Python names in its dicts become the API's.

        Raises:
            ValidationError: A media input cannot be read.
        """
        wire = task.wire()
        return self._named(task, wire) if _has_python_names(wire) else wire

    def _named(self, task: Task[Any], wire: dict[str, Any]) -> dict[str, Any]:
        return self._knowledge.checker.named(wire, task.extra or ())

    def check_model(self, name: str, task_type: str) -> None:
        """Report a known model that makes something else than a request asks for; see `Checker.check_kind`.

        Raises:
            ValidationError: It does, and the client's `check` is `"error"`.
        """
        self._knowledge.checker.check_kind(name, task_type)

    def request(self, task: Task[Any], uuid: str | Callable[[str], str] | None = None, *, counts: bool = False) -> Plan:
        """Encode a request.

        Args:
            task: The request.
            uuid: The UUID of its task, unless it has one, or a function that derives it from the task's
                fingerprint, for a client with a store; `None` generates one.
            counts: Whether its cost counts for a budget of its own, so that it is asked for.

        Raises:
            ValidationError: A media input cannot be read, a stream is asked for where there is none, a name in a dict
                cannot be one of the API's, or the model does not accept the request and the client's `check` is
                `"error"`.
            UsageError: There are headers, and the task does not go over HTTP.
        """
        headers = () if task.extra_headers is None and not self._headers else self._headers_of(task)
        wire = task.wire()
        flat = is_flat(wire)
        if (not flat and _has_python_names(wire)) or (task.plain and any("_" in name for name in wire)):
            wire = self._named(task, wire)
            flat = is_flat(wire)
            objects = object_names(type(task))  # type: ignore[arg-type]  # classes are hashable, objects are not
            self._knowledge.checker.refuse_stray_names(wire, task.extra or (), objects)
        include_cost = True if counts and self._include_cost is None else self._include_cost
        if include_cost is not None and task.priced:
            wire.setdefault("includeCost", include_cost)
        if not task.streamed and wire.get("deliveryMethod") == "stream":
            raise ValidationError(
                f"deliveryMethod {no_stream(task.task_type)}.",
                code="invalidParameter",
                parameter="delivery_method",
                task_type=task.task_type,
            )
        model, slow = wire.get("model"), False
        if model is not None and (self._checks or ":" not in str(model)):
            checker = self._checker = self._checker or self._knowledge.checker
            route = checker.check(wire, flat=flat)
            if route is not None:
                if route.asynchronous:
                    wire.setdefault("deliveryMethod", "async")
                slow = self._slow_after is not None and (route.seconds or 0.0) > self._slow_after
        mark = fingerprint({"taskType": task.task_type, **wire}) if self._fingerprints else ""
        if callable(uuid):
            uuid = uuid(mark)
        inputs: StoredInputs | None = None
        if self._uploads is not None:
            # Those of a stream may go over HTTP while its media goes over the client's WebSocket.
            wire, inputs = self._uploads.replaced(task.task_type, wire, headers if self._over_http else ())
            flat = False
        uuid = task.task_uuid or uuid or new_uuid()
        task_type, timeout, retry = task.task_type, task.timeout, task.retry
        wire = {"taskType": task_type, "taskUUID": uuid, **wire}
        text = dumps([wire], flat=flat)
        return Plan(
            uuid,
            text,
            task_type,
            timeout or (self._long_timeout if slow or task.takes_long(wire) else self._timeout),
            timeout or self._long_timeout,
            task.expected(wire),
            completion_of(task, wire),
            task.repeatable,
            self._retries if retry is None else Retries.of(retry, self._max_retries, self._retry_delay),
            text if len(text) <= _MAX_KEPT_TEXT else shortened(wire),
            model if isinstance(model, str) else None,
            inputs,
            mark,
            headers,
        )

    def existing(self, task_uuid: str, task_type: str, timeout: float | None, headers: Headers | None = None) -> Plan:
        """Plan to wait for a task that was submitted before.

        Args:
            task_uuid: Its UUID.
            task_type: Its type; `""` if that is not known.
            timeout: Seconds for the whole call; `None` uses the client's `long_timeout`.
            headers: The headers of the call that this is a part of; `None` uses those of the options.

        Raises:
            UsageError: The options have headers, and the client's transport is a WebSocket.
        """
        limit = timeout or self._long_timeout
        headers = self._checked(self._headers) if headers is None else headers if self._over_http else ()
        return Plan(task_uuid, b"", task_type, limit, completion=Completion.EXISTING, headers=headers)

    def again(self, wire: Mapping[str, Any], uuid: str, expected: int, timeout: float | None) -> Plan:
        """Plan to go on with a task whose API object was kept.

        Args:
            wire: The API object.
            uuid: The UUID of its last attempt.
            expected: How many results complete it.
            timeout: Seconds for the whole call; `None` uses the client's `long_timeout`.
        """
        task_type = str(wire.get("taskType"))
        text = dumps([{**wire, "taskUUID": uuid}])
        completion = Completion.STATUSES if request_class(task_type).statuses else Completion.RESULTS
        limit = timeout or self._long_timeout
        model = wire.get("model")
        return Plan(
            uuid,
            text,
            task_type,
            limit,
            limit,
            expected,
            completion,
            policy=self._retries,
            sent=text,
            model=model if isinstance(model, str) else None,
            headers=self._checked(self._headers),
        )

    def connection(self, timeout: float | None) -> Plan:
        """Plan to wait until the connection is ready.

        Raises:
            ConfigurationError: The timeout is not valid.
        """
        limit = self._timeout if timeout is None else seconds(timeout, "timeout")
        headers = self._headers if self._over_http else ()  # a view with headers for streams may connect a WebSocket
        return Plan(new_uuid(), b"", "", limit, completion=Completion.CONNECTION, headers=headers)

    def _headers_of(self, task: Task[Any]) -> Headers:
        headers = encode_headers(self._given_headers, task.extra_headers)
        return headers if task.streamed else self._checked(headers)

    def _checked(self, headers: Headers) -> Headers:
        """Return headers for a task that goes over the client's transport.

        Raises:
            UsageError: That is a WebSocket.
        """
        if headers and not self._over_http:
            raise UsageError(
                "extra_headers go with requests over HTTP, and this client sends tasks over a WebSocket, which has no "
                'headers for each of them: create it with transport="http". Streams and chats always use HTTP.',
                parameter="extra_headers",
            )
        return headers


_NOT_ASKED_FOR = ("taskUUID", "includeCost", "webhookURL", "uploadEndpoint", "deliveryMethod")
"""Parameters that change nothing about what a task makes. The URLs may be signed anew for each start of a run, and the
delivery method is chosen from the catalogue, which may be newer at the second one."""


def fingerprint(wire: Mapping[str, Any]) -> str:
    """Return a hash of what an API object asks for: equal for equal tasks, whatever their UUIDs.

    Args:
        wire: The API object, with media as text.
    """
    asked = {name: value for name, value in wire.items() if name not in _NOT_ASKED_FOR}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


_NESTING = frozenset((dict, list))


def _has_python_names(task: Mapping[str, Any]) -> bool:
    """Return whether a dict inside a task has a name with an underscore, which the API has nowhere."""
    values = task.values()
    if _NESTING.isdisjoint(map(type, values)):
        return False  # the common case
    return any(type(value) in _NESTING and _names_inside(value) for value in values)


def _names_inside(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return any((isinstance(name, str) and "_" in name) or _names_inside(one) for name, one in value.items())
    return kind is list and any(map(_names_inside, value))


def completion_of(task: Task[Any], wire: Mapping[str, Any]) -> Completion:
    """Return what completes a task, given its wire object."""
    if task.skip_response or "webhookURL" in wire:
        return Completion.ACKNOWLEDGEMENT
    if task.statuses:
        return Completion.STATUSES
    return _ANSWER if task.inspects else _RESULTS
