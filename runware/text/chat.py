"""Chats: a conversation with a model that keeps its history, runs tools and parses answers."""

from __future__ import annotations

import copy
import json
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from runware._support.escaping import one_line
from runware._support.event_loops import warn_in_event_loop
from runware.errors import ConfigurationError, RunwareError
from runware.options import RetryPolicy, seconds
from runware.protocol.redaction import Redactor, secrets_of
from runware.protocol.retry import Retries
from runware.results.text import Usage
from runware.text.answers import Answer, ResponseFormat
from runware.text.completions import TASK_TYPE, ChatPiece, added
from runware.text.drivers import AsyncDriver, BlockingDriver, ChatOwner
from runware.text.messages import Content, check_messages, encode_messages, invalid, user_message
from runware.text.model_requests import ModelRequests
from runware.text.tools import ToolRun, Tools
from runware.text.turns import Turn

__all__ = ["AsyncChat", "AsyncChatStream", "Chat", "ChatStream", "Conversation"]

T = TypeVar("T")

DEFAULT_SILENCE = 60.0
_WIRE_NAMES = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
    "thinking_level": "reasoning_effort",
    "seed": "seed",
}
_TYPES: dict[str, Any] = {
    "system_prompt": str,
    "thinking_level": str,
    "max_tokens": int,
    "temperature": (int, float),
    "top_p": (int, float),
    "top_k": int,
    "seed": int,
}
_VERSION = 1


class ClientHandle(Protocol):
    """A client, as a restored chat needs it."""

    _core: Any


