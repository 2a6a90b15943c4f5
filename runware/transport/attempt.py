"""The deadline and the cancellation of an attempt to connect."""

from __future__ import annotations

import math
import queue
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from runware.transport.poller import Poller, make_poller

__all__ = ["Attempt", "CancelledError"]

_CANCEL_CHECK = 0.25
"""Seconds between checks for cancellation, for platforms on which shutting the socket down does not end a poll."""


class CancelledError(Exception):
    """The attempt to connect was cancelled."""


class Attempt:
    """An attempt to connect. Its waits share one deadline, and any thread may cancel it.

    Args:
        timeout: Seconds until the deadline.
        opened: Called with each new socket, so that a process forked meanwhile can close it.
    """

    def __init__(self, timeout: float, opened: Callable[[socket.socket], object] = lambda sock: None) -> None:
        self.started = time.monotonic()
        self._deadline = self.started + timeout
        self._opened = opened
        self._socks: set[socket.socket] = set()
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()  # a signal handler may put into it at any time
        self._cancelled = False

    def cancel(self) -> None:
        """Cancel the attempt. It ends at once, whatever it waits for."""
        self._cancelled = True
        self._wakes.put(None)
        for sock in tuple(self._socks):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that polls it

    def adopt(self, sock: socket.socket) -> None:
        """Use a socket for the attempt: make it non-blocking and let `cancel` shut it down."""
        self._opened(sock)
        self._socks.add(sock)
        sock.setblocking(False)
        self.check()

    def discard(self, sock: socket.socket) -> None:
        """Close a socket that the attempt does not use any more."""
        self._socks.discard(sock)
        sock.close()

    def check(self) -> None:
        """Raise if the attempt was cancelled."""
        if self._cancelled:
            raise CancelledError

    def remaining(self) -> float:
        """Return the seconds until the deadline."""
        return max(0.0, self._deadline - time.monotonic())

    def wait(self, sock: socket.socket, event: int) -> None:
        """Wait until a socket is ready.

        Args:
            sock: The socket.
            event: READ or WRITE.

        Raises:
            TimeoutError: The socket was not ready by the deadline.
        """
        poller = make_poller()
        poller.register(sock.fileno(), event)
        if not self.poll(poller):
            raise TimeoutError("timed out")

    def poll(self, poller: Poller, end: float = math.inf) -> list[tuple[int, int]]:
        """Wait until one of several sockets is ready.

        Args:
            poller: Watches the sockets.
            end: When to stop waiting, in seconds of `time.monotonic`; the deadline of the attempt applies too.

        Returns:
            The ready descriptors with their events; empty if the time is up.
        """
        end = min(self._deadline, end)
        while True:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                return []
            if ready := poller.poll(math.ceil(min(left, _CANCEL_CHECK) * 1000)):
                self.check()
                return ready

    def wait_for_wake(self) -> None:
        """Wait until another thread calls `wake`.

        Raises:
            TimeoutError: None did by the deadline.
        """
        self.check()
        try:
            self._wakes.get(timeout=self.remaining())
        except queue.Empty:
            raise TimeoutError("timed out") from None
        self.check()

    def wake(self) -> None:
        """End `wait_for_wake`, now or at its next call."""
        self._wakes.put(None)
