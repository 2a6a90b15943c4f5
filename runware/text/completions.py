"""The API's OpenAI-compatible endpoint for chats: what its replies, chunks and errors mean. No I/O."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from runware._support.escaping import one_line
from runware.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitError,
    RunwareError,
    ServerError,
    TaskError,
    ValidationError,
    class_for_code,
    error_from_wire,
)
from runware.protocol.codec import structure
from runware.protocol.ids import new_uuid
from runware.results.base import shown_length
from runware.results.text import Usage

__all__ = [
    "TASK_TYPE",
    "ChatPiece",
    "Completion",
    "CompletionParts",
    "added",
    "as_task",
    "max_output_tokens",
    "reply_error",
    "wants_max_tokens",
]

TASK_TYPE = "chat"
"""How errors name what failed. The endpoint has no task types."""

_STATUSES: dict[int, type[TaskError]] = {
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: AuthenticationError,
    404: NotFoundError,
    429: RateLimitError,
}
_PARAMETERS = {
    "max_completion_tokens": "max_tokens",
    "reasoning_effort": "thinking_level",
    "response_format": "response_type",
    "stop": "stop_sequences",
}
"""Parameters whose names differ here and at the endpoint."""


@attrs.frozen(kw_only=True)
class ChatPiece:
    """A piece of an answer that is being streamed. `str(piece)` returns its text.

    Attributes:
        text: The next characters of the answer; `""` if there are none.
        reasoning: The next characters of the model's reasoning; `""` if there are none.
        tool_call: A tool call: one piece has it when it starts (`tool_call.done` is false), another when it ends.
        raw: The API object, whole.
    """

    text: str = attrs.field(default="", repr=shown_length)
    reasoning: str = attrs.field(default="", repr=shown_length)
    tool_call: Any = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)

    def __str__(self) -> str:
        return self.text


@attrs.frozen(kw_only=True)
class Completion:
    """One answer of the model.

    Attributes:
        text: Its text.
        reasoning: The reasoning, if the model shows it.
        finish_reason: Why generation ended.
        usage: Token usage, if the server reports it.
        cost: Cost in US dollars, if the server reports it.
        tool_calls: The calls that the model asks for, each in the form of a message.
        raw: The reply; of a stream, its last chunks together.
    """

    text: str
    reasoning: str
    finish_reason: str | None
    usage: Usage | None
    cost: float | None
    tool_calls: Sequence[dict[str, Any]]
    raw: Mapping[str, Any]

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message of the conversation."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text or (None if self.tool_calls else "")}
        if self.tool_calls:
            message["tool_calls"] = list(self.tool_calls)
        return message


class CompletionParts:
    """Put an answer together: from the chunks of a stream, or from one reply.

    Attributes:
        finished: Whether the reason for its end has come.
    """

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[Any, dict[str, Any]] = {}
        self._facts: dict[str, Any] = {}
        self._reason: str | None = None
        self.finished = False

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def empty(self) -> bool:
        """Whether nothing of an answer has come."""
        return not (self.finished or self._calls or any(self._text) or any(self._reasoning))

    def add(self, chunk: Mapping[str, Any]) -> ChatPiece:
        """Add a chunk of a stream, or a whole reply."""
        self._facts |= {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        choice = _first(chunk.get("choices"))
        whole = isinstance(choice.get("message"), dict)
        delta = _object(choice.get("message" if whole else "delta"))
        text, reasoning = _text(delta.get("content")), ""
        for name in ("reasoning_content", "reasoning", "reasoningContent"):
            reasoning = reasoning or _text(delta.get(name))
        self._text.append(text)
        self._reasoning.append(reasoning)
        calls = delta.get("tool_calls")
        for position, part in enumerate(calls if isinstance(calls, list) else ()):
            if not isinstance(part, dict):
                continue
            # Some providers leave out the index of fragments; those without an id then continue the last call.
            key = position if whole else part.get("index")
            if not isinstance(key, int):
                uuid = part.get("id")
                key = uuid if isinstance(uuid, str) and uuid else next(reversed(self._calls), 0)
            self._add_call(part, key)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and not self.finished:
            self._reason, self.finished = reason, True
        return ChatPiece(text=text, reasoning=reasoning, raw=chunk)

    def _add_call(self, part: dict[str, Any], key: Any) -> None:
        """Add a call of a tool, or a fragment of one.

        Args:
            part: The call.
            key: What tells the calls of this answer apart.
        """
        call = self._calls.setdefault(key, {})
        for name, value in part.items():
            if name == "function" and isinstance(value, dict):
                function = call.setdefault("function", {})
                function |= {inner: one for inner, one in value.items() if one and inner != "arguments"}
                more = value.get("arguments")
                if more is not None:
                    more = more if isinstance(more, str) else json.dumps(more, ensure_ascii=False)
                    function["arguments"] = function.get("arguments", "") + more
            elif value and name not in ("index", "function"):
                call[name] = value

    def completion(self) -> Completion:
        """Return the answer."""
        usage = self._facts.get("usage")
        counts = usage if isinstance(usage, dict) else {}
        cost = counts.get("cost", self._facts.get("cost"))
        return Completion(
            text=self.text,
            reasoning="".join(self._reasoning),
            finish_reason=self._reason,
            usage=_usage(counts) if counts else None,
            cost=_number(cost),
            tool_calls=_distinct(self._calls.values()),
            raw=self._facts,
        )


def _first(value: object) -> dict[str, Any]:
    return _object(value[0]) if isinstance(value, list) and value else {}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _text(value: object) -> str:
    """Return a text that may also come as a list of texts or parts."""
    if isinstance(value, list):
        return "".join(_text(one.get("text") if isinstance(one, dict) else one) for one in value)
    return value if isinstance(value, str) else ""


def _distinct(calls: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the calls of one answer in the form of a message, each with an id of its own.

    A repeated call, with the id of another and its arguments, is left out: it must not run twice.
    """
    made: dict[str, dict[str, Any]] = {}
    asked: set[tuple[str, str]] = set()
    for call in calls:
        function = _object(call.get("function"))
        name, arguments = function.get("name"), function.get("arguments", "")
        wanted = {**function, "name": name if isinstance(name, str) else "", "arguments": arguments}
        uuid = call.get("id")
        if not isinstance(uuid, str) or not uuid:
            uuid = f"call_{new_uuid()}"
        if (same := (uuid, json.dumps(wanted, sort_keys=True))) in asked:
            continue
        asked.add(same)
        if uuid in made:
            uuid = f"{uuid}_{next(number for number in itertools.count(len(made)) if f'{uuid}_{number}' not in made)}"
        made[uuid] = {**call, "id": uuid, "type": "function", "function": wanted}
    return list(made.values())


