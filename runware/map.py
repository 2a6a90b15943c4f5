"""`rw.map` and `rw.aio.map`: run many requests with bounded concurrency, and iterate over their results.

A window of jobs is refilled and drained as results are consumed, so memory does not grow with the number of inputs.
What makes a call of `map` resume, limits its spending or saves its results is a `_Pass`.
"""

from __future__ import annotations

import os
import queue
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypedDict, TypeVar, Unpack, overload

from runware import requests
from runware._support.elsewhere import run_elsewhere
from runware._support.event_loops import running_loop, warn_in_event_loop
from runware._support.lazy_modules import lazy_module
from runware._support.unknown_names import names_checked, unknown_name_error
from runware.errors import ConfigurationError, DownloadError, UsageError, ValidationError
from runware.jobs import Job, Progress, get_interruptibly
from runware.options import Budget
from runware.requests.base import Task
from runware.requests.validation import brief
from runware.transport.loop_inbox import call_soon_in

R = TypeVar("R")
T = TypeVar("T")

if TYPE_CHECKING:
    import asyncio

    from runware.core import Core
    from runware.display import progress as progress_display
    from runware.media import saving
    from runware.media.saving import Saver, Template
    from runware.requests import raw, signatures
    from runware.store import places
    from runware.store import runs as store_runs
    from runware.store.keeper import Place
    from runware.store.places import MapPlace

    Input: TypeAlias = Task[R] | Exception
    """A request, or the reason why it could not be created."""
    _Given: TypeAlias = tuple[object, Input[R]]
    """The short form of an input, and its request."""

    class _MapOptions(TypedDict, total=False):
        concurrency: int
        ordered: bool
        progress: bool | Callable[[Progress], object]
        run: str | None
        budget: float | Budget | None
        save_to: str | os.PathLike[str] | None
        retry_failed: bool

