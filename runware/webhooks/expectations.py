"""Wait in this process for the results that are delivered to its webhook."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from runware._support.lazy_modules import lazy_module
from runware._support.threads import start_thread
from runware.errors import (
    AuthenticationError,
    ClientClosedError,
    ConflictError,
    IncompleteResultsError,
    NotFoundError,
    RateLimitError,
    RunwareError,
    TaskError,
    TaskTimeoutError,
    ValidationError,
)
from runware.options import waiting_time
from runware.protocol.call import COUNTS
from runware.protocol.ids import is_uuid
from runware.results import Acknowledgement, Meta, Result, Results
from runware.webhooks.deliveries import Delivery

if TYPE_CHECKING:
    import asyncio

    from runware.jobs import Job
else:
    asyncio = lazy_module("asyncio")

__all__ = ["Expectations", "JobSource", "PendingResults"]

log = logging.getLogger("runware.webhooks")

T = TypeVar("T")

_MOST_KEPT = 1_000
_MOST_KEPT_BYTES = 32 * 2**20
_KEPT_FOR = 900.0
"""Limits of what is kept of tasks that are not expected, or not yet: a delivery may overtake the acknowledgement."""


class JobSource(Protocol):
    """A client, as this module uses it: `Runware` and `AsyncRunware` are ones."""

    def job(self, ref: str | Mapping[str, Any], *, timeout: float | None = None) -> Job[Results[Any]]:
        """Resume a task submitted earlier."""
        ...


class PendingResults(Future[Results[T]], Generic[T]):
    """The results of a task that a webhook delivers: a future, which asyncio can await as well.

    `WebhookReceiver.expect` makes it. `result(timeout)` waits. Cancelling an `await` does not cancel it; `cancel()`
    does, and the task goes on.

    Attributes:
        task_uuid: UUID of the task.
        expected: Number of results that complete it.
    """

    def __init__(self, task_uuid: str, expected: int) -> None:
        super().__init__()
        self.task_uuid = task_uuid
        self.expected = expected

    def __repr__(self) -> str:
        return f"<PendingResults of {self.task_uuid} {'done' if self.done() else 'pending'}>"

    def result(self, timeout: float | None = None) -> Results[T]:
        """Wait for the results and return them, as a future does. *timeout* is in seconds.

        Raises:
            TimeoutError: They did not come within *timeout*.
            ConfigurationError: *timeout* is no number.
            RunwareError: The task failed, or results are missing.
        """
        return super().result(None if timeout is None else waiting_time(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the results and return the error, or `None` if all came. Raises as `result` does."""
        return super().exception(None if timeout is None else waiting_time(timeout))

    def __await__(self) -> Generator[Any, None, Results[T]]:
        return asyncio.shield(asyncio.wrap_future(self)).__await__()

    def abandon(self) -> None:
        """Fail after a fork, in the child, whose receiver does not know of it."""
        self._condition = threading.Condition()  # another thread may have held it
        if not self.done() and self.set_running_or_notify_cancel():
            error = ClientClosedError(
                "The process was forked while results were expected. They are waited for in the parent; to wait in "
                "this process too, call expect() again.",
                task_uuid=self.task_uuid,
            )
            error.may_have_run = True
            self.set_exception(error)


class _Entry:
    """What is known of a task whose results are expected.

    Attributes:
        future: The future of its results.
        deadline: When the future ends at the latest (time.monotonic).
        ask_at: When to ask the server for the task.
        job: The job that asks; `None` if none does.
        results: The results that were delivered, by the keys of the deliveries.
        errors: The errors that were delivered.
    """

    __slots__ = ("__weakref__", "ask_at", "deadline", "errors", "future", "job", "results")

    def __init__(self, future: PendingResults[Any], deadline: float, ask_at: float) -> None:
        self.future = future
        self.deadline = deadline
        self.ask_at = min(ask_at, deadline)
        self.job: Job[Any] | None = None
        self.results: dict[str, Result] = {}
        self.errors: dict[str, TaskError] = {}

    @property
    def key(self) -> str:
        """The key in the registry."""
        return self.future.task_uuid.lower()

    @property
    def missing(self) -> int:
        """How many results and errors are still to come."""
        return self.future.expected - len(self.results) - len(self.errors)


