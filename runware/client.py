"""The client classes: `Runware` blocks, `AsyncRunware` is for asyncio, and `submit` returns jobs.

All three share a `Core`, which owns one background I/O thread and one WebSocket.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from contextvars import copy_context
from copy import copy
from functools import cached_property, partial, wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, NoReturn, ParamSpec, Self, TypeVar, cast, overload

import attrs

from runware._support.elsewhere import run_elsewhere
from runware._support.event_loops import RunwareAsyncUsageWarning, running_loop, warn_in_event_loop
from runware._support.lazy_modules import lazy_module
from runware._support.unknown_names import fold_name, names_checked, near_name, unknown_name_error
from runware.core import Core, Dispatch
from runware.errors import ConfigurationError, RunwareError, UsageError
from runware.jobs import get_interruptibly
from runware.map import AsyncMap, BlockingMap
from runware.operations import AsyncOperations, BlockingOperations, JobOperations
from runware.operations.chats import AsyncChats, BlockingChats
from runware.options import Options, read_options, restore_options
from runware.requests.base import Task
from runware.shared_cores import shared_core
from runware.transport.callbacks import run_guarded
from runware.transport.loop_inbox import call_soon_in

if TYPE_CHECKING:
    import asyncio
    import ssl
    from pathlib import Path

    from runware import serverless
    from runware.events import Event, Stats
    from runware.jobs import Job
    from runware.models import access as models
    from runware.models.access import AsyncModels, Models
    from runware.models.estimates import Estimate
    from runware.models.problems import Problem
    from runware.options import ApiKey, Budget, RetryPolicy
    from runware.requests.text import StreamText
    from runware.results import Acknowledgement, Partial, Results
    from runware.store import access as store_access
    from runware.store import asynchronous as store_async
    from runware.store import runs as store_runs
    from runware.store.access import StoredJobs
    from runware.store.asynchronous import AsyncRuns, AsyncStoredJobs
    from runware.store.keeper import Place
    from runware.store.runs import Runs
    from runware.text import streams as text_streams
    from runware.text.streams import AsyncTextStream, TextStream
else:
    models = lazy_module("runware.models.access")
    asyncio = lazy_module("asyncio")
    serverless = lazy_module("runware.serverless")
    store_access = lazy_module("runware.store.access")
    store_async = lazy_module("runware.store.asynchronous")
    store_runs = lazy_module("runware.store.runs")
    text_streams = lazy_module("runware.text.streams")

__all__ = ["AsyncRunware", "Runware", "RunwareAsyncUsageWarning", "Submitter", "get_client"]

P = ParamSpec("P")
R = TypeVar("R")
H = TypeVar("H", bound="_Handle")


_ELSEWHERE = {
    "images": "image_inference(positive_prompt=..., model=...)",
    "generate": "image_inference(positive_prompt=..., model=...)",
    "generateimage": "image_inference(positive_prompt=..., model=...)",
    "texttoimage": "image_inference(positive_prompt=..., model=...)",
    "videos": "video_inference(positive_prompt=..., model=...)",
    "audio": "audio_inference(...)",
    "completions": "chat(model).send(...), or text_inference(...)",
    "responses": "chat(model).send(...), or text_inference(...)",
    "predictions": "submit, whose operations return jobs",
    "subscribe": "run({...}), or submit, whose operations return jobs",
    "balance": "account_management().balance",
    "account": "account_management()",
    "imagebackgroundremoval": "remove_background(...)",
    "imageupscale": "upscale(...)",
    "imagecaption": "caption(...)",
    "withrawresponse": "image_inference(...)[0].raw, the API's own object",
}
"""Attributes of other libraries' clients, and what does the same here."""


