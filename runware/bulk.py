"""Many tasks: a window of jobs, kept full and drained as results are taken. Memory does not grow with the work."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from runware import requests
from runware._support.event_loops import running_loop, warn_in_event_loop
from runware._support.unknown_names import misnamed
from runware.errors import ValidationError
from runware.jobs import Job, call_in, deliver
from runware.requests.base import Task
from runware.requests.raw import as_task
from runware.requests.signatures import fields

__all__ = ["amap", "map_blocking", "tasks_from"]

_BUFFER = 4
"""How many times *concurrency* may wait, finished, behind a slow one when the order is kept."""

Outcome = Any


def tasks_from(
    what: Any, inputs: Iterable[Any] | None, common: Mapping[str, Any] | None = None
) -> Iterator[Task[Any] | Exception]:
    """Make the tasks one by one, as they are asked for; what cannot be made into one is an error in its place.

    Args:
        what: An operation, a request class, or (without *inputs*) an iterable of request objects or wire objects.
        inputs: For each task its parameters, or only the value of the request's main parameter.
        common: Parameters that every task gets, unless its own input has them.

    Raises:
        TypeError: They do not go together.
    """
    if inputs is None:
        if callable(what) or isinstance(what, _SINGLE) or not isinstance(what, Iterable):
            raise TypeError("map() takes an operation and inputs for it, or an iterable of request objects.")
        if common is not None:
            raise TypeError("map() takes common= together with an operation and inputs for it.")
        return _each(as_task, what)
    request: Any = _request_of(what)
    if not (isinstance(request, type) and issubclass(request, Task)):
        raise TypeError("map() takes one of the client's operations or a request class, not any other function.")
    if isinstance(inputs, _SINGLE):
        kind = "dict" if isinstance(inputs, Mapping) else type(inputs).__name__
        raise TypeError(f"map() takes an iterable of inputs, and a {kind} is one input: put it in a list.")
    return _each(_maker(request, _checked(request, common)), inputs)


_SINGLE = (str, bytes, bytearray, memoryview, Mapping)
"""What can be iterated over, and is one input all the same."""


def _request_of(what: Any) -> Any:
    """Return the request class of an operation; anything else as it is."""
    if name := getattr(what, "request_name", None):
        return getattr(requests, name)
    return getattr(what, "request", what)


def _checked(request: Any, common: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if not (common is None or isinstance(common, Mapping)):
        raise TypeError(f"common must be a dict of parameters, not {type(common).__name__}.")
    if error := misnamed(request.__name__, [field.name for field in fields(request)], common or ()):
        raise error  # at once, and not for each input
    return common or {}


def _maker(request: type[Task[Any]], common: Mapping[str, Any]) -> Callable[[Any], Task[Any]]:
    main = fields(request)[0].name if request.main is None else request.main  # type: ignore[arg-type]

    def make(value: Any) -> Task[Any]:
        if isinstance(value, Task):
            return value
        if isinstance(value, Mapping):
            return request(**{**common, **value})
        if not main:
            raise ValidationError(
                f"{request.__name__} needs a dict of parameters for each input, not {type(value).__name__}.",
                code="invalidParameter",
                parameter="inputs",
            )
        return request(**{**common, main: request.main_value(value)})

    return make


def _each(make: Callable[[Any], Task[Any]], values: Iterable[Any]) -> Iterator[Task[Any] | Exception]:
    for value in values:
        try:
            task: Task[Any] | Exception = make(value)
        except Exception as error:  # one wrong input is that input's outcome, not the end of the others
            task = error
        yield task


class _Window:
    """Which tasks run, and which outcome is next. It neither waits nor submits.

    Args:
        tasks: The tasks to come.
        concurrency: How many may run at once.
        ordered: Whether outcomes keep the order of the tasks.
    """

    def __init__(self, tasks: Iterator[Task[Any] | Exception], concurrency: int, *, ordered: bool) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ValueError(f"concurrency must be a whole number, 1 or more, not {concurrency!r}.")
        self._tasks: Iterator[Task[Any] | Exception] | None = tasks
        self._concurrency = concurrency
        self._ordered = ordered
        self._running = 0
        self.broken: Exception | None = None
        """What the tasks' iterable raised."""
        self._line: deque[Job[Any] | Exception] = deque()  # in order: running or finished
        self._ready: deque[Job[Any] | Exception] = deque()  # finished, when the order does not count

    def wanted(self) -> Task[Any] | None:
        """Give the next task to submit, or `None` when there is no room or no task."""
        while self._tasks is not None and self._running < self._concurrency:
            if len(self._line) + len(self._ready) >= self._concurrency * _BUFFER:
                return None
            try:
                task = next(self._tasks)
            except StopIteration:
                self._tasks = None
                return None
            except Exception as error:  # of the iterable itself: what runs is handed out first
                self._tasks, self.broken = None, error
                return None
            if isinstance(task, Task):
                self._running += 1
                return task
            (self._line if self._ordered else self._ready).append(task)
        return None

    def submitted(self, job: Job[Any] | Exception) -> None:
        """A task runs; or it could not be submitted, and this is why."""
        if isinstance(job, Exception):
            self._running -= 1
            (self._line if self._ordered else self._ready).append(job)
        else:
            self._line.append(job)

    def finished(self, job: Job[Any]) -> None:
        """A job is over."""
        self._running -= 1
        if not self._ordered:
            self._line.remove(job)
            self._ready.append(job)

    def next_outcome(self) -> Job[Any] | Exception | None:
        """Give what is to be handed out next, if it is there already."""
        if self._ready:
            return self._ready.popleft()
        if self._ordered and self._line:
            head = self._line[0]
            if isinstance(head, Exception) or head.done():
                return self._line.popleft()
        return None

    @property
    def waiting(self) -> bool:
        """Whether something still runs."""
        return self._running > 0

    def cancel(self, held: Iterable[Job[Any]] = (), *, interrupted: bool = False) -> None:
        """Stop: nothing further is submitted, and what runs is cancelled.

        Args:
            held: What was being submitted.
            interrupted: Whether the UUIDs of tasks that were sent are logged.
        """
        self._tasks = None
        for job in (*self._line, *held):
            if isinstance(job, Job):
                job.interrupt() if interrupted else job.cancel()


