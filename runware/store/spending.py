"""The budget of a client without a store: what was spent is counted in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runware.errors import BudgetExceededError, RunwareError
from runware.protocol.call import Call
from runware.protocol.effects import Record, Step
from runware.store.lines import Line, billed, budget_exceeded, line_of

if TYPE_CHECKING:
    from runware.transport.driver import Driver

__all__ = ["SpendingRecorder"]


class SpendingRecorder:
    """Lets tasks be sent as far as the budget goes. It writes nothing, and answers at once."""

    def __init__(self) -> None:
        self._driver: Driver | None = None
        self._spent: dict[str, int] = {}
        self._reserved: dict[Call, Line] = {}

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
            self._reserve(call, line)
        except BudgetExceededError as error:
            driver.recording_failed(call, effect.uuid, error)
        else:
            driver.task_recorded(call, effect.uuid)

    def _reserve(self, call: Call, line: Line) -> None:
        if call in self._reserved:
            return  # a further attempt
        for scope, limit in line.limits.items():
            spent = self._spent.get(scope, 0)
            reserved = sum(other.reserve for other in self._reserved.values() if scope in other.limits)
            left = limit - spent - reserved
            if line.reserve > left or (left <= 0 and not line.reserve):
                raise budget_exceeded(line, scope, limit, spent, reserved)
        self._reserved[call] = line

    def arrived(self, call: Call) -> None:
        """Do nothing: results are billed when the call ends."""

    def ended(self, call: Call, error: RunwareError | None) -> None:
        """Bill a call."""
        self._settle(call, may_have_run=error is not None and error.may_have_run)

    def _settle(self, call: Call, *, may_have_run: bool) -> None:
        line = self._reserved.pop(call, None)
        if line is not None:
            cost = billed(call.items)
            # What may have run may be billed: the estimate stands for a bill that did not come.
            spent = cost if cost is not None else line.reserve if may_have_run or line.acknowledged else 0
            for scope in line.limits:
                self._spent[scope] = self._spent.get(scope, 0) + spent

    def forget(self, scope: str) -> None:
        """Forget what was spent of a budget that is over."""
        self._spent.pop(scope, None)

    def close(self, timeout: float) -> None:
        """Do nothing: nothing is open."""

    def abandon(self) -> None:
        """Start anew after a fork, in the child, which has a budget of its own."""
        self.__init__()  # type: ignore[misc]
