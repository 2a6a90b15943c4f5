"""The blocking HTTP requests that a client ends when it is closed, besides its calls."""

from __future__ import annotations

from typing import Protocol

from runware.errors import ClientClosedError

__all__ = ["OpenRequests"]


class Request(Protocol):
    """Some requests of one block of code, as what ends them sees them."""

    def end(self) -> None:
        """End them at once; callable in any thread."""

    def abandon(self) -> None:
        """Close their connections after a fork, in the child, without a word to the server."""


class OpenRequests:
    """What is being asked of the server over HTTP in the threads of callers.

    It has no lock: a child that was forked while another thread held it would wait for ever.
    """

    def __init__(self) -> None:
        self._open: set[Request] = set()
        self.closed = False

    def add(self, request: Request) -> None:
        """Add requests that begin.

        Raises:
            ClientClosedError: The client is closed.
        """
        self._open.add(request)
        if self.closed:  # looked at last, so that `close` ends the requests, or this finds it closed
            self.discard(request)
            self.check()

    def discard(self, request: Request) -> None:
        """Remove requests that are over."""
        self._open.discard(request)

    def check(self) -> None:
        """Raise `ClientClosedError` if the client is closed."""
        if self.closed:
            raise ClientClosedError("The client is closed. Create a new one for further calls.")

    def close(self) -> None:
        """End all requests at once, and refuse later ones."""
        self.closed = True
        for request in tuple(self._open):
            request.end()

    def abandon(self) -> None:
        """Reset after a fork, in the child: the requests are those of the parent."""
        requests, self._open = self._open, set()
        for request in requests:
            request.abandon()
