"""What a fake client answers with: the responses that a test gives, and results that are made up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cache
from typing import Any, NamedTuple, cast

from runware import requests
from runware._support.unknown_names import unknown_name_error
from runware.errors import ConfigurationError, RunwareError
from runware.protocol.codec import rules
from runware.protocol.ids import new_uuid
from runware.requests.base import Task
from runware.results import FilesResult, MediaResult, Text
from runware.results.base import ApiObject
from runware.serverless.results import AppTask

__all__ = [
    "OTHERS",
    "FakeCall",
    "FakeResponse",
    "Given",
    "Response",
    "Script",
    "check_response",
    "fields_of",
    "is_function",
    "item_of",
    "name_of_type",
    "operation_name",
    "request_class",
    "result_class",
]

Given = ApiObject | Mapping[str, Any]
Response = str | Given | Sequence[Any] | RunwareError | type[RunwareError] | Callable[[Any], Any] | None

OTHERS: Mapping[str, Any] = {"stream_text": Text, "chat": Text, "app": AppTask}
"""The operations that are no tasks of the client's transport, and the class of what a response to them holds."""
_TEXTS = ("stream_text", "chat")

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
            `"chat"` for each request of a chat, `"app"` for each call of a serverless app.
        request: The request, with the parameters as attributes: `call.request.positive_prompt`. A `ChatRequest` or an
            `AppRequest` for those two.
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

    def given(self, request: Any) -> Any:
        """Return the results for a request; `None`: all are made up.

        Raises:
            RunwareError: The response is this error.
        """
        response: Any = self._response
        if is_function(response):
            response = response(request)
        if isinstance(response, type) and issubclass(response, RunwareError):
            raise response("The test asked for this error.")
        if isinstance(response, RunwareError):
            raise copy(response)
        check_response(self.operation, response)
        return response


class Script:
    """What a fake client knows: its calls, the responses to further ones, and the results so far.

    Attributes:
        calls: The calls.
        results: The results by the UUID of their task.
        streams: The requests of streams by the UUID of their task.
        app_tasks: The tasks of apps by their ID.
    """

    def __init__(self) -> None:
        self.calls: list[FakeCall] = []
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.streams: dict[str, Any] = {}
        self.app_tasks: dict[str, dict[str, Any]] = {}
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


def name_of_type(task_type: str) -> str:
    """Return the name of the operation with a task type; the type itself if there is no method."""
    return _names().get(task_type, task_type)


def operation_name(operation: str | type[Task[Any]]) -> str:
    """Return the name of an operation."""
    if operation in OTHERS:
        return str(operation)
    if isinstance(operation, type):
        if operation.streamed:
            return "stream_text"
        return _names().get(operation.task_type, operation.task_type)
    name = _names().get(operation)
    if name is None:
        error = unknown_name_error("FakeRunware", [*requests.OPERATIONS, *OTHERS], [operation])
        words = str(error).replace("no parameter", "no operation")
        raise ConfigurationError(words, parameter="operation") from None
    return name


def result_class(operation: str | type[Task[Any]]) -> Any:
    """Return the class that the fields of a response belong to."""
    name = operation_name(operation)
    if name in OTHERS:
        return OTHERS[name]
    return request_class(name if isinstance(operation, str) else operation).result_class


def request_class(operation: str | type[Task[Any]]) -> type[Task[Any]]:
    """Return the request class of an operation."""
    return operation if isinstance(operation, type) else _request_classes()[operation_name(operation)]


# Results.


def is_function(response: object) -> bool:
    """Return whether a response is a function of the request."""
    return callable(response) and not isinstance(response, type)


def check_response(operation: str, response: object) -> None:
    """Raise an error unless a response has results or is an error.

    Raises:
        TypeError: It is neither, or a result has no such field.
    """
    several = isinstance(response, Sequence) and not isinstance(response, (str, bytes))
    for one in cast("Sequence[object]", response) if several else (response,):
        kind = one if isinstance(one, type) else type(one)
        error = issubclass(kind, RunwareError)
        texts = operation in _TEXTS
        if not (
            (error and (texts or not several))
            or (texts and isinstance(one, str))
            or isinstance(one, (ApiObject, Mapping))
            or (one is None and not several)
        ):
            raise TypeError(
                f"respond({operation!r}, ...) takes a result, a dict, a list of them, an error, or a function that "
                f"returns one of these{', or a text' if texts else ''}; got {kind.__name__}"
            )


def fields_of(given: Given | None, cls: Any) -> dict[str, Any]:
    """Return the API fields of a result that a test gave.

    Raises:
        TypeError: The result class has no such field.
    """
    if given is None:
        return {}
    if isinstance(given, ApiObject):
        return _to_api(given)
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


def item_of(given: Given | None, kind: type[Task[Any]], sent: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return the API fields of one result: as they were given, or made up where they were not."""
    fields = fields_of(given, kind.result_class)
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
