"""The client classes: `Runware` blocks, `AsyncRunware` is for asyncio, and `submit` returns jobs.

All three share a `Core`, which owns one background I/O thread and one WebSocket. This module has the first;
`async_client` has the second, and `client_base` what they have in common, and `submit`.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, overload

from runware._support.event_loops import RunwareAsyncUsageWarning, warn_in_event_loop
from runware._support.lazy_modules import lazy_module
from runware._support.unknown_names import unknown_name_error
from runware.async_client import AsyncRunware
from runware.client_base import ClientBase, Submitter, parameters_of, run_misused, stream_misused, with_parameters
from runware.errors import UsageError
from runware.handles import OPTIONS, Handle
from runware.handles import unpickle as _unpickle  # noqa: F401 - clients pickled by version 0.7 refer to it
from runware.jobs import get_interruptibly
from runware.map import BlockingMap
from runware.operations import BlockingOperations
from runware.operations.chats import BlockingChats
from runware.options import read_options
from runware.requests.base import Task
from runware.shared_cores import shared_core
from runware.transport.callbacks import run_guarded

if TYPE_CHECKING:
    from runware import serverless
    from runware.jobs import Job
    from runware.models import access as models
    from runware.models.access import Models
    from runware.models.estimates import Estimate
    from runware.requests.text import StreamText
    from runware.results import Results
    from runware.store import access as store_access
    from runware.store import runs as store_runs
    from runware.store.access import StoredJobs
    from runware.store.runs import Runs
    from runware.text import streams as text_streams
    from runware.text.streams import TextStream
else:
    models = lazy_module("runware.models.access")
    serverless = lazy_module("runware.serverless")
    store_access = lazy_module("runware.store.access")
    store_runs = lazy_module("runware.store.runs")
    text_streams = lazy_module("runware.text.streams")

__all__ = ["AsyncRunware", "Runware", "RunwareAsyncUsageWarning", "Submitter", "get_client"]

R = TypeVar("R")


class Runware(ClientBase, BlockingMap, BlockingChats, BlockingOperations):
    """The client. Its operations block until their result is available. Thread-safe.

    `rw.submit` has the same operations and returns jobs; `rw.aio` has them for asyncio. All share one connection. Used
    as a context manager, the client connects on entry and closes on exit; otherwise it connects on the first call.
    """

    @classmethod
    @parameters_of(ClientBase.__init__)
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
            task: A request object, or a dict with Python or API names.
            parameters: Parameters of the request, in place of *task*, or besides a dict.
            exact: Ask the server: it checks the request without running it, and says what it would cost. That needs
                the API key and the network, and works for models that the catalogue does not know.

        Raises:
            NotFoundError: The model is not in the catalogue, and *exact* is not set.
            ValidationError: The server does not accept the request.
            ConnectionFailedError: The server cannot be reached over HTTP.
            ClientClosedError: The client is closed, or is closed meanwhile, and *exact* is set.
        """
        if exact:
            self._core.check_thread()
            warn_in_event_loop("await rw.aio.estimate(...)")
        return self._core.estimate(with_parameters(task, parameters), exact=exact)

    @overload
    def run(self, task: Task[R]) -> R: ...
    @overload
    def run(self, task: Mapping[str, Any]) -> Results[Any]: ...
    def run(self, task: Any = None, **given: Any) -> Any:
        """Run a task and wait for its result.

        Args:
            task: A request object; or a dict with parameters by their Python or API names, which returns a list. The
                dict has a `taskType`, or a `model` of `rw.models` that tells it. It may have settings of the call,
                such as `timeout`, by their Python names.
            given: Not accepted; the `UsageError` shows the right call.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            UsageError: There are arguments besides *task*. Nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        if given:
            raise run_misused(given)
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
            given: Not accepted; the `UsageError` shows the right call.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            ClientClosedError: The client is closed.
        """
        if given or not isinstance(task, Task):
            raise stream_misused()
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

        If the store is busy, up to five more seconds are spent on writing what has happened to tasks.

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


Handle._blocking_class = Runware


def get_client(**options: Any) -> Runware:
    """Return the client of this process with these options, created on first use.

    Callers with equal options share one: its connection, its counters and its limits. It is thread-safe, connects on
    the first operation, and works in forked workers. `with get_client() as rw:` does not close it at the end, since
    others use it too. After `close`, the next call returns a new one.

    Args:
        **options: The options of `Runware`. Those not given are read from the environment, or are the defaults.

    Raises:
        ConfigurationError: `RUNWARE_API_KEY` is not set, or an option is invalid.
        UsageError: There is no such option.
    """
    if error := unknown_name_error("get_client", sorted(OPTIONS | {"check"}), options):
        raise error
    client = Runware.__new__(Runware)
    client._core = shared_core(read_options(options))
    client._shared = True
    return client


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
