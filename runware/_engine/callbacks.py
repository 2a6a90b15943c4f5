"""The client's callback threads: where callbacks of submitted jobs, and of events, run in order, off the I/O thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from runware._engine.locks import RLock
from runware.logs import say

if TYPE_CHECKING:
    from runware.events import Event

__all__ = ["MAX_EVENTS", "CallbackThread", "EventFeed", "run_guarded"]

log = logging.getLogger("runware.callbacks")

MAX_EVENTS = 10_000
"""Events that may wait for `on_event`; those that find as many are thrown away, and counted."""


def run_guarded(callback: Callable[[], object]) -> None:
    """Run a user's callback. What it raises is said, and disturbs nobody."""
    try:
        callback()
    except Exception:
        say(log, "a callback raised", trace=True)


class CallbackThread:
    """A thread that starts with the first callback and ends with `stop`."""

    def __init__(self, name: str = "runware-callbacks") -> None:
        self.name = name
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = RLock()  # a signal's handler may cancel a job in the middle of `post`
        self._thread: threading.Thread | None = None
        self.ident: int | None = None

    def abandon(self) -> None:
        """In a child that was forked: the thread is not there, and its lock may stay locked."""
        self.__init__(self.name)  # type: ignore[misc]

    def post(self, callback: Callable[[], object]) -> None:
        """Run a callback on the thread, after those that were posted before."""
        with self._lock:
            if self._thread is None:
                thread = self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                try:
                    thread.start()
                except BaseException as error:
                    self._thread = thread if thread.is_alive() else None
                    if not isinstance(error, RuntimeError):  # Ctrl-C
                        raise
                    log.exception("there is no thread for a callback, which is lost")
                    return
            self._queue.put(callback)

    def waiting(self) -> int:
        """Tell how many callbacks wait for their turn, or nearly."""
        return self._queue.qsize()

    def stop(self) -> None:
        """End the thread after the callbacks that were posted so far; a later one starts another. Does not wait."""
        self._queue.put(None)

    def _run(self) -> None:
        self.ident = threading.get_ident()
        while True:
            while (callback := self._queue.get()) is not None:
                try:
                    run_guarded(callback)
                except BaseException:  # `sys.exit()` would end the thread, and with it the callbacks of everybody else
                    say(log, "a callback raised", trace=True)
            with self._lock:
                if self._queue.empty():
                    self._thread = self.ident = None  # another thread may get the number
                    return


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

    def stop(self) -> None:
        """End the thread after the events that were posted so far. Does not wait."""
        self._thread.stop()
