"""A running server: everything that exists between its start and its stop, on its event loop.

How a task is processed:

1. `request_router` reads the first request of a TCP connection, and makes it a WebSocket `connection` or leaves it to
   aiohttp.
2. `websocket_api` or `http_api` parses the message. `session_manager` authenticates its sender.
3. `task_processor` validates each task by its entry in `task_types`, and by `model_rules`, which also price it. It
   answers queries, and rejects or accepts others.
4. `task_runner` waits, holds results back, and finishes and bills them. `result_items` creates their content.
5. The source of the task delivers them: a `client_session`, which keeps them while it has no connection, or the HTTP
   request. `webhooks` delivers them for a task with a webhookURL.

`http_api` also answers for the services that describe models, with `model_services`, and for the page of the
`inspector`.

`active_faults` can interfere in each step. Everything is recorded in the `ledger`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from aiohttp import web

from runware.local.active_faults import ActiveFaults
from runware.local.connection import WebSocketConnection, reset_transport
from runware.local.http_api import HttpApi
from runware.local.inspector import Inspector
from runware.local.recording_relay import RecordingRelay
from runware.local.request_router import OpenTransports, RequestRouter
from runware.local.serverless_api import ServerlessApi
from runware.local.session_manager import SessionManager
from runware.local.state import ServerState
from runware.local.task_processor import TaskProcessor
from runware.local.task_runner import TaskRunner
from runware.local.webhooks import WebhookSender
from runware.local.websocket_api import WebSocketApi

__all__ = ["RunningServer"]


class RunningServer:
    """The parts of a running server, and its listening socket.

    Every method must be called on the event loop.

    Args:
        state: The state that outlives this run.
        faults: The faults being played.
        loop: The event loop of the server.
        executor: The threads that render files.
        relay: Passes tasks on to the real service, and records them. `None`: this server answers them.

    Attributes:
        runner: Runs the accepted tasks.
        sessions: The sessions of clients.
        processor: Processes tasks.
        websocket: The API over WebSocket.
    """

    def __init__(
        self,
        state: ServerState,
        faults: ActiveFaults,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
        relay: RecordingRelay | None,
    ) -> None:
        self._state = state
        self._faults = faults
        self._loop = loop
        self._webhooks = WebhookSender(state)
        self._relay = relay
        self.runner = TaskRunner(state, faults, self._webhooks, loop, executor)
        self.sessions = SessionManager(state, faults, loop)
        self.processor = TaskProcessor(state, faults, self.runner, loop)
        self.websocket = WebSocketApi(state, faults, self.sessions, self.processor)
        serverless = ServerlessApi(state, faults, self.sessions, loop)
        inspector = Inspector(state, faults, self.runner, lambda: self.open_connections, executor)
        http = HttpApi(state, faults, self.sessions, self.processor, executor, serverless, inspector, relay)
        self._http = web.Server(http.handle, access_log=None, loop=loop)
        self._transports = OpenTransports()
        self._listener: asyncio.Server | None = None
        self._reserved: list[socket.socket] = []
        faults.attach(loop, self.sessions.authenticate, self.websocket.inactivity_changed)

    @property
    def open_connections(self) -> list[WebSocketConnection]:
        """The open WebSocket connections."""
        return [*self.websocket.connections, *(self._relay.connections if self._relay is not None else ())]

    @property
    def listening(self) -> bool:
        """Whether new connections are accepted."""
        return self._listener is not None

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Start to accept connections; return the port."""
        options: dict[str, Any] = {"ssl_shutdown_timeout": 1.0} if context is not None else {}
        self._free_port()
        self._listener = await self._loop.create_server(
            self._create_router, host, port, ssl=context, backlog=1024, **options
        )
        listening_port: int = self._listener.sockets[0].getsockname()[1]
        return listening_port

    def _create_router(self) -> RequestRouter:
        return RequestRouter(self._state, self._relay or self.websocket, self._transports, self._http)

    def stop_listening(self) -> None:
        """Refuse new connections."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def unplug(self, how: str) -> None:
        """Refuse new connections on a port that stays reserved, and end the open ones."""
        listening = [] if self._listener is None else list(self._listener.sockets)
        addresses = [(one.family, one.getsockname()) for one in listening]
        self.stop_listening()
        # Another server could be given the port meanwhile, and would then get this server's clients.
        for family, address in addresses:
            reserved = socket.socket(family)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind(address)
            # The option was needed because of connections that are still ending; from now on no other socket may bind
            # the port.
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            self._reserved.append(reserved)
        self.drop_connections(how)

    def _free_port(self) -> None:
        while self._reserved:
            self._reserved.pop().close()

    def drop_connections(self, how: str) -> int:
        """End every TCP connection with `rst` or `fin`; return the number of WebSocket connections."""
        connections = self.open_connections
        for connection in connections:
            connection.end(how)
        http = [handler.transport for handler in self._http.connections if handler.transport is not None]
        for transport in [*self._transports.unrouted, *http]:
            reset_transport(transport) if how == "rst" else transport.close()
        return len(connections)

    async def shut_down(self) -> None:
        """Stop listening, end every connection at once, and cancel everything in progress."""
        if self._listener is not None:
            # asyncio loses a connection that it has accepted, but not yet made a transport of, when the listener
            # closes (its socket stays open until it is collected). So first it stops accepting.
            for listening in self._listener.sockets:
                with suppress(NotImplementedError):  # not every event loop has remove_reader
                    self._loop.remove_reader(listening.fileno())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.stop_listening()
        self._free_port()
        for connection in self.open_connections:
            connection.abort()
        if self._relay is not None:
            await self._relay.close()
        for transport in list(self._transports.unrouted):
            transport.abort()
        await self._webhooks.close()
        await self.runner.close()
        await self._http.shutdown(0.1)
        self._faults.detach()
        # Aborted transports call their protocols in the loop's next step. A connection that is still being accepted
        # is a task of asyncio's own, which would leave its transport open if it were cancelled with the loop.
        for _ in range(3):
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others, timeout=0.2)
            await asyncio.sleep(0)
            for transport in list(self._transports.all):
                if not transport.is_closing():
                    transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
