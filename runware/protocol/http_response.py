"""A parser of HTTP/1.1 responses to POST requests, which works through whole buffers at once.

A stream of text has a chunk of some two hundred bytes for each token. A parser with an event for each chunk takes
longer than everything else that happens to a token. What this one does not know, such as other codings than `chunked`,
it refuses.
"""

from __future__ import annotations

import re

__all__ = ["ResponseParser", "ResponseSyntaxError"]

MAX_HEAD = 64 * 1024
"""The size limit of the status line and the headers, and of a trailer, in bytes."""
_MAX_LINE = 4096
"""The size limit of the line before a chunk, which may hold extensions, in bytes."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\0\r\n]*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\0\r\n]*)")
"""A header. A proxy may end a line at a lone CR or LF, and would see other headers than this parser."""
_FOLD = re.compile(rb"\r\n[ \t]+")
_CHUNK_HEAD = re.compile(rb"\r\n([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_NO_BODY = (204, 304)


class ResponseSyntaxError(ValueError):
    """The response is not HTTP/1.1, or is incomplete. The text says how."""


class ResponseParser:
    """Parse one response, from bytes that may be cut anywhere. Interim responses (1xx) are skipped.

    Attributes:
        status: The HTTP status; 0 until the head is complete.
        headers: The headers, by their names in lower case. Values of the same name are joined with commas.
        complete: Whether the whole response was parsed.
        reusable: Whether the connection may be used for another request: the response is complete, nothing follows it,
            and the server keeps the connection open.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.complete = False
        self.reusable = False
        self._kept_open = False
        self._partial = b""  # of a head, or of the line before a chunk
        self._chunked = False
        self._trailing = False  # the last chunk has come, and its trailer has not
        self._left: int | None = 0  # bytes of the body or chunk still to come; `None` until the connection ends

    def feed(self, data: bytes) -> bytes:
        """Parse the next bytes, and return those of the body that are in them.

        Raises:
            ResponseSyntaxError: They are not part of a response.
        """
        if not self.status:
            data = self._take_head(data)
            if not self.status:
                return b""
        if self.complete:
            self.reusable = self.reusable and not data
            return b""
        if self._chunked:
            return self._take_chunks(data) if data else b""
        left = self._left
        if left is None:
            return data
        if len(data) < left:
            self._left = left - len(data)
            return data
        self._finish(data[left:])
        return data[:left]

    def close(self) -> None:
        """Note that the connection has ended.

        Raises:
            ResponseSyntaxError: The response is incomplete.
        """
        if not self.status:
            raise ResponseSyntaxError("the server closed the connection without a response")
        if self._left is None:
            self._finish(b"")
        if not self.complete:
            raise ResponseSyntaxError("the server closed the connection in the middle of its response")

    def _finish(self, rest: bytes) -> None:
        self.complete = True
        self.reusable = self._kept_open and not rest

    def _take_head(self, data: bytes) -> bytes:
        """Parse the head if it is complete; return what follows it."""
        data = self._partial + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            status = self._parse_head(data[:end])
            data = data[end + 4 :]
            if status >= 200:
                self._partial = b""
                self._begin_body(status)
                return data
            if status == 101:
                raise ResponseSyntaxError("the server switched to another protocol")
        if len(data) > MAX_HEAD:
            raise ResponseSyntaxError("the head of the response is too long")
        self._partial = data
        return b""

    def _parse_head(self, head: bytes) -> int:
        """Parse a status line and headers; return the status."""
        if len(head) > MAX_HEAD:
            raise ResponseSyntaxError("the head of the response is too long")
        if b"\r\n " in head or b"\r\n\t" in head:
            head = _FOLD.sub(b" ", head)
        lines = head.split(b"\r\n")
        found = _STATUS_LINE.fullmatch(lines[0])
        if found is None:
            raise ResponseSyntaxError("the response does not begin like HTTP/1.1")
        headers: dict[bytes, bytes] = {}
        for line in lines[1:]:
            header = _HEADER.fullmatch(line)
            if header is None:
                raise ResponseSyntaxError("the response has a malformed header")
            name, value = header[1].lower(), header[2].strip(b" \t")
            headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
        self.headers = headers
        closes = b"close" in headers.get(b"connection", b"").lower()
        self._kept_open = found[1] == b"1" and not closes
        return int(found[2])

    def _begin_body(self, status: int) -> None:
        """Find out where the body ends."""
        coding, length = self.headers.get(b"transfer-encoding"), self.headers.get(b"content-length")
        self.status = status
        if status in _NO_BODY:
            # A body that is announced may follow all the same, and would begin the next response.
            self._kept_open = self._kept_open and coding is None and length in (None, b"0")
            self._finish(b"")
        elif coding is not None:
            if coding.lower() != b"chunked":
                raise ResponseSyntaxError("the response has an unknown transfer coding")
            self._chunked = True
            self._partial = b"\r\n"  # so that the first chunk begins as the others do
            self._kept_open = self._kept_open and length is None  # a mixture may be an attempt to smuggle a response
        elif length is not None:
            length, *others = {one.strip() for one in length.split(b",")}  # proxies may repeat it
            if others or not length.isdigit() or len(length) > 15:
                raise ResponseSyntaxError("the response has an invalid length")
            self._left = int(length)
            if not self._left:
                self._finish(b"")
        else:
            self._left = None
            self._kept_open = False

    def _take_chunks(self, data: bytes) -> bytes:
        """Return the content of the chunks in the data."""
        if self._partial:
            data = self._partial + data
            self._partial = b""
        parts: list[bytes] = []
        position, size, left = 0, len(data), self._left or 0
        while not self._trailing:
            if left:
                end = position + left
                parts.append(data[position:end])
                if end > size:
                    self._left = end - size
                    return b"".join(parts)
                position, left = end, 0
            head = _CHUNK_HEAD.match(data, position)
            if head is None:
                break
            position, left = head.end(), int(head[1], 16)
            if not left:
                self._trailing = True
                position -= 2  # the end of this line and an empty one are the end of the response
        self._left = 0
        rest = data[position:]
        if self._trailing:
            end = rest.find(b"\r\n\r\n")
            if end >= 0:
                self._finish(rest[end + 4 :])
            elif len(rest) > MAX_HEAD:
                raise ResponseSyntaxError("the trailer of the response is too long")
        elif not b"\r\n".startswith(rest[:2]) or b"\n" in rest[2:] or len(rest) > _MAX_LINE:
            raise ResponseSyntaxError("the response has a malformed chunk")
        self._partial = rest
        return b"".join(parts)
