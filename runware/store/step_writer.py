"""Write the steps of durable calls in one transaction, and decide what is reported to the driver afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from typing import Any, TypeAlias

from sqlalchemy import Connection, RowMapping

from runware.errors import (
    BudgetExceededError,
    ConflictError,
    IncompleteResultsError,
    NotFoundError,
    RunwareError,
    TaskCancelledError,
    TaskError,
)
from runware.protocol.call import Call
from runware.protocol.effects import Record, Step
from runware.protocol.ids import derived_uuid
from runware.store.accounts import Accounts, scopes_of
from runware.store.database import Database
from runware.store.lines import UNSENT, Line, error_from_stored, line_of, may_pass, stored_error, total_cost
from runware.store.owners import Owner, Owners
from runware.store.steps import (
    ArrivedResults,
    Bill,
    EndedCall,
    RecordedCalls,
    RecorderStep,
    Reservation,
    SavedFiles,
    is_independent,
)

__all__ = ["Report", "StepWriter"]

Report: TypeAlias = Callable[[Any], None]
"""Calls one of the driver's methods `task_recorded`, `task_known`, `task_settled` and `recording_failed`."""


class StepWriter:
    """Writes steps of calls in one transaction.

    Args:
        connection: The transaction.
        database: The store's database.
        owner: This client.
        owners: Knows which other clients are alive.
        calls: The client's calls, which are changed. If the transaction fails, the caller restores them.

    Attributes:
        reports: What to report to the driver once the transaction is on disk.
        decisions: Reservations, with the errors of those that a budget does not allow; to be set then, too.
        found_elsewhere: Whether a task was found that another call follows.
    """

    def __init__(
        self, connection: Connection, database: Database, owner: Owner, owners: Owners, calls: RecordedCalls
    ) -> None:
        self._connection = connection
        self._accounts = Accounts(connection)
        self._database = database
        self._owner = owner
        self._owners = owners
        self._calls = calls
        self.reports: list[Report] = []
        self.decisions: list[tuple[Reservation, BudgetExceededError | None]] = []
        self.found_elsewhere = False

    def write(self, batch: Sequence[RecorderStep]) -> None:
        """Write a batch of steps, each kind at once: what has ended, what is new, how it went on, and how that ended.

        Ends come first, because they free budget for new tasks.
        """
        steps: dict[str, str] = {}
        arrived: dict[str, list[dict[str, Any]]] = {}
        new: list[Record] = []
        ended: list[EndedCall] = []
        reservations: list[Reservation] = []
        for step in batch:
            if isinstance(step, EndedCall):
                ended.append(step)
            elif isinstance(step, Bill):
                self._write_bill(step)
            elif isinstance(step, Reservation):
                reservations.append(step)
            elif isinstance(step, SavedFiles):
                self._database.put_files(self._connection, step.key, step.files)
            elif isinstance(step, ArrivedResults):
                arrived[step.key] = step.items
            elif step.step is Step.TASK:
                new.append(step)
            elif not line_of(step.call).follows:
                steps[line_of(step.call).key] = step.step.value
        for one in ended:
            one.step = steps.get(one.key)
        new_calls = {record.call for record in new}
        self._write_ends([one for one in ended if one.call not in new_calls])
        for reservation in reservations:
            self._write_reservation(reservation)
        self._write_first_attempts([record for record in new if record.call.attempt == 1])
        self._write_next_attempts([record for record in new if record.call.attempt > 1])
        ended_keys = {one.key for one in ended if not one.line.follows}
        self._write_column("step", {key: step for key, step in steps.items() if key not in ended_keys})
        self._write_column("items", {key: json.dumps(one) for key, one in arrived.items() if key not in ended_keys})
        self._write_ends([one for one in ended if one.call in new_calls])

    def write_accounts(self) -> None:
        """Write what was billed and reserved, at the end of the transaction."""
        self._accounts.write()

    def _write_column(self, name: str, values: Mapping[str, str]) -> None:
        """Write one column of open tasks, by their keys."""
        now = time.time()
        changes = [{"key": key, name: value, "updated": now} for key, value in values.items()]
        self._database.set_values(self._connection, changes)

    # ------------------------------------------------------------------ reports

    def _report_recorded(self, call: Call, uuid: str) -> None:
        """Report that an attempt was written, so that it may be sent."""
        self.reports.append(methodcaller("task_recorded", call, uuid))

    def _report_known(
        self, call: Call, uuid: str, current: str, items: list[dict[str, Any]] | None = None, *, elsewhere: bool = False
    ) -> None:
        """Report that the store has a call's task already, under the UUID *current*, with results so far."""
        self.reports.append(methodcaller("task_known", call, uuid, current, items or [], elsewhere=elsewhere))

    def _report_settled(self, call: Call, row: RowMapping | Mapping[str, Any]) -> None:
        """Report the outcome in the row of a call's task."""
        items = json.loads(row["items"]) if row["items"] else []
        failed = row["state"] == "failed" and row["error"]
        error = error_from_stored(json.loads(row["error"])) if failed else None
        self.reports.append(methodcaller("task_settled", call, items, error))

    def _report_accepted(self, call: Call, row: RowMapping) -> None:
        """Report that the server has the task of a call that ends with that."""
        item = {"taskType": row["task_type"], "taskUUID": row["uuid"]}
        self.reports.append(methodcaller("task_settled", call, [item], None))

    # ------------------------------------------------------------------ budgets

    def _limits(self, line: Line) -> dict[str, int]:
        """Return the budgets that apply to a task now, by their accounts."""
        names = {"client": f"client {self._owner.id}", "day": f"day {line.day}"}
        return {names.get(scope, scope): limit for scope, limit in line.limits.items()}

    def _charge(self, line: Line) -> None:
        """Reserve what a request may cost, today.

        Raises:
            BudgetExceededError: A budget does not allow it.
        """
        line.day = _today()
        self._accounts.reserve(line, scopes_of(line.day, line.run), self._limits(line))

    def _write_reservation(self, reservation: Reservation) -> None:
        """Reserve what a stream or chat may cost, unless it has ended meanwhile."""
        refused: BudgetExceededError | None = None
        try:
            if not reservation.line.settled:
                self._charge(reservation.line)
        except BudgetExceededError as error:
            refused = error
        self.decisions.append((reservation, refused))

    def _write_bill(self, bill: Bill) -> None:
        """Count what a stream or chat has cost, on the day of its reservation, if it has one."""
        line = bill.line
        if line.limits and not line.reserved:  # nothing was sent
            return
        line.day = line.day or _today()
        self._accounts.change({*scopes_of(line.day, line.run), *self._limits(line)}, bill.amount, -line.reserve)

    def _reserve(self, call: Call, uuid: str) -> bool:
        """Reserve what a task may cost, today; return whether its budgets allow it. If not, report that."""
        try:
            self._charge(line_of(call))
        except BudgetExceededError as error:
            self.reports.append(methodcaller("recording_failed", call, uuid, error))
            return False
        return True

    def _unreserve(self, line: Line) -> None:
        """Undo `_reserve`: another process was quicker, and the task is its expense."""
        self._accounts.change({*scopes_of(line.day, line.run), *self._limits(line)}, 0, -line.reserve)

    # ------------------------------------------------------------------ attempts

    def _write_next_attempts(self, records: Sequence[Record]) -> None:
        """Write the second and later attempts of calls, unless a webhook has brought the outcome of their tasks."""
        if not records:
            return
        rows = self._database.rows(self._connection, [line_of(record.call).key for record in records], lock=True)
        open_records = []
        for record in records:
            row = rows.get(line_of(record.call).key)
            if row is None or row["state"] == "open":
                open_records.append(record)
            else:
                self._report_settled(record.call, row)
        now = time.time()
        changes = [
            {
                "key": line_of(record.call).key,
                "uuid": record.uuid,
                "attempt": line_of(record.call).attempt + record.call.attempt - 1,
                "step": "recorded",
                "updated": now,
            }
            for record in open_records
        ]
        self._database.set_values(self._connection, changes)
        for record in open_records:
            self._report_recorded(record.call, record.uuid)

    def _write_first_attempts(self, records: Sequence[Record]) -> None:
        """Write the lines of new calls; a task that is there already is taken over, watched, or done."""
        if not records:
            return
        # Others, whose UUID the caller may have chosen all the same, turn out to be there when they are added.
        looked_up = {line_of(record.call).key for record in records if not is_independent(record)}
        rows = self._database.rows(self._connection, looked_up)
        new: list[Record] = []
        for record in records:
            line = line_of(record.call)
            row = rows.get(line.key)
            if row is None and line.follows:
                row = self._database.row_of(self._connection, line.key)
            if row is not None:
                self._join_task(record, row)
            elif line.follows:
                self._report_recorded(record.call, record.uuid)
            elif self._reserve(record.call, record.uuid):
                new.append(record)
        there = self._database.add(self._connection, [line_of(record.call) for record in new], self._owner.id)
        for record in new:
            line = line_of(record.call)
            if line in there:  # or another process was quicker
                self._unreserve(line)
                row = self._database.row_of(self._connection, line.key)
                assert row is not None
                self._join_task(record, row)
            else:
                self._calls.own[line.key] = record.call
                line.fresh = True
                self._report_recorded(record.call, record.uuid)

    # ------------------------------------------------------------------ tasks that the store has already

    def _join_task(self, record: Record, row: RowMapping) -> None:
        """Decide what a call does whose task the store has: end, watch the task, or follow the task itself."""
        call, line, uuid = record.call, line_of(record.call), record.uuid
        line.key = row["key"]
        if row["state"] == "failed" and line.retries_failed and not line.follows:
            line.run = row["run"]
            if self._reserve(call, uuid):
                self._reopen(call, row, uuid)
            return
        if row["state"] != "open":
            self._report_settled(call, row)
            return
        owner = row["owner"]
        mine = self._calls.own.get(line.key)
        if line.acknowledged and row["step"] == "accepted" and self._is_followed(owner, line.key, call):
            self._report_accepted(call, row)  # it is not to wait for the outcome
            return
        if mine is not None and mine is not call and line_of(mine).follows and not line.follows:
            self._calls.watched[mine] = line.key  # the other call only asks for the task, and this one can send it
        elif self._is_followed(owner, line.key, call):
            self._watch(call, uuid, row)
            return
        if not self._take_over(call, uuid, row):
            self._watch(call, uuid, row)
        elif line.follows:  # a webhook may bring the outcome
            self._calls.watched[call] = line.key

    def _is_followed(self, owner: str | None, key: str, call: Call) -> bool:
        """Return whether a living client follows a task, or another call of this one."""
        if owner is None:
            return False
        if owner == self._owner.id:
            return self._calls.own.get(key, call) is not call
        return self._owners.alive(self._connection, owner)

    def _watch(self, call: Call, uuid: str, row: RowMapping) -> None:
        """Add a call to those that wait for the outcome of their task in the store."""
        self._calls.watched[call] = row["key"]
        self.found_elsewhere = True
        self._report_known(call, uuid, row["uuid"], elsewhere=True)

    def _take_over(self, call: Call, uuid: str, row: RowMapping) -> bool:
        """Follow a task that no other call follows; return whether that is still so."""
        line = line_of(call)
        if not self._database.claim(self._connection, row["key"], row["owner"], self._owner.id):
            return False
        line.attempt, line.day, line.run = row["attempt"], row["scope"] or "", row["run"]
        line.taken_over = line.follows or row["step"] not in (*UNSENT, "refused")
        if not line.taken_over:
            self._send_again(call, uuid, row)
            return True
        self._accounts.change({*self._limits(line)} - {*scopes_of(line.day, line.run)}, 0, row["reserved"])
        self._calls.own[row["key"]] = call
        self._report_known(call, uuid, row["uuid"], _of_earlier_attempts(row))
        return True

    def _send_again(self, call: Call, uuid: str, row: RowMapping) -> None:
        """Allow a stored task to be sent again: none of its attempts runs, so it needs a new reservation."""
        line = line_of(call)
        if not self._reserve(call, uuid):
            self._database.set_values(self._connection, [{"key": row["key"], "owner": None}])
        elif row["step"] == "refused" or row["uuid"] != uuid:
            self._reopen(call, row, uuid)
        else:
            values = {"key": row["key"], "step": "recorded", "reserved": line.reserve, "scope": line.day}
            self._database.set_values(self._connection, [values])
            self._calls.own[row["key"]] = call
            self._report_recorded(call, uuid)

    def _reopen(self, call: Call, row: RowMapping, uuid: str) -> None:
        """Begin the next attempt of a task.

        It gets a new UUID if the server has reported that the last attempt failed.
        """
        line = line_of(call)
        unsent = row["step"] in UNSENT and row["state"] == "open"
        line.attempt = row["attempt"] + (not unsent)
        current = row["uuid"] if unsent else derived_uuid(row["uuid"])
        values = {"uuid": current, "attempt": line.attempt, "reserved": line.reserve, "scope": line.day}
        if self._database.reopen(self._connection, row, self._owner.id, values):
            self._calls.own[line.key] = call
            self._report_known(call, uuid, current)
        else:  # another process was quicker
            self._unreserve(line)
            self._watch(call, uuid, row)

    def check_watched(self) -> None:
        """Check the tasks that others follow: report the outcomes, and take over the tasks whose owner is gone."""
        calls = self._calls
        rows = self._database.rows(self._connection, set(calls.watched.values()))
        alive: dict[str, bool] = {}
        for call, key in list(calls.watched.items()):
            row = rows.get(key)
            if row is None:  # it was deleted
                del calls.watched[call]
                self._report_known(call, call.uuid, call.uuid)
                continue
            if row["state"] != "open":
                del calls.watched[call]
                self._report_settled(call, row)
                continue
            owner = row["owner"]
            if owner == self._owner.id:
                if key in calls.own:
                    continue
            elif owner is not None:
                if owner not in alive:
                    alive[owner] = self._owners.alive(self._connection, owner)
                if alive[owner]:
                    if line_of(call).acknowledged and row["step"] == "accepted":
                        del calls.watched[call]
                        self._report_accepted(call, row)
                    continue
            taken = self._take_over(call, call.uuid, row)
            if taken and not line_of(call).follows:
                del calls.watched[call]

    # ------------------------------------------------------------------ ends

    def _write_ends(self, ended: Sequence[EndedCall]) -> None:
        """Write how calls ended, bill them, and end other calls that waited for the outcomes."""
        mine = [one for one in ended if self._calls.forget(one.call, one.key)]
        if not mine:
            return
        rows = self._database.rows(self._connection, [one.key for one in mine], lock=True)
        found = [(one, rows[one.key]) for one in mine if one.key in rows]
        changes = [self._bill(one, row) for one, row in found if row["state"] == "open"]
        self._database.set_values(self._connection, changes)
        outcomes = {change["key"]: change for change in changes if change["state"] != "open"}
        for call, key in list(self._calls.watched.items()):
            if (change := outcomes.get(key)) is not None:
                del self._calls.watched[call]
                self._report_settled(call, change)

    def _bill(self, ended: EndedCall, row: RowMapping) -> dict[str, Any]:
        """Bill a task whose call has ended, and return what that changes in its row."""
        line = ended.line
        # A call may end before it learns that an earlier one has sent its task, and under which UUID.
        began = bool(ended.call.attempts)
        uninformed = line.taken_over and not began and not ended.call.sends
        state, step = ("open", None) if uninformed else _state_after(ended)
        error = None if ended.error is None else json.dumps(stored_error(ended.error), default=str)
        if state == "open":  # a webhook may have brought an error before the end of this call was written
            step, error = "refused" if row["step"] == "refused" else step, error or row["error"]
        cost = total_cost(row, ended.items)
        bill = (cost or 0) - (row["cost"] or 0)
        may_run = state == "open" and step not in (*UNSENT, "refused")
        reserved = max(0, row["reserved"] - bill) if may_run else 0
        if state == "succeeded" and cost is None:
            bill = row["reserved"]  # without a bill, the estimate counts
        line.day = row["scope"] or ""
        self._accounts.change({*scopes_of(line.day, row["run"]), *self._limits(line)}, bill, reserved - row["reserved"])
        return {
            "key": ended.key,
            "uuid": ended.uuid if began else row["uuid"],
            "state": state,
            "step": step or ended.step or row["step"],
            "owner": None,
            "items": json.dumps(ended.items) if ended.items else row["items"],
            "error": error,
            "cost": cost,
            "reserved": reserved,
            "updated": time.time(),
        }


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _of_earlier_attempts(row: RowMapping) -> list[dict[str, Any]]:
    """Return the results of a task's earlier attempts. The server is asked for those of the last one."""
    items: list[dict[str, Any]] = json.loads(row["items"]) if row["items"] else []
    return [item for item in items if item.get("taskUUID") not in (None, row["uuid"])]


def _state_after(ended: EndedCall) -> tuple[str, str | None]:
    """Return the state of a task after the end of its call, and its step if that changes."""
    error: RunwareError | None = ended.error
    if ended.line.follows and isinstance(error, NotFoundError):
        return "open", None  # the request may be there to be sent again
    if error is None:
        begun = ended.line.acknowledged and len(ended.items) < ended.line.expected
        return ("open", "accepted") if begun else ("succeeded", None)
    if isinstance(error, IncompleteResultsError) and not error.may_have_run:
        return "failed", None
    # A conflict says that the server has the task, from another client.
    may_have_run = error.may_have_run or (isinstance(error, ConflictError) and ended.call.sends > 0)
    if isinstance(error, TaskError) and not may_have_run and ended.call.sends:
        return ("open", "refused") if may_pass(error) else ("failed", None)
    if may_have_run or ended.items:
        return "open", None
    return "open", "cancelled" if isinstance(error, TaskCancelledError) else "waiting"
