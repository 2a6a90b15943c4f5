"""The method `chat` of the two clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from runware import text
from runware._support.lazy_modules import lazy_module
from runware._support.unknown_names import names_checked
from runware.options import RetryPolicy

if TYPE_CHECKING:
    from runware.text import chat as text_chat
else:
    text_chat = lazy_module("runware.text.chat")

__all__ = ["AsyncChats", "BlockingChats"]

T = TypeVar("T")


class BlockingChats:
    """The chats of `Runware`."""

    _core: Any

    @overload
    def chat(
        self,
        model: str,
        *,
        system_prompt: str | None = None,
        tools: Iterable[Any] | None = None,
        response_type: type[T],
        max_rounds: int = 10,
        messages: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop_sequences: Sequence[str] | None = None,
        thinking_level: str | None = None,
        seed: int | None = None,
        timeout: float | None = None,
        silence_timeout: float | None = None,
        retry: int | RetryPolicy | None = None,
        on_event: Callable[[text.ToolRun], object] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> text.Chat[T]: ...
    @overload
    def chat(
        self,
        model: str,
        *,
        system_prompt: str | None = None,
        tools: Iterable[Any] | None = None,
        response_type: None = None,
        max_rounds: int = 10,
        messages: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop_sequences: Sequence[str] | None = None,
        thinking_level: str | None = None,
        seed: int | None = None,
        timeout: float | None = None,
        silence_timeout: float | None = None,
        retry: int | RetryPolicy | None = None,
        on_event: Callable[[text.ToolRun], object] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> text.Chat[None]: ...
    @names_checked
    def chat(
        self,
        model: str,
        *,
        system_prompt: str | None = None,
        tools: Iterable[Any] | None = None,
        response_type: Any = None,
        max_rounds: int = 10,
        messages: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop_sequences: Sequence[str] | None = None,
        thinking_level: str | None = None,
        seed: int | None = None,
        timeout: float | None = None,
        silence_timeout: float | None = None,
        retry: int | RetryPolicy | None = None,
        on_event: Callable[[text.ToolRun], object] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> text.Chat[Any]:
        """Start a conversation with a model. Nothing is sent before its first message.

        Args:
            model: The model's AIR, such as `"google:gemma@4-31b"`, or its slug. One that makes no text, as far as the
                catalogue knows, is reported according to the client's `check`.
            system_prompt: Instructions that precede the conversation.
            tools: Functions that the model may call, plain or `async`, or `Tool` objects. A dict, such as
                `{"type": "search"}`, is sent as it is, for a tool of the server.
            response_type: The type of the answers: a dataclass, an attrs class, a TypedDict, a pydantic model, a list
                of them, or a basic type. The model is given its JSON schema, and `answer.parsed` is an instance.
            max_rounds: How many rounds of tool calls one answer may take; 10 by default. Beyond it,
                `ToolRoundsError` is raised. 0 runs no tools.
            messages: The conversation so far, dicts in the API's form.
            tool_choice: `"auto"`, `"none"`, `"required"`, or the name of a tool that the model must call. The last two
                apply to the first request for each message.
            max_tokens: Maximum length of the answer, in tokens. `None` leaves it to the server; if its default is too
                long for the model, the client sends the model's own limit.
            temperature: Sampling temperature.
            top_p: Nucleus sampling: cumulative probability of the tokens to choose from.
            top_k: Number of most likely tokens to choose from.
            stop_sequences: Strings that end the answer.
            thinking_level: How much reasoning precedes the answer, for models that support it.
            seed: Seed for reproducible answers.
            timeout: Deadline in seconds for each message: all requests, and the tools between them. `None` uses the
                client's `long_timeout`.
            silence_timeout: Seconds without a piece after which a stream is given up; 60 by default. Five times as many
                while keep-alive comments come, and for an answer that is not streamed.
            retry: Extra attempts after a retryable failure in which nothing ran, or a `RetryPolicy`. `None` uses the
                client's `max_retries`.
            on_event: Callback with a `ToolRun` when a tool starts and when it ends, in the thread or event loop that
                waits for the answer.
            extra: Additional parameters, keyed by the names of the chat completions API and sent unchanged.

        Returns:
            A `Chat`.

        Raises:
            ValidationError: A parameter is invalid, a tool or the `response_type` cannot be described, or the model
                makes no text and the client's `check` is `"error"`.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "model")}
        return text_chat.Chat(self._core, model, **given)