def _outcome(done: Job[Any] | Exception, *, return_exceptions: bool) -> Outcome:
    error = done if isinstance(done, Exception) else done.exception(0)
    if error is None:
        assert isinstance(done, Job)
        return done.result(0)
    if return_exceptions:
        return error
    raise error


def map_blocking(
    tasks: Iterator[Task[Any] | Exception],
    submit: Callable[[Task[Any], list[Job[Any]]], Job[Any]],
    *,
    concurrency: int,
    ordered: bool,
    return_exceptions: bool,
) -> Iterator[Outcome]:
    """Yield the outcomes of tasks, a window of which runs at a time."""
    window = _Window(tasks, concurrency, ordered=ordered)
    done: queue.SimpleQueue[Job[Any]] = queue.SimpleQueue()
    held: list[Job[Any]] = []

    def run() -> Iterator[Outcome]:
        try:
            while True:
                while (task := window.wanted()) is not None:
                    try:
                        job = submit(task, held)
                    except Exception as error:  # of that input again, such as a file that is closed
                        window.submitted(error)
                        held.clear()
                    else:
                        window.submitted(job)
                        held.clear()
                        job.when_over(partial(done.put, job))
                if (outcome := window.next_outcome()) is not None:
                    yield _outcome(outcome, return_exceptions=return_exceptions)
                elif window.waiting:
                    warn_in_event_loop("async for ... in rw.aio.map(...)")
                    window.finished(deliver(done))
                elif window.broken is not None:
                    raise window.broken
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


def amap(
    tasks: Iterator[Task[Any] | Exception],
    submit: Callable[[Task[Any], list[Job[Any]]], Awaitable[Job[Any]]],
    *,
    concurrency: int,
    ordered: bool,
    return_exceptions: bool,
) -> AsyncIterator[Outcome]:
    """The same in an event loop."""
    window = _Window(tasks, concurrency, ordered=ordered)

    async def run() -> AsyncIterator[Outcome]:
        import asyncio

        loop = running_loop()
        done: asyncio.Queue[Job[Any]] = asyncio.Queue()
        held: list[Job[Any]] = []
        try:
            while True:
                while (task := window.wanted()) is not None:
                    try:
                        job = await submit(task, held)
                    except Exception as error:  # of that input again, such as a file that is closed
                        window.submitted(error)
                        held.clear()
                    else:
                        window.submitted(job)
                        held.clear()
                        job.when_over(partial(call_in, loop, partial(done.put_nowait, job)))
                if (outcome := window.next_outcome()) is not None:
                    yield _outcome(outcome, return_exceptions=return_exceptions)
                elif window.waiting:
                    window.finished(await done.get())
                elif window.broken is not None:
                    raise window.broken
                else:
                    return
        finally:
            window.cancel(held)

    return run()
