"""The faces of the client: `Runware` blocks, `AsyncRunware` is for asyncio, and `submit` gives jobs.

All three stand on one `Core`, which owns the engine: one background I/O thread and one WebSocket. What constructing a
client needs is loaded then, and not by the import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from copy import copy
from functools import cached_property, partial, wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast, overload

from runware._support.event_loops import RunwareAsyncUsageWarning, running_loop, warn_in_event_loop
from runware._support.import_lock import loading
from runware.errors import ConfigurationError, RunwareError
from runware.mapping import AsyncMap, BlockingMap
from runware.operations import AsyncOperations, BlockingOperations, JobOperations

if TYPE_CHECKING:
    import ssl

    from runware.core import Core, Dispatch
    from runware.events import Event, Stats
    from runware.jobs import Job
    from runware.options import ApiKey, RetryPolicy
    from runware.requests.base import Task
    from runware.results import Partial, Result, Results

__all__ = ["AsyncRunware", "Runware", "RunwareAsyncUsageWarning", "Submitter", "get_client"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
H = TypeVar("H", bound="_Handle")


class _Handle:
    """A handle on the core of a client. It pickles by the client's options, without the key."""

    _core: Core

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (type(self), self._core.options.portable())

    def __copy__(self) -> Self:
        return self  # it is a handle on the client's one connection

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} {self._core.options.url} {self._core.state}>"
        except ConfigurationError:
            return f"<{type(self).__name__} without its key>"

    @property
    def closed(self) -> bool:
        """Whether the client is closed."""
        return self._core.closed


class Submitter(_Handle, JobOperations):
    """The operations, each returning a `Job` at once. It is `rw.submit`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @overload
    def run(self, task: Task[R]) -> Job[R]: ...
    @overload
    def run(self, task: Mapping[str, Any]) -> Job[Results[Result]]: ...
    def run(self, task: Any) -> Any:
        """Start one task and return the handle on it.

        Media are read and encoded before this returns; nothing else is waited for.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it, and nothing was sent.
            ClientClosedError: The client is closed.
        """
        core = self._core
        return core.start(core.task_of(task), None, _itself)


def _named(init: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """Let the constructor say what is wrong in the name of the user's class, and what was meant."""
    names = ["api_key", *(init.__kwdefaults__ or ())]

    @wraps(init)
    def named(self: Any, /, *args: P.args, **options: P.kwargs) -> None:
        if len(args) > 1 or not options.keys() <= set(names):
            from runware._support.unknown_names import misnamed

            cls = type(self).__name__
            raise misnamed(cls, names, options) or TypeError(f"{cls} takes its options by name, except for the key.")
        init(self, *args, **options)

    return named


