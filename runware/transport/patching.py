"""Detect environments in which the I/O thread cannot run, or runs as a greenlet: gevent, eventlet, sub-interpreters.

Under gevent everything is a greenlet of one thread: `threading.Thread` starts one, and locks, sockets and `select.poll`
switch between them. The I/O thread becomes a greenlet too, with the same code. The alternative, a native thread that
wakes greenlets through their hub, would need the unpatched form of every module on that thread, also inside libraries,
and two kinds of lock wherever both meet. It would serve the connection while the program computes without a pause,
which nothing else in a gevent program does. A call takes 1.5 times as long as with threads.

Either all of `_NEEDED` have to be patched or none: a greenlet in an unpatched `select.poll` blocks all others.
"""

from __future__ import annotations

import _thread
import sys
import threading
from typing import Any

from runware.errors import ConfigurationError

__all__ = ["check_patches", "patch_fingerprint", "patched_by_gevent"]

_NEEDED = ("threading", "socket", "select", "ssl", "queue")


def patch_fingerprint() -> tuple[object, object]:
    """Return a value that changes when threads or sockets are patched; cheap enough to compare at every call."""
    socket: Any = sys.modules["socket"]  # loaded by the I/O loop
    return threading.get_ident, socket.socket


def patched_by_gevent() -> bool:
    """Return whether threads are greenlets of gevent."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def check_patches() -> None:
    """Check that the I/O thread can run.

    Raises:
        ConfigurationError: The standard library is patched by eventlet, or only in part by gevent; or daemon threads
            are not allowed.
    """
    patcher: Any = sys.modules.get("eventlet.patcher")
    if patcher is not None and (patcher.is_monkey_patched("thread") or patcher.is_monkey_patched("socket")):
        raise ConfigurationError(
            "runware does not work with eventlet. Use gevent (`gevent.monkey.patch_all()`), threads or asyncio."
        )
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None:
        missing = [name for name in _NEEDED if not monkey.is_module_patched(name)]
        if missing and any(map(monkey.is_module_patched, ("threading", "socket", "select"))):
            raise ConfigurationError(
                f"gevent has patched parts of the standard library, but not {', '.join(missing)}: waiting for a call "
                "would block every greenlet. Call gevent.monkey.patch_all() without arguments before anything else."
            )
    if not _daemon_threads_allowed():
        raise ConfigurationError(
            "runware needs a daemon thread, and this sub-interpreter allows none. Use the client in the main "
            "interpreter or in a separate process."
        )


def _daemon_threads_allowed() -> bool:
    allowed: Any = getattr(_thread, "daemon_threads_allowed", None)  # Python 3.12
    return allowed is None or bool(allowed())
