"""`rw.jobs`: the tasks of a client's store."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import or_, select

from runware.errors import NotFoundError, ValidationError
from runware.jobs import Job
from runware.results import Results
from runware.store.database import Database, stored_task
from runware.store.lines import StoredTask
from runware.store.owners import Owners
from runware.store.recorder import StoreRecorder
from runware.store.tables import tasks

if TYPE_CHECKING:
    from runware.core import Core
    from runware.webhooks import Delivery

__all__ = ["State", "StoreView", "StoredJobs"]

State = Literal["open", "succeeded", "failed"]
_PAGE = 500
_FLUSH = 2.0
"""Seconds to wait, before the store is read, until this client's own steps are written."""


class StoreView:
    """Read-only access to the tasks of a store. Iterating over it yields all of them, oldest first, a page at a time.

    Args:
        database: The store, open.
        owners: Tells which clients are alive.
    """

    def __init__(self, database: Database, owners: Owners) -> None:
        self._store = database
        self._owners = owners

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._store.engine.url.render_as_string(hide_password=True)}>"

    def __iter__(self) -> Iterator[StoredTask]:
        return self.list()

    @property
    def database(self) -> Database:
        """The store's database, in which everything is written by now that this client has done."""
        return self._store

    def get(self, uuid: str) -> StoredTask:
        """Return a task by the UUID of any of its attempts.

        Raises:
            NotFoundError: It is not in the store.
            StoreError: The store cannot be read.
        """
        # The property is read before the transaction: it waits for the recorder, which may need the database.
        database = self.database
        with database.reading() as connection:
            row = database.row_of(connection, uuid)
        if row is None:
            raise NotFoundError(f"The store has no task {uuid!r}.", task_uuid=uuid)
        return stored_task(row)

    def list(self, *, state: State | None = None, run: str | None = None) -> Iterator[StoredTask]:
        """Iterate over tasks, oldest first, reading a page at a time.

        Args:
            state: `"open"`, `"succeeded"` or `"failed"`; `None` means all.
            run: The name of a run; `None` means all tasks, of runs or not.

        Raises:
            ValidationError: *state* is not one of these.
            StoreError: The store cannot be read.
        """
        if state not in ("open", "succeeded", "failed", None):
            raise ValidationError(
                f"state must be 'open', 'succeeded' or 'failed'; got {state!r}.",
                code="invalidParameter",
                parameter="state",
            )
        return self._pages(state, run)

    def _pages(self, state: State | None, run: str | None) -> Iterator[StoredTask]:
        query = select(tasks).order_by(tasks.c.created, tasks.c.key).limit(_PAGE)
        if state is not None:
            query = query.where(tasks.c.state == state)
        if run is not None:
            query = query.where(tasks.c.run == run)
        after: tuple[float, str] | None = None
        while True:
            page = query
            if after is not None:
                created, key = after
                later = (tasks.c.created == created) & (tasks.c.key > key)
                page = query.where(or_(tasks.c.created > created, later))
            with self.database.reading() as connection:
                rows = connection.execute(page).mappings().all()
            yield from map(stored_task, rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1]["created"], rows[-1]["key"]

    def unfinished(self, *, run: str | None = None) -> builtins.list[StoredTask]:
        """Return the open tasks that no living client follows, oldest first.

        Tasks that were cancelled before they were sent are left out.
        The end of a client on another machine is noticed after 20 seconds; until then, its tasks are left out, too.

        Args:
            run: Only those of this run; `None` means all.

        Raises:
            StoreError: The store cannot be read.
        """
        return [task for task, alive in self._open(run) if not alive and task.step != "cancelled"]

    def _open(self, run: str | None) -> builtins.list[tuple[StoredTask, bool]]:
        found = list(self.list(state="open", run=run))
        with self.database.reading() as connection:
            names = {task.owner for task in found if task.owner is not None}
            alive = {name for name in names if self._owners.alive(connection, name)}
        return [(task, task.owner in alive) for task in found]


class StoredJobs(StoreView):
    """The tasks of a client's store: read them, and continue those that their clients have left open."""

    def __init__(self, core: Core) -> None:
        recorder = core.keeper.recorder
        assert isinstance(recorder, StoreRecorder)
        super().__init__(recorder.database, recorder.owners)
        self._core = core
        self._recorder = recorder

    @property
    def database(self) -> Database:
        """The store's database, in which everything is written by now that this client has done."""
        self._core.catch_up(_FLUSH)
        self._recorder.flush(_FLUSH)
        return self._store

    def recover(self, *, run: str | None = None, timeout: float | None = None) -> builtins.list[Job[Results[Any]]]:
        """Continue the tasks that dead clients have left open, and return their jobs, oldest first.

        The server is asked for each task first. A task that the server does not know is sent with the UUID it had,
        unless its request was too large to be kept: its job fails with `NotFoundError`, and the task stays open.

        Args:
            run: Only those of this run; `None` means all.
            timeout: Deadline of each job in seconds. `None` uses the client's `long_timeout`.

        Raises:
            StoreError: The store cannot be read.
        """
        return [self._core.go_on(task, timeout) for task in self.unfinished(run=run)]

    def deliver(self, delivery: Delivery) -> bool:
        """Write a delivery of a webhook to the store, where every process finds it.

        It can be a handler of `WebhookReceiver`.

        Jobs that wait for the task end, in this process and in others. A task is done when all its results came or
        failed; an error that may pass leaves it open, to be sent again. What is delivered twice counts once, as far as
        results have names.

        Args:
            delivery: A result or an error; one that only says that the task runs changes nothing.

        Returns:
            Whether the store has the task.

        Raises:
            StoreError: The store cannot be written: with `confirm=True`, the receiver asks Runware to come again.
        """
        if delivery.result is None and delivery.error is None:
            return True
        return self._recorder.deliver({"taskUUID": delivery.task_uuid, **delivery.raw}, delivery.error)