else:
    asyncio = lazy_module("asyncio")
    progress_display = lazy_module("runware.display.progress")
    places = lazy_module("runware.store.places")
    raw = lazy_module("runware.requests.raw")
    saving = lazy_module("runware.media.saving")
    signatures = lazy_module("runware.requests.signatures")
    store_runs = lazy_module("runware.store.runs")


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
    @names_checked
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
        run: str | None = None,
        budget: float | Budget | None = None,
        save_to: str | os.PathLike[str] | None = None,
        retry_failed: bool = False,
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
            run: The name of a run, which needs a client with a store: what a start has done is known to the next one of
                the same name. That yields what was done from the store, follows what runs, and sends the rest, so that
                nothing is bought twice (docs/guides/durable.md). The operation and *common* must be the same each time;
                inputs may be added, left out and in another order. `None` keeps nothing for a next start.
            budget: Limit in US dollars for the run with all its starts or, without *run*, for this call; or a `Budget`.
                An input that might exceed it gets `BudgetExceededError` and is not sent; the next start tries it again.
                `None` means no limit of its own; 0 sends only what is known to cost nothing.
            save_to: Directory or template for the files of results, such as `"out/{run}/{index:05d}-{n}.{ext}"`. Each
                result is downloaded, in the background, before it is yielded; its `path` says where it is. A file that
                the same run has saved before is not downloaded again while it has its size. The fields: `run`, `index`
                (the number of the input, from 0), `n` (that of the file among those of the input, from 0), `uuid` (of
                the result), `task_uuid`, `kind` (such as `image`), `ext` (without a dot). In a directory, files are
                named `{uuid}.{ext}`. `None` saves nothing.
            retry_failed: Run tasks of the run again that have failed for good in an earlier start, instead of raising
                their error again. Failures that may pass are always tried again.

        Raises:
            UsageError: *what*, *inputs* and *common* do not fit together.
            ValidationError: *run*, *save_to* or *retry_failed* is not valid, or the run was started with another
                operation or other *common* parameters.
            ConfigurationError: There is a *run*, and the client has no store; or *budget* is not valid.
            StoreError: The store cannot be opened or written.
            DownloadError: A result could not be saved; `results` has those of its input. The next start tries it again.
            Exception: The first error, unless *return_exceptions*. Its `index` and `input` say for which input it is.
                An exception raised by the iterable *inputs* itself follows the results of the inputs before.
        """
        core = self._core
        core.check_thread()
        given = _given_inputs(what, inputs, common, core.task_of)
        extras = _Pass(core, run, budget, save_to, retry_failed=retry_failed)
        window = _Window(given, concurrency, ordered=ordered)
        extras.begin(what if inputs is not None else None, common)
        outcomes = _run_blocking(window, extras, return_exceptions=return_exceptions)
        if not progress:
            return outcomes
        return progress_display.count(outcomes, progress, _length(what if inputs is None else inputs))


class AsyncMap:
    """The mixin of `AsyncRunware`."""

    _core: Core

    @abstractmethod
    async def _start(self, task: Task[R], held: list[Job[R]], place: Place | None = None) -> Job[R]:
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
    @names_checked
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
        run: str | None = None,
        budget: float | Budget | None = None,
        save_to: str | os.PathLike[str] | None = None,
        retry_failed: bool = False,
    ) -> AsyncIterator[Any]:
        """Run many requests and iterate over their results asynchronously. `Runware.map` describes the arguments."""
        given = _given_inputs(what, inputs, common, self._core.task_of)
        extras = _Pass(self._core, run, budget, save_to, retry_failed=retry_failed)
        outcomes = _run_async(
            _Window(given, concurrency, ordered=ordered),
            extras,
            partial(extras.begin, what if inputs is not None else None, common),
            self._start,
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
    task_of: Callable[[Any], Task[Any]] | None = None,
) -> Iterator[Input[Any]]:
    """Create the requests lazily; an input that is not valid becomes its error.

    Args:
        what: An operation, a request class, or (without *inputs*) an iterable of request objects or wire objects.
        inputs: For each request, its parameters or the value of its main parameter.
        common: Parameters for every request; those of the input take precedence.
        task_of: Makes a request of a request object or API object; `None` takes the task type from the object itself.

    Raises:
        UsageError: The arguments do not fit together.
    """
    return (task for _, task in _given_inputs(what, inputs, common, task_of or raw.as_task))


def _given_inputs(
    what: object,
    inputs: Iterable[object] | None,
    common: Mapping[str, object] | None,
    task_of: Callable[[Any], Task[Any]],
) -> Iterator[_Given[Any]]:
    """Return each input's short form with its request; see `requests_from`."""
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


def _each(make: Callable[[T], Task[R]], values: Iterable[T]) -> Iterator[_Given[R]]:
    for value in values:
        try:
            task: Input[R] = make(value)
        except Exception as error:  # the outcome of this input; the others still run
            task = error
        yield _short(value), task


_LONGEST_TEXT = 1000
_LONGEST_LIST = 20


