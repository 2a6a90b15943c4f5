"""A client for unit tests, which answers its calls itself: no server, no network, no thread.

    from runware.testing import FakeRunware

    rw = FakeRunware()
    rw.respond("image_inference", {"url": "https://cdn.test/kite.jpg"})
    assert paint(rw, "a red kite") == "https://cdn.test/kite.jpg"
    assert rw.calls[0].request.positive_prompt == "a red kite"

It is a real client up to the point where a request would be sent: parameters are checked, results are parsed, and jobs
and asyncio work. What happens on the network is the business of `runware.local`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast
from unittest.mock import patch

import attrs

from runware import requests
from runware._support.unknown_names import unknown_name_error
from runware.client import Runware
from runware.core import Core, shared_core_replaced
from runware.errors import ClientClosedError, ConfigurationError, NotFoundError, RunwareError
from runware.options import KEY_VARIABLE, Options
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.codec import loads, rules
from runware.protocol.effects import State
from runware.protocol.ids import new_uuid
from runware.requests.base import Task
from runware.results import FilesResult, MediaResult, Text
from runware.results.base import ApiObject
from runware.transport.callbacks import run_guarded
from runware.transport.driver import MAX_MESSAGE

if TYPE_CHECKING:
    from runware.jobs import Dispatch, Job
    from runware.models.estimates import Estimate
    from runware.requests.plan import Planner
    from runware.store.keeper import Place
    from runware.transport.driver import Driver

__all__ = ["FakeCall", "FakeResponse", "FakeRunware"]

Given = ApiObject | Mapping[str, Any]
Response = Given | Sequence[Given] | RunwareError | type[RunwareError] | Callable[[Any], Any] | None

_KEY = "fake-key"
_URL = "wss://fake.invalid/v1"  # a name that never resolves
# Result classes by the prefix of their fields: the extension, type and content of made-up files. The image is a PNG of
# one pixel, so that results can be opened.
_FILES = {
    "video": ("mp4", "video/mp4", "ZmFrZQ=="),
    "audio": ("mp3", "audio/mpeg", "ZmFrZQ=="),
    "model": ("glb", "model/gltf-binary", "ZmFrZQ=="),
}
_IMAGE_FILE = (
    "png",
    "image/png",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGOI9v8KAAKoAaDkrE3TAAAAAElFTkSuQmCC",
)
_DATA_FIELDS = ("URL", "DataURI", "Base64Data")


class FakeCall(NamedTuple):
    """A call of a fake client.

    Attributes:
        operation: The name of the operation, such as `"image_inference"`; the API's task type if there is no method.
        request: The request, with the parameters as attributes: `call.request.positive_prompt`.
        sent: The API object that would have been sent.
    """

    operation: str
    request: Any
    sent: Mapping[str, Any]


class FakeResponse:
    """The response to further calls of one operation; `FakeRunware.respond` creates it.

    Attributes:
        operation: The name of the operation.
        times: How many further calls get it. `None`: all.
    """

    def __init__(self, operation: str, response: Response, times: int | None) -> None:
        self.operation = operation
        self.times = times
        self._response = response

    def __repr__(self) -> str:
        return f"<FakeResponse {self.operation}, {'always' if self.times is None else f'{self.times} more'}>"

    def given(self, request: Task[Any]) -> Sequence[Given] | Given | None:
        """Return the results for a request; `None`: all are made up.

        Raises:
            RunwareError: The response is this error.
        """
        response: Any = self._response
        if _is_function(response):
            response = response(request)
        if isinstance(response, type) and issubclass(response, RunwareError):
            raise response("The test asked for this error.")
        if isinstance(response, RunwareError):
            raise copy(response)
        _check_response(self.operation, response)
        return cast("Sequence[Given] | Given | None", response)


class FakeRunware(Runware):
    """A client that answers its calls itself. It has the methods and the options of `Runware`.

    Each call returns made-up results at once, or what `respond` has set. `fake.aio` is the same for asyncio, and
    `fake.submit` returns jobs, which are done. Streams of text, chats and serverless apps are not faked: the fixture
    `runware_server` of pytest has them.

    Args:
        api_key: Any text.
        options: Options of `Runware`, which are checked.

    Attributes:
        calls: The calls so far, in order.
    """

    def __init__(self, api_key: str = _KEY, **options: Any) -> None:
        # The real constructor checks the names of the options.
        super().__init__(api_key, **{"url": _URL, **options})
        self._script = _Script()
        self._core = _FakeCore(self._core.options, self._script)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A FakeRunware cannot be pickled: the copy would know nothing of its calls and responses.")

    @property
    def calls(self) -> list[FakeCall]:
        """The calls so far, in order; a copy."""
        return list(self._script.calls)

    def calls_of(self, operation: str) -> list[FakeCall]:
        """Return the calls of one operation.

        Raises:
            ConfigurationError: There is no such operation.
        """
        name = _operation(operation)
        return [call for call in self.calls if call.operation == name]

    def respond(
        self, operation: str | type[Task[Any]], response: Response = None, *, times: int | None = 1
    ) -> FakeResponse:
        """Set the response to the next calls of an operation.

        What is not given is made up. Responses for a number of calls are used in the order given, and then the newest
        one with `times=None`.

        Args:
            operation: The name of the method, such as `"image_inference"`, or a request class.
            response: Fields of every result, as a dict with Python or API names; or a result (`Image(url=...)`), which
                is returned as it is; or a list with one of these for each result; or an error, which is raised; or a
                function of the request that returns any of these.
            times: The number of calls that get it. `None`: all.

        Raises:
            ConfigurationError: There is no such operation, or *times* is not allowed.
            TypeError: A result has no such field, or *response* is none of these.
        """
        if times is not None and times < 1:
            raise ConfigurationError(f"times must be 1 or more, or None for always; got {times!r}", parameter="times")
        kind = _request_class(operation)
        name = _operation(operation)
        if not _is_function(response):
            _check_response(name, response)
        if _are_results(response):
            given = cast("Sequence[Given] | Given | None", response)
            for one in given if isinstance(given, Sequence) else [given]:
                _fields(one, kind)
        fake = FakeResponse(name, response, times)
        self._script.add(fake)
        return fake

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Make `runware.get_client()` return this client within the block, also without a key in the environment."""
        with shared_core_replaced(self._core), patch.dict(os.environ, {KEY_VARIABLE: _KEY}):
            yield


