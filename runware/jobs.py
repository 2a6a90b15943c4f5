"""The handle of a call: a future that can be waited for, awaited, iterated over and cancelled."""

from __future__ import annotations

import contextvars
import copy
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, NoReturn, TypeVar, cast, overload

from runware._support.event_loops import running_loop, warn_in_event_loop
from runware._support.lazy_modules import lazy_module
from runware._support.logs import warn_interrupted
from runware.errors import ClientClosedError, IncompleteResultsError, RunwareError, TaskCancelledError, ValidationError
from runware.futures import ClientFuture, Completer, Owner
from runware.protocol.call import Call, CallState, Completion, Wakeable
from runware.requests.base import Task
from runware.results import Acknowledgement, Partial, Result, Results
from runware.transport.light_future import LightFuture
from runware.transport.loop_inbox import call_soon_in
from runware.transport.wakeup import POLL, wake

if TYPE_CHECKING:
    import asyncio

    from runware.display import notebook
else:
    asyncio = lazy_module("asyncio")
    notebook = lazy_module("runware.display.notebook")

__all__ = ["Dispatch", "Job", "JobStatus", "Progress", "get_interruptibly"]

log = logging.getLogger("runware.jobs")

_ACKNOWLEDGEMENT = Completion.ACKNOWLEDGEMENT  # an attribute of an enum takes longer than a global variable

R = TypeVar("R")
T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

Dispatch = Callable[[Callable[[], object]], object]
"""Runs a callback in the caller's thread or event loop, and logs what it raises."""

JobStatus = Literal["queued", "sent", "accepted", "running", "succeeded", "partial", "failed", "cancelled"]
"""The status of a job."""


class Progress(NamedTuple):
    """The progress of a job, or of `map`.

    Attributes:
        completed: The number of results so far.
        total: The number of results requested. For `map`, that of inputs; 0 as long as it is not known.
        percent: The server's progress report, 0–100, and 100 once it has succeeded; `None` if the server reports none.
            For `map`, the percentage of inputs done; `None` if their number is not known.
        elapsed: Seconds since submission.
        status: The job's `status`. For `map`, `"running"` up to the last report: that says `"succeeded"` if every input
            has a result, `"partial"` if only some have, or `"failed"`.
    """

    completed: int
    total: int
    percent: float | None
    elapsed: float
    status: JobStatus


