"""`rw.map` and `rw.aio.map`: run many requests with bounded concurrency, and iterate over their results.

A window of jobs is refilled and drained as results are consumed, so memory does not grow with the number of inputs.
"""

from __future__ import annotations

import queue
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sized
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypedDict, TypeVar, Unpack, overload

from runware import requests
from runware._support.event_loops import running_loop, warn_in_event_loop
from runware._support.lazy_modules import lazy_module
from runware._support.unknown_names import unknown_name_error
from runware.errors import UsageError, ValidationError
from runware.jobs import Job, Progress, call_soon_in, get_interruptibly
from runware.requests.base import Task
from runware.requests.raw import as_task

R = TypeVar("R")
T = TypeVar("T")

if TYPE_CHECKING:
    import asyncio

    from runware.core import Core
    from runware.display import progress as progress_display
    from runware.requests import signatures

    Input: TypeAlias = Task[R] | Exception
    """A request, or the reason why it could not be created."""

    class _MapOptions(TypedDict, total=False):
        concurrency: int
        ordered: bool
        progress: bool | Callable[[Progress], object]

else:
    asyncio = lazy_module("asyncio")
    progress_display = lazy_module("runware.display.progress")
    signatures = lazy_module("runware.requests.signatures")


__all__ = ["AsyncMap", "BlockingMap", "requests_from"]

_BUFFER = 4
"""With ordered results, up to this many times *concurrency* may be finished and wait behind a slow one."""

_SINGLE = (str, bytes, bytearray, memoryview, Mapping)
"""Types that are iterable, but a single input."""


def _request_of(what: object) -> object:
    """Return the request class of an operation, or *what* unchanged."""
    if name := getattr(what, "request_name", None):
        return getattr(requests, name)
    return getattr(what, "request", what)


class BlockingMap:
    """The mixin of `Runware`."""

    _core: Core

    @overload
    def map(
        self,
        what: Iterable[Task[R]],
        inputs: None = None,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R]: ...
    @overload
    def map(
        self,
        what: Iterable[Task[R]],
        inputs: None = None,
        *,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R | Exception]: ...
    @overload
    def map(
        self,
        what: Callable[..., Task[R]],
        inputs: Iterable[object],
        *,
        common: Mapping[str, object] | None = None,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R]: ...
    @overload
    def map(
        self,
        what: Callable[..., Task[R]],
        inputs: Iterable[object],
        *,
        common: Mapping[str, object] | None = None,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R | Exception]: ...
    @overload
    def map(
        self,
        what: Callable[..., R],
        inputs: Iterable[object],
        *,
        common: Mapping[str, object] | None = None,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R]: ...
    @overload
    def map(
        self,
        what: Callable[..., R],
        inputs: Iterable[object],
        *,
        common: Mapping[str, object] | None = None,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R | Exception]: ...
    def map(
        self,
        what: Any,
        inputs: Iterable[object] | None = None,
        *,
        common: Mapping[str, object] | None = None,
        concurrency: int = 16,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool | Callable[[Progress], object] = False,
    ) -> Iterator[Any]:
        """Run many requests and iterate over their results. Inputs are consumed lazily, as requests finish.

        Args:
            what: An operation of this client or a request class; or, without *inputs*, an iterable of request objects.
            inputs: For each request, a dict of parameters or the value of its main parameter: the prompt, the image to
                work on, the search text. Request objects are used unchanged.
            common: Parameters for every input; those of the input itself take precedence.
            concurrency: The maximum number of requests in flight.
            ordered: Whether to yield results in the order of the inputs; otherwise, in the order of completion.
            return_exceptions: Whether to yield errors like results, including those of invalid inputs. Otherwise, the
                first error is raised. Then, as when the loop is left early, running requests are cancelled, and results
                not yielded yet are lost; the server may have run and billed both.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                result.

        Raises:
            UsageError: *what*, *inputs* and *common* do not fit together.
            Exception: The first error, unless *return_exceptions*. An exception raised by the iterable *inputs* itself
                follows the results of the inputs before.
        """
        core = self._core
        core.check_thread()
        outcomes = _run_blocking(
            requests_from(what, inputs, common, core.task_of),
            lambda task, held: core.submit(task, None, held),
            concurrency=concurrency,
            ordered=ordered,
            return_exceptions=return_exceptions,
        )
        if not progress:
            return outcomes
        return progress_display.count(outcomes, progress, _length(what if inputs is None else inputs))


