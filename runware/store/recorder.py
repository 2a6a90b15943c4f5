"""The recorder: a thread that writes what happens to durable calls, and lets their tasks be sent once that is on disk.

The I/O thread hands it steps and never waits. It writes whatever has come in one transaction, and reports back: an
attempt may be sent, or the store knows the task already. A task that another client follows is watched in the store
until it has an outcome, or its owner is gone.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import SQLAlchemyError

from runware._support.locks import make_rlock
from runware._support.logs import RepeatLimit
from runware.errors import (
    AuthenticationError,
    BudgetExceededError,
    IncompleteResultsError,
    InsufficientCreditsError,
    NotFoundError,
    RunwareError,
    StoreError,
    TaskCancelledError,
    TaskError,
)
from runware.protocol.call import Call, identity
from runware.protocol.effects import Record, Step
from runware.protocol.ids import derived_uuid
from runware.store.database import Database, store_error
from runware.store.lines import Line, billed, error_from_stored, line_of, stored_error
from runware.store.owners import BEAT, Owner, Owners

if TYPE_CHECKING:
    from runware.transport.driver import Driver

__all__ = ["StoreRecorder"]

log = logging.getLogger("runware.store")
log.addFilter(RepeatLimit())

_BATCH = 500
"""How many steps one transaction takes at most."""
_WATCH = 0.2
"""Seconds between two looks at the tasks that others follow."""
_LINGER = 0.05
"""Seconds for which what nobody waits for may wait for company: each transaction costs the disk a write."""
_RETRY = 1.0
"""Seconds until steps that could not be written are tried again."""
_BACKLOG = 10_000
"""How many steps are kept while the store cannot be written; further ones are dropped, and logged."""


class _Ended:
    """The end of a call, as it is to be written. The call itself drops its results."""

    __slots__ = ("call", "error", "items", "line", "uuid")

    def __init__(self, call: Call, error: RunwareError | None) -> None:
        self.call = call
        self.line = line_of(call)
        self.uuid = call.uuid
        self.items = [item for item in call.items if not call.is_acknowledged_by(item)]
        self.error = error

    @property
    def key(self) -> str:
        """The task's key, which is known once the store has looked it up."""
        return self.line.key


class _Saved(NamedTuple):
    """Where files of a task's results are: path and size by their position among all files of the task."""

    key: str
    files: Mapping[int, tuple[str, int]]


_Entry = Record | _Ended | _Saved | tuple[str, list[dict[str, Any]]]


