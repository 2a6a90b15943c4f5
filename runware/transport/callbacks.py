"""The callback threads: they run the callbacks of submitted jobs and of `on_event` in order, off the I/O thread."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from runware._support.lazy_modules import lazy_module
from runware._support.locks import make_rlock
from runware._support.logs import log_or_stderr
from runware.protocol.call import Origin

if TYPE_CHECKING:
    from runware import events
    from runware.events import Event
else:
    events = lazy_module("runware.events")

__all__ = ["MAX_EVENTS", "CallbackThread", "EventFeed", "Listener", "run_guarded"]

log = logging.getLogger("runware.callbacks")

Listener = Callable[["Event"], object]
"""Takes events."""

events_log = logging.getLogger("runware.engine")
"""The logger of events. Its name is older than this module, and users' logging configurations may refer to it."""

_KEPT_POLLS = 100
"""The events of a call that are kept for its end, beyond which polls are left out."""

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


class _Listening(NamedTuple):
    call: Listener
    kinds: tuple[type[Event], ...] | None
    content: bool


class _Listeners:
    """The listeners of a feed, in an object that can be referred to weakly."""

    def __init__(self) -> None:
        self.all: tuple[_Listening, ...] = ()


class EventFeed:
    """Call the listeners of a client, such as `on_event`, on a separate thread, so that a slow one delays nothing else.

    Args:
        listener: The first listener, called with each event; `None` for none.

    Attributes:
        dropped: How many events were discarded because the listeners were too slow.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self._owned: _Listeners | None = _Listeners()
        self._listeners = weakref.ref(self._owned)
        self._wants_content = False
        self._thread = CallbackThread("runware-events")
        self.dropped = 0
        if listener is not None:
            self.add(listener)

    @property
    def wanted(self) -> bool:
        """Whether to make events: there is a listener, or they are logged."""
        return bool(self._all) or events_log.isEnabledFor(logging.DEBUG)

    def origin(self, model: str | None, request: bytes | Mapping[str, Any], context: Context | None = None) -> Origin:
        """Return what the events of a call say about where it comes from.

        Args:
            model: The model that is asked for.
            request: The request.
            context: The caller's context; `None` copies the current one.
        """
        return Origin(model, context or copy_context(), request if self._wants_content else None)

    @property
    def _all(self) -> tuple[_Listening, ...]:
        listeners = self._listeners()
        return () if listeners is None else listeners.all

    def give_away(self) -> object:
        """Return what keeps the listeners, and refer to it weakly from now on.

        The I/O thread refers to the feed, so that a listener which refers to its client would keep that for ever.
        """
        owned, self._owned = self._owned, None
        return owned

    def add(self, listener: Listener, kinds: tuple[type[Event], ...] | None = None, *, content: bool = False) -> None:
        """Add a listener.

        Args:
            listener: The function, which is called on a thread of this feed.
            kinds: The classes of the events that it wants; `None` means all. Others are not queued for it.
            content: Whether it wants the requests and responses of calls, with their prompts.
        """
        self._set((*self._all, _Listening(listener, kinds, content)))

    def remove(self, listener: Listener) -> None:
        """Remove a listener."""
        self._set(tuple(one for one in self._all if one.call is not listener))

    def _set(self, listeners: tuple[_Listening, ...]) -> None:
        if (owned := self._listeners()) is not None:
            owned.all = listeners
        self._wants_content = any(one.content for one in listeners)

    def report(self, kind: type[Event], facts: dict[str, Any], origin: Origin | None = None) -> None:
        """Make an event, and pass it to the listeners, and to the log at level DEBUG; never blocks.

        Args:
            kind: Its class.
            facts: Its attributes, without the time of day.
            origin: The origin of the call that it is about.
        """
        if origin is not None and kind is events.Resolved:
            facts["history"] = tuple(origin.history)
        event = kind(at=time.time(), **facts)
        if origin is not None and not (kind is events.Polled and len(origin.history) >= _KEPT_POLLS):
            origin.history.append(event)  # type: ignore[arg-type]  # events with an origin are about a call
        events_log.debug("%s", event)
        self.post(event)

    def post(self, event: Event) -> None:
        """Queue an event; never blocks."""
        listeners = [one.call for one in self._all if one.kinds is None or isinstance(event, one.kinds)]
        if not listeners:
            return
        if self._thread.waiting() < MAX_EVENTS:
            for listener in listeners:
                self._thread.post(partial(listener, event))
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
