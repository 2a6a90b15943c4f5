"""Making text: chat models and better prompts (protocol reference, sections 4.9 and 4.15)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import attrs

from runware.media import Media
from runware.requests.inference import Inference
from runware.requests.validation import Checked
from runware.results import Results, Text

__all__ = ["Message", "PromptEnhance", "TextInference", "TextInputs"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Message(Checked):
    """One message of a conversation.

    Args:
        role: Who speaks: `"user"`, `"assistant"`, or another role that the model knows.
        content: What is said: text, or parts as the model wants them.
        id: An ID of the message.
        tools: Tools that the message calls or answers, as the model wants them.
    """

    role: str
    content: str | Sequence[Mapping[str, Any]]
    id: str | None = None
    tools: Sequence[Mapping[str, Any]] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class TextInputs(Checked):
    """The media that the conversation is about.

    Args:
        images: Pictures.
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
"""Parameters that the current wire has inside `settings`."""


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class TextInference(Inference[Results[Text]]):
    """Let a chat model answer.

    Args:
        model: The model's AIR, such as `"minimax:m2.7@0"`.
        messages: The conversation so far.
        system_prompt: What the model is told beforehand.
        max_tokens: How long the answer may be, in tokens.
        temperature: How free the answer is.
        top_p: From which share of the likely tokens it is chosen.
        top_k: From how many of the likely tokens it is chosen.
        stop_sequences: Texts that end the answer.
        thinking_level: How much the model thinks first.
        cache: How the prompt is cached: `scope` and `ttl`.
        settings: Further settings of the model, with names as on the wire. The eight above are sent inside it, which
            is where the current wire has them.
        inputs: The media that the conversation is about.
        tools: Tools that the model may call.
        tool_choice: Which tool it shall call, as the model wants it.
        json_schema: The JSON schema of the answer, as an object or as its text.
        output_format: `"TEXT"`, the server's default, or `"JSON"` with newer models.
        include_usage: Whether the result tells how many tokens were used.
        seed: The seed; the default is random.
        number_results: How many answers to make; the default is 1.
        provider_settings: Settings of one provider, with names as on the wire.
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
        """Make of a value alone what its `main` parameter takes: a str is what the user says."""
        return [Message(role="user", content=value)] if isinstance(value, str) else value

    def wire(self) -> dict[str, Any]:
        """Make the wire object, without its UUID."""
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
    """Make better prompts of a short one.

    Args:
        prompt: The short prompt, 1–300 characters.
        prompt_max_length: How long a prompt may become, 12–400.
        prompt_versions: How many prompts to make, 1–5.
        model: The model's AIR, which newer servers ask for.
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
