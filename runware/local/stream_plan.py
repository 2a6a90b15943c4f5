"""How a token stream (server-sent events) is written."""

from __future__ import annotations

import json
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
        torn: Whether the last event ends in the middle of a character, or else of its JSON.
        end: What happens at the end: the response ends (`done`), the connection is closed (`fin`) or reset (`rst`), or
            nothing more comes until the client leaves (`silence`), or only comments (`pings`).
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
        self.torn = False
        self.end = "done"
        self.pause = 0.0

    def cut(self, after: int, end: str) -> None:
        """End the stream after a number of events."""
        self.events = self.events[:after]
        self.done = False
        self.end = end

    def fail(self, after: int, event: dict[str, Any]) -> None:
        """End the stream with an error after a number of events."""
        self.events = [*self.events[:after], encode_json(event)]
        self.done = False

    def separate_usage(self) -> None:
        """Send usage and cost in an event of their own, after the one with the reason for the end."""
        last = json.loads(self.events[-1])
        facts = {name: last.pop(name) for name in ("usage", "cost") if name in last}
        head = {name: last[name] for name in ("taskUUID", "taskType") if name in last}
        self.events = [*self.events[:-1], encode_json(last), encode_json({**head, **facts})]

    def clear_uuids(self) -> None:
        """Leave the UUID of the task empty, as some models do."""
        self.events = [encode_json({**json.loads(event), "taskUUID": ""}) for event in self.events]

    def nest(self) -> None:
        """Put each event into an object `data`."""
        self.events = [encode_json({"data": json.loads(event)}) for event in self.events]

    def chunks(self) -> list[bytes]:
        """Return the bytes of each write, in order."""
        end = self.newline * 2
        lines = [f": ping{end}"] + [f"data:{self.space}{event}{end}" for event in self.events]
        if self.done:
            lines.append(f"data:{self.space}[DONE]{end}")
        if not self.trailing:
            lines[-1] = lines[-1].rstrip("\r\n")
        whole = [line.encode() for line in lines]
        if self.torn:
            last = next((line for line in reversed(whole) if any(byte >= 0xE0 for byte in line)), whole[-1])
            whole = whole[: whole.index(last) + 1]
            start = next((at for at, byte in enumerate(last) if byte >= 0xE0), len(last) // 2)
            whole[-1] = last[: start + 1]
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
