"""The pieces that a stream of text consists of, and the text that they make together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import attrs

from runware.protocol.codec import structure
from runware.results.base import Origin, Result, shown_length
from runware.results.text import Text, ToolCall, Usage, sources_in, text_in, tool_calls_in

__all__ = ["TextParts", "TextPiece"]


@attrs.frozen(kw_only=True, repr=False, slots=False)
class TextPiece(Result):
    """A piece of a text that is being streamed. `str(piece)` returns its text.

    A piece may hold no text: only reasoning, or only facts about the whole, which `raw` has.

    Attributes:
        text: The next characters of the text; `""` if there are none.
        reasoning: The next characters of the model's reasoning; `""` if there are none.
        tool_calls: Tool calls, or parts of them. The result of the stream has them put together.
        finish_reason: Why generation ended, in one of the last pieces; see `Text`.
        usage: Token usage of the whole, in one of the last pieces, if `include_usage` was set.
    """

    text: str = attrs.field(default="", repr=shown_length)
    reasoning: str = attrs.field(default="", repr=shown_length)
    tool_calls: Sequence[ToolCall] = attrs.field(default=(), repr=False, hash=False)
    finish_reason: str | None = None
    usage: Usage | None = None

    def __str__(self) -> str:
        return self.text

    def _fallback(self, name: str) -> Any:
        delta = self.raw.get("delta")
        if not isinstance(delta, dict):
            delta = {}
        if name == "text":
            return delta.get("text") if isinstance(delta.get("text"), str) else None
        if name == "reasoning":
            return text_in(delta.get("reasoningContent")) or text_in(self.raw.get("reasoningContent"))
        if name == "tool_calls":
            found = tool_calls_in(self.raw) or tool_calls_in(delta)
            return tuple(structure(one, ToolCall) for one in found) or None
        return None


class TextParts:
    """Put the pieces of a stream together.

    Args:
        pieces: The first pieces.
    """

    def __init__(self, pieces: Iterable[TextPiece] = ()) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tool_calls: list[dict[str, Any]] = []
        self._sources: dict[str, dict[str, Any]] = {}
        self._facts: dict[str, Any] = {}
        for piece in pieces:
            self.add(piece)

    @property
    def empty(self) -> bool:
        """Whether no piece with text, reasoning or a call of a tool has come."""
        return not (self._text or self._reasoning or self._tool_calls)

    @property
    def finished(self) -> bool:
        """Whether a reason for the end of the generation has come."""
        return "finishReason" in self._facts

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._reasoning)

    def add(self, piece: TextPiece) -> None:
        """Append a piece."""
        if text := piece.text:
            self._text.append(text)
        raw = piece.raw
        delta = raw.get("delta")
        if self._facts and raw.keys() <= _USUAL and raw.get("finishReason") is None and delta == {"text": text}:
            return  # nearly every piece: nothing but text, and the names of the task are known
        special: set[str] = set()
        for part in (raw, delta) if isinstance(delta, dict) else (raw,):
            for name, value in part.items():
                if kind := _SPECIAL.get(name):
                    special.add(kind)
                elif value is not None and value != "" and not (name == "finishReason" and self.finished):
                    self._facts[name] = value
            if "sources" in special:
                for one in sources_in(part):
                    self._sources.setdefault(repr(one), one)  # later events repeat them
        if "reasoning" in special and (reasoning := piece.reasoning):
            self._reasoning.append(reasoning)
        for call in piece.tool_calls if "tools" in special else ():
            self._add_tool_call(call.raw)

    def _add_tool_call(self, part: Mapping[str, Any]) -> None:
        """Add a call of a tool, or continue one: that with the same id or index, or the last one."""
        known = next((call for call in reversed(self._tool_calls) if _same_call(call, part)), None)
        if known is None:
            self._tool_calls.append(dict(part))
        else:
            _continue(known, part)

    def result(self, origin: Origin | None = None, downloads: Any = None, *, ahead: Collection[TextPiece] = ()) -> Text:
        """Return the whole text. A call of a tool whose arguments came as JSON text has them as that text in `raw`.

        Args:
            origin: The request and the task.
            downloads: The download settings of the result.
            ahead: The last pieces, if their text and reasoning are to be left out.
        """
        raw = dict(self._facts)
        text = self.text
        raw["text"] = text[: len(text) - sum(len(piece.text) for piece in ahead)]
        if reasoning := self.reasoning[: len(self.reasoning) - sum(len(piece.reasoning) for piece in ahead)]:
            raw["reasoningContent"] = reasoning
        if self._tool_calls:
            raw["toolCalls"] = [dict(call) for call in self._tool_calls]
        if self._sources:
            raw["sources"] = list(self._sources.values())
        result = structure(raw, Text)
        object.__setattr__(result, "_origin", origin)
        object.__setattr__(result, "_downloads", downloads)
        return result


_USUAL = frozenset(("taskUUID", "taskType", "delta", "finishReason"))
_SPECIAL = {
    "delta": "delta",
    "text": "text",
    **dict.fromkeys(("reasoning", "reasoningContent"), "reasoning"),
    **dict.fromkeys(("toolCalls", "tool_calls", "tools"), "tools"),
    **dict.fromkeys(("sources", "citations", "annotations", "groundingMetadata"), "sources"),
}
"""Fields of events that are put together, and what they hold. Of all others, the last value counts."""


def _same_call(call: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    for name in ("index", "id"):
        if name in part and name in call:
            return bool(part[name] == call[name])
    return "id" not in part and "index" not in part and not _name_of(part)


def _name_of(part: Mapping[str, Any]) -> Any:
    function = part.get("function")
    return part.get("name") or (isinstance(function, dict) and function.get("name"))


def _continue(call: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Append texts that come in parts; other values replace what was there."""
    for name, value in part.items():
        before = call.get(name)
        if isinstance(before, str) and isinstance(value, str) and name in ("input", "arguments"):
            call[name] = before + value
        elif isinstance(before, dict) and isinstance(value, dict) and name == "function":
            call[name] = dict(before)
            _continue(call[name], value)
        elif value not in (None, ""):
            call[name] = value
