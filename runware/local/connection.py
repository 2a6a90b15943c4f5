"""One WebSocket connection."""

# asyncio defines the parameters of a protocol's callbacks.
# ruff: noqa: ARG002

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from runware.local.client_session import ClientSession
from runware.local.encoding import encode_json
from runware.local.output import Frame
from runware.local.state import ServerState
from runware.local.uuids import new_uuid
from runware.local.websocket_frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameDecoder,
    UpgradeRequest,
    WebSocketError,
    encode_frame,
)

__all__ = ["ConnectionHandler", "WebSocketConnection", "reset_transport"]

_CLOSE_TIMEOUT = 2.0
# All responses to the data of one read are written at once, and so are the frames of one step of the event loop, until
# this many bytes are waiting.
_FLUSH_BYTES = 64 * 1024


def reset_transport(transport: asyncio.Transport) -> None:
    """End a TCP connection with a reset (RST) instead of an orderly shutdown."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            # The peer has ended the connection already.
            return
    transport.abort()


class ConnectionHandler(Protocol):
    """The receiver of the events of WebSocket connections."""

    def connection_opened(self, connection: WebSocketConnection) -> None:
        """Handle the end of the upgrade."""

    def connection_lost(self, connection: WebSocketConnection) -> None:
        """Handle the end of the TCP connection."""

    def text_received(self, connection: WebSocketConnection, payload: bytes) -> None:
        """Handle a text message."""

    def binary_received(self, connection: WebSocketConnection) -> None:
        """Handle a binary message."""

    def ping_received(self, connection: WebSocketConnection) -> bool:
        """Return whether a ping frame is to be answered."""
        ...


class WebSocketConnection(asyncio.Protocol):
    """One WebSocket connection.

    Args:
        state: The state of the server.
        handler: The receiver of its events.
        loop: The event loop of the server.
        transport: The TCP (or TLS) connection.
        request: Its upgrade request.

    Attributes:
        session: Its session; `None` before authentication.
        query: The query of its URL.
        headers: The headers of its upgrade request, with names in lower case.
        dry: Whether tasks are only validated.
        stalled: Whether nothing is read or written while TCP stays up.
        opened_at: The event loop's time when it was opened.
        uuid: The UUID of its session if a resumed session gets another one.
    """

    def __init__(
        self,
        state: ServerState,
        handler: ConnectionHandler,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        request: UpgradeRequest,
    ) -> None:
        self.session: ClientSession | None = None
        self.query = request.query
        self.headers = request.headers
        state.ledger.user_agents.add(request.headers.get("user-agent", ""))
        self.dry = request.query.get("dryRun") == "1"
        self.stalled = False
        self.uuid = new_uuid()
        self._state = state
        self._handler = handler
        self._loop = loop
        self._transport = transport
        self._decoder = FrameDecoder(state.switches.q13)
        self._out: list[bytes] = []
        self._out_size = 0
        self._reading = False
        self._lost = False
        self._close_sent = False
        self._last_message = self.opened_at = loop.time()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def usable(self) -> bool:
        """Whether a frame that is written now may arrive."""
        return not (self._lost or self.stalled or self._close_sent or self._transport.is_closing())

    @property
    def mixes(self) -> bool:
        """Whether results of different tasks share frames."""
        return self._state.options.mix_tasks

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call a function in the next step of the event loop."""
        self._loop.call_soon(callback)

    # Events of the TCP connection.

    def accept(self, response: bytes) -> None:
        """Complete the upgrade with the response to its request."""
        self._transport.write(response)
        self._handler.connection_opened(self)
        self.check_inactivity()
        self._schedule_ping()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers and report the end of the connection."""
        self._lost = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._handler.connection_lost(self)

    def data_received(self, data: bytes) -> None:
        """Handle every message that the received bytes complete."""
        if self.stalled:
            return
        self._last_message = self._loop.time()
        self._reading = True
        try:
            for opcode, payload in self._decoder.feed(data):
                if self.stalled or self._lost:
                    return
                self._message_received(opcode, payload)
        except WebSocketError as error:
            self.close(error.code, str(error))
        finally:
            self._reading = False
            self._flush()

    def _message_received(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            if self.usable:
                self._handler.text_received(self, payload)
        elif opcode == PING:
            if self.usable and self._handler.ping_received(self):
                self._write(encode_frame(PONG, payload))
        elif opcode == CLOSE:
            if not self._close_sent:
                self._close_sent = True
                self._write(encode_frame(CLOSE, payload[:2]))
            self._flush()
            self._transport.close()
        elif opcode == BINARY:
            self._handler.binary_received(self)

    # Sending.

    def send(self, frame: Frame) -> int:
        """Write one frame; return its size in bytes, or 0 if it could not be written."""
        if not self.usable:
            return 0
        self._last_message = self._loop.time()
        data = _encode(frame)
        self._write(data)
        self._state.ledger.frames_sent += 1
        return len(data)

    def send_half(self, frame: Frame) -> None:
        """Write the first half of a frame."""
        data = _encode(frame)
        self._write(data[: max(1, len(data) // 2)])

    def _write(self, data: bytes) -> None:
        if not self._out and not self._reading:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size > _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._out and not self._lost and not self.stalled:
            self._transport.write(b"".join(self._out))
        self._out.clear()
        self._out_size = 0

    # Ending.

    def end(self, how: str, code: int = 1000) -> None:
        """End the connection: `fin`, `rst`, `stall`, or `close` with a close code."""
        if how == "close":
            self.close(code)
            return
        self._flush()
        if how == "stall":
            self.stalled = True
            self._transport.pause_reading()
        elif how == "rst":
            reset_transport(self._transport)
        else:
            self._transport.close()

    def resume(self) -> None:
        """End a stall: read and write again."""
        if self.stalled and not self._lost:
            self.stalled = False
            self._transport.resume_reading()

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, and end TCP when the client has answered it or after 2 seconds."""
        if self._lost or self._close_sent:
            return
        self._write(encode_frame(CLOSE, struct.pack("!H", code) + reason.encode()[:120]))
        self._flush()
        self._close_sent = True
        self._set_timer("close", _CLOSE_TIMEOUT, self._transport.abort)

    def abort(self) -> None:
        """End TCP at once and discard unsent data."""
        self._transport.abort()

    # Timers.

    def _set_timer(self, name: str, delay: float, action: Callable[[], None]) -> None:
        previous = self._timers.pop(name, None)
        if previous is not None:
            previous.cancel()
        if not self._lost:
            self._timers[name] = self._loop.call_later(delay, action)

    def check_inactivity(self) -> None:
        """Close the connection if it has been inactive for too long, or check again when it may have been."""
        limit = self._state.options.inactivity
        if limit <= 0:
            self._set_timer("inactivity", 1.0, self.check_inactivity)
            return
        remaining = self._last_message + limit - self._loop.time()
        if remaining <= 0:
            self.close(1000, "inactivity")
        else:
            self._set_timer("inactivity", remaining, self.check_inactivity)

    def _schedule_ping(self) -> None:
        interval = self._state.switches.q16
        if interval > 0:
            self._set_timer("ping", interval, self._send_ping)

    def _send_ping(self) -> None:
        if self.usable:
            self._write(encode_frame(PING, b""))
        self._schedule_ping()


def _encode(frame: Frame) -> bytes:
    if isinstance(frame, bytes):
        return encode_frame(BINARY, frame)
    text = frame if isinstance(frame, str) else encode_json(frame)
    return encode_frame(TEXT, text.encode())
