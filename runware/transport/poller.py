"""Poll a few sockets: `select.poll`, or its equivalent on Windows and wherever Python was built without it.

`selectors` takes three times as many steps, and the I/O loop polls two or three times per call.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Protocol

__all__ = ["READ", "WRITE", "Poller", "make_poller"]

READ, WRITE = 1, 4
"""POLLIN and POLLOUT, which have these values on every platform. Error events are handled by reading."""


class Poller(Protocol):
    """The methods of `select.poll` that the client uses. Timeouts are in milliseconds."""

    def register(self, fd: int, event: int, /) -> object:
        """Watch a descriptor."""

    def modify(self, fd: int, event: int, /) -> object:
        """Change the events of a watched descriptor."""

    def unregister(self, fd: int, /) -> object:
        """Stop watching a descriptor."""

    def poll(self, timeout: float | None, /) -> list[tuple[int, int]]:
        """Wait for events; return the ready descriptors with their events."""
        ...


class _SelectPoller:
    """The interface of `select.poll` on top of `select.select`, for the few sockets of one client."""

    def __init__(self) -> None:
        self._watched: dict[int, int] = {}

    def register(self, fd: int, event: int, /) -> None:
        self._watched[fd] = event

    modify = register

    def unregister(self, fd: int, /) -> None:
        del self._watched[fd]

    def poll(self, timeout: float | None, /) -> list[tuple[int, int]]:
        watched = self._watched
        writers = [fd for fd, event in watched.items() if event & WRITE]
        seconds = None if timeout is None else timeout / 1000
        found = select.select(list(watched), writers, writers, seconds)
        events = dict.fromkeys(found[0], READ)
        for fd in {*found[1], *found[2]}:  # failed connection attempts are in the third
            events[fd] = events.get(fd, 0) | WRITE
        return list(events.items())


def make_poller() -> Poller:
    """Return a new poller."""
    poll: Callable[[], Poller] | None = getattr(select, "poll", None)  # looked up now: gevent may have patched it
    return _SelectPoller() if poll is None else poll()