def _short(value: object, depth: int = 0) -> object:
    """Return an input as errors keep it: plain data, without media and without what is very long."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else brief(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Task):
        value = {"taskType": value.task_type, **vars(value)}
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {str(name): _short(one, depth + 1) for name, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [_short(one, depth + 1) for one in value[:_LONGEST_LIST]]
    return brief(value)


_DEEPEST = 4


# ---------------------------------------------------------------------- runs, budgets and files


class _Pass:
    """What a call of `map` does besides running requests: it keeps a run, a budget and files.

    Args:
        core: The client's core.
        run: The name of the run.
        budget: The limit of the run or of this call.
        save_to: Where results are saved.
        retry_failed: Whether tasks of the run that have failed before are run again.

    Raises:
        ValidationError: An argument is not valid.
        ConfigurationError: The run or the budget needs a store, or the budget is not valid.
    """

    def __init__(self, core: Core, run: Any, budget: Any, save_to: Any, *, retry_failed: Any) -> None:
        self.core = core
        self.blocks = not (run is None and budget is None and save_to is None)
        """Whether `begin` has something to do."""
        self.place: MapPlace | None = None
        self.saver: Saver | None = None
        self._template: Template | None = None
        if run is not None:
            places.check_run_name(run)
            core.keeper  # noqa: B018 - it raises
        if not isinstance(retry_failed, bool) or (retry_failed and run is None):
            raise ValidationError(
                "retry_failed must be True or False, and needs run=: it is about the tasks of a run that have failed.",
                code="invalidParameter",
                parameter="retry_failed",
            )
        if run is not None or budget is not None:
            limit = _budget(core, budget, run)
            self.place = places.MapPlace(run, limit, retries_failed=retry_failed)
        if save_to is not None:
            self._template = saving.Template(save_to, run)

    def begin(self, what: object, common: Mapping[str, object] | None) -> None:
        """Open the store, and write the run. It blocks.

        Raises:
            ValidationError: The run was started for something else.
            StoreError: The store cannot be opened or written.
        """
        core, place = self.core, self.place
        if place is not None and place.run is not None:
            request = _request_of(what)
            operation = request.__name__ if isinstance(request, type) else "requests"
            store_runs.start_run(core, place.run, places.described(operation, common))
        if place is not None:
            core.keep_budgets()
        if self._template is not None:
            memory = core.store_recorder if core.options.store is not None else None
            self.saver = saving.Saver(self._template, core.downloads, memory)

    def watch(self, entry: _Entry[Any], notify: Callable[[_Entry[Any], bool], object]) -> None:
        """Have *notify* called when the job is done and, with True, when its outcome may be yielded."""
        assert entry.job is not None
        if self.saver is None:
            entry.job.when_done(partial(notify, entry, True))
        else:
            self.saver.grow()
            entry.job.when_done(partial(_save, self.saver, entry, notify))

    def end(self, *, completed: bool) -> None:
        """Free what it holds; if it was not completed, downloads end too. It does not wait."""
        if self.saver is not None:
            self.saver.end(cancel=not completed)
        if self.place is not None:
            self.place.close()
            if self.place.run is None and self.place.budget is not None:
                self.core.keep_budgets().forget(self.place.scope)


def _budget(core: Core, budget: Any, run: str | None) -> Budget | None:
    limit = budget if budget is None or isinstance(budget, Budget) else Budget(budget)
    if limit is not None and limit.per == "run" and run is None:
        raise ConfigurationError("A budget per run needs run=, with the name of the run.", parameter="budget")
    if limit is not None and limit.per in ("store", "day") and core.options.store is None:
        raise ConfigurationError(
            f"A budget per {limit.per} needs a client with a store, which keeps what was spent.", parameter="budget"
        )
    return limit


def _save(saver: Saver, entry: _Entry[Any], notify: Callable[[_Entry[Any], bool], object]) -> None:
    """Hand the results of a job to the saver, on the I/O thread."""
    job = entry.job
    assert job is not None
    results: Any = ()
    if (outcome := job.outcome()) is not None:
        answer, error = outcome
        results = answer if error is None else getattr(error, "results", ())
    notify(entry, False)

    def done(error: DownloadError | None) -> None:
        entry.error = error
        notify(entry, True)

    line = getattr(job, "line", None)  # a stream has none
    saver.put(
        saving.Order(
            results=results if isinstance(results, (list, tuple)) else [results],
            index=entry.index,
            task_uuid=job.task_uuid,
            key=getattr(line, "key", None),
            fresh=getattr(line, "fresh", False),
            done=done,
        )
    )


# ---------------------------------------------------------------------- running


class _Entry(Generic[R]):
    """An input under way.

    Attributes:
        index: Its number, from 0.
        given: Its short form.
        job: Its job, once it was submitted.
        error: Why it was not submitted, or why its results were not saved.
        saving: Whether its job is done, and its results are being saved.
        ready: Whether it has an outcome to be yielded.
    """

    __slots__ = ("error", "given", "index", "job", "ready", "saving")

    def __init__(self, index: int, given: object) -> None:
        self.index = index
        self.given = given
        self.job: Job[R] | None = None
        self.error: Exception | None = None
        self.saving = self.ready = False

    def outcome(self, *, return_exceptions: bool) -> R | BaseException:
        """Return the result, or raise the error; with *return_exceptions*, return that too."""
        job = self.job
        error: BaseException | None = None if job is None else job.exception(0)
        if error is None:
            error = self.error
        if error is None:
            assert job is not None
            return job.result(0)
        self._name_input(error)
        if return_exceptions:
            return error
        raise error

    def _name_input(self, error: BaseException) -> None:
        """Set `index` and `input` of an error."""
        with suppress(AttributeError):  # a class of the user's may not allow it
            error.index, error.input = self.index, self.given  # type: ignore[attr-defined]


class _Window(Generic[R]):
    """Decide which request to submit next and which outcome to yield next. It neither blocks nor submits.

    Args:
        inputs: The short form of each input, with its request.
        concurrency: The maximum number of requests in flight.
        ordered: Whether outcomes keep the order of the requests.
    """

    def __init__(self, inputs: Iterator[_Given[R]], concurrency: int, *, ordered: bool) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ValidationError(
                f"concurrency must be an integer of at least 1; got {concurrency!r}.",
                code="invalidParameter",
                parameter="concurrency",
            )
        self._inputs: Iterator[_Given[R]] | None = inputs
        self._concurrency = concurrency
        self._ordered = ordered
        self._running = self._saving = self._taken = 0
        self.input_error: Exception | None = None
        """The exception raised by the iterable of inputs."""
        self._entries: deque[_Entry[R]] = deque()  # in order, under way or ready; if unordered, only under way
        self._finished: deque[_Entry[R]] = deque()  # if unordered
        self._leaving: _Entry[R] | None = None  # its outcome is about to be yielded

    def next_task(self) -> tuple[_Entry[R], Task[R]] | None:
        """Return the next request to submit; `None` if the window is full or there are no more."""
        while self._inputs is not None and self._running < self._concurrency:
            if len(self._entries) + len(self._finished) >= self._concurrency * _BUFFER:
                return None
            try:
                given, task = next(self._inputs)
            except StopIteration:
                self._inputs = None
                return None
            except Exception as error:  # of the iterable itself: raised after the outcomes of what runs
                self._inputs, self.input_error = None, error
                return None
            entry: _Entry[R] = _Entry(self._taken, given)
            self._taken += 1
            if not isinstance(task, Exception):
                self._running += 1
                return entry, task
            self._add_error(entry, task)
        return None

    def _add_error(self, entry: _Entry[R], error: Exception) -> None:
        entry.error, entry.ready = error, True
        (self._entries if self._ordered else self._finished).append(entry)

    def add(self, entry: _Entry[R], job: Job[R]) -> None:
        """Add the job of the request that `next_task` returned."""
        entry.job = job
        self._entries.append(entry)

    def add_failed(self, entry: _Entry[R], error: Exception) -> None:
        """Add the error with which that request could not be submitted."""
        self._running -= 1
        self._add_error(entry, error)

    def advance(self, entry: _Entry[R], *, ready: bool) -> None:
        """Note that a job is done and, if *ready*, that its outcome may be yielded."""
        if entry.saving:
            self._saving -= 1
        else:
            self._running -= 1
        entry.saving, entry.ready = not ready, ready
        if not ready:
            self._saving += 1
        elif not self._ordered:
            self._finished.append(entry)  # before it is removed: Ctrl-C may come in between
            self._entries.remove(entry)

    def next_outcome(self) -> _Entry[R] | None:
        """Remove and return the next input with an outcome; `None` if there is none yet."""
        ready = self._finished
        if self._ordered and self._entries and self._entries[0].ready:
            ready = self._entries
        if not ready:
            return None
        self._leaving = ready[0]  # before it is removed, too
        return ready.popleft()

    def yielded(self) -> None:
        """Note that the caller has the last outcome."""
        self._leaving = None

    @property
    def running(self) -> bool:
        """Whether any request is in flight, or any result is being saved."""
        return self._running > 0 or self._saving > 0

    @property
    def completed(self) -> bool:
        """Whether everything was submitted and is done."""
        return self._inputs is None and not self.running

    def cancel(self, held: Iterable[Job[R]] = (), *, interrupted: bool = False) -> None:
        """Submit nothing further and cancel the running jobs.

        Args:
            held: Jobs whose submission was interrupted.
            interrupted: Whether to log the UUIDs of tasks that were sent, and whose outcomes the caller does not have.
        """
        self._inputs = None
        entries = (*self._entries, *self._finished, self._leaving)
        for job in dict.fromkeys((*(None if entry is None else entry.job for entry in entries), *held)):
            if job is not None:
                job.interrupt() if interrupted else job.cancel()


def _run_blocking(window: _Window[R], extras: _Pass, *, return_exceptions: bool) -> Iterator[R | BaseException]:
    """Yield the outcomes of requests, blocking the current thread."""
    done: queue.SimpleQueue[tuple[_Entry[R], bool]] = queue.SimpleQueue()
    held: list[Job[R]] = []

    def notify(entry: _Entry[R], ready: bool) -> None:
        done.put((entry, ready))

    def submit_next() -> None:
        while (following := window.next_task()) is not None:
            entry, task = following
            try:
                job = extras.core.submit(task, None, held, extras.place)
            except Exception as error:  # also of this input only, e.g. a closed file
                window.add_failed(entry, error)
                held.clear()
            else:
                window.add(entry, job)
                held.clear()
                extras.watch(entry, notify)

    def run() -> Iterator[R | BaseException]:
        try:
            while True:
                submit_next()
                if (outcome := window.next_outcome()) is not None:
                    yield outcome.outcome(return_exceptions=return_exceptions)
                    window.yielded()
                elif window.running:
                    warn_in_event_loop("async for ... in rw.aio.map(...)")
                    entry, ready = get_interruptibly(done)
                    window.advance(entry, ready=ready)
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
            completed = window.completed
            window.cancel(held)
            extras.end(completed=completed)

    return run()


def _run_async(
    window: _Window[R],
    extras: _Pass,
    begin: Callable[[], None],
    submit: Callable[[Task[R], list[Job[R]], MapPlace | None], Awaitable[Job[R]]],
    *,
    return_exceptions: bool,
) -> AsyncIterator[R | BaseException]:
    """Yield the outcomes of requests in an event loop."""

    async def run() -> AsyncIterator[R | BaseException]:
        loop = running_loop()
        done: asyncio.Queue[tuple[_Entry[R], bool]] = asyncio.Queue()
        held: list[Job[R]] = []

        def notify(entry: _Entry[R], ready: bool) -> None:
            call_soon_in(loop, partial(done.put_nowait, (entry, ready)))

        if extras.blocks:
            await run_elsewhere(begin)
        try:
            while True:
                while (following := window.next_task()) is not None:
                    entry, task = following
                    try:
                        job = await submit(task, held, extras.place)
                    except Exception as error:  # also of this input only, e.g. a closed file
                        window.add_failed(entry, error)
                        held.clear()
                    else:
                        window.add(entry, job)
                        held.clear()
                        extras.watch(entry, notify)
                if (outcome := window.next_outcome()) is not None:
                    yield outcome.outcome(return_exceptions=return_exceptions)
                elif window.running:
                    entry, ready = await done.get()
                    window.advance(entry, ready=ready)
                elif window.input_error is not None:
                    raise window.input_error
                else:
                    return
        finally:
            completed = window.completed
            window.cancel(held)
            extras.end(completed=completed)

    return run()
