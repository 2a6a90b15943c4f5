"""The API over HTTP: tasks on one path, token streams, and the files of results."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import Any

from aiohttp import web

from runware.local.access_control import denial_reason
from runware.local.active_faults import ActiveFaults
from runware.local.chat_api import CHAT_PATH, MODELS_PATH, ChatApi
from runware.local.encoding import encode_json
from runware.local.faults import HttpFault
from runware.local.http_failures import STATUS_OF_CODE, fail_request
from runware.local.inspector import FILE_HEADERS, INSPECTOR_PREFIX, Inspector
from runware.local.ledger import UNIT
from runware.local.model_services import ModelServices
from runware.local.output import ConnectionCut, Outgoing
from runware.local.recording_relay import RecordingRelay
from runware.local.request_body import bad_request, parse_tasks
from runware.local.result_details import answer_text, called_tools, token_usage
from runware.local.serverless_api import PREFIX, ServerlessApi
from runware.local.service_failures import fail_service
from runware.local.session_manager import SessionManager
from runware.local.state import ServerState
from runware.local.stream_plan import StreamPlan
from runware.local.stream_writer import write_stream
from runware.local.task_processor import TaskProcessor
from runware.local.task_run import TaskRun
from runware.local.uuids import new_uuid
from runware.local.validation import ApiError

__all__ = ["HttpApi"]

_API_PATHS = ("/", "/v1", "/v1/")
_NOT_RECORDED = {"code": "unsupportedRecording", "message": "Chats and apps are neither recorded nor replayed."}


def _status_of(code: str) -> int:
    if code in STATUS_OF_CODE:
        return STATUS_OF_CODE[code]
    if "ApiKey" in code:
        return 401
    return 404 if code.endswith("NotFound") else 400


class _RequestSource:
    """The source of the tasks of one HTTP request; it collects their results for the response.

    Attributes:
        dry: Whether the tasks are only validated.
        data: Items for the response.
        errors: Errors for the response.
        runs: The accepted tasks.
        cut: Whether a fault cuts the connection instead of a response.
    """

    http = True

    def __init__(self, dry: bool) -> None:
        self.dry = dry
        self.data: list[Any] = []
        self.errors: list[Any] = []
        self.runs: list[TaskRun] = []
        self.cut = False
        self._waiting = 0
        self._finished = asyncio.Event()

    def deliver(self, outputs: list[Outgoing]) -> None:
        """Collect the items and errors of frames."""
        for output in outputs:
            for frame in output if isinstance(output, list) else [output]:
                if isinstance(frame, dict):
                    self.data += frame.get("data") or []
                    self.errors += frame.get("errors") or []
                    if isinstance(frame.get("error"), dict):
                        self.errors.append(frame["error"])
                elif isinstance(frame, ConnectionCut):
                    self.cut = True

    def attach(self, run: TaskRun) -> None:
        """Register an accepted task, and wait for it if it is synchronous."""
        self.runs.append(run)
        if run.delivery == "sync":
            self.expect_answer()
            run.on_done = self.answer_delivered

    def expect_answer(self) -> None:
        """Register that an answer will be delivered later."""
        self._waiting += 1
        self._finished.clear()

    def answer_delivered(self) -> None:
        """Register that an expected answer was delivered."""
        self._waiting -= 1
        if self._waiting <= 0:
            self._finished.set()

    async def wait(self, window: float) -> bool:
        """Wait for all expected answers; return whether they were delivered within the window. 0: no limit."""
        if self._waiting <= 0:
            return True
        try:
            async with asyncio.timeout(window or None):
                await self._finished.wait()
        except TimeoutError:
            return False
        return True


class HttpApi:
    """Answers plain HTTP requests.

    Args:
        state: The state of the server.
        faults: The faults being played.
        sessions: Checks API keys.
        processor: Processes the tasks.
        executor: The threads that render files.
        serverless: Answers the requests to serverless apps.
        inspector: Answers the requests of the page that shows what the server does.
        relay: Passes tasks on to the real service. `None`: this server answers them.
    """

    def __init__(
        self,
        state: ServerState,
        faults: ActiveFaults,
        sessions: SessionManager,
        processor: TaskProcessor,
        executor: Executor,
        serverless: ServerlessApi,
        inspector: Inspector,
        relay: RecordingRelay | None,
    ) -> None:
        self._state = state
        self._faults = faults
        self._sessions = sessions
        self._processor = processor
        self._executor = executor
        self._chats = ChatApi(state, faults, sessions)
        self._serverless = serverless
        self._inspector = inspector
        self._relay = relay
        self._services = ModelServices(state.records, state.models)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: PLR0911 - one for each route
        """Answer one request."""
        headers = request.headers
        self._state.ledger.user_agents.add(headers.get("User-Agent", ""))
        for host in headers.getall("Host", [None]):
            reason = denial_reason(host, headers.get("Origin"), self._state.options.allowed_hosts)
            if reason is not None:
                return web.Response(status=403, text=reason)
        if request.path.startswith((CHAT_PATH, PREFIX)) and (self._relay or self._state.recording):
            return _json_response(400, {"errors": [_NOT_RECORDED]})
        if request.path in (CHAT_PATH, MODELS_PATH):
            return await self._chats.handle(request)
        if request.path.startswith(PREFIX):
            return await self._serverless.handle(request)
        if request.path.startswith(INSPECTOR_PREFIX) or _is_browser_at_root(request):
            return await self._inspector.handle(request)
        if request.path in _API_PATHS:
            if request.method == "POST":
                return await (self._answer_tasks if self._relay is None else self._relay.forward)(request)
            return _not_a_post(request)
        if request.method in ("GET", "HEAD"):
            answer = await self._answer_service(request)
            # Not `or`: a response of older aiohttp versions is an empty mapping, and so false.
            return answer if answer is not None else await self._answer_file(request)
        return web.Response(status=404, text="Not found. POST an array of tasks to /v1.\n")

    async def _answer_service(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Answer a request to a service that describes models, or fail it; return `None` for every other path."""
        path = request.rel_url.raw_path
        answer = self._services.answer(path, request.query, request.headers.get("If-None-Match"))
        if answer is None:
            return None
        self._state.ledger.count("service_requests")
        fault = self._faults.on_service_request(path) if self._faults.active else None
        if fault is not None:
            return await fail_service(request, fault, answer.body)
        body = answer.body.encode()
        return web.Response(
            status=answer.status, headers=answer.headers, body=body or None, content_type="application/json"
        )

    async def _answer_file(self, request: web.BaseRequest) -> web.StreamResponse:
        uuid = request.path.rpartition("/")[2].partition(".")[0]
        media = self._state.media.get(uuid)
        self._state.ledger.count("media_requests")
        if media is None:
            return web.Response(status=404, text="File not found.\n")
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self._executor, self._state.media.content, media)
        return web.Response(body=body, content_type=media.content_type, headers=FILE_HEADERS)

    async def _answer_tasks(self, request: web.BaseRequest) -> web.StreamResponse:
        ledger = self._state.ledger
        payload = await request.read()
        ledger.count("http_requests")
        problem, body = parse_tasks(self._state.switches, payload)
        if problem is not None:
            return _json_response(400, {"data": [], "errors": [problem]})
        source = _RequestSource(request.headers.get("X-Runware-Dry-Run") == "1" or request.query.get("dryRun") == "1")
        key: Any = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if body and isinstance(body[0], dict) and body[0].get("taskType") == "authentication":
            ledger.receive(body[0])
            key = body.pop(0).get("apiKey")
            source.data.append({"taskType": "authentication", "connectionSessionUUID": new_uuid()})
        try:
            self._sessions.check_key(key)
        except ApiError as error:
            return _json_response(401, {"errors": [error.to_object({})]})
        fault = self._faults.on_http_request(body, None) if self._faults.active else None
        if fault is not None:
            return await fail_request(request, fault, body)
        if len(body) == 1 and isinstance(body[0], dict) and body[0].get("deliveryMethod") == "stream":
            return await self._answer_stream(request, source, body[0])
        for task in body:
            self._submit(source, task)
        return await self._respond(request, source, body)

    def _submit(self, source: _RequestSource, task: Any) -> None:
        if not isinstance(task, dict):
            source.errors.append(bad_request(self._state.switches, "Every task must be an object."))
            return
        self._state.ledger.receive(task)
        if task.get("taskType") == "ping":
            source.data.append({"taskType": "ping", "pong": True})
            return
        scripted = self._processor.run_script(task)
        if scripted is not None:
            source.deliver(scripted)
        else:
            self._processor.submit(task, source)

    async def _respond(self, request: web.BaseRequest, source: _RequestSource, tasks: list[Any]) -> web.StreamResponse:
        fault = self._faults.on_http_request(tasks, source.runs) if self._faults.active else None
        in_time = await source.wait(self._state.options.sync_window)
        if source.cut:
            fault = HttpFault()
        if fault is not None and fault.how not in ("late", "twice"):
            return await fail_request(request, fault, tasks)
        response = self._response(source, in_time=in_time)
        if fault is not None and fault.how == "late":
            await asyncio.sleep(fault.delay)
        elif fault is not None:
            await _answer_twice(request, response)
        return response

    def _response(self, source: _RequestSource, *, in_time: bool) -> web.Response:
        if not in_time:
            error = ApiError("requestTimeout", "The task takes longer than a request may; it goes on.")
            return _json_response(504, {"errors": [error.to_object(run.task) for run in source.runs if not run.done]})
        frame: dict[str, Any] = {"data": source.data}
        if source.errors:
            frame["errors"] = source.errors
        polling = any(error.get("status") == "error" for error in source.errors)
        items = [item for item in source.data if item.get("taskType") != "authentication"]
        failed = bool(source.errors) and not items and not polling
        return _json_response(_status_of(str(source.errors[0].get("code"))) if failed else 200, frame)

    async def _answer_stream(
        self, request: web.BaseRequest, source: _RequestSource, task: dict[str, Any]
    ) -> web.StreamResponse:
        self._submit(source, task)
        if not source.errors and not source.runs and not source.data:
            return _json_response(200, {"data": []})
        fault = self._faults.on_http_request([task], source.runs) if self._faults.active and source.runs else None
        await source.wait(0)
        if fault is not None and fault.how == "late":
            await asyncio.sleep(fault.delay)
        elif fault is not None and fault.how != "twice":  # a stream is not repeated
            return await fail_request(request, fault, [task])
        if source.dry and source.data:
            return _json_response(200, {"data": source.data})
        if source.errors or not source.runs:
            error = source.errors[0] if source.errors else {"code": "unknownError", "message": "Nothing to stream."}
            return _json_response(_status_of(error["code"]), {"error": error, **_ids(task)})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        self._state.ledger.count("streams")
        try:
            await response.prepare(request)
            plan = StreamPlan(self._events(source.runs[0]))
            if self._faults.active:
                self._faults.on_stream(source.runs[0], plan)
            await write_stream(request, response, plan, self._state.options.spread)
        except ConnectionError:
            self._state.ledger.count("streams_dropped")
        return response

    def _events(self, run: TaskRun) -> list[str]:
        head = _ids(run.task)
        if self._state.switches.p25 == "present":
            head["resultIndex"] = 0
        words = answer_text(run, 0).split(" ")
        chunks: list[dict[str, Any]] = [{"delta": {"reasoningContent": "short answer"}}]
        for start in range(0, len(words), 3):
            part = " ".join(words[start : start + 3])
            chunks.append({"delta": {"text": part if start == 0 else f" {part}"}})
        calls = called_tools(run) if self._state.switches.p5 != "none" else []
        chunks += [{"delta": delta} for delta in _tool_deltas(calls, self._state.switches.p5)]
        events = [encode_json({**head, **chunk, "finishReason": None}) for chunk in chunks]
        last: dict[str, Any] = {**head, "delta": {}, "finishReason": "tool_calls" if calls else "stop"}
        if run.task.get("includeUsage"):
            last["usage"] = token_usage(run, answer_text(run, 0))
        if run.task.get("includeCost"):
            last["cost"] = run.cost(0) / UNIT
        return [*events, encode_json(last)]


