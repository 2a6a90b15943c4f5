"""How a token stream (server-sent events) is written."""

from __future__ import annotations

from typing import Any

from runware.local.encoding import encode_json

__all__ = ["StreamPlan"]


class StreamPlan:
    """How a token stream is written. Faults change it before the first write.

    Attributes:
        events: The JSON text of each event.
        newline: The line ending.
        space: The text between `data:` and the JSON.
        done: Whether `[DONE]` ends the stream.
        joined: Whether everything is written at once.
        split: Whether multi-byte characters are split between writes.
        trailing: Whether the last line has its line endings.
        abort: Whether the connection is reset at the end.
        pause: Seconds between two writes.
    """

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.newline = "\n"
        self.space = " "
        self.done = True
        self.joined = False
        self.split = False
        self.trailing = True
        self.abort = False
        self.pause = 0.0

    def fail(self, event: dict[str, Any]) -> None:
        """End the stream with an error after two events."""
        self.events = [*self.events[:2], encode_json(event)]

    def chunks(self) -> list[bytes]:
        """Return the bytes of each write, in order."""
        end = self.newline * 2
        lines = [f": ping{end}"] + [f"data:{self.space}{event}{end}" for event in self.events]
        if self.done:
            lines.append(f"data:{self.space}[DONE]{end}")
        if not self.trailing:
            lines[-1] = lines[-1].rstrip("\r\n")
        whole = [line.encode() for line in lines]
        if self.joined:
            return [b"".join(whole)]
        return [chunk for line in whole for chunk in _split_characters(line)] if self.split else whole


def _split_characters(line: bytes) -> list[bytes]:
    chunks, start = [], 0
    for position, byte in enumerate(line):
        if byte >= 0xE0:  # the first byte of a character of three or four bytes
            chunks.append(line[start : position + 1])
            start = position + 1
    return [*chunks, line[start:]]
