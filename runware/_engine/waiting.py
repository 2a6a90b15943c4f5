"""How a thread waits for a job, and is woken.

A lock wakes the thread that waits for it while the one that lets go of it still holds the interpreter lock, so that who
is woken goes back to sleep until that is free: four changes of thread in place of one, 40 µs of a call. A byte in
a socket pair wakes it after the interpreter lock was let go of. A few threads wait for one; more share the work anyway,
and wait for locks.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import socket

__all__ = ["POLL", "Condition", "Sleeper", "bells", "wake"]

POLL = 0.1 if sys.platform == "win32" else None
"""Windows does not interrupt a wait on a lock, so that Ctrl-C needs short ones there."""

_RLock: Any = type(threading.RLock())  # for type checkers alone it is final


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

    def take(self) -> _Bell | None:
        """Give a bell, unless enough threads wait for one."""
        try:
            return self.idle.pop()
        except IndexError:
            if len(self.made) >= self.MOST or POLL is not None:
                return None
        import socket  # the engine has loaded it long ago

        try:
            bell = _Bell(socket.socketpair())
        except OSError:  # the process has no more descriptors; a lock needs none
            return None
        self.made.append(bell)
        return bell

    def prepare(self) -> None:
        """Make the first one, if there is none: Ctrl-C in the middle of a wait is not to meet half of a socket pair."""
        if (bell := self.take()) is not None:
            self.idle.append(bell)

    def give_up(self, bell: _Bell) -> None:
        """Let go of a bell that may still ring for somebody who does not wait any more."""
        if bell in self.made:
            self.made.remove(bell)

    def forget(self) -> None:
        """In a child that was forked, and at the end: let go of all."""
        while self.made:
            self.made.pop().close()
        self.idle.clear()


bells = _Bells()
atexit.register(bells.forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=bells.forget)


class Condition(_RLock):  # type: ignore[misc]
    """What a future needs of `threading.Condition`, in one object; those who wait bring a lock or a bell."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Any] | None = None

    def wait(self, timeout: float | None = None, unless: Callable[[], bool] | None = None) -> bool:
        """Give the lock back until somebody is told, or *timeout* seconds have passed; tell which it was.

        Args:
            timeout: Seconds; `None` waits without a limit, and may come back for nothing.
            unless: Tells that there is nothing to wait for any more: a signal's handler may have seen to that.
        """
        bell = bells.take() if timeout is None else None
        turn: Any = bell
        if bell is None:
            turn = threading.Lock()
            turn.acquire()
        self._waiting = [*(self._waiting or ()), turn]
        self.release()  # it is held once here: no method of a future waits inside another
        told: bool = False
        try:
            if unless is None or not unless():
                told = turn.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        finally:
            self.acquire()
            waiting = self._waiting or ()
            unheard = turn in waiting
            if unheard:
                self._waiting = [other for other in waiting if other is not turn]
            if bell is not None:
                if not (told or unheard):
                    bells.give_up(bell)  # broken off: it has rung, or will, and not for the next who would wait for it
                elif bell in bells.made:
                    bells.idle.append(bell)
        return told

    def take_waiting(self) -> Sequence[Sleeper]:
        """Give those who wait, to be woken, each once, when this lock is free again."""
        waiting, self._waiting = self._waiting, None
        return waiting or ()

    def notify_all(self) -> None:
        """Wake everybody who waits. What interrupts it leaves them to be woken again."""
        wake(self._waiting or ())
        self._waiting = None


def wake(sleepers: Iterable[Sleeper]) -> None:
    """Wake them, each whatever is wrong with another."""
    for sleeper in sleepers:
        try:
            sleeper.release()
        except (OSError, RuntimeError):  # its descriptor was closed by somebody; it was woken before
            pass
