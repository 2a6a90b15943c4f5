"""The client's callback threads: where callbacks of submitted jobs, and of events, run in order, off the I/O thread."""

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
from runware._support.logs import say

if TYPE_CHECKING:
    from runware.events import Event

__all__ = ["MAX_EVENTS", "CallbackThread", "EventFeed", "run_guarded"]

log = logging.getLogger("runware.callbacks")

MAX_EVENTS = 10_000
"""Events that may wait for `on_event`; those that find as many are thrown away, and counted."""
GRACE = 30.0
"""Seconds after the close of a client in which callbacks that wait are still run."""


def run_guarded(callback: Callable[[], object]) -> None:
    """Run a user's callback. What it raises is said, and disturbs nobody."""
    try:
        callback()
    except Exception:
        say(log, "a callback raised", trace=True)


class CallbackThread:
    """Run callbacks in order, on a thread that starts with the first one.

    The thread ends when it was stopped and has run all callbacks. A callback that is posted later starts it again,
    and it ends with that callback, so that no order of `post` and `stop` leaves a thread behind.
    """

    def __init__(self, name: str = "runware-callbacks") -> None:
        self.name = name
        self._queue: queue.SimpleQueue[Callable[[], object] | None] | None = None  # gevent may patch it until then
        self._lock = make_rlock()  # a signal's handler may cancel a job in the middle of `post`
        self._thread: threading.Thread | None = None  # also one that has ended
        self._runs = False  # there is a thread that will take what is posted
        self._drop_from = math.inf  # when callbacks that wait are dropped, by the clock of `time.monotonic`
        self.ident: int | None = None

    def abandon(self) -> None:
        """Start anew in a forked child: the thread is not there, and its lock may stay locked."""
        stopped = self.stopped
        self.__init__(self.name)  # type: ignore[misc]
        if stopped:
            self.stop()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._drop_from < math.inf

    def post(self, callback: Callable[[], object]) -> None:
        """Run a callback on the thread, after those that were posted before."""
        with self._lock:
            if self._queue is None:
                self._queue = queue.SimpleQueue()
            if not self._runs:
                thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread, self._runs = thread, True
                try:
                    thread.start()
                except BaseException as error:
                    self._runs = thread.is_alive()
                    if not isinstance(error, RuntimeError):  # Ctrl-C
                        raise
                    log.exception("there is no thread for a callback, which is lost")
                    return
            self._queue.put(callback)
            if self.stopped:
                self._queue.put(None)

    def waiting(self) -> int:
        """Return how many callbacks wait for their turn, or nearly."""
        return 0 if self._queue is None else self._queue.qsize()

    def stop(self, timeout: float = 0.0) -> None:
        """End the thread when it has run the callbacks that wait for their turn.

        Args:
            timeout: Seconds to wait for it, at most. What waits `GRACE` seconds from now is dropped.
        """
        self._drop_from = min(self._drop_from, time.monotonic() + GRACE)
        if self._queue is not None:
            self._queue.put(None)
        with self._lock:
            thread = self._thread
        # It may be called on the thread itself, or by a signal's handler while the thread is being started.
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
                except BaseException:  # `sys.exit()` would end the thread, and with it the callbacks of everybody else
                    say(log, "a callback raised", trace=True)
                del callback  # which may hold a job, and with it the client, until there is another
            with self._lock:
                if posted.empty():
                    self._runs, self.ident = False, None  # another thread may get the number
                    return

    @staticmethod
    def _drop_waiting(posted: queue.SimpleQueue[Callable[[], object] | None]) -> None:
        dropped = 1
        with suppress(queue.Empty):
            while True:
                dropped += posted.get_nowait() is not None
        log.warning("%d callbacks still waited %.0f s after the client was closed, and are dropped", dropped, GRACE)
        posted.put(None)


class EventFeed:
    """Brings events to `on_event`, on a thread of its own, so that a slow one holds up nothing else.

    Args:
        handler: What is called with each event.
    """

    def __init__(self, handler: Callable[[Event], object]) -> None:
        self._handler = handler
        self._thread = CallbackThread("runware-events")
        self.dropped = 0

    def post(self, event: Event) -> None:
        """Hand an event over. It never waits."""
        if self._thread.waiting() < MAX_EVENTS:
            self._thread.post(lambda: self._handler(event))
            return
        if not self.dropped:
            log.warning("on_event is too slow: %d events wait, and further ones are thrown away", MAX_EVENTS)
        self.dropped += 1

    def abandon(self) -> None:
        """In a child that was forked: start anew."""
        self._thread.abandon()
        self.dropped = 0

    def stop(self, timeout: float = 0.0) -> None:
        """End the thread when it has delivered the events that wait; wait *timeout* seconds for it, at most."""
        self._thread.stop(timeout)
