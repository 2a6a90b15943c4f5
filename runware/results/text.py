"""Texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from runware.results.base import Part, Result, shown_length

__all__ = ["Text", "Usage"]


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Usage(Part):
    """How many tokens a text took.

    Attributes:
        prompt_tokens: Those of what was sent; `input_tokens` is the same.
        completion_tokens: Those of the answer; `output_tokens` is the same.
        total_tokens: All of them.
        thinking_tokens: Those of what the model thought.
        input_tokens: Another name the wire has for *prompt_tokens*.
        output_tokens: Another name the wire has for *completion_tokens*.
        cost_breakdown: What each kind cost, as it came.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    thinking_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_breakdown: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    def _instead(self, name: str) -> Any:
        other = _OTHER_NAME.get(name)
        return None if other is None else vars(self).get(other, vars(Usage)[other].own(self))


_OTHER_NAME = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
_OTHER_NAME |= {other: name for name, other in _OTHER_NAME.items()}


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Text(Result):
    """A text. `str()` of it is the text itself; its `repr`, which ends up in logs, tells only how long it is.

    Attributes:
        text: The text; `None` when the answer is in *structured_data* alone.
        finish_reason: Why it ended: `"stop"`, `"length"`, `"content_filter"`, `"tool_calls"`, or another word.
        usage: How many tokens it took, if `include_usage` was asked for.
        reasoning_content: What the model thought, where it tells.
        thought_signature: The signature of the thoughts, to be handed back with the next message.
        structured_data: The answer as an object, such as `ageGroup` and `confidence` of a caption, as it came.
        seed: The seed it was made with.
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
