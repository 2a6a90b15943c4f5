"""The API over WebSocket."""

from __future__ import annotations

from typing import Any

from runware.local.active_faults import ActiveFaults
from runware.local.client_session import ClientSession
from runware.local.connection import WebSocketConnection
from runware.local.output import Outgoing
from runware.local.request_body import bad_request, parse_tasks
from runware.local.session_manager import SessionManager
from runware.local.state import ServerState
from runware.local.task_processor import TaskProcessor
from runware.local.task_run import TaskRun
from runware.local.validation import ApiError

__all__ = ["WebSocketApi"]


class _SessionSource:
    """The source of tasks from one session. Answers are pushed, so that it has nothing to register."""

    http = False

    def __init__(self, session: ClientSession, dry: bool) -> None:
        self.session = session
        self.dry = dry

    def deliver(self, outputs: list[Outgoing]) -> None:
        """Send frames to the session, or keep them until it is resumed."""
        self.session.deliver(outputs)

    def attach(self, run: TaskRun) -> None:
        """Do nothing."""

    def expect_answer(self) -> None:
        """Do nothing."""

    def answer_delivered(self) -> None:
        """Do nothing."""


class WebSocketApi:
    """Handles the messages of all WebSocket connections.

    Args:
        state: The state of the server.
        faults: The faults being played.
        sessions: Authenticates connections.
        processor: Processes the tasks.

    Attributes:
        connections: The open connections.
    """

    def __init__(
        self, state: ServerState, faults: ActiveFaults, sessions: SessionManager, processor: TaskProcessor
    ) -> None:
        self._state = state
        self._faults = faults
        self._sessions = sessions
        self._processor = processor
        self.connections: list[WebSocketConnection] = []

    def connection_opened(self, connection: WebSocketConnection) -> None:
        """Register a connection."""
        self.connections.append(connection)
        self._state.ledger.count("connections")

    def connection_lost(self, connection: WebSocketConnection) -> None:
        """Forget a connection; its session can be resumed."""
        if connection in self.connections:
            self.connections.remove(connection)
        self._sessions.connection_lost(connection)
        self._state.ledger.changed()

    def inactivity_changed(self) -> None:
        """Apply a changed inactivity limit to every connection."""
        for connection in self.connections:
            connection.check_inactivity()

    def ping_received(self, connection: WebSocketConnection) -> bool:
        """Return whether a ping frame is to be answered."""
        return not self._faults.on_ping(connection, "protocol")

    def binary_received(self, connection: WebSocketConnection) -> None:
        """Reject a binary message."""
        connection.send({"errors": [bad_request(self._state.switches, "Messages must be text.")]})

    def text_received(self, connection: WebSocketConnection, payload: bytes) -> None:
        """Process the tasks of a message."""
        error, tasks = parse_tasks(self._state.switches, payload)
        if error is not None:
            connection.send({"errors": [error]})
            return
        source: _SessionSource | None = None
        for task in tasks:
            # An authentication in the same message changes the session.
            session = connection.session
            if session is None:
                source = None
            elif source is None or source.session is not session:
                source = _SessionSource(session, connection.dry)
            self._task_received(connection, source, task)

    def _task_received(self, connection: WebSocketConnection, source: _SessionSource | None, task: Any) -> None:
        if not isinstance(task, dict):
            connection.send({"errors": [bad_request(self._state.switches, "Every task must be an object.")]})
            return
        ledger = self._state.ledger
        ledger.receive(task)
        scripted = self._processor.run_script(task)
        if scripted is not None:
            for frame in scripted:
                connection.send(frame)
            return
        if self._faults.active and self._faults.on_task(connection, task):
            return
        task_type = task.get("taskType")
        if task_type == "authentication":
            if not (self._faults.active and self._faults.on_authentication(connection, task)):
                self._sessions.authenticate(connection, task)
        elif source is None:
            error = ApiError("missingApiKey", "Authenticate first.", "apiKey").to_object(task)
            ledger.reject(task, error)
            connection.send({"errors": [error]})
        elif task_type == "ping":
            ledger.count("pings")
            if not self._faults.on_ping(connection, "json"):
                connection.send({"data": [{"taskType": "ping", "pong": True}]})
        else:
            self._processor.submit(task, source)
