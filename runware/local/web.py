"""The HTTP side: the API on one path, token streams, and the media files."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from aiohttp import web

from runware.local.answers import answer_text, token_usage
from runware.local.connection import reset
from runware.local.engine import not_an_object, read_body
from runware.local.faults import HttpFault, StreamPlan
from runware.local.guard import refusal
from runware.local.jobs import Job
from runware.local.ledger import UNIT
from runware.local.media import new_uuid
from runware.local.validation import Rejected
from runware.local.wire import dumps

if TYPE_CHECKING:
    from runware.local.engine import Engine
    from runware.local.sessions import Output
    from runware.local.state import State

__all__ = ["HttpCall", "WebSide"]

_API_PATHS = ("/", "/v1", "/v1/")
_STATUS = {
    "insufficientCredits": 402,
    "rateLimitExceeded": 429,
    "internalServerError": 500,
    "providerInternalError": 500,
    "inferenceError": 500,
    "serviceUnavailable": 503,
    "timeoutProvider": 504,
}


def status_of(code: str) -> int:
    """The HTTP status for an error code."""
    if code in _STATUS:
        return _STATUS[code]
    if "ApiKey" in code:
        return 401
    return 404 if code.endswith("NotFound") else 400


class HttpCall:
    """The tasks of one HTTP request, and what is known about them so far.

    Attributes:
        http: Always true.
        dry: Whether the tasks are only validated.
        data: Items for the reply.
        errors: Errors for the reply.
        jobs: Jobs that the request waits for.
    """

    http = True

    def __init__(self, dry: bool) -> None:
        self.dry = dry
        self.data: list[Any] = []
        self.errors: list[Any] = []
        self.jobs: list[Job] = []
        self.cut = False
        self._waiting = 0
        self._finished = asyncio.Event()

    def deliver(self, outputs: list[Output]) -> None:
        """Take frames apart and collect what they hold."""
        for output in outputs:
            for frame in output if isinstance(output, list) else [output]:
                if isinstance(frame, dict):
                    self.data += frame.get("data") or []
                    self.errors += frame.get("errors") or []
                    if isinstance(frame.get("error"), dict):
                        self.errors.append(frame["error"])
                elif not isinstance(frame, (str, bytes)):
                    self.cut = True

    def attach(self, job: Job) -> None:
        """Wait for a synchronous job."""
        self.jobs.append(job)
        if job.delivery == "sync":
            self.begin()
            job.on_done = self.finish

    def begin(self) -> None:
        """An answer will come later."""
        self._waiting += 1
        self._finished.clear()

    def finish(self) -> None:
        """An answer that was to come later has come."""
        self._waiting -= 1
        if self._waiting <= 0:
            self._finished.set()

    async def finished(self, window: float) -> bool:
        """Wait for all jobs; whether they were finished in time."""
        if self._waiting <= 0:
            return True
        try:
            async with asyncio.timeout(window or None):
                await self._finished.wait()
        except TimeoutError:
            return False
        return True


class WebSide:
    """Answers plain HTTP requests.

    Args:
        state: What the server shares.
        executor: Threads that draw pictures.
    """

    def __init__(self, state: State, executor: Executor) -> None:
        self._state = state
        self._executor = executor
        self.engine: Engine | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        headers = request.headers
        for host in headers.getall("Host", [None]):
            reason = refusal(host, headers.get("Origin"), self._state.options.allowed_hosts)
            if reason is not None:
                return web.Response(status=403, text=reason)
        if request.path in _API_PATHS:
            if request.method == "POST":
                return await self._api(request)
            if request.method in ("GET", "HEAD") and request.path == "/":
                return web.Response(text="A Runware API server for development. POST tasks to /v1.\n")
            return web.Response(status=405, text="POST an array of tasks.\n", headers={"Allow": "POST"})
        if request.method in ("GET", "HEAD"):
            return await self._media(request)
        return web.Response(status=404, text="There is nothing here.\n")

    async def _media(self, request: web.BaseRequest) -> web.StreamResponse:
        uuid = request.path.rpartition("/")[2].partition(".")[0]
        media = self._state.media.get(uuid)
        self._state.ledger.count("media_requests")
        if media is None:
            return web.Response(status=404, text="There is no such file.\n")
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self._executor, self._state.media.content, media)
        return web.Response(body=body, content_type=media.content_type)

    async def _api(self, request: web.BaseRequest) -> web.StreamResponse:
        engine = self.engine
        assert engine is not None
        ledger = self._state.ledger
        payload = await request.read()
        ledger.count("http_requests")
        problem, body = read_body(self._state, payload)
        if problem is not None:
            return reply(400, {"data": [], "errors": [problem]})
        call = HttpCall(request.headers.get("X-Runware-Dry-Run") == "1" or request.query.get("dryRun") == "1")
        key: Any = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if body and isinstance(body[0], dict) and body[0].get("taskType") == "authentication":
            ledger.receive(body[0])
            key = body.pop(0).get("apiKey")
            call.data.append({"taskType": "authentication", "connectionSessionUUID": new_uuid()})
        try:
            engine.check_key(key)
        except Rejected as rejected:
            return reply(401, {"errors": [rejected.wire({})]})
        if len(body) == 1 and isinstance(body[0], dict) and body[0].get("deliveryMethod") == "stream":
            return await self._stream(request, engine, call, body[0])
        lost = engine.faults.http_request(None) if engine.faults.active else None
        if lost is not None:
            return self._lose(request, lost)
        for task in body:
            self._submit(engine, call, task)
        return await self._answer(request, engine, call)

    def _submit(self, engine: Engine, call: HttpCall, task: Any) -> None:
        if not isinstance(task, dict):
            call.errors.append(not_an_object(self._state))
            return
        self._state.ledger.receive(task)
        if task.get("taskType") == "ping":
            call.data.append({"taskType": "ping", "pong": True})
            return
        scripted = engine.scripted(task)
        if scripted is not None:
            call.deliver(scripted)
        else:
            engine.submit(task, call)

    async def _answer(self, request: web.BaseRequest, engine: Engine, call: HttpCall) -> web.StreamResponse:
        fault = engine.faults.http_request(call.jobs) if engine.faults.active else None
        in_time = await call.finished(self._state.options.sync_window)
        if call.cut:
            fault = HttpFault(cut=True, status=503)
        if fault is not None:
            return self._lose(request, fault)
        if not in_time:
            error = Rejected("requestTimeout", "The task takes longer than a request may; it goes on.")
            return reply(504, {"errors": [error.wire(job.task) for job in call.jobs if not job.done]})
        frame: dict[str, Any] = {"data": call.data}
        if call.errors:
            frame["errors"] = call.errors
        polling = any(error.get("status") == "error" for error in call.errors)
        items = [item for item in call.data if item.get("taskType") != "authentication"]
        failed = bool(call.errors) and not items and not polling
        return reply(status_of(str(call.errors[0].get("code"))) if failed else 200, frame)

    def _lose(self, request: web.BaseRequest, fault: HttpFault) -> web.StreamResponse:
        if fault.cut and request.transport is not None:
            reset(request.transport)
        return web.Response(status=fault.status, text="upstream unavailable")

    async def _stream(
        self, request: web.BaseRequest, engine: Engine, call: HttpCall, task: dict[str, Any]
    ) -> web.StreamResponse:
        self._submit(engine, call, task)
        if not call.errors and not call.jobs and not call.data:
            return reply(200, {"data": []})
        await call.finished(0)
        if call.errors or not call.jobs:
            error = call.errors[0] if call.errors else {"code": "unknownError", "message": "Nothing to stream."}
            return reply(status_of(error["code"]), {"error": error, **_ids(task)})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        plan = StreamPlan(self._events(call.jobs[0]))
        if engine.faults.active:
            engine.faults.streaming(call.jobs[0], plan)
        for position, part in enumerate(plan.parts()):
            if position and self._state.options.spread > 0:
                await asyncio.sleep(self._state.options.spread)
            elif position:
                # Parts that are written in one step of the loop would reach the client as one.
                await asyncio.sleep(plan.pause)
            await response.write(part)
        if plan.abort and request.transport is not None:
            reset(request.transport)
        return response

    def _events(self, job: Job) -> list[str]:
        head = _ids(job.task)
        words = answer_text(job, 0).split(" ")
        chunks: list[dict[str, Any]] = [{"delta": {"reasoningContent": "short answer"}}]
        for start in range(0, len(words), 3):
            part = " ".join(words[start : start + 3])
            chunks.append({"delta": {"text": part if start == 0 else f" {part}"}})
        events = [dumps({**head, **chunk, "finishReason": None}) for chunk in chunks]
        last: dict[str, Any] = {**head, "delta": {}, "finishReason": "stop"}
        if job.task.get("includeUsage"):
            last["usage"] = token_usage(job, answer_text(job, 0))
        if job.task.get("includeCost"):
            last["cost"] = job.spec.price / UNIT
        return [*events, dumps(last)]


def _ids(task: dict[str, Any]) -> dict[str, Any]:
    return {name: task[name] for name in ("taskUUID", "taskType") if name in task}


def reply(status: int, frame: dict[str, Any]) -> web.Response:
    """A JSON reply."""
    return web.Response(status=status, body=dumps(frame).encode(), content_type="application/json")
