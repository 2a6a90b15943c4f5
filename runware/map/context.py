"""The run that a call of `map` continues, its budget, and the files that it saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from runware._support.lazy_modules import lazy_module
from runware.errors import ConfigurationError, DownloadError, ValidationError
from runware.map.inputs import request_class_of
from runware.map.window import Entry
from runware.options import Budget

if TYPE_CHECKING:
    from runware.core import Core
    from runware.media import saving
    from runware.media.saving import Saver, Template
    from runware.store import places
    from runware.store import runs as store_runs
    from runware.store.keeper import Keeper
    from runware.store.places import MapPlace
else:
    places = lazy_module("runware.store.places")
    saving = lazy_module("runware.media.saving")
    store_runs = lazy_module("runware.store.runs")

__all__ = ["MapContext"]


class MapContext:
    """What the requests of one call of `map` have in common: the run that it continues, its budget, and its files.

    Args:
        core: The client's core.
        run: The name of the run.
        budget: The limit of the run or of this call.
        save_to: Where results are saved.
        retry_failed: Whether tasks of the run that have failed before are run again.

    Raises:
        ValidationError: An argument is not valid.
        ConfigurationError: The run or the budget needs a store, or the budget is not valid.
    """

    def __init__(self, core: Core, run: Any, budget: Any, save_to: Any, *, retry_failed: Any) -> None:
        self.core = core
        self.blocks = not (run is None and budget is None and save_to is None)
        """Whether `begin` has something to do."""
        self.place: MapPlace | None = None
        self.saver: Saver | None = None
        self._template: Template | None = None
        self._keeper: Keeper | None = None
        if run is not None:
            places.check_run_name(run)
            core.keeper  # noqa: B018 - it raises
        if not isinstance(retry_failed, bool) or (retry_failed and run is None):
            raise ValidationError(
                "retry_failed must be True or False, and needs run=: it is about the tasks of a run that have failed.",
                code="invalidParameter",
                parameter="retry_failed",
            )
        if run is not None or budget is not None:
            limit = _budget(core, budget, run)
            self.place = places.MapPlace(run, limit, retries_failed=retry_failed)
        if save_to is not None:
            self._template = saving.Template(save_to, run)

    def begin(self, what: object, common: Mapping[str, object] | None) -> None:
        """Open the store, and write the run. It blocks.

        Raises:
            ValidationError: The run was started for something else.
            StoreError: The store cannot be opened or written.
        """
        core, place = self.core, self.place
        if place is not None and place.run is not None:
            request = request_class_of(what)
            operation = request.__name__ if isinstance(request, type) else "requests"
            store_runs.start_run(core, place.run, places.described(operation, common))
        if place is not None:
            self._keeper = core.keep_budgets()
        if self._template is not None:
            memory = core.store_recorder if core.options.store is not None else None
            self.saver = saving.Saver(self._template, core.downloads, memory)

    def watch(self, entry: Entry[Any], notify: Callable[[Entry[Any], bool], object]) -> None:
        """Call *notify* as the job of an entry advances.

        Args:
            entry: An entry that has its job.
            notify: Called with the entry and True as soon as its outcome may be yielded. If results are saved, it is
                called with False before, when the job is done. It is called on the I/O thread, or a saver's.
        """
        assert entry.job is not None
        if self.saver is None:
            entry.job.when_done(partial(notify, entry, True))
        else:
            self.saver.grow()
            entry.job.when_done(partial(_save, self.saver, entry, notify))

    def end(self, *, completed: bool) -> None:
        """Free the run, the budget and the threads that save results. It does not wait.

        Args:
            completed: Whether every result was yielded. Otherwise, downloads are cancelled.
        """
        if self.saver is not None:
            self.saver.end(cancel=not completed)
        if self.place is not None:
            self.place.close()
            if self._keeper is not None and self.place.run is None:
                self._keeper.forget(self.place.scope)


def _budget(core: Core, budget: Any, run: str | None) -> Budget | None:
    """Check the argument *budget*, and return it as a `Budget`."""
    limit = budget if budget is None or isinstance(budget, Budget) else Budget(budget)
    if limit is not None and limit.per == "run" and run is None:
        raise ConfigurationError("A budget per run needs run=, with the name of the run.", parameter="budget")
    if limit is not None and limit.per in ("store", "day") and core.options.store is None:
        raise ConfigurationError(
            f"A budget per {limit.per} needs a client with a store, which keeps what was spent.", parameter="budget"
        )
    return limit


def _save(saver: Saver, entry: Entry[Any], notify: Callable[[Entry[Any], bool], object]) -> None:
    """Hand the results of a job to the saver, on the I/O thread."""
    job = entry.job
    assert job is not None
    results: Any = ()
    if (outcome := job.outcome()) is not None:
        answer, error = outcome
        results = answer if error is None else getattr(error, "results", ())
    notify(entry, False)

    def done(error: DownloadError | None) -> None:
        entry.error = error
        notify(entry, True)

    line = getattr(job, "line", None)  # a stream has none
    saver.put(
        saving.Order(
            results=results if isinstance(results, (list, tuple)) else [results],
            index=entry.index,
            task_uuid=job.task_uuid,
            key=getattr(line, "key", None),
            fresh=getattr(line, "fresh", False),
            done=done,
        )
    )
