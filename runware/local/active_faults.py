"""The faults being played: created by name, and asked at every place where a fault can interfere."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runware.local.client_session import ReplayPlan
from runware.local.connection import WebSocketConnection
from runware.local.fault_registry import FAULTS, find_fault
from runware.local.faults import AppFault, Fault, HttpFault, ReceivedAppRequest, ServiceFault
from runware.local.output import Outgoing
from runware.local.state import ServerState
from runware.local.stream_plan import StreamPlan
from runware.local.task_run import TaskRun
from runware.local.webhooks import WebhookPost

__all__ = ["ActiveFaults", "FaultNames"]

_Authenticate = Callable[[WebSocketConnection, dict[str, Any]], None]


class FaultNames(Mapping[str, type[Fault]]):
    """Every fault class by its readable name. Its text is a table with what each does, and which are being played.

    Attributes:
        playing: The faults being played, the oldest first.
    """

    def __init__(self, playing: tuple[Fault, ...]) -> None:
        self.playing = playing
        self._kinds = {kind.alias: kind for kind in FAULTS.values()}

    def __getitem__(self, name: str) -> type[Fault]:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def __repr__(self) -> str:
        playing = {fault.alias for fault in self.playing}
        return "\n".join(
            f"{'*' if alias in playing else ' '} {alias:22} {kind.name:4} {kind.summary}"
            for alias, kind in self._kinds.items()
        )


class ActiveFaults:
    """All faults being played. Its methods have the names of the places in `Fault`.

    Args:
        state: The state of the server.

    Attributes:
        active: Whether any fault is being played; checked first, so that a server without faults stays fast.
    """

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._faults: tuple[Fault, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._authenticate: _Authenticate | None = None
        self._inactivity_changed: Callable[[], None] | None = None
        self.active = False

    @property
    def playing(self) -> tuple[Fault, ...]:
        """The faults being played, the oldest first."""
        return self._faults

    # The host of each fault.

    @property
    def state(self) -> ServerState:
        """The state of the server."""
        return self._state

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the running server."""
        assert self._loop is not None
        return self._loop

    def attach(
        self, loop: asyncio.AbstractEventLoop, authenticate: _Authenticate, inactivity_changed: Callable[[], None]
    ) -> None:
        """Connect the faults to a server that starts."""
        self._loop = loop
        self._authenticate = authenticate
        self._inactivity_changed = inactivity_changed

    def detach(self) -> None:
        """Disconnect the faults from a server that stopped."""
        self._loop = self._authenticate = self._inactivity_changed = None

    def authenticate(self, connection: WebSocketConnection, task: dict[str, Any]) -> None:
        """Answer an authentication as if there were no faults."""
        if self._authenticate is not None:
            self._authenticate(connection, task)

    def inactivity_changed(self) -> None:
        """Apply a changed inactivity limit to open connections."""
        if self._inactivity_changed is not None:
            self._inactivity_changed()

    def create(self, text: str, parameters: dict[str, Any]) -> Fault:
        """Create a fault by name.

        Args:
            text: The name, with or without parameters, as on the command line: `X6:replay=rest,times=2`.
            parameters: Further parameters.

        Raises:
            ValueError: There is no such fault, parameter or value.
        """
        name, given = _parse(text)
        return find_fault(name)(self, {**given, **parameters})

    def add(self, fault: Fault) -> None:
        """Start playing a fault."""
        with self._lock:
            self._faults = (*self._faults, fault)
            self.active = True
        fault.on_added(self._state)

    def remove(self, fault: Fault) -> None:
        """Stop playing a fault."""
        with self._lock:
            known = fault in self._faults
            self._faults = tuple(other for other in self._faults if other is not fault)
            self.active = bool(self._faults)
        if known:
            fault.on_removed(self._state)

    def clear(self) -> None:
        """Stop playing all faults."""
        for fault in self._faults:
            self.remove(fault)

    def record(self, fault: Fault) -> None:
        """Record in the ledger that a fault was played."""
        self._state.ledger.faults.append(fault.name)
        self._state.ledger.changed()

    # The places where faults interfere.

    def on_ping(self, connection: WebSocketConnection, kind: str) -> bool:
        """Return whether to leave a ping unanswered."""
        return self.active and any(fault.on_ping(connection, kind) for fault in self._faults)

    def on_authentication(self, connection: WebSocketConnection, task: dict[str, Any]) -> bool:
        """Return whether a fault has handled an authentication."""
        return any(fault.on_authentication(connection, task) for fault in self._faults)

    def on_authenticated(self, connection: WebSocketConnection) -> None:
        """Run the faults that interfere after an authentication."""
        for fault in self._faults:
            fault.on_authenticated(connection)

    def on_resume(self, plan: ReplayPlan) -> None:
        """Run the faults that change how a session is resumed."""
        for fault in self._faults:
            fault.on_resume(plan)

    def on_task(self, connection: WebSocketConnection, task: dict[str, Any]) -> bool:
        """Return whether a fault has handled a task."""
        return any(fault.on_task(connection, task) for fault in self._concerned(task))

    def allow_duplicate(self, task: dict[str, Any]) -> bool:
        """Return whether a taskUUID may be used twice."""
        return any(fault.allow_duplicate(task) for fault in self._concerned(task))

    def on_accepted(self, run: TaskRun) -> None:
        """Run the faults that change an accepted task."""
        for fault in self._concerned(run.task):
            fault.on_accepted(run)

    def filter_acknowledgement(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Return the frames to send when a task is accepted."""
        for fault in self._concerned(run.task):
            frames = fault.filter_acknowledgement(run, frames)
        return frames

    def filter_results(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Return the frames to send when results are finished."""
        for fault in self._concerned(run.task):
            frames = fault.filter_results(run, frames)
        return frames

    def filter_poll(self, task: dict[str, Any], run: TaskRun | None, frames: list[Outgoing]) -> list[Outgoing]:
        """Return the frames to send in response to a poll."""
        for fault in self._concerned(run.task if run is not None else task):
            frames = fault.filter_poll(task, run, frames)
        return frames

    def filter_webhooks(
        self, run: TaskRun, posts: list[WebhookPost], send: Callable[[WebhookPost], None]
    ) -> list[WebhookPost]:
        """Return the webhooks to send when results are finished; a fault may keep some, and *send* them later."""
        for fault in self._concerned(run.task):
            posts = fault.filter_webhooks(run, posts, send)
        return posts

    def filter_file(self, run: TaskRun, data: bytes) -> bytes:
        """Return the content of a file that is sent inside a result."""
        for fault in self._concerned(run.task):
            data = fault.filter_file(run, data)
        return data

    def on_http_request(self, tasks: list[Any], runs: list[TaskRun] | None) -> HttpFault | None:
        """Return how an HTTP request with some tasks fails; `None`: it does not."""
        found = (fault.on_http_request(tasks, runs) for fault in list(self._faults))
        return next((fault for fault in found if fault is not None), None)

    def on_app_request(self, request: ReceivedAppRequest) -> AppFault | None:
        """Return what happens to a request to a serverless app; `None`: nothing."""
        found = (fault.on_app_request(request) for fault in self._faults)
        return next((fault for fault in found if fault is not None), None)

    def on_service_request(self, path: str) -> ServiceFault | None:
        """Return how a request to a service that describes models fails; `None`: it does not."""
        found = (fault.on_service_request(path) for fault in self._faults)
        return next((fault for fault in found if fault is not None), None)

    def on_stream(self, run: TaskRun, plan: StreamPlan) -> None:
        """Run the faults that change how a token stream is written."""
        for fault in self._concerned(run.task):
            fault.on_stream(run, plan)

    def _concerned(self, task: dict[str, Any]) -> list[Fault]:
        return [fault for fault in self._faults if fault.concerns(task)]


def _parse(text: str) -> tuple[str, dict[str, Any]]:
    name, _, rest = text.partition(":")
    parameters: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, separator, value = pair.partition("=")
        if not separator:
            raise ValueError(f"parameters of a fault are written NAME=VALUE; got {pair!r}")
        parameters[key.strip()] = _parse_value(value.strip())
    return name.strip(), parameters


def _parse_value(text: str) -> Any:
    constants = {"none": None, "true": True, "false": False}
    if text.lower() in constants:
        return constants[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
