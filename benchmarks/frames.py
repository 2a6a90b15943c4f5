"""The server's side of the protocol: frames as bytes, and response templates."""

from __future__ import annotations

import base64
import hashlib
import re

__all__ = [
    "CANONICAL",
    "HEAVY_HEAD",
    "HEAVY_TAIL",
    "ITEM",
    "PONG",
    "PROMPT",
    "SMALL",
    "SMALL_HEADER",
    "SMALL_RESPONSE",
    "UUID",
    "WHOLE",
    "edges",
    "frame",
    "head",
    "lone",
    "response",
    "stamped",
    "upgrade",
]

EDGE = 2048
WHOLE = 256 * 1024
"""Bytes up to which a message is parsed whole; of a larger one, only the edges are."""
CANONICAL = b'[{"taskType":"imageInference","taskUUID":"'
UUID = re.compile(rb'"taskUUID": ?"([^"]*)"')
PROMPT = re.compile(rb'"positivePrompt": ?"([^"]*)"')
MANY = re.compile(rb'"numberResults":(?! ?1[,}])')

ITEM = (
    b'{"taskType":"imageInference","taskUUID":"%b","imageUUID":"9d1b6f10-0c37-4a35-9a86-%012x",'
    b'"imageURL":"https://im.runware.ai/image/ws/2/ii/9d1b6f10-0c37-4a35-9a86-%012x.png","seed":77,"cost":0.0013}'
)
HEAVY_HEAD = (
    b'{"data":[{"taskType":"imageInference","taskUUID":"%b","imageUUID":"9d1b6f10-0c37-4a35-9a86-%012x",'
    b'"imageBase64Data":"'
)
HEAVY_TAIL = b'","seed":77,"cost":0.0013}]}'
PONG = b'{"data":[{"taskType":"ping","pong":true}]}'


def head(length: int, opcode: int = 1) -> bytes:
    """Return the header of a frame from the server."""
    if length < 126:
        return bytes((0x80 | opcode, length))
    if length < 65_536:
        return bytes((0x80 | opcode, 126)) + length.to_bytes(2, "big")
    return bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big")


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """Return a frame from the server."""
    return head(len(payload), opcode) + payload


def response(payload: bytes) -> bytes:
    """Return an HTTP response with JSON."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(payload),
        payload,
    )


_SMALL_HEAD = head(len(b'{"data":[' + ITEM % (b"0" * 36, 0, 0) + b"]}"))
SMALL_HEADER = len(_SMALL_HEAD)
"""Bytes of `SMALL` before its payload."""
SMALL = _SMALL_HEAD.replace(b"%", b"%%") + b'{"data":[' + ITEM + b"]}"
"""The whole frame that answers a small task: fill in its UUID, and a number twice."""
SMALL_RESPONSE = (
    response(b'{"data":[' + ITEM % (b"0" * 36, 0, 0) + b"]}").partition(b"{")[0] + b'{"data":[' + ITEM + b"]}"
)
"""The same as an HTTP response."""


def lone(text: bytes) -> bytes:
    """Return the UUID of a message's only task if one result is to be sent at once, in whatever JSON formatting."""
    if b'"imageInference"' in text and b'"async"' not in text and text.count(b"{") == 1 and not MANY.search(text):
        found = UUID.search(text)
        return found[1] if found else b""
    return b""


def stamped(item: bytes, name: bytes, stamp: int) -> bytes:
    """Add a timestamp to a result, also as the seed: some clients drop fields that they do not know."""
    return item.replace(b'"seed":77', b'"seed":%d,"%b":%d' % (stamp, name, stamp))


def unmask(payload: bytes, key: bytes) -> bytes:
    """Unmask a piece that begins where the mask does."""
    length = len(payload)
    mask = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(length, "little")


def edges(buffer: bytes, start: int, end: int, key: bytes) -> bytes:
    """Return the unmasked payload of a frame in a buffer; of a large one, its beginning and end."""
    if end - start <= WHOLE:
        return unmask(buffer[start:end], key)
    tail = start + ((end - start - EDGE) & ~3)
    return unmask(buffer[start : start + EDGE], key) + unmask(buffer[tail:end], key)


def upgrade(request: bytes) -> bytes:
    """Answer the request that opens a WebSocket."""
    fields = dict(line.split(b":", 1) for line in request.split(b"\r\n")[1:])
    key = next(value.strip() for name, value in fields.items() if name.lower() == b"sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
