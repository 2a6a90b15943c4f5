"""A limit on what tools spend."""

from __future__ import annotations

import math
import threading

from runware import options
from runware.errors import BudgetExceededError, ConfigurationError

__all__ = ["Budget", "BudgetError", "Reservation"]

_ROUNDING = 1e-9
"""Sums of prices such as 0.1 + 0.2 may be above what they are by less than that."""


class BudgetError(BudgetExceededError):
    """A task does not fit into the budget of tools, or its price cannot be told. Nothing was sent."""


class Budget:
    """A limit on what tools may spend. Thread-safe.

    Args:
        limit: US dollars, or a `runware.Budget` per client. `None` sets no limit; 0 refuses everything that costs.

    Raises:
        ConfigurationError: *limit* is not a number of dollars, or a budget for something else than a client.
    """

    def __init__(self, limit: float | options.Budget | None = None) -> None:
        given = limit if limit is None or isinstance(limit, options.Budget) else options.Budget(limit)
        if given is not None and given.per not in ("client", None):
            raise ConfigurationError(
                "The budget of tools is kept in this process: pass a number of US dollars, or "
                f"Budget({given.limit:g}). One per {given.per} is an option of the client, Runware(budget=...), and "
                "holds as well.",
                parameter="budget",
            )
        self.limit = None if given is None else given.limit
        self._lock = threading.Lock()
        self._counted = self._reserved = 0.0

    @property
    def left(self) -> float | None:
        """What is neither billed nor reserved, in US dollars; `None` without a limit."""
        with self._lock:
            return None if self.limit is None else max(0.0, self.limit - self._counted)

    def __str__(self) -> str:
        """Return what is left in words; an empty text without a limit."""
        return "" if self.left is None else f"{dollars(self.left)} of the budget of {dollars(self.limit)} is left"

    def reserve(self, amount: float) -> Reservation:
        """Set an amount aside for a task.

        Args:
            amount: The most that the task costs, in US dollars.

        Raises:
            BudgetError: Less than that is left.
        """
        with self._lock:
            # Not `>`, which lets NaN pass: JSON of a server may hold it.
            if self.limit is not None and not self._counted + amount <= self.limit + _ROUNDING:
                left = max(0.0, self.limit - self._counted)
                raise BudgetError(
                    f"The budget does not allow it: it costs up to {dollars(amount)}, and {dollars(left)} of "
                    f"{dollars(self.limit)} is left. Nothing was sent. A smaller size, fewer results or a cheaper "
                    "model may fit (get_price, search_models); only the user can raise the budget.",
                    code="budgetExceeded",
                    limit=self.limit,
                    spent=self._counted - self._reserved,
                    reserved=self._reserved,
                    estimate=amount,
                )
            self._counted += amount
            self._reserved += amount
        return Reservation(self, amount)

    def replace(self, amount: float, cost: float) -> None:
        """Count a bill instead of what was reserved for it."""
        with self._lock:
            self._counted += cost - amount
            self._reserved -= amount


class Reservation:
    """An amount that is set aside for a task until its bill is known.

    Args:
        budget: The budget.
        amount: US dollars.
    """

    def __init__(self, budget: Budget, amount: float) -> None:
        self._budget = budget
        self._amount = amount
        self._lock = threading.Lock()
        self._settled = False

    def settle(self, cost: float | None) -> None:
        """Replace the amount by the bill. Only the first call counts.

        Args:
            cost: US dollars. `None` if the task ran and its bill is not known: the amount then stays counted.
                So it does if the bill cannot be true: with NaN in its sum, a budget would allow everything.
        """
        if cost is not None and not 0.0 <= cost < math.inf:
            cost = None
        with self._lock:
            settled, self._settled = self._settled, True
        if not settled and cost is not None:
            self._budget.replace(self._amount, cost)


def dollars(amount: float | None) -> str:
    """Return an amount in words."""
    return "an unknown amount" if amount is None else f"${round(amount, 6):g}"