class Conversation(Generic[T]):
    """What the two forms of a chat have in common."""

    def __init__(
        self,
        owner: ChatOwner,
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
        on_event: Callable[[ToolRun], object] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "top_k": top_k,
            "stop_sequences": stop_sequences, "thinking_level": thinking_level, "seed": seed,
        }  # fmt: skip
        self._owner = owner
        self._settings = {name: value for name, value in given.items() if value is not None}
        self.model = model
        """The model's AIR, or its slug."""
        self.system_prompt = system_prompt
        """Instructions that precede the conversation."""
        self.messages = check_messages(messages or [])
        """The conversation so far, in the API's form. It may be edited."""
        self.tools = Tools.of(tools)
        self.response_format = None if response_type is None else ResponseFormat(response_type)
        self.max_rounds = max_rounds
        self.on_event = on_event
        self.extra: Mapping[str, Any] = extra or {}
        self._tool_choice = tool_choice
        self._timeout = timeout
        self._silence = silence_timeout
        self._retry = retry
        self.longest_answer: int | None = None
        """The `max_tokens` of the last request, also if the client has chosen it."""
        self._usage: Usage | None = None
        self._cost: float | None = None
        self._busy: tuple[int, Turn[T]] | None = None
        self._checked_model: str | None = None
        self._check()

    def _check(self) -> None:
        settings = self._settings
        if not (isinstance(self.model, str) and self.model):
            raise invalid("model", f"must be a str; got {one_line(repr(self.model), 60)}")
        for name, kinds in _TYPES.items():
            value = self.system_prompt if name == "system_prompt" else settings.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
                what = "a str" if kinds is str else "a number" if kinds is not int else "an integer"
                raise invalid(name, f"must be {what}; got {one_line(repr(value), 60)}")
        if settings.get("max_tokens", 1) < 1:
            raise invalid("max_tokens", "must be 1 or more")
        stops = settings.get("stop_sequences", [])
        if not isinstance(stops, (list, tuple)) or not all(isinstance(stop, str) for stop in stops):
            raise invalid("stop_sequences", "must be a list of strings")
        if isinstance(self.max_rounds, bool) or not isinstance(self.max_rounds, int) or self.max_rounds < 0:
            raise invalid("max_rounds", f"must be an integer of 0 or more; got {one_line(repr(self.max_rounds), 60)}")
        choice = self._tool_choice
        if choice is not None and choice not in ("auto", "none", "required", *self.tools.functions):
            names = ", ".join(map(repr, self.tools.functions)) or "there are none"
            raise invalid("tool_choice", f"must be 'auto', 'none', 'required' or the name of a tool ({names})")
        if self.on_event is not None and not callable(self.on_event):
            raise invalid("on_event", "must be a function that takes a ToolRun")
        for name, value in (("timeout", self._timeout), ("silence_timeout", self._silence)):
            if value is not None:
                seconds(value, name)
        self._check_request()

    def _check_request(self) -> None:
        retry = self._retry
        if not (retry is None or isinstance(retry, RetryPolicy)) and (
            isinstance(retry, bool) or not isinstance(retry, int) or retry < 0
        ):
            raise invalid("retry", "must be a RetryPolicy or an integer, 0 or more")
        if not isinstance(self.extra, Mapping) or not all(isinstance(name, str) for name in self.extra):
            raise invalid("extra", "must be a dict with API names as keys")
        for name in ("messages", "stream", "n"):
            if name in self.extra:
                raise invalid("extra", f"must not contain {name!r}, which the chat itself sets")
        if self._owner.options.dry_run:
            raise ConfigurationError(
                "The chat endpoint has no dry run, so a client with dry_run=True cannot chat: it would be billed.",
                parameter="dry_run",
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.model} with {len(self.messages)} messages>"

    @property
    def usage(self) -> Usage | None:
        """Token usage of the whole chat; `None` if the server reports none."""
        return self._usage

    @property
    def cost(self) -> float | None:
        """Cost of the whole chat in US dollars; `None` if the server reports none."""
        return self._cost

    # ------------------------------------------------------------------ for turns

    invalid = staticmethod(invalid)

    @property
    def model_checked(self) -> bool:
        """Whether the model was checked already. It may be replaced between answers."""
        return self._checked_model == self.model

    @property
    def checking_blocks(self) -> bool:
        """Whether `check_model` may read the catalogue."""
        return not (self._owner.started or self._owner.options.check == "off")

    def check_model(self) -> None:
        """Report a model that makes something else than text. This may block, to read the catalogue.

        Raises:
            ValidationError: It does, and the client's `check` is `"error"`.
        """
        self._owner.check_model(self.model, TASK_TYPE)
        self._checked_model = self.model

    def occupy(self, turn: Turn[T]) -> None:
        """Register the turn that answers now.

        Raises:
            RunwareError: There is one already.
        """
        busy = self._busy
        if busy is not None and busy[0] == os.getpid() and not busy[1].over():
            raise RunwareError(
                "This chat is waiting for an answer already. Use a chat of its own for each conversation."
            )
        self._busy = (os.getpid(), turn)

    def release(self, turn: Turn[T]) -> None:
        """Unregister a turn."""
        if self._busy is not None and self._busy[1] is turn:
            self._busy = None

    def count(self, usage: Usage | None, cost: float | None) -> None:
        """Add the usage and the cost of a request."""
        self._usage = added(self._usage, usage)
        if cost is not None:
            self._cost = (self._cost or 0.0) + cost

    def body(self, *, first: bool) -> dict[str, Any]:
        """Return the request for the next answer.

        Args:
            first: Whether it is the first of its turn. `tool_choice` applies to that only: a model that must call a
                tool in each answer would never end.
        """
        head = [] if self.system_prompt is None else [{"role": "system", "content": self.system_prompt}]
        body: dict[str, Any] = {"model": self.model, "messages": [*head, *self.messages]}
        if self.longest_answer is not None:
            body["max_tokens"] = self.longest_answer
        for name, value in self._settings.items():
            body[_WIRE_NAMES[name]] = value
        if definitions := self.tools.definitions():
            body["tools"] = definitions
        choice = self._tool_choice
        if choice is not None and (first or choice in ("auto", "none")):
            named = {"type": "function", "function": {"name": choice}}
            body["tool_choice"] = named if choice in self.tools.functions else choice
        if self.response_format is not None:
            body["response_format"] = self.response_format.request()
        return body

    def _turn(self, content: Content | None, images: Any, timeout: float | None, *, streaming: bool) -> Turn[T]:
        options = self._owner.options
        new = [] if content is None and images is None else [user_message("" if content is None else content, images)]
        limit = seconds(timeout, "timeout") if timeout is not None else self._timeout or options.longest_timeout
        requests = ModelRequests(
            deadline=time.monotonic() + limit,
            timeout=limit,
            silence=self._silence or DEFAULT_SILENCE,
            retries=Retries.of(self._retry, options.max_retries, options.retry_delay),
            redactor=Redactor(secrets_of(options)),
            clock=time.monotonic,
            activity=self._owner.activity,
            expense=self._owner.expense,
        )
        return Turn(self, new, requests, streaming=streaming)

    # ------------------------------------------------------------------ saving

    def to_dict(self) -> dict[str, Any]:
        """Return the chat as a dict that JSON can hold, for `from_dict`.

        It has the messages, settings, usage and cost. Of the tools and the `response_type` it has the names only, and
        nothing of the client.

        Raises:
            ValidationError: A message or `extra` has something that JSON cannot hold.
        """
        settings = {"timeout": self._timeout, "silence_timeout": self._silence, "tool_choice": self._tool_choice}
        data = {
            "version": _VERSION,
            "model": self.model,
            "system_prompt": self.system_prompt,
            "messages": encode_messages(check_messages(self.messages)),
            "tools": [*self.tools.functions, *self.tools.others],
            "response_type": None if self.response_format is None else self.response_format.name,
            "max_rounds": self.max_rounds,
            "extra": self.extra,
            "usage": None if self._usage is None else self._usage.to_dict(),
            "cost": self._cost,
            **{name: value for name, value in {**self._settings, **settings}.items() if value is not None},
        }
        try:
            return json.loads(json.dumps(data))  # type: ignore[no-any-return]
        except (TypeError, ValueError) as error:
            raise invalid("messages", f"or extra cannot be written as JSON: {error}") from error

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        rw: ClientHandle,
        *,
        tools: Iterable[Any] | None = None,
        response_type: Any = None,
        retry: int | RetryPolicy | None = None,
        on_event: Callable[[ToolRun], object] | None = None,
    ) -> Self:
        """Restore a chat, perhaps in another process.

        Args:
            data: What `to_dict` returned.
            rw: The client, `Runware` or `AsyncRunware`.
            tools: The same functions as before: those that the chat calls by name, and others.
            response_type: The type of the answers, if the chat had one.
            retry: As for a new chat.
            on_event: As for a new chat.

        Raises:
            ValidationError: The data are no chat, or a tool or the `response_type` is missing.
        """
        if not isinstance(data, Mapping) or not {"version", "model", "messages"} <= data.keys():
            raise invalid("data", "must be what chat.to_dict() returned")
        if data["version"] != _VERSION:
            raise invalid("data", f"has version {data['version']!r}, which this release cannot read")
        given = {name: value for name, value in data.items() if name not in _OWN_KEYS}
        functions = list(tools or ())
        known = Tools.of(functions).functions
        names = [name for name in data.get("tools", ()) if isinstance(name, str)]
        if missing := [name for name in names if name not in known]:
            raise invalid("tools", f"must have the functions that the chat had; missing: {', '.join(missing)}")
        if data.get("response_type") is not None and response_type is None:
            raise invalid("response_type", f"must be given: the chat had {data['response_type']}")
        others = [one for one in data.get("tools", ()) if isinstance(one, Mapping)]
        try:
            chat = cls(
                rw._core,  # noqa: SLF001 - a chat is a handle on the client's core, as its forms are
                tools=[*functions, *others],
                response_type=response_type,
                retry=retry,
                on_event=on_event,
                **copy.deepcopy(given),
            )
        except TypeError as error:
            raise invalid("data", f"must be what chat.to_dict() returned: {error}") from error
        usage, cost = data.get("usage"), data.get("cost")
        chat.count(None if usage is None else Usage(raw=usage), cost)
        return chat


