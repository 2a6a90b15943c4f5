"""`AsyncRunware`: the client for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, overload

from runware._support.elsewhere import run_elsewhere
from runware._support.event_loops import running_loop
from runware._support.lazy_modules import lazy_module
from runware.client_base import ClientBase, parameters_of, run_misused, stream_misused, with_parameters
from runware.core import Core, Dispatch
from runware.errors import UsageError
from runware.map import AsyncMap
from runware.operations import AsyncOperations
from runware.operations.chats import AsyncChats
from runware.requests.base import Task
from runware.transport.loop_inbox import call_soon_in

if TYPE_CHECKING:
    import asyncio

    from runware import serverless
    from runware.jobs import Job
    from runware.models import access as models
    from runware.models.access import AsyncModels
    from runware.models.estimates import Estimate
    from runware.requests.text import StreamText
    from runware.results import Results
    from runware.store import asynchronous as store_async
    from runware.store.asynchronous import AsyncRuns, AsyncStoredJobs
    from runware.store.keeper import Place
    from runware.text import streams as text_streams
    from runware.text.streams import AsyncTextStream
else:
    models = lazy_module("runware.models.access")
    asyncio = lazy_module("asyncio")
    serverless = lazy_module("runware.serverless")
    store_async = lazy_module("runware.store.asynchronous")
    text_streams = lazy_module("runware.text.streams")

__all__ = ["AsyncRunware"]

R = TypeVar("R")


class AsyncRunware(ClientBase, AsyncMap, AsyncChats, AsyncOperations):
    """The client for asyncio. Its operations are coroutines, usable from any number of event loops.

    It is `Runware` for event loops: the connection has its own thread, and nothing is bound to a loop. Cancelling the
    task that awaits an operation cancels the call.
    """

    @classmethod
    @parameters_of(ClientBase.__init__)
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
        return await run_elsewhere(lambda: self._core.estimate(with_parameters(task, parameters), exact=exact))

    @overload
    async def run(self, task: Task[R]) -> R: ...
    @overload
    async def run(self, task: Mapping[str, Any]) -> Results[Any]: ...
    async def run(self, task: Any = None, **given: Any) -> Any:
        """Run a task and wait for its result in the running event loop.

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
        held: list[Job[Any]] = []
        try:
            core = self._core
            if not core.started and isinstance(task, Mapping):  # its request class, and perhaps its model, are loaded
                task = await run_elsewhere(partial(core.task_of, task))
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
            given: Not accepted; the `UsageError` shows the right call.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
        """
        if given or not isinstance(task, Task):
            raise stream_misused()
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

        If the store is busy, up to five more seconds are spent on writing what has happened to tasks.

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
