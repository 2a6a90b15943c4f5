"""Events and counters of a client, for logs, metrics and traces.

    from runware import Runware, events

    def watch(event: events.Event) -> None:
        if isinstance(event, events.Resolved):
            histogram.observe(event.elapsed)

    rw = Runware(on_event=watch)
    ...
    print(rw.stats)

Events contain names, numbers and times, but no prompts, media or keys.
"""

from __future__ import annotations

import attrs

from runware._support.escaping import one_line

__all__ = [
    "Accepted",
    "Authenticated",
    "Connected",
    "ConnectionEvent",
    "Disconnected",
    "Event",
    "PartialResults",
    "Resolved",
    "Retrying",
    "Sent",
    "Stats",
    "TaskEvent",
]


@attrs.frozen(kw_only=True)
class Event:
    """Base class of events.

    Attributes:
        at: Time of the event, in seconds since the epoch, as `time.time()`.
    """

    at: float

    def __str__(self) -> str:
        # Without the time, which log records have already.
        facts = ((field.name, getattr(self, field.name)) for field in attrs.fields(type(self)) if field.name != "at")
        words = (
            f"{name}={value:.3f}" if isinstance(value, float) else f"{name}={one_line(value)}" for name, value in facts
        )
        return f"{type(self).__name__} {' '.join(words)}"


@attrs.frozen(kw_only=True)
class ConnectionEvent(Event):
    """An event of the connection.

    Attributes:
        connection: Number of the connection attempt, from 1.
        elapsed: Seconds since the start of the attempt; for the loss of an established connection, since it was
            established.
    """

    connection: int
    elapsed: float


@attrs.frozen(kw_only=True)
class Connected(ConnectionEvent):
    """The WebSocket is open and the key has been sent; or a connection for HTTP requests was made, and used.

    Attributes:
        host: Host and IP address of the server.
    """

    host: str


@attrs.frozen(kw_only=True)
class Authenticated(ConnectionEvent):
    """The server accepted the key; tasks can be sent.

    Attributes:
        resumed: Whether the connection resumed the session of an earlier one.
    """

    resumed: bool


@attrs.frozen(kw_only=True)
class Disconnected(ConnectionEvent):
    """A connection was lost or closed, or could not be established; or an HTTP request got no response.

    Attributes:
        reason: The reason, in words.
        stage: Stage at which the attempt failed, such as `"TLS"`; `None` for an established connection.
        in_flight: Number of tasks in flight.
    """

    reason: str
    stage: str | None
    in_flight: int


@attrs.frozen(kw_only=True)
class TaskEvent(Event):
    """An event of a task.

    Attributes:
        task_uuid: UUID of the current attempt.
        task_type: The API's task type.
        attempt: Number of the attempt, from 1.
        elapsed: Seconds since the call was made.
    """

    task_uuid: str
    task_type: str
    attempt: int
    elapsed: float


@attrs.frozen(kw_only=True)
class Sent(TaskEvent):
    """The message of the task was passed to the network. An attempt is sent again only if the server never received it.

    Attributes:
        size: Size of the message in bytes.
    """

    size: int


@attrs.frozen(kw_only=True)
class Accepted(TaskEvent):
    """The server acknowledged the task; the client polls for its results."""


@attrs.frozen(kw_only=True)
class PartialResults(TaskEvent):
    """Some results arrived; more are expected.

    Attributes:
        completed: Number of results so far.
        total: Number of results requested.
    """

    completed: int
    total: int


@attrs.frozen(kw_only=True)
class Retrying(TaskEvent):
    """The server reported that an attempt failed; another one follows. `task_uuid` is that of the failed attempt.

    Attributes:
        error: Class name of the error, such as `"RateLimitError"`.
        code: The server's error code.
        delay: Seconds until the next attempt.
    """

    error: str
    code: str | None
    delay: float


@attrs.frozen(kw_only=True)
class Resolved(TaskEvent):
    """The call has ended.

    Attributes:
        status: `"succeeded"`, `"failed"` or `"cancelled"`.
        completed: Number of results that arrived.
        total: Number of results requested.
        error: Class name of the error; `None` if the call succeeded or was cancelled.
        code: The server's error code.
    """

    status: str
    completed: int
    total: int
    error: str | None = None
    code: str | None = None


@attrs.frozen(kw_only=True)
class Stats:
    """Counters of a client in this process. A snapshot, which does not change afterwards.

    Attributes:
        calls: Calls started.
        succeeded: Calls that succeeded.
        failed: Calls that failed.
        cancelled: Calls that were cancelled.
        in_flight: Tasks that are, or may be, at the server now.
        queued: Calls waiting to be sent now.
        sent: Task messages sent, including those sent again.
        retries: Attempts made after an earlier attempt failed at the server.
        questions: Status requests (`getResponse`) sent to the server.
        results: Results received.
        connections: Connections established and authenticated.
        drops: Established connections that were lost.
        bytes_sent: Bytes written to the network.
        bytes_received: Bytes read from the network.
        events_dropped: Events discarded because `on_event` was too slow.
    """

    calls: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    in_flight: int = 0
    queued: int = 0
    sent: int = 0
    retries: int = 0
    questions: int = 0
    results: int = 0
    connections: int = 0
    drops: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    events_dropped: int = 0