_OWN_KEYS = frozenset(("version", "tools", "response_type", "usage", "cost"))


class Chat(Conversation[T]):
    """A conversation with a model. Made by `rw.chat(...)`; for one thread at a time.

    It keeps the messages, lets the model call Python functions, and converts answers to a type. `messages` has only
    rounds that are complete: after an error, it is as it was before, except for tools that have run and for answers
    that have come.

    Attributes:
        model: The model's AIR, or its slug.
        system_prompt: Instructions that precede the conversation.
        messages: The conversation so far, a list of dicts in the API's form. It may be edited between answers.
        max_rounds: How many rounds of tool calls one answer may take.
        usage: Token usage of the whole chat; `None` if the server reports none.
        cost: Cost of the whole chat in US dollars; `None` if the server reports none.
    """

    def _check(self) -> None:
        super()._check()
        self.check_model()  # an `AsyncChat` does so before its first request, as it must not hold up the event loop

    def send(self, content: Content | None, *, images: Any = None, timeout: float | None = None) -> Answer[T]:
        """Send a message and wait for the answer. Tools that the model calls are run meanwhile.

        Args:
            content: The message: text, or a list of texts, media (`Path`, bytes, a binary file, a PIL image, a result
                of this package), and parts in the form of the API, dicts. `None` adds no message: the model goes on
                from the messages that are there.
            images: An image, or several, after the content. Here a `str` is a URL, a data URI or base64.
            timeout: Deadline in seconds for everything, tools included. `None` uses that of the chat.

        Raises:
            AnswerFormatError: The answer does not fit the `response_type`.
            ToolRoundsError: The model still calls tools after `max_rounds` rounds.
            ConnectionLostError: The answer was lost. It may be billed, and is not asked for again.
            RunwareError: Any other failure; see `runware.errors`.
        """
        warn_in_event_loop("await rw.aio.chat(...).send(...)")
        with ChatStream(self._owner, self._turn(content, images, timeout, streaming=False)) as stream:
            return stream.result()

    def stream(self, content: Content | None, *, images: Any = None, timeout: float | None = None) -> ChatStream[T]:
        """Send a message, and get the answer piece by piece.

        Args:
            content: The message, as for `send`.
            images: Images, as for `send`.
            timeout: Deadline in seconds, as for `send`.

        Returns:
            A context manager and iterator. Nothing is sent before its first piece is asked for. Leaving its `with`
                block early ends the connection at once; the message is then not kept.
        """
        warn_in_event_loop("async with rw.aio.chat(...).stream(...)")
        return ChatStream(self._owner, self._turn(content, images, timeout, streaming=True))