class Expectations:
    """The tasks whose results are expected, and the deliveries that came before they were.

    A thread runs while results are expected. It ends those whose time is up, and asks the server for those of which
    nothing was heard for some time.

    Args:
        client: The client that asks; `None` for none.
        poll_after: Seconds without a delivery after which it asks; `None` for never.
    """

    def __init__(self, client: JobSource | None, poll_after: float | None) -> None:
        self._client = client
        self._poll_after = None if client is None else poll_after
        self._sequence = itertools.count()
        self._reset()

    def abandon(self) -> None:
        """Start from nothing in the child of a fork, where no thread would end what is expected."""
        left = [entry.future for found in self._entries.values() for entry in found]
        self._reset()
        for future in left:
            future.abandon()

    def _reset(self) -> None:
        self._condition = threading.Condition(threading.RLock())
        self._entries: dict[str, list[_Entry]] = {}
        self._kept: OrderedDict[str, tuple[float, int, Delivery]] = OrderedDict()
        self._kept_bytes = 0
        self._timers: list[tuple[float, int, weakref.ref[_Entry]]] = []
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    # ------------------------------------------------------------------ expecting

    def expect(self, task: Any, results: int | None, timeout: float) -> PendingResults[Any]:
        """Return the future of a task's results.

        Raises:
            ValidationError: *task* is no job, acknowledgement or UUID, or *results* is no number above 0.
            RunwareError: The system allows no more threads.
        """
        job: Any = task if isinstance(task, Future) and hasattr(task, "task_uuid") else None
        if isinstance(task, list) and len(task) == 1:
            (task,) = task
        task_uuid: Any = task if isinstance(task, str) else getattr(task, "task_uuid", None)
        if not is_uuid(task_uuid):
            raise _invalid("task", "must be a job, an Acknowledgement, or the UUID of a task")
        if results is None:
            results = job.progress.total if job is not None else _count_in(getattr(task, "meta", None))
        if isinstance(results, bool) or not isinstance(results, int) or results < 1:
            raise _invalid("results", "must be an integer, 1 or more")
        future: PendingResults[Any] = PendingResults(task_uuid, results)
        if isinstance(task, Result) and not isinstance(task, Acknowledgement):
            future.set_result(Results([task]))  # the server had it when it acknowledged the task
            return future
        now = time.monotonic()
        entry = _Entry(future, now + timeout, math.inf if self._poll_after is None else now + self._poll_after)
        with self._condition:
            self._entries.setdefault(entry.key, []).append(entry)
            try:
                self._schedule(entry)
            except BaseException:
                self._remove(entry)
                raise
        future.add_done_callback(lambda _: self._remove(entry))  # the caller may cancel it
        self._claim_kept(entry)
        if job is not None:
            job.add_done_callback(lambda done: self._submitted(entry, done))
        return future

    def _remove(self, entry: _Entry) -> bool:
        """Remove an entry; return whether it was there. Only the thread that removes it settles its future."""
        with self._condition:
            found = self._entries.get(entry.key, [])
            if entry not in found:
                return False
            found.remove(entry)
            if not found:
                del self._entries[entry.key]
            if not self._entries:
                self._condition.notify_all()  # the thread ends
            return True

    def _claim_kept(self, entry: _Entry) -> None:
        with self._condition:
            early = self._forget_all(entry.key + ":")
        for delivery in early:
            self.take(delivery, 0)

    def _forget_all(self, start: str) -> list[Delivery]:
        return [self._forget(key) for key in list(self._kept) if key.startswith(start)]

    def _forget(self, key: str) -> Delivery:
        _, size, delivery = self._kept.pop(key)
        self._kept_bytes -= size
        return delivery

    def _submitted(self, entry: _Entry, job: Any) -> None:
        """Take over the outcome of the call that submitted the task: its last attempt has the UUID that counts."""
        future = entry.future
        if job.cancelled():
            future.cancel()
            return
        error = job.exception()
        if error is None:
            answer = job.result()
            found = answer if isinstance(answer, list) else [answer]
            if not any(isinstance(one, Acknowledgement) for one in found):
                self._settle(entry, Results(found), None)
                return
        elif not (isinstance(error, RunwareError) and error.may_have_run):
            self._settle(entry, None, error)
            return
        with self._condition:
            if future.task_uuid != job.task_uuid and self._remove(entry):
                future.task_uuid = job.task_uuid
                self._entries.setdefault(entry.key, []).append(entry)
        self._claim_kept(entry)

    # ------------------------------------------------------------------ deliveries

    def take(self, delivery: Delivery, size: int) -> None:
        """Hand a result or an error to those who expect it, or keep it for a while.

        Args:
            delivery: The delivery.
            size: Bytes that it takes.
        """
        with self._condition:
            complete = self._hand_out(delivery, size)
        for entry in complete:
            self._conclude(entry)

    def _hand_out(self, delivery: Delivery, size: int) -> list[_Entry]:
        """Add a delivery to the entries that expect it, and return those that are complete."""
        complete: list[_Entry] = []
        found = self._entries.get(delivery.task_uuid.lower(), ())
        if not found:
            self._keep(delivery, size)
        for entry in found:
            if delivery.result is not None:
                entry.results[delivery.key] = delivery.result
            elif delivery.error is not None:
                entry.errors[delivery.key] = delivery.error
            if entry.missing <= 0:
                complete.append(entry)
            elif self._poll_after is not None:
                # After an error no more may come, if it is that of the whole task. Only the server knows.
                self._ask_in(entry, 0.0 if delivery.error is not None else self._poll_after)
        return complete

    def _keep(self, delivery: Delivery, size: int) -> None:
        if delivery.key in self._kept:
            return
        now = time.monotonic()
        self._kept[delivery.key] = now, size, delivery
        self._kept_bytes += size
        while self._kept:
            oldest = next(iter(self._kept))
            fresh = self._kept[oldest][0] > now - _KEPT_FOR
            if fresh and len(self._kept) <= _MOST_KEPT and self._kept_bytes <= _MOST_KEPT_BYTES:
                break
            self._forget(oldest)

    def _conclude(self, entry: _Entry, *, late: bool = False) -> None:
        """Settle with what was delivered."""
        with self._condition:
            results, errors = Results(entry.results.values()), list(entry.errors.values())
        if not errors:
            self._settle(entry, results, None)
            return
        error = errors[-1]
        if results or late:
            error = IncompleteResultsError(
                f"{len(results)} of {entry.future.expected} results arrived; the rest failed: {error.message}",
                errors=errors,
                code=error.code,
                parameter=error.parameter,
                task_type=error.task_type,
                task_uuid=entry.future.task_uuid,
                raw=error.raw,
                results=results,
            )
            error.may_have_run = late
        self._settle(entry, None, error)

    def _settle(self, entry: _Entry, results: Results[Any] | None, error: BaseException | None) -> None:
        if not self._remove(entry) or not entry.future.set_running_or_notify_cancel():
            return
        job, entry.job = entry.job, None
        if error is not None:
            entry.future.set_exception(error)
        else:
            entry.future.set_result(Results() if results is None else results)
        if job is not None:
            job.cancel()

    # ------------------------------------------------------------------ time

    def _ask_in(self, entry: _Entry, seconds: float) -> None:
        entry.ask_at = min(time.monotonic() + seconds, entry.deadline)
        self._schedule(entry)

    def _schedule(self, entry: _Entry) -> None:
        """Add an entry to the timers. It may be there more than once; a time that no longer holds is passed over."""
        heapq.heappush(self._timers, (entry.ask_at, next(self._sequence), weakref.ref(entry)))
        if self._thread is None:
            self._thread = start_thread(self._watch, "runware-webhooks", "to watch the deadlines")
        elif self._timers[0][2]() is entry:
            self._condition.notify_all()

    def _watch(self) -> None:
        condition = self._condition
        while True:
            with condition:
                while self._entries and self._timers[0][0] > (now := time.monotonic()):
                    condition.wait(self._timers[0][0] - now)
                if not self._entries:
                    self._timers.clear()
                    self._thread = None
                    return
                entry = heapq.heappop(self._timers)[2]()
            if entry is not None and not entry.future.done():
                self._due(entry, time.monotonic())

    def _due(self, entry: _Entry, now: float) -> None:
        if entry.deadline <= now:
            self._time_out(entry)
        elif entry.ask_at <= now and entry.job is None:
            with self._condition:
                self._ask_in(entry, math.inf)
            self._ask(entry, now)

    def _time_out(self, entry: _Entry) -> None:
        future = entry.future
        if entry.errors:
            self._conclude(entry, late=True)
            return
        error = TaskTimeoutError(
            f"{len(entry.results)} of {future.expected} results were delivered to the webhook in time. The task may "
            "still run and be billed; rw.job(error.ref) waits for its results.",
            may_be_running=True,
            task_uuid=future.task_uuid,
            results=Results(entry.results.values()),
        )
        self._settle(entry, None, error)

    def _ask(self, entry: _Entry, now: float) -> None:
        """Ask the server for a task of which nothing was heard for some time."""
        assert self._client is not None
        task_uuid = entry.future.task_uuid
        log.debug("nothing was delivered of %s for some time; asking the server", task_uuid)
        try:
            job = self._client.job(task_uuid, timeout=max(1.0, entry.deadline - now))
        except Exception as error:  # the client may be closed; the thread has other tasks to watch
            log.debug("the server cannot be asked for %s: %s", task_uuid, type(error).__name__)
            return
        entry.job = job
        if entry.future.done():  # by a delivery in between
            job.cancel()
        job.add_done_callback(lambda done: self._answered(entry, done))

    def _answered(self, entry: _Entry, job: Any) -> None:
        entry.job = None
        if job.cancelled() or self._poll_after is None:
            return
        error = job.exception()
        if error is None and len(job.result()) >= entry.future.expected:
            self._settle(entry, job.result(), None)
        elif isinstance(error, TaskError) and not isinstance(error, _NO_VERDICT):
            self._settle(entry, None, error)
        else:
            with self._condition:
                self._ask_in(entry, max(1.0, self._poll_after))

    def close(self) -> None:
        """End what is expected with `ClientClosedError`, and forget what is kept."""
        with self._condition:
            entries = [entry for found in self._entries.values() for entry in found]
            self._kept.clear()
            self._kept_bytes = 0
        for entry in entries:
            error = ClientClosedError(
                "The receiver was closed while results were expected. The task may still run and be billed; "
                "rw.job(error.ref) waits for its results.",
                task_uuid=entry.future.task_uuid,
                results=Results(entry.results.values()),
            )
            error.may_have_run = True
            self._settle(entry, None, error)


_NO_VERDICT = (NotFoundError, AuthenticationError, RateLimitError, ConflictError)
"""Errors of the question, which say nothing about the task: its webhook may still be called.

A conflict: the call that submits the task waits for its acknowledgement, and the client follows a task only once.
"""


def _invalid(parameter: str, what: str) -> ValidationError:
    return ValidationError(f"expect(): {parameter} {what}.", code="invalidParameter", parameter=parameter)


def _count_in(meta: Meta | None) -> int:
    """Return how many results the request of an acknowledgement asks for; 1 if it is not known."""
    request = {} if meta is None else meta.request
    found = [request[name] for name in COUNTS if isinstance(request.get(name), int)]
    return max(1, *found) if found else 1
