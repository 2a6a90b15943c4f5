"""The fake client: the real one, with a driver and HTTP connections that answer themselves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast
from unittest.mock import patch

import attrs

from runware import requests
from runware._support.lazy_modules import lazy_module
from runware.client import Runware
from runware.core import Core, Part
from runware.errors import ClientClosedError, ConfigurationError, NotFoundError, RunwareError
from runware.options import KEY_VARIABLE, Options
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.codec import loads
from runware.protocol.effects import State
from runware.requests.base import Task
from runware.results import TextPiece
from runware.shared_cores import shared_core_replaced
from runware.testing.http_service import FakeOptions, HttpService
from runware.testing.responses import (
    FakeCall,
    FakeResponse,
    Response,
    Script,
    check_response,
    fields_of,
    is_function,
    item_of,
    name_of_type,
    operation_name,
    request_class,
    result_class,
)
from runware.transport.callbacks import run_guarded
from runware.transport.driver import MAX_MESSAGE

if TYPE_CHECKING:
    from runware.jobs import Dispatch, Job
    from runware.models.estimates import Estimate
    from runware.requests.plan import Plan, Planner
    from runware.requests.text import StreamText
    from runware.serverless import calls as app_calls
    from runware.serverless.calls import AppCalls, RunningJob
    from runware.serverless.flows import Flow
    from runware.store.keeper import Place
    from runware.text.streams import StreamJob
    from runware.transport.driver import Driver
else:
    app_calls = lazy_module("runware.serverless.calls")

__all__ = ["FakeRunware"]

C = TypeVar("C", bound=Part)

_KEY = "fake-key"
_URL = "wss://fake.invalid/v1"  # a name that never resolves


class FakeRunware(Runware):
    """A client that answers its calls itself. It has the methods and the options of `Runware`.

    Each call returns made-up results at once, or what `respond` has set: operations, streams of text, chats (whose
    tools run), and serverless apps. `fake.aio` is the same for asyncio, and `fake.submit` returns jobs, which are done.

    Args:
        api_key: Any text.
        options: Options of `Runware`, which are checked.

    Attributes:
        calls: The calls so far, in order.
    """

    def __init__(self, api_key: str = _KEY, **options: Any) -> None:
        # The real constructor checks the names of the options.
        super().__init__(api_key, **{"url": _URL, **options})
        self._script = Script()
        self._core = _FakeCore(FakeOptions.of(self._core.options, HttpService(self._script)), self._script)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A FakeRunware cannot be pickled: the copy would know nothing of its calls and responses.")

    @property
    def calls(self) -> list[FakeCall]:
        """The calls so far, in order; a copy."""
        return list(self._script.calls)

    def calls_of(self, operation: str | type[Task[Any]]) -> list[FakeCall]:
        """Return the calls of one operation, given by its name or its request class.

        Raises:
            ConfigurationError: There is no such operation.
        """
        name = operation_name(operation)
        return [call for call in self.calls if call.operation == name]

    def respond(
        self, operation: str | type[Task[Any]], response: Response = None, *, times: int | None = 1
    ) -> FakeResponse:
        """Set the response to the next calls of an operation.

        What is not given is made up. Responses for a number of calls are used in the order given, and then the newest
        one with `times=None`.

        Args:
            operation: The name of the method, such as `"image_inference"`, or a request class. `"stream_text"` is for
                streams, `"chat"` for requests of chats (each round of tools is one), `"app"` for calls of apps.
            response: Fields of every result, as a dict with Python or API names; or a result (`Image(url=...)`), which
                is returned as it is; or a list with one of these for each result; or an error, which is raised; or a
                function of the request that returns any of these. For streams and chats, also a text, which comes word
                by word, or a list of pieces, which may end with an error; the fields are those of `Text`, with
                `tool_calls` for a chat. For apps, the fields are those of `AppTask`, such as `output`.
            times: The number of calls that get it. `None`: all.

        Raises:
            ConfigurationError: There is no such operation, or *times* is not allowed.
            TypeError: A result has no such field, or *response* is none of these.
        """
        if times is not None and times < 1:
            raise ConfigurationError(f"times must be 1 or more, or None for always; got {times!r}", parameter="times")
        name, cls = operation_name(operation), result_class(operation)
        if not is_function(response):
            check_response(name, response)
        several = isinstance(response, Sequence) and not isinstance(response, str)
        for one in cast("Sequence[Any]", response) if several else (response,):
            if isinstance(one, Mapping):
                fields_of(one, TextPiece if several and name in ("stream_text", "chat") else cls)  # it raises
        fake = FakeResponse(name, response, times)
        self._script.add(fake)
        return fake

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Make `runware.get_client()` return this client within the block, also without a key in the environment.

        If it was closed there, the next `get_client()` opens it again, as that returns a new client otherwise.
        """
        with shared_core_replaced(self._open_core), patch.dict(os.environ, {KEY_VARIABLE: _KEY}):
            yield

    def _open_core(self) -> Core:
        if self._core.closed:
            self._core = _FakeCore(self._core.options, self._script)
        return self._core


