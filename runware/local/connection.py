"""One TCP connection: the first request decides whether it becomes a WebSocket or goes to the HTTP server."""

# asyncio decides what its protocols are told.
# ruff: noqa: ARG002

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, cast

from runware.local.guard import refusal
from runware.local.media import new_uuid
from runware.local.wire import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameReader,
    Handshake,
    ProtocolError,
    dumps,
    encode_frame,
    parse_handshake,
)

if TYPE_CHECKING:
    from runware.local.engine import Engine
    from runware.local.sessions import Output, Session

__all__ = ["Connection", "FrontDoor", "reset"]

_MAX_HEAD = 64 * 1024
_CLOSE_TIMEOUT = 2.0
# The answers to what came in one read share a write, and so do frames of one step of the event loop, until so many
# bytes are waiting.
_FLUSH_BYTES = 64 * 1024


def reset(transport: asyncio.Transport) -> None:
    """End a TCP connection with a reset instead of an orderly end."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            # The peer was faster; there is nothing left to reset.
            return
    transport.abort()


class FrontDoor(asyncio.Protocol):
    """Reads the head of the first request and hands the connection over."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._head = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._engine.waiting.add(self._transport)
        self._engine.transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went away before it asked for anything."""
        if self._transport is not None:
            self._engine.waiting.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Read on until the head is complete."""
        assert self._transport is not None
        self._head += data
        head, separator, rest = self._head.partition(b"\r\n\r\n")
        if not separator:
            if len(self._head) > _MAX_HEAD:
                self._transport.abort()
            return
        self._engine.waiting.discard(self._transport)
        handshake = parse_handshake(head)
        if handshake is None:
            protocol = self._engine.http_protocol()
            self._transport.set_protocol(protocol)
            protocol.connection_made(self._transport)
            protocol.data_received(self._head)
            return
        headers, allowed = handshake.headers, self._engine.state.options.allowed_hosts
        reason = refusal(headers.get("host"), headers.get("origin"), allowed)
        if reason is not None:
            self._transport.write(
                b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(reason), reason.encode())
            )
            self._transport.close()
        elif not handshake.accepted:
            self._transport.write(handshake.reply)
            self._transport.close()
        else:
            connection = Connection(self._engine, self._transport, handshake)
            self._transport.set_protocol(connection)
            connection.opened(handshake.reply)
            if rest:
                connection.data_received(rest)


class Connection(asyncio.Protocol):
    """One WebSocket connection.

    Attributes:
        engine: What answers.
        session: What it carries; `None` before authentication.
        query: The query of its URL.
        headers: The headers of its upgrade request, names in lower case.
        dry: Whether tasks are only validated.
        stalled: Whether it is played dead: nothing is read or written, TCP stays up.
    """

    def __init__(self, engine: Engine, transport: asyncio.Transport, handshake: Handshake) -> None:
        self.engine = engine
        self.session: Session | None = None
        self.query = handshake.query
        self.headers = handshake.headers
        self.dry = handshake.query.get("dryRun") == "1"
        self.stalled = False
        self.uuid = new_uuid()
        self._transport = transport
        self._reader = FrameReader(engine.state.switches.q13)
        self._out: list[bytes] = []
        self._out_size = 0
        self._reading = False
        self._lost = False
        self._close_sent = False
        self._last_message = engine.loop.time()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def usable(self) -> bool:
        """Whether something written now may arrive."""
        return not (self._lost or self.stalled or self._close_sent or self._transport.is_closing())

    @property
    def mixes(self) -> bool:
        """Whether results of different tasks share frames."""
        return self.engine.state.options.mix_tasks

    def opened(self, reply: bytes) -> None:
        """The upgrade was accepted."""
        self._transport.write(reply)
        self.engine.connection_opened(self)
        self._watch_inactivity()
        self._ping_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is over."""
        self._lost = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.engine.connection_lost(self)

    def data_received(self, data: bytes) -> None:
        """Answer what the client sent."""
        if self.stalled:
            return
        self._last_message = self.engine.loop.time()
        self._reading = True
        try:
            for opcode, payload in self._reader.feed(data):
                if self.stalled or self._lost:
                    return
                self._message(opcode, payload)
        except ProtocolError as error:
            self.close(error.code, str(error))
        finally:
            self._reading = False
            self._flush()

    def _message(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            if self.usable:
                self.engine.message_received(self, payload)
        elif opcode == PING:
            if self.usable and not self.engine.faults.pinged(self, "protocol"):
                self._write(encode_frame(PONG, payload))
        elif opcode == CLOSE:
            if not self._close_sent:
                self._close_sent = True
                self._write(encode_frame(CLOSE, payload[:2]))
            self._flush()
            self._transport.close()
        elif opcode == BINARY:
            self.engine.binary_received(self)

    def send(self, output: Output) -> int:
        """Write one frame; give its size in bytes, 0 if it cannot be written any more."""
        if not self.usable:
            return 0
        self._last_message = self.engine.loop.time()
        frame = _frame(output)
        self._write(frame)
        self.engine.state.ledger.frames_sent += 1
        return len(frame)

    def send_half(self, output: Output) -> None:
        """Write the first half of a frame."""
        frame = _frame(output)
        self._write(frame[: max(1, len(frame) // 2)])

    def _write(self, frame: bytes) -> None:
        if not self._out and not self._reading:
            self.engine.loop.call_soon(self._flush)
        self._out.append(frame)
        self._out_size += len(frame)
        if self._out_size > _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._out and not self._lost and not self.stalled:
            self._transport.write(b"".join(self._out))
        self._out.clear()
        self._out_size = 0

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
            reset(self._transport)
        else:
            self._transport.close()

    def wake(self) -> None:
        """End a stall: read and write again."""
        if self.stalled and not self._lost:
            self.stalled = False
            self._transport.resume_reading()

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame; TCP ends when the client has answered, or soon after."""
        if self._lost or self._close_sent:
            return
        self._write(encode_frame(CLOSE, struct.pack("!H", code) + reason.encode()[:120]))
        self._flush()
        self._close_sent = True
        self._timer("close", _CLOSE_TIMEOUT, self._transport.abort)

    def abort(self) -> None:
        """End TCP at once, whatever is still unsent."""
        self._transport.abort()

    def _timer(self, name: str, delay: float, action: Any) -> None:
        previous = self._timers.pop(name, None)
        if previous is not None:
            previous.cancel()
        if not self._lost:
            self._timers[name] = self.engine.loop.call_later(delay, action)

    def _watch_inactivity(self) -> None:
        limit = self.engine.state.options.inactivity
        if limit <= 0:
            self._timer("inactivity", 1.0, self._watch_inactivity)
            return
        left = self._last_message + limit - self.engine.loop.time()
        if left <= 0:
            self.close(1000, "inactivity")
        else:
            self._timer("inactivity", left, self._watch_inactivity)

    def inactivity_changed(self) -> None:
        """The limit was changed; look again."""
        self._watch_inactivity()

    def _ping_later(self) -> None:
        interval = self.engine.state.switches.q16
        if interval > 0:
            self._timer("ping", interval, self._ping)

    def _ping(self) -> None:
        if self.usable:
            self._write(encode_frame(PING, b""))
        self._ping_later()


def _frame(output: Output) -> bytes:
    if isinstance(output, bytes):
        return encode_frame(BINARY, output)
    if isinstance(output, str):
        return encode_frame(TEXT, output.encode())
    return encode_frame(TEXT, dumps(output).encode())
