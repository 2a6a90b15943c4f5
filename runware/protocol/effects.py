"""The session's vocabulary: connection states, settings, and the effects that a driver performs."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from runware._support.http_headers import Headers
from runware.errors import RunwareError
from runware.protocol.call import Call, Origin, StoredInputs
from runware.protocol.codec import dumps

if TYPE_CHECKING:
    from runware.events import Event

__all__ = [
    "FOREVER",
    "PING",
    "Abort",
    "Close",
    "DropExchange",
    "Effect",
    "Ended",
    "Exchange",
    "Happened",
    "Open",
    "Record",
    "Renew",
    "Send",
    "SessionConfig",
    "State",
    "Step",
]

FOREVER = float("inf")
PING = dumps([{"taskType": "ping", "ping": True}])


class State(Enum):
    """The state of the connection. `runware.protocol.connection` holds which state may follow which."""

    IDLE = "idle"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    READY = "ready"
    BACKING_OFF = "backing off"
    CLOSED = "closed"


class Step(Enum):
    """What the store is told of a durable call, besides its results and its end."""

    TASK = "task"
    """An attempt is about to be sent."""
    SENT = "sent"
    """It was handed to the transport."""
    ACCEPTED = "accepted"
    """The server has said that it works on it."""
    CANCELLED = "cancelled"
    """The caller does not wait any more."""


@attrs.frozen(kw_only=True)
class SessionConfig:
    """The settings of a session; all durations are in seconds.

    Attributes:
        connect_timeout: For one attempt to connect, from the start of the dial to the reply to authentication.
        reconnect: Whether a lost connection is made again for the calls that were on it.
        dial_attempts: How many attempts in a row may fail before waiting calls fail too, as long as no connection
            has ever been made. Afterwards attempts go on until the calls' own deadlines.
        retry_delay: The base of the backoff between attempts to connect.
        heartbeat_interval: Silence after which a ping is sent on an idle connection.
        liveness_timeout: Silence after which a connection with calls in flight is treated as dead, and time after
            which a write that makes no progress is.
        max_in_flight: How many calls may be at the server at once; `None` for no limit.
        max_queued: How many calls may wait to be sent.
        dry_run: Whether the server only checks tasks, so that an empty answer means success.
        events: Whether to emit `Happened` effects.
        exchanges: How many exchanges may be open at once, for a transport of requests and responses, to which the
            settings of a connection do not apply; `None` for one connection of messages.
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
    exchanges: int | None = None


class Open(NamedTuple):
    """Start a connection with this number."""

    epoch: int


class Send(NamedTuple):
    """Write a message, unless its call has another text by then: a call that has ended, or begun another attempt, does.

    If the connection is lost before the last byte is written, report the call as unsent.
    """

    text: bytes
    call: Call | None = None

    def __repr__(self) -> str:
        # Error reporters show variables, and the text holds the key or a prompt.
        return f"<Send of {len(self.text)} bytes for {self.call}>"


class Abort(NamedTuple):
    """Drop this connection, or the attempt to make it, without a closing handshake."""

    epoch: int
    reason: str


class Close(NamedTuple):
    """Send a close frame, if that is possible at once, and close. Messages that were not begun are left out."""

    epoch: int


class Exchange:
    """Make one request, and report one outcome of it, unless it is not open any more by then.

    Attributes:
        text: The body: tasks, or nothing for a request that only checks the key.
        calls: The calls that the response is for.
        question: Whether it asks about tasks that were sent before.
        open: Whether its outcome is wanted; the session sets it.
    """

    __slots__ = ("calls", "open", "question", "text")

    def __init__(self, text: bytes, calls: tuple[Call, ...], *, question: bool) -> None:
        self.text = text
        self.calls = calls
        self.question = question
        self.open = True

    @property
    def headers(self) -> Headers:
        """The caller's headers, which are those of each of its calls."""
        return self.calls[0].headers if self.calls else ()

    def __repr__(self) -> str:
        what = "a question" if self.question else "a task"
        return f"<Exchange of {what}, {len(self.text)} bytes, for {len(self.calls)} calls>"


class DropExchange(NamedTuple):
    """Abort this exchange, whose outcome is not wanted any more, if it has begun."""

    exchange: Exchange


class Ended(NamedTuple):
    """A call has ended: with its items, or with an error (and the items so far)."""

    call: Call
    error: RunwareError | None = None


class Record(NamedTuple):
    """Write a step of a durable call to the store.

    After `TASK`, report `task_recorded`, `task_known`, `task_settled` or `recording_failed`: the attempt with this UUID
    is not sent before. The other steps need no answer.
    """

    call: Call
    step: Step
    uuid: str


class Renew(NamedTuple):
    """Store the media of a call again, which the platform has forgotten.

    Report `inputs_renewed` or `renewal_failed`.
    """

    call: Call
    inputs: StoredInputs


class Happened(NamedTuple):
    """An event for those who watch, without the time of day.

    Attributes:
        kind: Its class.
        facts: Its attributes.
        origin: The origin of the call that it is about, if there is one.
    """

    kind: type[Event]
    facts: dict[str, Any]
    origin: Origin | None = None


Effect = Open | Send | Abort | Close | Exchange | DropExchange | Call | Ended | Record | Renew | Happened
"""A bare call is one that goes on, and has new results."""
