"""A re-entrant lock that a signal handler cannot leave locked."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

__all__ = ["ReentrantLock", "make_brief_rlock", "make_rlock", "release_thread_lock", "thread_lock_count"]


class ReentrantLock(Protocol):
    """A re-entrant lock: `threading.RLock`, or gevent's."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire it."""
        ...

    def release(self) -> None:
        """Release it."""

    def __enter__(self) -> object: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


_Native: Any = type(threading.RLock())  # type checkers consider it final; at run time it is not
_NEEDED = sys.version_info >= (3, 14) and hasattr(_Native, "_recursion_count")


class _RLock(_Native):  # type: ignore[misc]
    """An `RLock` whose `with` statement is safe when a signal handler raises.

    Since Python 3.14, the interpreter checks for signals at the end of the call of `__enter__`, before it enters the
    body of `with`. If a handler raises there, the lock is never released (1,707 of 3,000 interrupted loops). Here every
    such check after the acquisition is inside `try`, which releases the lock. `__exit__` is implemented in C and
    releases before the next check.
    """

    __slots__ = ()

    def __enter__(self) -> bool:
        before = self._recursion_count()
        try:
            return bool(self.acquire())
        except BaseException:
            while self._recursion_count() > before:
                self.release()
            raise


def _make_safe_rlock() -> ReentrantLock:
    made = threading.RLock()
    return _RLock() if type(made) is _Native else made


make_rlock: Callable[[], ReentrantLock] = _make_safe_rlock if _NEEDED else threading.RLock
"""Returns a new re-entrant lock; under gevent, its own, which has no such problem."""
make_brief_rlock: Callable[[], ReentrantLock] = _make_safe_rlock if _NEEDED else _Native
"""Returns the same in fewer steps, for locks under which no thread waits for anything. If gevent patches `threading`
after this module was loaded, such a lock does not exclude greenlets from each other."""


_thread_lock: Any = getattr(threading, "_active_limbo_lock", None)


def thread_lock_count() -> int:
    """Return how often this thread holds the lock with which `threading` starts threads; 0 where that needs no care."""
    if not (_NEEDED and type(_thread_lock) is _Native):
        return 0
    return int(_thread_lock._recursion_count())  # noqa: SLF001 - `threading` offers no public way to see it


def release_thread_lock(count: int) -> None:
    """Release the lock with which `threading` starts threads down to *count*.

    `Thread.start` takes it with `with`, so that from Python 3.14 on Ctrl-C may leave it locked (see `_RLock`). No other
    thread could start then: each waits for the lock before it runs anything.
    """
    while thread_lock_count() > count:
        _thread_lock.release()
