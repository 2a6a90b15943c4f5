"""The OpenAI-compatible endpoint for chats, and the list of its models."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any, cast

from aiohttp import web

from runware.local.active_faults import ActiveFaults
from runware.local.chat_model import ModelReply, answer, text_of
from runware.local.encoding import encode_json
from runware.local.http_failures import fail_request
from runware.local.ledger import UNIT
from runware.local.prompt_marks import has_mark
from runware.local.session_manager import SessionManager
from runware.local.state import ServerState
from runware.local.stream_plan import StreamPlan
from runware.local.stream_writer import write_stream
from runware.local.task_run import TaskRun
from runware.local.uuids import new_uuid
from runware.local.validation import ApiError

__all__ = ["CHAT_PATH", "MODELS_PATH", "ChatApi"]

CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"
TASK_TYPE = "chat"
_TASK = {"taskType": TASK_TYPE}
MAX_OUTPUT_TOKENS = 8192
_DEFAULT_MAX_TOKENS = 131_072
_PIECE = 12
"""Characters of each piece of text and of arguments in a stream."""
_MARKS = {
    "[rate-limit": (429, "rateLimitExceeded", "Too many requests."),
    "[overloaded": (503, "serviceUnavailable", "All models are busy."),
    "[unsafe": (400, "invalidProviderContent", "Blocked by the provider."),
    "[provider-error": (500, "providerInternalError", "The provider failed."),
    "[timeout": (504, "timeoutProvider", "The provider did not answer in time."),
}
_MODELS = (
    ("google-gemma-4-31b", "Gemma 4 31B", 262_144, MAX_OUTPUT_TOKENS, ["text", "image"]),
    ("deepseek-v4-flash", "DeepSeek V4 Flash", 131_072, MAX_OUTPUT_TOKENS, ["text"]),
    ("local-model", "Local Model", None, None, ["text", "image", "audio", "file"]),
)


class _RefusalError(Exception):
    """A request that is answered with an error; `task` is its entry in the ledger."""

    def __init__(
        self, status: int, code: str, message: str, parameter: str | None = None, task: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.task = task
        self.status = status
        self.code = code
        self.parameter = parameter


class _ChatRun:
    """A chat request, with the attributes of a task run that faults of streams use."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.task = {"taskType": TASK_TYPE, **body}

    def error(self, error: ApiError) -> dict[str, Any]:
        """Convert an error to the API's error object."""
        return error.to_object({})


