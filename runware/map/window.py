"""The order and the limits of `map`: which request is submitted next, and which outcome is yielded next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from runware.errors import ValidationError
from runware.jobs import Job
from runware.requests.base import Task

if TYPE_CHECKING:
    from runware.map.inputs import InputWithRequest

R = TypeVar("R")

__all__ = ["Entry", "Window"]

_MAX_BUFFERED = 4
"""With ordered results, up to this many times *concurrency* may be finished and wait behind a slow one."""


class Entry(Generic[R]):
    """An input of `map`, from the time its request is created until its outcome is yielded.

    Attributes:
        index: Its number, from 0.
        given: Its abbreviated form.
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
        with suppress(AttributeError):  # an exception class of the user may not allow new attributes
            error.index, error.input = self.index, self.given  # type: ignore[attr-defined]


class Window(Generic[R]):
    """Decides which request is submitted next, and which outcome is yielded next. It neither blocks nor submits.

    Args:
        inputs: The abbreviated form of each input, with its request.
        concurrency: The maximum number of requests in flight.
        ordered: Whether outcomes keep the order of the requests.
    """

    def __init__(self, inputs: Iterator[InputWithRequest[R]], concurrency: int, *, ordered: bool) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ValidationError(
                f"concurrency must be an integer of at least 1; got {concurrency!r}.",
                code="invalidParameter",
                parameter="concurrency",
            )
        self._inputs: Iterator[InputWithRequest[R]] | None = inputs
        self._concurrency = concurrency
        self._ordered = ordered
        self._running = self._saving = self._taken = 0
        self.input_error: Exception | None = None
        """The exception raised by the iterable of inputs."""
        self._entries: deque[Entry[R]] = (
            deque()
        )  # in order, without outcome or with it; if unordered, only those without
        self._finished: deque[Entry[R]] = deque()  # if unordered
        self._leaving: Entry[R] | None = None  # its outcome is about to be yielded

    def next_task(self) -> tuple[Entry[R], Task[R]] | None:
        """Return the next request to submit; `None` if the window is full or there are no more."""
        while self._inputs is not None and self._running < self._concurrency:
            if len(self._entries) + len(self._finished) >= self._concurrency * _MAX_BUFFERED:
                return None
            try:
                given, task = next(self._inputs)
            except StopIteration:
                self._inputs = None
                return None
            except Exception as error:  # of the iterable itself: raised after the outcomes of what runs
                self._inputs, self.input_error = None, error
                return None
            entry: Entry[R] = Entry(self._taken, given)
            self._taken += 1
            if not isinstance(task, Exception):
                self._running += 1
                return entry, task
            self._add_error(entry, task)
        return None

    def _add_error(self, entry: Entry[R], error: Exception) -> None:
        entry.error, entry.ready = error, True
        (self._entries if self._ordered else self._finished).append(entry)

    def add(self, entry: Entry[R], job: Job[R]) -> None:
        """Add the job of the request that `next_task` returned."""
        entry.job = job
        self._entries.append(entry)

    def add_failed(self, entry: Entry[R], error: Exception) -> None:
        """Add the error with which that request could not be submitted."""
        self._running -= 1
        self._add_error(entry, error)

    def advance(self, entry: Entry[R], ready: bool) -> None:
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

    def next_outcome(self) -> Entry[R] | None:
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
