"""The language model behind the endpoint for chats. Marks in the prompt control it.

`[call:NAME {"argument": 1}]` makes it call a tool; several marks are calls at the same time, and `[then]` separates
rounds. `[loop:NAME {...}]` makes it call a tool in each round. `[same-id]` gives all calls the same id. `[answer TEXT]`
is the answer, word for word; without it, the answer repeats the prompt and the results of tools, or fits the JSON
schema that was asked for.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from runware.local.uuids import new_uuid

__all__ = ["ModelReply", "answer", "text_of"]

_CALL = re.compile(r"\[(call|loop):([^\s\]]+)\s*")
_ANSWER = re.compile(r"\[answer (.*)\]", re.DOTALL)
_DECODER = json.JSONDecoder()


class ModelReply(NamedTuple):
    """The reply of the model.

    Attributes:
        text: The text.
        reasoning: Its reasoning.
        calls: The calls of tools, in the API's form.
    """

    text: str
    reasoning: str
    calls: list[dict[str, Any]]

    @property
    def finish_reason(self) -> str:
        """The reason for its end, in the API's terms."""
        return "tool_calls" if self.calls else "stop"

    def message(self) -> dict[str, Any]:
        """Return the API's message."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message["tool_calls"] = self.calls
        return message


def text_of(message: dict[str, Any]) -> str:
    """Return the text of a message, without its media."""
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    return content if isinstance(content, str) else ""


def answer(body: dict[str, Any]) -> ModelReply:
    """Return the answer to a request."""
    messages = body["messages"]
    last = max((at for at, one in enumerate(messages) if one.get("role") == "user"), default=0)
    prompt, since = text_of(messages[last]), messages[last + 1 :]
    reasoning = f"thinking with effort {body['reasoning_effort']}" if body.get("reasoning_effort") else ""
    calls = _calls(prompt, sum("tool_calls" in one for one in since), body)
    if calls:
        return ModelReply("", reasoning, calls)
    given = _ANSWER.search(prompt)
    if given is not None:
        return ModelReply(given[1], reasoning, [])
    response_format = body.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        schema = response_format["json_schema"]["schema"]
        return ModelReply(json.dumps(_example(schema, schema.get("$defs", {}))), reasoning, [])
    return ModelReply(_words(messages[0], prompt, messages[last], since), reasoning, [])


def _words(first: dict[str, Any], prompt: str, message: dict[str, Any], since: list[dict[str, Any]]) -> str:
    system = f"[{text_of(first)}] " if first.get("role") == "system" else ""
    results = [text_of(one) for one in since if one.get("role") == "tool"]
    if results:
        return f"{system}The tools say: {'; '.join(results)}"
    content = message.get("content")
    media = sum(part.get("type") != "text" for part in content) if isinstance(content, list) else 0
    seen = f" with {media} attachment{'s' * (media > 1)}" if media else ""
    return f"{system}You wrote “{prompt}”{seen}, ☃."


def _calls(prompt: str, rounds: int, body: dict[str, Any]) -> list[dict[str, Any]]:
    choice = body.get("tool_choice")
    if choice == "none":
        return []
    parts = prompt.split("[then]")
    wanted = [(name, arguments) for kind, name, arguments in _marks(prompt) if kind == "loop"]
    if rounds < len(parts):
        wanted += [(name, arguments) for kind, name, arguments in _marks(parts[rounds]) if kind == "call"]
    if not wanted and choice not in (None, "auto"):
        tools = [tool["function"] for tool in body.get("tools") or [] if tool.get("type") == "function"]
        name = choice["function"]["name"] if isinstance(choice, dict) else tools[0]["name"]
        schema: dict[str, Any] = next((tool.get("parameters", {}) for tool in tools if tool["name"] == name), {})
        wanted = [(name, json.dumps(_example(schema, {})))]
    shared = f"call_{new_uuid()}" if "[same-id]" in prompt else None
    return [
        {"id": shared or f"call_{new_uuid()}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, arguments in wanted
    ]


def _marks(prompt: str) -> list[tuple[str, str, str]]:
    found = []
    for mark in _CALL.finditer(prompt):
        rest = prompt[mark.end() :]
        try:
            _, end = _DECODER.raw_decode(rest)
        except ValueError:
            end = max(rest.find("]"), 0)
        found.append((mark[1], mark[2], rest[:end]))
    return found


def _example(schema: dict[str, Any], definitions: dict[str, Any], depth: int = 0) -> Any:
    """Return a value that fits a schema."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if schema.get("enum"):
        return schema["enum"][0]
    for part in schema.get("anyOf") or []:
        if depth < 5 or part.get("type") == "null":
            return _example(part, definitions, depth)
    kind = schema.get("type")
    if kind == "object":
        return {name: _example(part, definitions, depth + 1) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        size = schema.get("minItems", 1 if depth < 5 else 0)
        return [_example(schema.get("items") or {}, definitions, depth + 1)] * size
    formats = {"date-time": "2026-11-28T12:00:00", "date": "2026-11-28", "time": "12:00:00", "uuid": new_uuid()}
    values = {"integer": 7, "number": 7.5, "boolean": True, "null": None}
    return values[kind] if kind in values else formats.get(schema.get("format", ""), "local")
