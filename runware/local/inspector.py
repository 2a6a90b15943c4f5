"""The inspector: a page that shows live what the server does, and switches faults on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from aiohttp import web

from runware.local.active_faults import ActiveFaults
from runware.local.connection import WebSocketConnection
from runware.local.encoding import encode_json
from runware.local.inspector_view import (
    MEDIA_PATH,
    describe_faults,
    describe_server,
    describe_task,
    find_deliveries,
)
from runware.local.state import ServerState
from runware.local.task_runner import ResultHold, TaskRunner

__all__ = ["FILE_HEADERS", "INSPECTOR_PREFIX", "Inspector"]

INSPECTOR_PREFIX = "/inspector"

FILE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # A file may come from a client, such as an SVG with a script, and has the origin of the page.
    "Content-Security-Policy": "sandbox; script-src 'none'; object-src 'none'",
}
"""The headers of files."""

_PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
_FOLDER = Path(__file__).parent / "page"
_FILES = {
    "": ("inspector.html", "text/html"),
    "/": ("inspector.html", "text/html"),
    "/inspector.css": ("inspector.css", "text/css"),
    "/inspector.js": ("inspector.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_SHOWN_TASKS = 200
_INTERVAL = 0.1
_KEEPALIVE_TICKS = 100


class Inspector:
    """Answers the requests of the page.

    Args:
        state: The state of the server.
        faults: The faults being played.
        runner: Runs the tasks.
        connections: Returns the open WebSocket connections.
        executor: The threads that render files.
    """

    def __init__(
        self,
        state: ServerState,
        faults: ActiveFaults,
        runner: TaskRunner,
        connections: Callable[[], list[WebSocketConnection]],
        executor: Executor,
    ) -> None:
        self._state = state
        self._faults = faults
        self._runner = runner
        self._connections = connections
        self._executor = executor
        self._hold: ResultHold | None = None
        self._actions: dict[str, Callable[[str], None]] = {
            "play": self._play,
            "stop": self._stop,
            "drop": self._drop,
            "hold": self._hold_results,
            "release": self._release_results,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.path.removeprefix(INSPECTOR_PREFIX)
        if path == "/action":
            return await self._act(request)
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET"})
        if path in _FILES:
            name, content_type = _FILES[path]
            body = (_FOLDER / name).read_bytes()
            return web.Response(body=body, content_type=content_type, charset="utf-8", headers=_PAGE_HEADERS)
        if _is_foreign(request):
            return web.Response(status=403, text="403: only the inspector's own page may read this.\n")
        return await (self._send_events if path == "/events" else self._send_file)(request)

    async def _send_file(self, request: web.BaseRequest) -> web.StreamResponse:
        media = self._state.media.get(request.path.removeprefix(MEDIA_PATH).partition(".")[0])
        if media is None:
            return web.Response(status=404, text="File not found.\n")
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self._executor, self._state.media.content, media)
        return web.Response(body=body, content_type=media.content_type, headers=FILE_HEADERS)

    # Events.

    async def _send_events(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send the state that the page shows, and then its changes, as server-sent events."""
        response = web.StreamResponse(headers={**_PAGE_HEADERS, "Content-Type": "text/event-stream"})
        try:
            await response.prepare(request)
            await response.write(f"retry: 500\nevent: faults\ndata: {encode_json(describe_faults())}\n\n".encode())
            await self._follow(request, response)
        except ConnectionError:  # the page was closed
            pass
        return response

    async def _follow(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        # Polling the state also limits how often a busy server writes, and costs nothing while no page is open.
        ledger = self._state.ledger
        sent: dict[int, str] = {}
        server, version, ticks = "", -1, 0
        while request.transport is not None and not request.transport.is_closing():
            text = ""
            if version != ledger.version:
                version = ledger.version
                text += self._changed_tasks(sent)
            described = encode_json(
                describe_server(self._state, self._faults, self._connections(), holding=self._holding)
            )
            if described != server:
                server = described
                text += f"event: server\ndata: {described}\n\n"
            ticks = 0 if text else ticks + 1
            if ticks >= _KEEPALIVE_TICKS:
                text, ticks = ":\n\n", 0
            if text:
                await response.write(text.encode())
            await asyncio.sleep(_INTERVAL)

    def _changed_tasks(self, sent: dict[int, str]) -> str:
        """Return the event with the tasks that changed since the last call; *sent* has those that the page shows."""
        shown = self._state.ledger.latest(_SHOWN_TASKS)
        deliveries = find_deliveries(self._state)
        changed = []
        for request in shown:
            described = encode_json(describe_task(self._state, request, deliveries))
            if sent.get(request.number) != described:
                sent[request.number] = described
                changed.append(described)
        numbers = {request.number for request in shown}
        gone = sent.keys() - numbers
        for number in gone:
            del sent[number]
        if not changed and not gone:
            return ""
        return f'event: tasks\ndata: {{"changed":[{",".join(changed)}],"gone":{encode_json(sorted(gone))}}}\n\n'

    # Actions.

    async def _act(self, request: web.BaseRequest) -> web.Response:
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        # An HTML form of a foreign page cannot have this content type, and browsers do not let its scripts send it.
        if _is_foreign(request) or request.content_type != "application/json":
            return web.Response(status=403, text="403: only the inspector's own page may do this.\n")
        try:
            body = json.loads(await request.text())
            action = self._actions[body["do"]]
            action(str(body.get("what", "")))
        except (KeyError, TypeError, AttributeError):
            return _answer(400, "There is no such action.")
        except ValueError as error:
            return _answer(400, str(error))
        return _answer(200, "")

    def _play(self, what: str) -> None:
        self._faults.add(self._faults.create(what, {}))

    def _stop(self, what: str) -> None:
        for fault in self._faults.playing:
            if what in ("", fault.name):
                fault.stop()

    def _drop(self, what: str) -> None:
        for connection in self._connections():
            connection.end(what or "rst")

    @property
    def _holding(self) -> bool:
        # When the program releases all results, every hold ends.
        return self._hold is not None and self._runner.has_hold(self._hold)

    def _hold_results(self, _: str) -> None:
        if not self._holding:
            self._hold = ResultHold(None)
            self._runner.add_hold(self._hold)

    def _release_results(self, _: str) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            self._runner.remove_hold(hold)


def _answer(status: int, error: str) -> web.Response:
    body = encode_json({"error": error}).encode()
    return web.Response(status=status, body=body, content_type="application/json", headers=_PAGE_HEADERS)


def _is_foreign(request: web.BaseRequest) -> bool:
    """Return whether another page made the browser send a request; programs are not browsers."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
