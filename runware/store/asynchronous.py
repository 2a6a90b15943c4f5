"""`rw.aio.jobs` and `rw.aio.runs`. The database is imported off the event loop, with the first method that needs it."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from runware._support.elsewhere import run_elsewhere
from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    from runware.core import Core
    from runware.jobs import Job
    from runware.results import Results
    from runware.store import access, runs
    from runware.store.access import State, StoredJobs
    from runware.store.lines import StoredTask
    from runware.store.runs import AsyncRun, Runs
    from runware.webhooks import Delivery
else:
    access = lazy_module("runware.store.access")
    runs = lazy_module("runware.store.runs")

__all__ = ["AsyncRuns", "AsyncStoredJobs"]


class AsyncStoredJobs:
    """The same as `StoredJobs`, for asyncio."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def __repr__(self) -> str:
        return f"<AsyncStoredJobs of {self._core.state} client>"

    def _jobs(self) -> StoredJobs:
        """Return the blocking form. The first one opens the store, so this must not run on an event loop."""
        return access.StoredJobs(self._core)

    async def get(self, uuid: str) -> StoredTask:
        """Return a task; see `StoredJobs.get`."""
        return await run_elsewhere(lambda: self._jobs().get(uuid))

    async def list(self, *, state: State | None = None, run: str | None = None) -> builtins.list[StoredTask]:
        """Return tasks, oldest first; see `StoredJobs.list`."""
        return await run_elsewhere(lambda: list(self._jobs().list(state=state, run=run)))

    async def unfinished(self, *, run: str | None = None) -> builtins.list[StoredTask]:
        """Return the open tasks that no living client follows; see `StoredJobs.unfinished`."""
        return await run_elsewhere(lambda: self._jobs().unfinished(run=run))

    async def recover(
        self, *, run: str | None = None, timeout: float | None = None
    ) -> builtins.list[Job[Results[Any]]]:
        """Continue the tasks that dead clients have left open; see `StoredJobs.recover`. Its jobs can be awaited."""
        return await run_elsewhere(lambda: self._jobs().recover(run=run, timeout=timeout))

    async def deliver(self, delivery: Delivery) -> bool:
        """Write a delivery of a webhook to the store; see `StoredJobs.deliver`."""
        return await run_elsewhere(lambda: self._jobs().deliver(delivery))


class AsyncRuns:
    """The same as `Runs`, for asyncio."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def __repr__(self) -> str:
        return f"<AsyncRuns of {self._core.state} client>"

    def _runs(self) -> Runs:
        """Return the blocking form. The first one opens the store, so this must not run on an event loop."""
        return runs.Runs(access.StoredJobs(self._core))

    async def list(self) -> list[AsyncRun]:
        """Return all runs, oldest first; see `Runs.list`."""
        return [runs.AsyncRun(**facts) for facts in await run_elsewhere(lambda: self._runs().facts())]

    async def get(self, name: str) -> AsyncRun:
        """Return a run by its name; see `Runs.get`."""
        return runs.AsyncRun(**await run_elsewhere(lambda: self._runs().facts_of(name)))
