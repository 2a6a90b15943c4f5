"""What a chat decides, with a made-up clock and without a network."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import attrs
import pytest

from runware.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    RateLimitError,
    RunwareError,
    ServerError,
    TaskTimeoutError,
    ToolRoundsError,
    ValidationError,
)
from runware.options import DEFAULT_URL, Options
from runware.protocol.redaction import Redactor
from runware.protocol.retry import Retries
from runware.text.chat import Conversation
from runware.text.exchange import BrokenConnectionError, DeadlineError, Read, Reply, Sleep
from runware.text.model_requests import ModelRequests
from runware.text.steps import AwaitTool, Hand, Open, Prepare, StartTools, Step
from runware.text.turns import Turn
from runware.transport.activity import Activity
from runware.transport.callbacks import EventFeed

OK = Reply(200, "application/json")
STREAM = Reply(200, "text/event-stream")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Owner:
    options = Options(api_key="rw-test-key", url=DEFAULT_URL)
    streams: Any = None
    closed = False
    started = True

    def check_thread(self) -> None: ...
    def check_model(self, name: str, task_type: str) -> None: ...


def requests(clock: Clock, *, timeout: float = 1000.0, retries: int = 2) -> ModelRequests:
    return ModelRequests(
        deadline=clock() + timeout,
        timeout=timeout,
        silence=60.0,
        retries=Retries.of(retries, 2, 1.0),
        redactor=Redactor(["rw-test-key"]),
        clock=clock,
        activity=Activity(EventFeed()),
        expense=lambda *_: None,
    )


def whole(content: str | None = "Hi", **more: Any) -> bytes:
    message = {"role": "assistant", "content": content, **more}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"cost": 0.25}}).encode()


def called(*calls: tuple[str, str, str]) -> bytes:
    made = [{"id": uuid, "function": {"name": name, "arguments": text}} for uuid, name, text in calls]
    return whole(None, tool_calls=made)


class Driver:
    """Sends outcomes to steps, and keeps what was asked for."""

    def __init__(self, steps: Generator[Step, Any, Any]) -> None:
        self.steps = steps
        self.step: Step = next(steps)
        self.result: Any = None
        self.pieces: list[Any] = []
        self._skip()

    def _skip(self) -> None:
        while isinstance(self.step, (Hand, Prepare)):
            if isinstance(self.step, Hand):
                self.pieces.append(self.step.piece)
                self.step = self.steps.send(None)
            else:
                self.step = self.steps.send(self.step.work())

    def send(self, outcome: Any = None) -> Step:
        try:
            self.step = self.steps.throw(outcome) if isinstance(outcome, Exception) else self.steps.send(outcome)
            self._skip()
        except StopIteration as end:
            self.result = end.value
        return self.step

    def answer(self, body: bytes, reply: Reply = OK) -> Step:
        assert isinstance(self.step, Open)
        self.send(reply)
        self.send(body)
        return self.send(b"") if isinstance(self.step, Read) and self.result is None else self.step


def ask(clock: Clock, **given: Any) -> tuple[Driver, ModelRequests]:
    made = requests(clock, **given)
    return Driver(made.ask({"model": "m", "messages": []})), made


# ---------------------------------------------------------------------- one request


def test_answer_that_is_no_stream_may_take_five_times_the_silence() -> None:
    driver, made = ask(Clock())
    assert driver.step == Open("/chat/completions", b'{"model":"m","messages":[]}', 400.0)
    assert made.sent
    assert driver.send(OK) == Read(160.0)
    driver.send(whole())
    driver.send(b"")
    assert driver.result.text == "Hi"
    assert driver.result.cost == 0.25
    assert not made.sent


def test_deadline_is_the_limit_of_every_step() -> None:
    driver, _ = ask(Clock(), timeout=30.0)
    assert isinstance(driver.step, Open)
    assert driver.step.until == 130.0
    assert driver.send(STREAM) == Read(130.0)


def test_request_is_not_begun_after_the_deadline() -> None:
    clock = Clock()
    made = requests(clock)
    clock.now += 1000.0  # the caller has kept a piece for that long
    with pytest.raises(TaskTimeoutError) as failure:
        next(made.ask({"model": "m", "messages": []}))
    assert not failure.value.may_have_run


def test_comments_do_not_count_as_pieces() -> None:
    clock = Clock()
    driver, _ = ask(clock)
    assert driver.send(STREAM) == Read(160.0)
    for at in (150.0, 200.0, 250.0):
        clock.now = at
        assert driver.send(b": ping\n\n") == Read(at + 60.0)
    clock.now = 390.0
    assert driver.send(b": ping\n\n") == Read(400.0)  # five times the silence since the last piece
    clock.now = 400.0
    with pytest.raises(ConnectionLostError, match="silence_timeout"):
        driver.send(DeadlineError())


def test_failed_connections_are_tried_again_until_the_deadline() -> None:
    clock = Clock()
    driver, made = ask(clock, retries=3)
    for _ in range(2):
        assert isinstance(driver.send(ConnectionFailedError("no")), Sleep)
        assert not made.sent
        assert isinstance(driver.send(), Open)
    clock.now = 1099.999
    with pytest.raises(ConnectionFailedError):
        driver.send(ConnectionFailedError("no"))
        driver.send()


def test_retry_after_is_the_least_pause_and_may_exceed_the_deadline() -> None:
    driver, _ = ask(Clock())
    assert driver.answer(b"{}", Reply(429, "application/json", 7.0)) == Sleep(7.0)
    assert isinstance(driver.send(), Open)
    with pytest.raises(RateLimitError):
        ask(Clock(), timeout=5.0)[0].answer(b"{}", Reply(429, "application/json", 7.0))


@pytest.mark.parametrize(
    ("status", "cls"), [(500, ServerError), (502, ServerError), (504, ServerError), (400, ValidationError)]
)
def test_other_refusals_are_not_repeated(status: int, cls: type[RunwareError]) -> None:
    with pytest.raises(cls) as failure:
        ask(Clock())[0].answer(b"oops", Reply(status, "text/plain"))
    assert failure.value.may_have_run is (status >= 500)


@pytest.mark.parametrize("where", ["open", "read", "stream"])
def test_broken_connections_are_not_repeated(where: str) -> None:
    driver, _ = ask(Clock())
    if where != "open":
        driver.send(OK if where == "read" else STREAM)
    with pytest.raises(ConnectionLostError, match="reset") as failure:
        driver.send(BrokenConnectionError("reset"))
    assert failure.value.may_have_run


def test_limit_of_the_model_is_asked_for_once() -> None:
    driver, _ = ask(Clock())
    refusal = json.dumps({"error": {"message": "max_tokens is too large", "param": "max_tokens"}}).encode()
    assert driver.answer(refusal, Reply(400, "application/json")) == Open("/models", None, 160.0)
    driver.answer(b'[{"id": "m", "max_output_tokens": 77}]')
    assert isinstance(driver.step, Open)
    assert json.loads(driver.step.body or b"")["max_tokens"] == 77
    with pytest.raises(ValidationError):
        driver.answer(refusal, Reply(400, "application/json"))


@pytest.mark.parametrize("outcome", [BrokenConnectionError("x"), ConnectionFailedError("x"), DeadlineError(), b"oops"])
def test_limit_that_cannot_be_learned_leaves_the_refusal(outcome: Any) -> None:
    driver, _ = ask(Clock())
    driver.answer(b'{"error": {"message": "max_tokens is too large"}}', Reply(400, "application/json"))
    with pytest.raises(ValidationError, match="max_tokens is too large"):
        driver.answer(outcome) if isinstance(outcome, bytes) else driver.send(outcome)


def test_end_of_a_finished_stream_may_be_missing() -> None:
    event = b'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'
    for end in (b"", BrokenConnectionError("reset"), DeadlineError(), b"data: [DONE]\n\n"):
        driver, _ = ask(Clock())
        driver.send(STREAM)
        driver.send(event)
        driver.send(end)
        assert driver.result.text == "Hi"


# ---------------------------------------------------------------------- turns


def add(one: int, two: int) -> int:
    """Add."""
    return one + two


def turn(clock: Clock, chat: Conversation[Any], *messages: dict[str, Any]) -> Driver:
    return Driver(Turn(chat, messages, requests(clock), streaming=False).steps())


def conversation(**given: Any) -> Conversation[Any]:
    return Conversation(Owner(), "m", tools=[add], **given)


USER = {"role": "user", "content": "?"}


def test_turn_runs_its_tools_and_sends_their_results() -> None:
    chat = conversation()
    driver = turn(Clock(), chat, USER)
    step = driver.answer(called(("1", "add", '{"one": 1, "two": 2}'), ("2", "add", '{"one": "x", "two": 2}')))
    assert isinstance(step, StartTools)
    assert [call.function() for call in step.calls] == [3]
    assert driver.send() == AwaitTool(1100.0)
    driver.send(step.calls[0].run.returned(3))
    driver.answer(whole("3"))
    assert [message["role"] for message in chat.messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [message.get("content") for message in chat.messages[2:4]] == [
        "3", 'Error: MisfitError: arguments.one must be an integer; got "x"',
    ]  # fmt: skip
    assert driver.result.cost == chat.cost == 0.5
    assert [run.id for run in driver.result.tool_calls] == ["1", "2"]


@pytest.mark.parametrize("rounds", [0, 1])
def test_turn_that_ends_early_keeps_whole_rounds(rounds: int) -> None:
    chat = conversation(messages=[USER, {"role": "assistant", "content": "!"}])
    before = list(chat.messages)
    driver = turn(Clock(), chat, USER)
    for at in range(rounds):
        step = driver.answer(called((str(at), "add", '{"one": 1, "two": 2}')))
        assert isinstance(step, StartTools)
        driver.send()
        driver.send(step.calls[0].run.returned(3))
    driver.steps.close()
    assert chat.messages[:2] == before
    assert [message["role"] for message in chat.messages[2:]] == ["user", "assistant", "tool"][: 3 * rounds]


def test_tool_that_was_not_waited_for() -> None:
    chat = conversation()
    driver = turn(Clock(), chat, USER)
    step = driver.answer(called(("1", "add", '{"one": 1, "two": 2}')))
    assert isinstance(step, StartTools)
    driver.send()
    with pytest.raises(TaskTimeoutError) as failure:
        driver.send(DeadlineError())
    assert not failure.value.may_be_running
    assert "interrupted" in chat.messages[-1]["content"]
    # The same call again is not run again.
    driver = turn(Clock(), chat)
    step = driver.answer(called(("1", "add", '{"one": 1, "two": 2}')))
    assert isinstance(step, StartTools)
    assert step.calls == []


def test_calls_of_the_last_round_are_answered_without_running() -> None:
    chat = conversation(max_rounds=0)
    driver = turn(Clock(), chat, USER)
    with pytest.raises(ToolRoundsError) as failure:
        driver.answer(called(("1", "add", "{}")))
    assert failure.value.results == (failure.value.answer,)
    assert "not run" in chat.messages[-1]["content"]


def test_answer_so_far_is_in_the_error() -> None:
    chat = conversation()
    driver = turn(Clock(), chat, USER)
    step = driver.answer(called(("1", "add", '{"one": 1, "two": 2}')))
    assert isinstance(step, StartTools)
    driver.send()
    driver.send(step.calls[0].run.returned(3))
    with pytest.raises(ConnectionLostError) as failure:
        driver.send(BrokenConnectionError("reset"))
    (answer,) = failure.value.results
    assert attrs.asdict(answer.tool_calls[0])["result"] == 3
    assert answer.cost == chat.cost == 0.25
    assert [message["role"] for message in chat.messages] == ["user", "assistant", "tool"]
