"""Where the client's thread cannot work as it is, or not at all: gevent, eventlet, sub-interpreters.

Under gevent everything is a greenlet of one thread: `threading.Thread` starts one, and locks, sockets and `select.poll`
switch between them. The I/O thread is such a greenlet too, by the same code. The other way, a native thread that wakes
greenlets through their hub, would need the unpatched form of every module on that thread, also within libraries, and
two kinds of lock wherever both meet. What it would gain is that the connection is served while the program computes
without a pause, as nothing else of a gevent program is. A call takes 1.5 times as long as with threads.

That needs all of these modules patched, or none: a greenlet that waits with an unpatched `select.poll` stops them all.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from runware.errors import ConfigurationError

__all__ = ["check_patches", "patched_by_gevent", "patches"]

_NEEDED = ("threading", "socket", "select", "ssl", "queue")


def patches() -> tuple[object, object]:
    """Return what differs when threads or sockets were patched: cheap enough to be compared at every call."""
    socket: Any = sys.modules["socket"]  # the engine has loaded it
    return threading.get_ident, socket.socket


def patched_by_gevent() -> bool:
    """Whether threads are greenlets."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def check_patches() -> None:
    """Check that threads, sockets and the rest fit together.

    Raises:
        ConfigurationError: They do not, or threads are of a kind that the client does not work with.
    """
    patcher: Any = sys.modules.get("eventlet.patcher")
    if patcher is not None and (patcher.is_monkey_patched("thread") or patcher.is_monkey_patched("socket")):
        raise ConfigurationError(
            "runware does not work where eventlet has patched the standard library. Use gevent "
            "(`gevent.monkey.patch_all()`), threads or asyncio."
        )
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None:
        missing = [name for name in _NEEDED if not monkey.is_module_patched(name)]
        if missing and any(map(monkey.is_module_patched, ("threading", "socket", "select"))):
            raise ConfigurationError(
                f"gevent has patched a part of the standard library, but not {', '.join(missing)}: waiting for a call "
                "would stop every greenlet. Call gevent.monkey.patch_all() with its defaults, first of all."
            )
    if not _daemon_threads_allowed():
        raise ConfigurationError(
            "runware needs a thread that runs in the background, and this sub-interpreter allows none. Use the client "
            "in the main interpreter, or in a process of its own."
        )


def _daemon_threads_allowed() -> bool:
    import _thread

    allowed: Any = getattr(_thread, "daemon_threads_allowed", None)  # Python 3.12
    return allowed is None or bool(allowed())
