"""The recorder: a thread that writes what happens to durable calls, and lets their tasks be sent once that is on disk.

The I/O thread hands it steps and never waits. The recorder writes an attempt at once, and collects the steps that
nobody waits for, to write many in one transaction. It reports back: an attempt may be sent, or the store has the task
already. A task that another client follows is watched in the store until it has an outcome, or its owner is gone.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DataError, OperationalError, SQLAlchemyError

from runware._support.locks import make_rlock
from runware._support.logs import RepeatLimit
from runware._support.threads import launch
from runware.errors import RunwareError, StoreError, TaskCancelledError
from runware.protocol.call import Call
from runware.protocol.effects import Record, Step
from runware.store.accounts import Accounts
from runware.store.database import Database, store_error
from runware.store.deliveries import write_delivery
from runware.store.lines import Line, line_of
from runware.store.owners import BEAT, Owner, Owners
from runware.store.step_writer import StepWriter
from runware.store.steps import (
    ArrivedResults,
    Bill,
    EndedCall,
    RecordedCalls,
    RecorderStep,
    Reservation,
    SavedFiles,
    is_attempt,
    is_independent,
    is_urgent,
)

if TYPE_CHECKING:
    from runware.transport.driver import Driver

__all__ = ["StoreRecorder"]

log = logging.getLogger("runware.store")
log.addFilter(RepeatLimit())

_MAX_BATCH = 500
"""How many steps one transaction takes at most."""
_WATCH_INTERVAL = 0.2
"""Seconds between two checks of the tasks that others follow."""
_LINGER = 0.05
"""Seconds for which steps are collected that no call waits for: one transaction costs the disk a write, and a statement
about many tasks little more than one about a single task."""
_RETRY_INTERVAL = 1.0
"""Seconds until steps that could not be written are tried again."""
_TRANSACTION_ATTEMPTS = 3
"""How often a transaction is tried that fails for a reason that may pass at once."""
_RETRY_WITHIN = 5.0
"""A transaction that fails after more seconds than this is not repeated at once: it has waited long enough."""
_CLOSE_BUSY = 5.0
"""Seconds for which closing waits beyond its timeout if not everything is written, because other processes use the
store, or its disk is slow. A bill may be among it."""
_MAX_BACKLOG = 10_000
"""How many steps are kept while the store cannot be written; further ones are dropped, and logged."""


class StoreRecorder:
    """Keeps a client's durable calls in its store, which it opens when it is created.

    Its thread is the only one that writes steps of calls. It starts with the first step.

    Args:
        url: The URL of the database.

    Raises:
        ConfigurationError: The URL is not valid.
        StoreError: The store cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self._reset()
        self.database.open()

    def _reset(self) -> None:
        """Start with no calls and no thread, as another client of the store."""
        self.owner = Owner()
        self.owners = Owners(self.owner)
        self._lock = make_rlock()
        self._inbox: deque[RecorderStep] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()  # wakes the thread
        self._dozing = False  # the thread sleeps for longer than steps may be kept
        self._flushing = False
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._driver: Driver | None = None
        self._calls = RecordedCalls()
        self._backlog: list[RecorderStep] = []
        self._collected: list[RecorderStep] = []  # those that wait for company, until `_collect_until`
        self._collect_until = 0.0
        self._next_beat = self._next_watch = self._next_retry = 0.0
        self._failing = False
        self._written = threading.Condition()
        self._popped = self._read = self._done = 0

    # ------------------------------------------------------------------ from the I/O thread

    def attach(self, driver: Driver) -> None:
        """Report to this driver."""
        self._driver = driver

    def record(self, effect: Record) -> None:
        """Write a step of a call."""
        if effect.step is Step.CANCELLED:
            error = TaskCancelledError("The call was cancelled.")
            error.may_have_run = effect.call.sends > 0
            self._put(EndedCall(effect.call, error))
        else:
            self._put(effect)

    def arrived(self, call: Call) -> None:
        """Write the results so far of a call that has not ended."""
        line = line_of(call)
        if call.items and not line.follows:
            self._put(ArrivedResults(line.key, list(call.items)))

    def ended(self, call: Call, error: RunwareError | None) -> None:
        """Write the end of a call."""
        self._put(EndedCall(call, error))

    def _put(self, step: RecorderStep) -> None:
        with self._lock:
            self._inbox.append(step)
            if self._thread is not None and self._thread.is_alive():
                if self._dozing or is_urgent(step):
                    self._bell.put(None)
                return
            problem = self._start()
            if problem is None:
                return
            if is_urgent(step):  # what waits for it is told now
                self._inbox.remove(step)
        if is_attempt(step):
            self._fail_attempt(step.call, step.uuid, problem)
        elif isinstance(step, Reservation):
            self._fail_reservation(step, problem)

    def _start(self) -> StoreError | None:
        """Start the thread. Return the error if the system has no thread left; the next step tries again."""
        self._thread = threading.Thread(target=self._run, name="runware-store", daemon=True)
        try:
            launch(self._thread)
        except RuntimeError as error:
            self._thread = None
            return StoreError(f"The thread of the store cannot be started: {error}.", retryable=True)
        return None

    # ------------------------------------------------------------------ from any thread

    def reserve(self, line: Line) -> Future[None]:
        """Reserve what a stream or chat may cost. The outcome is the error if that is not possible."""
        decided: Future[None] = Future()
        self._put(Reservation(line, decided))
        return decided

    def bill(self, line: Line, amount: int) -> None:
        """Write what a stream or chat has cost, in billionths of a dollar, in place of what was reserved for it."""
        self._put(Bill(line, amount))

    def deliver(self, item: Mapping[str, Any], error: RunwareError | None) -> bool:
        """Write a result or an error that came by a webhook; return whether the store has its task.

        Args:
            item: The API object of the result.
            error: The error, if it is one.

        Raises:
            StoreError: The store cannot be written.
        """
        return write_delivery(self.database, item, error)

    def saved(self, key: str, files: Mapping[int, tuple[str, int]]) -> None:
        """Write where files of a task's results are: path and size by their position among all files of the task."""
        self._put(SavedFiles(key, files))

    def files_of(self, key: str) -> dict[int, tuple[str, int]]:
        """Return where files of a task's results are, as `saved` was told.

        Raises:
            StoreError: The store cannot be read.
        """
        with self.database.reading() as connection:
            return self.database.saved_files(connection, key)

    @property
    def _taken(self) -> int:
        """How many steps have come so far."""
        return self._popped + len(self._inbox)

    def flush(self, timeout: float) -> bool:
        """Wait, up to *timeout* seconds, until every step so far is written; return whether it is."""
        with self._lock:
            goal = self._taken
            self._flushing = True
            self._bell.put(None)
        with self._written:
            return self._written.wait_for(lambda: self._done >= goal, timeout)

    def close(self, timeout: float) -> None:
        """Write the remaining steps, release the open tasks, and close the database.

        Args:
            timeout: Seconds to wait for the thread. If steps are not written by then, it is waited for `_CLOSE_BUSY`
                seconds longer. The driver must have been closed before. With 0, nothing is waited for.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            self._stopping = True
            thread = self._thread
            idle = thread is None and not self._inbox
            if not idle and (thread is None or not thread.is_alive()):  # it could not be started, or has failed
                thread, self._thread = None, threading.current_thread()
            self._bell.put(None)
        if idle:
            self.database.close()  # nothing was written, or all is written
        elif thread is None:
            self._run()
            self._thread = None
        elif thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))  # it closes the database at its end
            if timeout and self._done < self._taken and thread.is_alive():
                self._wait_longer(thread)

    def _wait_longer(self, thread: threading.Thread) -> None:
        """Wait until everything is written that has happened to the client's tasks, or log that it is not."""
        thread.join(_CLOSE_BUSY)
        if self._done < self._taken and thread.is_alive():
            log.warning(
                "the store is too busy to be closed: the last news of tasks, such as their bills, is written in the "
                "background, or lost if the program ends before. jobs.recover() collects what is missing."
            )

    def abandon(self) -> None:
        """Reset after a fork, in the child: the parent keeps its tasks."""
        self.database.close(forked=True)
        self._reset()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            stop = False
            while not (stop and self._leave()):
                batch, stop = self._take_batch()
                self._process(batch)
        except BaseException:
            log.exception("the thread of the store failed; its calls fail")
            self._fail_all()
            if self._stopping:
                self._release_and_close()

    def _leave(self) -> bool:
        """Release the tasks and the database, and return whether the thread may end: no step has come meanwhile."""
        self._release_and_close()
        with self._lock:
            if self._inbox:
                return False
            self._thread = None  # a later step starts another one
            return True

    def _take_batch(self) -> tuple[list[RecorderStep], bool]:
        """Sleep until there are steps to write, or something is due; return the steps, and whether to stop after them.

        What a call or a stream waits for is written at once; without the steps that were collected before, if it does
        not depend on them. Those are written when the first of them has waited long enough.
        """
        self._sleep(self._seconds_until_due())
        with self._lock:
            inbox = self._inbox
            new = [inbox.popleft() for _ in range(min(len(inbox), _MAX_BATCH))]
            self._popped += len(new)
            stop, everything = self._stopping and not inbox, self._stopping or self._flushing
            if not inbox:
                self._flushing = False
        collected, urgent = self._collected, [step for step in new if is_urgent(step)]
        if len(urgent) < len(new):
            if not collected:
                self._collect_until = time.monotonic() + _LINGER
            collected += [step for step in new if not is_urgent(step)]
        if everything:
            self._next_retry = 0.0
        elif (
            len(collected) < _MAX_BATCH and time.monotonic() < self._collect_until and all(map(is_independent, urgent))
        ):
            return urgent, False
        self._collected = []
        return collected + urgent, stop

    def _sleep(self, seconds: float | None) -> None:
        """Sleep until steps have come that are to be written at once, or for some seconds; `None` sets no limit."""
        with self._lock:
            if self._inbox or self._stopping or self._flushing:
                seconds = 0.0
            self._dozing = seconds is None or seconds > _LINGER
        with suppress(queue.Empty):
            self._bell.get(timeout=seconds) if seconds is None or seconds > 0 else self._bell.get_nowait()
            while True:  # what rang meanwhile is taken in the same pass
                self._bell.get_nowait()
        self._dozing = False

    def _seconds_until_due(self) -> float | None:
        """Return the seconds until the next thing is due that no step announces; `None` if nothing is."""
        due = [self._next_beat] if self._calls.own else []
        due += [self._next_watch] if self._calls.watched else []
        due += [self._next_retry] if self._backlog else []
        due += [self._collect_until] if self._collected else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _process(self, batch: list[RecorderStep]) -> None:
        """Write the steps that have come, and do what is due."""
        now = time.monotonic()
        self._read += len(batch)
        batch = [step for step in batch if not _is_repeated(step)]
        if self._backlog:
            batch = self._with_backlog(batch, due=now >= self._next_retry or self._stopping)
        watches = bool(self._calls.watched) and now >= self._next_watch
        beats = now >= self._next_beat and bool(self._calls.own or batch)
        if batch or watches or beats:
            self._write_batch(batch, watches=watches, beats=beats)
        if watches:
            self._next_watch = time.monotonic() + _WATCH_INTERVAL
        if beats:
            self._next_beat = now + BEAT
        with self._written:
            self._done = self._read - len(self._backlog)
            self._written.notify_all()

    def _with_backlog(self, batch: list[RecorderStep], *, due: bool) -> list[RecorderStep]:
        """Return the steps to write now: the backlog and the batch if the backlog is due, otherwise only urgent ones.

        The steps of a call are written in order, so all others wait behind the backlog.
        """
        if due:
            self._backlog, batch = [], self._backlog + batch
            return batch
        self._backlog += [step for step in batch if not is_urgent(step)]
        return [step for step in batch if is_urgent(step)]

    def _write_batch(self, batch: list[RecorderStep], *, watches: bool = False, beats: bool = False) -> None:
        """Write a batch; if that fails for a reason that may lie in one of its steps, write each of them by itself."""
        try:
            self._write_with_retries(batch, watches=watches, beats=beats)
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, (OperationalError, OSError)):
                for step in batch:
                    self._write_batch([step])
            elif isinstance(error, (SQLAlchemyError, OSError)):
                self._handle_failure(
                    batch, store_error(error, "cannot be written"), keep=not isinstance(error, DataError)
                )
            else:  # a bug here must not leave calls without an outcome
                log.exception("the store failed; the steps of %d tasks are not written", len(batch))
                self._handle_failure(batch, StoreError("The store failed; see the log."), keep=False)

    def _write_with_retries(self, batch: list[RecorderStep], *, watches: bool, beats: bool) -> None:
        """Write a batch in one transaction, and report what follows from it."""
        writer = self._retry_transaction(batch, watches=watches, beats=beats)
        if self._failing:
            log.warning("the store can be written again")
            self._failing = False
        if writer.found_elsewhere:
            self._next_watch = time.monotonic() + _WATCH_INTERVAL
        if (driver := self._driver) is not None:
            for report in writer.reports:
                report(driver)
        for (line, decided), refused in writer.decisions:
            line.reserved = refused is None and not line.settled
            decided.set_result(None) if refused is None else decided.set_exception(refused)

    def _retry_transaction(self, batch: list[RecorderStep], *, watches: bool, beats: bool) -> StepWriter:
        """Run one transaction, several times if it fails for a reason that passes."""
        before = self._calls.copy()
        attempt = 1
        while True:
            started = time.monotonic()
            try:
                return self._run_transaction(batch, watches=watches, beats=beats)
            except Exception as error:
                self._calls.restore(before)  # nothing was written
                # A server may have been restarted, or have ended one of two transactions that waited for each other.
                passing = isinstance(error, OperationalError) and time.monotonic() - started < _RETRY_WITHIN
                if not passing or attempt == _TRANSACTION_ATTEMPTS:
                    raise
            attempt += 1

    def _run_transaction(self, batch: Sequence[RecorderStep], *, watches: bool, beats: bool) -> StepWriter:
        """Run one transaction. Errors of the database are raised as they are.

        Args:
            batch: The steps to write.
            watches: Whether to check the tasks that others follow.
            beats: Whether to write a heartbeat.
        """
        with self.database.transaction() as connection:
            if beats:
                self.owner.beat(connection)
            writer = StepWriter(connection, self.database, self.owner, self.owners, self._calls)
            writer.write(batch)
            if watches:
                writer.check_watched()
            writer.write_accounts()
        return writer

    def _handle_failure(self, batch: Sequence[RecorderStep], problem: StoreError, *, keep: bool) -> None:
        """Report that nothing of a batch was written: new attempts fail, the rest is kept for later if *keep*."""
        if not self._failing:
            log.error("%s Tasks are not sent until it can.", problem.message)
        self._failing = keep
        for step in batch:
            if is_attempt(step):
                self._refuse_attempt(step, problem)
            elif isinstance(step, Reservation):
                self._fail_reservation(step, problem)
            elif not keep:
                if isinstance(step, EndedCall):
                    self._calls.forget(step.call, step.key)
            elif len(self._backlog) < _MAX_BACKLOG or isinstance(step, (EndedCall, Bill)):
                self._backlog.append(step)  # there are no more ends than calls, and no new call is sent
            else:
                log.error("the store cannot be written for so long that steps of tasks are lost")
        self._next_retry = time.monotonic() + _RETRY_INTERVAL

    def _refuse_attempt(self, record: Record, problem: StoreError) -> None:
        """Report that an attempt could not be written."""
        if not line_of(record.call).follows:
            self._fail_attempt(record.call, record.uuid, problem)
        elif self._driver is not None:
            self._driver.task_recorded(record.call, record.uuid)  # it sends no task, and can ask the server

    def _fail_attempt(self, call: Call, uuid: str, problem: StoreError) -> None:
        """Report that an attempt must not be sent, because of a problem of the store."""
        if self._driver is not None:
            again = " again" if call.attempts else ""
            error = StoreError(f"{problem.message} The task was not sent{again}.", retryable=True)
            self._driver.recording_failed(call, uuid, error)

    @staticmethod
    def _fail_reservation(reservation: Reservation, problem: StoreError) -> None:
        """Report that a stream or chat must not be sent, because of a problem of the store."""
        reservation.decided.set_exception(
            StoreError(f"{problem.message} The request was not sent.", retryable=problem.retryable)
        )

    def _fail_all(self) -> None:
        """Fail all calls: the thread ends because of an error in its own code."""
        error = StoreError("The store has failed; see the log.")
        for call in [*self._calls.own.values(), *self._calls.watched]:
            self._fail_attempt(call, call.uuid, error)

    def _release_and_close(self) -> None:
        """Release the open tasks, so that other clients may follow them, and close the database."""
        try:
            with suppress(SQLAlchemyError, OSError), self.database.transaction() as connection:
                self.database.release(connection, self.owner.id)
                Accounts.forget(connection, f"client {self.owner.id}")
        finally:
            self.database.close()


def _is_repeated(step: RecorderStep) -> bool:
    """Return whether a step is a further bill of a line, and note that the line is settled if it is a bill."""
    if not isinstance(step, Bill):
        return False
    repeated, step.line.settled = step.line.settled, True
    return repeated
