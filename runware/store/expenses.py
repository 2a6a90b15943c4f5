"""The cost of streams and chats, which the store has no tasks of: reserved at first, and billed when they end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from runware._support.locks import make_rlock
from runware.errors import StoreError
from runware.store.lines import Line, billed, owed

__all__ = ["Expense", "ExpenseRecorder"]


class ExpenseRecorder(Protocol):
    """A recorder, as an expense needs it. The methods do not block, in any thread."""

    def reserve(self, line: Line) -> Future[None]:
        """Reserve what a request may cost, unless it is billed already.

        The outcome is the error if that is not possible.
        """
        ...

    def bill(self, line: Line, amount: int) -> None:
        """Count what a request has cost, in billionths of a dollar, in place of what was reserved for it.

        Only the first bill of a line counts, and none if its reservation was refused.
        """


class Expense:
    """What one request may cost, and has cost. Thread-safe.

    Whatever ends `reserve`, `settle` must follow: it releases what is, or may still be, reserved.

    Args:
        line: Its budgets.
        recorder: Returns the client's recorder. It may block.
        price: Sets what to reserve in the line. It may block.
    """

    def __init__(self, line: Line, recorder: Callable[[], ExpenseRecorder], price: Callable[[], object]) -> None:
        self._line = line
        self._open = recorder
        self._price: Callable[[], object] | None = price
        self._lock = make_rlock()  # re-entrant: a signal handler may close a stream at any moment
        self._pid = os.getpid()
        self._recorder: ExpenseRecorder | None = None
        self._settled = False

    def reserve(self, timeout: float) -> None:
        """Reserve what the request may cost. This blocks.

        Args:
            timeout: Seconds to wait for the store.

        Raises:
            BudgetExceededError: A budget does not allow it.
            StoreError: The store cannot be opened or written, or not in time.
            ClientClosedError: The client is closed.
        """
        line, recorder = self._line, self._open()
        price, self._price = self._price, None  # it holds the request
        if line.limits:
            assert price is not None
            price()
        with self._lock:
            if self._settled:  # the stream or chat was closed meanwhile
                return
            self._recorder = recorder  # first: after Ctrl-C, it is not known how far the reservation has come
        if not line.limits:
            return
        decided = recorder.reserve(line)
        try:
            decided.result(timeout)
        except TimeoutError:
            raise StoreError(
                f"The store did not answer within {timeout:.3g} s. The request was not sent.", retryable=True
            ) from None

    def settle(self, result: Mapping[str, Any], *, succeeded: bool, may_have_run: bool = False) -> None:
        """Count what the request has cost, and release the rest of what was reserved. Only the first call counts.

        Args:
            result: Its result, whose `cost` is the bill, if it has one.
            succeeded: Whether it has an answer.
            may_have_run: Whether it may be billed although it has none.
        """
        with self._lock:
            if self._settled or self._pid != os.getpid():  # in a forked child, it is the parent's expense
                return
            recorder = self._recorder
            self._settled = recorder is None  # from now on, nothing is reserved
        if recorder is not None:
            line = self._line
            recorder.bill(line, owed(line, billed([result]), may_have_run=may_have_run, succeeded=succeeded))
        self._settled = True  # last: a call that Ctrl-C has cut short is made again