class AsyncMap:
    """The mixin of `AsyncRunware`."""

    _core: Core

    @abstractmethod
    async def _start(self, task: Task[R], held: list[Job[R]]) -> Job[R]:
        """Submit a request from an event loop; append its job to *held* before anything is sent."""

    @overload
    def map(
        self,
        what: Iterable[Task[R]],
        inputs: None = None,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R]: ...
    @overload
    def map(
        self,
        what: Iterable[Task[R]],
        inputs: None = None,
        *,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R | Exception]: ...
    @overload
    def map(
        self,
        what: Callable[..., Task[R]],
        inputs: Iterable[object],
        *,
        common: Mapping[str, object] | None = None,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R]: ...
    @overload
    def map(
        self,
        what: Callable[..., Task[R]],
        inputs: Iterable[object],
        *,
        common: Mapping[str, object] | None = None,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R | Exception]: ...
    @overload
    def map(
        self,
        what: Callable[..., Coroutine[Any, Any, R]],
        inputs: Iterable[object],
        *,
        common: Mapping[str, object] | None = None,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R]: ...
    @overload
    def map(
        self,
        what: Callable[..., Coroutine[Any, Any, R]],
        inputs: Iterable[object],
        *,
        common: Mapping[str, object] | None = None,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R | Exception]: ...
    def map(
        self,
        what: Any,
        inputs: Iterable[object] | None = None,
        *,
        common: Mapping[str, object] | None = None,
        concurrency: int = 16,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool | Callable[[Progress], object] = False,
    ) -> AsyncIterator[Any]:
        """Run many requests and iterate over their results asynchronously. `Runware.map` describes the arguments."""
        outcomes = _run_async(
            requests_from(what, inputs, common, self._core.task_of),
            self._start,
            concurrency=concurrency,
            ordered=ordered,
            return_exceptions=return_exceptions,
        )
        return _counted(outcomes, progress, _length(what if inputs is None else inputs)) if progress else outcomes


def _length(inputs: object) -> int | None:
    return len(inputs) if isinstance(inputs, Sized) else None


async def _counted(
    outcomes: AsyncIterator[T], progress: bool | Callable[[Progress], object], total: int | None
) -> AsyncIterator[T]:
    counter = progress_display.Counter(progress, total)
    try:
        async for outcome in outcomes:
            counter.step()
            yield outcome
    finally:
        counter.close()


# ---------------------------------------------------------------------- requests


def requests_from(
    what: object,
    inputs: Iterable[object] | None,
    common: Mapping[str, object] | None = None,
    task_of: Callable[[Any], Task[Any]] = as_task,
) -> Iterator[Input[Any]]:
    """Create the requests lazily; an input that is not valid becomes its error.

    Args:
        what: An operation, a request class, or (without *inputs*) an iterable of request objects or wire objects.
        inputs: For each request, its parameters or the value of its main parameter.
        common: Parameters for every request; those of the input take precedence.
        task_of: Makes a request of a request object or API object.

    Raises:
        UsageError: The arguments do not fit together.
    """
    if inputs is None:
        if callable(what) or isinstance(what, _SINGLE) or not isinstance(what, Iterable):
            raise UsageError("map() takes an operation and inputs for it, or an iterable of request objects.")
        if common is not None:
            raise UsageError("map() takes common= together with an operation and inputs for it.")
        return _each(task_of, what)
    request = _request_of(what)
    if not (isinstance(request, type) and issubclass(request, Task)):
        raise UsageError("map() takes one of the client's operations or a request class, not any other function.")
    if isinstance(inputs, _SINGLE):
        kind = "dict" if isinstance(inputs, Mapping) else type(inputs).__name__
        raise UsageError(f"map() takes an iterable of inputs; a {kind} is a single one. Put it in a list.")
    names = [field.name for field in signatures.fields(request)]  # type: ignore[arg-type]  # every class can be hashed
    return _each(_maker(request, names[0], _checked(request.__name__, names, common)), inputs)


