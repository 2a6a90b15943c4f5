"""What happens inside a client, for logs, metrics and traces: events as they come, and counters.

    from runware import Runware, events

    def watch(event: events.Event) -> None:
        if isinstance(event, events.Resolved):
            histogram.observe(event.elapsed)

    rw = Runware(on_event=watch)
    ...
    print(rw.stats)

Events hold names, numbers and times, but no prompts, media or keys.
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
    """Something that happened.

    Attributes:
        at: When, in seconds since 1970 (as `time.time()`).
    """

    at: float

    def __str__(self) -> str:
        # As it stands in the log, which has the time already.
        facts = ((field.name, getattr(self, field.name)) for field in attrs.fields(type(self)) if field.name != "at")
        words = (
            f"{name}={value:.3f}" if isinstance(value, float) else f"{name}={one_line(value)}" for name, value in facts
        )
        return f"{type(self).__name__} {' '.join(words)}"


@attrs.frozen(kw_only=True)
class ConnectionEvent(Event):
    """Something that happened to the connection.

    Attributes:
        connection: Its number; the client's first attempt to connect is 1.
        elapsed: Seconds since the attempt began; for the loss of a connection that was ready, since it was.
    """

    connection: int
    elapsed: float


@attrs.frozen(kw_only=True)
class Connected(ConnectionEvent):
    """The WebSocket stands, and the key is sent.

    Attributes:
        host: The host and address it leads to.
    """

    host: str


@attrs.frozen(kw_only=True)
class Authenticated(ConnectionEvent):
    """The server took the key: tasks go out from now.

    Attributes:
        resumed: Whether it goes on with the session of an earlier connection.
    """

    resumed: bool


@attrs.frozen(kw_only=True)
class Disconnected(ConnectionEvent):
    """A connection was lost or closed, or could not be made.

    Attributes:
        reason: Why, in words.
        stage: Where the attempt to connect failed, such as `"TLS"`; `None` for a connection that was ready.
        in_flight: How many tasks were at the server.
    """

    reason: str
    stage: str | None
    in_flight: int


@attrs.frozen(kw_only=True)
class TaskEvent(Event):
    """Something that happened to a task.

    Attributes:
        task_uuid: The UUID of its current attempt.
        task_type: What the wire calls it.
        attempt: Its attempt, from 1.
        elapsed: Seconds since the call was made.
    """

    task_uuid: str
    task_type: str
    attempt: int
    elapsed: float


@attrs.frozen(kw_only=True)
class Sent(TaskEvent):
    """Its message was handed to the network. The same attempt is sent again only if the server never got it.

    Attributes:
        size: Bytes of the message.
    """

    size: int


@attrs.frozen(kw_only=True)
class Accepted(TaskEvent):
    """The server works on it, and is asked for its results."""


@attrs.frozen(kw_only=True)
class PartialResults(TaskEvent):
    """Some results came, and more are to come.

    Attributes:
        completed: How many there are by now.
        total: How many were asked for.
    """

    completed: int
    total: int


@attrs.frozen(kw_only=True)
class Retrying(TaskEvent):
    """An attempt failed by the server's own word, and another one follows; `task_uuid` is that of the failed one.

    Attributes:
        error: The class of the error, such as `"RateLimitError"`.
        code: The server's code.
        delay: Seconds until the next attempt.
    """

    error: str
    code: str | None
    delay: float


@attrs.frozen(kw_only=True)
class Resolved(TaskEvent):
    """The call is over.

    Attributes:
        status: `"succeeded"`, `"failed"` or `"cancelled"`.
        completed: How many results came.
        total: How many were asked for.
        error: The class of the error; `None` when it succeeded or was cancelled.
        code: The server's code for the error.
    """

    status: str
    completed: int
    total: int
    error: str | None = None
    code: str | None = None


@attrs.frozen(kw_only=True)
class Stats:
    """What a client has done so far in this process. It is a snapshot: ask again for newer numbers.

    Attributes:
        calls: Tasks that were started.
        succeeded: How many of them ended with results.
        failed: How many ended with an error.
        cancelled: How many were cancelled.
        in_flight: How many the server has, or may have, now.
        queued: How many wait to be sent, now.
        sent: Messages with a task that were sent, those that were sent again included.
        retries: Further attempts after one that the server had failed.
        questions: How often the server was asked for a task.
        results: Results that came.
        connections: Connections that were made and authenticated.
        drops: How many of them were lost.
        bytes_sent: Bytes written to the network.
        bytes_received: Bytes read from it.
        events_dropped: Events that were thrown away because `on_event` was too slow for them.
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