_COUNTS = {
    "promptTokens": ("prompt_tokens", "promptTokens", "input_tokens"),
    "completionTokens": ("completion_tokens", "completionTokens", "output_tokens"),
    "totalTokens": ("total_tokens", "totalTokens"),
    "thinkingTokens": ("reasoning_tokens", "thinkingTokens"),
    "cachedTokens": ("cached_tokens", "cachedTokens"),
}


def _usage(counts: Mapping[str, Any]) -> Usage:
    flat = {
        **_object(counts.get("prompt_tokens_details")),
        **_object(counts.get("completion_tokens_details")),
        **counts,
    }
    raw: dict[str, Any] = dict(counts)
    for name, spellings in _COUNTS.items():
        found = next((flat[one] for one in spellings if isinstance(flat.get(one), int)), None)
        if found is not None:
            raw[name] = found
    return structure(raw, Usage)


def added(total: Usage | None, more: Usage | None) -> Usage | None:
    """Return the sum of two usages."""
    if total is None or more is None:
        return total or more
    counts = {}
    for name in _COUNTS:
        found = [count for one in (total, more) if isinstance(count := one.raw.get(name), int)]
        if found:
            counts[name] = sum(found)
    return structure(counts, Usage)


def as_task(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request in the form of a task, as far as estimates read it.

    Media is left out: how many tokens it has is not known.
    """
    said = [{**message, "content": _text(message.get("content"))} for message in body["messages"]]
    asked = [body[name] for name in ("tools", "response_format") if name in body]
    limit = body.get("max_tokens", body.get("max_completion_tokens"))
    return {
        "taskType": "textInference",
        "model": body["model"],
        "messages": [{"content": str(one)} for one in (*said, *asked)],
        "settings": {"maxTokens": limit},
    }


# ---------------------------------------------------------------------- errors


def error_object(body: Any) -> Mapping[str, Any] | None:
    """Return the error in a reply or a chunk, in whichever form it has; `None` if there is none.

    The endpoint's own form is not documented: Runware's `errors`, a single `error`, and those of the providers occur.
    """
    if isinstance(body, list):
        body = next((one for one in body if isinstance(one, dict)), None)
    if not isinstance(body, dict):
        return None
    for found in (body.get("errors"), body.get("error")):
        one = _first(found) if isinstance(found, list) else found
        if isinstance(one, str) and one:
            return {"message": one}
        if isinstance(one, dict) and one:
            return one
        if one is True:
            return body
    return None


def reply_error(status: int, body: Any, text: str = "") -> RunwareError | None:
    """Return the error that a reply or a chunk reports; `None` if it reports none.

    Args:
        status: The HTTP status.
        body: The JSON of it; `None` if it is none.
        text: The body as text, if it is no JSON.
    """
    raw = error_object(body)
    named = raw is not None
    if raw is None:
        if status < 300:
            return None
        message = body.get("message") or body.get("detail") if isinstance(body, dict) else None
        raw = {"message": message} if isinstance(message, str) else {}
    code = next((one for name in ("code", "type") if isinstance(one := raw.get(name), str) and one), None)
    parameter = raw.get("parameter") or raw.get("param")
    if isinstance(parameter, str):
        parameter = _PARAMETERS.get(parameter, parameter)
    without = f"The server answered with status {status}" + (f": {one_line(text, 200)}" if text.strip() else ".")
    if 300 <= status < 400:
        without = f"The server answered with status {status}. Check the client's url."
    read = error_from_wire({**raw, "parameter": parameter, "message": raw.get("message") or without})
    cls: Any = _class_of(code) or _class_of_status(status)
    error: RunwareError = cls(
        read.message,
        code=code or f"http{status}",
        parameter=read.parameter,
        task_type=TASK_TYPE,
        documentation=read.documentation,
    )
    error.raw = raw
    # A gateway answers so although the model has run, unless the API itself says that it is too busy; and a failed
    # generation may be billed as far as it got.
    error.may_have_run = (status >= 500 and not (status == 503 and named)) or status < 300 or status == 408
    return error


def _class_of(code: str | None) -> type[TaskError] | None:
    if code is None:
        return None
    camel = re.sub(r"_(\w)", lambda found: found[1].upper(), code)
    return class_for_code(camel) or class_for_code(code)


def _class_of_status(status: int) -> Any:
    if status == 413:
        return PayloadTooLargeError
    return _STATUSES.get(status, ServerError if status >= 500 or status < 400 else ValidationError)


def wants_max_tokens(error: RunwareError) -> bool:
    """Return whether a request was refused for the length of the answer.

    Without `max_tokens`, the server's default may exceed what the model can do, and the request is refused.
    """
    named = f"{error.parameter} {error.message} {error.raw.get('param')}"
    return (
        isinstance(error, ValidationError)
        and re.search(r"max_?(completion_?|output_?)?tokens", named, re.IGNORECASE) is not None
    )


def max_output_tokens(models: Any, model: str) -> int | None:
    """Return the longest answer of a model in tokens, from the list of models.

    Args:
        models: The reply of the list: an array, or an object with `data`.
        model: The model's AIR or slug. The list has slugs.
    """
    rows = models.get("data") if isinstance(models, dict) else models
    slug = re.sub(r"[^a-z0-9]+", "-", model.lower())
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("id") in (model, slug):
            most = row.get("max_output_tokens")
            return most if isinstance(most, int) and most > 0 else None
    return None
