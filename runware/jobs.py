"""The handle on a call: a future that can be waited for, awaited, iterated and cancelled."""

from __future__ import annotations

import contextvars
import copy
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, overload

from runware._support.event_loops import running_loop, warn_in_event_loop
from runware._support.logs import say_interrupted
from runware.errors import ClientClosedError, IncompleteResultsError, RunwareError, TaskCancelledError, WrongThreadError
from runware.protocol.call import Call, CallState
from runware.requests.base import Task
from runware.results import Partial, Results
from runware.transport.callbacks import run_guarded
from runware.transport.light_future import LightFuture
from runware.transport.wakeup import POLL, Sleeper, wake

if TYPE_CHECKING:
    import asyncio

    from runware.media.downloads import Downloads

__all__ = ["Job", "Progress", "call_in", "deliver", "wrong_thread"]

log = logging.getLogger("runware.jobs")

R = TypeVar("R")
T = TypeVar("T")


class Owner(Protocol):
    """What a job needs of the client it belongs to."""

    downloads: Downloads

    def cancel_call(self, call: Call, *, interrupted: bool = False) -> None:
        """Cancel the call: remove it from the queue, or discard its results if it was already sent."""

    @property
    def post_callback(self) -> Callable[[Callable[[], object]], None]:
        """What runs a callback on the client's callback thread. It holds no reference to the client."""
        ...

    def check_thread(self) -> None:
        """Raise `WrongThreadError` on one of the client's own threads."""


class Progress(NamedTuple):
    """How far a job is.

    Attributes:
        completed: How many results there are.
        total: How many were asked for.
        percent: How far the server says it is, 0–100, and 100 when it has succeeded; `None` when the server does not
            say. For `map`, the share of the inputs that are done; `None` when it is not known how many there are.
        elapsed: Seconds since it was submitted.
        status: The job's `status`.
    """

    completed: int
    total: int
    percent: float | None
    elapsed: float
    status: str


