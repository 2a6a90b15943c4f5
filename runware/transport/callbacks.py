"""The callback threads: they run the callbacks of submitted jobs and of `on_event` in order, off the I/O thread."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from runware._support.locks import make_rlock
from runware._support.logs import log_or_stderr

if TYPE_CHECKING:
    from runware.events import Event

__all__ = ["MAX_EVENTS", "CallbackThread", "EventFeed", "run_guarded"]

log = logging.getLogger("runware.callbacks")

MAX_EVENTS = 10_000
"""The limit on events queued for `on_event`; further ones are dropped and counted."""
GRACE = 30.0
"""Seconds after the close of a client during which queued callbacks still run."""


def run_guarded(callback: Callable[[], object]) -> None:
    """Run a user's callback; log what it raises."""
    try:
        callback()
    except Exception:
        log_or_stderr(log, "a callback raised", trace=True)


class CallbackThread:
    """Run callbacks in order on a thread that starts with the first one.

    After `stop`, the thread runs the queued callbacks and ends. A later callback starts a new one that ends after that
    callback, so no order of `post` and `stop` leaves a thread behind.
    """

    def __init__(self, name: str = "runware-callbacks") -> None:
        self.name = name
        # Created with the first callback: gevent may patch the class before.
        self._queue: queue.SimpleQueue[Callable[[], object] | None] | None = None
        self._lock = make_rlock()  # re-entrant: a signal handler may cancel a job in the middle of `post`
        self._thread: threading.Thread | None = None  # the last one, even after its end
        self._running = False  # a thread is there and will run what is posted
        self._drop_from = math.inf  # drop queued callbacks from then on (time.monotonic)
        self.ident: int | None = None

    def abandon(self) -> None:
        """Reset after a fork, in the child, where the thread does not exist and the lock may be locked."""
        stopped = self.stopped
        self.__init__(self.name)  # type: ignore[misc]
        if stopped:
            self.stop()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._drop_from < math.inf

    def post(self, callback: Callable[[], object]) -> None:
        """Queue a callback."""
        with self._lock:
            if self._queue is None:
                self._queue = queue.SimpleQueue()
            if not self._running:
                thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread, self._running = thread, True
                try:
                    thread.start()
                except BaseException as error:
                    self._running = thread.is_alive()
                    if not isinstance(error, RuntimeError):  # Ctrl-C
                        raise
                    log.exception("a callback is lost: could not start the callback thread")
                    return
            self._queue.put(callback)
            if self.stopped:
                self._queue.put(None)

    def waiting(self) -> int:
        """Return the approximate number of queued callbacks."""
        return 0 if self._queue is None else self._queue.qsize()

    def stop(self, timeout: float = 0.0) -> None:
        """End the thread once it has run the queued callbacks. Those still queued after `GRACE` seconds are dropped.

        Args:
            timeout: Seconds to wait for the thread.
        """
        self._drop_from = min(self._drop_from, time.monotonic() + GRACE)
        if self._queue is not None:
            self._queue.put(None)
        with self._lock:
            thread = self._thread
        # The caller may be a callback on that thread, or a signal handler while the thread is being started.
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        self.ident = threading.get_ident()
        posted = self._queue
        assert posted is not None
        while True:
            while (callback := posted.get()) is not None:
                if time.monotonic() >= self._drop_from:
                    self._drop_waiting(posted)
                    continue
                try:
                    run_guarded(callback)
                except BaseException:
                    # e.g. from `sys.exit()`, which must not end the thread and lose the other callbacks
                    log_or_stderr(log, "a callback raised", trace=True)
                del callback  # otherwise its job and client would stay alive until the next callback
            with self._lock:
                if posted.empty():
                    self._running, self.ident = False, None  # the number may be reused
                    return

    @staticmethod
    def _drop_waiting(posted: queue.SimpleQueue[Callable[[], object] | None]) -> None:
        dropped = 1
        with suppress(queue.Empty):
            while True:
                dropped += posted.get_nowait() is not None
        log.warning("dropped %d callbacks that were still queued %.0f s after the client was closed", dropped, GRACE)
        posted.put(None)


class EventFeed:
    """Call `on_event` on a separate thread, so that a slow handler delays nothing else.

    Args:
        handler: Called with each event.
    """

    def __init__(self, handler: Callable[[Event], object]) -> None:
        self._handler = handler
        self._thread = CallbackThread("runware-events")
        self.dropped = 0

    def post(self, event: Event) -> None:
        """Queue an event; never blocks."""
        if self._thread.waiting() < MAX_EVENTS:
            self._thread.post(lambda: self._handler(event))
            return
        if not self.dropped:
            log.warning("on_event is too slow: %d events are queued, and further ones are dropped", MAX_EVENTS)
        self.dropped += 1

    def abandon(self) -> None:
        """Reset after a fork, in the child."""
        self._thread.abandon()
        self.dropped = 0

    def stop(self, timeout: float = 0.0) -> None:
        """End the thread once it has delivered the queued events; wait at most *timeout* seconds for it."""
        self._thread.stop(timeout)