class _Handle:
    """Common base of the client classes: a handle on a core. Pickles as its options, without the key."""

    _core: Core
    _shared = False
    """Whether others in the process have the client too, as that of `get_client`."""

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickle, (type(self), self._core.options.portable())

    def __setattr__(self, name: str, value: object) -> None:
        if name in _OPTIONS:
            raise AttributeError(
                f"{type(self).__name__} has fixed options, so {name} cannot be assigned. Pass it when you create the "
                f"client, or use rw.with_options({name}=...) for some calls."
            )
        object.__setattr__(self, name, value)

    if not TYPE_CHECKING:  # else every name would be one of its attributes

        def __getattr__(self, name: str) -> NoReturn:
            words = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_"):
                hint = ""
                if elsewhere := _ELSEWHERE.get(fold_name(name)):
                    hint = f". Use rw.{elsewhere}."
                elif near := near_name(name, [known for known in dir(type(self)) if not known.startswith("_")]):
                    hint = f". Did you mean: {near!r}?"
                elif hasattr(Runware, name):
                    hint = f". It is one of the client: rw.{name}."
                if hint:  # with the client as `obj`, the interpreter would add a suggestion of its own
                    raise AttributeError(words + hint, name=name, obj=None)
            raise AttributeError(words, name=name, obj=self)

    def __copy__(self) -> Self:
        return self  # it is a handle on the client's one connection

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} {self._core.options.server_url} {self._core.state}>"
        except ConfigurationError:
            return f"<{type(self).__name__} without its key>"

    @property
    def closed(self) -> bool:
        """Whether the client is closed."""
        return self._core.closed


class Submitter(_Handle, JobOperations):
    """The operations, each returning a `Job` immediately. Available as `rw.submit`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @overload
    def run(self, task: Task[R]) -> Job[R]: ...
    @overload
    def run(self, task: Mapping[str, Any]) -> Job[Results[Any]]: ...
    def run(self, task: Any = None, **given: Any) -> Any:
        """Start a task and return its job.

        Media inputs are read and encoded before this returns; nothing else blocks.

        Args:
            task: A request object, or a dict, as for `rw.run`.
            given: Refused, with what would work.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            ClientClosedError: The client is closed.
        """
        if given:
            raise _run_misused(given)
        core = self._core
        held: list[Job[Any]] = []
        try:
            return core.submit(task if isinstance(task, Task) else core.task_of(task), None, held)
        except BaseException:
            core.interrupt(held)
            raise

    def app(self, name: str, *, environment: str | None = None) -> serverless.AppSubmitter:
        """Return a handle on a serverless app, whose calls return jobs. Nothing is sent.

        Args:
            name: The app's ID, such as `"my-upscaler"`.
            environment: The environment, such as `"staging"`. `None` means the server's default, `"production"`.

        Raises:
            ValidationError: *name* or *environment* cannot be one.
        """
        return serverless.AppSubmitter(self._core, name, environment)


_OPTIONS = frozenset(field.name for field in attrs.fields(Options)) - {
    "check",
    "environment",
    "extra_headers",
    "key_from_environment",
    "store_from_environment",
}
"""Names of options, which are no attributes of a client: assigning one would do nothing."""


_HEADERS = frozenset(("headers", "default_headers", "extra_headers"))
"""What a constructor may be given for the headers of requests, as other packages have it."""


def _named(init: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """Wrap a constructor so that errors name the user's class and suggest the right option."""
    names = ["api_key", *(init.__kwdefaults__ or ())]

    @wraps(init)
    def named(self: Any, /, *args: P.args, **options: P.kwargs) -> None:
        if len(args) > 1 or not options.keys() <= set(names):
            cls = type(self).__name__
            if found := sorted(_HEADERS & options.keys()):
                raise UsageError(
                    f"{cls} has no {found[0]}: pass extra_headers to a call, or use "
                    "rw.with_options(extra_headers=...) for all calls.",
                    parameter="extra_headers",
                )
            raise unknown_name_error(cls, names, options) or UsageError(
                f"{cls} takes its options by name, except for the key."
            )
        init(self, *args, **options)

    return named


