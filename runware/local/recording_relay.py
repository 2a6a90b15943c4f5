"""Relay the messages of clients to the real service, and record them."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
from aiohttp import web

from runware.local.access_control import is_loopback
from runware.local.connection import WebSocketConnection
from runware.local.ledger import units_of
from runware.local.recording import SessionRecorder
from runware.local.state import ServerState
from runware.local.task_inputs import prompt_of

__all__ = ["DEFAULT_UPSTREAM", "RecordingRelay", "check_upstream"]

DEFAULT_UPSTREAM = "wss://ws-api.runware.ai/v1"

_HTTP_HOSTS = {"ws-api.runware.ai": "api.runware.ai"}
_HEADERS = ("Authorization", "Content-Type", "Accept", "X-Runware-Dry-Run")
_NOT_SENT = frozenset((1005, 1006, 1015))
"""Close codes that no close frame may have."""


def check_upstream(url: str) -> str:
    """Return the URL of a service.

    Raises:
        ValueError: It is no WebSocket URL, or would send keys unencrypted.
    """
    parts = urlsplit(url)
    if parts.scheme == "wss" or (parts.scheme == "ws" and is_loopback(parts.hostname)):
        return url
    raise ValueError(f"upstream must be a wss:// URL, such as {DEFAULT_UPSTREAM}; got {url!r}")


class RecordingRelay:
    """Relays the connections and requests of clients to the service, and records tasks and results.

    Args:
        state: The state of the server, whose ledger shows what is relayed.
        recorder: Writes the recording.
        upstream: The WebSocket URL of the service.
    """

    def __init__(self, state: ServerState, recorder: SessionRecorder, upstream: str) -> None:
        self._state = state
        self._recorder = recorder
        self._upstream = upstream
        self._client: aiohttp.ClientSession | None = None
        self._queues: dict[WebSocketConnection, asyncio.Queue[str]] = {}
        self._relays: dict[WebSocketConnection, asyncio.Task[None]] = {}

    @property
    def connections(self) -> list[WebSocketConnection]:
        """The open connections of clients."""
        return list(self._relays)

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(trust_env=True)
        return self._client

    async def close(self) -> None:
        """End every connection to the service, and finish the recording."""
        relays = list(self._relays.values())
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
            self._client = None
        self._recorder.finish()

    def _sent(self, text: str | bytes) -> None:
        try:
            tasks = json.loads(text)
        except ValueError:
            return
        for task in tasks if isinstance(tasks, list) else ():
            if isinstance(task, dict):
                self._recorder.sent(task)
                ledger = self._state.ledger
                ledger.receive(task)
                uuid, kind = task.get("taskUUID"), task.get("taskType")
                if kind == "getResponse":
                    ledger.poll(str(uuid))
                elif isinstance(uuid, str):
                    ledger.submit(uuid, str(kind), prompt_of(task))

    def _received(self, text: str | bytes) -> None:
        try:
            frame = json.loads(text)
        except ValueError:
            return
        self._note(frame)

    def _note(self, frame: Any) -> None:
        """Record a message, and put its results into the ledger, so that tests can look there while they record."""
        ledger = self._state.ledger
        for item in self._recorder.received(frame):
            record = ledger.record(str(item["taskUUID"]))
            if record is None:
                continue
            if isinstance(item.get("code"), str) or item.get("status") == "error":
                record.error = str(item.get("code") or (item.get("error") or {}).get("code", "unknownError"))
                ledger.changed()
                continue
            if not record.executions:
                ledger.execute(record)
            ledger.bill(record, 1, units_of(item.get("cost"), 0))

    # WebSocket: the handler of connections.

    def connection_opened(self, connection: WebSocketConnection) -> None:
        """Connect to the service."""
        self._state.ledger.count("connections")
        self._queues[connection] = asyncio.Queue()
        relay = asyncio.get_running_loop().create_task(self._relay(connection))
        self._relays[connection] = relay
        relay.add_done_callback(lambda _: self._relays.pop(connection, None))

    def connection_lost(self, connection: WebSocketConnection) -> None:
        """End the connection to the service."""
        self._queues.pop(connection, None)
        if relay := self._relays.get(connection):
            relay.cancel()

    def text_received(self, connection: WebSocketConnection, payload: bytes) -> None:
        """Pass a message on."""
        self._sent(payload)
        if queue := self._queues.get(connection):
            queue.put_nowait(payload.decode(errors="replace"))

    def binary_received(self, connection: WebSocketConnection) -> None:
        """Refuse a binary message."""
        connection.close(1003, "messages must be text")

    def ping_received(self, connection: WebSocketConnection) -> bool:  # noqa: ARG002 - as the handler has it
        """Answer pings."""
        return True

    async def _relay(self, connection: WebSocketConnection) -> None:
        query = f"?{urlencode(connection.query)}" if connection.query else ""
        try:
            async with self._session().ws_connect(f"{self._upstream}{query}", max_msg_size=0) as upstream:
                sending = asyncio.get_running_loop().create_task(self._send(self._queues[connection], upstream))
                try:
                    async for message in upstream:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            self._received(message.data)
                            connection.send(message.data)
                finally:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
                code = upstream.close_code or 1000
            connection.close(1011 if code in _NOT_SENT else code)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._state.ledger.errors.append(error)
            connection.close(1011, f"{urlsplit(self._upstream).hostname}: {type(error).__name__}: {error}")

    @staticmethod
    async def _send(queue: asyncio.Queue[str], upstream: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await upstream.send_str(await queue.get())

    # HTTP.

    async def forward(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass a request with tasks on."""
        payload = await request.read()
        self._state.ledger.count("http_requests")
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        self._recorder.hide(headers.get("Authorization", "").removeprefix("Bearer ").strip())
        self._sent(payload)
        parts = urlsplit(self._upstream)
        host = parts.netloc.replace(parts.hostname or "", _HTTP_HOSTS.get(parts.hostname or "", parts.hostname or ""))
        url = f"{parts.scheme.replace('ws', 'http', 1)}://{host}{parts.path}"
        try:
            async with self._session().post(url, data=payload, headers=headers, params=request.query) as response:
                if response.content_type == "text/event-stream":
                    return await self._forward_stream(request, response, payload)
                body = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._state.ledger.errors.append(error)
            return web.Response(status=502, text=f"{parts.hostname}: {type(error).__name__}: {error}\n")
        self._received(body)
        kept = {name: response.headers[name] for name in ("Content-Type", "Retry-After") if name in response.headers}
        return web.Response(status=response.status, body=body, headers=kept)

    async def _forward_stream(
        self, request: web.BaseRequest, response: aiohttp.ClientResponse, payload: bytes
    ) -> web.StreamResponse:
        answer = web.StreamResponse(status=response.status, headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        received, noted = b"", False
        async for chunk in response.content.iter_any():
            received += chunk
            # Before the client receives the end, since it may end the recording at once.
            if not noted and _LAST_EVENT in received:
                self._note_stream(payload, received)
                noted = True
            await answer.write(chunk)
        if not noted:
            self._note_stream(payload, received)
        return answer

    def _note_stream(self, payload: bytes, received: bytes) -> None:
        self._note({"data": [_streamed_result(json.loads(payload)[0], received.decode(errors="replace"))]})


_LAST_EVENT = b"\ndata: [DONE]"
"""The last event of a stream. The line break is part of it, because a text may contain the rest; line breaks in texts
are escaped."""


def _streamed_result(task: dict[str, Any], text: str) -> dict[str, Any]:
    """Combine the events of a stream into one result."""
    result: dict[str, Any] = {"taskUUID": task.get("taskUUID"), "text": ""}
    for line in text.splitlines():
        event = line.removeprefix("data:").strip()
        if line.startswith("data:") and event.startswith("{"):
            part = json.loads(event)
            delta = part.get("delta") or {}
            result["text"] += delta.get("text") or ""
            result |= {name: part[name] for name in ("finishReason", "usage", "cost") if part.get(name) is not None}
    return result
