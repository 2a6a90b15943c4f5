"""An incremental parser of server-sent events, of which Runware uses the data lines only (docs/protocol.md, section 5).

Lines are split as bytes. Their separators cannot be part of a multi-byte character, so a character that is torn
between two chunks is whole again when its line is decoded.
"""

from __future__ import annotations

__all__ = ["MAX_EVENT", "EventParser", "EventTooLargeError"]

MAX_EVENT = 16 * 1024 * 1024
"""Default limit for the size of one event, in bytes. Events of tokens have a few hundred."""

_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = b"\r\n"


class EventTooLargeError(ValueError):
    """An event, or a line, exceeds the size limit."""


class EventParser:
    """Parse a stream of server-sent events. Comments and fields other than `data` are skipped.

    Args:
        max_event: Maximum size of one event in bytes, so that a line without an end cannot fill the memory.
    """

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max_event = max_event
        self._partial: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> list[str]:
        """Parse the next bytes and return the data of each event that they complete.

        Raises:
            EventTooLargeError: An event exceeds the limit.
        """
        if not chunk:
            return []
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]  # the second half of a CRLF
            self._after_cr = False
            if not chunk:
                return []
        self._after_cr = chunk[-1:] == b"\r"
        events: list[str] = []
        for line in chunk.splitlines(keepends=True):
            if line[-1] not in _LINE_ENDS:
                self._keep(self._partial, line)
            elif self._partial:
                self._partial.append(line)
                whole = b"".join(self._partial)
                self._size -= len(whole) - len(line)
                self._partial.clear()
                self._take(whole.rstrip(_LINE_ENDS), events)
            else:
                self._take(line.rstrip(_LINE_ENDS), events)
        return events

    def close(self) -> list[str]:
        """Return the data of an event that the input ended in, although its last line end is missing.

        The event may be cut off; its content has to show whether it is complete.
        """
        events: list[str] = []
        self._take(b"".join(self._partial), events)
        self._take(b"", events)
        self._partial.clear()
        return events

    def _take(self, line: bytes, events: list[str]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
                self._data.clear()
                self._size = 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._size += 1  # also of a line without content, as each takes memory
            self._keep(self._data, value[1:] if value[:1] == b" " else value)

    def _keep(self, parts: list[bytes], part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max_event:
            raise EventTooLargeError(f"an event of the stream exceeds {self._max_event:,} bytes")
        parts.append(part)
