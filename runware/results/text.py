"""Result classes for text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from runware.results.base import ApiObject, Result, shown_length

__all__ = ["Text", "Usage"]


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
        cost_breakdown: Cost per kind of token, unchanged.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    thinking_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_breakdown: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    def _fallback(self, name: str) -> Any:
        other = _OTHER_NAME.get(name)
        return None if other is None else vars(self).get(other, vars(Usage)[other].own(self))


_OTHER_NAME = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
_OTHER_NAME |= {other: name for name, other in _OTHER_NAME.items()}


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Text(Result):
    """A text. `str(text)` returns the text itself; its `repr` shows only the length, since reprs end up in logs.

    Attributes:
        text: The text; `None` if the answer is in *structured_data* only.
        finish_reason: Why generation ended: `"stop"`, `"length"`, `"content_filter"`, `"tool_calls"`, or another
            reason.
        usage: Token usage, if `include_usage` was set.
        reasoning_content: The model's reasoning, if the model exposes it. Several parts are joined by line breaks.
        thought_signature: Signature of the reasoning, to be sent back with the next message.
        structured_data: The answer as an object, such as `ageGroup` and `confidence` of a caption, unchanged.
        seed: Seed of the text.
    """

    shown_as: ClassVar[str] = "text"

    text: str | None = attrs.field(default=None, repr=shown_length)
    finish_reason: str | None = None
    usage: Usage | None = None
    reasoning_content: str | None = attrs.field(default=None, repr=shown_length)
    thought_signature: str | None = attrs.field(default=None, repr=False)
    structured_data: Any = attrs.field(default=None, repr=False, hash=False)
    seed: int | None = None

    def __str__(self) -> str:
        return self.text or ""

    def _fallback(self, name: str) -> Any:
        if name == "reasoning_content":  # some models send a list of texts
            parts = self.raw.get("reasoningContent")
            texts = [part for part in parts if isinstance(part, str)] if isinstance(parts, list) else []
            return "\n".join(texts) or None
        return super()._fallback(name)
