"""What the server sends to a client: frames, and the places where a fault cuts the connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["ConnectionCut", "Frame", "Outgoing", "OutputSink"]


@dataclass(frozen=True, slots=True)
class ConnectionCut:
    """The end of the connection, in place of a frame.

    Attributes:
        how: `fin` (closed after everything written before), `rst` (reset), `stall` (silence while TCP stays up) or
            `close` (a WebSocket close frame).
        code: The close code, for `close`.
        replay: What a client receives when it resumes the session: `rest` (what came after the cut), `all` (also what
            was sent before it) or `nothing`.
        mid_frame: Whether the first half of the next frame is written before the cut.
    """

    how: str = "fin"
    code: int = 1000
    replay: str = "rest"
    mid_frame: bool = False


Frame = dict[str, Any] | list[Any] | str | bytes
"""One message: a JSON value, text, or bytes for a binary message."""

Outgoing = Frame | ConnectionCut
"""A frame, or the end of the connection."""


class OutputSink(Protocol):
    """The receiver of a task's frames: a WebSocket session, or an HTTP request.

    Attributes:
        http: Whether it is an HTTP request.
    """

    http: bool

    def deliver(self, outputs: list[Outgoing]) -> None:
        """Send frames, or keep them until they can be sent."""