class ChatApi:
    """Answers requests for chat completions.

    Args:
        state: The state of the server.
        faults: The faults being played.
        sessions: Checks API keys.
    """

    def __init__(self, state: ServerState, faults: ActiveFaults, sessions: SessionManager) -> None:
        self._state = state
        self._faults = faults
        self._sessions = sessions
        self._prompts: Counter[str] = Counter()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            try:
                key = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
                self._sessions.check_key(key or None)
            except ApiError as error:
                raise _RefusalError(401, error.code, str(error)) from None
            if request.path == MODELS_PATH:
                if request.method != "GET":
                    raise _RefusalError(405, "invalidMethod", "GET the list of models.")
                return self._models()
            if request.method != "POST":
                raise _RefusalError(405, "invalidMethod", "POST a chat.")
            return await self._answer(request)
        except _RefusalError as refusal:
            self._state.ledger.reject(refusal.task or {}, {"code": refusal.code, "message": str(refusal)})
            headers = {"Retry-After": "0"} if refusal.status == 429 else {}
            return _json_response(refusal.status, self._error(refusal), headers)

    def _models(self) -> web.Response:
        rows = [
            {
                "id": slug,
                "name": name,
                "context_length": context,
                "max_output_tokens": longest,
                "input_modalities": modalities,
                "output_modalities": ["text"],
                "pricing": {"prompt": "0.00001", "completion": "0.00001"},
            }
            for slug, name, context, longest, modalities in _MODELS
        ]
        return _json_response(200, rows if self._state.switches.p21 == "array" else {"data": rows})

    def _error(self, refusal: _RefusalError) -> dict[str, Any]:
        """Return the body of an error in the form that the switch p8 selects."""
        form, message = self._state.switches.p8, str(refusal)
        named = {} if refusal.parameter is None else {"parameter": refusal.parameter}
        if form == "openai":
            snake = "".join(f"_{one.lower()}" if one.isupper() else one for one in refusal.code)
            return {
                "error": {
                    "message": message,
                    "type": "invalid_request_error",
                    "code": snake,
                    "param": refusal.parameter,
                }
            }
        if form == "provider":
            kind = "rate_limit_error" if refusal.status == 429 else "invalid_request_error"
            return {"type": "error", "error": {"type": kind, "message": message}}
        error = {"code": refusal.code, "message": message, **named}
        return {"error": error} if form == "error" else {"errors": [error]}

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        ledger = self._state.ledger
        payload = await request.read()
        ledger.count("http_requests")
        if self._faults.active and (fault := self._faults.on_http_request([_TASK], None)) is not None:
            return await fail_request(request, fault, [_TASK])
        body = self._checked(payload)
        uuid = f"chatcmpl-{new_uuid()}"
        task = {"taskType": TASK_TYPE, **body}
        ledger.receive(task, uuid)
        prompt = next((text_of(one) for one in reversed(body["messages"]) if one.get("role") == "user"), "")
        self._prompts[prompt] += 1
        for mark, (status, code, message) in _MARKS.items():
            if has_mark(prompt, mark, self._prompts[prompt]):
                raise _RefusalError(status, code, message, task=task)
        reply = answer(body)
        usage, units = _usage(body, reply)
        balance = self._state.options.balance
        if balance is not None:
            if units > balance:
                message = "The balance does not cover the request."
                raise _RefusalError(402, "insufficientCredits", message, task=task)
            self._state.options.balance = balance - units
        record = ledger.submit(uuid, TASK_TYPE, prompt)
        ledger.execute(record)
        ledger.bill(record, 1, units)
        delay = self._state.options.delay_for({"taskType": TASK_TYPE})
        if delay > 0:
            await asyncio.sleep(delay)
        fault = self._faults.on_http_request([_TASK], []) if self._faults.active else None
        if fault is not None and fault.how == "late":
            await asyncio.sleep(fault.delay)
        elif fault is not None and fault.how != "twice":  # an answer that was billed is not repeated
            return await fail_request(request, fault, [_TASK])
        head = {"id": uuid, "model": body["model"], "created": 1_790_000_000}
        if body.get("stream"):
            return await self._stream(request, body, {**head, "object": "chat.completion.chunk"}, reply, usage)
        choice = {"index": 0, "message": reply.message(), "finish_reason": reply.finish_reason}
        return _json_response(200, {**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    def _checked(self, payload: bytes) -> dict[str, Any]:
        switches = self._state.switches
        try:
            body = json.loads(payload.decode())
        except (ValueError, RecursionError):
            raise _RefusalError(400, "invalidRequest", "The body is not JSON.") from None
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            raise _RefusalError(400, "invalidModel", "'model' must be a string.", "model")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
            raise _RefusalError(400, "invalidMessages", "'messages' must be an array of messages.", "messages")
        _check_conversation(messages)
        for tool in body.get("tools") or []:
            if tool.get("type") != "function":
                continue
            parameters = tool["function"].get("parameters", {})
            if switches.empty_parameters == "refused" and not parameters.get("properties"):
                raise _RefusalError(400, "invalidTools", "The parameters of a tool must have properties.", "tools")
        longest = body.get("max_tokens", body.get("max_completion_tokens"))
        if longest is None and switches.default_max_tokens == "exceeds":
            longest = _DEFAULT_MAX_TOKENS
        if longest is not None and longest > MAX_OUTPUT_TOKENS:
            raise _RefusalError(
                400, "invalidMaxTokens", f"max_tokens {longest} exceeds the limit of {MAX_OUTPUT_TOKENS}.", "max_tokens"
            )
        return body

    async def _stream(
        self,
        request: web.BaseRequest,
        body: dict[str, Any],
        head: dict[str, Any],
        reply: ModelReply,
        usage: dict[str, Any],
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        options = body.get("stream_options")
        with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        ledger = self._state.ledger
        ledger.count("streams")
        try:
            await response.prepare(request)
            plan = StreamPlan(_events(head, reply, usage if with_usage else None))
            if self._faults.active:
                self._faults.on_stream(cast("TaskRun", _ChatRun(body)), plan)
            await write_stream(request, response, plan, self._state.options.spread)
        except ConnectionError:
            ledger.count("streams_dropped")
        return response


def _check_conversation(messages: list[dict[str, Any]]) -> None:
    """Refuse what providers refuse: calls of tools without a result, and results without a call."""
    waiting: list[Any] = []
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in waiting:
                raise _RefusalError(400, "invalidMessages", "A tool message answers no call.", "messages")
            waiting.remove(message["tool_call_id"])
        elif waiting:
            raise _RefusalError(400, "invalidMessages", "A call of a tool has no result.", "messages")
        for call in message.get("tool_calls") or []:
            waiting.append(call["id"])  # noqa: PERF401
    if waiting:
        raise _RefusalError(400, "invalidMessages", "A call of a tool has no result.", "messages")


def _usage(body: dict[str, Any], reply: ModelReply) -> tuple[dict[str, Any], int]:
    """Return the usage and its cost: one unit for each token of four characters."""
    read = -(-len(encode_json(body["messages"])) // 4)
    thought = -(-len(reply.reasoning) // 4)
    written = thought - (-len(encode_json(reply.message())) // 4)
    units = read + written
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": read // 2 if len(body["messages"]) > 2 else 0},
        "completion_tokens_details": {"reasoning_tokens": thought},
        "cost": units / UNIT,
    }, units


def _events(head: dict[str, Any], reply: ModelReply, usage: dict[str, Any] | None) -> list[str]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": part} for part in _pieces(reply.reasoning)]
    deltas += [{"content": part} for part in _pieces(reply.text)]
    for index, call in enumerate(reply.calls):
        function = call["function"]
        first = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        deltas.append({"tool_calls": [first]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
            for part in _pieces(function["arguments"])
        ]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}]})
    if usage is not None:
        chunks.append({"choices": [], "usage": usage})
    return [encode_json({**head, **chunk}) for chunk in chunks]


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _json_response(status: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=encode_json(body).encode(), content_type="application/json", headers=headers or {}
    )
