"""Whether the other end is still there. Whole messages are the proof, and steady progress of one that is not whole.

Bytes alone prove nothing: after a broken length, whatever comes is the inside of a frame that never ends.

An idle connection is tried with a ping after `heartbeat_interval`. With calls in flight that happens after two thirds
of `liveness_timeout`, and the answer has the last third. Output that the network does not take is judged by the same
time. Nothing is concluded from silence while our own thread was what lagged.
"""

from __future__ import annotations

from typing import Literal

from runware.protocol.effects import FOREVER

__all__ = ["Liveness"]

_LAG = 1.0
"""Seconds by which a check must be late to say that it was us who were not listening."""
_STEADY = 1024
"""Bytes a second that an unfinished message must grow by to count as progress; a line that is slower is of no use."""


class Liveness:
    """The clockwork of one connection after another. All times are the session's.

    Args:
        heartbeat_interval: Seconds of silence after which an idle connection is tried.
        liveness_timeout: Seconds of silence after which a busy connection is given up.

    Attributes:
        slack: Seconds that an answer to a ping may take longer, because large messages are on their way before it.
    """

    def __init__(self, heartbeat_interval: float, liveness_timeout: float) -> None:
        self._idle = heartbeat_interval
        self._busy = min(heartbeat_interval, liveness_timeout * 2 / 3)
        self._patience = liveness_timeout
        self._enough = max(1.0, liveness_timeout * _STEADY)  # bytes of progress that are a sign of life
        self._counted = 0  # bytes of the unfinished message at the last one
        self._last = 0.0  # when something came in
        self._pinged: float | None = None  # when the ping left; FOREVER while it waits behind other output
        self.slack = 0.0
        self._stuck: float | None = None  # since when output has been waiting without progress

    def opened(self, now: float) -> None:
        """A new connection."""
        self._stuck = None
        self.received(now)

    def received(self, now: float, unfinished: int = 0, *, whole: bool = True) -> None:
        """Bytes came in.

        Args:
            now: The session's time.
            unfinished: Bytes of content that there are of a message that is not complete.
            whole: Whether a message was completed.
        """
        if not whole and unfinished - self._counted < self._enough:
            return
        self._counted = unfinished
        self._last = now
        self._pinged = None
        self.slack = 0.0

    def written(self, now: float, *, pending: bool) -> None:
        """Bytes went out; *pending* tells whether some are left."""
        self._stuck = now if pending else None

    def ping_left(self, now: float) -> None:
        """The last byte of the ping was written."""
        if self._pinged is not None:
            self._pinged = now

    def suspect(self, now: float) -> bool:
        """Tell whether the silence is longer than it could be if we had been there to listen."""
        return now - self._last > self._idle + self._patience

    def due(self, *, busy: bool) -> float:
        """Tell when to `check` next."""
        if self._pinged is None:
            due = self._last + (self._busy if busy else self._idle)
        else:
            due = self._pinged + self._patience / 3 + self.slack
        return due if self._stuck is None else min(due, self._stuck + self._patience)

    def check(self, now: float, *, busy: bool) -> Literal["", "ping", "silent", "stuck"]:
        """Tell what silence means now: nothing yet, time for a ping, or that nobody is there."""
        due = self.due(busy=busy)
        if now < due:
            return ""
        if self._stuck is not None and now >= self._stuck + self._patience:
            if now - due > _LAG:
                self._stuck = now
                return ""
            return "stuck"
        if self._pinged is None:
            self._pinged = FOREVER
            return "ping"
        if now - due > _LAG:
            self._pinged = now
            return ""
        return "silent"