class StoreRecorder:
    """Keeps a client's durable calls in its store. It opens the store when it is made.

    Args:
        url: The URL of the database.

    Raises:
        ConfigurationError: The URL is not valid.
        StoreError: The store cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self._start_state()
        self.database.open()

    def _start_state(self) -> None:
        self.owner = Owner()
        self.owners = Owners(self.owner)
        self._lock = make_rlock()
        self._inbox: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._driver: Driver | None = None
        self._open: dict[str, Call] = {}
        """The calls that are this client's own, by key."""
        self._watched: dict[Call, str] = {}
        """The calls that wait for the outcome of a task which another call follows, with its key."""
        self._backlog: list[_Entry] = []
        self._next_beat = self._next_watch = self._next_retry = 0.0
        self._failing = False
        self._written = threading.Condition()
        self._taken = self._done = 0

    # ------------------------------------------------------------------ from the I/O thread

    def attach(self, driver: Driver) -> None:
        """Report to this driver."""
        self._driver = driver

    def record(self, effect: Record) -> None:
        """Write a step of a call."""
        if effect.step is Step.CANCELLED:
            error = TaskCancelledError("The call was cancelled.")
            error.may_have_run = effect.call.sends > 0
            self._put(_Ended(effect.call, error))
        else:
            self._put(effect)

    def arrived(self, call: Call) -> None:
        """Write the results of a call that goes on."""
        line = line_of(call)
        if call.items and not line.follows:
            self._put((line.key, list(call.items)))

    def ended(self, call: Call, error: RunwareError | None) -> None:
        """Write the end of a call."""
        self._put(_Ended(call, error))

    def _put(self, entry: _Entry) -> None:
        with self._lock:
            self._taken += 1
            self._inbox.put(entry)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="runware-store", daemon=True)
                self._thread.start()

    # ------------------------------------------------------------------ from any thread

    def saved(self, key: str, files: Mapping[int, tuple[str, int]]) -> None:
        """Write where files of a task's results are: path and size by their position among all files of the task."""
        self._put(_Saved(key, files))

    def files_of(self, key: str) -> dict[int, tuple[str, int]]:
        """Return where files of a task's results are, as `saved` was told.

        Raises:
            StoreError: The store cannot be read.
        """
        with self.database.reading() as connection:
            return self.database.saved_files(connection, key)

    def deliver(self, item: Mapping[str, Any], error: RunwareError | None) -> bool:
        """Write a result or an error that came by a webhook; return whether the store has its task.

        Args:
            item: The API object of the result.
            error: The error, if it is one.

        Raises:
            StoreError: The store cannot be written.
        """
        with self.database.writing() as connection:
            row = self.database.row_of(connection, str(item.get("taskUUID")))
            if row is None:
                return False
            row = self.database.rows(connection, [row["key"]], lock=True)[row["key"]]
            if row["state"] == "open":
                self._add_delivery(connection, row, item, error)
        return True

    def _add_delivery(
        self, connection: Connection, row: RowMapping, item: Mapping[str, Any], error: RunwareError | None
    ) -> None:
        items = json.loads(row["items"]) if row["items"] else []
        kept = json.loads(row["error"]) if row["error"] else {}
        failures = kept.get("errors", [])
        if error is not None:
            failures.append(stored_error(error))
        elif not any(_same(one, item) for one in items):
            items.append(dict(item))
        values: dict[str, Any] = {
            "key": row["key"],
            "items": json.dumps(items) if items else None,
            "updated": time.time(),
        }
        cost = billed(items)
        scopes = _scopes_of(row["scope"] or "", row["run"])
        if len(items) + len(failures) >= row["expected"]:
            values |= {"state": "failed" if failures else "succeeded", "owner": None, "cost": cost, "reserved": 0}
            if failures:
                last = failures[-1]
                if items:
                    last = {**last, "class": "IncompleteResultsError", "errors": failures}
                values["error"] = json.dumps(last, default=str)
            self.database.settle(
                connection, dict.fromkeys(scopes, ((cost or 0) - (row["cost"] or 0), -row["reserved"]))
            )
        elif failures:
            values["error"] = json.dumps({"class": "TaskError", "errors": failures}, default=str)
        self.database.set_values(connection, [values])

    def flush(self, timeout: float) -> bool:
        """Wait until what was handed over so far is written; return whether it is."""
        with self._lock:
            goal = self._taken
            self._inbox.put(None)
        with self._written:
            return self._written.wait_for(lambda: self._done >= goal, timeout)

    def close(self, timeout: float) -> None:
        """Write what there is, leave the open tasks to others, and close. The driver is closed by now."""
        deadline = time.monotonic() + timeout
        with self._lock:
            self._stopping = True
            thread = self._thread
            self._inbox.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                return  # it closes the database itself
        self._leave()

    def abandon(self) -> None:
        """Reset after a fork, in the child: the parent goes on with its tasks."""
        self.database.close(forked=True)
        self._start_state()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            while True:
                batch, stop = self._take()
                self._work(batch)
                if stop:
                    break
        except BaseException:
            log.exception("the thread of the store failed; its calls fail")
            self._fail_all()
        finally:
            if self._stopping:
                self._leave()

    def _take(self) -> tuple[list[_Entry], bool]:
        """Wait for something to do, and return the steps that have come, and whether to stop afterwards."""
        batch: list[_Entry] = []
        wait, urgent, until = self._wait(), False, 0.0
        while len(batch) < _BATCH:
            try:
                entry = self._inbox.get(timeout=wait) if wait is None or wait > 0 else self._inbox.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                if self._stopping:
                    return batch, True
                urgent = True  # somebody waits in `flush`
            else:
                until = until or time.monotonic() + _LINGER
                batch.append(entry)
                urgent = urgent or (isinstance(entry, Record) and entry.step is Step.TASK)
            wait = 0.0 if urgent else max(0.0, until - time.monotonic())
        return batch, False

    def _wait(self) -> float | None:
        """Return for how long there is nothing to do but to wait; `None` for ever."""
        due = [self._next_beat] if self._open else []
        due += [self._next_watch] if self._watched else []
        due += [self._next_retry] if self._backlog else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _work(self, batch: list[_Entry]) -> None:
        now = time.monotonic()
        if self._backlog and (now >= self._next_retry or self._stopping):
            self._backlog, batch, self._next_retry = [], self._backlog + batch, now + _RETRY
        reports: list[tuple[str, tuple[Any, ...]]] = []
        watches = bool(self._watched) and now >= self._next_watch
        beats = now >= self._next_beat and bool(self._open or batch)
        if not (batch or watches or beats):
            return
        before = self._open.copy(), self._watched.copy()
        try:
            with self.database.transaction() as connection:
                if beats:
                    self.owner.beat(connection)
                self._write(connection, batch, reports)
                if watches:
                    self._look(connection, reports)
        except (SQLAlchemyError, OSError) as error:
            self._open, self._watched = before  # nothing was written
            reports = self._refuse(batch, error)
        except Exception:  # a mistake here must not leave calls without an answer
            log.exception("the store failed; the steps of %d tasks are not written", len(batch))
            self._open, self._watched = before
            reports = self._refuse(batch, StoreError("The store failed; see the log."), keep=False)
        else:
            if self._failing:
                log.warning("the store can be written again")
            self._failing = False
            if beats:
                self._next_beat = now + BEAT
        if watches:
            self._next_watch = time.monotonic() + _WATCH
        for name, facts in reports:
            self._report(name, *facts)
        with self._written:
            self._done += len(batch)
            self._written.notify_all()

    def _report(self, name: str, *facts: Any) -> None:
        driver = self._driver
        if driver is None:
            return
        if name == "task_known":
            driver.task_known(*facts[:-1], elsewhere=facts[-1])
        else:
            getattr(driver, name)(*facts)

    def _refuse(
        self, batch: Sequence[_Entry], error: Exception, *, keep: bool = True
    ) -> list[tuple[str, tuple[Any, ...]]]:
        """Return the reports that nothing of a batch was written: new attempts fail, the rest is kept for later."""
        problem = error if isinstance(error, StoreError) else store_error(error, "cannot be written")
        if not self._failing:
            log.error("%s Tasks are not sent until it can.", problem.message)
        self._failing = True
        reports: list[tuple[str, tuple[Any, ...]]] = []
        for entry in batch:
            if isinstance(entry, Record) and entry.step is Step.TASK:
                reports.append(("recording_failed", (entry.call, entry.uuid, _not_sent(problem))))
            elif not keep:
                continue
            elif len(self._backlog) < _BACKLOG:
                self._backlog.append(entry)
            else:
                log.error("the store cannot be written for so long that steps of tasks are lost")
        self._next_retry = time.monotonic() + _RETRY
        return reports

    def _fail_all(self) -> None:
        error = StoreError("The store has failed; see the log.")
        for call in [*self._open.values(), *self._watched]:
            self._report("recording_failed", call, call.uuid, _not_sent(error))

    def _leave(self) -> None:
        """Leave the open tasks to others, and close the database."""
        try:
            with suppress(SQLAlchemyError, OSError), self.database.transaction() as connection:
                self.database.release(connection, self.owner.id)
        finally:
            self.database.close()

    # ------------------------------------------------------------------ writing

    def _write(
        self, connection: Connection, batch: Sequence[_Entry], reports: list[tuple[str, tuple[Any, ...]]]
    ) -> None:
        """Write a batch of steps, each kind at once: all that is new, then how it went on, then how it ended.

        What was begun before and has ended comes first of all: its reservation is replaced by its bill, which leaves
        more of a budget for what is new.
        """
        begun = [entry for entry in batch if isinstance(entry, Record) and entry.step is Step.TASK]
        new = {entry.call for entry in begun}
        ends = [entry for entry in batch if isinstance(entry, _Ended)]
        # Several calls may be for one task; only the end of the one that was sent is the task's.
        ended = {entry.key for entry in ends if entry.call in new or self._open.get(entry.key) is entry.call}
        self._end(connection, [entry for entry in ends if entry.call not in new], reports)
        first = [entry for entry in begun if entry.call.attempt == 1]
        self._begin(connection, first, reports)
        now = time.time()
        again = [entry for entry in begun if entry.call.attempt > 1]
        self.database.set_values(
            connection,
            [
                {
                    "key": line_of(entry.call).key,
                    "uuid": entry.uuid,
                    "attempt": line_of(entry.call).attempt + entry.call.attempt - 1,
                    "step": "recorded",
                    "updated": now,
                }
                for entry in again
            ],
        )
        reports += [("task_recorded", (entry.call, entry.uuid)) for entry in again]
        steps: dict[str, str] = {}
        arrived: dict[str, list[dict[str, Any]]] = {}
        for entry in batch:
            if isinstance(entry, _Ended):
                continue
            if isinstance(entry, _Saved):
                self.database.put_files(connection, entry.key, entry.files)
            elif isinstance(entry, tuple) and not isinstance(entry, Record):
                arrived[entry[0]] = entry[1]
            elif isinstance(entry, Record) and entry.step is not Step.TASK and not line_of(entry.call).follows:
                steps[line_of(entry.call).key] = entry.step.value
        self.database.set_values(
            connection,
            [{"key": key, "step": step, "updated": now} for key, step in steps.items() if key not in ended],
        )
        self.database.set_values(
            connection,
            [
                {"key": key, "items": json.dumps(items), "updated": now}
                for key, items in arrived.items()
                if key not in ended
            ],
        )
        self._end(connection, [entry for entry in ends if entry.call in new], reports)

    def _begin(
        self, connection: Connection, entries: Sequence[Record], reports: list[tuple[str, tuple[Any, ...]]]
    ) -> None:
        """Write the lines of new calls; a task that is there already is taken over, watched, or done."""
        if not entries:
            return
        found = self.database.rows(connection, {line_of(entry.call).key for entry in entries})
        new: list[Record] = []
        for entry in entries:
            line = line_of(entry.call)
            row = found.get(line.key)
            if row is None and line.follows:
                row = self.database.row_of(connection, line.key)
            if row is not None:
                self._meet(connection, entry, row, reports)
            elif line.follows:
                reports.append(("task_recorded", (entry.call, entry.uuid)))
            else:
                try:
                    self._reserve(connection, line)
                except BudgetExceededError as error:
                    reports.append(("recording_failed", (entry.call, entry.uuid, error)))
                else:
                    new.append(entry)
        there = self.database.add(connection, [line_of(entry.call) for entry in new], self.owner.id)
        for entry in new:
            line = line_of(entry.call)
            if line in there:  # another process was quicker
                self._unreserve(connection, line)
                row = self.database.row_of(connection, line.key)
                assert row is not None
                self._meet(connection, entry, row, reports)
            else:
                self._open[line.key] = entry.call
                line.fresh = True
                reports.append(("task_recorded", (entry.call, entry.uuid)))

    def _reserve(self, connection: Connection, line: Line) -> None:
        """Reserve what a task may cost, of today's budgets.

        Raises:
            BudgetExceededError: A budget has not enough left. Nothing is reserved.
        """
        line.day = time.strftime("%Y-%m-%d", time.gmtime())
        whose = {"day": f"day {line.day}", "client": f"client {self.owner.id}"}
        line.limits = {whose.get(scope, scope): limit for scope, limit in line.limits.items()}
        self.database.reserve(connection, line, _scopes(line))

    def _unreserve(self, connection: Connection, line: Line) -> None:
        self.database.settle(connection, dict.fromkeys({*_scopes(line), *line.limits}, (0, -line.reserve)))

    def _meet(
        self, connection: Connection, entry: Record, row: RowMapping, reports: list[tuple[str, tuple[Any, ...]]]
    ) -> None:
        """Decide what becomes of a call whose task the store knows."""
        call, line, uuid = entry.call, line_of(entry.call), entry.uuid
        line.key = row["key"]
        again = not line.follows and (
            row["step"] == "refused" if row["state"] == "open" else row["state"] == "failed" and line.retries_failed
        )
        unsent = not line.follows and row["step"] == "waiting"
        if row["state"] == "failed" and again:
            self._send_again(connection, entry, row, reports)
            return
        if row["state"] != "open":
            reports.append(("task_settled", (call, *_outcome(row))))
            return
        owner = row["owner"]
        if (
            owner is not None
            and self.owners.alive(connection, owner)
            and (owner != self.owner.id or line.key in self._open)
        ):
            self._watched[call] = line.key
            self._next_watch = time.monotonic() + _WATCH
            reports.append(("task_known", (call, uuid, row["uuid"], True)))
            return
        if not self.database.claim(connection, line.key, owner, self.owner.id):
            self._watched[call] = line.key
            return
        if again or unsent:
            self._send_again(connection, entry, row, reports)
            return
        self._take_over(call, line.key)
        if line.follows:  # a webhook may bring the outcome
            self._watched[call] = line.key
        line.attempt, line.run = row["attempt"], row["run"]
        reports.append(("task_known", (call, uuid, row["uuid"], False)))

    def _take_over(self, call: Call, key: str) -> None:
        """Make a task this client's that may have been sent, and for which another one has reserved money."""
        self._open[key] = call
        line_of(call).limits = {}

    def _send_again(
        self, connection: Connection, entry: Record, row: RowMapping, reports: list[tuple[str, tuple[Any, ...]]]
    ) -> None:
        """Send a task of which the server has nothing: it never had it, or its last attempt has failed.

        After a failure by the server's word, the next attempt gets a new UUID.
        """
        call, line = entry.call, line_of(entry.call)
        line.attempt, line.run = row["attempt"], row["run"]
        try:
            self._reserve(connection, line)
        except BudgetExceededError as error:
            if row["state"] == "open":
                self.database.set_values(connection, [{"key": line.key, "owner": None}])
            reports.append(("recording_failed", (call, entry.uuid, error)))
            return
        self._open[line.key] = call
        current = row["uuid"]
        if row["state"] == "failed" or row["step"] == "refused":
            line.attempt += 1
            current = derived_uuid(current)
        self.database.reopen(connection, line.key, current, line.attempt, self.owner.id, line.reserve, line.day)
        if current == entry.uuid:
            reports.append(("task_recorded", (call, entry.uuid)))  # there is nothing to ask for
        else:
            reports.append(("task_known", (call, entry.uuid, current, False)))

    def _end(self, connection: Connection, ended: Sequence[_Ended], reports: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Write how calls ended, and bill them."""
        mine = []
        for one in ended:
            self._watched.pop(one.call, None)
            if self._open.get(one.key) is one.call:
                del self._open[one.key]
                mine.append(one)
        if not mine:
            return
        rows = self.database.rows(connection, [one.key for one in mine], lock=True)
        now = time.time()
        money: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        changes = []
        for one in mine:
            row = rows.get(one.key)
            if row is None or row["state"] != "open":
                continue
            state, step = _state_after(one)
            cost = billed(one.items)
            changes.append(
                {
                    "key": one.key,
                    "uuid": one.uuid,
                    "state": state,
                    "step": step or row["step"],
                    "owner": None,
                    "items": json.dumps(one.items) if one.items else row["items"],
                    "error": None if one.error is None else json.dumps(stored_error(one.error), default=str),
                    "cost": cost,
                    "reserved": row["reserved"] if state == "open" and step not in _NOT_RUNNING else 0,
                    "updated": now,
                }
            )
            line = one.line
            line.day = row["scope"] or ""  # that on which it was reserved
            released = changes[-1]["reserved"] - row["reserved"]
            new_cost = (cost or 0) - (row["cost"] or 0)
            for scope in {*_scopes(line), *line.limits}:
                money[scope][0] += new_cost
                money[scope][1] += released
        self.database.set_values(connection, changes)
        self.database.settle(connection, {scope: (spent, reserved) for scope, (spent, reserved) in money.items()})
        outcomes = {change["key"]: change for change in changes if change["state"] != "open"}
        for call, key in list(self._watched.items()):
            if (change := outcomes.get(key)) is not None:
                del self._watched[call]
                reports.append(("task_settled", (call, *_outcome(change))))

    # ------------------------------------------------------------------ tasks that others follow

    def _look(self, connection: Connection, reports: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Look at the tasks that others follow: some are done, and some have lost their owner."""
        rows = self.database.rows(connection, set(self._watched.values()))
        alive: dict[str, bool] = {}
        for call, key in list(self._watched.items()):
            row = rows.get(key)
            if row is not None and row["state"] != "open":
                del self._watched[call]
                reports.append(("task_settled", (call, *_outcome(row))))
                continue
            owner = None if row is None else row["owner"]
            if owner == self.owner.id and self._open.get(key) is call:
                continue  # it polls the server itself, and waits for a webhook
            if owner is not None and (owner != self.owner.id or key in self._open):
                if owner not in alive:
                    alive[owner] = self.owners.alive(connection, owner)
                if alive[owner]:
                    continue
            if row is not None and not self.database.claim(connection, key, owner, self.owner.id):
                continue
            del self._watched[call]
            self._take_over(call, key)
            reports.append(("task_known", (call, call.uuid, call.uuid if row is None else row["uuid"], False)))


def _scopes(line: Line) -> Iterable[str]:
    """Return what a task's bill counts for, whatever budget there is."""
    return _scopes_of(line.day, line.run)


def _scopes_of(day: str, run: str | None) -> list[str]:
    return ["store", *([f"day {day}"] if day else ()), *([f"run {run}"] if run else ())]


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two items are the same result, delivered twice."""
    name = identity(dict(one))
    return name == identity(dict(other)) if name is not None else one == other


def _outcome(row: Any) -> tuple[list[dict[str, Any]], RunwareError | None]:
    items = json.loads(row["items"]) if row["items"] else []
    return items, error_from_stored(json.loads(row["error"])) if row["state"] == "failed" and row["error"] else None


_NOT_RUNNING = ("waiting", "refused")
"""Steps of open tasks that the server does not have, so that they can cost nothing before they are sent again."""
_PASSING = (AuthenticationError, InsufficientCreditsError)
"""Errors of the account, not of the task: it can be sent again once they are settled."""


def _state_after(one: _Ended) -> tuple[str, str | None]:
    """Return the state of a task after the end of its call, and its step if that changes."""
    error = one.error
    if one.line.follows and isinstance(error, NotFoundError):
        return "open", None  # the request may be there to be sent again
    if error is None:
        begun = one.line.acknowledged and len(one.items) < one.line.expected
        return ("open", "accepted") if begun else ("succeeded", None)
    if isinstance(error, IncompleteResultsError):
        return "failed", None
    if isinstance(error, TaskError) and not error.may_have_run and one.call.sends:
        return ("open", "refused") if error.retryable or isinstance(error, _PASSING) else ("failed", None)
    return "open", None if error.may_have_run or one.items else "waiting"


def _not_sent(problem: StoreError) -> StoreError:
    return StoreError(f"{problem.message} The task was not sent.", retryable=True)
