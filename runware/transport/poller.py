"""Waiting for a few sockets: `select.poll`, or something of its form where there is none.

`selectors` does the same with three times as many steps, two or three times a call.
"""

from __future__ import annotations

import select
import sys
from typing import Any

__all__ = ["READ", "WRITE", "Poller"]

READ, WRITE = 1, 4
"""POLLIN and POLLOUT, which have these values everywhere. Whatever else an event has, reading will show what it is."""


class _Select:  # pragma: no cover - Windows only
    """`select.poll` made of `select.select`."""

    def __init__(self) -> None:
        self._watched: dict[int, int] = {}

    def register(self, fd: int, event: int) -> None:
        self._watched[fd] = event

    modify = register

    def unregister(self, fd: int) -> None:
        del self._watched[fd]

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        watched = self._watched
        writers = [fd for fd, event in watched.items() if event & WRITE]
        seconds = None if timeout is None else timeout / 1000
        found = select.select(list(watched), writers, writers, seconds)
        events = dict.fromkeys(found[0], READ)
        for fd in {*found[1], *found[2]}:  # an attempt to connect that failed is in the third
            events[fd] = events.get(fd, 0) | WRITE
        return list(events.items())


def _poll() -> Any:
    return select.poll()  # asked for at run time: gevent may have replaced it since the import


Poller: Any = _Select if sys.platform == "win32" else _poll
