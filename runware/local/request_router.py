"""Route a new TCP connection by its first request: to a WebSocket connection, or to the HTTP server."""

# asyncio defines the parameters of a protocol's callbacks.
# ruff: noqa: ARG002

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import cast

from runware.local.access_control import denial_reason
from runware.local.connection import ConnectionHandler, WebSocketConnection
from runware.local.state import ServerState
from runware.local.websocket_frames import parse_upgrade

__all__ = ["OpenTransports", "RequestRouter"]

_MAX_HEAD = 64 * 1024


class OpenTransports:
    """The TCP connections of a running server.

    Attributes:
        unrouted: Those whose first request has not been received completely.
        all: All of them, as long as asyncio keeps them.
    """

    def __init__(self) -> None:
        self.unrouted: set[asyncio.Transport] = set()
        self.all: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()


class RequestRouter(asyncio.Protocol):
    """Reads the head of the first request and hands the connection over.

    Args:
        state: The state of the server.
        handler: The receiver of the events of WebSocket connections.
        transports: Where the connection is registered.
        http_protocol: Creates the protocol of a plain HTTP connection.
    """

    def __init__(
        self,
        state: ServerState,
        handler: ConnectionHandler,
        transports: OpenTransports,
        http_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        self._state = state
        self._handler = handler
        self._transports = transports
        self._http_protocol = http_protocol
        self._head = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the new connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._transports.unrouted.add(self._transport)
        self._transports.all.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection that ended before its first request was complete."""
        if self._transport is not None:
            self._transports.unrouted.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Read until the head of the request is complete, then hand the connection over."""
        transport = self._transport
        assert transport is not None
        self._head += data
        head, separator, rest = self._head.partition(b"\r\n\r\n")
        if not separator:
            if len(self._head) > _MAX_HEAD:
                transport.abort()
            return
        self._transports.unrouted.discard(transport)
        request = parse_upgrade(head)
        if request is None:
            protocol = self._http_protocol()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            protocol.data_received(self._head)
            return
        reason = denial_reason(
            request.headers.get("host"), request.headers.get("origin"), self._state.options.allowed_hosts
        )
        if reason is not None:
            transport.write(
                b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(reason), reason.encode())
            )
            transport.close()
        elif not request.accepted:
            transport.write(request.response)
            transport.close()
        else:
            loop = asyncio.get_running_loop()
            connection = WebSocketConnection(self._state, self._handler, loop, transport, request)
            transport.set_protocol(connection)
            connection.accept(request.response)
            if rest:
                connection.data_received(rest)
