"""The handle on a call: a future that can be waited for, awaited, iterated and cancelled."""

from __future__ import annotations

import copy
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, overload

from runware._engine.callbacks import run_guarded
from runware._engine.calls import Call, CallState
from runware._engine.waiting import POLL, Condition, Sleeper, wake
from runware.errors import ClientClosedError, IncompleteResultsError, RunwareError, TaskCancelledError, WrongThreadError
from runware.results import Partial, Results
from runware.tasks.base import Task

if TYPE_CHECKING:
    import asyncio

    from runware.downloads import Downloads

__all__ = ["Job", "Progress"]

log = logging.getLogger("runware.jobs")

R = TypeVar("R")
T = TypeVar("T")

_PENDING, _FINISHED, _CANCELLED = "PENDING", "FINISHED", "CANCELLED_AND_NOTIFIED"
"""The states of a future. `RUNNING` is none of a job: it can be cancelled to its end."""


class Owner(Protocol):
    """What a job needs of the client it belongs to."""

    downloads: Downloads

    def cancel_call(self, call: Call) -> None:
        """Nobody waits for the call any more."""

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


class _Late:
    """A list of a future that is made when somebody asks for it, because most are never used."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    def __get__(self, job: Any, owner: type[Any]) -> list[Any]:
        made: list[Any] = []
        job._listened = True  # noqa: SLF001 - it is a part of the job
        setattr(job, self._name, made)
        return made


class Job(Future[R], Generic[R]):
    """A call that is under way: a `concurrent.futures.Future` that asyncio can await as well.

    It is made by `rw.submit`. Wait for it with `result()`, or with `await job` in any event loop; iterate over it
    with `for` or `async for` to get each result as it arrives. Any number of threads and event loops may do so at
    once. Cancelling one `await job` does not cancel the job; `cancel()` does.
    """

    _listened = False
    _waiters = _Late()  # pyright: ignore[reportAssignmentType]
    _done_callbacks = _Late()  # pyright: ignore[reportAssignmentType]

    if TYPE_CHECKING:
        _condition: threading.Condition  # as `as_completed` and `wait` want it

    def __init__(
        self,
        task: Task[R],
        call: Call,
        owner: Owner,
        dispatch: Callable[[Callable[[], object]], object] | None,
        sent: bytes | Mapping[str, Any] = b"",
    ) -> None:
        # As `Future.__init__` does, which makes a condition of ten objects. Many jobs live at once, and the garbage
        # collector visits each object again and again: it took half of the time that a job took.
        self._condition = Condition()  # pyright: ignore[reportAttributeAccessIssue]
        self._state = _PENDING
        self._result = None
        self._exception = None
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
        call.job = self

    def __repr__(self) -> str:
        # Of a task that is picked up by its UUID alone, the type is not known.
        kind = f"{self.task_type} " if self.task_type else ""
        return f"<Job {kind}{self.task_uuid} {self.status} {len(self._results)}/{self._total}>"

    def __reduce__(self) -> Any:
        raise TypeError("A job belongs to its process. Pickle its `ref`, and pick it up with rw.job(ref).")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Show where it stands in a notebook, and the results so far."""
        from runware.notebook import job_bundle

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
            if self._exception_of() is None:
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
        return self._result  # type: ignore[return-value]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call and return its error, or `None` when it succeeded. Raises as `result` does."""
        if self._state != _FINISHED:
            if self._state == _PENDING and (owner := self._owner) is not None:
                owner.check_thread()
            if timeout is None and POLL is not None:
                self._wait_in_slices()
            with self._condition:
                while self._state == _PENDING:
                    self._condition.wait(timeout, self._is_over)  # type: ignore[call-arg]
                    if timeout is not None:
                        break
            if self._state != _FINISHED:
                raise self._cancelled_error() if self._state == _CANCELLED else TimeoutError
        # Each waiter gets an instance of its own: raising one twice makes its traceback grow, and mixes threads.
        return None if self._exception is None else copy.copy(self._exception)

    def _is_over(self) -> bool:
        return self._state != _PENDING

    def _wait_in_slices(self) -> None:  # pragma: no cover - Windows only
        with self._condition:
            while not self.done():
                self._condition.wait(POLL)

    def cancel(self) -> bool:
        """Stop waiting and sending, at once. Work that the server has accepted may still run and be billed.

        Returns:
            Whether it was cancelled; `False` when it had ended already.
        """
        with self._condition:
            if self._state != _PENDING:
                return self._state != _FINISHED
            self._state = _CANCELLED
            for waiter in self._waiters if self._listened else ():
                waiter.add_cancelled(self)
            owner, self._owner = self._owner, None
            self._condition.notify_all()
        self._invoke_callbacks()  # type: ignore[attr-defined]
        if owner is not None:
            owner.cancel_call(self._call)
        self._tell_listeners()
        return True

    def _settle(self, answer: Any, error: BaseException | None) -> Sequence[Sleeper]:
        """End with a result or an error, unless it was cancelled: what a future's own methods do in three steps.

        Returns:
            Those who wait for it. They are still to be woken.
        """
        with self._condition:
            if self._state != _PENDING:
                # Ctrl-C may have kept `cancel` from waking somebody.
                return self._condition.take_waiting()  # type: ignore[attr-defined, no-any-return]
            self._result, self._exception = answer, error
            self._state = _FINISHED
            for waiter in self._waiters if self._listened else ():
                waiter.add_result(self) if error is None else waiter.add_exception(self)
            waiting: Sequence[Sleeper] = self._condition.take_waiting()  # type: ignore[attr-defined]
        if self._listened:
            self._invoke_callbacks()  # type: ignore[attr-defined]
        return waiting

    def add_done_callback(self, fn: Callable[[Future[R]], object]) -> None:
        """Call *fn* with the job when it is over, on the client's callback thread; at once if it is over already."""
        if self.done() or (owner := self._owner) is None:
            super().add_done_callback(fn)
        else:
            # Kept as long as the job is, so that it must not hold the client.
            post = owner.post_callback
            super().add_done_callback(lambda job: post(lambda: fn(job)))

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
                    while not news.wait(POLL):
                        pass
        finally:
            self.unlisten(news.set)
        self.result(0)

    def __await__(self) -> Generator[Any, None, R]:
        return self.wait_async().__await__()

    async def wait_async(self) -> R:
        """Wait in the running event loop. Cancelling the wait does not cancel the job."""
        await self._over()
        return self.result(0)

    @overload
    def __aiter__(self: Job[Results[T]]) -> AsyncIterator[T]: ...
    @overload
    def __aiter__(self) -> AsyncIterator[R]: ...
    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield each result as it arrives; in the end, raise the error if there is one."""
        import asyncio

        loop = asyncio.get_running_loop()
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

    def _over(self) -> asyncio.Future[None]:
        """A future of the running loop that is set when the job is over."""
        import asyncio

        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def finish() -> None:
            if not waiter.done():
                waiter.set_result(None)

        if self.done():
            call_in(loop, finish)  # after the callbacks that are on their way
        else:
            # Not through the callback thread: this only hands over to the loop.
            super().add_done_callback(lambda _: call_in(loop, finish))
        return waiter

    # ------------------------------------------------------------------ from the I/O thread

    def call_arrived(self, call: Call) -> None:
        """New items have come."""
        new = self._made(call.items[len(self._results) :])
        if self._listeners:
            self._tell_listeners()
        if call.news:
            statuses, call.news = call.news, None
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
        waiting = self._settle(answer, error)
        call.items = ()
        self._owner = None
        if self._listeners:
            try:
                self._tell_listeners()
            except Exception:  # those who wait are woken all the same
                log.exception("a listener of %s failed", call)
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
        # Another thread may have held the lock when the process forked; here it would stay locked.
        self._condition = Condition()  # pyright: ignore[reportAttributeAccessIssue]
        self._owner = None
        if not self.done():
            error = ClientClosedError(
                "The process was forked while the call was running. It goes on in the parent; start it again here if "
                "you want it here too.",
                task_type=self._call.task_type,
                task_uuid=self._call.uuid,
            )
            error.results = self._results
            wake(self._settle(None, error))
            self._tell_listeners()

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
        callback = self._on_partial
        assert callback is not None
        news = Partial(new, all=self._results, total=self._total)
        owner, dispatch = self._owner, self._dispatch
        if dispatch is None:
            if owner is None:
                return  # it was cancelled meanwhile; here, a callback could hold up everything
            dispatch = owner.post_callback
        try:
            dispatch(partial(callback, news, error and copy.copy(error)))
        except RuntimeError:
            log.debug("the event loop of a callback is closed")

    def _exception_of(self) -> BaseException | None:
        return super().exception(0)

    def _cancelled_error(self) -> TaskCancelledError:
        error = TaskCancelledError(
            "The call was cancelled. If the server had accepted its task, it may still run and be billed.",
            task_type=self._call.task_type,
            task_uuid=self._call.uuid,
        )
        error.results = self._results
        return error


class _Mailbox:
    """Callbacks on their way into an event loop. Waking a loop costs more than a callback, so that they share it."""

    __slots__ = ("__weakref__", "_callbacks", "_woken")

    def __init__(self) -> None:
        self._callbacks: deque[Callable[[], object]] = deque()
        self._woken = False

    def post(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
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
        self._woken = False  # first, so that what is posted from here on wakes the loop again
        try:
            while self._callbacks:
                run_guarded(self._callbacks.popleft())
        finally:
            if self._callbacks and not self._woken:
                self._wake(loop)  # one has raised what is no `Exception`


_mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Mailbox] = weakref.WeakKeyDictionary()
_mailboxes_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_mailboxes_lock.acquire, after_in_parent=_mailboxes_lock.release, after_in_child=_mailboxes_lock.release
    )


def call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Run a callback in an event loop, in the order of the calls, if there is still somebody in it."""
    with _mailboxes_lock:
        box = _mailboxes.get(loop)
        if box is None:
            for closed in [other for other in _mailboxes if other.is_closed()]:
                del _mailboxes[closed]  # what was left in there may hold the loop
            box = _mailboxes[loop] = _Mailbox()
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
