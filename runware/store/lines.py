"""The values that a store keeps of a task, and the conversion of errors to JSON and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from runware import errors
from runware.errors import AuthenticationError, BudgetExceededError, InsufficientCreditsError, RunwareError
from runware.protocol.call import Call
from runware.protocol.spending import cost_of

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

__all__ = [
    "HIGHEST_BILL",
    "UNSENT",
    "Line",
    "StoredTask",
    "billed",
    "budget_exceeded",
    "dollars",
    "error_from_stored",
    "line_of",
    "may_pass",
    "nano_dollars",
    "owed",
    "stored_error",
    "total_cost",
]


UNSENT = ("waiting", "cancelled")
"""The steps of open tasks that were certainly not sent."""


@attrs.define(kw_only=True, eq=False)
class Line:
    """The values that are written of a call before its task is sent.

    Attributes:
        key: The UUID of the first attempt.
        task_type: The API's task type.
        kind: The name of the request class.
        request: The API object as JSON; `None` if it is too large, or not known.
        expected: How many results complete it.
        fingerprint: A hash of the request.
        run: The name of the run, if it is part of one.
        number: Which of several equal tasks of the run it is, from 0.
        reserve: The most that it may cost, in billionths of a dollar.
        priced: Whether *reserve* is known.
        limits: The budgets that apply: their scopes, with billionths of a dollar.
        follows: Whether the call only follows a task. Nothing is written of a task that the store does not have.
        retries_failed: Whether a task that has failed before is run again.
        acknowledged: Whether the call ends with the server's acknowledgement, when the task has only begun.
        day: The day to which it is charged, set when it is written.
        attempt: The number of the attempt.
        fresh: Whether the store did not have the task before.
        taken_over: Whether it goes on with an attempt of an earlier call, which the server may have.
        reserved: Whether *reserve* is reserved, of a stream or chat. The recorder sets it.
        settled: Whether the cost of a stream or chat is counted. The recorder sets it.
    """

    key: str
    task_type: str
    kind: str = ""
    request: str | None = None
    expected: int = 1
    fingerprint: str = ""
    run: str | None = None
    number: int = 0
    reserve: int = 0
    priced: bool = False
    limits: Mapping[str, int] = attrs.field(factory=dict)
    follows: bool = False
    retries_failed: bool = False
    acknowledged: bool = False
    day: str = ""
    attempt: int = 1
    fresh: bool = False
    taken_over: bool = False
    reserved: bool = False
    settled: bool = False


@attrs.frozen(kw_only=True)
class StoredTask:
    """A task as the store has it.

    Attributes:
        key: The UUID of its first attempt, under which `rw.job(key)` finds it.
        task_uuid: The UUID of its last attempt at the server.
        attempts: The number of attempts.
        task_type: The API's task type.
        kind: The name of the request class, such as `"ImageInference"`.
        request: The API object that was sent; `None` if it was too large to keep.
        expected: The number of results asked for.
        run: The run that it belongs to, or `None`.
        number: Which of several equal inputs of its run it is, from 0.
        fingerprint: A hash of its request.
        state: `"open"`, `"succeeded"` or `"failed"`.
        step: How far an open task is: `"recorded"`, `"sent"`, `"accepted"`, `"waiting"` (it was not sent),
            `"cancelled"` (it was not sent, and its caller has cancelled it), `"refused"` (its last attempt failed in a
            way that may pass).
        owner: The client that follows it, or `None`.
        items: The API objects of its results so far.
        error: Why it failed, or why its last call ended without an outcome; `None` if neither.
        cost: What it has cost in US dollars, as far as it is known; `None` if no bill has come.
        created: When it was written, in seconds since the epoch.
        updated: When it last changed.
    """

    key: str
    task_uuid: str
    attempts: int
    task_type: str
    kind: str
    request: Mapping[str, Any] | None = attrs.field(repr=False)
    expected: int
    run: str | None
    number: int
    fingerprint: str = attrs.field(repr=False)
    state: str
    step: str
    owner: str | None
    items: list[dict[str, Any]] = attrs.field(repr=False)
    error: RunwareError | None
    cost: float | None
    created: float
    updated: float

    @property
    def ref(self) -> dict[str, str]:
        """A reference for `rw.job(ref)`."""
        return {"task_uuid": self.key, "task_type": self.task_type}


HIGHEST_BILL = 1e9
"""The most dollars that one task counts with: billionths must fit the 64 bits of a column."""


def nano_dollars(dollars: float) -> int:
    """Return US dollars as whole billionths, whose sums are exact."""
    return round(dollars * 1e9)


def dollars(nano: int) -> float:
    """Return billionths of a dollar as US dollars."""
    return nano / 1e9


def billed(items: Iterable[Mapping[str, Any]]) -> int | None:
    """Return the cost of results, in billionths of a dollar, 0 or more; `None` if none of them has one."""
    costs = [cost for item in items if (cost := cost_of(item)) is not None]
    return nano_dollars(max(0.0, min(sum(costs), HIGHEST_BILL))) if costs else None


def owed(line: Line, bill: int | None, *, may_have_run: bool, succeeded: bool) -> int:
    """Return what counts for budgets of a request that has ended, in billionths of a dollar.

    Args:
        line: Its line.
        bill: Its cost; `None` if no bill has come.
        may_have_run: Whether it failed, and may be billed nevertheless: then no less than its estimate counts.
        succeeded: Whether it has results: without a bill, its estimate counts.
    """
    if bill is None:
        return line.reserve if may_have_run or succeeded else 0
    return max(bill, line.reserve if may_have_run else 0)


def total_cost(row: RowMapping, items: Iterable[Mapping[str, Any]]) -> int | None:
    """Return what all attempts of a task have cost, in billionths of a dollar; `None` if no bill has come.

    Args:
        row: The task's row.
        items: The results of its last attempt.
    """
    bill = billed(items)
    before: int = row["cost_before"]
    return row["cost"] if bill is None else before + bill


def line_of(call: Call) -> Line:
    """Return the line of a durable call."""
    durable = call.durable
    assert durable is not None
    assert isinstance(durable.line, Line)
    return durable.line


def budget_exceeded(line: Line, scope: str, limit: int, spent: int, reserved: int) -> BudgetExceededError:
    """Return the error of a task that a budget does not allow."""
    kind, _, name = scope.partition(" ")
    whose = {"store": "of the store", "client": "of this client", "day": f"of {name}", "map": "of this map()"}.get(
        kind, f"of the run {name!r}"
    )
    cost = f"${dollars(line.reserve):.4f}" if line.priced else "an unknown sum"
    left = max(0.0, dollars(limit - spent - reserved))
    return BudgetExceededError(
        f"The budget of ${dollars(limit):g} ({whose}) has ${left:.4f} left, and the task may cost {cost}. "
        "It was not sent.",
        limit=dollars(limit),
        spent=dollars(spent),
        reserved=dollars(reserved),
        estimate=dollars(line.reserve) if line.priced else None,
        task_type=line.task_type,
        task_uuid=line.key,
    )


def may_pass(error: RunwareError) -> bool:
    """Return whether a task that failed with this error can be sent again later, for a new attempt.

    Errors of the account are not about the task: it can be sent once they are resolved.
    """
    return error.retryable or isinstance(error, (AuthenticationError, InsufficientCreditsError))


_KEPT = (
    "code",
    "parameter",
    "task_type",
    "task_uuid",
    "documentation",
    "retryable",
    "may_have_run",
    "may_be_running",
    "retry_after",
    "attempts",
    "raw",
    "stage",
    "host",
)


def stored_error(error: RunwareError) -> dict[str, Any]:
    """Return an error as a JSON object, without the results that came."""
    facts = {name: value for name in _KEPT if (value := getattr(error, name, None)) not in (None, "", (), {})}
    kept: dict[str, Any] = {"class": type(error).__name__, "message": error.message, **facts}
    if several := getattr(error, "errors", ()):
        kept["errors"] = [stored_error(one) for one in several if isinstance(one, RunwareError)]
    return kept


def error_from_stored(kept: Mapping[str, Any]) -> RunwareError:
    """Return the error that `stored_error` has kept. A class that this version does not know is a `TaskError`."""
    cls = getattr(errors, str(kept.get("class")), None)
    if not (isinstance(cls, type) and issubclass(cls, RunwareError)):
        cls = errors.TaskError
    error = cls(str(kept.get("message") or "The task failed."))
    for name in _KEPT:
        if name in kept:
            value = kept[name]
            setattr(error, name, tuple(value) if name == "attempts" else value)
    if "errors" in kept:
        error.errors = tuple(map(error_from_stored, kept["errors"]))  # type: ignore[attr-defined]
    return error
