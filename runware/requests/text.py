"""Request classes for text: chat models and prompt enhancement (docs/protocol.md, section 4)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import attrs

from runware.media import Media
from runware.requests.inference import Inference
from runware.requests.validation import RequestModel
from runware.results import Results, Text

__all__ = ["Message", "PromptEnhance", "TextInference", "TextInputs"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Message(RequestModel):
    """A message of a conversation.

    Args:
        role: Role of the author: `"user"`, `"assistant"`, or another role the model supports.
        content: The message: text, or parts in the form the model expects.
        id: Identifier of the message.
        tools: Tool calls or tool results of the message, in the form the model expects.
    """

    role: str
    content: str | Sequence[Mapping[str, Any]]
    id: str | None = None
    tools: Sequence[Mapping[str, Any]] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class TextInputs(RequestModel):
    """Input media of a conversation.

    Args:
        images: Images.
        videos: Videos.
        documents: Documents.
    """

    images: Sequence[Media] | None = None
    videos: Sequence[Media] | None = None
    documents: Sequence[Media] | None = None


_SETTINGS = {
    "system_prompt": "systemPrompt",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_tokens": "maxTokens",
    "stop_sequences": "stopSequences",
    "thinking_level": "thinkingLevel",
    "cache": "cache",
}
"""Parameters that the API expects inside `settings`, with their API names."""


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class TextInference(Inference[Results[Text]]):
    """Generate text with a chat model.

    Args:
        model: The model's AIR, such as `"minimax:m2.7@0"`.
        messages: The conversation so far.
        system_prompt: Instructions that precede the conversation.
        max_tokens: Maximum length of the answer, in tokens.
        temperature: Sampling temperature.
        top_p: Nucleus sampling: cumulative probability of the tokens to choose from.
        top_k: Number of most likely tokens to choose from.
        stop_sequences: Strings that end the answer.
        thinking_level: How much reasoning precedes the answer, for models that support it.
        cache: Prompt caching: `scope` and `ttl`.
        settings: Further model-specific settings, by Python or API name. The API expects the eight parameters from
            `system_prompt` to `cache` inside this object; the client puts them there.
        inputs: Input media of the conversation.
        tools: Tools the model may call.
        tool_choice: Which tool the model must call, in the form the model expects.
        json_schema: JSON schema of the answer, as an object or as JSON text.
        output_format: `"TEXT"` (the server's default) or, with newer models, `"JSON"`.
        include_usage: Report token usage with the result.
        seed: Seed for reproducible results; random by default.
        number_results: Number of answers; 1 by default.
        provider_settings: Provider-specific settings, by Python or API name.
    """

    task_type: ClassVar[str] = "textInference"
    result_class = Text
    many: ClassVar[bool] = True
    main: ClassVar[str] = "messages"

    model: str
    messages: Sequence[Message | Mapping[str, Any]]
    system_prompt: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: Sequence[str] | None = None
    thinking_level: str | None = None
    cache: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] | None = None
    inputs: TextInputs | Mapping[str, Any] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    tool_choice: str | Mapping[str, Any] | None = None
    json_schema: Mapping[str, Any] | str | None = None
    output_format: Literal["TEXT", "JSON"] | str | None = None
    include_usage: bool | None = None
    seed: int | None = None
    number_results: int | None = None
    provider_settings: Mapping[str, Any] | None = None

    @classmethod
    def main_value(cls, value: Any) -> Any:
        """Convert a `str` to a conversation with one user message."""
        return [Message(role="user", content=value)] if isinstance(value, str) else value

    def wire(self) -> dict[str, Any]:
        """Return the API object, without its UUID."""
        wire = super().wire()
        asked = self.extra or {}
        given = {
            name: wire.pop(name)
            for field, name in _SETTINGS.items()
            if getattr(self, field) is not None and name not in asked
        }
        if given:
            wire["settings"] = {**wire.get("settings", {}), **given}
        return wire


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class PromptEnhance(Inference[Results[Text]]):
    """Expand a short prompt into more detailed ones.

    Args:
        prompt: The prompt to enhance, 1–300 characters.
        prompt_max_length: Maximum length of a prompt, 12–400; 380 by default.
        prompt_versions: Number of prompts to return, 1–5; 1 by default.
        model: The model's AIR; required by newer versions of the API.
    """

    task_type: ClassVar[str] = "promptEnhance"
    result_class = Text
    many: ClassVar[bool] = True
    counted: ClassVar[str] = "promptVersions"
    always: ClassVar[tuple[str, ...]] = ("prompt_max_length", "prompt_versions")

    prompt: str
    prompt_max_length: int = 380
    prompt_versions: int = 1
    model: str | None = None
