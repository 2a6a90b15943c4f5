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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import DataError, OperationalError, SQLAlchemyError

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
from runware.store.accounts import Accounts, scopes_of
from runware.store.database import Database, store_error
from runware.store.lines import UNSENT, Line, billed, error_from_stored, line_of, stored_error
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
"""Seconds for which steps without a waiting call are collected: each transaction costs the disk a write."""
_RETRY = 1.0
"""Seconds until steps that could not be written are tried again."""
_ATTEMPTS = 3
"""How often a transaction is tried that fails for a reason that may pass at once."""
_SOON = 5.0
"""Seconds after which a transaction that has failed is not repeated at once: it has waited for long enough."""
_BACKLOG = 10_000
"""How many steps are kept while the store cannot be written; further ones are dropped, and logged."""


class _Ended:
    """The end of a call, as it is to be written. The call itself drops its results."""

    __slots__ = ("call", "error", "items", "line", "step", "uuid")

    def __init__(self, call: Call, error: RunwareError | None) -> None:
        self.call = call
        self.line = line_of(call)
        self.uuid = call.uuid
        self.items = [item for item in call.items if not call.is_acknowledged_by(item)]
        self.error = error
        self.step: str | None = None
        """How far the task was, if that is written together with its end."""

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
        self._taken = self._read = self._done = 0

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
        try:
            with self._lock:
                self._taken += 1
                self._inbox.put(entry)
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="runware-store", daemon=True)
                    self._thread.start()
        except RuntimeError as error:  # the system has no thread left; the next entry tries again
            self._thread = None
            if isinstance(entry, Record) and entry.step is Step.TASK:
                problem = StoreError(f"The thread of the store cannot be started: {error}.", retryable=True)
                self._report("recording_failed", entry.call, entry.uuid, _not_sent(problem, entry.call))

    # ------------------------------------------------------------------ from any thread

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
                accounts = Accounts(connection)
                self._add_delivery(connection, accounts, row, item, error)
                accounts.write()
        return True

    def _add_delivery(
        self,
        connection: Connection,
        accounts: Accounts,
        row: RowMapping,
        item: Mapping[str, Any],
        error: RunwareError | None,
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
        cost = _cost(row, items)
        if len(items) + len(failures) >= row["expected"]:
            values |= {"state": "failed" if failures else "succeeded", "owner": None, "cost": cost, "reserved": 0}
            if failures:
                last = failures[-1]
                if items:
                    last = {**last, "class": "IncompleteResultsError", "errors": failures}
                values["error"] = json.dumps(last, default=str)
            scopes = scopes_of(row["scope"] or "", row["run"])
            accounts.change(scopes, (cost or 0) - (row["cost"] or 0), -row["reserved"])
        elif failures:
            values["error"] = json.dumps({"class": "TaskError", "errors": failures}, default=str)
        self.database.set_values(connection, [values])

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
            alive = thread is not None and thread.is_alive()
            self._inbox.put(None)
        if thread is None:
            self.database.close()  # nothing was written
        elif not alive:
            self._leave()
        elif thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))  # it closes the database at its end

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
            if self._stopping:
                wait = 0.0
            try:
                entry = self._inbox.get(timeout=wait) if wait is None or wait > 0 else self._inbox.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                urgent, self._next_retry = True, 0.0  # `flush` or `close` waits
            else:
                until = until or time.monotonic() + _LINGER
                batch.append(entry)
                urgent = urgent or (isinstance(entry, Record) and entry.step is Step.TASK)
            wait = 0.0 if urgent else max(0.0, until - time.monotonic())
        return batch, self._stopping and len(batch) < _BATCH

    def _wait(self) -> float | None:
        """Return for how long there is nothing to do but to wait; `None` for ever."""
        due = [self._next_beat] if self._open else []
        due += [self._next_watch] if self._watched else []
        due += [self._next_retry] if self._backlog else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _work(self, batch: list[_Entry]) -> None:
        now = time.monotonic()
        self._read += len(batch)
        if self._backlog:
            batch = self._with_backlog(batch, due=now >= self._next_retry or self._stopping)
        watches = bool(self._watched) and now >= self._next_watch
        beats = now >= self._next_beat and bool(self._open or batch)
        if batch or watches or beats:
            self._try(batch, watches=watches, beats=beats)
        if watches:
            self._next_watch = time.monotonic() + _WATCH
        if beats:
            self._next_beat = now + BEAT
        with self._written:
            self._done = self._read - len(self._backlog)
            self._written.notify_all()

    def _with_backlog(self, batch: list[_Entry], *, due: bool) -> list[_Entry]:
        """Return what is to be written now: with the backlog if it is due, and else new attempts only.

        What happened to a call is written in its order, so everything else waits behind the backlog.
        """
        if due:
            self._backlog, batch = [], self._backlog + batch
            return batch
        self._backlog += [entry for entry in batch if not _is_attempt(entry)]
        return [entry for entry in batch if _is_attempt(entry)]

    def _try(self, batch: list[_Entry], *, watches: bool = False, beats: bool = False) -> None:
        """Write a batch; if that fails for a reason that may lie in one of its steps, write each of them by itself."""
        try:
            self._commit(batch, watches=watches, beats=beats)
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, (OperationalError, OSError)):
                for entry in batch:
                    self._try([entry])
            elif isinstance(error, (SQLAlchemyError, OSError)):
                self._refuse(batch, store_error(error, "cannot be written"), keep=not isinstance(error, DataError))
            else:  # a mistake here must not leave calls without an answer
                log.exception("the store failed; the steps of %d tasks are not written", len(batch))
                self._refuse(batch, StoreError("The store failed; see the log."), keep=False)

    def _commit(self, batch: list[_Entry], *, watches: bool, beats: bool) -> None:
        """Write a batch in one transaction, and report what follows from it."""
        before = self._open.copy(), self._watched.copy()
        reports: list[tuple[str, tuple[Any, ...]]] = []
        for attempt in range(_ATTEMPTS):
            reports.clear()
            started = time.monotonic()
            try:
                with self.database.transaction() as connection:
                    if beats:
                        self.owner.beat(connection)
                    accounts = Accounts(connection)
                    self._write(connection, accounts, batch, reports)
                    if watches:
                        self._look(connection, accounts, reports)
                    accounts.write()
                break
            except Exception as error:
                self._open, self._watched = before[0].copy(), before[1].copy()  # nothing was written
                # A server may have been restarted, or have ended one of two transactions that waited for each other.
                passing = isinstance(error, OperationalError) and time.monotonic() - started < _SOON
                if not passing or attempt == _ATTEMPTS - 1:
                    raise
        if self._failing:
            log.warning("the store can be written again")
            self._failing = False
        for name, facts in reports:
            self._report(name, *facts)

    def _report(self, name: str, *facts: Any) -> None:
        driver = self._driver
        if driver is None:
            return
        if name == "task_known":
            driver.task_known(*facts[:-1], elsewhere=facts[-1])
        else:
            getattr(driver, name)(*facts)

    def _refuse(self, batch: Sequence[_Entry], problem: StoreError, *, keep: bool) -> None:
        """Report that nothing of a batch was written: new attempts fail, the rest is kept for later if *keep*."""
        if not self._failing:
            log.error("%s Tasks are not sent until it can.", problem.message)
        self._failing = keep
        for entry in batch:
            if isinstance(entry, Record) and entry.step is Step.TASK:
                if line_of(entry.call).follows:
                    self._report("task_recorded", entry.call, entry.uuid)  # it sends nothing, and can ask the server
                else:
                    self._report("recording_failed", entry.call, entry.uuid, _not_sent(problem, entry.call))
            elif not keep:
                self._drop(entry)
            elif len(self._backlog) < _BACKLOG or isinstance(entry, _Ended):
                self._backlog.append(entry)  # there are no more ends than calls, and no new call is sent
            else:
                log.error("the store cannot be written for so long that steps of tasks are lost")
        self._next_retry = time.monotonic() + _RETRY

    def _drop(self, entry: _Entry) -> None:
        """Forget a step that cannot be written, whatever happens."""
        if isinstance(entry, _Ended):
            self._watched.pop(entry.call, None)
            if self._open.get(entry.key) is entry.call:
                del self._open[entry.key]

    def _fail_all(self) -> None:
        error = StoreError("The store has failed; see the log.")
        for call in [*self._open.values(), *self._watched]:
            self._report("recording_failed", call, call.uuid, _not_sent(error, call))

    def _leave(self) -> None:
        """Leave the open tasks to others, and close the database."""
        try:
            with suppress(SQLAlchemyError, OSError), self.database.transaction() as connection:
                self.database.release(connection, self.owner.id)
                Accounts.forget(connection, f"client {self.owner.id}")
        finally:
            self.database.close()

    # ------------------------------------------------------------------ writing

    def _write(
        self,
        connection: Connection,
        accounts: Accounts,
        batch: Sequence[_Entry],
        reports: list[tuple[str, tuple[Any, ...]]],
    ) -> None:
        """Write a batch of steps, each kind at once: what has ended, what is new, how it went on, and how that ended.

        What ends first makes room in the budgets for what is new.
        """
        steps: dict[str, str] = {}
        arrived: dict[str, list[dict[str, Any]]] = {}
        begun: list[Record] = []
        ended: list[_Ended] = []
        for entry in batch:
            if isinstance(entry, _Ended):
                ended.append(entry)
            elif isinstance(entry, _Saved):
                self.database.put_files(connection, entry.key, entry.files)
            elif not isinstance(entry, Record):
                arrived[entry[0]] = entry[1]
            elif entry.step is Step.TASK:
                begun.append(entry)
            elif not line_of(entry.call).follows:
                steps[line_of(entry.call).key] = entry.step.value
        for one in ended:
            one.step = steps.get(one.key)
        new = {entry.call for entry in begun}
        self._end(connection, accounts, [one for one in ended if one.call not in new], reports)
        self._begin(connection, accounts, [entry for entry in begun if entry.call.attempt == 1], reports)
        self._begin_again(connection, [entry for entry in begun if entry.call.attempt > 1], reports)
        late = [one for one in ended if one.call in new]
        over = {one.key for one in ended if not one.line.follows}
        now = time.time()
        self.database.set_values(
            connection,
            [{"key": key, "step": step, "updated": now} for key, step in steps.items() if key not in over],
        )
        self.database.set_values(
            connection,
            [
                {"key": key, "items": json.dumps(items), "updated": now}
                for key, items in arrived.items()
                if key not in over
            ],
        )
        self._end(connection, accounts, late, reports)

    def _begin_again(
        self, connection: Connection, entries: Sequence[Record], reports: list[tuple[str, tuple[Any, ...]]]
    ) -> None:
        """Write the next attempts of calls."""
        now = time.time()
        changes = [
            {
                "key": line_of(entry.call).key,
                "uuid": entry.uuid,
                "attempt": line_of(entry.call).attempt + entry.call.attempt - 1,
                "step": "recorded",
                "updated": now,
            }
            for entry in entries
        ]
        self.database.set_values(connection, changes)
        reports += [("task_recorded", (entry.call, entry.uuid)) for entry in entries]

    def _begin(
        self,
        connection: Connection,
        accounts: Accounts,
        entries: Sequence[Record],
        reports: list[tuple[str, tuple[Any, ...]]],
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
                self._meet(connection, accounts, entry, row, reports)
            elif line.follows:
                reports.append(("task_recorded", (entry.call, entry.uuid)))
            elif self._reserve(accounts, entry.call, entry.uuid, reports):
                new.append(entry)
        there = self.database.add(connection, [line_of(entry.call) for entry in new], self.owner.id)
        for entry in new:
            line = line_of(entry.call)
            if line in there:  # another process was quicker
                accounts.change({*scopes_of(line.day, line.run), *self._limits(line)}, 0, -line.reserve)
                row = self.database.row_of(connection, line.key)
                assert row is not None
                self._meet(connection, accounts, entry, row, reports)
            else:
                self._open[line.key] = entry.call
                line.fresh = True
                reports.append(("task_recorded", (entry.call, entry.uuid)))

    def _limits(self, line: Line) -> dict[str, int]:
        """Return the budgets that apply to a task now, by their accounts."""
        names = {"client": f"client {self.owner.id}", "day": f"day {line.day}"}
        return {names.get(scope, scope): limit for scope, limit in line.limits.items()}

    def _reserve(self, accounts: Accounts, call: Call, uuid: str, reports: list[tuple[str, tuple[Any, ...]]]) -> bool:
        """Reserve what a task may cost, today; return whether its budgets allow it."""
        line = line_of(call)
        line.day = time.strftime("%Y-%m-%d", time.gmtime())
        try:
            accounts.reserve(line, scopes_of(line.day, line.run), self._limits(line))
        except BudgetExceededError as error:
            reports.append(("recording_failed", (call, uuid, error)))
            return False
        return True

    def _meet(
        self,
        connection: Connection,
        accounts: Accounts,
        entry: Record,
        row: RowMapping,
        reports: list[tuple[str, tuple[Any, ...]]],
    ) -> None:
        """Decide what becomes of a call whose task the store knows."""
        call, line, uuid = entry.call, line_of(entry.call), entry.uuid
        line.key = row["key"]
        if row["state"] == "failed" and line.retries_failed and not line.follows:
            line.run = row["run"]
            if self._reserve(accounts, call, uuid, reports):
                self._reopen(connection, accounts, call, row, uuid, reports)
            return
        if row["state"] != "open":
            reports.append(("task_settled", (call, *_outcome(row))))
            return
        owner = row["owner"]
        mine = self._open.get(line.key)
        if mine is not None and mine is not call and line_of(mine).follows and not line.follows:
            self._watched[mine] = line.key  # it only asks for the task, which this one can send
        elif owner is not None and self._has_follower(connection, owner, line.key, call):
            self._watch(call, uuid, row, reports)
            return
        if not self._take_over(connection, accounts, call, uuid, row, reports):
            self._watch(call, uuid, row, reports)
        elif line.follows:  # a webhook may bring the outcome
            self._watched[call] = line.key

    def _has_follower(self, connection: Connection, owner: str, key: str, call: Call) -> bool:
        """Return whether a living client follows a task, or another call of this one."""
        if owner == self.owner.id:
            return self._open.get(key, call) is not call
        return self.owners.alive(connection, owner)

    def _watch(self, call: Call, uuid: str, row: RowMapping, reports: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Add a call to those that wait for the outcome of their task in the store."""
        self._watched[call] = row["key"]
        self._next_watch = time.monotonic() + _WATCH
        reports.append(("task_known", (call, uuid, row["uuid"], [], True)))

    def _take_over(
        self,
        connection: Connection,
        accounts: Accounts,
        call: Call,
        uuid: str,
        row: RowMapping,
        reports: list[tuple[str, tuple[Any, ...]]],
    ) -> bool:
        """Go on with a task that no call follows; return whether it was still so."""
        line = line_of(call)
        if not self.database.claim(connection, row["key"], row["owner"], self.owner.id):
            return False
        line.attempt, line.day, line.run = row["attempt"], row["scope"] or "", row["run"]
        if row["step"] in (*UNSENT, "refused") and not line.follows:
            # Nothing of it runs, so it is a new expense.
            if not self._reserve(accounts, call, uuid, reports):
                self.database.set_values(connection, [{"key": row["key"], "owner": None}])
                return True
            if row["step"] == "refused" or row["uuid"] != uuid:
                self._reopen(connection, accounts, call, row, uuid, reports)
                return True
            values = {"key": row["key"], "step": "recorded", "reserved": line.reserve, "scope": line.day}
            self.database.set_values(connection, [values])
            self._open[row["key"]] = call
            reports.append(("task_recorded", (call, uuid)))
            return True
        accounts.change({*self._limits(line)} - {*scopes_of(line.day, line.run)}, 0, row["reserved"])
        self._open[row["key"]] = call
        reports.append(("task_known", (call, uuid, row["uuid"], _of_earlier_attempts(row), False)))
        return True

    def _reopen(
        self,
        connection: Connection,
        accounts: Accounts,
        call: Call,
        row: RowMapping,
        uuid: str,
        reports: list[tuple[str, tuple[Any, ...]]],
    ) -> None:
        """Begin the next attempt of a task; if its last one has failed by the server's word, it gets a new UUID."""
        line = line_of(call)
        unsent = row["step"] in UNSENT and row["state"] == "open"
        line.attempt = row["attempt"] + (not unsent)
        current = row["uuid"] if unsent else derived_uuid(row["uuid"])
        values = {"uuid": current, "attempt": line.attempt, "reserved": line.reserve, "scope": line.day}
        if self.database.reopen(connection, row, self.owner.id, values):
            self._open[line.key] = call
            reports.append(("task_known", (call, uuid, current, [], False)))
            return
        # Another process was quicker.
        accounts.change({*scopes_of(line.day, line.run), *self._limits(line)}, 0, -line.reserve)
        self._watch(call, uuid, row, reports)

    def _end(
        self,
        connection: Connection,
        accounts: Accounts,
        ended: Sequence[_Ended],
        reports: list[tuple[str, tuple[Any, ...]]],
    ) -> None:
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
        changes = []
        for one in mine:
            row = rows.get(one.key)
            if row is None or row["state"] != "open":
                continue
            state, step = _state_after(one)
            cost = _cost(row, one.items)
            bill = (cost or 0) - (row["cost"] or 0)
            reserved = max(0, row["reserved"] - bill) if state == "open" and step not in (*UNSENT, "refused") else 0
            if state == "succeeded" and cost is None:
                bill = row["reserved"]  # the estimate stands for a bill that did not come
            changes.append(
                {
                    "key": one.key,
                    "uuid": one.uuid,
                    "state": state,
                    "step": step or one.step or row["step"],
                    "owner": None,
                    "items": json.dumps(one.items) if one.items else row["items"],
                    "error": None if one.error is None else json.dumps(stored_error(one.error), default=str),
                    "cost": cost,
                    "reserved": reserved,
                    "updated": now,
                }
            )
            one.line.day = row["scope"] or ""
            accounts.change(
                {*scopes_of(one.line.day, row["run"]), *self._limits(one.line)}, bill, reserved - row["reserved"]
            )
        self.database.set_values(connection, changes)
        if self._watched:
            outcomes = {change["key"]: change for change in changes if change["state"] != "open"}
            for call, key in list(self._watched.items()):
                if (change := outcomes.get(key)) is not None:
                    del self._watched[call]
                    reports.append(("task_settled", (call, *_outcome(change))))

    # ------------------------------------------------------------------ tasks that others follow

    def _look(self, connection: Connection, accounts: Accounts, reports: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Look at the tasks that others follow: some are done, and some have lost their owner."""
        rows = self.database.rows(connection, set(self._watched.values()))
        followed: dict[str, bool] = {}
        for call, key in list(self._watched.items()):
            row = rows.get(key)
            if row is None:  # it was deleted
                del self._watched[call]
                reports.append(("task_known", (call, call.uuid, call.uuid, [], False)))
                continue
            if row["state"] != "open":
                del self._watched[call]
                reports.append(("task_settled", (call, *_outcome(row))))
                continue
            owner = row["owner"]
            if owner == self.owner.id:
                if key in self._open:
                    continue
            elif owner is not None:
                if owner not in followed:
                    followed[owner] = self.owners.alive(connection, owner)
                if followed[owner]:
                    continue
            taken = self._take_over(connection, accounts, call, call.uuid, row, reports)
            if taken and not line_of(call).follows:
                del self._watched[call]


def _is_attempt(entry: _Entry) -> bool:
    """Return whether a step is an attempt, which waits to be sent."""
    return isinstance(entry, Record) and entry.step is Step.TASK


def _cost(row: RowMapping, items: Sequence[Mapping[str, Any]]) -> int | None:
    """Return all that a task has cost, with the results of its last attempt; `None` if no bill has come."""
    bill = billed(items)
    before: int = row["cost_before"]
    return row["cost"] if bill is None else before + bill


def _of_earlier_attempts(row: RowMapping) -> list[dict[str, Any]]:
    """Return the results of a task that came from other attempts than the last one, which the server is asked for."""
    items: list[dict[str, Any]] = json.loads(row["items"]) if row["items"] else []
    return [item for item in items if item.get("taskUUID") not in (None, row["uuid"])]


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two items are the same result, delivered twice."""
    name = identity(dict(one))
    return name == identity(dict(other)) if name is not None else one == other


def _outcome(row: Any) -> tuple[list[dict[str, Any]], RunwareError | None]:
    items = json.loads(row["items"]) if row["items"] else []
    return items, error_from_stored(json.loads(row["error"])) if row["state"] == "failed" and row["error"] else None


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
    if isinstance(error, IncompleteResultsError) and not error.may_have_run:
        return "failed", None
    if isinstance(error, TaskError) and not error.may_have_run and one.call.sends:
        return ("open", "refused") if error.retryable or isinstance(error, _PASSING) else ("failed", None)
    if error.may_have_run or one.items:
        return "open", None
    return "open", "cancelled" if isinstance(error, TaskCancelledError) else "waiting"


def _not_sent(problem: StoreError, call: Call) -> StoreError:
    again = " again" if call.attempts else ""
    return StoreError(f"{problem.message} The task was not sent{again}.", retryable=True)