class _Client(_Handle):
    """Base of the classes users construct: options, `submit` and `job`."""

    @_named
    def __init__(
        self,
        api_key: ApiKey | None = None,
        *,
        transport: Literal["websocket", "http"] | None = None,
        url: str | None = None,
        timeout: float | None = None,
        long_timeout: float | None = None,
        connect_timeout: float | None = None,
        max_retries: int | RetryPolicy | None = None,
        retry_delay: float | None = None,
        reconnect: bool | None = None,
        heartbeat_interval: float | None = None,
        liveness_timeout: float | None = None,
        max_in_flight: int | None = None,
        max_queued: int | None = None,
        include_cost: bool | None = None,
        check: Literal["off", "warn", "error"] | None = None,
        models_max_age: float | None = None,
        dry_run: bool | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        insecure_ws: bool | None = None,
        app: str | None = None,
        upload_inputs: Literal["inline", "once"] | None = None,
        store: str | Path | None = None,
        budget: float | Budget | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        """Set the options. Nothing is sent and no thread starts before the first call.

        Args:
            api_key: The API key, or a function that returns it. The function is called for each connection, on a
                separate thread; over HTTP also when the server rejects the key of a kept connection. `None` reads the
                environment variable `RUNWARE_API_KEY`.
            transport: How to reach the server: `"websocket"` keeps one connection for everything, `"http"` makes a
                request for each task, for cloud functions and networks without WebSockets (docs/guides/http.md). `None`
                reads `RUNWARE_TRANSPORT` and defaults to `"websocket"`.
            url: URL of the server. `None` reads `RUNWARE_URL` and defaults to `wss://ws-api.runware.ai/v1`. `ws://` is
                rejected unless the server is on this machine. With `transport="http"`, `https://` is accepted too, and
                `wss://` stands for the same server's HTTP API.
            timeout: Deadline of a call in seconds, including connecting; 60 by default.
            long_timeout: Deadline in seconds of tasks the server runs asynchronously, such as videos, and of calls to
                models whose typical run takes more than half of the default *timeout*; 1200 by default. A larger
                *timeout* extends it.
            connect_timeout: Seconds allowed for one attempt to connect and authenticate; 15 by default.
            max_retries: Extra attempts for a failed call, or a `RetryPolicy`; 2 by default. 0 makes a single attempt.
                Only retryable failures are retried, and a task only after the server has reported that it failed.
            retry_delay: Base of the exponential backoff between attempts, in seconds; 1 by default. Delays double and
                are jittered. The first reconnect waits at most a tenth of it.
            reconnect: Whether calls survive the loss of the connection, or of the response to their request; `True` by
                default.
            heartbeat_interval: Seconds without traffic before an idle connection is checked with a ping; 45 by default.
                The server closes connections that are silent for 120 seconds. No effect over HTTP.
            liveness_timeout: Seconds without incoming data before a connection with calls in flight is considered dead
                and replaced; 15 by default. Over HTTP, the operating system checks connections in this time.
            max_in_flight: Maximum number of calls in flight; further calls are queued. `None` means no limit; over
                HTTP, it means at most 100 requests with tasks at a time, and a number limits those too.
            max_queued: Maximum number of queued calls; 100,000 by default.
            include_cost: Ask the server to report costs, for calls that do not set `include_cost`. `None` leaves it to
                the server.
            check: What a request that its model does not accept does, as far as the catalogue knows: `"warn"` (the
                default) logs each problem and sends it all the same, since the catalogue may be older than the model;
                `"error"` raises one `ValidationError` with all problems; `"off"` does not look. Parameters are never
                changed or filled in.
            models_max_age: Seconds after which the catalogue of models counts as too old. The next call or look at it
                then starts one refresh in the background, of 5 seconds at most. No call waits for it, and a failure is
                only logged, by `runware.models` at level `info`. `None`, the default, means that only
                `rw.models.refresh()` asks the network.
            dry_run: Only validate tasks at the server, without running or billing them; `False` by default.
            proxy: Proxy URL: `http://` or, with the extra `socks`, `socks5h://`. `None` reads `HTTPS_PROXY`,
                `ALL_PROXY` and `NO_PROXY`; `""` disables proxies.
            ssl_context: TLS settings. `None` uses the trust store of the operating system, or `SSL_CERT_FILE` and
                `SSL_CERT_DIR`.
            insecure_ws: Allow `ws://` to other machines, which sends the key unencrypted; `False` by default.
            app: Your own product, and perhaps its version, such as `"shop/1.2"`: it comes first in the User-Agent.
            upload_inputs: `"inline"` (the default) sends media with each task. `"once"` stores what has more than some
                75 kB on the platform first, once for equal content, and names it by its UUID; with a store, later
                processes know it too. If the platform has forgotten it, it is stored again.
            store: Database in which tasks are written before they are sent, so that none is lost or bought twice when
                the program dies (docs/guides/durable.md): a `Path`, `"sqlite:///jobs.db"`, or another URL that
                SQLAlchemy takes, such as `"postgresql+psycopg://..."`. Several processes may share it. Costs are asked
                for. `None` reads `RUNWARE_STORE`; without that, nothing is kept. Needs the extra `store`.
            budget: Limit on spending in US dollars, or a `Budget`. A task, stream or request of a chat that might
                exceed it fails with `BudgetExceededError` before it is sent; what runs goes on. Costs are asked for.
                With a store, the limit is for everything that is spent with it, by all processes. `None` means no
                limit; with 0, only what is known to cost nothing is sent. Calls of apps are not limited.
            on_event: Callback for the events of `runware.events`, on a separate thread. Exceptions it raises are
                logged. If 10,000 events are pending, further ones are dropped and counted. If it refers to the client,
                the client is kept alive until it is closed.

        A client pickles without its key. When unpickled, a key from the environment is read again from the environment
        of that process, even if it has changed; a key passed as an argument must equal `RUNWARE_API_KEY` there; a
        function is pickled. Unpickled clients with equal options share one connection.

        Raises:
            ConfigurationError: The key is missing or an option is invalid; `parameter` names it.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self._core = Core(read_options(given))

    @property
    def stats(self) -> Stats:
        """Counters of the client in this process: calls, retries, connections, bytes. A snapshot."""
        return self._core.stats()

    @cached_property
    def submit(self) -> Submitter:
        """The same operations, each returning a `Job` immediately."""
        return Submitter(self._core)

    @names_checked
    def with_options(
        self,
        *,
        timeout: float | None = None,
        long_timeout: float | None = None,
        max_retries: int | RetryPolicy | None = None,
        retry_delay: float | None = None,
        include_cost: bool | None = None,
        check: Literal["off", "warn", "error"] | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a client on the same connection whose calls have other options.

        It is a view: closing either closes both, and counters, store and budget are common. What is not given stays.

        Args:
            timeout: Deadline of a call in seconds.
            long_timeout: Deadline in seconds of tasks that the server runs asynchronously.
            max_retries: Extra attempts for a failed call, or a `RetryPolicy`; 0 makes a single attempt.
            retry_delay: Base of the backoff between attempts, in seconds.
            include_cost: Whether the server reports costs.
            check: What a request that its model does not accept does.
            extra_headers: Headers of the requests over HTTP, such as those that a gateway wants: tasks, questions about
                them, streams, chats and `connect`. `{}` removes them. Over a WebSocket, a task with headers raises
                `UsageError`.

        Raises:
            ConfigurationError: An option is invalid; `parameter` names it.
        """
        given = {name: value for name, value in locals().items() if value is not None and name != "self"}
        made = type(self).__new__(type(self))
        made._core = cast("Core", self._core.with_options(given))
        return made

    def check(self, task: Task[Any] | Mapping[str, Any] | None = None, /, **parameters: Any) -> list[Problem]:
        """Return every problem of a request, as far as the catalogue knows its model. Nothing is sent.

        Args:
            task: A request object, or an API object, with Python or API names.
            parameters: Parameters of the request, in place of *task* or besides an API object.

        Returns:
            The problems, each with the parameter, what is allowed and the nearest good value; empty if there are none.

        Raises:
            NotFoundError: The model is not in the catalogue, so that nothing can be checked.
        """
        model, wire = self._core.model_of(_with(task, parameters))
        return model.check_task(wire)

    def job(
        self,
        ref: str | Mapping[str, Any] | Acknowledgement,
        *,
        timeout: float | None = None,
        on_partial: Callable[[Partial[Any], RunwareError | None], object] | None = None,
    ) -> Job[Results[Any]]:
        """Resume a task submitted earlier, by this process or another, and wait for its results.

        The client polls until nothing of the task runs any more. It never sends anything that could run the task again.
        With a store, a task that the store has is not polled if its outcome is there, or if another client, or another
        call of this one, follows it.

        Args:
            ref: A job's or an error's `ref`, the UUID of the task, or the `Acknowledgement` that a call returned.
            timeout: Deadline in seconds. `None` uses the client's `long_timeout`, or `timeout` if that is larger.
            on_partial: Callback for new results. It runs on the client's callback thread.

        Returns:
            A job whose results are instances of their own result classes. It fails with `NotFoundError` if the server
                does not know the task (any more), and with the task's own error if the task failed.

        Raises:
            ValidationError: *ref* is none of these.
        """
        return self._core.follow(ref, timeout, on_partial)


def _with(task: Task[Any] | Mapping[str, Any] | None, parameters: dict[str, Any]) -> Task[Any] | Mapping[str, Any]:
    """Return a request that is given as an object, by parameters, or as an API object with further parameters.

    Raises:
        UsageError: There are parameters besides a request object.
    """
    if task is not None and not isinstance(task, (Task, Mapping)):
        raise UsageError(f"It takes a request object, a dict or parameters; got {type(task).__name__}.")
    if isinstance(task, Task) and parameters:
        raise UsageError(f"Parameters cannot be added to a request object; put {next(iter(parameters))!r} into it.")
    return task if isinstance(task, Task) or (task and not parameters) else {**(task or {}), **parameters}


def _run_misused(given: Mapping[str, Any]) -> UsageError:
    """Return the error for `run(model=...)`, and for `run("model", input={...})` as elsewhere."""
    return UsageError(
        f"run() takes one request object or dict, and no {next(iter(given))!r} besides: rw.run({{'model': ..., "
        "'positive_prompt': ...}). Or call the operation, as in rw.image_inference(model=..., positive_prompt=...).",
        parameter=next(iter(given)),
    )


def _stream_misused() -> UsageError:
    return UsageError("stream() takes a StreamText. rw.stream_text(model=..., messages=[...]) streams a text.")


def _parameters_of(
    _: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Any, P], R]]:
    """Copy the signature of a method to another, for type checkers and `help`."""

    def apply(method: Callable[..., R]) -> Callable[Concatenate[Any, P], R]:
        method.__wrapped__ = _Client.__init__  # type: ignore[attr-defined]
        return method

    return apply


