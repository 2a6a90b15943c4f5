"""The sums that were billed and are reserved, read and written within one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from runware.store.lines import Line, budget_exceeded
from runware.store.tables import spending

__all__ = ["Accounts", "scopes_of"]

_FIRST = "store"
"""The scope that is locked before all others, so that no two transactions wait for each other."""

# Built once: building a statement takes SQLAlchemy as long as running it.
_READ = select(spending.c.billed, spending.c.reserved).where(spending.c.scope == bindparam("b_scope")).with_for_update()
_ADD = (
    update(spending)
    .where(spending.c.scope == bindparam("b_scope"))
    .values(billed=spending.c.billed + bindparam("b_billed"), reserved=spending.c.reserved + bindparam("b_reserved"))
)


class Accounts:
    """The accounts to which the tasks of one transaction are charged.

    Each account is read once, and stays locked until the transaction ends; `write` writes them all at its end.

    Args:
        connection: The transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read: dict[str, list[int]] = {}
        self._changes: dict[str, list[int]] = {}

    def reserve(self, line: Line, scopes: Iterable[str], limits: Mapping[str, int]) -> None:
        """Reserve what a task may cost.

        Args:
            line: The task.
            scopes: The accounts to which it is charged.
            limits: The budgets, by their scopes.

        Raises:
            BudgetExceededError: A budget has not enough left. Nothing is reserved.
        """
        for scope, limit in limits.items():
            billed, reserved = self._account(scope)
            left = limit - billed - reserved
            if line.reserve > left or (left <= 0 and not line.priced):
                raise budget_exceeded(line, scope, limit, billed, reserved)
        self.change({*scopes, *limits}, 0, line.reserve)

    def change(self, scopes: Iterable[str], billed: int, reserved: int) -> None:
        """Add to the billed and to the reserved sum of some accounts, in billionths of a dollar."""
        if not (billed or reserved):
            return
        for scope in scopes:
            change = self._changes.setdefault(scope, [0, 0])
            change[0] += billed
            change[1] += reserved

    def write(self) -> None:
        """Write the changes."""
        changes = {scope: change for scope, change in sorted(self._changes.items()) if any(change)}
        self._changes = {}
        if not changes:
            return
        for scope in changes:
            self._account(scope)
        self._connection.execute(
            _ADD,
            [
                {"b_scope": scope, "b_billed": billed, "b_reserved": reserved}
                for scope, (billed, reserved) in changes.items()
            ],
        )
        self._read = {}

    @staticmethod
    def forget(connection: Connection, scope: str) -> None:
        """Drop an account."""
        connection.execute(delete(spending).where(spending.c.scope == scope))

    def _account(self, scope: str) -> tuple[int, int]:
        """Return the billed and the reserved sum of an account, with the changes of this transaction."""
        if scope not in self._read:
            if not self._read and scope != _FIRST:
                self._account(_FIRST)
            self._read[scope] = self._locked(scope)
        billed, reserved = self._read[scope]
        more = self._changes.get(scope, (0, 0))
        return billed + more[0], reserved + more[1]

    def _locked(self, scope: str) -> list[int]:
        named = {"b_scope": scope}
        row = self._connection.execute(_READ, named).first()
        if row is None:
            try:
                with self._connection.begin_nested():
                    self._connection.execute(insert(spending).values(scope=scope, billed=0, reserved=0))
            except IntegrityError:  # another process was quicker
                row = self._connection.execute(_READ, named).first()
        return [0, 0] if row is None else [row.billed, row.reserved]


def scopes_of(day: str, run: str | None) -> list[str]:
    """Return the accounts to which a task is charged, with or without a budget."""
    return [_FIRST, *([f"day {day}"] if day else ()), *([f"run {run}"] if run else ())]