class _FakeCore(Core):
    """The core of a fake client: its I/O loop is a `_FakeDriver`."""

    def __init__(self, options: Options, script: Script) -> None:
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

    def io_loop(self, *, prepare: bool = True) -> Driver:  # noqa: ARG002 - there is nothing to load
        """Return what answers the calls."""
        if self.closed:
            raise ClientClosedError("The client is closed. Create a new one for further calls.")
        return cast("Driver", self._driver)

    def _dry_run_sibling(self) -> Core:
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
        with self._driver.request(task):
            return super().submit(task, dispatch, held, place, planner)

    def _start_stream(self, job: StreamJob) -> None:
        job.run()  # at once, as all that a fake client does

    def plan(
        self,
        task: StreamText,
        uuid: str | None = None,
        planner: Planner | None = None,
        place: Place | None = None,
    ) -> Plan:
        """Encode the request of a stream, and keep it for its call."""
        plan = super().plan(task, uuid, planner, place)
        self._script.streams[plan.uuid] = task
        return plan

    def part(self, kind: type[C]) -> C:
        """Return the client's one object of a class; calls of apps are done when they are started."""
        part = super().part(kind)
        if isinstance(part, app_calls.AppCalls):
            part.start = partial(_start, part)  # type: ignore[method-assign]
        return part

    def estimate(self, task: Task[Any] | Mapping[str, Any], *, exact: bool) -> Estimate:
        """Return an estimate from the catalogue."""
        if exact:
            raise _not_faked("estimates of the server (exact=True)")
        return super().estimate(task, exact=False)


def _not_faked(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"FakeRunware has no {what}. The pytest fixture runware_server, or runware.local.LocalServer, does."
    )


def _start(calls: AppCalls, flow: Flow[Any], job: RunningJob) -> None:
    """Run the call of an app, and end its job."""
    calls.check_open()
    try:
        answer = calls.run(flow)
    except Exception as error:  # it is raised where the job is waited for
        job.end(None, error)
    else:
        job.end(answer, None)


class _FakeDriver:
    """Ends every call as soon as it is submitted."""

    max_message = MAX_MESSAGE
    stopped = False
    watched = False  # it makes no events
    ident = None

    def __init__(self, script: Script) -> None:
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
        operation = name_of_type(call.task_type)
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
        kind = request_class(operation) if operation in requests.OPERATIONS else type(request)
        items = [head | item_of(one, kind, sent, index) for index, one in enumerate(several)]
        self._script.results[call.uuid] = items
        return items

    def _inspect(self, request: Task[Any], head: dict[str, Any]) -> list[dict[str, Any]]:
        items = self._known(head["taskUUID"])
        if request.task_type == "getResponse":
            return items
        sent = [call.sent for call in self._script.calls if call.sent.get("taskUUID") == head["taskUUID"]]
        return [{**head, "request": sent[:1], "response": {"data": items}}]
