"""WebSocket framing (RFC 6455), server side, without I/O.

The server writes its own frames because the faults it plays need what no library offers: half a frame, a frame
after which the connection is cut, silence on a healthy connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "FrameReader",
    "Handshake",
    "ProtocolError",
    "dumps",
    "encode_frame",
    "parse_handshake",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


class ProtocolError(Exception):
    """The peer broke the WebSocket protocol; `code` is the close code that says how."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Handshake(NamedTuple):
    """An upgrade request: its path, query (last value of each name), headers (lower case), and our reply."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    reply: bytes
    accepted: bool


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Make one unmasked, unfragmented frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def parse_handshake(head: bytes) -> Handshake | None:
    """Read a request head; `None` if it does not ask for a WebSocket."""
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
        refusal = b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n"
        return Handshake(target.path, query, headers, refusal, accepted=False)
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest())
    reply = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return Handshake(target.path, query, headers, reply, accepted=True)


def _unmask(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


class FrameReader:
    """Turns received bytes into whole messages.

    Args:
        max_size: Bytes of the largest accepted message. 0: no limit.
    """

    def __init__(self, max_size: int = 0) -> None:
        self.max_size = max_size
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._parts_size = 0
        self._opcode = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take received bytes; give the (opcode, payload) of every message that they complete.

        Raises:
            ProtocolError: The bytes are not what a client may send, or a message is too large.
        """
        buffer = self._buffer
        buffer += data
        messages: list[tuple[int, bytes]] = []
        start, end = 0, len(buffer)
        while end - start >= 2:
            first, size = buffer[start], buffer[start + 1]
            if first & 0x70 or not size & 0x80:
                raise ProtocolError(1002, "reserved bits set or frame not masked")
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
                raise ProtocolError(1009, "message too large")
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
            raise ProtocolError(1002, f"unknown opcode {opcode}")
        if opcode >= CLOSE:
            if not final or len(payload) > 125:
                raise ProtocolError(1002, "control frame fragmented or too long")
            return opcode, payload
        if (opcode == CONTINUATION) != bool(self._opcode):
            raise ProtocolError(1002, "continuation out of place")
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
