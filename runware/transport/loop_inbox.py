"""Bring what happens on the I/O thread into event loops: callbacks, and the waits of coroutines."""

from __future__ import annotations

import contextvars
import logging
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal

from runware._support.lazy_modules import lazy_module
from runware.transport.callbacks import run_guarded
from runware.transport.kernel_event import KernelEvent, make_event

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = lazy_module("asyncio")

__all__ = ["LoopWait", "call_soon_in"]

log = logging.getLogger("runware.jobs")


class LoopWait:
    """The wait of a coroutine for a job, which releases it when it is done, in any thread.

    It is what `asyncio.Task` takes in place of a future (`_asyncio_future_blocking`, which has been there since Python
    3.5), so that the task goes on in the very iteration of its event loop that learns of the result. A future would
    cost another iteration, and a third of the objects of an awaited call. Where tasks take no such object, a future is
    awaited. It has no `get_loop`: without one, tasks read `_loop`, which calls no Python function.

    Args:
        loop: The event loop.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "_inbox", "_loop", "_outcome")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._inbox = inbox = _inbox_of(loop)
        if not inbox.prepared:
            inbox.prepare(loop)
        self._outcome: Literal[True] | tuple[object, ...] | None = None  # the arguments of `CancelledError`
        self._callback: Callable[[Any], object] | None = None
        self._context: contextvars.Context | None  # set with the callback

    def release(self) -> None:
        """Finish the wait in its event loop; called in any thread."""
        if self._outcome is None:
            self._inbox.post(self._finish)

    def _finish(self) -> None:
        if self._outcome is None:
            self._outcome = True
            if (callback := self._callback) is not None:
                context, self._callback, self._context = self._context, None, None
                context.run(callback, self)  # type: ignore[union-attr]  # it is set with the callback

    def __await__(self) -> Generator[Any, None, None]:
        if self._inbox.takes_waits:
            return self  # type: ignore[return-value]  # an iterator is all that `await` needs
        future = self._loop.create_future()

        def finish(_: object) -> None:
            if not future.done():
                future.set_result(None)

        self.add_done_callback(finish)
        return future.__await__()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> LoopWait:
        if self._outcome is not None:
            raise StopIteration
        self._asyncio_future_blocking = True
        return self

    # ------------------------------------------------------------------ for the task

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: contextvars.Context | None = None
    ) -> None:
        """Call a function at the end of the wait, in this context: the one step of the one task that waits."""
        if context is None:  # an empty one is false
            context = contextvars.copy_context()
        if self._outcome is not None:
            self._loop.call_soon(callback, self, context=context)
        else:
            self._callback, self._context = callback, context

    def done(self) -> bool:
        """Return whether the wait is over."""
        return self._outcome is not None

    def result(self) -> None:
        """Raise `CancelledError` if the wait was cancelled."""
        if isinstance(self._outcome, tuple):
            raise asyncio.CancelledError(*self._outcome)

    def cancel(self, msg: object = None) -> bool:
        """Cancel the wait, because its task is cancelled; return `False` if it is over."""
        if self._outcome is not None:
            return False
        self._outcome = () if msg is None else (msg,)
        callback, self._callback = self._callback, None
        if callback is not None:
            self._loop.call_soon(callback, self, context=self._context)
        return True


class _Inbox:
    """Callbacks queued for an event loop. Waking the loop costs more than a callback, so several share one wake-up.

    Args:
        loop: The event loop.

    Attributes:
        takes_waits: Whether tasks take a `LoopWait` in place of a future.
        prepared: Whether `prepare` was called.
    """

    __slots__ = ("_callbacks", "_event", "_loop", "_scheduled", "prepared", "takes_waits")

    BATCH_SIZE = 100
    """The maximum number of callbacks in one iteration of the loop, which has other work too."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self.takes_waits = hasattr(asyncio.Future, "_asyncio_future_blocking")
        self.prepared = False
        self._event: KernelEvent | None = None
        self._callbacks: deque[Callable[[], object]] = deque()
        self._scheduled = False

    def prepare(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make the loop watch an event of its own, if it can; called in the loop.

        Waking a loop by `call_soon_threadsafe` takes a new handle, a socket pair that is read twice, and an exception:
        4 % of an awaited call.
        """
        self.prepared = True
        try:
            event = make_event(blocking=False)
            # In an empty context, because the loop keeps it.
            contextvars.Context().run(loop.add_reader, event, self._run_batch)
        except (OSError, NotImplementedError):  # no descriptor is left, or the loop cannot watch any
            return
        self._event = event

    def post(self, callback: Callable[[], object]) -> None:
        """Queue a callback."""
        self._callbacks.append(callback)
        if not self._scheduled or (loop := self._loop()) is None or loop.is_closed():
            self._schedule()

    def _schedule(self) -> None:
        try:
            self._scheduled = True
            if (loop := self._loop()) is None or loop.is_closed():
                raise RuntimeError
            if (event := self._event) is not None:
                try:
                    event.set()
                    return
                except OSError:  # the process has closed its descriptors
                    self._event = None
            loop.call_soon_threadsafe(self._run_batch)
        except RuntimeError:
            log.debug("the event loop that awaits a job is closed")
            self._scheduled = False
            self._callbacks.clear()
        except BaseException:  # a signal handler raised, perhaps before the loop was woken: the next post repeats it
            self._scheduled = False
            raise

    def _run_batch(self) -> None:
        callbacks = self._callbacks
        try:
            self._run_some(callbacks)
        finally:
            self._scheduled = False  # before the checks, so that a later post schedules again
            try:
                if not callbacks:  # else it stays set: a signal handler that raises from here on loses no callback
                    self._clear_event()  # after the callbacks, which may send requests, and before the next check
            finally:
                if callbacks:
                    self._schedule()

    def _clear_event(self) -> None:
        if (event := self._event) is not None:
            try:
                event.take()
            except OSError:  # the process has closed its descriptors
                pass

    def _run_some(self, callbacks: deque[Callable[[], object]]) -> None:
        # A loop in the `try` itself could be left without the `finally` by Ctrl-C (tests/test_interrupts.py). Callbacks
        # posted from here on run in the next iteration of the event loop; otherwise this loop might never end.
        for _ in range(min(len(callbacks), self.BATCH_SIZE)):
            if callbacks:  # a callback may have run the loop itself (nested loops)
                run_guarded(callbacks.popleft())


_inboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Inbox] = weakref.WeakKeyDictionary()


def _inbox_of(loop: asyncio.AbstractEventLoop) -> _Inbox:
    """Return the inbox of an event loop.

    It takes no lock, because a signal handler may cancel a job while the main thread is in here; each step is one
    atomic operation of a dict.
    """
    inbox = _inboxes.get(loop)
    if inbox is None:
        for ref in _inboxes.keyrefs():
            if (other := ref()) is not None and other.is_closed():
                _inboxes.pop(other, None)  # its callbacks may refer to the loop
        inbox = _inboxes.setdefault(loop, _Inbox(loop))
    return inbox


def call_soon_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Run a callback in an event loop, in the order of calls, unless the loop is closed."""
    _inbox_of(loop).post(callback)
