"""The base class of faults: the places where a fault can interfere."""

# Every hook gets all arguments that some fault needs.
# ruff: noqa: ARG002

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from runware.local.client_session import ReplayPlan
from runware.local.connection import WebSocketConnection
from runware.local.output import Outgoing
from runware.local.state import ServerState
from runware.local.stream_plan import StreamPlan
from runware.local.task_run import TaskRun
from runware.local.webhooks import WebhookPost

__all__ = ["AppFault", "Fault", "FaultHost", "HttpFault", "ReceivedAppRequest", "ServiceFault"]


class HttpFault(NamedTuple):
    """What happens to an HTTP request.

    Attributes:
        how: The connection is reset (`"cut"`), the request is answered with a status (`"status"`), after a while
            (`"late"`), twice (`"twice"`), or not at all (`"never"`).
        status: The status.
        body: The body of an answer with a status: `"text"`, `"error"` (an API error), `"empty"` (no bytes), or `"data"`
            (an empty answer of the API).
        retry_after: The value of a Retry-After header; `None` for none.
        delay: Seconds after which a late answer comes.
    """

    how: str = "cut"
    status: int = 503
    body: str = "text"
    retry_after: str | None = None
    delay: float = 0.0


class ReceivedAppRequest(NamedTuple):
    """A request to a serverless app, as a fault sees it.

    Attributes:
        kind: `invoke` or `task`.
        app: The app that the path names.
        task_id: The task.
        taken: Whether the request was executed, and its answer is ready.
    """

    kind: str
    app: str
    task_id: str
    taken: bool


class AppFault(NamedTuple):
    """What happens to a request to a serverless app: it is delayed, its connection is reset, or it is refused.

    Attributes:
        delay: Seconds to wait first.
        cut: Whether the connection is reset.
        status: The HTTP status of the refusal. 0: it is not refused.
        kind: The type of the problem that the refusal states.
        detail: Its detail.
        headers: Further headers of the refusal.
    """

    delay: float = 0.0
    cut: bool = False
    status: int = 0
    kind: str = ""
    detail: str = ""
    headers: Mapping[str, str] = {}


class ServiceFault(NamedTuple):
    """The failure of a service that describes models.

    Attributes:
        form: What happens instead of the answer; a value of the parameter `form` of fault X25.
        status: The status of the answer.
        every: Seconds between two bytes of a slow answer.
    """

    form: str
    status: int
    every: float


class FaultHost(Protocol):
    """The part of the server that plays faults, as a fault uses it."""

    @property
    def state(self) -> ServerState:
        """The state of the server."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the server."""
        ...

    def remove(self, fault: Fault) -> None:
        """Stop playing a fault."""

    def record(self, fault: Fault) -> None:
        """Record in the ledger that a fault was played."""

    def authenticate(self, connection: WebSocketConnection, task: dict[str, Any]) -> None:
        """Answer an authentication as if there were no faults."""

    def inactivity_changed(self) -> None:
        """Apply a changed inactivity limit to open connections."""


