"""A chat without I/O: its settings and messages, and the steps from a message to its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import attrs

from runware._support.logs import log_or_stderr
from runware.errors import AnswerFormatError, RunwareError, ToolRoundsError
from runware.media.inputs import holds_payload
from runware.results.text import Usage
from runware.text.answers import Answer
from runware.text.completions import TASK_TYPE, ChatPiece, Completion, added
from runware.text.messages import check_messages, encode_messages, open_calls
from runware.text.model_requests import ModelRequests
from runware.text.steps import AwaitTool, DeadlineError, Hand, Prepare, Prepared, StartTools, Step
from runware.text.tools import ToolRun

if TYPE_CHECKING:
    from runware.text.chat import Conversation

__all__ = ["Turn"]

log = logging.getLogger("runware.text")

T = TypeVar("T")

NOT_RUN = "Error: not run, because the limit of {} rounds of tool calls for one answer is reached."
INTERRUPTED = "Error: interrupted. Whether the call took effect is not known."
"""What the model is told of calls that were started, and whose end was not waited for."""


class Occupant(Protocol):
    """The driver of a turn, as the turn sees it."""

    @property
    def written(self) -> bool:
        """Whether the last request may have been written."""
        ...

    def over(self) -> bool:
        """Return whether the turn has ended."""
        ...


class Turn(Generic[T]):
    """One message to a model, up to its answer.

    Args:
        chat: The chat.
        new: The messages to add; none to let the model go on from those that are there.
        requests: The requests of this turn.
        streaming: Whether the answer is streamed.
    """

    def __init__(
        self, chat: Conversation[T], new: Sequence[Mapping[str, Any]], requests: ModelRequests, *, streaming: bool
    ) -> None:
        self._chat = chat
        self._new = new
        self._requests = requests
        self._streaming = streaming
        self._rounds = 0
        self._kept: int | None = None
        self.driver: Callable[[], Occupant | None] = lambda: None
        """Returns its driver, if that is still there."""
        self._calls: list[Mapping[str, Any]] = []
        self._started = False
        self._ended: dict[str, ToolRun] = {}
        self._runs: list[ToolRun] = []
        self._usage: Usage | None = None
        self._cost: float | None = None
        self._last: Completion | None = None

    @property
    def sent(self) -> bool:
        """Whether a request is under way, so that it may be billed."""
        return self._requests.sent

    def _written(self) -> bool:
        """Return whether the last request may have been written. Without a driver, that is not known."""
        driver = self.driver()
        return driver is None or driver.written

    def steps(self) -> Generator[Step, Any, Answer[T]]:
        """Yield the steps until the model has answered.

        Raises:
            RunwareError: It failed. `results` has the answer so far, if there is any.
        """
        chat = self._chat
        chat.occupy(self)
        self._kept = len(chat.messages)
        try:
            yield from self._begin()
            while True:
                completion = yield from self._asked()
                if not completion.tool_calls:
                    return self._finished(completion)
                yield from self._run_tools(completion.tool_calls)
        except RunwareError as error:
            self._settle()
            self._complete(error)
            raise
        finally:
            self._tidy()
            chat.release(self)

    def over(self) -> bool:
        """Return whether it has ended. What an interrupt cut short is done first."""
        driver = self.driver()
        if driver is not None and not driver.over():
            return False
        self._tidy()
        return True

    def _tidy(self) -> None:
        """Leave only whole rounds among the messages."""
        if self._kept is not None:
            self._settle()
            del self._chat.messages[self._kept :]  # what had no answer
            self._kept = None

    def _begin(self) -> Generator[Step, Any, None]:
        """Check and encode the messages, run the calls of tools that have no result yet, and add the new messages."""
        chat = self._chat
        messages = check_messages(chat.messages)
        waiting = open_calls(messages)
        if not (self._new or waiting) and (not messages or messages[-1]["role"] in ("assistant", "system")):
            raise chat.invalid("content", "is needed: there is no message for the model to answer")
        everything = [*messages, *self._new]
        blocks = any(holds_payload(getattr(part, "value", part)) for part in _parts(everything))
        if not chat.model_checked:
            yield Prepare(chat.check_model, chat.checking_blocks)
        encoded = yield Prepare(lambda: encode_messages(everything), blocks)
        chat.messages[:] = encoded[: len(messages)]
        if waiting:
            yield from self._run_tools(waiting)
        chat.messages += encoded[len(messages) :]

    def _asked(self) -> Generator[Step, Any, Completion]:
        chat = self._chat
        body = chat.body(first=not self._rounds)
        if self._streaming:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        request = {**body, **chat.extra}
        completion = self._last = yield from self._requests.ask(request, self._written)
        chat.longest_answer = request.get("max_tokens")
        self._usage = added(self._usage, completion.usage)
        self._cost = _sum(self._cost, completion.cost)
        chat.count(completion.usage, completion.cost)
        chat.messages.append(completion.message)
        if not completion.tool_calls:
            self._kept = len(chat.messages)
        return completion

    def _finished(self, completion: Completion) -> Answer[T]:
        answer = self._answer()
        response_format = self._chat.response_format
        if response_format is None:
            return answer
        try:
            parsed = response_format.parse(completion.text)
        except ValueError as problem:
            reason = completion.finish_reason
            cut = f" Generation ended early (finish_reason {reason!r})." if reason not in ("stop", None) else ""
            raise AnswerFormatError(
                f"The answer does not fit response_type {response_format.name}: {problem}.{cut} error.text has it.",
                text=completion.text,
                answer=answer,
                task_type=TASK_TYPE,
            ) from problem
        return attrs.evolve(answer, parsed=parsed)

    def _answer(self) -> Answer[Any]:
        """Return the answer so far."""
        last = self._last
        return Answer(
            text=self._requests.parts.text if last is None else last.text,
            reasoning="" if last is None else last.reasoning,
            finish_reason=None if last is None else last.finish_reason,
            tool_calls=tuple(self._runs),
            usage=self._usage,
            cost=self._cost,
            raw={} if last is None else last.raw,
        )

    def _complete(self, error: RunwareError) -> None:
        """Add to an error what has come."""
        if self._requests.sent:
            self._last = None
        answer = self._answer()
        if not error.results and (answer.text or answer.tool_calls):
            error.results = (answer,)

    # ------------------------------------------------------------------ tools

    def _run_tools(self, calls: Sequence[Mapping[str, Any]]) -> Generator[Step, Any, None]:
        chat = self._chat
        self._calls, self._ended, self._started = list(calls), {}, True
        runs = [ToolRun.of(call) for call in calls]
        if self._rounds >= chat.max_rounds:
            for run in runs:
                self._ended[run.id] = attrs.evolve(run, output=NOT_RUN.format(chat.max_rounds))
            self._settle()
            raise ToolRoundsError(
                f"The model still calls tools after {chat.max_rounds} rounds. Set a larger max_rounds, or call "
                "chat.send(None) to let it go on.",
                answer=self._answer(),
                task_type=TASK_TYPE,
            )
        self._rounds += 1
        known = _known_outputs(chat.messages)
        ready = []
        for run in runs:
            if (output := known.get((run.id, run.name, run.input_text))) is not None:
                yield from self._end(attrs.evolve(run, output=output))  # it has run before
                continue
            try:
                ready.append(Prepared(run, *chat.tools.prepare(run)))
            except (ValueError, RecursionError) as error:
                yield from self._end(run.failed(error))
        for one in ready:
            self._tell(one.run)
            yield Hand(ChatPiece(tool_call=one.run))
        yield StartTools(ready)
        for _ in ready:
            try:
                run = yield AwaitTool(self._requests.deadline)
            except DeadlineError:
                raise self._requests.timeout_error() from None
            yield from self._end(run)
        self._settle()

    def _end(self, run: ToolRun) -> Generator[Step, Any, None]:
        self._ended[run.id] = run
        self._tell(run)
        yield Hand(ChatPiece(tool_call=run))

    def _settle(self) -> None:
        """Add the results of the calls to the messages. From then on, the round stays whatever happens."""
        if not self._started:
            return
        self._started = False
        for call in self._calls:
            run = self._ended.get(call["id"])
            output = INTERRUPTED if run is None else run.output
            self._runs += [] if run is None else [run]
            self._chat.messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
        self._kept = len(self._chat.messages)

    def _tell(self, run: ToolRun) -> None:
        if self._chat.on_event is None:
            return
        try:
            self._chat.on_event(run)
        except Exception:  # the caller's function; it must not end the chat
            log_or_stderr(log, "on_event of a chat raised an exception", trace=True)


def _parts(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [
        part
        for message in messages
        if isinstance(content := message.get("content"), (list, tuple))
        for part in content
        if not isinstance(part, Mapping)
    ]


def _known_outputs(messages: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], Any]:
    """Return the results of earlier calls by id, name and arguments.

    Some providers number the calls of each answer anew, so the id alone does not tell that a call is the same.
    """
    known: dict[tuple[str, str, str], Any] = {}
    named: dict[str, tuple[str, str, str]] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            named[call["id"]] = (call["id"], call["function"]["name"], call["function"]["arguments"])
        key = named.get(message.get("tool_call_id", ""))
        if message["role"] == "tool" and key is not None:
            known[key] = message.get("content")
    return known


def _sum(one: float | None, other: float | None) -> float | None:
    return one if other is None else other if one is None else one + other
