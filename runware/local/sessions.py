"""Sessions: what survives the connection that carries it, for as long as the server remembers it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runware.local.media import new_uuid

if TYPE_CHECKING:
    from runware.local.connection import Connection

__all__ = ["Cut", "Output", "Replay", "Session"]

_WRITTEN_FRAMES = 1000
_WRITTEN_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Cut:
    """Instead of a frame: the connection ends here.

    Attributes:
        how: `fin` (closed after what was written), `rst` (reset), `stall` (silence, TCP stays up), `close` (a
            WebSocket close frame).
        code: The close code, for `close`.
        replay: What a resume gets: `rest` (what came after), `all` (what was sent before as well) or `nothing`.
        mid_frame: Whether the next frame is half written first.
    """

    how: str = "fin"
    code: int = 1000
    replay: str = "rest"
    mid_frame: bool = False


Output = dict[str, Any] | list[Any] | str | bytes | Cut
"""A frame as a JSON value, as text or as bytes, or the end of the connection."""


@dataclass(slots=True)
class Replay:
    """How a session is resumed.

    Attributes:
        new_uuid: Whether it gets another UUID.
        before: Whether the undelivered frames come before the reply.
        written: Whether frames come again that were written to the dead connection.
        undelivered: Whether undelivered frames come at all.
    """

    new_uuid: bool
    before: bool
    written: bool
    undelivered: bool


class Session:
    """What one `connectionSessionUUID` stands for.

    Attributes:
        uuid: Its UUID.
        connection: The connection that carries it now. `None`: it is waiting to be resumed.
        lost_at: When it lost its connection, in the event loop's time.
        undelivered: Frames that found no connection.
    """

    def __init__(self, connection: Connection) -> None:
        self.uuid = new_uuid()
        self.connection: Connection | None = connection
        self.lost_at = 0.0
        self.undelivered: list[Output] = []
        self.cut: Cut | None = None
        self._written: deque[tuple[Output, int]] = deque()
        self._written_bytes = 0
        self._mixed: dict[str, list[Any]] | None = None

    def deliver(self, outputs: list[Output]) -> None:
        """Send frames, or keep them until the session is resumed."""
        for position, output in enumerate(outputs):
            if isinstance(output, Cut):
                following = outputs[position + 1] if position + 1 < len(outputs) else None
                self._end(output, following)
                continue
            connection = self.connection
            if connection is not None and connection.usable:
                if connection.mixes and isinstance(output, dict):
                    self._mix(output, connection)
                else:
                    self.write(output, connection)
            elif self.cut is None or self.cut.replay != "nothing":
                self.undelivered.append(output)

    def write(self, output: Output, connection: Connection) -> None:
        """Write one frame to the connection, and remember that it was written."""
        if isinstance(output, Cut):
            return
        size = connection.send(output)
        self._written.append((output, size))
        self._written_bytes += size
        while len(self._written) > _WRITTEN_FRAMES or self._written_bytes > _WRITTEN_BYTES:
            self._written_bytes -= self._written.popleft()[1]

    def _mix(self, output: dict[str, Any], connection: Connection) -> None:
        if self._mixed is None:
            self._mixed = {}
            connection.engine.loop.call_soon(self._flush_mixed)
        for name in ("data", "errors"):
            if name in output:
                self._mixed.setdefault(name, []).extend(output[name])

    def _flush_mixed(self) -> None:
        mixed, self._mixed = self._mixed, None
        if not mixed:
            return
        if self.connection is not None and self.connection.usable:
            self.write(dict(mixed), self.connection)
        else:
            self.undelivered.append(dict(mixed))

    def _end(self, cut: Cut, following: Output | None) -> None:
        self.cut = cut
        connection = self.connection
        if connection is None or not connection.usable:
            return
        if cut.mid_frame and following is not None and not isinstance(following, Cut):
            connection.send_half(following)
        connection.end(cut.how, cut.code)

    def expire(self) -> None:
        """Keep nothing from now on; nobody will come for it."""
        self.undelivered.clear()
        self._written.clear()
        self.cut = Cut(replay="nothing")

    def take(self, plan: Replay) -> list[Output]:
        """Give what a resume sends again, and forget it."""
        frames: list[Output] = []
        if plan.written or (self.cut is not None and self.cut.replay == "all"):
            frames += [output for output, _ in self._written]
        if plan.undelivered and (self.cut is None or self.cut.replay != "nothing"):
            frames += self.undelivered
        self.undelivered = []
        self._written.clear()
        self._written_bytes = 0
        self.cut = None
        return frames
