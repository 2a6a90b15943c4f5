"""WebSocket handshake and frames (RFC 6455), server side, without I/O.

The server encodes its own frames because its faults need what libraries do not offer: half a frame, a frame after
which the connection is cut, silence on a healthy connection.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "FrameDecoder",
    "UpgradeRequest",
    "WebSocketError",
    "encode_frame",
    "parse_upgrade",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketError(Exception):
    """A violation of the WebSocket protocol by the client, with the close code to answer it with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class UpgradeRequest(NamedTuple):
    """A request to upgrade to a WebSocket, and the response to it.

    Attributes:
        path: The path of its URL.
        query: The query of its URL; of several values of a name the last one.
        headers: Its headers, with names in lower case.
        response: The response, complete with its head.
        accepted: Whether the response completes the upgrade.
    """

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    response: bytes
    accepted: bool


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Encode one unmasked, unfragmented frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def parse_upgrade(head: bytes) -> UpgradeRequest | None:
    """Parse the head of a request; return `None` if it does not ask for a WebSocket."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("upgrade", "").lower() != "websocket":
        return None
    method, _, rest = request_line.partition(" ")
    target = urlsplit(rest.partition(" ")[0])
    query = {name: values[-1] for name, values in parse_qs(target.query).items()}
    key = headers.get("sec-websocket-key", "")
    if method != "GET" or not key or headers.get("sec-websocket-version") != "13":
        response = b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n"
        return UpgradeRequest(target.path, query, headers, response, accepted=False)
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest())
    response = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return UpgradeRequest(target.path, query, headers, response, accepted=True)


def _unmask(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


class FrameDecoder:
    """Decodes received bytes into complete messages.

    Args:
        max_size: Size of the largest accepted message in bytes. 0: unlimited.
    """

    def __init__(self, max_size: int = 0) -> None:
        self.max_size = max_size
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._parts_size = 0
        self._opcode = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Add received bytes and return the (opcode, payload) of every message that they complete.

        Raises:
            WebSocketError: A frame violates the protocol, or a message is too large.
        """
        buffer = self._buffer
        buffer += data
        messages: list[tuple[int, bytes]] = []
        start, end = 0, len(buffer)
        while end - start >= 2:
            first, size = buffer[start], buffer[start + 1]
            if first & 0x70 or not size & 0x80:
                raise WebSocketError(1002, "reserved bits set or frame not masked")
            size &= 0x7F
            body = start + 6
            if size == 126:
                body += 2
            elif size == 127:
                body += 8
            if body > end:
                break
            if body > start + 6:
                size = int.from_bytes(buffer[start + 2 : body - 4], "big")
            if self.max_size and size + self._parts_size > self.max_size:
                raise WebSocketError(1009, "message too large")
            if body + size > end:
                break
            payload = _unmask(bytes(buffer[body : body + size]), bytes(buffer[body - 4 : body]))
            start = body + size
            message = self._assemble(first, payload)
            if message is not None:
                messages.append(message)
        del buffer[:start]
        return messages

    def _assemble(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        opcode, final = first & 0x0F, first & 0x80
        if opcode not in _OPCODES:
            raise WebSocketError(1002, f"unknown opcode {opcode}")
        if opcode >= CLOSE:
            if not final or len(payload) > 125:
                raise WebSocketError(1002, "control frame fragmented or too long")
            return opcode, payload
        if (opcode == CONTINUATION) != bool(self._opcode):
            raise WebSocketError(1002, "unexpected continuation frame, or a new message inside a fragmented one")
        if final and opcode != CONTINUATION:
            return opcode, payload
        self._opcode = opcode or self._opcode
        self._parts.append(payload)
        self._parts_size += len(payload)
        if not final:
            return None
        message = self._opcode, b"".join(self._parts)
        self._parts, self._parts_size, self._opcode = [], 0, 0
        return message