def _checked(what: str, names: list[str], common: Mapping[str, object] | None) -> Mapping[str, Any]:
    """Check the common parameters before any input is consumed."""
    if not (common is None or isinstance(common, Mapping)):
        raise UsageError(f"common must be a dict of parameters; got {type(common).__name__}.")
    if error := unknown_name_error(what, names, common or ()):
        raise error
    return common or {}


def _maker(request: type[Task[R]], first: str, common: Mapping[str, Any]) -> Callable[[object], Task[R]]:
    """Return a function that creates a request from one input."""
    main = first if request.main is None else request.main

    def make(value: object) -> Task[R]:
        if isinstance(value, Task):
            return value
        if isinstance(value, Mapping):
            return request(**{**common, **value})
        if not main:
            raise ValidationError(
                f"{request.__name__} needs a dict of parameters for each input; got {type(value).__name__}.",
                code="invalidParameter",
                parameter="inputs",
            )
        return request(**{**common, main: request.main_value(value)})

    return make


def _each(make: Callable[[T], Task[R]], values: Iterable[T]) -> Iterator[Input[R]]:
    for value in values:
        try:
            task: Input[R] = make(value)
        except Exception as error:  # the outcome of this input; the others still run
            task = error
        yield task


# ---------------------------------------------------------------------- running


class _Window(Generic[R]):
    """Decide which request to submit next and which outcome to yield next. It neither blocks nor submits.

    Args:
        tasks: The requests.
        concurrency: The maximum number of requests in flight.
        ordered: Whether outcomes keep the order of the requests.
    """

    def __init__(self, tasks: Iterator[Input[R]], concurrency: int, *, ordered: bool) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ValidationError(
                f"concurrency must be an integer of at least 1; got {concurrency!r}.",
                code="invalidParameter",
                parameter="concurrency",
            )
        self._tasks: Iterator[Input[R]] | None = tasks
        self._concurrency = concurrency
        self._ordered = ordered
        self._running = 0
        self.input_error: Exception | None = None
        """The exception raised by the iterable of inputs."""
        self._jobs: deque[Job[R] | Exception] = deque()  # in order, running or finished; if unordered, only running
        self._finished: deque[Job[R] | Exception] = deque()  # if unordered

    def next_task(self) -> Task[R] | None:
        """Return the next request to submit; `None` if the window is full or there are no more."""
        while self._tasks is not None and self._running < self._concurrency:
            if len(self._jobs) + len(self._finished) >= self._concurrency * _BUFFER:
                return None
            try:
                task = next(self._tasks)
            except StopIteration:
                self._tasks = None
                return None
            except Exception as error:  # of the iterable itself: raised after the outcomes of what runs
                self._tasks, self.input_error = None, error
                return None
            if not isinstance(task, Exception):
                self._running += 1
                return task
            (self._jobs if self._ordered else self._finished).append(task)
        return None

    def add(self, job: Job[R]) -> None:
        """Add the job of the request that `next_task` returned."""
        self._jobs.append(job)

    def add_failed(self, error: Exception) -> None:
        """Add the error with which that request could not be submitted."""
        self._running -= 1
        (self._jobs if self._ordered else self._finished).append(error)

    def finish(self, job: Job[R]) -> None:
        """Mark a job as finished."""
        self._running -= 1
        if not self._ordered:
            self._jobs.remove(job)
            self._finished.append(job)

    def next_outcome(self) -> Job[R] | Exception | None:
        """Remove and return the next outcome; `None` if it is not available yet."""
        if self._finished:
            return self._finished.popleft()
        if self._ordered and self._jobs:
            head = self._jobs[0]
            if isinstance(head, Exception) or head.done():
                return self._jobs.popleft()
        return None

    @staticmethod
    def result_of(outcome: Job[R] | Exception, *, return_exceptions: bool) -> R | BaseException:
        """Return the result of an outcome, or raise its error; with *return_exceptions*, return that too."""
        error = outcome if isinstance(outcome, Exception) else outcome.exception(0)
        if error is None:
            assert not isinstance(outcome, Exception)
            return outcome.result(0)
        if return_exceptions:
            return error
        raise error

    @property
    def running(self) -> bool:
        """Whether any request is in flight."""
        return self._running > 0

    def cancel(self, held: Iterable[Job[R]] = (), *, interrupted: bool = False) -> None:
        """Submit nothing further and cancel the running jobs.

        Args:
            held: Jobs whose submission was interrupted.
            interrupted: Whether to log the UUIDs of tasks that were sent.
        """
        self._tasks = None
        for job in (*self._jobs, *held):
            if not isinstance(job, Exception):
                job.interrupt() if interrupted else job.cancel()


