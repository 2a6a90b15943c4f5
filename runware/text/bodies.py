"""The bodies of streamed responses, read past the HTTP library.

The library makes an event for each chunk, and a stream of text has a chunk for each token: that takes longer than all
else that happens to a token. So the library connects, sends the request and reads the head, and a parser that takes
whole buffers does the rest. The library reads no further than to the end of the head while no body is asked for; what
it has read is kept, and parsed again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from runware._support.lazy_modules import lazy_module
from runware.protocol.http_response import ResponseParser, ResponseSyntaxError

if TYPE_CHECKING:
    import httpcore2
    import httpx2
else:
    httpcore2 = lazy_module("httpcore2")

__all__ = ["AsyncBody", "BlockingBody"]

_READ = 64 * 1024
"""The most bytes that are read at once."""


class _Body:
    """What the two forms have in common.

    Args:
        network: The connection, as the HTTP library has it, before the response is read; `None` if there is none, as
            with a transport that makes responses up, whose bodies the library reads.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self._read: Any = None if network is None else network.read
        self._received: list[bytes] = []
        self._parser = ResponseParser()
        self._first = b""

    def _parse_again(self, response: httpx2.Response) -> bool:
        """Parse what the library has read; return `False` if the body is better left to the library."""
        if self._network is None:
            return False
        self._network.read = self._read
        try:
            self._first = self._parser.feed(b"".join(self._received))
        except ResponseSyntaxError:  # the library accepts some of what old servers do
            return False
        finally:
            self._received.clear()
        return self._parser.status == response.status_code and b"content-encoding" not in self._parser.headers

    def _take_first(self) -> bytes:
        first, self._first = self._first, b""
        return first

    def _parse(self, data: bytes) -> bytes:
        if data:
            return self._parser.feed(data)
        self._parser.close()
        return b""


class BlockingBody(_Body):
    """A body that is read in a thread. The timeouts are those of the connection."""

    def __init__(self, network: Any) -> None:
        super().__init__(network)
        self._parts: Iterator[bytes] | None = None
        if network is not None:
            network.read = self._keep

    def _keep(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = self._read(max_bytes, timeout)
        self._received.append(data)
        return data

    def begin(self, response: httpx2.Response) -> None:
        """Take the body of this response, whose head has been read."""
        if not self._parse_again(response):
            self._parts = response.iter_bytes()

    def read(self) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            ResponseSyntaxError: The response cannot be parsed, or is incomplete.
            TimeoutError: Nothing came in time.
            Exception: One of the HTTP library, for other reasons.
        """
        if self._parts is not None:
            return next(self._parts, b"")
        part = self._take_first()
        while not (part or self._parser.complete):
            try:
                data = self._read(_READ)
            except httpcore2.ReadTimeout:
                raise TimeoutError("timed out") from None
            part = self._parse(data)
        return part


class AsyncBody(_Body):
    """A body that is read in an event loop."""

    def __init__(self, network: Any) -> None:
        super().__init__(network)
        self._parts: AsyncIterator[bytes] | None = None
        if network is not None:
            network.read = self._keep

    async def _keep(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = await self._read(max_bytes, timeout)
        self._received.append(data)
        return data

    def begin(self, response: httpx2.Response) -> None:
        """Take the body of this response, whose head has been read."""
        if not self._parse_again(response):
            self._parts = response.aiter_bytes()

    async def read(self) -> bytes:
        """Return the next bytes; none at the end. Raises as `BlockingBody.read` does."""
        if self._parts is not None:
            return await anext(self._parts, b"")
        part = self._take_first()
        while not (part or self._parser.complete):
            part = self._parse(await self._read(_READ))
        return part
