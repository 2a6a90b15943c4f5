"""The base class of faults: the places where a fault can interfere."""

# Every hook gets all arguments that some fault needs.
# ruff: noqa: ARG002

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from runware.local.client_session import ReplayPlan
from runware.local.connection import WebSocketConnection
from runware.local.output import Outgoing
from runware.local.state import ServerState
from runware.local.stream_plan import StreamPlan
from runware.local.task_run import TaskRun

__all__ = ["Fault", "FaultHost", "HttpFault", "ServiceFault"]


class HttpFault(NamedTuple):
    """The failure of an HTTP request: its connection is reset, or it is answered with a bare status."""

    cut: bool
    status: int


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
        name: `X1` to `X25`.
        summary: What it does.
        defaults: Its parameters and their default values.
        choices: The allowed values of the parameters that have a fixed set of them.
        default_times: How often it is played by default. `None`: always.
        parameters: Its parameters in this case.
        times: How often it will still be played. `None`: always.
        played: How often it was played.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    defaults: ClassVar[dict[str, Any]] = {}
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {}
    default_times: ClassVar[int | None] = 1

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
        self.times: int | None = parameters.get("times", self.default_times)
        self.task_type: str | None = parameters.get("task_type")
        self.played = 0
        self._host = host

    def __repr__(self) -> str:
        return f"<Fault {self.name} {self.parameters} played={self.played} times={self.times}>"

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

    def filter_file(self, run: TaskRun, data: bytes) -> bytes:
        """Return the content of a file that is sent inside a result."""
        return data

    def on_http_request(self, runs: list[TaskRun] | None) -> HttpFault | None:
        """Return how an HTTP request fails; `runs` is `None` on arrival, later its accepted tasks."""
        return None

    def on_service_request(self, path: str) -> ServiceFault | None:
        """Return how a request to a service that describes models fails; `None`: it does not."""
        return None

    def on_stream(self, run: TaskRun, plan: StreamPlan) -> None:
        """Change how a token stream is written."""
