"""The serverless API over HTTP: call an endpoint of an app, read a task, list the tasks."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, NamedTuple

from aiohttp import web

from runware.local.active_faults import ActiveFaults
from runware.local.apps import AppRun, DeployedApp
from runware.local.connection import reset_transport
from runware.local.faults import ReceivedAppRequest
from runware.local.session_manager import SessionManager
from runware.local.state import ServerState
from runware.local.uuids import new_uuid
from runware.local.validation import ApiError

__all__ = ["PREFIX", "ServerlessApi"]

PREFIX = "/v1/apps/"
_TASK_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DOCUMENTATION = "https://docs.runware.ai/serverless/errors"
_PAGE = 20


class _Problem(Exception):  # noqa: N818 - named as RFC 9457 names it
    """An error response: a problem of RFC 9457."""

    def __init__(self, status: int, kind: str, detail: str, fields: list[tuple[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.fields = fields or []
        self.headers: dict[str, str] = {}


class _ConnectionCut(Exception):  # noqa: N818
    """A fault has reset the connection."""


class _Route(NamedTuple):
    """The parts of a path: the app, the action, and the endpoint or the task."""

    app: str
    action: str
    rest: str


class ServerlessApi:
    """Answers requests below `/v1/apps/`.

    Args:
        state: The state of the server.
        faults: The faults being played.
        sessions: Checks API keys.
        loop: The event loop of the server.
    """

    def __init__(
        self, state: ServerState, faults: ActiveFaults, sessions: SessionManager, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._state = state
        self._faults = faults
        self._sessions = sessions
        self._loop = loop

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        self._state.ledger.count("http_requests")
        number = f"req_{new_uuid()[:8]}"
        endpoint: str | None = None
        try:
            route = self._route(request)
            endpoint = route.rest if route.action.startswith("invoke") else None
            response = await self._answer(request, route)
        except _Problem as problem:
            response = _problem_response(request, problem, number, endpoint)
        except _ConnectionCut:
            return web.Response(status=503)  # which no client receives
        response.headers["X-Request-Id"] = number
        return response

    def _route(self, request: web.BaseRequest) -> _Route:
        try:
            self._sessions.check_key(request.headers.get("Authorization", "").removeprefix("Bearer ").strip())
        except ApiError as error:
            raise _Problem(401, "unauthorized", "The API key is missing or not valid.") from error
        path = request.raw_path.partition("?")[0]
        if "%2f" in path.lower():
            raise _Problem(422, "invalid-path", "The slashes of an endpoint path are not escaped.")
        app, _, rest = path.removeprefix(PREFIX).partition("/")
        action, _, rest = rest.partition("/")
        allowed = {"invoke-sync": "POST", "invoke-async": "POST", "tasks": "GET"}.get(action)
        if allowed is None:
            raise _Problem(404, "not-found", "There is no such path.")
        if request.method != allowed:
            raise _Problem(405, "method-not-allowed", f"The method must be {allowed}.")
        return _Route(app, action, rest)

    async def _answer(self, request: web.BaseRequest, route: _Route) -> web.Response:
        if route.action == "tasks":
            if not route.rest:
                return self._list(request, route)
            await self._interfere(request, ReceivedAppRequest("task", route.app, route.rest, taken=False))
            response = self._read(request, route)
            await self._interfere(request, ReceivedAppRequest("task", route.app, route.rest, taken=True))
            return response
        return await self._invoke(request, route)

    async def _interfere(self, request: web.BaseRequest, asked: ReceivedAppRequest) -> None:
        """Play the faults of a request."""
        fault = self._faults.on_app_request(asked) if self._faults.active else None
        if fault is None:
            return
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.cut:
            if request.transport is not None:
                reset_transport(request.transport)
            raise _ConnectionCut
        if fault.status:
            problem = _Problem(fault.status, fault.kind, fault.detail)
            problem.headers = dict(fault.headers)
            raise problem

    # Requests.

    def _app(self, request: web.BaseRequest, name: str) -> tuple[DeployedApp, str]:
        app = self._state.apps.get(name)
        if app is None:
            raise _Problem(404, "app-not-found", f"There is no app '{name}'.")
        environment = request.query.get("environment", app.environments[0])
        if environment not in app.environments:
            raise _Problem(404, "environment-not-found", f"The app has no environment '{environment}'.")
        return app, environment

    async def _invoke(self, request: web.BaseRequest, route: _Route) -> web.Response:
        payload = await request.read()
        body = self._body(payload)
        uuid = body["taskId"]
        await self._interfere(request, ReceivedAppRequest("invoke", route.app, uuid, taken=False))
        app, environment = self._app(request, route.app)
        endpoint = route.rest or app.default
        if endpoint is None:
            raise _Problem(404, "endpoint-not-found", "The app has no default endpoint.")
        if endpoint not in app.endpoints:
            raise _Problem(404, "endpoint-not-found", f"The app has no endpoint '{endpoint}'.")
        ledger = self._state.ledger
        ledger.receive(
            {"taskType": "serverless", "app": app.name, "environment": environment, "action": route.action,
             "endpoint": route.rest, **body},
            uuid,
        )  # fmt: skip
        record = ledger.submit(uuid, "serverless", "")
        run = self._state.app_runs.get(uuid)
        if run is None:
            run = AppRun(uuid, app, environment, endpoint, body["payload"], record)
            self._state.app_runs[uuid] = run
            delay = self._state.options.delay_for({"taskType": "serverless", **body})
            self._loop.call_later(delay, run.start, self._loop, ledger)
        in_time = True
        if route.action == "invoke-sync":
            try:
                async with asyncio.timeout(self._state.options.sync_window or None):
                    await run.finished.wait()
            except TimeoutError:
                in_time = False
        await self._interfere(request, ReceivedAppRequest("invoke", route.app, uuid, taken=True))
        finished = route.action == "invoke-sync" and in_time
        return web.json_response(run.to_object(), status=200 if finished else 202)

    def _body(self, payload: bytes) -> dict[str, Any]:
        limit = self._state.switches.q13
        if limit and len(payload) > limit:
            raise _Problem(413, "payload-too-large", f"The body exceeds {limit} bytes.")
        try:
            body = json.loads(payload.decode())
        except (ValueError, RecursionError) as error:
            raise _Problem(400, "malformed-body", "The body is not JSON.") from error
        if not isinstance(body, dict):
            raise _Problem(422, "validation", "The body must be an object.")
        wrong = [(f"#/{name}", "is not allowed") for name in body if name not in ("taskId", "payload")]
        if not isinstance(body.get("taskId"), str) or not _TASK_ID.fullmatch(body["taskId"]):
            wrong.append(("#/taskId", "must be a lower-case UUID"))
        if not isinstance(body.get("payload"), dict):
            wrong.append(("#/payload", "must be an object"))
        if wrong:
            raise _Problem(422, "validation", "The request is not valid.", wrong)
        return body

    def _read(self, request: web.BaseRequest, route: _Route) -> web.Response:
        app, _ = self._app(request, route.app)
        self._state.ledger.poll(route.rest)
        run = self._state.app_runs.get(route.rest)
        if run is None or run.app is not app:
            raise _Problem(404, "task-not-found", f"There is no task '{route.rest[:100]}'.")
        return web.json_response(run.to_object())

    def _list(self, request: web.BaseRequest, route: _Route) -> web.Response:
        app, environment = self._app(request, route.app)
        try:
            start, limit = int(request.query.get("cursor", 0)), int(request.query.get("limit", _PAGE))
        except ValueError as error:
            raise _Problem(422, "validation", "limit or cursor is not valid.") from error
        if not 0 < limit <= 100 or start < 0:
            raise _Problem(422, "validation", "limit must be between 1 and 100.")
        runs = [run for run in self._state.app_runs.values() if run.app is app and run.environment == environment]
        page = runs[::-1][start : start + limit]
        more = start + limit < len(runs)
        data = [run.to_object() for run in page]
        return web.json_response({"data": data, "nextCursor": str(start + limit) if more else None})


def _problem_response(request: web.BaseRequest, problem: _Problem, number: str, endpoint: str | None) -> web.Response:
    title = problem.kind.replace("-", " ").capitalize()
    body: dict[str, Any] = {
        "type": f"{_DOCUMENTATION}#{problem.kind}", "title": title, "status": problem.status, "detail": problem.detail,
        "instance": request.path, "requestId": number,
    }  # fmt: skip
    if endpoint:
        body["endpointPath"] = endpoint
    if problem.fields:
        body["errors"] = [{"detail": detail, "pointer": pointer} for pointer, detail in problem.fields]
    return web.Response(
        body=json.dumps(body).encode(),
        status=problem.status,
        content_type="application/problem+json",
        headers=problem.headers,
    )