class Job(LightFuture[R], Generic[R]):
    """A call that is under way: a `concurrent.futures.Future` that asyncio can await as well.

    It is made by `rw.submit`. Wait for it with `result()`, or with `await job` in any event loop; iterate over it
    with `for` or `async for` to get each result as it arrives. Any number of threads and event loops may do so at
    once. Cancelling one `await job` does not cancel the job; `cancel()` does.
    """

    def __init__(
        self,
        task: Task[R],
        call: Call,
        owner: Owner,
        dispatch: Callable[[Callable[[], object]], object] | None,
        sent: bytes | Mapping[str, Any] = b"",
    ) -> None:
        super().__init__()
        # Of the request only this is kept: it may hold large media, which are sent, and would live as long as the job.
        self._kind = type(task)
        self._on_partial = task.on_partial
        self._return_partial = task.return_partial
        self._call = call
        self._owner: Owner | None = owner
        self._dispatch = dispatch
        self._sent = sent
        self._results: tuple[Any, ...] = ()
        self._total = call.expected
        self._started = time.monotonic()
        self._listeners: list[Callable[[], object]] | None = None
        # Who dispatches callbacks sees to their context; a blocking call runs them in the caller's own.
        self._context = contextvars.copy_context() if dispatch is None and task.on_partial is not None else None
        call.job = self

    def __repr__(self) -> str:
        # Of a task that is picked up by its UUID alone, the type is not known.
        kind = f"{self.task_type} " if self.task_type else ""
        return f"<Job {kind}{self.task_uuid} {self.status} {len(self._results)}/{self._total}>"

    def __reduce__(self) -> Any:
        raise TypeError("A job belongs to its process. Pickle its `ref`, and pick it up with rw.job(ref).")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Show where it stands in a notebook, and the results so far."""
        from runware.display.notebook import job_bundle

        return job_bundle(self)

    # ------------------------------------------------------------------ what is known

    @property
    def task_uuid(self) -> str:
        """The UUID of the task at the server; that of the last attempt, if there were several."""
        return self._call.uuid

    @property
    def task_type(self) -> str:
        """The wire's task type (`"imageInference"`)."""
        return self._call.task_type

    @property
    def results(self) -> Results[Any]:
        """The results so far, in the order they came; a copy."""
        with self._condition:
            return Results(self._results)

    @property
    def cost(self) -> float | None:
        """What the results so far cost together in US dollars; `None` when none tells its cost."""
        return self.results.cost

    @property
    def status(self) -> str:
        """Where it stands: queued, sent, accepted, running, succeeded, partial, failed or cancelled."""
        if self.cancelled():
            return "cancelled"
        if self.done():
            if self.outcome()[1] is None:
                return "succeeded"
            return "partial" if self._results else "failed"
        state = self._call.state
        if state in (CallState.QUEUED, CallState.RETRYING):
            return "queued"
        if state is CallState.ACCEPTED:
            return "running" if self._call.running and self._call.progress is not None else "accepted"
        return "sent"

    @property
    def ref(self) -> dict[str, str]:
        """What the job can be picked up with elsewhere: `rw.job(ref)`. Small, and fit for pickle and JSON."""
        return {"task_uuid": self._call.uuid, "task_type": self._call.task_type}

    @property
    def attempts(self) -> tuple[str, ...]:
        """UUID and outcome of each attempt that the server failed, oldest first."""
        return tuple(self._call.attempts or ())

    @property
    def progress(self) -> Progress:
        """How far it is."""
        status, percent = self.status, self._call.progress
        if percent is not None and status == "succeeded":
            percent = 100.0  # what the server said last was said before the end
        return Progress(len(self._results), self._total, percent, time.monotonic() - self._started, status)

    # ------------------------------------------------------------------ waiting

    def result(self, timeout: float | None = None) -> R:
        """Wait for the call and return its result.

        Args:
            timeout: Seconds to wait; the call goes on after them. `None` waits for the call's own deadline.

        Raises:
            TimeoutError: The wait was over before the call.
            RunwareError: The call failed; see there for the kinds.
            TaskCancelledError: It was cancelled.
        """
        error = self.exception(timeout)
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame: a cycle, with the callers' objects in it
        return self.outcome()[0]  # type: ignore[no-any-return]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call and return its error, or `None` when it succeeded. Raises as `result` does."""
        if not self.done():
            if timeout is None or timeout > 0:
                warn_in_event_loop("await job")
            if (owner := self._owner) is not None:
                owner.check_thread()
            if not self.wait_over(timeout):
                raise TimeoutError
        if self.cancelled():
            raise self._cancelled_error()
        # Each waiter gets an instance of its own: raising one twice makes its traceback grow, and mixes threads.
        error = self.outcome()[1]
        return None if error is None else copy.copy(error)

    def running(self) -> bool:
        """Return whether the server may be working on the task. It can be cancelled all the same."""
        return not self.done() and self._call.may_run

    def cancel(self) -> bool:
        """Stop waiting and sending, at once. Work that the server has accepted may still run and be billed.

        Returns:
            Whether it was cancelled; `False` when it had ended already.
        """
        return self._cancel(interrupted=False)

    def interrupt(self) -> bool:
        """Cancel a job whose handle is lost, and log the task's UUID if it was sent: it may be billed, or was."""
        cancelled = self._cancel(interrupted=True)
        if not cancelled and self.outcome()[1] is None and self._call.sends and not self._call.repeatable:
            say_interrupted(log, self._call.uuid)
        return cancelled

    def _cancel(self, *, interrupted: bool) -> bool:
        owner = self._owner
        if not self.end_cancelled():
            return self.cancelled()
        self._owner = None
        if owner is not None:
            owner.cancel_call(self._call, interrupted=interrupted)
        self._tell_listeners()
        self._release()
        return True

    def _release(self) -> None:
        """Let go of what only a job that goes on has a use for."""
        self._owner = self._on_partial = self._dispatch = self._context = self._listeners = None

    def add_done_callback(self, fn: Callable[[Future[R]], object]) -> None:
        """Call *fn* with the job when it is over, on the client's callback thread; at once if it is over already.

        It sees the context variables that there are now.
        """
        if self.done() or (owner := self._owner) is None:
            run_guarded(partial(fn, self))
        else:
            told = partial(contextvars.copy_context().run, partial(fn, self))
            post = owner.post_callback  # kept as long as the job goes on, so that it must not hold the client
            self.when_over(lambda: post(told))

    @overload
    def __iter__(self: Job[Results[T]]) -> Iterator[T]: ...
    @overload
    def __iter__(self) -> Iterator[R]: ...
    def __iter__(self) -> Iterator[Any]:
        """Yield each result as it arrives; in the end, raise the error if there is one."""
        news = threading.Event()
        self.listen(news.set)
        try:
            seen = 0
            while True:
                news.clear()
                over = self.done()
                new = self._results[seen:]
                seen += len(new)
                yield from new
                if over:
                    break
                if not new:
                    if (owner := self._owner) is not None:
                        owner.check_thread()
                    warn_in_event_loop("async for ... in job")
                    while not news.wait(POLL):
                        pass
        finally:
            self.unlisten(news.set)
        self.result(0)

    def __await__(self) -> Generator[Any, None, R]:
        return self.wait_async().__await__()

    async def wait_async(self) -> R:
        """Wait in the running event loop. Cancelling the wait does not cancel the job.

        Raises:
            WrongThreadError: No event loop of asyncio runs here.
        """
        loop = running_loop()
        waiter = loop.create_future()
        finish = partial(call_in, loop, partial(_finish, waiter))
        # Not through the callback thread, since this only hands over to the loop; and in any case through the loop,
        # after the callbacks that are on their way.
        self.when_over(finish)
        try:
            await waiter
        finally:
            self.forget(finish)  # if the wait was cancelled
        return self.result(0)

    @overload
    def __aiter__(self: Job[Results[T]]) -> AsyncIterator[T]: ...
    @overload
    def __aiter__(self) -> AsyncIterator[R]: ...
    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield each result as it arrives; in the end, raise the error if there is one."""
        import asyncio

        loop = running_loop()
        news = asyncio.Event()

        def tell() -> None:
            call_in(loop, news.set)

        self.listen(tell)
        try:
            seen = 0
            while True:
                news.clear()
                over = self.done()
                new = self._results[seen:]
                seen += len(new)
                for item in new:
                    yield item
                if over:
                    break
                if not new:
                    await news.wait()
        finally:
            self.unlisten(tell)
        self.result(0)

    def listen(self, listener: Callable[[], object]) -> None:
        """Call *listener*, from the I/O thread, whenever something has changed. It must be quick."""
        with self._condition:
            self._listeners = [*(self._listeners or ()), listener]

    def unlisten(self, listener: Callable[[], object]) -> None:
        """Call *listener* no more."""
        with self._condition:
            self._listeners = [one for one in self._listeners or () if one != listener]

    # ------------------------------------------------------------------ from the I/O thread

    def call_arrived(self, call: Call) -> None:
        """New items have come."""
        new = self._made(call.items[len(self._results) :])
        if self._listeners:
            self._tell_listeners()
        if call.unreported_statuses:
            statuses, call.unreported_statuses = call.unreported_statuses, None
            for item in statuses if self._on_partial is not None else ():
                self._report(self._made([item], keep=False), None)
        if new and self._on_partial is not None:
            self._report(new, None)

    def call_ended(self, call: Call, error: RunwareError | None) -> Sequence[Sleeper]:
        """The call is over. Give those who are to be woken."""
        answer: Any = None
        try:
            answer, error = self._conclude(call, error)
        except Exception as failure:  # whatever is wrong with an answer, its call ends, and what came is handed over
            log.exception("the answer of %s could not be made", call)
            error = RunwareError(
                f"The answer could not be read ({type(failure).__name__}: {failure}); it is in `raw`.",
                task_type=call.task_type,
                task_uuid=call.uuid,
                raw={"data": list(call.items)},
                results=self._results,
            )
        waiting = self.settle(answer, error)
        call.items = ()
        if self._listeners:
            try:
                self._tell_listeners()
            except Exception:  # those who wait are woken all the same
                log.exception("a listener of %s failed", call)
        self._release()
        return waiting

    def _conclude(self, call: Call, error: RunwareError | None) -> tuple[Any, RunwareError | None]:
        """Make the answer or the error of the call, and tell `on_partial` of what is new."""
        new = self._made(call.items[len(self._results) :])
        answer: Any = None
        if error is None:
            answer = self._kind.assemble(Results(self._results, errors=call.errors))
        else:
            error.results = self._results
            if self._return_partial and self._results:
                errors = error.errors if isinstance(error, IncompleteResultsError) else (error,)
                answer, error = self._kind.assemble(Results(self._results, errors=errors)), None
        if self._on_partial is not None and (new or error is not None):
            self._report(new, error)
        return answer, error

    def abandon(self) -> None:
        """In a child that was forked: nobody will end this job here, so it ends now."""
        self.renew_lock()
        self._owner = None
        if not self.done():
            error = ClientClosedError(
                "The process was forked while the call was running. It goes on in the parent; start it again here if "
                "you want it here too.",
                task_type=self._call.task_type,
                task_uuid=self._call.uuid,
            )
            error.results = self._results
            wake(self.settle(None, error))
            self._tell_listeners()
        self._release()

    def _made(self, items: Sequence[dict[str, Any]], *, keep: bool = True) -> list[Any]:
        """Make the results of some items that have just arrived, and keep those that are more than a status."""
        if not items:
            return []
        call, kind, owner = self._call, self._kind, self._owner
        downloads = None if owner is None else owner.downloads
        origin = self._sent, call.uuid, time.monotonic() - self._started, call.attempts or ()
        put = object.__setattr__
        new: list[Any] = []
        for item in items:
            cls = kind.result_class if kind.class_of is None else kind.class_of(item)
            result = cls.__new__(cls)
            put(result, "raw", item)
            put(result, "_origin", origin)
            put(result, "_downloads", downloads)
            new.append(result)
        if keep:
            self._results = (*self._results, *new)
        return new

    def _tell_listeners(self) -> None:
        for listener in self._listeners or ():
            listener()

    def _report(self, new: list[Any], error: RunwareError | None) -> None:
        callback, context, owner, dispatch = self._on_partial, self._context, self._owner, self._dispatch
        if callback is None or owner is None:
            return  # it was cancelled meanwhile
        told = partial(callback, Partial(new, all=self._results, total=self._total), error and copy.copy(error))
        try:
            if dispatch is not None:
                dispatch(told)
            elif context is not None:
                owner.post_callback(partial(context.run, told))
        except RuntimeError:
            log.debug("the event loop of a callback is closed")

    def _cancelled_error(self) -> TaskCancelledError:
        error = TaskCancelledError(
            "The call was cancelled. If the server had accepted its task, it may still run and be billed.",
            task_type=self._call.task_type,
            task_uuid=self._call.uuid,
        )
        error.results = self._results
        return error


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class _Mailbox:
    """Callbacks on their way into an event loop. Waking a loop costs more than a callback, so that they share it."""

    __slots__ = ("__weakref__", "_callbacks", "_woken")

    AT_ONCE = 100
    """Callbacks that run in one turn of the loop, which has other work too."""

    def __init__(self) -> None:
        self._callbacks: deque[Callable[[], object]] = deque()
        self._woken = False

    def post(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        """Run a callback in the loop, after those that were posted before."""
        self._callbacks.append(callback)
        if not self._woken or loop.is_closed():
            self._wake(loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._woken = True
        try:
            loop.call_soon_threadsafe(self._empty, loop)
        except RuntimeError:
            log.debug("the event loop that waited is closed")
            self._woken = False
            self._callbacks.clear()

    def _empty(self, loop: asyncio.AbstractEventLoop) -> None:
        callbacks = self._callbacks
        try:
            # What is posted from here on waits for the next turn: more may always come.
            for _ in range(min(len(callbacks), self.AT_ONCE)):
                if callbacks:  # one of them may have run the loop
                    run_guarded(callbacks.popleft())
        finally:
            self._woken = False  # before the look, so that who posts after it wakes the loop
            if callbacks:
                self._wake(loop)


_mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Mailbox] = weakref.WeakKeyDictionary()


def call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Run a callback in an event loop, in the order of the calls, if there is still somebody in it.

    It takes no lock: a signal's handler may cancel a job while the main thread is in here. Each step is a single one
    of a dict.
    """
    box = _mailboxes.get(loop)
    if box is None:
        for ref in _mailboxes.keyrefs():
            if (other := ref()) is not None and other.is_closed():
                _mailboxes.pop(other, None)  # what was left in there may hold the loop
        box = _mailboxes.setdefault(loop, _Mailbox())
    box.post(loop, callback)


def deliver(queue: SimpleQueue[T]) -> T:
    """Wait for the next item of a queue that will get one."""
    while True:
        try:
            return queue.get(timeout=POLL)
        except Empty:  # pragma: no cover - Windows only, where a wait without a limit cannot be interrupted
            continue


def wrong_thread() -> WrongThreadError:
    """The error of a blocking call on one of the client's own threads."""
    return WrongThreadError(
        "This is one of the client's own threads (a callback of a submitted job runs on it), and waiting here for "
        "the same client would never end. Start another call with rw.submit, or wait in a thread of your own."
    )
