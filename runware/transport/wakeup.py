"""Wake the threads that wait for jobs.

Releasing a lock wakes its waiter while the releasing thread still holds the GIL, so the waiter goes back to sleep until
the GIL is free: four thread switches instead of one, 40 µs of a call. Setting an event of the kernel wakes the waiter
after the GIL was released. So a few threads wait on such events. Any more of them share the work anyway, and wait on
locks. Greenlets of gevent always wait on locks, which switch within one thread.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterable
from typing import Protocol

from runware.protocol.call import Wakeable
from runware.transport.kernel_event import KernelEvent, make_event
from runware.transport.patching import patched_by_gevent

__all__ = ["POLL", "Waitable", "wake", "wakeup_pool"]

POLL = 0.1 if sys.platform == "win32" else None
"""Seconds of one wait on a lock. Ctrl-C does not interrupt such a wait on Windows, so that it has to be short there."""


class Waitable(Wakeable, Protocol):
    """A held lock, or a wake-up of the pool, from the side of the thread that waits."""

    def acquire(self, *, timeout: float = -1) -> bool:
        """Block until it is released, or for *timeout* seconds; return whether it was released."""
        ...


class _EventWakeup:
    """An event of the kernel with the interface of a held lock."""

    __slots__ = ("_event",)

    def __init__(self, event: KernelEvent) -> None:
        self._event = event

    def close(self) -> None:
        """Close the event."""
        self._event.close()

    def acquire(self, timeout: float = -1) -> bool:  # noqa: ARG002 - a wait with a timeout uses a lock
        """Block until it is released, or spuriously return earlier. If the event was closed, leave the pool."""
        try:
            return self._event.take()
        except OSError:  # a forked child, or the process closed all descriptors: the next wait uses a lock
            wakeup_pool.discard(self)
            return False

    def release(self) -> None:
        """Wake the thread that waits, or the next one."""
        self._event.set()


class _WakeupPool:
    """A few events to wait on, shared by all clients of the process."""

    MAX_SIZE = 4

    def __init__(self) -> None:
        self.idle: list[_EventWakeup] = []
        self.created: list[_EventWakeup] = []
        self._permits = [None] * self.MAX_SIZE  # popped in one step, so that concurrent threads cannot exceed the limit

    def take(self) -> _EventWakeup | None:
        """Return a wake-up, or `None` if all are in use."""
        if patched_by_gevent():
            return None
        try:
            return self.idle.pop()
        except IndexError:
            if POLL is not None:
                return None
        try:
            self._permits.pop()
        except IndexError:
            return None
        try:
            wakeup = _EventWakeup(make_event(blocking=True))
        except OSError:  # out of file descriptors; a lock needs none
            self._permits.append(None)
            return None
        self.created.append(wakeup)
        return wakeup

    def put_back(self, wakeup: _EventWakeup) -> None:
        """Return a wake-up to the pool, unless it was discarded."""
        if wakeup in self.created:
            self.idle.append(wakeup)

    def prepare(self) -> None:
        """Create the first wake-up ahead of time, so that Ctrl-C in a wait cannot interrupt its construction."""
        if (wakeup := self.take()) is not None:
            self.idle.append(wakeup)

    def discard(self, wakeup: _EventWakeup) -> None:
        """Remove a wake-up whose event may still be set for a wait that is over."""
        if wakeup in self.created:
            self.created.remove(wakeup)
            self._permits.append(None)

    def clear(self) -> None:
        """Close all wake-ups: in a forked child, and at interpreter exit."""
        while self.created:
            self.created.pop().close()
        self.idle.clear()
        self._permits[:] = [None] * self.MAX_SIZE


wakeup_pool = _WakeupPool()
atexit.register(wakeup_pool.clear)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=wakeup_pool.clear)


def wake(waiting: Iterable[Wakeable]) -> None:
    """Wake threads, each regardless of errors with another."""
    for one in waiting:
        try:
            one.release()
        except (OSError, RuntimeError):  # the process closed its descriptor, or the lock was released before
            pass
