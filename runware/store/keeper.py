"""Decides which calls of a client with a store or a budget are durable, and what is written of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from runware._support.lazy_modules import is_installed, lazy_module
from runware._support.locks import make_rlock
from runware.errors import ConfigurationError, NotFoundError
from runware.options import Budget, Options
from runware.protocol.call import Completion, Durable
from runware.protocol.codec import loads
from runware.protocol.ids import StableUUID
from runware.requests.base import Task
from runware.requests.plan import Plan
from runware.store.expenses import Expense, ExpenseRecorder
from runware.store.lines import HIGHEST_BILL, Line, StoredTask, nano_dollars

if TYPE_CHECKING:
    from runware.models import estimates
    from runware.models.checker import Checker
    from runware.store import recorder as store_recorder
    from runware.store import spending
    from runware.store.database import Database
    from runware.store.recorder import StoreRecorder
    from runware.store.spending import SpendingRecorder
else:
    estimates = lazy_module("runware.models.estimates")
    spending = lazy_module("runware.store.spending")
    store_recorder = lazy_module("runware.store.recorder")

__all__ = ["Keeper", "Place"]

_MAX_REQUEST = 65_536
"""The size in bytes up to which a request is kept. A larger one, with media, cannot be sent again from the store."""
_HIGHEST_LIMIT = 1e18
"""The limit in dollars that stands for all higher ones, whose billionths may be beyond all floats."""
_DURABLE = (Completion.RESULTS, Completion.ACKNOWLEDGEMENT, Completion.STATUSES)


class Knowledge(Protocol):
    """Access to the models that a client knows, as estimates need it."""

    @property
    def checker(self) -> Checker:
        """Finds the model of a request."""
        ...


class Place(Protocol):
    """The place of a task in a run, or only in a call of `map` with a budget.

    Attributes:
        run: The run's name, or `None`.
        number: Which of several equal tasks of the run it is, from 0.
        retries_failed: Whether a task that has failed before is run again.
        budget: A limit of its own.
        scope: The account of that limit, by its name in the store.
    """

    run: str | None
    number: int
    retries_failed: bool
    budget: Budget | None
    scope: str

    def uuid_for(self, fingerprint: str) -> StableUUID:
        """Return the UUID of the task with this fingerprint, and set `number`."""
        ...


class Keeper:
    """Decides which calls are durable, and makes the lines that are written of them.

    Args:
        options: The client's options.
        knowledge: What the client knows about models.

    Raises:
        ConfigurationError: The client has a store, and SQLAlchemy is not installed.
    """

    def __init__(self, options: Options, knowledge: Knowledge) -> None:
        if options.store is not None and not is_installed("sqlalchemy"):
            raise ConfigurationError("store needs SQLAlchemy: pip install 'runware-client[store]'.", parameter="store")
        self._options = options
        self._knowledge = knowledge
        self._lock = make_rlock()
        self._recorder: StoreRecorder | SpendingRecorder | None = None

    @property
    def recorder(self) -> StoreRecorder | SpendingRecorder:
        """The recorder; the first access opens the store.

        Raises:
            ConfigurationError: The URL of the store is not valid, or the driver of its database is not installed.
            StoreError: The store cannot be opened.
        """
        with self._lock:
            if self._recorder is None:
                url = self._options.store
                self._recorder = spending.SpendingRecorder() if url is None else store_recorder.StoreRecorder(url)
            return self._recorder

    @property
    def database(self) -> Database:
        """The database of the store; the first access opens it. Raises as `recorder` does."""
        recorder = self.recorder
        assert not isinstance(recorder, spending.SpendingRecorder)
        return recorder.database

    def forget(self, scope: str) -> None:
        """Forget a budget that is over. A store keeps what was spent of it: a task may end later."""
        if self._options.store is None and self._recorder is not None:
            self._recorder.forget(scope)  # type: ignore[union-attr]

    def close(self, timeout: float) -> None:
        """Close the store, after the driver."""
        if self._recorder is not None:
            self._recorder.close(timeout)

    def abandon(self) -> None:
        """Reset after a fork, in the child."""
        self._lock = make_rlock()
        if self._recorder is not None:
            self._recorder.abandon()

    # ------------------------------------------------------------------ calls

    def uuid_in(self, task: Task[Any], place: Place | None) -> Callable[[str], str] | None:
        """Return the function that derives the UUID of a task of a run from its fingerprint; `None` for others."""
        return None if place is None or place.run is None or not self._keeps(task) else place.uuid_for

    def _keeps(self, task: Task[Any]) -> bool:
        """Return whether the outcome of a request is kept: it executes a task, and is neither a query nor a dry run."""
        return not (task.repeatable or task.inspects or self._options.dry_run)

    def of(self, task: Task[Any], plan: Plan, place: Place | None = None) -> Durable | None:
        """Return the durable part of a call; `None` for a call that only reads, or is not written."""
        stable = isinstance(plan.uuid, StableUUID)
        if not (self._keeps(task) and task.priced) or plan.completion not in _DURABLE:
            return Durable(stable=stable, inputs=plan.inputs) if stable or plan.inputs else None
        line = Line(
            key=plan.uuid,
            task_type=plan.task_type,
            kind=type(task).__name__,
            request=plan.text[1:-1].decode() if len(plan.text) <= _MAX_REQUEST else None,
            expected=plan.expected,
            fingerprint=plan.fingerprint,
            run=None if place is None else place.run,
            number=0 if place is None else place.number,
            limits=self._limits(None if place is None else place.run, place),
            retries_failed=place is not None and place.retries_failed,
            acknowledged=plan.completion is Completion.ACKNOWLEDGEMENT,
        )
        if line.limits:
            self._estimate(line, loads(plan.text)[0])
        shared = stable and self._options.store is not None
        return Durable(line, stable=stable, shared=shared, inputs=plan.inputs)

    def resuming(self, stored: StoredTask) -> Durable:
        """Return the durable part of a call that continues a task of the store."""
        line = Line(
            key=stored.key,
            task_type=stored.task_type,
            kind=stored.kind,
            expected=stored.expected,
            fingerprint=stored.fingerprint,
            run=stored.run,
            number=stored.number,
            limits=self._limits(stored.run, None),
            follows=stored.request is None,
        )
        if line.limits and stored.request is not None:
            self._estimate(line, stored.request)
        return Durable(line, stable=True, shared=True)

    def following(self, uuid: str, task_type: str) -> Durable | None:
        """Return the durable part of a call that follows a task; `None` without a store."""
        return None if self._options.store is None else Durable(Line(key=uuid, task_type=task_type, follows=True))

    def expense(
        self,
        task_type: str,
        uuid: str,
        wire: Callable[[], Mapping[str, Any]],
        recorder: Callable[[], ExpenseRecorder],
        place: Place | None = None,
    ) -> Expense | None:
        """Return what counts the cost of a stream or chat; `None` without a store and a budget.

        Args:
            task_type: What it is called in errors.
            uuid: The UUID of its task; `""` if there is none.
            wire: Returns the request as an API object of a task, for the estimate.
            recorder: Returns the recorder.
            place: Its place in a call of `map` with a budget.
        """
        limits = self._limits(None, place)
        if not limits and self._options.store is None:
            return None
        line = Line(key=uuid, task_type=task_type, limits=limits)
        return Expense(line, recorder, lambda: self._estimate(line, wire()))

    def _limits(self, run: str | None, place: Place | None) -> dict[str, int]:
        """Return the budgets of a task by their scopes. The smaller one of two counts."""
        limits: dict[str, int] = {}
        for budget in (self._options.budget, None if place is None else place.budget):
            if budget is None:
                continue
            per: str = budget.per or ("client" if self._options.store is None else "store")
            if place is not None and budget is place.budget and budget.per in ("run", None):
                per = place.scope
            elif per == "run":
                per = "client" if run is None else f"run {run}"
            limit = nano_dollars(min(budget.limit, _HIGHEST_LIMIT))
            limits[per] = min(limit, limits.get(per, limit))
        return limits

    def _estimate(self, line: Line, wire: Mapping[str, Any]) -> None:
        """Set the cost to reserve for a task."""
        try:
            cost = estimates.estimate(self._knowledge.checker.model_of(dict(wire)), wire).cost
        except NotFoundError:
            return
        if cost is not None:
            line.reserve, line.priced = nano_dollars(min(cost, HIGHEST_BILL)), True
