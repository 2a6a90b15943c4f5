"""Events and counters of a client, for logs, metrics and traces.

    from runware import Runware, events

    def watch(event: events.Event) -> None:
        if isinstance(event, events.Resolved):
            histogram.observe(event.elapsed)

    rw = Runware(on_event=watch)
    ...
    print(rw.stats)

Events contain names, numbers and times, but no prompts, media or keys. They cover all work of the client: tasks,
streams of text, chats, calls of serverless apps, and downloads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Context
from typing import Any

import attrs

from runware._support.escaping import one_line

__all__ = [
    "Accepted",
    "Authenticated",
    "Connected",
    "ConnectionEvent",
    "Disconnected",
    "Downloaded",
    "Event",
    "FirstPiece",
    "Interrupted",
    "PartialResults",
    "Polled",
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
        # Without the time, which log records have already, and what is not known.
        words = (
            f"{name}={value:.3f}" if isinstance(value, float) else f"{name}={one_line(value)}"
            for name, value in self.to_dict().items()
            if name != "at" and value is not None
        )
        return f"{type(self).__name__} {' '.join(words)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes that are names, numbers and times, for a log with fields, or as JSON."""
        return {field.name: getattr(self, field.name) for field in attrs.fields(type(self)) if field.repr}


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
        model: The model that was asked for, as in the request; the name of a serverless app; `None` if there is none.
        context: A copy of the caller's context at the time of the call: `event.context.run(variable.get)` returns what
            a context variable had there. `None` if the call began before anything listened.
    """

    task_uuid: str
    task_type: str
    attempt: int
    elapsed: float
    model: str | None = None
    context: Context | None = attrs.field(default=None, repr=False, eq=False)


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
class Polled(TaskEvent):
    """The client asked the server for the results of a task.

    Attributes:
        progress: The progress that the server reported last, in per cent; `None` if it reported none.
    """

    progress: float | None = None


@attrs.frozen(kw_only=True)
class Interrupted(TaskEvent):
    """The connection was lost while the server had, or may have had, the task. The client asks for it on the next one.

    Attributes:
        reason: The reason, in words.
    """

    reason: str


@attrs.frozen(kw_only=True)
class FirstPiece(TaskEvent):
    """The first piece of a streamed text arrived, in a stream or in a chat."""


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
        cost: Total cost of the results in US dollars; `None` unless `include_cost` was set.
        input_tokens: Number of input tokens; `None` if the server reports none, as without `include_usage`.
        output_tokens: Number of output tokens, in the same way.
        history: The earlier events of the call, in their order, except for polls after the first hundred.
        request: The request with API names, or the message with it as JSON; `None` unless a listener asked for it, as
            `runware.integrations.opentelemetry` does with `capture_content=True`. It holds the prompt.
        response: The results as API objects, in the same way.
    """

    status: str
    completed: int
    total: int
    error: str | None = None
    code: str | None = None
    cost: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    history: Sequence[TaskEvent] = attrs.field(default=(), repr=False, eq=False)
    request: bytes | Mapping[str, Any] | None = attrs.field(default=None, repr=False, eq=False)
    response: Sequence[Mapping[str, Any]] | None = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Downloaded(Event):
    """The download of a result's file has ended.

    Attributes:
        task_uuid: UUID of the task; `None` if the result does not say.
        host: Host of the URL.
        size: Number of bytes received.
        elapsed: Seconds since the start of the download.
        error: Class name of the error; `"cancelled"` if it was given up; `None` if it succeeded.
        context: A copy of the context in which it was started, as for `TaskEvent`.
    """

    task_uuid: str | None
    host: str
    size: int
    elapsed: float
    error: str | None = None
    context: Context | None = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Stats:
    """Counters of a client in this process. A snapshot, which does not change afterwards.

    They count tasks, streams of text, calls of serverless apps, and each request that a chat makes to its model.

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
        cost: Cost of the results in US dollars, as far as the server reported it (`include_cost`). With a store, this
            includes results that were paid for before.
        input_tokens: Input tokens of texts, as far as the server reported them (`include_usage`).
        output_tokens: Output tokens of texts, in the same way.
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
    cost: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    connections: int = 0
    drops: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    events_dropped: int = 0
