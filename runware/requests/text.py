"""Request classes for text: chat models and prompt enhancement (docs/protocol.md, section 4)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import attrs

from runware.media import Media
from runware.options import seconds
from runware.requests.base import PartialCallback
from runware.requests.inference import Inference
from runware.requests.validation import RequestModel
from runware.results import Results, Text, TextPiece
from runware.results.pieces import TextParts

__all__ = ["Message", "PromptEnhance", "StreamText", "TextInference", "TextInputs"]

R_co = TypeVar("R_co", covariant=True)


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Message(RequestModel):
    """A message of a conversation.

    Args:
        role: Role of the author: `"user"`, `"assistant"`, or another role the model supports.
        content: The message: text, or parts in the form the model expects. Only a message with *tools* needs none.
        id: Identifier of the message; for the result of a tool, that of the call it answers.
        tools: Tool calls of the message, such as `{"id": ..., "name": ..., "input": {...}}`.
    """

    role: str
    content: str | Sequence[Mapping[str, Any]] | None = None
    id: str | None = None
    tools: Sequence[Mapping[str, Any]] | None = None

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.content is None and not self.tools:
            self._reject("content", "is required, except in a message with tools")


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class TextInputs(RequestModel):
    """Input media of a conversation.

    Args:
        images: Images.
        videos: Videos.
        documents: Documents.
    """

    images: Sequence[Media | Mapping[str, Any]] | None = None
    videos: Sequence[Media | Mapping[str, Any]] | None = None
    documents: Sequence[Media | Mapping[str, Any]] | None = None


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
class Chat(Inference[R_co]):
    """Base class of the operations with chat models.

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
        provider_settings: Provider-specific settings, by Python or API name.
    """

    task_type: ClassVar[str] = "textInference"
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
class TextInference(Chat[Results[Text]]):
    """Generate text with a chat model.

    Args:
        number_results: Number of answers; 1 by default.
    """

    result_class = Text
    many: ClassVar[bool] = True

    number_results: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class StreamText(Chat[Text]):
    """Generate text with a chat model, and stream it as it is generated.

    Args:
        timeout: Deadline for the whole stream in seconds: connecting, all attempts, and every piece. `None` uses the
            client's `long_timeout`.
        number_results: Number of answers, which can only be 1.
        silence_timeout: Seconds without a piece after which the connection is given up; `None` means 120. While the
            server sends keep-alive comments in place of pieces, five times as many are allowed.
        on_partial: For `rw.submit` only: callback `on_partial(pieces, error)`, called with new pieces, and once with
            the error if the stream fails. It runs on the client's callback thread.
    """

    result_class = TextPiece
    streamed: ClassVar[bool] = True
    hidden: ClassVar[frozenset[str]] = frozenset(
        ("delivery_method", "webhook_url", "skip_response", "return_partial", "progress", "number_results", "dry_run")
    )

    number_results: int | None = None
    silence_timeout: float | None = attrs.field(default=None)
    timeout: float | None = None
    on_partial: PartialCallback | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.silence_timeout is not None:
            seconds(self.silence_timeout, "silence_timeout")
        for name in self.hidden & vars(self).keys():
            if vars(self)[name] and not (name == "number_results" and self.number_results == 1):
                self._reject(name, _NOT_FOR_STREAMS[name])
        for name in _OF_A_STREAM & (self.extra or {}).keys():
            self._reject("extra", f"must not contain {name}: a stream has one result, over its own connection")

    def wire(self) -> dict[str, Any]:
        """Return the API object, without its UUID."""
        return {**super().wire(), "deliveryMethod": "stream"}

    def takes_long(self, wire: Mapping[str, Any]) -> bool:  # noqa: ARG002 - so for every stream
        """Return whether the client's `long_timeout` applies."""
        return True

    @classmethod
    def assemble(cls, results: Any) -> Text:
        """Return the whole text."""
        last = results[-1] if results else None
        return TextParts(results).result(last and last._origin, last and last._downloads)  # noqa: SLF001


_OF_A_STREAM = frozenset(("deliveryMethod", "numberResults", "webhookURL"))
_NOT_FOR_STREAMS = {
    "delivery_method": "cannot be chosen: a stream is delivered piece by piece. For the whole text, use text_inference",
    "webhook_url": "does not go with a stream. For the whole text by webhook, use text_inference",
    "skip_response": "does not go with a stream. To get the text later, use text_inference",
    "return_partial": "does not apply: the pieces so far are there when a stream fails, also in error.results",
    "number_results": "must be 1: a stream has one answer. For several, start as many streams, or use text_inference",
    "progress": "does not apply: a stream shows its progress by its pieces",
    "dry_run": "does not apply to streams. To validate a request, use text_inference(..., dry_run=True)",
}


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
