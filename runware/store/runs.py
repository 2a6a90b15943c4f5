"""`rw.runs`: the runs of a client's store, which `map(run=...)` starts and continues."""

from __future__ import annotations

import builtins
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import attrs

from runware._support.elsewhere import run_elsewhere
from runware.errors import NotFoundError, ValidationError
from runware.store.access import StoredJobs, StoreView
from runware.store.lines import StoredTask, dollars

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from runware.core import Core

__all__ = ["AsyncRun", "Run", "Runs", "start_run"]


@attrs.frozen(kw_only=True, repr=False)
class _Counts:
    """The numbers of a run in the store. A snapshot: get the run again for newer ones.

    Attributes:
        name: Its name.
        operation: The name of the request class, such as `"ImageInference"`; `"requests"` if request objects were
            passed.
        created: When it was first started, in seconds since the epoch.
        open: How many tasks have neither succeeded nor failed: they run, or the next start continues them.
        succeeded: How many tasks have succeeded.
        failed: How many tasks have failed.
        cost: What its tasks have cost in US dollars, as far as it is known; `None` if no bill has come.
    """

    name: str
    operation: str
    created: float
    open: int
    succeeded: int
    failed: int
    cost: float | None
    _jobs: StoreView = attrs.field(eq=False)

    @property
    def total(self) -> int:
        """How many tasks were begun. Inputs that no start has reached yet are not counted."""
        return self.open + self.succeeded + self.failed

    @property
    def progress(self) -> float:
        """How many of the tasks begun have succeeded or failed, in percent; 0.0 if there is none."""
        return 100.0 * (self.succeeded + self.failed) / self.total if self.total else 0.0

    def __repr__(self) -> str:
        cost = "" if self.cost is None else f", ${self.cost:.4f}"
        return (
            f"<{type(self).__name__} {self.name!r}: {self.succeeded} of {self.total} succeeded, {self.failed} failed, "
            f"{self.open} open{cost}>"
        )

    def _repr_html_(self) -> str:
        return _html([self])


