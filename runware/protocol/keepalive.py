"""Keepalive: decide whether the other end is still there. Whole messages prove it, and so does steady progress of one.

Bytes alone prove nothing: after a corrupt length, everything that follows counts as part of one endless frame.

On an idle connection, the client sends a ping after `heartbeat_interval` of silence. With calls in flight it does so
after two thirds of `liveness_timeout`, and the answer must come within the last third. Output that makes no progress
for `liveness_timeout` means a dead connection too. Silence means nothing while the client's own thread was late.
"""

from __future__ import annotations

from typing import Literal

from runware.protocol.effects import FOREVER

__all__ = ["Keepalive"]

_LAG = 1.0
"""Seconds by which a check must be late for the client itself to be taken for the cause of the silence."""
_STEADY = 1024
"""Bytes a second by which an unfinished message must grow to count as progress; a slower line is useless."""


class Keepalive:
    """The timers of one connection after another. All times are the session's.

    Args:
        heartbeat_interval: Seconds of silence after which a ping is sent on an idle connection.
        liveness_timeout: Seconds of silence after which a connection with calls in flight is dead.

    Attributes:
        slack: Extra seconds for the answer to a ping, because large messages are on their way before it.
    """

    def __init__(self, heartbeat_interval: float, liveness_timeout: float) -> None:
        self._idle = heartbeat_interval
        self._busy = min(heartbeat_interval, liveness_timeout * 2 / 3)
        self._patience = liveness_timeout
        self._enough = max(1.0, liveness_timeout * _STEADY)  # bytes of progress that prove life
        self._counted = 0  # bytes of the unfinished message at the last proof
        self._last = 0.0  # when the last proof of life came in
        self._pinged: float | None = None  # when the ping left; FOREVER while it waits behind other output
        self.slack = 0.0
        self._stuck: float | None = None  # since when output has been waiting without progress

    def opened(self, now: float) -> None:
        """Start again for a new connection."""
        self._stuck = None
        self.received(now)

    def received(self, now: float, unfinished: int = 0, *, whole: bool = True) -> None:
        """Note that bytes came in.

        Args:
            now: The session's time.
            unfinished: Bytes of content so far of a message that is not complete.
            whole: Whether a message was completed.
        """
        if not whole and unfinished - self._counted < self._enough:
            return
        self._counted = unfinished
        self._last = now
        self._pinged = None
        self.slack = 0.0

    def written(self, now: float, *, pending: bool) -> None:
        """Note that bytes went out; *pending* is whether some are left."""
        self._stuck = now if pending else None

    def ping_left(self, now: float) -> None:
        """Note that the last byte of the ping was written."""
        if self._pinged is not None:
            self._pinged = now

    def suspect(self, now: float) -> bool:
        """Return whether the silence is longer than it could be if the client's thread had run all the time."""
        return now - self._last > self._idle + self._patience

    def due(self, *, busy: bool) -> float:
        """Return when to `check` next."""
        if self._pinged is None:
            due = self._last + (self._busy if busy else self._idle)
        else:
            due = self._pinged + self._patience / 3 + self.slack
        return due if self._stuck is None else min(due, self._stuck + self._patience)

    def check(self, now: float, *, busy: bool) -> Literal["", "ping", "silent", "stuck"]:
        """Return what the silence means now: nothing yet, time for a ping, or a dead connection."""
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