class _Script:
    """What a fake client knows: its calls, the responses to further ones, and the results so far."""

    def __init__(self) -> None:
        self.calls: list[FakeCall] = []
        self.results: dict[str, list[dict[str, Any]]] = {}
        self._responses: list[FakeResponse] = []
        self._lock = threading.Lock()

    def add(self, response: FakeResponse) -> None:
        """Keep a response for further calls."""
        with self._lock:
            self._responses.append(response)

    def take(self, operation: str) -> FakeResponse | None:
        """Return the response to a call, and count it."""
        with self._lock:
            fitting = [one for one in self._responses if one.operation == operation]
            counted = [one for one in fitting if one.times is not None]
            found = counted[0] if counted else fitting[-1] if fitting else None
            if found is not None and found.times is not None:
                found.times -= 1
                if found.times == 0:
                    self._responses.remove(found)
            return found


class _FakeCore(Core):
    """The core of a fake client: its I/O loop is a `_FakeDriver`."""

    def __init__(self, options: Options, script: _Script) -> None:
        super().__init__(options)
        self._script = script
        self._driver = _FakeDriver(script)

    @property
    def started(self) -> bool:
        """Always true: there is nothing to load."""
        return True

    @property
    def state(self) -> str:
        """Whether it is closed."""
        return "closed" if self.closed else State.READY.value

    @property
    def post_callback(self) -> Callable[[Callable[[], object]], None]:
        """A function that runs a callback at once."""
        return run_guarded

    def io_loop(self) -> Driver:
        """Return what answers the calls."""
        if self.closed:
            raise ClientClosedError("The client is closed. Create a new one for further calls.")
        return cast("Driver", self._driver)

    def _other(self) -> Core:
        return _FakeCore(attrs.evolve(self.options, dry_run=not self.options.dry_run), self._script)

    def submit(
        self,
        task: Task[Any],
        dispatch: Dispatch | None = None,
        held: list[Job[Any]] | None = None,
        place: Place | None = None,
        planner: Planner | None = None,
    ) -> Job[Any]:
        """Answer a request."""
        if task.streamed:
            raise _not_faked("streams of text")
        with self._driver.request(task):
            return super().submit(task, dispatch, held, place, planner)

    def plan(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse a stream."""
        raise _not_faked("streams of text")

    def part(self, kind: Any) -> NoReturn:  # noqa: ARG002 - as the base class has it
        """Refuse calls of apps."""
        raise _not_faked("serverless apps")

    @property
    def streams(self) -> NoReturn:
        """Refuse streams and chats."""
        raise _not_faked("chats")

    def estimate(self, task: Task[Any] | Mapping[str, Any], *, exact: bool) -> Estimate:
        """Return an estimate from the catalogue."""
        if exact:
            raise _not_faked("estimates of the server (exact=True)")
        return super().estimate(task, exact=False)


def _not_faked(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"FakeRunware has no {what}. The pytest fixture runware_server, or runware.local.LocalServer, does."
    )


class _FakeDriver:
    """Ends every call as soon as it is submitted."""

    max_message = MAX_MESSAGE
    stopped = False
    watched = False  # it makes no events
    ident = None

    def __init__(self, script: _Script) -> None:
        self._script = script
        self._current = threading.local()

    @contextmanager
    def request(self, task: Task[Any]) -> Iterator[None]:
        """Keep the request of the call that is being submitted."""
        self._current.task = task
        try:
            yield
        finally:
            self._current.task = None

    def submit(self, call: Call) -> None:
        """End a call with its results or its error."""
        job = call.job
        assert job is not None
        error: RunwareError | None = None
        request: Task[Any] | None = getattr(self._current, "task", None)
        call.enter(CallState.SENT)
        try:
            if call.completion is Completion.EXISTING:
                call.items = self._known(call.uuid)
            elif request is not None:
                call.items = self._answer(request, call)
        except RunwareError as failure:
            error = failure
            error.task_type, error.task_uuid = error.task_type or call.task_type, error.task_uuid or call.uuid
        job.call_ended(call, error)

    def cancel(self, call: Call) -> None:
        """Do nothing: every call has ended."""

    interrupt = cancel

    def _known(self, uuid: str) -> list[dict[str, Any]]:
        items = self._script.results.get(uuid)
        if items is None:
            raise NotFoundError(f"No call of this FakeRunware had the task {uuid}.", code="taskNotFound")
        return items

    def _answer(self, request: Task[Any], call: Call) -> list[dict[str, Any]]:
        sent: dict[str, Any] = loads(call.text)[0]
        operation = _names().get(call.task_type, call.task_type)
        self._script.calls.append(FakeCall(operation, request, sent))
        response = self._script.take(operation)
        given = response.given(request) if response is not None else None
        head = {"taskType": call.task_type, "taskUUID": call.uuid}
        if call.completion is Completion.ACKNOWLEDGEMENT:
            return [head]
        if given is None and request.inspects:
            return self._inspect(request, head)
        count = max(1, call.expected)
        several = list(given) if isinstance(given, Sequence) else [given] * count
        if len(several) != count:
            raise ConfigurationError(
                f"respond({operation!r}, ...) was given {len(several)} results, and the call asks for {count}. Give as "
                "many as it asks for, or a single one for all of them."
            )
        kind = _request_classes().get(operation, type(request))
        items = [head | _item(one, kind, sent, index) for index, one in enumerate(several)]
        self._script.results[call.uuid] = items
        return items

    def _inspect(self, request: Task[Any], head: dict[str, Any]) -> list[dict[str, Any]]:
        items = self._known(head["taskUUID"])
        if request.task_type == "getResponse":
            return items
        sent = [call.sent for call in self._script.calls if call.sent.get("taskUUID") == head["taskUUID"]]
        return [{**head, "request": sent[:1], "response": {"data": items}}]


# Operations.


@cache
def _request_classes() -> dict[str, type[Task[Any]]]:
    return {name: getattr(requests, given[0]) for name, given in requests.OPERATIONS.items()}


@cache
def _names() -> dict[str, str]:
    """Return the name of each operation by its names: itself, its aliases, and the API's task type."""
    found = {}
    for name, (_, *aliases) in requests.OPERATIONS.items():
        for one in (name, *aliases, _request_classes()[name].task_type):
            found[one] = name
    return found


def _operation(operation: str | type[Task[Any]]) -> str:
    """Return the name of an operation."""
    if isinstance(operation, type):
        return _names().get(operation.task_type, operation.task_type)
    name = _names().get(operation)
    if name is None:
        error = unknown_name_error("FakeRunware", list(requests.OPERATIONS), [operation])
        words = str(error).replace("no parameter", "no operation")
        raise ConfigurationError(words, parameter="operation") from None
    return name


def _request_class(operation: str | type[Task[Any]]) -> type[Task[Any]]:
    return operation if isinstance(operation, type) else _request_classes()[_operation(operation)]


# Results.


def _is_function(response: object) -> bool:
    return callable(response) and not isinstance(response, type)


def _check_response(operation: str, response: object) -> None:
    """Raise an error unless a response has results or is an error."""
    kind = response if isinstance(response, type) else type(response)
    if not _are_results(response) and not issubclass(kind, RunwareError):
        raise TypeError(
            f"respond({operation!r}, ...) takes a result, a dict, a list of them, an error, or a function that returns "
            f"one of these; got {kind.__name__}"
        )


def _are_results(response: object) -> bool:
    if isinstance(response, Sequence) and not isinstance(response, (str, bytes)):
        return all(isinstance(one, (ApiObject, Mapping)) for one in response)
    return response is None or isinstance(response, (ApiObject, Mapping))


def _fields(given: Given | None, kind: type[Task[Any]]) -> dict[str, Any]:
    """Return the API fields of a result that a test gave.

    Raises:
        TypeError: The result class has no such field.
    """
    if given is None:
        return {}
    if isinstance(given, ApiObject):
        return _to_api(given)
    cls = kind.result_class
    names: dict[str, str] = {}
    for field, rule in rules(cast("Any", cls)).items():
        names[field] = names[rule[0]] = rule[0]
    for alias in dir(cls):  # such as `image_url`, which is `url`
        same = getattr(getattr(cls, alias, None), "_name", None)
        if same in names:
            names[alias] = names[same]
    error = unknown_name_error(cls.__name__, list(names), given)
    if error is not None:
        raise TypeError(str(error).replace("no parameter", "no field")) from None
    return {names[name]: _value(value) for name, value in given.items()}


def _to_api(part: ApiObject) -> dict[str, Any]:
    """Return an object as the API object it would have come as."""
    known = rules(cast("Any", type(part)))
    stored = {name: value for name, value in vars(part).items() if name in known and name != "raw"}
    return {**part.raw, **{known[name][0]: _value(value) for name, value in stored.items()}}


def _value(value: Any) -> Any:
    if isinstance(value, ApiObject):
        return _to_api(value)
    if isinstance(value, (list, tuple)):
        return [_value(one) for one in value]
    return value


def _item(given: Given | None, kind: type[Task[Any]], sent: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return the fields of one result: as they were given, or made up where they were not."""
    fields = _fields(given, kind)
    if isinstance(given, ApiObject):
        return fields
    made_up = _made_up(kind, sent, index)
    if any(name.endswith(_DATA_FIELDS) for name in fields):
        # Inline data is read rather than a URL, so the made-up file must not stay beside the one that was given.
        made_up = {name: value for name, value in made_up.items() if not name.endswith(_DATA_FIELDS)}
    return made_up | fields


def _made_up(kind: type[Task[Any]], sent: Mapping[str, Any], index: int) -> dict[str, Any]:
    cls = kind.result_class
    item: dict[str, Any] = {}
    if issubclass(cls, FilesResult):
        names = {"UUID": "uuid", "URL": "url", "DataURI": "dataURI", "Base64Data": "base64Data"}
        file = _made_up_file(cls.kind, sent)
        item["outputs"] = {"files": [{names[name]: value for name, value in file.items()}]}
    elif issubclass(cls, MediaResult):
        item = {f"{cls.kind or 'media'}{name}": value for name, value in _made_up_file(cls.kind, sent).items()}
        item["seed"] = int(sent.get("seed", 1)) + index
    elif issubclass(cls, Text):
        item = {"text": f"made-up text {index + 1}", "finishReason": "stop"}
    elif kind.task_type == "modelSearch":
        item = {"results": [], "totalResults": 0}
    elif kind.statuses:
        item = {"status": "ready", "air": sent.get("air")}
    return item | ({"cost": 0.0} if sent.get("includeCost") else {})


def _made_up_file(kind: str, sent: Mapping[str, Any]) -> dict[str, str]:
    """Return the UUID of a file, and its content or URL as the request asks for it."""
    uuid = new_uuid()
    extension, content_type, content = _FILES.get(kind, _IMAGE_FILE)
    output = sent.get("outputType")
    if output in ("base64Data", ["base64Data"]):
        return {"UUID": uuid, "Base64Data": content}
    file = {"UUID": uuid, "DataURI": f"data:{content_type};base64,{content}"}
    # The content is there beside the URL, so that the file can be read without a network.
    return file if output in ("dataURI", ["dataURI"]) else {**file, "URL": f"https://fake.invalid/{uuid}.{extension}"}
