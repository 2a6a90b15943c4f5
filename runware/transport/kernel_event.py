"""Events that another thread sets through a file descriptor, so that a poller or an event loop can wait for them."""

from __future__ import annotations

import io
import os
import socket
import sys
from typing import Protocol

__all__ = ["KernelEvent", "make_event"]

_ONE = (1).to_bytes(8, sys.byteorder)


class KernelEvent(Protocol):
    """An event with a descriptor, which is readable while it is set. A method raises `OSError` once it is closed."""

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        ...

    def set(self) -> None:
        """Set it: wake what waits for it. That it is set already is no error."""

    def take(self) -> bool:
        """Clear it, if it is set; if it was made for blocking, wait until it is. Return `False` if it cannot be set."""
        ...

    def close(self) -> None:
        """Close its descriptors, even if the process has closed them already."""


class _EventFd:
    """An eventfd: setting and clearing it takes a third of the time that a socket pair takes.

    It is wrapped into a file object, so that a thread that uses it while another one closes it gets an error, and does
    not write into what has its descriptor next.
    """

    __slots__ = ("_buffer", "_file")

    def __init__(self, *, blocking: bool) -> None:
        self._buffer = bytearray(8)
        self._file = io.FileIO(os.eventfd(0, os.EFD_CLOEXEC | (0 if blocking else os.EFD_NONBLOCK)), "r+")

    def fileno(self) -> int:
        return self._file.fileno()

    def set(self) -> None:
        try:
            self._file.write(_ONE)
        except ValueError as error:
            raise OSError("the event is closed") from error

    def take(self) -> bool:
        try:
            return bool(self._file.readinto(self._buffer))
        except ValueError as error:
            raise OSError("the event is closed") from error

    def close(self) -> None:
        try:
            self._file.close()
        except OSError:
            pass

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()


class _SocketPair:
    """A socket pair, where there is no eventfd."""

    __slots__ = ("_far", "_near")

    def __init__(self, *, blocking: bool) -> None:
        self._near, self._far = socket.socketpair()
        self._near.settimeout(None if blocking else 0.0)  # regardless of socket.setdefaulttimeout
        self._far.settimeout(0.0)

    def fileno(self) -> int:
        return self._near.fileno()

    def set(self) -> None:
        try:
            self._far.send(b"\0")
        except BlockingIOError:  # so many bytes wait that it is set for sure
            pass

    def take(self) -> bool:
        try:
            return bool(self._near.recv(4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        for end in (self._near, self._far):
            try:
                end.close()
            except OSError:
                pass

    def __del__(self) -> None:
        if hasattr(self, "_far"):
            self.close()


def make_event(*, blocking: bool) -> KernelEvent:
    """Return a new event, which is not set.

    Args:
        blocking: Whether `take` waits until it is set.

    Raises:
        OSError: The process has no descriptor left.
    """
    return _EventFd(blocking=blocking) if hasattr(os, "eventfd") else _SocketPair(blocking=blocking)
