"""Authentication, and the sessions that it creates and resumes."""

from __future__ import annotations

import asyncio
from typing import Any

from runware.local.active_faults import ActiveFaults
from runware.local.client_session import ClientSession, ReplayPlan
from runware.local.connection import WebSocketConnection
from runware.local.output import Outgoing
from runware.local.state import ServerState
from runware.local.validation import ApiError

__all__ = ["SessionManager"]

_AUTHENTICATION_DOCUMENTATION = "https://runware.ai/docs/models-api/authentication"


class SessionManager:
    """Checks API keys, and creates, resumes and expires sessions.

    Args:
        state: The state of the server.
        faults: The faults being played.
        loop: The event loop of the server.
    """

    def __init__(self, state: ServerState, faults: ActiveFaults, loop: asyncio.AbstractEventLoop) -> None:
        self._state = state
        self._faults = faults
        self._loop = loop
        self._sessions: dict[str, ClientSession] = {}

    def check_key(self, key: Any) -> None:
        """Check an API key.

        Raises:
            ApiError: It is missing or wrong.
        """
        details = {"type": "string", "taskType": "authentication"}
        if not isinstance(key, str) or not key:
            error = ApiError("missingApiKey", "The API key is missing.", "apiKey", **details)
        elif key != self._state.options.api_key:
            error = ApiError("invalidApiKey", "The API key is not valid.", "apiKey", **details)
        else:
            return
        self._state.ledger.count("refusals")
        raise error

    def authenticate(self, connection: WebSocketConnection, task: dict[str, Any]) -> None:
        """Answer an authentication as if there were no faults."""
        try:
            self.check_key(task.get("apiKey"))
            requested = task.get("connectionSessionUUID")
            session = self._find(requested) if requested is not None else connection.session
        except ApiError as error:
            self._reject(connection, error)
            return
        ledger = self._state.ledger
        ledger.authentications += 1
        if requested is not None and session is not None:
            self._resume(connection, session)
        else:
            if session is None:
                session = ClientSession(connection)
                self._sessions[session.uuid] = session
            connection.session = session
            self._confirm(connection, session)
        ledger.changed()
        if self._faults.active:
            self._faults.on_authenticated(connection)

    def _reject(self, connection: WebSocketConnection, error: ApiError) -> None:
        connection.send({"errors": [error.to_object({}) | {"documentation": _AUTHENTICATION_DOCUMENTATION}]})
        if self._state.switches.q3 != "open":
            connection.close(int(self._state.switches.q3))

    def _confirm(self, connection: WebSocketConnection, session: ClientSession) -> None:
        connection.send({"data": [{"taskType": "authentication", "connectionSessionUUID": session.uuid}]})

    def _find(self, uuid: Any) -> ClientSession | None:
        session = self._sessions.get(uuid) if isinstance(uuid, str) else None
        if session is not None and not self._is_expired(session):
            return session
        if self._state.switches.q2 == "error":
            name = "connectionSessionUUID"
            message = "The session is unknown or has expired."
            raise ApiError("invalidConnectionSessionUUID", message, name, type="string", taskType="authentication")
        return None

    def _resume(self, connection: WebSocketConnection, session: ClientSession) -> None:
        switches = self._state.switches
        plan = ReplayPlan(
            new_uuid=switches.q1 == "new",
            before=switches.q4 == "before",
            written=switches.q5 == "yes",
            undelivered=switches.replay,
        )
        if self._faults.active:
            self._faults.on_resume(plan)
        previous = session.connection
        if previous is not None and previous is not connection:
            previous.session = None
            if previous.stalled:
                previous.abort()
        frames: list[Outgoing] = [*session.take_replay(plan)]
        session.connection = connection
        connection.session = session
        if plan.new_uuid:
            self._sessions.pop(session.uuid, None)
            session.uuid = connection.uuid
            self._sessions[session.uuid] = session
        self._state.ledger.resumes += 1
        self._state.ledger.replayed += len(frames)
        if plan.before:
            session.deliver(frames)
        self._confirm(connection, session)
        if not plan.before:
            session.deliver(frames)

    def connection_lost(self, connection: WebSocketConnection) -> None:
        """Start the resume window of a connection's session."""
        session = connection.session
        if session is not None and session.connection is connection:
            session.connection = None
            session.lost_at = self._loop.time()
            # One millisecond more than the window, so that `_is_expired` finds it passed.
            self._loop.call_later(self._state.options.resume_window + 0.001, self._expire, session)

    def _expire(self, session: ClientSession) -> None:
        if self._is_expired(session):
            self._sessions.pop(session.uuid, None)
            session.expire()

    def _is_expired(self, session: ClientSession) -> bool:
        window = self._state.options.resume_window
        return session.connection is None and self._loop.time() - session.lost_at > window

    def clear(self) -> None:
        """Forget every session."""
        self._sessions.clear()
