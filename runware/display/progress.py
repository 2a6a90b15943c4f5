"""Progress of calls, shown as a tqdm bar or passed to a function."""

from __future__ import annotations

import atexit
import contextvars
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from runware._support.lazy_modules import lazy_module
from runware._support.threads import start_thread
from runware.display.notebook import Bar, in_notebook
from runware.errors import ConfigurationError
from runware.jobs import Job, JobStatus, Progress
from runware.transport.callbacks import run_guarded

if TYPE_CHECKING:
    from tqdm import auto
else:
    auto = lazy_module("tqdm.auto")

__all__ = ["bar", "count", "watch"]

T = TypeVar("T")

_REFRESH = 0.5
"""Seconds between updates of the elapsed time when nothing else changes."""
_EXIT_GRACE = 1.0
"""Seconds that interpreter exit waits for progress threads of finished jobs to draw their final state."""

_watchers: weakref.WeakKeyDictionary[threading.Thread, Job[Any]] = weakref.WeakKeyDictionary()
"""Running progress threads and their jobs."""


class ProgressBar(Protocol):
    """What is used of a tqdm bar, and what the notebook's bar has of it."""

    n: float

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Set the status text."""

    def update(self, n: float = 1) -> object:
        """Advance the count."""

    def refresh(self) -> object:
        """Redraw the bar."""

    def close(self) -> None:
        """Draw the final state."""


def bar(*, total: int | None, desc: str, **options: Any) -> ProgressBar:
    """Create a progress bar: the notebook bar in a notebook, otherwise tqdm's.

    Raises:
        ConfigurationError: tqdm is not installed.
    """
    if in_notebook():
        return Bar(total, desc)
    try:
        tqdm: Callable[..., ProgressBar] = auto.tqdm
    except ImportError as error:
        raise ConfigurationError(
            "progress=True needs an extra: pip install 'runware-client[progress]'. A function needs no extra.",
            parameter="progress",
        ) from error
    return tqdm(total=total, desc=desc, **options)


def watch(job: Job[Any], progress: bool | Callable[[Progress], object]) -> None:
    """Show the progress of a job until it ends, on a separate thread.

    Args:
        job: The job.
        progress: `True` shows a bar; a function is called on each change.

    Raises:
        RunwareError: The system allows no more threads.
    """
    show = progress if callable(progress) else _bar_for(job)
    changed = threading.Event()
    job.listen(changed.set)

    context = contextvars.copy_context()

    def run() -> None:
        last: Progress | None = None
        while True:
            over = job.done()
            changed.clear()
            now = job.progress
            if not callable(progress) or last is None or now[:3] != last[:3] or now.status != last.status:
                run_guarded(partial(context.run, partial(show, now)))
            last = now
            if over:
                break
            changed.wait(_REFRESH)
        job.unlisten(changed.set)

    _watchers[start_thread(run, "runware-progress", "to show the progress")] = job


@atexit.register
def _draw_final_states() -> None:
    # A script often exits as soon as its last call returns. Without this, 2 of 20 runs left an unfinished bar.
    until = time.monotonic() + _EXIT_GRACE
    for thread, job in list(_watchers.items()):
        if job.done():
            thread.join(max(0.0, until - time.monotonic()))


def _bar_for(job: Job[Any]) -> Callable[[Progress], object]:
    # Shows the percentage reported by the server or the number of results; otherwise only time and status.
    total = job.progress.total
    shown = bar(
        total=total if total > 1 else None, desc=job.task_type, bar_format=None if total > 1 else _INDETERMINATE
    )

    def show(now: Progress) -> None:
        state = now.status if now.percent is None else f"{now.status} {now.percent:.0f} %"
        shown.set_postfix_str(state, refresh=False)
        shown.update(now.completed - shown.n)
        shown.refresh()
        if now.status in ("succeeded", "partial", "failed", "cancelled"):
            shown.close()

    return show


_INDETERMINATE = "{desc}: {elapsed}{postfix}"


def count(outcomes: Iterable[T], progress: bool | Callable[[Progress], object], total: int | None) -> Iterator[T]:
    """Yield outcomes and count them on a bar, or with a function."""
    counter = Counter(progress, total)
    try:
        for outcome in outcomes:
            counter.step(outcome)
            yield outcome
        counter.end()
    except Exception:
        counter.end(failed=True)
        raise
    finally:
        counter.close()


class Counter:
    """Counts outcomes on a bar, or with a function.

    Args:
        progress: `True` shows a bar; a function is called for each outcome, and at the end, unless the report of the
            last outcome said that it is the last.
        total: Total count; `None` if unknown.
    """

    def __init__(self, progress: bool | Callable[[Progress], object], total: int | None) -> None:
        self._started = time.monotonic()
        self._call = progress if callable(progress) else None
        self._bar = bar(total=total, desc="tasks") if progress is True else None
        self._total = total
        self._done = self._failed = 0
        self._status: JobStatus = "running"

    def step(self, outcome: object) -> None:
        """Count one outcome; an exception is a failure."""
        self._done += 1
        self._failed += isinstance(outcome, BaseException)
        if self._bar is not None:
            self._bar.update(1)
        self._report("running" if self._done != self._total else self._final(failed=False))

    def end(self, *, failed: bool = False) -> None:
        """Report the end, unless the last outcome was reported as such.

        Args:
            failed: Whether an error has ended it.
        """
        if failed or self._status == "running":
            self._total = self._total if failed else self._done
            self._report(self._final(failed=failed))

    def _final(self, *, failed: bool) -> JobStatus:
        if self._failed or failed:
            return "partial" if self._done > self._failed else "failed"
        return "succeeded"

    def _report(self, status: JobStatus) -> None:
        self._status = status
        if (call := self._call) is not None:
            total = self._total
            percent = min(100.0 * self._done / total, 100.0) if total else 100.0 if status == "succeeded" else None
            now = Progress(self._done, total or 0, percent, time.monotonic() - self._started, status)
            run_guarded(lambda: call(now))

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
