"""The streams and chats of a client that are in flight, so that closing the client ends them."""

from __future__ import annotations

import weakref
from typing import Protocol

from runware._support.locks import make_rlock
from runware.errors import ClientClosedError

__all__ = ["OpenStreams"]


class OpenStream(Protocol):
    """What a client ends when it is closed: a stream, or a chat that waits for an answer."""

    @property
    def in_flight(self) -> str | None:
        """What it is called in the log, if it was sent and is not complete: the UUID of its task, if there is one."""
        ...

    def abort(self, *, client: bool = False) -> None:
        """End the connection; safe in any thread."""

    def abandon(self) -> None:
        """After a fork, in the child: close the connection's descriptors without writing to it."""


class OpenStreams:
    """The streams of a client that are being read, so that closing the client ends them."""

    def __init__(self) -> None:
        self._lock = make_rlock()
        self._open: weakref.WeakSet[OpenStream] = weakref.WeakSet()
        self._closed = False

    def add(self, reader: OpenStream) -> None:
        """Register a stream.

        Raises:
            ClientClosedError: The client is closed.
        """
        with self._lock:
            if self._closed:
                raise ClientClosedError("The client is closed. Create a new one for further calls.")
            self._open.add(reader)

    def unfinished(self) -> list[str]:
        """Return the names of the streams that were sent and are not complete."""
        with self._lock:
            every = list(self._open)
        return [name for one in every if (name := one.in_flight) is not None]

    def close(self) -> None:
        """End every stream, for good."""
        with self._lock:
            self._closed = True
            readers = list(self._open)
        for reader in readers:
            reader.abort(client=True)

    def abandon(self) -> None:
        """After a fork, in the child: fail the parent's streams, which continue there."""
        self._lock = make_rlock()
        readers, self._open = list(self._open), weakref.WeakSet()
        for reader in readers:
            reader.abandon()
