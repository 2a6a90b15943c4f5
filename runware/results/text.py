"""Result classes for text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs

from runware.protocol.codec import loads, structure
from runware.results.base import ApiObject, Result, shown_length, shown_url, wire_objects

__all__ = ["Source", "Text", "ToolCall", "Usage"]


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Usage(ApiObject):
    """Token usage of a text.

    Attributes:
        prompt_tokens: Tokens of the input; the same as `input_tokens`.
        completion_tokens: Tokens of the answer; the same as `output_tokens`.
        total_tokens: Total number of tokens.
        thinking_tokens: Tokens of the model's reasoning.
        input_tokens: The API's alternative name of *prompt_tokens*.
        output_tokens: The API's alternative name of *completion_tokens*.
        cached_tokens: Tokens of the input that were read from the provider's cache.
        cost_breakdown: Cost per kind of token, unchanged.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    thinking_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_breakdown: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    def _fallback(self, name: str) -> Any:
        other = _OTHER_NAME.get(name)
        return None if other is None else vars(self).get(other, vars(Usage)[other].own(self))


_OTHER_NAME = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
_OTHER_NAME |= {other: name for name, other in _OTHER_NAME.items()}


@attrs.frozen(kw_only=True, repr=False, slots=False)
class ToolCall(ApiObject):
    """A tool call that the model asks for. In a piece of a stream it may be a part of one.

    The API does not document its form, so both the form of its messages and that of OpenAI are read.

    Attributes:
        id: Identifier of the call, which its result refers to.
        name: Name of the tool.
        input: The arguments: an object, or its JSON text if that is incomplete or cannot be parsed.
    """

    id: str | None = attrs.field(default=None, repr=False)
    name: str | None = None
    input: Any = attrs.field(default=None, repr=False, hash=False)

    def _fallback(self, name: str) -> Any:
        function = self.raw.get("function")
        inner: Mapping[str, Any] = function if isinstance(function, dict) else {}
        if name == "name":
            return _text(inner.get("name"))
        if name != "input":
            return None
        found = self.raw.get("arguments", inner.get("arguments"))
        if not isinstance(found, str):
            return found
        try:
            return loads(found.encode())
        except ValueError:
            return found


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Source(ApiObject):
    """A page that the text refers to, as a model with web search reports it.

    Attributes:
        url: URL of the page.
        title: Title of the page.
    """

    url: str | None = attrs.field(default=None, repr=lambda url: url and shown_url(url))
    title: str | None = attrs.field(default=None, repr=False)

    def _fallback(self, name: str) -> Any:
        for inner in (self.raw.get("web"), self.raw.get("url_citation"), self.raw):
            if isinstance(inner, dict) and (found := inner.get(name) or (name == "url" and inner.get("uri"))):
                return _text(found)
        return None


def sources_in(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that describe the sources of a text, under whichever name the provider has for them."""
    grounding = item.get("groundingMetadata")
    chunks = grounding.get("groundingChunks") if isinstance(grounding, dict) else None
    found: list[dict[str, Any]] = []
    for value in (item.get("sources"), item.get("citations"), item.get("annotations"), chunks):
        for one in value if isinstance(value, list) else ():
            if isinstance(one, str):
                found.append({"url": one})
            elif isinstance(one, dict):
                found.append(one)
    return found


def tool_calls_in(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that describe calls of tools."""
    for name in _TOOL_CALLS:
        if isinstance(value := item.get(name), list):
            return wire_objects(value)
    return []


_TOOL_CALLS = ("toolCalls", "tool_calls", "tools")


def text_in(value: object) -> str | None:
    """Return a text that the API may also send as a list of parts; `None` if it is neither."""
    if isinstance(value, list):
        return "\n".join(part for part in value if isinstance(part, str)) or None
    return _text(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Text(Result):
    """A text. `str(text)` returns the text itself; its `repr` shows only the length, since reprs end up in logs.

    Attributes:
        text: The text; `None` if the answer is in *structured_data* only.
        finish_reason: Why generation ended: `"stop"`, `"length"`, `"content_filter"`, `"tool_calls"`, or another
            reason.
        usage: Token usage, if `include_usage` was set.
        reasoning_content: The model's reasoning, if the model exposes it. Several parts are joined by line breaks.
        reasoning: The same as *reasoning_content*.
        tool_calls: The tool calls that the model asks for.
        sources: The pages that the text refers to.
        thought_signature: Signature of the reasoning, to be sent back with the next message.
        structured_data: The answer as an object, such as `ageGroup` and `confidence` of a caption, unchanged.
        seed: Seed of the text.
    """

    shown_as: ClassVar[str] = "text"

    text: str | None = attrs.field(default=None, repr=shown_length)
    finish_reason: str | None = None
    usage: Usage | None = None
    reasoning_content: str | None = attrs.field(default=None, repr=shown_length)
    reasoning: str | None = attrs.field(default=None, repr=False)
    tool_calls: Sequence[ToolCall] = attrs.field(default=(), repr=False, hash=False)
    sources: Sequence[Source] = attrs.field(default=(), repr=False, hash=False)
    thought_signature: str | None = attrs.field(default=None, repr=False)
    structured_data: Any = attrs.field(default=None, repr=False, hash=False)
    seed: int | None = None

    def __str__(self) -> str:
        return self.text or ""

    def _fallback(self, name: str) -> Any:
        if name == "reasoning":
            return self.reasoning_content
        if name == "reasoning_content":
            return text_in(self.raw.get("reasoningContent"))
        if name == "tool_calls":
            return tuple(structure(one, ToolCall) for one in tool_calls_in(self.raw)) or None
        if name == "sources":
            return tuple(structure(one, Source) for one in sources_in(self.raw)) or None
        return None