def _run_blocking(
    tasks: Iterator[Input[R]],
    submit: Callable[[Task[R], list[Job[R]]], Job[R]],
    *,
    concurrency: int,
    ordered: bool,
    return_exceptions: bool,
) -> Iterator[R | BaseException]:
    """Yield the outcomes of requests, blocking the current thread."""
    window = _Window(tasks, concurrency, ordered=ordered)
    done: queue.SimpleQueue[Job[R]] = queue.SimpleQueue()
    held: list[Job[R]] = []

    def run() -> Iterator[R | BaseException]:
        try:
            while True:
                while (task := window.next_task()) is not None:
                    try:
                        job = submit(task, held)
                    except Exception as error:  # also of this input only, e.g. a closed file
                        window.add_failed(error)
                        held.clear()
                    else:
                        window.add(job)
                        held.clear()
                        job.when_done(partial(done.put, job))
                if (outcome := window.next_outcome()) is not None:
                    yield window.result_of(outcome, return_exceptions=return_exceptions)
                elif window.running:
                    warn_in_event_loop("async for ... in rw.aio.map(...)")
                    window.finish(get_interruptibly(done))
                elif window.input_error is not None:
                    raise window.input_error
                else:
                    return
        except (Exception, GeneratorExit):
            raise
        except BaseException:
            window.cancel(held, interrupted=True)
            raise
        finally:
            window.cancel(held)

    return run()


def _run_async(
    tasks: Iterator[Input[R]],
    submit: Callable[[Task[R], list[Job[R]]], Awaitable[Job[R]]],
    *,
    concurrency: int,
    ordered: bool,
    return_exceptions: bool,
) -> AsyncIterator[R | BaseException]:
    """Yield the outcomes of requests in an event loop."""
    window = _Window(tasks, concurrency, ordered=ordered)

    async def run() -> AsyncIterator[R | BaseException]:
        loop = running_loop()
        done: asyncio.Queue[Job[R]] = asyncio.Queue()
        held: list[Job[R]] = []
        try:
            while True:
                while (task := window.next_task()) is not None:
                    try:
                        job = await submit(task, held)
                    except Exception as error:  # also of this input only, e.g. a closed file
                        window.add_failed(error)
                        held.clear()
                    else:
                        window.add(job)
                        held.clear()
                        job.when_done(partial(call_soon_in, loop, partial(done.put_nowait, job)))
                if (outcome := window.next_outcome()) is not None:
                    yield window.result_of(outcome, return_exceptions=return_exceptions)
                elif window.running:
                    window.finish(await done.get())
                elif window.input_error is not None:
                    raise window.input_error
                else:
                    return
        finally:
            window.cancel(held)

    return run()
