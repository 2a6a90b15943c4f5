"""A client's session: it survives the loss of its connection, and keeps frames until it is resumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from runware.local.output import ConnectionCut, Frame, Outgoing
from runware.local.uuids import new_uuid

__all__ = ["ClientSession", "ReplayPlan", "SessionConnection"]

_WRITTEN_FRAMES = 1000
_WRITTEN_BYTES = 64 * 2**20


class SessionConnection(Protocol):
    """The connection of a session, as the session uses it.

    Attributes:
        session: The session that uses this connection.
        stalled: Whether nothing is read or written while TCP stays up.
    """

    session: ClientSession | None
    stalled: bool

    @property
    def usable(self) -> bool:
        """Whether a frame that is written now may arrive."""
        ...

    @property
    def mixes(self) -> bool:
        """Whether results of different tasks share frames."""
        ...

    def send(self, frame: Frame) -> int:
        """Write one frame; return its size in bytes, or 0 if it could not be written."""
        ...

    def send_half(self, frame: Frame) -> None:
        """Write the first half of a frame."""

    def end(self, how: str, code: int = 1000) -> None:
        """End the connection as `ConnectionCut.how` describes."""

    def abort(self) -> None:
        """End TCP at once."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call a function in the next step of the event loop."""


@dataclass(slots=True)
class ReplayPlan:
    """How a session is resumed.

    Attributes:
        new_uuid: Whether the session gets another UUID.
        before: Whether undelivered frames come before the authentication reply.
        written: Whether frames that were written to the lost connection are sent again.
        undelivered: Whether undelivered frames are sent at all.
    """

    new_uuid: bool
    before: bool
    written: bool
    undelivered: bool


class ClientSession:
    """The session with one `connectionSessionUUID`.

    Attributes:
        uuid: Its UUID.
        connection: Its current connection. `None`: it can be resumed.
        lost_at: The event loop's time when it lost its connection.
        undelivered: Frames that could not be sent.
        cut: The last cut that a fault made.
    """

    def __init__(self, connection: SessionConnection) -> None:
        self.uuid = new_uuid()
        self.connection: SessionConnection | None = connection
        self.lost_at = 0.0
        self.undelivered: list[Frame] = []
        self.cut: ConnectionCut | None = None
        self._written: deque[tuple[Frame, int]] = deque()
        self._written_bytes = 0
        self._mixed: dict[str, list[Any]] | None = None

    def deliver(self, outputs: list[Outgoing]) -> None:
        """Send frames, or keep them until the session is resumed."""
        for position, output in enumerate(outputs):
            if isinstance(output, ConnectionCut):
                following = outputs[position + 1] if position + 1 < len(outputs) else None
                self._cut_connection(output, following)
                continue
            connection = self.connection
            if connection is not None and connection.usable:
                if connection.mixes and isinstance(output, dict):
                    self._mix(output, connection)
                else:
                    self._write(output, connection)
            elif self.cut is None or self.cut.replay != "nothing":
                self.undelivered.append(output)

    def _write(self, frame: Frame, connection: SessionConnection) -> None:
        size = connection.send(frame)
        # Written frames are kept for the switch q5 and for faults that replay all of them.
        self._written.append((frame, size))
        self._written_bytes += size
        while len(self._written) > _WRITTEN_FRAMES or self._written_bytes > _WRITTEN_BYTES:
            self._written_bytes -= self._written.popleft()[1]

    def _mix(self, frame: dict[str, Any], connection: SessionConnection) -> None:
        if self._mixed is None:
            self._mixed = {}
            connection.call_soon(self._flush_mixed)
        for name in ("data", "errors"):
            if name in frame:
                self._mixed.setdefault(name, []).extend(frame[name])

    def _flush_mixed(self) -> None:
        mixed, self._mixed = self._mixed, None
        if not mixed:
            return
        if self.connection is not None and self.connection.usable:
            self._write(dict(mixed), self.connection)
        else:
            self.undelivered.append(dict(mixed))

    def _cut_connection(self, cut: ConnectionCut, following: Outgoing | None) -> None:
        self.cut = cut
        connection = self.connection
        if connection is None or not connection.usable:
            return
        if cut.mid_frame and following is not None and not isinstance(following, ConnectionCut):
            connection.send_half(following)
        connection.end(cut.how, cut.code)

    def expire(self) -> None:
        """Discard all frames, present and future: the session can no longer be resumed."""
        self.undelivered.clear()
        self._written.clear()
        self.cut = ConnectionCut(replay="nothing")

    def take_replay(self, plan: ReplayPlan) -> list[Frame]:
        """Return the frames to send again after a resume, and discard everything that was kept."""
        frames: list[Frame] = []
        if plan.written or (self.cut is not None and self.cut.replay == "all"):
            frames += [frame for frame, _ in self._written]
        if plan.undelivered and (self.cut is None or self.cut.replay != "nothing"):
            frames += self.undelivered
        self.undelivered = []
        self._written.clear()
        self._written_bytes = 0
        self.cut = None
        return frames
