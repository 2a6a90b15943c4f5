"""How a thread waits for a job, and is woken.

A lock wakes the thread that waits for it while the one that releases it still holds the GIL, so that the woken thread
goes back to sleep until the GIL is free: four changes of thread in place of one, 40 µs of a call. A byte in a socket
pair wakes it after the GIL was released. A few threads wait on a socket pair; more share the work anyway, and wait on
locks. So does every greenlet of gevent, whose locks switch within one thread.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from runware.transport.patching import patched_by_gevent

if TYPE_CHECKING:
    import socket

__all__ = ["POLL", "Sleeper", "bells", "wake"]

POLL = 0.1 if sys.platform == "win32" else None
"""Windows does not interrupt a wait on a lock, so that Ctrl-C needs short ones there."""


class Sleeper(Protocol):
    """What a thread waits for: a lock that is held, or a bell."""

    def release(self) -> None:
        """Wake it."""


class _Bell:
    """A lock that is held, as far as those who wait and those who wake are concerned."""

    __slots__ = ("_far", "_near")

    def __init__(self, ends: tuple[socket.socket, socket.socket]) -> None:
        self._near, self._far = ends
        self._near.settimeout(None)  # whatever the process has set as the default

    def close(self) -> None:
        """Give back the sockets."""
        self._near.close()
        self._far.close()

    __del__ = close

    def acquire(self, timeout: float = -1) -> bool:  # noqa: ARG002 - as a lock has it; who waits for a time has a lock
        """Wait until it is rung; once in a while for nothing. A closed one is given up, so that a lock serves."""
        try:
            return bool(self._near.recv(1))
        except OSError:  # in a child that was forked meanwhile, or somebody has closed all descriptors
            bells.give_up(self)
            return False

    def release(self) -> None:
        """Wake who waits, or who will."""
        self._far.send(b"\0")


class _Bells:
    """A few bells, and those of them that nobody waits for."""

    MOST = 4

    def __init__(self) -> None:
        self.idle: list[_Bell] = []
        self.made: list[_Bell] = []
        self._room = [None] * self.MOST  # taken in one step, so that threads at once do not make more

    def take(self) -> _Bell | None:
        """Give a bell, unless enough threads wait for one."""
        if patched_by_gevent():
            return None
        try:
            return self.idle.pop()
        except IndexError:
            if POLL is not None:
                return None
        try:
            self._room.pop()
        except IndexError:
            return None
        import socket  # the engine has loaded it long ago

        try:
            bell = _Bell(socket.socketpair())
        except OSError:  # the process has no more descriptors; a lock needs none
            self._room.append(None)
            return None
        self.made.append(bell)
        return bell

    def put_back(self, bell: _Bell) -> None:
        """Keep a bell for the next who waits, unless it was given up."""
        if bell in self.made:
            self.idle.append(bell)

    def prepare(self) -> None:
        """Make the first one, if there is none: Ctrl-C in the middle of a wait is not to meet half of a socket pair."""
        if (bell := self.take()) is not None:
            self.idle.append(bell)

    def give_up(self, bell: _Bell) -> None:
        """Let go of a bell that may still ring for somebody who does not wait any more."""
        if bell in self.made:
            self.made.remove(bell)
            self._room.append(None)

    def forget(self) -> None:
        """In a child that was forked, and at the end: let go of all."""
        while self.made:
            self.made.pop().close()
        self.idle.clear()
        self._room[:] = [None] * self.MOST


bells = _Bells()
atexit.register(bells.forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=bells.forget)


def wake(sleepers: Iterable[Sleeper]) -> None:
    """Wake them, each whatever is wrong with another."""
    for sleeper in sleepers:
        try:
            sleeper.release()
        except (OSError, RuntimeError):  # its descriptor was closed by somebody; it was woken before
            pass