class Run(_Counts):
    """A run of `map`, as the store has it. A snapshot: get the run again for newer numbers.

    Attributes:
        name: Its name.
        operation: The name of the request class, such as `"ImageInference"`; `"requests"` if request objects were
            passed.
        created: When it was first started, in seconds since the epoch.
        open: How many tasks have neither succeeded nor failed: they run, or the next start continues them.
        succeeded: How many tasks have succeeded.
        failed: How many tasks have failed.
        cost: What its tasks have cost in US dollars, as far as it is known; `None` if no bill has come.
    """

    def failures(self) -> Iterator[StoredTask]:
        """Iterate over the tasks that have failed, oldest first, each with its `error` and `request`.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._jobs.list(state="failed", run=self.name)

    def retry_failed(self) -> int:
        """Reopen the failed tasks, which the next start then runs again, each as a new task for the server.

        Results that came with an error, when only some of a task's have failed, are then made and billed again.

        Returns:
            How many there are.

        Raises:
            StoreError: The store cannot be written.
        """
        database = self._jobs.database
        with database.writing() as connection:
            return database.retry_failed(connection, self.name)


class AsyncRun(_Counts):
    """The same as `Run`, for asyncio."""

    async def failures(self) -> list[StoredTask]:
        """Return the tasks that have failed; see `Run.failures`."""
        return await run_elsewhere(lambda: list(_blocking(self).failures()))

    async def retry_failed(self) -> int:
        """Reopen the failed tasks; see `Run.retry_failed`."""
        return await run_elsewhere(_blocking(self).retry_failed)


def _blocking(run: AsyncRun) -> Run:
    return Run(**{field.alias: getattr(run, field.name) for field in attrs.fields(AsyncRun)})


class Runs:
    """The runs of a store. Iterating over it yields them, oldest first; `print` shows them as a table.

    Args:
        jobs: The tasks of the store.
    """

    def __init__(self, jobs: StoreView) -> None:
        self._jobs = jobs

    def __repr__(self) -> str:
        return repr(self._jobs).replace(type(self._jobs).__name__, "Runs", 1)

    def __str__(self) -> str:
        return _table(self.list())

    def _repr_html_(self) -> str:
        return _html(self.list())

    def __iter__(self) -> Iterator[Run]:
        return iter(self.list())

    def list(self) -> list[Run]:
        """Return all runs, oldest first.

        Raises:
            StoreError: The store cannot be read.
        """
        return [Run(**facts) for facts in self.facts()]

    def get(self, name: str) -> Run:
        """Return a run by its name.

        Raises:
            NotFoundError: The store has no such run.
            StoreError: The store cannot be read.
        """
        return Run(**self.facts_of(name))

    def facts_of(self, name: str) -> dict[str, Any]:
        """Return the arguments for a `Run` or `AsyncRun`.

        Raises:
            NotFoundError: The store has no such run.
            StoreError: The store cannot be read.
        """
        found = self.facts(name)
        if not found:
            known = ", ".join(repr(run["name"]) for run in self.facts()[-10:])
            raise NotFoundError(f"The store has no run {name!r}." + (f" It has {known}." if known else ""))
        return found[0]

    def facts(self, name: str | None = None) -> builtins.list[dict[str, Any]]:
        """Return the arguments for each `Run` or `AsyncRun`; only for the run with this name, unless it is `None`."""
        database = self._jobs.database
        with database.reading() as connection:
            rows = database.run_rows(connection, name)
        grouped: dict[str, builtins.list[RowMapping]] = {}
        for row in rows:
            grouped.setdefault(row["name"], []).append(row)
        return [self._summed(of_run) for of_run in grouped.values()]

    def _summed(self, rows: builtins.list[RowMapping]) -> dict[str, Any]:
        """Return the facts of one run from its rows, one for each state of its tasks."""
        counts = dict.fromkeys(("open", "succeeded", "failed"), 0)
        counts |= {row["state"]: row["tasks"] for row in rows if row["state"] is not None}
        costs = [int(row["cost"]) for row in rows if row["cost"] is not None]
        return {
            "name": rows[0]["name"],
            "operation": str(json.loads(rows[0]["description"]).get("operation")),
            "created": rows[0]["created"],
            "cost": dollars(sum(costs)) if costs else None,
            "jobs": self._jobs,
            **counts,
        }


def start_run(core: Core, name: str, description: str) -> None:
    """Write a run, unless there is one with this name and description.

    Args:
        core: The client's core.
        name: The name of the run.
        description: What `places.described` returns.

    Raises:
        ValidationError: There is a run with this name that was started for something else.
        StoreError: The store cannot be opened or written.
    """
    database = StoredJobs(core).database
    signature = hashlib.sha256(description.encode()).hexdigest()
    with database.writing() as connection:
        there, before = database.start_run(connection, name, signature, description)
    if there != signature and (difference := _difference(json.loads(before), json.loads(description))):
        raise ValidationError(
            f"The run {name!r} was started with {difference}. Start it as before, or choose another name for this one.",
            code="invalidParameter",
            parameter="run",
        )


_NOT_COMPARED = frozenset(("delivery_method", "include_cost", "upload_endpoint", "webhook_url"))
"""Common parameters that may differ, as they change nothing about what tasks make: URLs may be signed anew."""


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Describe how this start of a run differs from the first one; `""` if it does not.

    The store has only hashes of the parameters.
    """
    if before["operation"] != now["operation"]:
        return f"{before['operation']}, and not {now['operation']}"
    names = {*before["common"], *now["common"]} - _NOT_COMPARED
    other = sorted(name for name in names if before["common"].get(name) != now["common"].get(name))
    return f"other common parameters: {', '.join(other)}" if other else ""


_COLUMNS = ("run", "operation", "begun", "succeeded", "failed", "open", "progress", "cost")


def _cells(run: _Counts) -> tuple[str, ...]:
    cost = "" if run.cost is None else f"${run.cost:.4f}"
    numbers = (run.total, run.succeeded, run.failed, run.open)
    return run.name, run.operation, *map(str, numbers), f"{run.progress:.0f} %", cost


def _table(runs: Iterable[_Counts]) -> str:
    """Return runs as a table of text."""
    rows = [_COLUMNS, *map(_cells, runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) if number < 2 else cell.rjust(width) for number, (cell, width) in cells).rstrip()
        for cells in (enumerate(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join(lines)


def _html(runs: Iterable[_Counts]) -> str:
    """Return runs as a table for notebooks."""
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(run))}</tr>" for run in runs)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
