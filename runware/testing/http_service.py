"""What a fake client has in place of the API over HTTP: it answers streams of text, chats and calls of apps.

The client's own code makes the requests and reads the answers, so that pieces, tools and errors are the real ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any
from urllib.parse import parse_qs

import attrs
import httpx2

from runware.errors import ConfigurationError, RunwareError
from runware.options import Options
from runware.protocol.codec import structure
from runware.protocol.ids import new_uuid
from runware.results import Results, Text, TextPiece
from runware.results.base import ApiObject
from runware.serverless.results import AppTask
from runware.testing.responses import FakeCall, Script, fields_of

__all__ = ["AppRequest", "ChatRequest", "FakeOptions", "HttpService"]

_TASK = re.compile(r"/v1/apps/(?P<app>[^/]+)/tasks(/(?P<task>[^/]+))?")
_CALL = re.compile(r"/v1/apps/(?P<app>[^/]+)/invoke-(a?sync)(/(?P<endpoint>.+))?")
_WORD = re.compile(r"\s*\S+\s*")
_DELTA = ("text", "reasoning", "reasoningContent")


@attrs.frozen(kw_only=True)
class ChatRequest:
    """A request of a chat.

    Attributes:
        model: The model.
        messages: The whole conversation, in the API's form.
        tools: The names of the tools that the model may call.
    """

    model: str
    messages: Sequence[Mapping[str, Any]] = attrs.field(repr=False)
    tools: Sequence[str] = ()

    @property
    def text(self) -> str:
        """The text of the last message; `""` if it has none."""
        content = self.messages[-1].get("content") if self.messages else None
        if isinstance(content, str):
            return content
        return "\n".join(part["text"] for part in content or () if isinstance(part.get("text"), str))


@attrs.frozen(kw_only=True)
class AppRequest:
    """A call of a serverless app.

    Attributes:
        app: The app's ID.
        environment: The environment; `None` for the server's default.
        endpoint: Path of the endpoint; `None` for the app's default one.
        payload: The payload.
        task_id: The ID of the task.
    """

    app: str
    environment: str | None
    endpoint: str | None
    payload: Mapping[str, Any] = attrs.field(repr=False)
    task_id: str


@attrs.frozen(kw_only=True)
class FakeOptions(Options):
    """The options of a fake client: its HTTP connections lead to a service in this process."""

    service: HttpService = attrs.field(repr=False, eq=False)

    @classmethod
    def of(cls, options: Options, service: HttpService) -> FakeOptions:
        """Return the options of a client as those of a fake one, whose first error is the last."""
        given = {field.name: getattr(options, field.name) for field in attrs.fields(Options)}
        return cls(**{**given, "max_retries": 0, "service": service})

    def http_transport(self) -> Any:
        """Return what answers requests over HTTP."""
        return httpx2.MockTransport(self.service)


class _Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The events of a stream, one at a time."""

    def __init__(self, events: Callable[[], Iterator[bytes]]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[bytes]:
        return self._events()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events():
            yield event


class HttpService:
    """Answers requests over HTTP.

    Args:
        script: The calls and responses of the fake client.
    """

    def __init__(self, script: Script) -> None:
        self._script = script

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer to a request.

        Raises:
            RunwareError: The answer is this error.
        """
        path, content = request.url.path, request.content
        if path.endswith("/chat/completions"):
            return self._chat(json.loads(content))
        if (found := _CALL.fullmatch(path)) is not None:
            return self._app(found, request)
        if (found := _TASK.fullmatch(path)) is not None:
            return self._app_tasks(found["task"])
        if request.method == "POST":
            (task,) = json.loads(content)
            if task.get("deliveryMethod") == "stream":
                return self._stream(task)
        raise ConfigurationError(
            f"FakeRunware has no answer to {request.method} {path}. The pytest fixture runware_server, or "
            "runware.local.LocalServer, does."
        )

    def _response(self, operation: str, request: Any, sent: Mapping[str, Any]) -> Any:
        """Keep a call, and return the response that the test gave; `None` if there is none."""
        self._script.calls.append(FakeCall(operation, request, sent))
        response = self._script.take(operation)
        try:
            return None if response is None else response.given(request)
        except TypeError as error:  # the HTTP client would take it for a failure of the network
            raise ConfigurationError(str(error), parameter="response") from error

    # ------------------------------------------------------------------ streams

    def _stream(self, task: dict[str, Any]) -> httpx2.Response:
        uuid = task["taskUUID"]
        given = self._response("stream_text", self._script.streams.get(uuid), task)
        pieces, facts, error = _parts(given)
        facts.setdefault("finishReason", "stop")
        if task.get("includeCost"):
            facts.setdefault("cost", 0.0)
        head = {"taskType": task["taskType"], "taskUUID": uuid}
        text = "".join(piece.get("text", "") for piece in pieces)
        reasoning = "".join(piece.get("reasoningContent", "") for piece in pieces)
        whole = {**head, **facts, "text": text, **({"reasoningContent": reasoning} if reasoning else {})}

        def events() -> Iterator[bytes]:
            for piece in pieces:
                delta = {name: piece[name] for name in _DELTA if name in piece}
                rest = {name: value for name, value in piece.items() if name not in _DELTA}
                yield _event({**head, **rest, "delta": delta or {"text": ""}})
            if error is not None:
                raise _failed(error, uuid, [structure(whole, Text)] if text else [])
            self._script.results[uuid] = [whole]
            yield _event({**head, "delta": {"text": ""}, **facts})
            yield b"data: [DONE]\n\n"

        return _stream_response(events)

    # ------------------------------------------------------------------ chats

    def _chat(self, body: dict[str, Any]) -> httpx2.Response:
        tools = [tool["function"]["name"] for tool in body.get("tools", ()) if "function" in tool]
        given = self._response("chat", ChatRequest(model=body["model"], messages=body["messages"], tools=tools), body)
        pieces, facts, error = _parts(given)
        calls = [_tool_call(call, number) for number, call in enumerate(facts.get("toolCalls", ()))]
        reason = facts.get("finishReason") or ("tool_calls" if calls else "stop")
        if not pieces and not calls and error is None:
            pieces = [{"text": ""}]
        further: dict[str, Any] = {"id": f"chat-{new_uuid()}", "model": body["model"]}
        if "usage" in facts or "cost" in facts:
            further["usage"] = {**facts.get("usage", {}), **({"cost": facts["cost"]} if "cost" in facts else {})}

        def events() -> Iterator[bytes]:
            for piece in pieces:
                yield _event({**further, "choices": [{"index": 0, "delta": _message(piece), "finish_reason": None}]})
            if error is not None:
                raise _failed(error, None, [])
            delta = {"tool_calls": [{"index": number, **call} for number, call in enumerate(calls)]} if calls else {}
            yield _event({**further, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
            yield b"data: [DONE]\n\n"

        if body.get("stream"):
            return _stream_response(events)
        if error is not None:
            raise _failed(error, None, [])
        whole = {
            name: "".join(piece.get(name, "") for piece in pieces)
            for name in _DELTA
            if any(name in piece for piece in pieces)
        }
        message = {"role": "assistant", **_message(whole), **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        reply = json.dumps({**further, "choices": [choice]}).encode()
        # As a stream, since the client reads it piece by piece.
        return httpx2.Response(200, headers={"Content-Type": "application/json"}, stream=_Body(lambda: iter((reply,))))

    # ------------------------------------------------------------------ apps

    def _app(self, path: re.Match[str], request: httpx2.Request) -> httpx2.Response:
        sent = json.loads(request.content)
        task_id = str(sent.get("taskId") or sent.get("id") or "")
        known = self._script.app_tasks.get(task_id)
        if known is not None:
            return httpx2.Response(200, json=known)
        (environment,) = parse_qs(request.url.query.decode()).get("environment", [None])
        asked = AppRequest(
            app=path["app"],
            environment=environment,
            endpoint=path["endpoint"],
            payload=sent.get("payload") or {},
            task_id=task_id,
        )
        given = self._response("app", asked, sent)
        if isinstance(given, Sequence):
            raise ConfigurationError("A call of an app has one result; respond('app', ...) was given a list.")
        task = {
            "status": "completed",
            "output": {},
            "appId": path["app"],
            "endpointPath": path["endpoint"],
            **fields_of(given, AppTask),
            "id": task_id,
        }
        self._script.app_tasks[task_id] = task
        return httpx2.Response(200, json=task)

    def _app_tasks(self, task_id: str | None) -> httpx2.Response:
        tasks = self._script.app_tasks
        if task_id is None:
            return httpx2.Response(200, json={"data": list(reversed(tasks.values())), "nextCursor": None})
        if task_id in tasks:
            return httpx2.Response(200, json=tasks[task_id])
        return httpx2.Response(404, json={"title": "Not found", "detail": f"There is no task {task_id}."})


def _parts(given: Any) -> tuple[list[dict[str, Any]], dict[str, Any], RunwareError | None]:
    """Return the pieces of a text, what is known about the whole of it, and the error that ends it.

    Args:
        given: What a test gave: a text, a `Text` or a dict, or a list of pieces, the last of which may be an error.
    """
    if given is None:
        given = "a made-up text"
    if isinstance(given, str):
        return [{"text": word} for word in _WORD.findall(given) or [given]], {}, None
    if isinstance(given, (ApiObject, Mapping)) and not isinstance(given, TextPiece):
        facts = fields_of(given, Text)
        text, reasoning = (
            facts.pop("text", None) or "",
            facts.pop("reasoning", None) or facts.pop("reasoningContent", ""),
        )
        thoughts = [{"reasoningContent": reasoning}] if reasoning else []
        return [*thoughts, *_parts(text)[0]] if text else thoughts, facts, None
    several: Sequence[Any] = given if isinstance(given, Sequence) else [given]
    pieces: list[dict[str, Any]] = []
    for one in several:
        if isinstance(one, type):  # of an error: nothing else was accepted
            return pieces, {}, one("The test asked for this error.")
        if isinstance(one, RunwareError):
            return pieces, {}, one
        piece = {"text": one} if isinstance(one, str) else fields_of(one, TextPiece)
        if "reasoning" in piece:
            piece["reasoningContent"] = piece.pop("reasoning")
        pieces.append(piece)
    return pieces, {}, None


def _message(piece: Mapping[str, Any]) -> dict[str, Any]:
    names = {"text": "content", "reasoningContent": "reasoning_content"}
    return {names[name]: value for name, value in piece.items() if name in names}


def _tool_call(call: Mapping[str, Any], number: int) -> dict[str, Any]:
    arguments = call.get("input", {})
    function = {
        "name": call.get("name"),
        "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
    }
    return {"id": call.get("id") or f"call-{number + 1}-{new_uuid()}", "type": "function", "function": function}


def _failed(error: RunwareError, uuid: str | None, results: Sequence[Any]) -> RunwareError:
    made = copy(error)
    made.task_type, made.task_uuid = made.task_type or "textInference", made.task_uuid or uuid
    made.results = made.results or Results(results)
    return made


def _event(content: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def _stream_response(events: Callable[[], Iterator[bytes]]) -> httpx2.Response:
    return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, stream=_Body(events))
