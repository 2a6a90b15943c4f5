"""The client's callback thread: where callbacks of submitted jobs run, in order, off the I/O thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["CallbackThread", "run_guarded"]

log = logging.getLogger("runware.callbacks")


def run_guarded(callback: Callable[[], object]) -> None:
    """Run a user's callback. What it raises is logged, and disturbs nobody."""
    try:
        callback()
    except Exception:
        log.exception("a callback raised")


class CallbackThread:
    """A thread that starts with the first callback and ends with `stop`."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def abandon(self) -> None:
        """In a child that was forked: the thread is not there, and its lock may stay locked."""
        self.__init__()  # type: ignore[misc]

    def post(self, callback: Callable[[], object]) -> None:
        """Run a callback on the thread, after those that were posted before."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="runware-callbacks", daemon=True)
                self._thread.start()
        self._queue.put(callback)

    def owns_current_thread(self) -> bool:
        """Whether the caller runs on this thread."""
        return self._thread is not None and threading.get_ident() == self._thread.ident

    def stop(self) -> None:
        """End the thread after the callbacks that were posted so far. Does not wait."""
        self._queue.put(None)

    def _run(self) -> None:
        while (callback := self._queue.get()) is not None:
            run_guarded(callback)