class Fault:
    """One fault being played.

    The methods whose names begin with `on_`, `filter_` or `allow_` are the places where a fault can interfere. Those
    of this class do nothing.

    Attributes:
        name: `X1` to `X25`, `W1` to `W6` for webhooks, or `A1` to `A5` for serverless apps.
        alias: Its readable name, such as `drop_between_results`: that of its class.
        summary: What it does.
        defaults: Its parameters and their default values.
        choices: The allowed values of the parameters that have a fixed set of them.
        default_times: How often it is played by default. `None`: always.
        parameters: Its parameters in this case.
        times: How often it will still be played. `None`: always.
        played: How often it was played.
    """

    name: ClassVar[str] = ""
    alias: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    defaults: ClassVar[dict[str, Any]] = {}
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {}
    default_times: ClassVar[int | None] = 1

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.alias = re.sub("(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, host: FaultHost, parameters: dict[str, Any]) -> None:
        unknown = sorted(set(parameters) - {*self.defaults, "times", "task_type"})
        if unknown:
            known = ", ".join([*self.defaults, "times", "task_type"])
            raise ValueError(f"fault {self.name} has no parameter {unknown[0]!r}; its parameters are: {known}")
        self.parameters = {**self.defaults, **parameters}
        for name, allowed in self.choices.items():
            if self.parameters[name] not in allowed:
                wanted = ", ".join(map(str, allowed))
                raise ValueError(f"{name} of fault {self.name} must be one of {wanted}; got {self.parameters[name]!r}")
        for name, default in {**self.defaults, "times": self.default_times}.items():
            given = parameters.get(name, default)
            if type(default) in (int, float) and type(given) not in (int, float, type(None)):
                raise ValueError(f"{name} of fault {self.name} must be a number; got {given!r}")
        self.times: int | None = parameters.get("times", self.default_times)
        if self.times is not None and (not isinstance(self.times, int) or self.times < 1):
            raise ValueError(f"times of fault {self.name} must be 1 or more, or none for always; got {self.times!r}")
        self.task_type: str | None = parameters.get("task_type")
        self.played = 0
        self._host = host

    def __repr__(self) -> str:
        return f"<Fault {self.alias} ({self.name}) {self.parameters} played={self.played} times={self.times}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop playing it."""
        self._host.remove(self)

    def concerns(self, task: dict[str, Any]) -> bool:
        """Return whether it may be played with a task."""
        return self.task_type in (None, task.get("taskType"))

    def record_use(self) -> None:
        """Count that it was played, and stop it after the last time."""
        self.played += 1
        if self.times is not None:
            self.times -= 1
            if self.times <= 0:
                self._host.remove(self)
        self._host.record(self)

    def on_added(self, state: ServerState) -> None:
        """Prepare the fault when it is added."""

    def on_removed(self, state: ServerState) -> None:
        """Undo the effects of the fault when it is removed."""

    def on_ping(self, connection: WebSocketConnection, kind: str) -> bool:
        """Return whether to leave a ping unanswered; `kind` is `json` or `protocol`."""
        return False

    def on_authentication(self, connection: WebSocketConnection, task: dict[str, Any]) -> bool:
        """Return whether the fault has handled an authentication, so that the server does not."""
        return False

    def on_authenticated(self, connection: WebSocketConnection) -> None:
        """Interfere after the reply to an authentication."""

    def on_resume(self, plan: ReplayPlan) -> None:
        """Change how a session is resumed."""

    def on_task(self, connection: WebSocketConnection, task: dict[str, Any]) -> bool:
        """Return whether the fault has handled a task, so that the server does not."""
        return False

    def allow_duplicate(self, task: dict[str, Any]) -> bool:
        """Return whether a taskUUID may be used twice."""
        return False

    def on_accepted(self, run: TaskRun) -> None:
        """Change an accepted task before it starts."""

    def filter_acknowledgement(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Return the frames to send when a task is accepted; `frames` is empty if it is synchronous."""
        return frames

    def filter_results(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Return the frames to send when results are finished."""
        return frames

    def filter_poll(self, task: dict[str, Any], run: TaskRun | None, frames: list[Outgoing]) -> list[Outgoing]:
        """Return the frames to send in response to a poll."""
        return frames

    def filter_webhooks(
        self, run: TaskRun, posts: list[WebhookPost], send: Callable[[WebhookPost], None]
    ) -> list[WebhookPost]:
        """Return the webhooks to send when results are finished; those that are left out may be sent later."""
        return posts

    def filter_file(self, run: TaskRun, data: bytes) -> bytes:
        """Return the content of a file that is sent inside a result."""
        return data

    def on_http_request(self, tasks: list[Any], runs: list[TaskRun] | None) -> HttpFault | None:
        """Return how an HTTP request with some tasks fails; `runs` is `None` on arrival, later the accepted ones."""
        return None

    def on_app_request(self, request: ReceivedAppRequest) -> AppFault | None:
        """Return what happens to a request to a serverless app."""
        return None

    def on_service_request(self, path: str) -> ServiceFault | None:
        """Return how a request to a service that describes models fails; `None`: it does not."""
        return None

    def on_stream(self, run: TaskRun, plan: StreamPlan) -> None:
        """Change how a token stream is written."""