class Runware(_Client, BlockingMap, BlockingChats, BlockingOperations):
    """The client. Its operations block until their result is available. Thread-safe.

    `rw.submit` has the same operations and returns jobs; `rw.aio` has them for asyncio. All share one connection. Used
    as a context manager, the client connects on entry and closes on exit; otherwise it connects on the first call.
    """

    @classmethod
    @_parameters_of(_Client.__init__)
    def initialize(cls, *args: Any, **kwargs: Any) -> Runware:
        """Create a client and connect it. Takes the arguments of the class; raises like `connect`."""
        return cls(*args, **kwargs).__enter__()

    @cached_property
    def aio(self) -> AsyncRunware:
        """The same operations for asyncio, on the same connection, in any event loop."""
        client = AsyncRunware._on(self._core)
        client._shared = self._shared
        return client

    @property
    def models(self) -> Models:
        """The catalogue of models: what they are, take and cost. It works without the network."""
        return models.Models(self._core.knowledge.catalogue, self._search_models)

    @property
    def jobs(self) -> StoredJobs:
        """The tasks of the client's store: what is unfinished, and how to go on with it.

        Raises:
            ConfigurationError: The client has no store.
        """
        self._core.keeper  # noqa: B018 - it raises
        return store_access.StoredJobs(self._core)

    @property
    def runs(self) -> Runs:
        """The runs of the client's store, which `map(run=...)` has started: their progress, cost and failures.

        Raises:
            ConfigurationError: The client has no store.
        """
        self._core.keeper  # noqa: B018 - it raises
        return store_runs.Runs(store_access.StoredJobs(self._core))

    def _search_models(self, parameters: dict[str, Any]) -> Any:
        return self.model_search(**parameters)

    def estimate(
        self, task: Task[Any] | Mapping[str, Any] | None = None, /, *, exact: bool = False, **parameters: Any
    ) -> Estimate:
        """Return what a request will cost and how long it takes, from the catalogue. Nothing is run or billed.

        Args:
            task: A request object, or an API object, with Python or API names.
            parameters: Parameters of the request, in place of *task* or besides an API object.
            exact: Ask the server: it checks the request without running it, and says what it would cost. That needs
                the API key and the network, and works for models that the catalogue does not know.

        Raises:
            NotFoundError: The model is not in the catalogue, and *exact* is not set.
            ValidationError: The server does not accept the request.
            ConnectionFailedError: The server cannot be reached over HTTP.
        """
        if exact:
            self._core.check_thread()
            warn_in_event_loop("await rw.aio.estimate(...)")
        return self._core.estimate(_with(task, parameters), exact=exact)

    @overload
    def run(self, task: Task[R]) -> R: ...
    @overload
    def run(self, task: Mapping[str, Any]) -> Results[Any]: ...
    def run(self, task: Any = None, **given: Any) -> Any:
        """Run a task and wait for its result.

        Args:
            task: A request object; or a dict with parameters by their Python or API names, which returns a list. The
                dict has a `taskType`, or a `model` of `rw.models` that tells it.
            given: Refused, with what would work.

        Raises:
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        if given:
            raise _run_misused(given)
        core = self._core
        core.check_thread()
        warn_in_event_loop(_INSTEAD)
        if not isinstance(task, Task):
            task = core.task_of(task)
        if task.on_partial is None:
            return core.start(task, None, _result_of)
        callbacks: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()

        def wait(job: Job[Any]) -> Any:
            job.when_done(lambda: callbacks.put(None))
            while (callback := get_interruptibly(callbacks)) is not None:
                run_guarded(callback)
            return job.result()

        return core.start(task, callbacks.put, wait)

    def app(self, name: str, *, environment: str | None = None) -> serverless.App:
        """Return a handle on a serverless app, whose calls block until it has finished. Nothing is sent.

        Args:
            name: The app's ID, such as `"my-upscaler"`.
            environment: The environment, such as `"staging"`. `None` means the server's default, `"production"`.

        Raises:
            ValidationError: *name* or *environment* cannot be one.
        """
        return serverless.App(self._core, name, environment)

    def stream(self, task: StreamText, **given: Any) -> TextStream:
        """Return the stream of a request, as `stream_text` does.

        Args:
            task: The request.
            given: Refused, with what would work.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            ClientClosedError: The client is closed.
        """
        if given or not isinstance(task, Task):
            raise _stream_misused()
        return text_streams.TextStream(self._core, task)

    def connect(self, timeout: float | None = None) -> None:
        """Connect and authenticate, unless connected already.

        Args:
            timeout: Deadline in seconds. `None` uses the client's `timeout`.

        Raises:
            AuthenticationError: The server rejected the key.
            ConnectionFailedError: No connection could be established; `stage` says where it failed.
            TaskTimeoutError: The deadline passed.
        """
        self._core.check_thread()
        warn_in_event_loop("await rw.aio.connect()")
        _wait(self._core.connect(timeout))

    ensure_connection = connect

    def close(self) -> None:
        """Close permanently, within half a second. Running calls fail with `ClientClosedError`, as do later ones.

        Pending callbacks and events run first. If they take longer, the rest runs in the background; those that have
        not started after 30 seconds are dropped, which is logged. A callback may close its own client.
        """
        self._core.close()

    disconnect = close

    def __enter__(self) -> Self:
        try:
            self.connect()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        if not self._shared:
            self.close()

    def __aenter__(self) -> NoReturn:
        raise UsageError("Runware blocks: use `with Runware()`, or `async with AsyncRunware()` in asyncio.")

    def __aexit__(self, *_: object) -> NoReturn:
        raise UsageError("Runware blocks: use `with Runware()`, or `async with AsyncRunware()` in asyncio.")


class AsyncRunware(_Client, AsyncMap, AsyncChats, AsyncOperations):
    """The client for asyncio. Its operations are coroutines, usable from any number of event loops.

    It is `Runware` for event loops: the connection has its own thread, and nothing is bound to a loop. Cancelling the
    task that awaits an operation cancels the call.
    """

    @classmethod
    @_parameters_of(_Client.__init__)
    async def initialize(cls, *args: Any, **kwargs: Any) -> AsyncRunware:
        """Create a client and connect it. Takes the arguments of the class; raises like `connect`."""
        return await cls(*args, **kwargs).__aenter__()

    @classmethod
    def _on(cls, core: Core) -> AsyncRunware:
        client = cls.__new__(cls)
        client._core = core
        return client

    @property
    def models(self) -> AsyncModels:
        """The catalogue of models: what they are, take and cost. It works without the network."""
        return models.AsyncModels(models.Models(self._core.knowledge.catalogue), self._search_models)

    @property
    def jobs(self) -> AsyncStoredJobs:
        """The tasks of the client's store: what is unfinished, and how to go on with it.

        Raises:
            ConfigurationError: The client has no store.
        """
        self._core.keeper  # noqa: B018 - it raises
        return store_async.AsyncStoredJobs(self._core)

    @property
    def runs(self) -> AsyncRuns:
        """The runs of the client's store, which `map(run=...)` has started: their progress, cost and failures.

        Raises:
            ConfigurationError: The client has no store.
        """
        self._core.keeper  # noqa: B018 - it raises
        return store_async.AsyncRuns(self._core)

    async def _search_models(self, parameters: dict[str, Any]) -> Any:
        return await self.model_search(**parameters)

    async def estimate(
        self, task: Task[Any] | Mapping[str, Any] | None = None, /, *, exact: bool = False, **parameters: Any
    ) -> Estimate:
        """Return what a request will cost and how long it takes, from the catalogue. Nothing is run or billed.

        Args:
            task: A request object, or an API object, with Python or API names.
            parameters: Parameters of the request, in place of *task* or besides an API object.
            exact: Ask the server: it checks the request without running it, and says what it would cost. That needs
                the API key and the network, and works for models that the catalogue does not know.

        Raises:
            NotFoundError: The model is not in the catalogue, and *exact* is not set.
            ValidationError: The server does not accept the request.
            ConnectionFailedError: The server cannot be reached over HTTP.
        """
        return await run_elsewhere(lambda: self._core.estimate(_with(task, parameters), exact=exact))

    @overload
    async def run(self, task: Task[R]) -> R: ...
    @overload
    async def run(self, task: Mapping[str, Any]) -> Results[Any]: ...
    async def run(self, task: Any = None, **given: Any) -> Any:
        """Run a task and wait for its result in the running event loop.

        Args:
            task: A request object; or a dict with parameters by their Python or API names, which returns a list. The
                dict has a `taskType`, or a `model` of `rw.models` that tells it.
            given: Refused, with what would work.

        Raises:
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        if given:
            raise _run_misused(given)
        held: list[Job[Any]] = []
        try:
            core = self._core
            if not core.started and isinstance(task, Mapping):
                await run_elsewhere(core.knowledge.prepare)  # a model may have to tell the task type
            return await (await self._start(core.task_of(task), held))
        except BaseException as error:
            self._stopped_waiting(held, error)
            raise

    _own_run = staticmethod(run)
    """The operations do what this does, unless `run` is another function."""

    @staticmethod
    def _stopped_waiting(held: list[Job[Any]], error: BaseException) -> None:
        """Cancel what a call has submitted, because its caller waits no more."""
        for job in held:
            job.cancel() if isinstance(error, (asyncio.CancelledError, GeneratorExit)) else job.interrupt()

    async def _start(self, task: Task[R], held: list[Job[R]], place: Place | None = None) -> Job[R]:
        """Submit a task without blocking the event loop.

        Args:
            task: The task.
            held: Receives the job before anything is sent.
            place: Its place in a run.
        """
        return self._start_at_once(task, held, place) or await self._start_elsewhere(task, held, place)

    def _start_at_once(self, task: Task[R], held: list[Job[R]], place: Place | None = None) -> Job[R] | None:
        """Submit a task, unless that would block the event loop."""
        core = self._core
        if core.started and not task.holds_payload():
            return core.submit(task, None if task.on_partial is None else _dispatch_in_loop(), held, place)
        return None

    async def _start_elsewhere(self, task: Task[R], held: list[Job[R]], place: Place | None = None) -> Job[R]:
        """Submit a task in another thread: the client is to be loaded, or media to be read and encoded."""
        dispatch = None if task.on_partial is None else _dispatch_in_loop()
        return await run_elsewhere(
            lambda: self._core.submit(task, dispatch, held, place), unwanted=lambda job: job.cancel()
        )

    def app(self, name: str, *, environment: str | None = None) -> serverless.AsyncApp:
        """Return a handle on a serverless app, whose calls are coroutines. Nothing is sent.

        Args:
            name: The app's ID, such as `"my-upscaler"`.
            environment: The environment, such as `"staging"`. `None` means the server's default, `"production"`.

        Raises:
            ValidationError: *name* or *environment* cannot be one.
        """
        return serverless.AsyncApp(self._core, name, environment)

    def stream(self, task: StreamText, **given: Any) -> AsyncTextStream:
        """Return the stream of a request, as `stream_text` does.

        Args:
            task: The request.
            given: Refused, with what would work.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
        """
        if given or not isinstance(task, Task):
            raise _stream_misused()
        return text_streams.AsyncTextStream(self._core, task)

    async def connect(self, timeout: float | None = None) -> None:
        """Connect and authenticate, unless connected already.

        Args:
            timeout: Deadline in seconds. `None` uses the client's `timeout`.

        Raises:
            AuthenticationError: The server rejected the key.
            ConnectionFailedError: No connection could be established; `stage` says where it failed.
            TaskTimeoutError: The deadline passed.
        """
        core = self._core
        if core.started:
            job = core.connect(timeout)
        else:
            job = await run_elsewhere(lambda: core.connect(timeout), unwanted=lambda job: job.cancel())
        await _awaited(job)

    ensure_connection = connect

    async def close(self) -> None:
        """Close permanently, within half a second. Running calls fail with `ClientClosedError`, as do later ones.

        Pending callbacks and events run first. If they take longer, the rest runs in the background; those that have
        not started after 30 seconds are dropped, which is logged. A callback may close its own client.
        """
        self._core.close(0.0)
        await run_elsewhere(self._core.close)

    disconnect = aclose = close

    def __enter__(self) -> NoReturn:
        raise UsageError("AsyncRunware is for asyncio: use `async with AsyncRunware()`, or `with Runware()`.")

    def __exit__(self, *_: object) -> NoReturn:
        raise UsageError("AsyncRunware is for asyncio: use `async with AsyncRunware()`, or `with Runware()`.")

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        if not self._shared:
            await self.close()


