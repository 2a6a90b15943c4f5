"""The budget of a client without a store: what was spent is counted in memory."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future
from typing import TYPE_CHECKING

from runware._support.locks import make_rlock
from runware.errors import BudgetExceededError, RunwareError
from runware.protocol.call import Call
from runware.protocol.effects import Record, Step
from runware.store.lines import Line, billed, budget_exceeded, line_of, owed

if TYPE_CHECKING:
    from runware.transport.driver import Driver

__all__ = ["SpendingRecorder"]


class SpendingRecorder:
    """Lets tasks be sent while their budgets allow it. It writes nothing, and reports at once."""

    def __init__(self) -> None:
        self._lock = make_rlock()  # streams and chats count from any thread
        self._driver: Driver | None = None
        self._spent: defaultdict[str, int] = defaultdict(int)
        self._reserved: defaultdict[str, int] = defaultdict(int)
        self._lines: dict[Call, Line] = {}

    def attach(self, driver: Driver) -> None:
        """Report to this driver."""
        self._driver = driver

    def record(self, effect: Record) -> None:
        """Reserve what a task may cost, and let it be sent."""
        call, driver = effect.call, self._driver
        if effect.step is Step.CANCELLED:
            self._settle(call, may_have_run=call.sends > 0)
        if effect.step is not Step.TASK or driver is None:
            return
        line = line_of(call)
        try:
            if call not in self._lines:  # otherwise it is a further attempt
                self._reserve(line)
                self._lines[call] = line
        except BudgetExceededError as error:
            driver.recording_failed(call, effect.uuid, error)
        else:
            driver.task_recorded(call, effect.uuid)

    def _reserve(self, line: Line) -> None:
        with self._lock:
            for scope, limit in line.limits.items():
                spent, reserved = self._spent[scope], self._reserved[scope]
                left = limit - spent - reserved
                if line.reserve > left or (left <= 0 and not line.priced):
                    raise budget_exceeded(line, scope, limit, spent, reserved)
            for scope in line.limits:
                self._reserved[scope] += line.reserve
            line.reserved = True

    def arrived(self, call: Call) -> None:
        """Do nothing: results are billed when the call ends."""

    def ended(self, call: Call, error: RunwareError | None) -> None:
        """Bill a call."""
        self._settle(call, may_have_run=error is not None and error.may_have_run)

    def _settle(self, call: Call, *, may_have_run: bool) -> None:
        line = self._lines.pop(call, None)
        if line is not None:
            succeeded = line.acknowledged or bool(call.items)
            self.bill(line, owed(line, billed(call.items), may_have_run=may_have_run, succeeded=succeeded))

    def reserve(self, line: Line) -> Future[None]:
        """Reserve what a stream or chat may cost, unless it is billed already; the outcome is there at once."""
        decided: Future[None] = Future()
        try:
            with self._lock:
                if not line.settled:
                    self._reserve(line)
        except BudgetExceededError as error:
            decided.set_exception(error)
        else:
            decided.set_result(None)
        return decided

    def bill(self, line: Line, amount: int) -> None:
        """Count what a request has cost, in billionths of a dollar, in place of what was reserved for it.

        Only the first bill of a line counts, and none if its reservation was refused.
        """
        with self._lock:
            counts, line.settled = line.reserved and not line.settled, True
            for scope in self._reserved.keys() & line.limits.keys() if counts else ():
                self._spent[scope] += amount
                self._reserved[scope] -= line.reserve

    def forget(self, scope: str) -> None:
        """Forget a budget that is over, and count nothing of it any more."""
        with self._lock:
            self._spent.pop(scope, None)
            self._reserved.pop(scope, None)

    def close(self, timeout: float) -> None:
        """Do nothing: nothing is open."""

    def abandon(self) -> None:
        """Reset after a fork, in the child, which has a budget of its own."""
        self.__init__()  # type: ignore[misc]