class ChatStream(Iterator[ChatPiece], Generic[T]):
    """An answer that is being streamed: an iterator of `ChatPiece`, and a context manager that ends it."""

    def __init__(self, owner: ChatOwner, turn: Turn[T]) -> None:
        self._driver: BlockingDriver[Answer[T]] = BlockingDriver(owner, turn)
        # For a stream that is dropped before its end. At exit, the client ends those in flight, and says so.
        weakref.finalize(self, self._driver.abort).atexit = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ChatPiece:
        piece = self._driver.next_piece()
        if piece is None:
            raise StopIteration
        return piece

    def text(self) -> Iterator[str]:
        """Iterate over the text only."""
        return (piece.text for piece in self if piece.text)

    def result(self) -> Answer[T]:
        """Read the rest, and return the answer.

        Raises:
            RunwareError: The chat failed, or the stream was closed before the answer was complete.
        """
        while self._driver.next_piece() is not None:
            pass
        return self._driver.result()

    def close(self) -> None:
        """End the stream and its connection at once; safe in any thread. Tools that run are not waited for."""
        self._driver.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncChat(Conversation[T]):
    """A conversation with a model, for asyncio. Made by `rw.aio.chat(...)` and `AsyncRunware.chat(...)`; see `Chat`.

    Tools that are `async` run as tasks of the event loop, the others in threads. Cancelling the task that waits for an
    answer ends the connection and the tasks at once.
    """

    async def send(self, content: Content | None, *, images: Any = None, timeout: float | None = None) -> Answer[T]:
        """Send a message and wait for the answer. Tools that the model calls are run meanwhile.

        Args:
            content: The message: text, or a list of texts, media, and parts in the form of the API; see `Chat.send`.
            images: An image, or several, after the content.
            timeout: Deadline in seconds for everything, tools included. `None` uses that of the chat.

        Raises:
            AnswerFormatError: The answer does not fit the `response_type`.
            ToolRoundsError: The model still calls tools after `max_rounds` rounds.
            ConnectionLostError: The answer was lost. It may be billed, and is not asked for again.
            RunwareError: Any other failure; see `runware.errors`.
        """
        turn = self._turn(content, images, timeout, streaming=False)
        async with AsyncChatStream(self._owner, turn) as stream:
            return await stream.result()

    def stream(
        self, content: Content | None, *, images: Any = None, timeout: float | None = None
    ) -> AsyncChatStream[T]:
        """Send a message, and get the answer piece by piece; see `Chat.stream`.

        Args:
            content: The message, as for `send`.
            images: Images, as for `send`.
            timeout: Deadline in seconds, as for `send`.

        Returns:
            An asynchronous context manager and iterator.
        """
        return AsyncChatStream(self._owner, self._turn(content, images, timeout, streaming=True))


class AsyncChatStream(AsyncIterator[ChatPiece], Generic[T]):
    """An answer that is being streamed: an asynchronous iterator of `ChatPiece`, and a context manager that ends it."""

    def __init__(self, owner: ChatOwner, turn: Turn[T]) -> None:
        self._driver: AsyncDriver[Answer[T]] = AsyncDriver(owner, turn)
        # For a stream that is dropped before its end. At exit, the client ends those in flight, and says so.
        weakref.finalize(self, self._driver.abort).atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatPiece:
        piece = await self._driver.next_piece()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def text(self) -> AsyncIterator[str]:
        """Iterate over the text only."""
        async for piece in self:
            if piece.text:
                yield piece.text

    async def result(self) -> Answer[T]:
        """Read the rest, and return the answer.

        Raises:
            RunwareError: The chat failed, or the stream was closed before the answer was complete.
        """
        while await self._driver.next_piece() is not None:
            pass
        return self._driver.result()

    async def close(self) -> None:
        """End the stream and its connection at once. Tasks of tools are cancelled; threads are not waited for."""
        await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
