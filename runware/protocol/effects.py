"""The session's vocabulary: its states, its settings, and what it asks the I/O thread to do."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import attrs

from runware.errors import RunwareError
from runware.events import Event
from runware.protocol.call import Call
from runware.protocol.codec import dumps

__all__ = [
    "PING",
    "Abort",
    "Close",
    "Effect",
    "Ended",
    "Happened",
    "Open",
    "Send",
    "SessionConfig",
    "State",
]

FOREVER = float("inf")
PING = dumps([{"taskType": "ping", "ping": True}])


class State(Enum):
    """Where the connection stands."""

    IDLE = "idle"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    READY = "ready"
    BACKING_OFF = "backing off"
    CLOSED = "closed"


@attrs.frozen(kw_only=True)
class SessionConfig:
    """What the session is told; all durations are seconds.

    Attributes:
        connect_timeout: For one attempt to connect, from the start of the dial to the reply to authentication.
        reconnect: Whether a lost connection is made again for the calls that were on it.
        dial_attempts: How many attempts in a row may fail before waiting calls are told, as long as no connection
            has ever been made. Afterwards attempts go on until the calls' own deadlines.
        retry_delay: The base of the backoff between attempts to connect.
        heartbeat_interval: Silence after which an idle connection is tried with a ping.
        liveness_timeout: Silence after which a connection with calls in flight is given up, and time after which
            a write that makes no progress is.
        max_in_flight: How many calls may be at the server at once; `None` for no limit.
        max_queued: How many calls may wait for their turn.
        dry_run: Whether the server only checks tasks, so that an answer without anything in it is a good one.
        events: Whether somebody wants to hear what happens.
    """

    connect_timeout: float = 15.0
    reconnect: bool = True
    dial_attempts: int = 3
    retry_delay: float = 1.0
    heartbeat_interval: float = 45.0
    liveness_timeout: float = 15.0
    max_in_flight: int | None = None
    max_queued: int = 100_000
    dry_run: bool = False
    events: bool = False


class Open(NamedTuple):
    """Start a connection with this number."""

    epoch: int


class Send(NamedTuple):
    """Write a message, if by its turn its call still has that very text: one that is over, or has another, does not.

    If the connection is lost before its last byte is written, its call is told as unsent.
    """

    text: bytes
    call: Call | None = None

    def __repr__(self) -> str:
        # Reporters of errors show variables, and the text holds the key or a prompt.
        return f"<Send of {len(self.text)} bytes for {self.call}>"


class Abort(NamedTuple):
    """Throw this connection, or the attempt to make it, away without ceremony."""

    epoch: int
    reason: str


class Close(NamedTuple):
    """Take leave of the server, as far as that is possible at once, and close. Messages not begun are left out."""

    epoch: int


class Ended(NamedTuple):
    """A call is over: with its items, or with an error (and the items so far)."""

    call: Call
    error: RunwareError | None = None


class Happened(NamedTuple):
    """Something to tell those who watch, as they see it; the time of day is missing."""

    kind: type[Event]
    facts: dict[str, Any]


Effect = Open | Send | Abort | Close | Call | Ended | Happened
"""A bare call is one that goes on, and has new results."""