def _is_browser_at_root(request: web.BaseRequest) -> bool:
    return request.path == "/" and request.method == "GET" and "text/html" in request.headers.get("Accept", "")


def _not_a_post(request: web.BaseRequest) -> web.Response:
    if request.method in ("GET", "HEAD") and request.path == "/":
        return web.Response(
            text="A Runware API server for development. POST tasks to /v1; open /inspector in a browser.\n"
        )
    return web.Response(status=405, text="POST an array of tasks.\n", headers={"Allow": "POST"})


def _tool_deltas(calls: list[dict[str, Any]], form: str) -> list[dict[str, Any]]:
    """Return the parts of events that hold calls of tools."""
    if form == "tools":
        return [{"tools": calls}] if calls else []
    deltas = []
    for index, call in enumerate(calls):
        arguments = encode_json(call["input"])
        half = len(arguments) // 2
        first = {"name": call["name"], "arguments": arguments[:half]}
        deltas.append({"toolCalls": [{"index": index, "id": call["id"], "type": "function", "function": first}]})
        deltas.append({"toolCalls": [{"index": index, "function": {"arguments": arguments[half:]}}]})
    return deltas


async def _answer_twice(request: web.BaseRequest, response: web.Response) -> None:
    """Write a response, and the same one again, as if there had been two requests."""
    await response.prepare(request)
    await response.write_eof()
    body = response.body if isinstance(response.body, bytes) else b""
    head = f"HTTP/1.1 {response.status} Again\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    if request.transport is not None:
        request.transport.write(head.encode() + body)


def _ids(task: dict[str, Any]) -> dict[str, Any]:
    return {name: task[name] for name in ("taskUUID", "taskType") if name in task}


def _json_response(status: int, frame: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=encode_json(frame).encode(), content_type="application/json")