class AsyncChats:
    """The chats of `AsyncRunware`."""

    _core: Any

    @overload
    def chat(
        self,
        model: str,
        *,
        system_prompt: str | None = None,
        tools: Iterable[Any] | None = None,
        response_type: type[T],
        max_rounds: int = 10,
        messages: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop_sequences: Sequence[str] | None = None,
        thinking_level: str | None = None,
        seed: int | None = None,
        timeout: float | None = None,
        silence_timeout: float | None = None,
        retry: int | RetryPolicy | None = None,
        on_event: Callable[[text.ToolRun], object] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> text.AsyncChat[T]: ...
    @overload
    def chat(
        self,
        model: str,
        *,
        system_prompt: str | None = None,
        tools: Iterable[Any] | None = None,
        response_type: None = None,
        max_rounds: int = 10,
        messages: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop_sequences: Sequence[str] | None = None,
        thinking_level: str | None = None,
        seed: int | None = None,
        timeout: float | None = None,
        silence_timeout: float | None = None,
        retry: int | RetryPolicy | None = None,
        on_event: Callable[[text.ToolRun], object] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> text.AsyncChat[None]: ...
    @names_checked
    def chat(
        self,
        model: str,
        *,
        system_prompt: str | None = None,
        tools: Iterable[Any] | None = None,
        response_type: Any = None,
        max_rounds: int = 10,
        messages: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop_sequences: Sequence[str] | None = None,
        thinking_level: str | None = None,
        seed: int | None = None,
        timeout: float | None = None,
        silence_timeout: float | None = None,
        retry: int | RetryPolicy | None = None,
        on_event: Callable[[text.ToolRun], object] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> text.AsyncChat[Any]:
        """Start a conversation with a model. Nothing is sent before its first message.

        Args:
            model: The model's AIR, such as `"google:gemma@4-31b"`, or its slug. One that makes no text, as far as the
                catalogue knows, is reported according to the client's `check`.
            system_prompt: Instructions that precede the conversation.
            tools: Functions that the model may call, plain or `async`, or `Tool` objects. A dict, such as
                `{"type": "search"}`, is sent as it is, for a tool of the server.
            response_type: The type of the answers: a dataclass, an attrs class, a TypedDict, a pydantic model, a list
                of them, or a basic type. The model is given its JSON schema, and `answer.parsed` is an instance.
            max_rounds: How many rounds of tool calls one answer may take; 10 by default. Beyond it,
                `ToolRoundsError` is raised. 0 runs no tools.
            messages: The conversation so far, dicts in the API's form.
            tool_choice: `"auto"`, `"none"`, `"required"`, or the name of a tool that the model must call. The last two
                apply to the first request for each message.
            max_tokens: Maximum length of the answer, in tokens. `None` leaves it to the server; if its default is too
                long for the model, the client sends the model's own limit.
            temperature: Sampling temperature.
            top_p: Nucleus sampling: cumulative probability of the tokens to choose from.
            top_k: Number of most likely tokens to choose from.
            stop_sequences: Strings that end the answer.
            thinking_level: How much reasoning precedes the answer, for models that support it.
            seed: Seed for reproducible answers.
            timeout: Deadline in seconds for each message: all requests, and the tools between them. `None` uses the
                client's `long_timeout`.
            silence_timeout: Seconds without a piece after which a stream is given up; 60 by default. Five times as many
                while keep-alive comments come, and for an answer that is not streamed.
            retry: Extra attempts after a retryable failure in which nothing ran, or a `RetryPolicy`. `None` uses the
                client's `max_retries`.
            on_event: Callback with a `ToolRun` when a tool starts and when it ends, in the thread or event loop that
                waits for the answer.
            extra: Additional parameters, keyed by the names of the chat completions API and sent unchanged.

        Returns:
            An `AsyncChat`, whose methods are coroutines.

        Raises:
            ValidationError: A parameter is invalid, a tool or the `response_type` cannot be described. With
                `check="error"`, the first message raises it if the model makes no text.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "model")}
        return text_chat.AsyncChat(self._core, model, **given)