# ---------------------------------------------------------------------- one client a process


class _NoCore:
    """Stand-in for the core of a client that cannot work in this process; raises the reason on each use."""

    def __init__(self, error: ConfigurationError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise copy(self._error)


def _unpickle(cls: type[H], portable: dict[str, Any]) -> H:
    client = cls.__new__(cls)
    try:
        client._core = shared_core(restore_options(portable))
    except ConfigurationError as error:
        # Raised at the first use: a worker process that fails to unpickle its task dies, and its caller waits for ever.
        client._core = cast("Core", _NoCore(error))
    return client


def get_client(**options: Any) -> Runware:
    """Return the client of this process with these options, created on first use; the environment has the rest.

    Callers with equal options share one: its connection, its counters and its limits. It is thread-safe, connects on
    the first operation, and works in forked workers. `with get_client() as rw:` does not close it at the end, since
    others use it too. After `close`, the next call returns a new one.

    Args:
        **options: The options of `Runware`.

    Raises:
        ConfigurationError: `RUNWARE_API_KEY` is not set, or an option is invalid.
        UsageError: There is no such option.
    """
    if error := unknown_name_error("get_client", sorted(_OPTIONS | {"check"}), options):
        raise error
    client = Runware.__new__(Runware)
    client._core = shared_core(read_options(options))
    client._shared = True
    return client


# ---------------------------------------------------------------------- waiting


_INSTEAD = "await rw.aio.image_inference(...)"


def _result_of(job: Job[R]) -> R:
    job.wait_done()  # `run` has made the checks of `result` already
    return job.result()


def _wait(job: Job[R]) -> R:
    """Wait for a job that only this call uses; cancel it if the wait is interrupted."""
    try:
        return job.result()
    except BaseException:
        job.cancel()
        raise


def _dispatch_in_loop() -> Dispatch:
    """Return what runs `on_partial` callbacks in the running event loop, in the current context.

    They run in the order in which they are posted, and before the result: both take the same way into the loop.
    """
    loop, context = running_loop(), copy_context()
    return lambda callback: call_soon_in(loop, partial(context.run, callback))


async def _awaited(job: Job[R]) -> R:
    try:
        return await job
    except BaseException:
        job.cancel()
        raise
