"""`rw.map` and `rw.aio.map`: run many requests with bounded concurrency, and iterate over their results.

A window of jobs is refilled and drained as results are consumed, so memory does not grow with the number of inputs.
This module has the methods of the clients. The others load at the first use of one:

- `inputs`: turns inputs into requests, one at a time.
- `window`: decides which request is submitted next, and which outcome is yielded next.
- `iteration`: submits the requests and yields the outcomes, on a thread or in an event loop.
- `context`: the run that a call of `map` continues, its budget, and the files that it saves.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sized
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

from runware._support.lazy_modules import lazy_attributes, lazy_module
from runware._support.unknown_names import names_checked
from runware.errors import ValidationError
from runware.jobs import Job, Progress
from runware.options import Budget
from runware.requests.base import Task
from runware.requests.validation import progress_problem

R = TypeVar("R")
T = TypeVar("T")

if TYPE_CHECKING:
    from runware.core import Core
    from runware.display import progress as progress_display
    from runware.map import context as map_context
    from runware.map import inputs as map_inputs
    from runware.map import iteration
    from runware.map import window as map_window
    from runware.map.inputs import requests_from
    from runware.store.keeper import Place

    class _MapOptions(TypedDict, total=False):
        concurrency: int
        ordered: bool
        progress: bool | Callable[[Progress], object]
        run: str | None
        budget: float | Budget | None
        save_to: str | os.PathLike[str] | None
        retry_failed: bool

else:
    iteration = lazy_module("runware.map.iteration")
    map_context = lazy_module("runware.map.context")
    map_inputs = lazy_module("runware.map.inputs")
    map_window = lazy_module("runware.map.window")
    progress_display = lazy_module("runware.display.progress")
    __getattr__ = lazy_attributes(globals(), {"requests_from": "inputs"})

__all__ = ["AsyncMap", "BlockingMap", "requests_from"]


class BlockingMap:
    """The mixin that gives `Runware` its method `map`."""

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
            concurrency: The maximum number of requests in flight; 16 by default.
            ordered: `True`, the default, yields results in the order of the inputs; `False`, in that of completion.
            return_exceptions: `True` yields errors like results, including those of invalid inputs. `False`, the
                default, raises the first error. Then, as when the loop is left early, running requests are cancelled,
                and results not yielded yet are lost; the server may have run and billed both.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                result. The last one has the overall status. If the number of inputs was not known before, or an error
                ends the iteration, there is one more call for that.
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
            UsageError: *what*, *inputs* and *common* do not fit together, or there is a *run* of streams.
            ValidationError: *concurrency*, *run*, *save_to* or *retry_failed* is not valid, or the run was started with
                another operation or other *common* parameters.
            ConfigurationError: There is a *run*, and the client has no store; or *budget* is not valid.
            StoreError: The store cannot be opened or written.
            DownloadError: A result could not be saved; `results` has those of its input. The next start tries it again.
            Exception: The first error, unless *return_exceptions*. Its `index` and `input` say for which input it is.
                An exception raised by the iterable *inputs* itself follows the results of the inputs before.
        """
        core = self._core
        core.check_thread()
        _check_progress(progress)
        read = map_inputs.read_inputs(what, inputs, common, core.task_of)
        context = map_context.MapContext(core, run, budget, save_to, retry_failed=retry_failed)
        window = map_window.Window(read, concurrency, ordered=ordered)
        context.begin(what if inputs is not None else None, common)
        outcomes = iteration.run_blocking(window, context, return_exceptions=return_exceptions)
        if not progress:
            return outcomes
        return progress_display.count(outcomes, progress, _length(what if inputs is None else inputs))


class AsyncMap:
    """The mixin that gives `AsyncRunware` its method `map`."""

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
        _check_progress(progress)
        read = map_inputs.read_inputs(what, inputs, common, self._core.task_of)
        context = map_context.MapContext(self._core, run, budget, save_to, retry_failed=retry_failed)
        outcomes = iteration.run_async(
            map_window.Window(read, concurrency, ordered=ordered),
            context,
            partial(context.begin, what if inputs is not None else None, common),
            self._start,
            return_exceptions=return_exceptions,
        )
        return _counted(outcomes, progress, _length(what if inputs is None else inputs)) if progress else outcomes


def _check_progress(progress: object) -> None:
    """Refuse a callback that could not be called.

    Raises:
        ValidationError: It takes something else than one argument, or is no function.
    """
    if wrong := progress_problem(progress):
        raise ValidationError(f"progress {wrong}.", code="invalidParameter", parameter="progress")


def _length(inputs: object) -> int | None:
    """Return the number of inputs, if it is known before they are consumed."""
    return len(inputs) if isinstance(inputs, Sized) else None


async def _counted(
    outcomes: AsyncIterator[T], progress: bool | Callable[[Progress], object], total: int | None
) -> AsyncIterator[T]:
    """Yield outcomes unchanged, and report each one as progress."""
    counter = progress_display.Counter(progress, total)
    try:
        async for outcome in outcomes:
            counter.step(outcome)
            yield outcome
        counter.end()
    except Exception:
        counter.end(failed=True)
        raise
    finally:
        counter.close()