class _Client(_Handle):
    """What a face that users construct has: the options, `submit`, and an end."""

    @_named
    def __init__(
        self,
        api_key: ApiKey | None = None,
        *,
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
        dry_run: bool | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        insecure_ws: bool | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        """Take the options. Nothing is sent and no thread starts before the first call.

        Args:
            api_key: The key, or a function that returns it and is asked for every connection (on a thread of its
                own). `None` reads the environment variable `RUNWARE_API_KEY`.
            url: Where the server is. `None` reads `RUNWARE_URL`, and else means `wss://ws-api.runware.ai/v1`.
                `ws://` is refused unless it leads to this machine.
            timeout: Seconds for a whole call, the connection included; the default is 60.
            long_timeout: The same for tasks that the server works on for long, such as videos; the default is 1200.
                It is never shorter than *timeout*.
            connect_timeout: Seconds for one attempt to connect and authenticate; the default is 15.
            max_retries: Extra attempts for a failed call, or a `RetryPolicy`; the default is 2, and 0 means one
                attempt. Only failures that may pass are tried again, and a task only after the server's own word
                that it failed.
            retry_delay: Seconds of the first wait between attempts, which doubles from there, with jitter; the
                default is 1. A lost connection is made again within a tenth of it at first.
            reconnect: Whether calls survive the loss of the connection; the default is `True`.
            heartbeat_interval: Seconds of silence after which an idle connection is tried; the default is 45. The
                server closes a connection after 120.
            liveness_timeout: Seconds of silence after which a connection with calls in flight is given up and made
                again; the default is 15.
            max_in_flight: How many calls may be at the server at once; further ones wait. `None` means no limit.
            max_queued: How many calls may wait; the default is 100,000.
            include_cost: Whether results tell their cost, for calls that do not say. `None` leaves it to the server.
            dry_run: Whether the server only checks tasks, without running or billing them.
            proxy: An `http://` or, with the extra `socks`, `socks5h://` address. `None` reads `HTTPS_PROXY`,
                `ALL_PROXY` and `NO_PROXY`; `""` means no proxy.
            ssl_context: How TLS is done. `None` means the operating system's trust store, with `SSL_CERT_FILE` and
                `SSL_CERT_DIR`.
            insecure_ws: Whether `ws://` is allowed to other machines. The key is sent in the clear then.
            on_event: Called with each event of `runware.events`, on a thread of its own. What it raises is logged; if
                10,000 events wait for it, further ones are thrown away and counted. If it refers to the client, the
                client is kept until it is closed.

        A client pickles without its key. Where it is unpickled, a key from the environment is read from there again,
        whatever it is by then; a key that was passed must be the one that `RUNWARE_API_KEY` holds there; a function
        is pickled. Clients of equal options are one client there.

        Raises:
            ConfigurationError: There is no key, or a value cannot work; `parameter` names it.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        with loading:
            from runware.core import Core
            from runware.options import read_options

        self._core = Core(read_options(given))

    @property
    def stats(self) -> Stats:
        """What the client has done so far in this process: calls, retries, connections, bytes; a snapshot."""
        return self._core.stats()

    @cached_property
    def submit(self) -> Submitter:
        """The same operations, each returning a `Job` at once."""
        return Submitter(self._core)

    def job(
        self,
        ref: str | Mapping[str, Any],
        *,
        timeout: float | None = None,
        on_partial: Callable[[Partial[Any], RunwareError | None], object] | None = None,
    ) -> Job[Results[Any]]:
        """Pick up a task that was submitted earlier, by this process or another, and wait for its results.

        The server is asked until nothing of the task runs any more. Nothing is sent that could run it again.

        Args:
            ref: A job's `ref`, or the UUID of the task.
            timeout: Seconds for all of it. `None` means the client's `long_timeout`, or a longer `timeout`.
            on_partial: As for any other call.

        Returns:
            A job, whose results each have the class of their kind. It fails with `NotFoundError` when the server
            does not know the task, or no longer, and with the task's own error when that failed.

        Raises:
            ValidationError: *ref* is neither.
        """
        return self._core.follow(ref, timeout, on_partial)


def _parameters_of(
    _: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Any, P], R]]:
    """Give a method the parameters of another, for type checkers and for `help`."""

    def apply(method: Callable[..., R]) -> Callable[Concatenate[Any, P], R]:
        method.__wrapped__ = _Client.__init__  # type: ignore[attr-defined]
        return method

    return apply


class Runware(_Client, BlockingMap, BlockingOperations):
    """The client. Its operations block until their result is there; it may be used from any number of threads.

    `rw.submit` has the same operations and returns jobs, `rw.aio` has them for asyncio; all use one connection. As a
    context manager it connects at the start and closes at the end; without, it connects with the first call.
    """

    @classmethod
    @_parameters_of(_Client.__init__)
    def initialize(cls, *args: Any, **kwargs: Any) -> Runware:
        """Make a client and connect it. Takes what the class takes, and raises what `connect` raises."""
        return cls(*args, **kwargs).__enter__()

    @cached_property
    def aio(self) -> AsyncRunware:
        """The same operations for asyncio, on the same connection, in any event loop."""
        return AsyncRunware._on(self._core)

    @overload
    def run(self, task: Task[R]) -> R: ...
    @overload
    def run(self, task: Mapping[str, Any]) -> Results[Result]: ...
    def run(self, task: Any) -> Any:
        """Run one task and wait for its result.

        Args:
            task: A request object; or a wire object (`{"taskType": ...}`) for what has no class, which gives a list.

        Raises:
            RunwareError: It failed; see there for the kinds.
        """
        core = self._core
        core.check_thread()
        warn_in_event_loop(_INSTEAD)
        task = core.task_of(task)
        if task.on_partial is None:
            return core.start(task, None, _result_of)
        from queue import SimpleQueue

        from runware.jobs import deliver
        from runware.transport.callbacks import run_guarded

        callbacks: SimpleQueue[Callable[[], object] | None] = SimpleQueue()

        def wait(job: Job[Any]) -> Any:
            job.when_over(lambda: callbacks.put(None))
            while (callback := deliver(callbacks)) is not None:
                run_guarded(callback)
            return job.result()

        return core.start(task, callbacks.put, wait)

    def connect(self, timeout: float | None = None) -> None:
        """Connect and authenticate, if that has not happened yet.

        Args:
            timeout: Seconds for all of it. `None` means the client's `timeout`.

        Raises:
            AuthenticationError: The server rejects the key.
            ConnectionFailedError: No connection could be made; `stage` tells where it failed.
            TaskTimeoutError: It was not ready in time.
        """
        self._core.check_thread()
        warn_in_event_loop("await rw.aio.connect()")
        _wait(self._core.connect(timeout))

    ensure_connection = connect

    def close(self) -> None:
        """Close for good, within half a second: running calls end with `ClientClosedError`, further ones raise it.

        Callbacks and events that wait for their turn are run before that. If they take longer, the rest is run in
        the background, and what has not begun after 30 seconds is dropped, which the log tells. A callback may close
        its own client.
        """
        self._core.close()

    disconnect = close

    def __enter__(self) -> Self:
        try:
            self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncRunware(_Client, AsyncMap, AsyncOperations):
    """The client for asyncio. Its operations are coroutines; it may be used from any number of event loops.

    It is `Runware` seen from an event loop: the connection has its own thread, and nothing is tied to a loop.
    Cancelling the task that awaits an operation cancels the call.
    """

    @classmethod
    @_parameters_of(_Client.__init__)
    async def initialize(cls, *args: Any, **kwargs: Any) -> AsyncRunware:
        """Make a client and connect it. Takes what the class takes, and raises what `connect` raises."""
        return await cls(*args, **kwargs).__aenter__()

    @classmethod
    def _on(cls, core: Core) -> AsyncRunware:
        face = cls.__new__(cls)
        face._core = core
        return face

    @overload
    async def run(self, task: Task[R]) -> R: ...
    @overload
    async def run(self, task: Mapping[str, Any]) -> Results[Result]: ...
    async def run(self, task: Any) -> Any:
        """Run one task and wait for its result in the running event loop.

        Args:
            task: A request object; or a wire object (`{"taskType": ...}`) for what has no class, which gives a list.

        Raises:
            RunwareError: It failed; see there for the kinds.
        """
        held: list[Job[Any]] = []
        try:
            return await (await self._start(self._core.task_of(task), held))
        except BaseException as error:
            from asyncio import CancelledError

            for job in held:
                job.cancel() if isinstance(error, (CancelledError, GeneratorExit)) else job.interrupt()
            raise

    async def _start(self, task: Task[R], held: list[Job[R]]) -> Job[R]:
        """Submit a task from an event loop, which does not stand still for it.

        Args:
            task: What to run.
            held: Gets the job before anything is sent.
        """
        from runware.jobs import call_in

        core = self._core
        loop = running_loop()
        dispatch: Dispatch | None = None
        if task.on_partial is not None:
            context = copy_context()
            # In the order they are posted, and before the result: both take the same way into the loop.
            dispatch = lambda callback: call_in(loop, partial(context.run, callback))  # noqa: E731

        if not core.started or task.holds_payload():
            # Reading and encoding media would hold up the loop.
            return await _elsewhere(lambda: core.submit(task, dispatch, held), unwanted=lambda job: job.cancel())
        return core.submit(task, dispatch, held)

    async def connect(self, timeout: float | None = None) -> None:
        """Connect and authenticate, if that has not happened yet.

        Args:
            timeout: Seconds for all of it. `None` means the client's `timeout`.

        Raises:
            AuthenticationError: The server rejects the key.
            ConnectionFailedError: No connection could be made; `stage` tells where it failed.
            TaskTimeoutError: It was not ready in time.
        """
        core = self._core
        if not core.started:
            await _elsewhere(core.engine)
        await _awaited(core.connect(timeout))

    ensure_connection = connect

    async def close(self) -> None:
        """Close for good, within half a second: running calls end with `ClientClosedError`, further ones raise it.

        Callbacks and events that wait for their turn are run before that. If they take longer, the rest is run in
        the background, and what has not begun after 30 seconds is dropped, which the log tells. A callback may close
        its own client.
        """
        self._core.close(0.0)
        await _elsewhere(self._core.close)

    disconnect = aclose = close

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


# ---------------------------------------------------------------------- one client a process


class _NoCore:
    """Stands for the core of a client that cannot work in this process, and says why at each use."""

    def __init__(self, error: ConfigurationError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise copy(self._error)


def _unpickle(face: type[H], portable: dict[str, Any]) -> H:
    with loading:
        from runware.core import shared_core
        from runware.options import restore_options

    made = face.__new__(face)
    try:
        made._core = shared_core(restore_options(portable))
    except ConfigurationError as error:
        # Its first use raises it: a worker process that cannot read its task would die, and who waits for it wait on.
        made._core = cast("Core", _NoCore(error))
    return made


def get_client() -> Runware:
    """Give the client of this process, which is made at the first call with the options of the environment.

    It is the same for every caller, may be used from any thread, connects with the first operation, and works in
    forked workers too. Closing it makes the next call give a new one.

    Raises:
        ConfigurationError: `RUNWARE_API_KEY` is not set.
    """
    with loading:
        from runware.core import shared_core
        from runware.options import read_options

    client = Runware.__new__(Runware)
    client._core = shared_core(read_options({}))
    return client


# ---------------------------------------------------------------------- waiting


_INSTEAD = "await rw.aio.image_inference(...)"


def _itself(job: Job[R]) -> Job[R]:
    return job


def _result_of(job: Job[R]) -> R:
    job.wait_over()  # what `result` checks before was checked by its caller
    return job.result()


def _wait(job: Job[R]) -> R:
    """Wait for a job that is nobody else's: whatever interrupts the wait cancels it."""
    try:
        return job.result()
    except BaseException:
        job.cancel()
        raise


async def _awaited(job: Job[R]) -> R:
    try:
        return await job
    except BaseException:
        job.cancel()
        raise


async def _elsewhere(work: Callable[[], T], *, unwanted: Callable[[T], object] = lambda answer: None) -> T:
    """Do something that may take a while, on a thread of its own: those of the loop's executor may all be busy.

    Args:
        work: What to do. It is not begun when the waiting is cancelled before.
        unwanted: What to do with the answer when the waiting was cancelled.
    """
    import asyncio
    import threading

    running_loop()
    done: Future[T] = Future()
    context = copy_context()

    def run() -> None:
        if done.set_running_or_notify_cancel():
            try:
                done.set_result(context.run(work))
            except BaseException as error:  # it is raised where it is waited for
                done.set_exception(error)

    threading.Thread(target=run, name="runware-elsewhere", daemon=True).start()
    try:
        return await asyncio.wrap_future(done)
    except asyncio.CancelledError:
        done.add_done_callback(lambda done: done.cancelled() or done.exception() or unwanted(done.result()))
        raise