class Job(ClientFuture[R], Generic[R]):
    """A call in progress: a `concurrent.futures.Future` that asyncio can await as well.

    `rw.submit` returns it. Wait for it with `result()`, or with `await job` in any event loop; iterate over it with
    `for` or `async for` to get each result as it arrives. Any number of threads and event loops may do so at the same
    time. Cancelling one `await job` does not cancel the job; `cancel()` does.
    """

    # What few jobs have takes no memory in the others.
    _listeners: Sequence[Callable[[], object]] | None = None
    _completer: Completer | None = None
    _completed: ValidationError | None = None
    _dispatch: Dispatch | None = None
    _context: contextvars.Context | None = None
    _return_partial = False

    def __init__(
        self,
        task: Task[R],
        call: Call,
        owner: Owner,
        dispatch: Dispatch | None,
        sent: bytes | Mapping[str, Any] = b"",
    ) -> None:
        LightFuture.__init__(self)  # `super` takes half as long again, for each call
        # The request itself is not kept: it may hold large media, which would then live as long as the job.
        self._kind = type(task)
        self._call = call
        self._owner: Owner | None = owner
        self._sent = sent
        self._results: Sequence[Any] = ()
        self._total = call.expected
        self._started = time.monotonic()
        self._on_partial = task.on_partial  # each job looks it up, and finds it faster where it is set
        if task.return_partial:
            self._return_partial = True
        if self._on_partial is not None:
            self._dispatch = dispatch
            if dispatch is None:  # a dispatcher runs callbacks in the right context itself
                self._context = contextvars.copy_context()
        call.job = self

    def __repr__(self) -> str:
        # The type of a task that was collected by its UUID is not known.
        kind = f"{self.task_type} " if self.task_type else ""
        return f"<Job {kind}{self.task_uuid} {self.status} {len(self._results)}/{self._total}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A job cannot be pickled. Pickle job.ref, and pick the task up with rw.job(ref).")

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Show the status, the results so far, and why the job failed, in a notebook."""
        return notebook.job_bundle(self)

    def _ipython_display_(self) -> None:
        """Show the job in a notebook, and keep what is shown up to date until it is done."""
        if self.done() or not notebook.in_notebook():
            raise NotImplementedError  # IPython then shows what `_repr_mimebundle_` returns
        notebook.follow(self)

    # ------------------------------------------------------------------ state

    @property
    def task_uuid(self) -> str:
        """The UUID of the task at the server; with retries, that of the last attempt."""
        return self._call.uuid

    @property
    def task_type(self) -> str:
        """The API's task type (`"imageInference"`)."""
        return self._call.task_type

    @property
    def results(self) -> Results[Any]:
        """The results so far, in the order of arrival; a copy."""
        with self._condition:
            return Results(self._results)

    @property
    def cost(self) -> float | None:
        """The total cost of the results so far in US dollars; `None` if no result states its cost."""
        return self.results.cost

    @property
    def status(self) -> JobStatus:
        """The status: queued, sent, accepted, running, succeeded, partial, failed or cancelled."""
        if (outcome := self.outcome()) is not None:
            if outcome[1] is None:
                return "succeeded"
            return "partial" if self._results else "failed"
        if self.cancelled():
            return "cancelled"
        state = self._call.state
        if state in (CallState.QUEUED, CallState.RETRYING):
            return "queued"
        if state is CallState.ACCEPTED:
            return "running" if self._call.running and self._call.progress is not None else "accepted"
        return "sent"

    @property
    def ref(self) -> dict[str, str]:
        """A reference with which another process can pick up the task: `rw.job(ref)`. Suitable for pickle and JSON."""
        return {"task_uuid": self._call.uuid, "task_type": self._call.task_type}

    @property
    def line(self) -> object | None:
        """What the client's store or budget keeps of the call; `None` if it keeps nothing."""
        durable = self._call.durable
        return None if durable is None else durable.line

    @property
    def attempts(self) -> tuple[str, ...]:
        """The UUID and outcome of each failed attempt, oldest first."""
        return tuple(self._call.attempts or ())

    @property
    def progress(self) -> Progress:
        """The progress so far."""
        status, percent = self.status, self._call.progress
        if percent is not None and status == "succeeded":
            percent = 100.0  # the last report may be older than the results
        return Progress(len(self._results), self._total, percent, time.monotonic() - self._started, status)

    # ------------------------------------------------------------------ waiting

    def _error_to_raise(self, error: E) -> E:
        """Return a copy of the error; the server's refusal with what the model accepts.

        That is added for the first reader, since the I/O thread has no time for it.
        """
        completer = self._completer
        if completer is not None and isinstance(error, ValidationError):
            try:
                self._completed = completer(error, self._sent)
            except Exception:  # the error itself matters more
                log.exception("completing the error of %s failed", self)
            self._completer = None  # after the result: another thread may be here
        return copy.copy(cast("E", self._completed or error))

    def running(self) -> bool:
        """Return whether the server may be working on the task. It can still be cancelled."""
        return not self.done() and self._call.may_run

    def cancel(self) -> bool:
        """Cancel the call. A task that was sent may still run and be billed.

        Returns:
            Whether it was cancelled; `False` if it was done already.
        """
        return self._cancel(interrupted=False)

    def interrupt(self) -> bool:
        """Cancel a job whose caller was interrupted. If its task was sent, log the UUID: it may be billed."""
        cancelled = self._cancel(interrupted=True)
        if self.status == "succeeded" and self._call.sends and not self._call.repeatable:
            warn_interrupted(self._call.uuid)
        return cancelled

    def _cancel(self, *, interrupted: bool) -> bool:
        owner = self._owner
        if not self.settle_cancelled():
            return self.cancelled()
        self._owner = None
        if owner is not None:
            self._cancel_call(owner, interrupted=interrupted)
        self._notify_listeners()
        self._drop_references()
        return True

    def _cancel_call(self, owner: Owner, *, interrupted: bool) -> None:
        owner.cancel_call(self._call, interrupted=interrupted)

    def _drop_references(self) -> None:
        """Drop the references that only a running job needs."""
        if self._on_partial is not None:
            self._dispatch = self._context = None
        if self._listeners is not None:
            self._listeners = None
        self._owner = self._on_partial = None

    @overload
    def __iter__(self: Job[Results[T]]) -> Iterator[T]: ...
    @overload
    def __iter__(self) -> Iterator[R]: ...
    def __iter__(self) -> Iterator[Any]:
        """Yield each result as it arrives; at the end, raise the error if the call failed."""
        changed = threading.Event()
        self.listen(changed.set)
        try:
            yield from self._each(changed)
        finally:
            self.unlisten(changed.set)
        self.result(0)

    def _each(self, changed: threading.Event) -> Iterator[Any]:
        # A loop in the `try` itself could be left without the `finally` by Ctrl-C (tests/test_interrupts.py).
        seen = 0
        while True:
            changed.clear()
            done = self.done()
            new = self._results[seen:]
            seen += len(new)
            yield from new
            if done:
                break
            if not new:
                if (owner := self._owner) is not None:
                    owner.check_thread()
                warn_in_event_loop("async for ... in job")
                _wait_for(changed)

    @overload
    def __aiter__(self: Job[Results[T]]) -> AsyncIterator[T]: ...
    @overload
    def __aiter__(self) -> AsyncIterator[R]: ...
    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield each result as it arrives; at the end, raise the error if the call failed."""
        loop = running_loop()
        changed = asyncio.Event()

        def notify() -> None:
            call_soon_in(loop, changed.set)

        self.listen(notify)
        try:
            seen = 0
            while True:
                changed.clear()
                done = self.done()
                new = self._results[seen:]
                seen += len(new)
                for item in new:
                    yield item
                if done:
                    break
                if not new:
                    await changed.wait()
        finally:
            self.unlisten(notify)
        self.result(0)

    def listen(self, listener: Callable[[], object]) -> None:
        """Call *listener* on the I/O thread at each change. It must return quickly."""
        with self._condition:
            self._listeners = [*(self._listeners or ()), listener]

    def unlisten(self, listener: Callable[[], object]) -> None:
        """Remove a listener."""
        with self._condition:
            left = [*(self._listeners or ())]
            if listener in left:
                left.remove(listener)
            self._listeners = left

    # ------------------------------------------------------------------ called on the I/O thread

    def call_arrived(self, call: Call) -> None:
        """Make results of the new items, and call listeners and `on_partial`."""
        new = self._make_results(call.items[len(self._results) :])
        if self._listeners:
            self._notify_listeners()
        if call.unreported_statuses:
            statuses, call.unreported_statuses = call.unreported_statuses, None
            for item in statuses if self._on_partial is not None else ():
                self._call_on_partial(self._make_results([item], keep=False), None)
        if new and self._on_partial is not None:
            self._call_on_partial(new, None)

    def call_ended(self, call: Call, error: RunwareError | None) -> Sequence[Wakeable]:
        """Set the outcome; return the waiting threads for the I/O loop to wake."""
        answer: R | None = None
        if isinstance(error, ValidationError) and error.parameter and (owner := self._owner) is not None:
            self._completer = owner.complete_error
        try:
            answer, error = self._conclude(call, error)
        except Exception as failure:  # the call must end, and the caller get what arrived
            log.exception("making the result of %s failed", call)
            error = RunwareError(
                f"Could not parse the response ({type(failure).__name__}: {failure}). It is in error.raw.",
                task_type=call.task_type,
                task_uuid=call.uuid,
                raw={"data": list(call.items)},
                results=self._results_so_far(),
            )
        to_wake = self.settle(answer, error)
        call.items = ()
        if self._listeners:
            try:
                self._notify_listeners()
            except Exception:  # the waiting threads still have to be woken
                log.exception("a listener of %s failed", call)
        self._drop_references()
        return to_wake

    def _conclude(self, call: Call, error: RunwareError | None) -> tuple[R | None, RunwareError | None]:
        """Return the result or the error of the call, and pass the last results to `on_partial`."""
        new = self._make_results(call.items[len(self._results) :])
        answer: R | None = None
        if error is None:
            answer = self._kind.assemble(Results(self._results, errors=call.errors))
        else:
            error.results = self._results_so_far()
            if self._return_partial and self._results:
                errors = error.errors if isinstance(error, IncompleteResultsError) else (error,)
                answer, error = self._kind.assemble(Results(self._results, errors=errors)), None
        if self._on_partial is not None and (new or error is not None):
            self._call_on_partial(new, error)
        return answer, error

    def abandon(self) -> None:
        """Fail the job after a fork, in the child, where no I/O thread would finish it."""
        self.replace_lock()
        self._owner = None
        if not self.done():
            error = ClientClosedError(
                "The process was forked while the call was in progress. It continues in the parent; to run it in this "
                "process too, start it again.",
                task_type=self._call.task_type,
                task_uuid=self._call.uuid,
            )
            error.results = self._results_so_far()
            wake(self.settle(None, error))
            self._notify_listeners()
        self._drop_references()

    def _results_so_far(self) -> Sequence[Any]:
        """Return what an error of this job has as its `results`."""
        return self._results

    def _make_results(self, items: Sequence[dict[str, Any]], *, keep: bool = True) -> list[Any]:
        """Make results of new items; keep them, unless they are only statuses."""
        if not items:
            return []
        call, kind, owner = self._call, self._kind, self._owner
        downloads = None if owner is None else owner.downloads
        origin = self._sent, call.uuid, time.monotonic() - self._started, call.attempts or ()
        put = object.__setattr__
        acknowledges = call.completion is _ACKNOWLEDGEMENT
        new: list[Result] = []
        for item in items:
            cls: Any = kind.result_class if kind.class_of is None else kind.class_of(item)
            if acknowledges and call.is_acknowledged_by(item):
                cls = Acknowledgement
            result = cls.__new__(cls)
            put(result, "raw", item)
            put(result, "_origin", origin)
            put(result, "_downloads", downloads)
            new.append(result)
        if keep:
            self._results = (*self._results, *new)
        return new

    def _notify_listeners(self) -> None:
        for listener in self._listeners or ():
            listener()

    def _call_on_partial(self, new: list[Result], error: RunwareError | None) -> None:
        callback, context, owner, dispatch = self._on_partial, self._context, self._owner, self._dispatch
        if callback is None or owner is None:
            return  # cancelled meanwhile
        results = Partial(new, all=self._results, total=self._total)
        bound: Callable[[], object] = partial(callback, results, None)
        if error is not None:
            failed = error
            bound = lambda: callback(results, self._error_to_raise(failed))  # noqa: E731
        try:
            if dispatch is not None:
                dispatch(bound)
            elif context is not None:
                owner.post_callback(partial(context.run, bound))
        except RuntimeError:
            log.debug("the event loop of an on_partial callback is closed")

    def cancelled_error(self) -> TaskCancelledError:
        """Return the error of a cancelled call, with the results so far."""
        error = TaskCancelledError(
            "The call was cancelled. If its task was sent, it may still run and be billed.",
            task_type=self._call.task_type,
            task_uuid=self._call.uuid,
        )
        error.results = self._results_so_far()
        return error


def _wait_for(changed: threading.Event) -> None:
    while not changed.wait(_LONGEST_WAIT):
        pass


def get_interruptibly(queue: SimpleQueue[T]) -> T:
    """Return the next item of a queue; Ctrl-C interrupts the wait on every platform."""
    while True:
        try:
            return queue.get(timeout=_LONGEST_WAIT)
        except Empty:
            continue


_LONGEST_WAIT = POLL or 1.0
"""Seconds of one wait for results. A signal that arrives in the instant before a wait begins does not interrupt it, and
is handled only when it ends."""
