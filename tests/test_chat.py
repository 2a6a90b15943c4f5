"""Chats: history, tools, parsed answers, streams, and what goes wrong, in both forms."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import gc
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from runware import (
    AnswerFormatError,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    ContentModerationError,
    Image,
    InsufficientCreditsError,
    RateLimitError,
    RetryPolicy,
    Runware,
    RunwareError,
    TaskCancelledError,
    TaskError,
    TaskTimeoutError,
    Tool,
    ToolRoundsError,
    ToolRun,
    ValidationError,
    Video,
    tool,
)
from runware.local import LocalServer
from runware.text import Answer, Chat, model_requests
from runware.text.drivers import AsyncDriver, BlockingDriver

MODEL = "local-model"
GUARD = 20.0


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"7 degrees in {city}"


async def get_time(zone: str = "UTC") -> dict[str, str]:
    """Return the time."""
    await asyncio.sleep(0)
    return {"time": "12:00", "zone": zone}


def broken(what: str = "it") -> None:
    """Fail."""
    raise LookupError(f"{what} is lost")


@attrs.frozen
class Forecast:
    """A forecast."""

    city: str
    degrees: float


class Form:
    """One way to send a message, so that one test body serves both forms."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def chat(self, rw: Runware, **settings: Any) -> Any:
        settings.setdefault("model", MODEL)
        return rw.chat(**settings) if self.name == "blocking" else rw.aio.chat(**settings)

    def send(self, chat: Any, content: Any, **more: Any) -> Answer[Any]:
        if self.name == "blocking":
            return chat.send(content, **more)
        return asyncio.run(chat.send(content, **more))

    def stream(self, chat: Any, content: Any, **more: Any) -> tuple[list[Any], Answer[Any]]:
        if self.name == "blocking":
            with chat.stream(content, **more) as stream:
                return list(stream), stream.result()

        async def main() -> tuple[list[Any], Answer[Any]]:
            async with chat.stream(content, **more) as stream:
                return [piece async for piece in stream], await stream.result()

        return asyncio.run(main())


@pytest.fixture(params=[Form("blocking"), Form("asyncio")], ids=repr)
def form(request: pytest.FixtureRequest) -> Form:
    return request.param


def requests(server: LocalServer) -> list[dict[str, Any]]:
    """The bodies of the chat requests that the server got."""
    return server.ledger.tasks("chat")


# ---------------------------------------------------------------------- messages and settings


def test_history_grows_and_is_sent(form: Form, rw: Runware, server: LocalServer) -> None:
    chat = form.chat(rw, system_prompt="Be brief.")
    first = form.send(chat, "Hello")
    assert first.text == str(first) == "[Be brief.] You wrote “Hello”, ☃."
    assert first.finish_reason == "stop"
    form.send(chat, "Again")
    assert [message["role"] for message in chat.messages] == ["user", "assistant", "user", "assistant"]
    assert [message["role"] for message in requests(server)[1]["messages"]] == [
        "system",
        *["user", "assistant", "user"],
    ]
    assert requests(server)[1]["messages"][2] == {"role": "assistant", "content": first.text}


def test_messages_can_be_edited(rw: Runware, server: LocalServer) -> None:
    chat = rw.chat(MODEL, messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    chat.messages[1]["content"] = "c"
    chat.system_prompt = "Be kind."
    chat.send("d")
    assert [message["content"] for message in requests(server)[0]["messages"]] == ["Be kind.", "a", "c", "d"]
    del chat.messages[2:]
    chat.messages.append({"role": "user", "content": "e"})
    assert chat.send(None).text == "[Be kind.] You wrote “e”, ☃."


def test_settings_have_the_names_of_the_endpoint(rw: Runware, server: LocalServer) -> None:
    chat = rw.chat(
        "google:gemma@4-31b",
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop_sequences=["END"],
        thinking_level="low",
        seed=3,
        extra={"user": "me", "seed": 4},
    )
    answer = chat.send("Hello")
    (body,) = requests(server)
    assert {name: body[name] for name in body.keys() - {"messages", "taskType"}} == {
        "model": "google:gemma@4-31b", "max_tokens": 100, "temperature": 0.5, "top_p": 0.9, "top_k": 5,
        "stop": ["END"], "reasoning_effort": "low", "seed": 4, "user": "me",
    }  # fmt: skip
    assert answer.reasoning == "thinking with effort low"
    assert chat.messages[1] == {"role": "assistant", "content": answer.text}


def test_usage_and_cost_are_summed(form: Form, rw: Runware, server: LocalServer) -> None:
    chat = form.chat(rw, tools=[get_weather])
    assert (chat.usage, chat.cost) == (None, None)
    answers = [form.send(chat, 'x [call:get_weather {"city": "Oslo"}]'), form.stream(chat, "y")[1]]
    assert len(requests(server)) == 3
    assert (
        chat.cost == pytest.approx(sum(answer.cost or 0 for answer in answers)) == pytest.approx(server.ledger.billed)
    )
    assert chat.usage.total_tokens == sum(answer.usage.total_tokens for answer in answers)  # type: ignore[union-attr]
    assert chat.usage.cached_tokens > 0
    assert chat.usage.prompt_tokens + chat.usage.completion_tokens == chat.usage.total_tokens


def test_images_become_parts_of_the_message(
    form: Form, rw: Runware, server: LocalServer, tmp_path: pathlib.Path
) -> None:
    from PIL import Image

    drawn = Image.new("RGB", (2, 2))
    path = tmp_path / "a.png"
    drawn.save(path)
    made = rw.image_inference(positive_prompt="a boat", model="runware:101@1", width=512, height=512)[0]
    chat = form.chat(rw)
    answer = form.send(chat, "What?", images=[path, path.read_bytes(), drawn, made, "https://example.com/a.png"])
    assert "5 attachments" in answer.text
    parts = requests(server)[0]["messages"][0]["content"]
    assert parts[0] == {"type": "text", "text": "What?"}
    urls = [part["image_url"]["url"] for part in parts[1:]]
    assert [url.partition(",")[0] for url in urls[:3]] == ["data:image/png;base64"] * 3
    assert urls[3:] == [made.url, "https://example.com/a.png"]
    form.send(chat, ["before", drawn, {"type": "text", "text": "after"}])
    kinds = [part["type"] for part in requests(server)[1]["messages"][2]["content"]]
    assert kinds == ["text", "image_url", "text"]
    json.dumps(chat.messages)


def test_images_as_texts_and_results(rw: Runware, server: LocalServer) -> None:
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.new("RGB", (2, 2)).save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    uri = f"data:image/png;base64,{encoded}"
    given = [
        encoded,
        uri,
        Image(base64_data=encoded),
        Image(data_uri=uri),
        Image(url="https://x.y/z"),
    ]
    rw.chat(MODEL).send("What?", images=given)
    parts = requests(server)[0]["messages"][0]["content"][1:]
    assert [part["image_url"]["url"] for part in parts] == [uri] * 4 + ["https://x.y/z"]
    with pytest.raises(ValidationError, match="no video by URL"):
        rw.chat(MODEL).send(["What?", Video(url="https://x.y/z.mp4")])
    with pytest.raises(ValidationError, match="known format"):
        rw.chat(MODEL).send("What?", images="AAAA")


def test_other_media_have_their_own_parts(rw: Runware, server: LocalServer, tmp_path: pathlib.Path) -> None:
    document = tmp_path / "report.pdf"
    document.write_bytes(b"%PDF-1.4 ...")
    rw.chat(MODEL).send(["Read", document, b"RIFF\0\0\0\0WAVE...."])
    _, first, second = requests(server)[0]["messages"][0]["content"]
    assert first["type"] == "file"
    assert first["file"]["filename"] == "report.pdf"
    assert first["file"]["file_data"].startswith("data:application/pdf;base64,")
    assert second["type"] == "input_audio"
    assert second["input_audio"]["format"] == "wav"


def test_exceptions_of_user_code_are_not_wrapped(form: Form, rw: Runware) -> None:
    class Odd:
        def read(self, size: int = -1) -> bytes:
            raise ZeroDivisionError

    chat = form.chat(rw)
    with pytest.raises(ZeroDivisionError):
        form.send(chat, ["x", Odd()])
    assert chat.messages == []
    assert form.send(chat, "Hello").text


@pytest.mark.parametrize(
    ("given", "parameter", "words"),
    [
        ({"content": ""}, "content", "empty"),
        ({"content": []}, "content", "empty"),
        ({"content": 5}, "content", "must be a str"),
        ({"content": None}, "content", "no message"),
        ({"content": "x", "images": pathlib.Path("/does/not/exist.png")}, "images", "cannot be read"),
        ({"content": "x", "images": "picture.png"}, "images", "Pass Path"),
        ({"content": "x", "images": "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"}, "images", "UUIDs"),
        ({"content": "x", "images": b"%PDF-1.4"}, "images", "must be images"),
        ({"content": ["x", b"?"]}, "content", "octet-stream"),
        ({"content": ["x", object()]}, "content", "object is neither media nor JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_messages_that_cannot_be_sent(
    form: Form, rw: Runware, server: LocalServer, given: dict[str, Any], parameter: str, words: str
) -> None:
    chat = form.chat(rw)
    with pytest.raises(ValidationError, match=words) as failure:
        form.send(chat, given["content"], images=given.get("images"))
    assert failure.value.parameter == parameter
    assert chat.messages == []
    assert requests(server) == []


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"system_prompt": 5}, "system_prompt"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"seed": True}, "seed"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"max_rounds": -1}, "max_rounds"),
        ({"tool_choice": "get_weather"}, "tool_choice"),
        ({"timeout": 0}, "timeout"),
        ({"silence_timeout": "x"}, "silence_timeout"),
        ({"retry": -1}, "retry"),
        ({"on_event": 5}, "on_event"),
        ({"extra": {"messages": []}}, "extra"),
        ({"extra": [1]}, "extra"),
        ({"messages": "x"}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages"),
    ],
    ids=str,
)
def test_bad_settings_are_refused_at_once(rw: Runware, given: dict[str, Any], parameter: str) -> None:
    with pytest.raises((ValidationError, ConfigurationError)) as failure:
        rw.chat(**{"model": MODEL, **given})
    assert failure.value.parameter == parameter


@pytest.mark.parametrize("model", ["runware:101@1", "bfl-flux-1-dev"])
def test_model_that_makes_images_is_refused_before_anything_is_sent(
    form: Form, server: LocalServer, model: str
) -> None:
    with Runware(server.api_key, url=server.url, check="error") as rw, pytest.raises(ValidationError) as caught:
        form.send(form.chat(rw, model=model), "Hello")
    assert caught.value.message == (
        "model runware:101@1 (FLUX.1 [dev]) makes images, not text. Use rw.image_inference(...), or a model of "
        "rw.models.list(category='text')."
    )
    assert (caught.value.parameter, caught.value.task_type) == ("model", "chat")
    assert requests(server) == []


def test_blocking_chat_with_a_model_that_makes_images_is_not_made(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as rw, pytest.raises(ValidationError):
        rw.with_options(check="error").chat("runware:101@1")


def test_model_that_was_replaced_is_checked_again(form: Form, server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url, check="error") as rw:
        chat = form.chat(rw, model="google:gemma@4-31b")
        form.send(chat, "Hello")
        chat.model = "runware:101@1"
        with pytest.raises(ValidationError):
            form.send(chat, "Again")
        assert len(chat.messages) == 2
        chat.model = MODEL
        assert form.send(chat, "Again").text
    assert [one["model"] for one in requests(server)] == ["google:gemma@4-31b", MODEL]


@pytest.mark.parametrize(("check", "logged"), [("warn", [True]), ("off", [])])
def test_model_that_makes_images_is_asked_unless_checks_are_errors(
    form: Form, server: LocalServer, caplog: pytest.LogCaptureFixture, check: Any, logged: list[bool]
) -> None:
    with Runware(server.api_key, url=server.url, check=check) as rw:
        chat = form.chat(rw, model="runware:101@1")
        assert [form.send(chat, content).text != "" for content in ("Hello", "Again")] == [True, True]
    assert ["makes images, not text" in line for line in caplog.messages] == logged
    assert len(requests(server)) == 2


def test_dry_run_is_refused(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url, dry_run=True) as client, pytest.raises(ConfigurationError):
        client.chat(MODEL)


def test_extra_that_json_cannot_hold_is_refused(rw: Runware, server: LocalServer) -> None:
    chat = rw.chat(MODEL, extra={"x": object()})
    with pytest.raises(ValidationError):
        chat.send("Hello")
    assert chat.messages == []


@pytest.mark.parametrize(
    "settings",
    [{"temperature": float("nan")}, {"top_p": float("inf")}, {"extra": {"a": [{"b": float("-inf")}]}}],
    ids=str,
)
def test_numbers_that_json_does_not_have_are_refused_also_with_orjson(
    rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(model_requests, "dumps", lambda body: json.dumps(body).replace("NaN", "null").encode())
    with pytest.raises(ValidationError, match="NaN and infinities"):
        rw.chat(MODEL, **settings).send("Hello")
    assert requests(server) == []


# ---------------------------------------------------------------------- tools


PROMPT = 'x [call:get_weather {"city": "Oslo"}] [call:get_time {}] [call:broken {"what": "a key"}]'


def test_plain_async_and_raising_tools(form: Form, rw: Runware, server: LocalServer) -> None:
    events: list[ToolRun] = []
    chat = form.chat(rw, tools=[get_weather, get_time, broken], on_event=events.append)
    answer = form.send(chat, PROMPT)
    assert answer.text == (
        'The tools say: 7 degrees in Oslo; {"time": "12:00", "zone": "UTC"}; Error: LookupError: a key is lost'
    )
    weather, clock, lost = answer.tool_calls
    assert (weather.name, weather.input, weather.result, weather.error) == (
        "get_weather", {"city": "Oslo"}, "7 degrees in Oslo", None,
    )  # fmt: skip
    assert clock.result == {"time": "12:00", "zone": "UTC"}
    assert isinstance(lost.error, LookupError)
    assert [run.done for run in events] == [False] * 3 + [True] * 3
    assert {run.name for run in events[3:]} == {"get_weather", "get_time", "broken"}
    roles = [message["role"] for message in chat.messages]
    assert roles == ["user", "assistant", "tool", "tool", "tool", "assistant"]
    assert [message["tool_call_id"] for message in chat.messages[2:5]] == [run.id for run in answer.tool_calls]


def test_parallel_calls_run_in_parallel(form: Form, rw: Runware) -> None:
    """Each waits for the others: two threads and two tasks."""
    barrier = threading.Barrier(2, timeout=GUARD)
    gates: list[Any] = []

    def meet(name: str) -> str:
        barrier.wait()
        return name

    async def meet_async(name: str) -> str:
        if not gates:
            gates.append(asyncio.Event())
            await asyncio.wait_for(gates[0].wait(), GUARD)
        else:
            gates[0].set()
        return name

    marks = " ".join(f'[call:{kind} {{"name": "{name}"}}]' for name in "ab" for kind in ("meet", "meet_async"))
    answer = form.send(form.chat(rw, tools=[meet, meet_async]), marks)
    assert [run.result for run in answer.tool_calls] == ["a", "a", "b", "b"]


def test_tools_see_the_callers_context(form: Form, rw: Runware) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    def plain() -> str:
        return variable.get()

    async def not_plain() -> str:
        return variable.get()

    chat = form.chat(rw, tools=[plain, not_plain])
    variable.set("the caller's")
    answer = form.send(chat, "[call:plain {}] [call:not_plain {}]")
    assert [run.result for run in answer.tool_calls] == ["the caller's"] * 2


def test_tools_run_in_several_rounds(form: Form, rw: Runware, server: LocalServer) -> None:
    chat = form.chat(rw, tools=[get_weather, get_time])
    answer = form.send(chat, '[call:get_weather {"city": "Oslo"}] [then] [call:get_time {"zone": "CET"}]')
    assert [run.name for run in answer.tool_calls] == ["get_weather", "get_time"]
    assert len(requests(server)) == 3


def test_exceeding_max_rounds_raises(form: Form, rw: Runware, server: LocalServer) -> None:
    ran: list[int] = []

    def count() -> int:
        ran.append(1)
        return len(ran)

    chat = form.chat(rw, tools=[count], max_rounds=3)
    with pytest.raises(ToolRoundsError, match="max_rounds") as failure:
        form.send(chat, "[loop:count {}]")
    assert len(ran) == 3
    assert len(failure.value.answer.tool_calls) == 4
    assert failure.value.answer.cost == pytest.approx(server.ledger.billed)
    assert "not run" in chat.messages[-1]["content"]
    with pytest.raises(ToolRoundsError):
        form.send(chat, None)
    assert len(ran) == 6
    assert form.send(chat, "enough").text == "You wrote “enough”, ☃."


def test_no_rounds_runs_no_tool(rw: Runware) -> None:
    def never() -> None:
        raise AssertionError

    with pytest.raises(ToolRoundsError):
        rw.chat(MODEL, tools=[never], max_rounds=0).send("[call:never {}]")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("[call:nobody {}]", "There is no tool 'nobody'. The tools are: get_weather."),
        ("[call:get_weather nonsense]", "not a JSON object"),
        ("[call:get_weather [1]]", "not a JSON object"),
        ("[call:get_weather {}]", "must be an object with 'city'"),
        ('[call:get_weather {"city": 5}]', "arguments.city must be a string; got 5"),
        ('[call:get_weather {"city": "x", "zip": 1}]', "zip must be left out; the parameters are city"),
    ],
)
def test_mistakes_of_the_model_go_back_to_it(form: Form, rw: Runware, call: str, words: str) -> None:
    answer = form.send(form.chat(rw, tools=[get_weather]), call)
    (run,) = answer.tool_calls
    assert words in answer.text
    assert words in str(run.error)
    assert isinstance(run.error, ValueError)


def test_same_call_id_runs_once(form: Form, rw: Runware, server: LocalServer) -> None:
    ran: list[str] = []

    def note(word: str) -> str:
        ran.append(word)
        return word

    chat = form.chat(rw, tools=[note])
    # The same call twice in one answer, and again in the next one.
    prompt = '[same-id] [call:note {"word": "a"}] [call:note {"word": "a"}] [call:note {"word": "b"}]'
    form.send(chat, prompt)
    assert sorted(ran) == ["a", "b"]
    ids = [call["id"] for call in chat.messages[1]["tool_calls"]]
    assert len(set(ids)) == 2
    first = chat.messages[1]["tool_calls"][0]
    chat.messages += [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [first]}]
    answer = form.send(chat, None)
    assert sorted(ran) == ["a", "b"]
    assert answer.tool_calls[0].output == "a"


def test_calls_without_a_result_are_run_when_a_chat_goes_on(form: Form, rw: Runware) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    history = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    chat = form.chat(rw, tools=[get_weather], messages=history)
    assert form.send(chat, None).text == "The tools say: 7 degrees in Rome"
    chat = form.chat(rw, tools=[get_weather], messages=history)
    assert form.send(chat, "and?").text == "You wrote “and?”, ☃."
    assert [message["role"] for message in chat.messages] == ["user", "assistant", "tool", "user", "assistant"]


def test_tool_without_parameters_has_some_for_the_endpoint(form: Form, rw: Runware, server: LocalServer) -> None:
    """The endpoint refuses an object without properties."""
    called: list[bool] = []

    def ping() -> str:
        called.append(True)
        return "pong"

    answer = form.send(form.chat(rw, tools=[ping]), '[call:ping {"unused": ""}]')
    assert answer.text == "The tools say: pong"
    assert called == [True]
    assert requests(server)[0]["tools"][0]["function"]["parameters"]["properties"]


def test_tool_choice_applies_to_the_first_request(form: Form, rw: Runware, server: LocalServer) -> None:
    chat = form.chat(rw, tools=[get_weather, get_time], tool_choice="get_weather")
    assert form.send(chat, "x").tool_calls[0].input == {"city": "local"}
    first, second = requests(server)
    assert first["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    assert "tool_choice" not in second
    assert form.send(form.chat(rw, tools=[get_weather], tool_choice="none"), PROMPT).tool_calls == ()


def test_tools_of_the_server_are_sent_as_they_are(rw: Runware, server: LocalServer) -> None:
    rw.chat(MODEL, tools=[{"type": "search"}, get_weather]).send("x")
    assert requests(server)[0]["tools"][1] == {"type": "search"}


def test_results_of_tools_become_text(rw: Runware, server: LocalServer) -> None:
    def forecast() -> list[Forecast]:
        return [Forecast("Oslo", 7.5)]

    def nothing() -> None:
        return None

    def circle() -> list[Any]:
        made: list[Any] = []
        made.append(made)
        return made

    def draw() -> Any:
        return rw.image_inference(positive_prompt="a boat", model="runware:101@1", width=512, height=512)

    answer = rw.chat(MODEL, tools=[forecast, nothing, circle, draw]).send(
        "[call:forecast {}] [call:nothing {}] [call:circle {}] [call:draw {}]"
    )
    outputs = [run.output or "" for run in answer.tool_calls]
    assert outputs[0] == '[{"city": "Oslo", "degrees": 7.5}]'
    assert outputs[1] == "null"
    assert outputs[2].startswith("Error: ValueError")
    assert "imageURL" in outputs[3]


def test_system_exit_and_cancellation_of_a_tool_are_its_errors(form: Form, rw: Runware) -> None:
    def leave() -> None:
        raise SystemExit(3)

    async def leave_async() -> None:
        raise SystemExit(3)

    async def give_up() -> None:
        raise asyncio.CancelledError

    chat = form.chat(rw, tools=[leave, leave_async, give_up])
    answer = form.send(chat, "[call:leave {}] [call:leave_async {}] [call:give_up {}]")
    assert [type(run.error) for run in answer.tool_calls] == [SystemExit, SystemExit, asyncio.CancelledError]


def test_arguments_that_a_type_refuses_go_back_to_the_model(form: Form, rw: Runware) -> None:
    def wait(seconds: float) -> str:
        """Wait."""
        return "waited"

    answer = form.send(form.chat(rw, tools=[wait]), f'[call:wait {{"seconds": 1{"0" * 400}}}]')
    assert "arguments.seconds must be a finite number" in str(answer.tool_calls[0].error)


def test_interrupt_that_an_async_tool_raises_is_its_error(rw: Runware) -> None:
    """It ends the event loop of the tools, on another thread than the one that Ctrl-C would reach."""

    async def interrupt() -> None:
        raise KeyboardInterrupt

    chat = rw.chat(MODEL, tools=[interrupt, get_weather], timeout=GUARD)
    answer = chat.send('[call:interrupt {}] [call:get_weather {"city": "Oslo"}]')
    assert [type(run.error) for run in answer.tool_calls] == [KeyboardInterrupt, type(None)]


def test_tool_whose_result_or_error_has_no_text_ends(form: Form, rw: Runware) -> None:
    """Neither may end the thread of the tool, for whose result the chat would wait until its deadline."""

    @attrs.define
    class Half:
        missing: int = attrs.field(init=False)

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    class Panic(BaseException):
        """As of an extension module written in Rust."""

    def half() -> object:
        return Half()

    def mute() -> object:
        return Mute()

    def fail() -> None:
        raise MuteError

    def panic() -> None:
        raise Panic("lost")

    async def fail_async() -> None:
        raise MuteError

    async def panic_async() -> None:
        raise Panic("lost")

    tools = [half, mute, fail, panic, fail_async, panic_async]
    chat = form.chat(rw, tools=tools, timeout=GUARD)
    answer = form.send(chat, " ".join(f"[call:{one.__name__} {{}}]" for one in tools))
    kinds = [type(run.error) for run in answer.tool_calls]
    assert kinds == [AttributeError, RuntimeError, MuteError, Panic, MuteError, Panic]
    assert [run.output for run in answer.tool_calls][2:4] == ["Error: MuteError", "Error: Panic: lost"]


def test_event_loop_that_cannot_start_is_the_error_of_its_tools(rw: Runware, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("asyncio.events.new_event_loop", fail)
    chat = rw.chat(MODEL, tools=[get_weather, get_time], timeout=GUARD)
    answer = chat.send('[call:get_weather {"city": "Oslo"}] [call:get_time {}]')
    assert [type(run.error) for run in answer.tool_calls] == [type(None), OSError]


def test_on_event_that_raises_disturbs_nothing(form: Form, rw: Runware, caplog: pytest.LogCaptureFixture) -> None:
    def on_event(run: ToolRun) -> None:
        raise RuntimeError("mine")

    chat = form.chat(rw, tools=[get_weather], on_event=on_event)
    assert form.send(chat, '[call:get_weather {"city": "Oslo"}]').text == "The tools say: 7 degrees in Oslo"
    assert "on_event" in caplog.text


def test_a_tool_may_use_the_client_and_the_chat_is_busy(rw: Runware) -> None:
    chats: list[Chat[Any]] = []

    def ask_other() -> str:
        return rw.chat(MODEL).send("inner").text

    def ask_same() -> str:
        return chats[0].send("again").text

    chats.append(rw.chat(MODEL, tools=[ask_other, ask_same]))
    answer = chats[0].send("[call:ask_other {}] [call:ask_same {}]")
    other, same = answer.tool_calls
    assert other.result == "You wrote “inner”, ☃."
    assert isinstance(same.error, RunwareError)
    assert "waiting for an answer already" in str(same.error)


# ---------------------------------------------------------------------- parsed answers


def test_answers_are_parsed(form: Form, rw: Runware, server: LocalServer) -> None:
    chat = form.chat(rw, response_type=Forecast, tools=[get_weather])
    answer = form.send(chat, '[call:get_weather {"city": "x"}] [answer {"city": "Oslo", "degrees": 3}]')
    assert answer.parsed == Forecast("Oslo", 3.0)
    sent = requests(server)[0]["response_format"]
    assert sent["json_schema"]["name"] == "Forecast"
    assert sent["json_schema"]["strict"] is True
    assert sent["json_schema"]["schema"]["required"] == ["city", "degrees"]
    assert form.send(chat, "anything").parsed == Forecast("local", 7.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "not JSON"),
        ('{"city": "Oslo"}', "with 'degrees'"),
        ('{"city": "Oslo", "degrees": "hot"}', "answer.degrees must be a number"),
        ("[" * 100_000, "nested too deeply|not JSON"),
    ],
    ids=["text", "missing", "type", "deep"],
)
def test_answer_that_does_not_fit(form: Form, rw: Runware, server: LocalServer, text: str, words: str) -> None:
    chat = form.chat(rw, response_type=Forecast)
    with pytest.raises(AnswerFormatError, match=words) as failure:
        form.send(chat, f"[answer {text}]")
    error = failure.value
    assert error.text == error.answer.text == text
    assert error.answer.parsed is None
    assert error.answer.cost == chat.cost == pytest.approx(server.ledger.billed)
    assert chat.messages[-1] == {"role": "assistant", "content": text}
    assert chat.usage is not None


def test_answer_in_a_code_fence_is_parsed(rw: Runware) -> None:
    chat = rw.chat(MODEL, response_type=list[int])
    assert chat.send("[answer ```json\n[1, 2]\n```]").parsed == [1, 2]
    assert chat.send('[answer {"value": [3]}]').parsed == [3]


def test_response_type_that_cannot_be_described(rw: Runware) -> None:
    with pytest.raises(ValidationError, match="complex has no JSON schema") as failure:
        rw.chat(MODEL, response_type=complex)
    assert failure.value.parameter == "response_type"


# ---------------------------------------------------------------------- streams


def test_streamed_answer_arrives_in_pieces(form: Form, rw: Runware, server: LocalServer) -> None:
    chat = form.chat(rw, system_prompt="Be brief.", thinking_level="high")
    pieces, answer = form.stream(chat, "Hello")
    assert "".join(piece.text for piece in pieces) == answer.text == "[Be brief.] You wrote “Hello”, ☃."
    assert len([piece for piece in pieces if piece.text]) > 1
    assert "".join(piece.reasoning for piece in pieces) == answer.reasoning == "thinking with effort high"
    assert answer.cost == pytest.approx(server.ledger.billed)
    assert requests(server)[0]["stream_options"] == {"include_usage": True}
    assert chat.messages[-1]["content"] == answer.text


def test_stream_with_tools_in_fragments(form: Form, rw: Runware) -> None:
    chat = form.chat(rw, tools=[get_weather, get_time, broken])
    pieces, answer = form.stream(chat, PROMPT)
    runs = [piece.tool_call for piece in pieces if piece.tool_call is not None]
    assert [run.done for run in runs] == [False] * 3 + [True] * 3
    assert answer.tool_calls[0].input == {"city": "Oslo"}
    assert "".join(piece.text for piece in pieces) == answer.text
    assert chat.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Oslo"}'
    assert set(chat.messages[1]["tool_calls"][0]) == {"id", "type", "function"}


def test_stream_of_a_parsed_answer(form: Form, rw: Runware) -> None:
    _, answer = form.stream(form.chat(rw, response_type=Forecast), "x")
    assert answer.parsed == Forecast("local", 7.5)


def test_text_method_of_a_stream_yields_its_text(rw: Runware) -> None:
    with rw.chat(MODEL).stream("Hello") as stream:
        assert "".join(stream.text()) == stream.result().text

    async def main() -> None:
        async with rw.aio.chat(MODEL).stream("Hello") as stream:
            assert "".join([text async for text in stream.text()]) == (await stream.result()).text

    asyncio.run(main())


def test_nothing_is_sent_before_the_first_piece(rw: Runware, server: LocalServer) -> None:
    chat = rw.chat(MODEL)
    stream = chat.stream("Hello")
    assert requests(server) == []
    stream.close()
    with pytest.raises(TaskCancelledError):
        next(stream)
    assert chat.messages == []
    assert chat.send("Hello").text


@pytest.mark.parametrize("shape", ["split", "crlf", "joined", "no-space", "no-newline", "no-done"])
def test_stream_is_read_in_every_form_the_server_may_use(
    form: Form, rw: Runware, server: LocalServer, shape: str
) -> None:
    """An answer whose end has come is whole, also without `[DONE]`."""
    with server.play("X21", form=shape):
        pieces, answer = form.stream(form.chat(rw), "Grüße ☃☃")
    assert answer.text == "You wrote “Grüße ☃☃”, ☃." == "".join(piece.text for piece in pieces)


@pytest.mark.parametrize("shape", ["cut", "fin", "torn", "torn-fin", "garbage"])
def test_broken_stream_raises_with_the_text_so_far_and_is_not_repeated(
    form: Form, rw: Runware, server: LocalServer, shape: str
) -> None:
    chat = form.chat(rw)
    with server.play("X21", form=shape, after=3), pytest.raises(ConnectionLostError) as failure:
        form.stream(chat, "Hello")
    error = failure.value
    assert error.may_have_run
    assert not error.retryable
    assert error.results[0].text.startswith("You wrote")
    assert chat.messages == []
    assert len(requests(server)) == 1, "a request whose answer was lost was sent again"
    assert form.send(chat, "Hello").text == "You wrote “Hello”, ☃."


def test_stream_that_ends_without_an_answer_raises(form: Form, rw: Runware, server: LocalServer) -> None:
    with server.play("X21", form="garbage", after=0) as fault, pytest.raises(ConnectionLostError):
        form.stream(form.chat(rw), "Hello")
    assert fault.played == 1


@pytest.mark.parametrize("shape", ["error", "error-singular"])
def test_error_inside_a_stream_is_raised_with_the_text_so_far(
    form: Form, rw: Runware, server: LocalServer, shape: str
) -> None:
    chat = form.chat(rw)
    with server.play("X21", form=shape, after=3), pytest.raises(TaskError, match="provider stopped") as failure:
        form.stream(chat, "Hello")
    assert failure.value.code == "timeoutProvider"
    assert failure.value.may_have_run
    assert failure.value.results[0].text.startswith("You wrote")
    assert len(requests(server)) == 1


@pytest.mark.parametrize("shape", ["silence", "pings"])
def test_silent_stream_ends_after_the_silence_timeout(form: Form, rw: Runware, server: LocalServer, shape: str) -> None:
    chat = form.chat(rw, silence_timeout=0.5)
    with server.play("X21", form=shape, after=3), pytest.raises(ConnectionLostError, match="silent") as failure:
        form.stream(chat, "Hello")
    assert failure.value.may_have_run
    server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 1)


def test_pings_do_not_extend_the_deadline_of_a_stream(form: Form, rw: Runware, server: LocalServer) -> None:
    chat = form.chat(rw)
    with server.play("X21", form="pings", after=3), pytest.raises(TaskTimeoutError) as failure:
        form.stream(chat, "Hello", timeout=2.0)
    assert failure.value.may_be_running
    assert failure.value.results[0].text
    server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 1)


def test_leaving_a_stream_ends_the_connection(rw: Runware, server: LocalServer) -> None:
    chat = rw.chat(MODEL)
    with server.play("X21", form="silence", after=3), chat.stream("Hello") as stream:
        assert next(stream).text
    server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 1)
    assert chat.messages == []
    with pytest.raises(TaskCancelledError) as failure:
        stream.result()
    assert failure.value.may_have_run
    assert chat.send("Hello").text


def test_leaving_an_async_stream_ends_the_connection(rw: Runware, server: LocalServer) -> None:
    async def main() -> None:
        chat = rw.aio.chat(MODEL)
        with server.play("X21", form="silence", after=3):
            async with chat.stream("Hello") as stream:
                assert (await anext(stream)).text
        await asyncio.to_thread(server.ledger.wait_for, lambda ledger: ledger.streams_dropped == 1)
        assert chat.messages == []
        assert (await chat.send("Hello")).text

    asyncio.run(main())


# ---------------------------------------------------------------------- errors and retries


@pytest.mark.parametrize("shape", ["errors", "error", "openai", "provider"])
@pytest.mark.parametrize(
    ("mark", "cls"),
    [("[rate-limit]", RateLimitError), ("[unsafe]", TaskError), ("[overloaded]", TaskError), ("[timeout]", TaskError)],
)
def test_server_error_in_every_form_raises_its_class(
    form: Form, rw: Runware, server: LocalServer, shape: str, mark: str, cls: type[Exception]
) -> None:
    server.switch(p8=shape)
    chat = form.chat(rw, retry=0)
    with pytest.raises(cls) as failure:
        form.send(chat, f"x {mark}")
    if shape != "provider" and mark == "[unsafe]":
        assert isinstance(failure.value, ContentModerationError)
    assert failure.value.may_have_run is (mark == "[timeout]")  # type: ignore[attr-defined]
    assert chat.messages == []


def test_wrong_key_and_missing_credits(form: Form, rw: Runware, server: LocalServer) -> None:
    chat = form.chat(rw)
    server.balance = 0
    with pytest.raises(InsufficientCreditsError):
        form.send(chat, "x")
    server.revoke_key()
    with pytest.raises(AuthenticationError):
        form.send(chat, "x")


def test_rate_limit_is_retried(form: Form, rw: Runware, server: LocalServer) -> None:
    assert form.send(form.chat(rw), "x [rate-limit:2]").text == "You wrote “x [rate-limit:2]”, ☃."
    assert form.stream(form.chat(rw), "y [overloaded:1]")[1].text == "You wrote “y [overloaded:1]”, ☃."
    assert server.ledger.executed == 2
    with pytest.raises(RateLimitError):
        form.send(form.chat(rw), "z [rate-limit:3]")
    assert len([body for body in requests(server) if body["messages"][0]["content"].startswith("z")]) == 3


def test_lost_answer_is_not_bought_again(form: Form, rw: Runware, server: LocalServer) -> None:
    chat = form.chat(rw)
    with server.play("X20"), pytest.raises(ConnectionLostError) as failure:
        form.send(chat, "Hello")
    assert failure.value.may_have_run
    assert len(requests(server)) == server.ledger.executed == 1
    assert chat.messages == []


@pytest.mark.parametrize("status", [500, 502, 504])
def test_gateway_errors_may_have_run_and_are_not_repeated(
    form: Form, rw: Runware, server: LocalServer, status: int
) -> None:
    with server.play("X20", status=status), pytest.raises(TaskError) as failure:
        form.send(form.chat(rw), "Hello")
    assert failure.value.may_have_run
    assert server.ledger.executed == 1


def test_unavailable_server_is_tried_again(form: Form, rw: Runware, server: LocalServer) -> None:
    with server.play("X20", status=503, run=False, body="error") as fault:
        assert form.send(form.chat(rw), "Hello").text
    assert fault.played == 1
    assert server.ledger.executed == 1


def test_503_of_a_gateway_is_not_repeated_since_the_model_may_have_run(
    form: Form, rw: Runware, server: LocalServer
) -> None:
    with server.play("X20", status=503, body="text"), pytest.raises(TaskError) as failure:
        form.send(form.chat(rw), "Hello")
    assert failure.value.may_have_run
    assert server.ledger.executed == 1


def test_answers_that_come_late_or_never(form: Form, rw: Runware, server: LocalServer) -> None:
    with server.play("X20", how="late", delay=0.05):
        assert form.send(form.chat(rw), "Hello").text
    with server.play("X20", how="never"), pytest.raises(TaskTimeoutError) as failure:
        form.send(form.chat(rw), "Hello", timeout=2.0)
    assert failure.value.may_have_run
    assert server.ledger.executed == 2


@pytest.mark.parametrize("body", ["text", "error", "empty"])
def test_retry_after_as_a_date(form: Form, rw: Runware, server: LocalServer, body: str) -> None:
    with server.play("X20", status=429, run=False, retry_after=0, date=True, body=body) as fault:
        assert form.send(form.chat(rw), "Hello").text
    assert fault.played == 1
    with server.play("X20", status=503, run=False, retry_after=30, body="error"), pytest.raises(TaskError):
        form.send(form.chat(rw), "Hello", timeout=5.0)
    assert server.ledger.executed == 1


def test_refused_connections_are_retried_and_cost_nothing(form: Form, rw: Runware, server: LocalServer) -> None:
    chat = form.chat(rw, retry=1)
    server.stop()
    with pytest.raises(ConnectionFailedError, match="Nothing was sent") as failure:
        form.send(chat, "Hello")
    assert not failure.value.may_have_run
    assert failure.value.stage == "TCP"


def test_default_length_that_is_too_long_is_replaced(form: Form, rw: Runware, server: LocalServer) -> None:
    server.switch(default_max_tokens="exceeds")
    for shape in ("array", "data"):
        server.switch(p21=shape)
        chat = form.chat(rw, model="google:gemma@4-31b")
        assert form.send(chat, "Hello").text == form.send(chat, "Hello").text == "You wrote “Hello”, ☃."
    assert [body["max_tokens"] for body in requests(server)] == [8192] * 4
    assert server.ledger.rejected == 2, "what was learned is kept"
    with pytest.raises(ValidationError, match="8192") as failure:
        form.send(form.chat(rw, max_tokens=10_000), "Hello")
    assert failure.value.parameter == "max_tokens"
    with pytest.raises(ValidationError):
        form.send(form.chat(rw, model="unknown"), "Hello")


def test_late_answer_raises_a_timeout_error(form: Form, rw: Runware, server: LocalServer) -> None:
    server.configure(delay=GUARD)
    with pytest.raises(TaskTimeoutError) as failure:
        form.send(form.chat(rw, timeout=2.0), "Hello")
    assert failure.value.may_be_running
    assert server.ledger.executed == 1


def test_deadline_while_a_tool_runs(form: Form, rw: Runware) -> None:
    release, started, cancelled = threading.Event(), threading.Event(), threading.Event()

    def wait() -> None:
        release.wait(GUARD)

    async def wait_async() -> None:
        started.set()
        try:
            await asyncio.sleep(GUARD)
        finally:
            cancelled.set()

    def pass_time(run: ToolRun) -> None:
        if run.name == "get_weather" and run.done:
            assert started.wait(GUARD)
            chat._busy[1]._requests.deadline = time.monotonic()

    chat = form.chat(rw, tools=[wait, wait_async, get_weather], on_event=pass_time)
    try:
        with pytest.raises(TaskTimeoutError) as failure:
            form.send(chat, '[call:wait {}] [call:wait_async {}] [call:get_weather {"city": "Oslo"}]')
    finally:
        release.set()
    assert not failure.value.may_be_running
    assert cancelled.wait(GUARD)
    # Of what had begun the model is told; the chat can go on.
    outputs = [message["content"] for message in chat.messages if message["role"] == "tool"]
    assert outputs[2] == "7 degrees in Oslo"
    assert "interrupted" in outputs[0]
    assert "interrupted" in outputs[1]
    assert form.send(chat, None).text.endswith("7 degrees in Oslo")


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


@pytest.mark.parametrize("streaming", [False, True])
def test_closing_the_client_ends_chats(form: Form, rw: Runware, server: LocalServer, streaming: bool) -> None:
    server.configure(delay=GUARD)
    chat = form.chat(rw)
    thread, errors = in_thread(lambda: (form.stream if streaming else form.send)(chat, "Hello"))
    server.ledger.wait_for(lambda ledger: ledger.executed == 1)
    rw.close()
    thread.join(GUARD)
    assert not thread.is_alive()
    assert [type(error) for error in errors] == [ClientClosedError]
    assert errors[0].may_have_run  # type: ignore[attr-defined]
    with pytest.raises(ClientClosedError):
        form.send(chat, "Hello")


def test_closing_the_client_ends_streams_that_are_not_being_read(rw: Runware, server: LocalServer) -> None:
    with server.play("X21", form="silence", after=3, times=2):
        stream = rw.chat(MODEL).stream("Hello")
        next(stream)

        async def main() -> None:
            other = rw.aio.chat(MODEL).stream("Hello")
            await anext(other)
            await rw.aio.close()
            with pytest.raises(ClientClosedError):
                await anext(other)

        asyncio.run(main())
        with pytest.raises(ClientClosedError) as failure:
            next(stream)
        assert failure.value.may_have_run
        server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 2)


@pytest.mark.parametrize("whole", [True, False], ids=["client", "stream"])
def test_closing_at_the_first_step_is_an_error(
    form: Form, rw: Runware, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """As by a signal handler or another thread. The steps are closed then, and had no result."""
    kind = BlockingDriver if form.name == "blocking" else AsyncDriver
    redact = kind.redact_secrets

    def close_first(driver: Any) -> Any:
        rw.close() if whole else driver.abort()
        return redact(driver)

    monkeypatch.setattr(kind, "redact_secrets", close_first)
    with pytest.raises(ClientClosedError if whole else TaskCancelledError) as failure:
        form.send(form.chat(rw), "Hello")
    assert not failure.value.may_have_run


def test_closing_the_client_ends_the_wait_before_a_retry(form: Form, server: LocalServer) -> None:
    waiting = threading.Event()

    def wait(_: object) -> float:
        waiting.set()
        return 900.0

    rw = Runware(server.api_key, url=server.url, max_retries=RetryPolicy(wait=wait))
    chat = form.chat(rw)
    thread, errors = in_thread(lambda: form.send(chat, "x [rate-limit]"))
    assert waiting.wait(GUARD)
    rw.close()
    thread.join(GUARD)
    assert [type(error) for error in errors] == [ClientClosedError]
    assert not errors[0].may_have_run  # type: ignore[attr-defined]


def test_a_stream_has_one_reader(rw: Runware, server: LocalServer) -> None:
    server.configure(delay=GUARD)
    stream = rw.chat(MODEL).stream("Hello")
    thread, errors = in_thread(stream.result)
    server.ledger.wait_for(lambda ledger: ledger.executed == 1)
    with pytest.raises(RunwareError, match="read elsewhere"):
        next(stream)
    stream.close()
    thread.join(GUARD)
    assert [type(error) for error in errors] == [TaskCancelledError]


def test_closing_the_client_ends_the_wait_for_tools(form: Form, rw: Runware) -> None:
    started, release = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        release.wait(GUARD)

    chat = form.chat(rw, tools=[wait])
    thread, errors = in_thread(lambda: form.send(chat, "[call:wait {}]"))
    assert started.wait(GUARD)
    rw.close()
    thread.join(GUARD)
    release.set()
    assert [type(error) for error in errors] == [ClientClosedError]


def test_cancelling_a_task_ends_its_chat(rw: Runware, server: LocalServer) -> None:
    server.configure(delay=GUARD)

    async def main() -> None:
        chat = rw.aio.chat(MODEL)
        task = asyncio.create_task(chat.send("Hello"))
        await asyncio.to_thread(server.ledger.wait_for, lambda ledger: ledger.executed == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert chat.messages == []
        server.configure(delay=0.0)
        assert (await chat.send("Hello")).text

    asyncio.run(main())


def test_cancelling_a_task_cancels_its_async_tools(rw: Runware) -> None:
    async def main() -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            started.set()
            try:
                await asyncio.sleep(GUARD)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        chat = rw.aio.chat(MODEL, tools=[wait])
        task = asyncio.create_task(chat.send("[call:wait {}]"))
        await asyncio.wait_for(started.wait(), GUARD)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled.is_set()
        assert "interrupted" in chat.messages[-1]["content"]

    asyncio.run(main())


def test_fifty_chats_run_concurrently(rw: Runware) -> None:
    async def main() -> None:
        chats = [rw.aio.chat(MODEL, tools=[get_time]) for _ in range(50)]
        answers = await asyncio.gather(*(chat.send(f"{at} [call:get_time {{}}]") for at, chat in enumerate(chats)))
        assert all(answer.tool_calls for answer in answers)

    asyncio.run(main())


def test_chats_of_a_client_that_uses_http(form: Form, server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url, transport="http") as rw:
        answer = form.send(form.chat(rw, tools=[get_weather]), '[call:get_weather {"city": "Oslo"}]')
    assert answer.text == "The tools say: 7 degrees in Oslo"
    assert server.ledger.connections == 0


def test_chat_with_tools_leaves_no_thread(rw: Runware) -> None:
    before = set(threading.enumerate())
    chat = rw.chat(MODEL, tools=[get_weather, get_time])
    chat.send(PROMPT)
    deadline = time.monotonic() + GUARD
    while set(threading.enumerate()) - before:  # a thread may still be ending
        assert time.monotonic() < deadline


def test_key_may_come_from_a_function(form: Form, server: LocalServer) -> None:
    keys: list[str] = []

    def key() -> str:
        keys.append("rw-test-key")
        return keys[-1]

    with Runware(key, url=server.url) as client:
        assert form.send(form.chat(client), "Hello").text
    assert len(keys) == 2  # one for the connection, one for the request
    with pytest.raises(ConfigurationError, match="no key"):
        form.send(form.chat(Runware(lambda: "", url=server.url)), "Hello")

    def fail() -> str:
        raise OSError("no vault")

    with pytest.raises(ConnectionFailedError, match=r"api_key\(\) raised OSError") as failure:
        form.send(form.chat(Runware(fail, url=server.url)), "Hello")
    assert failure.value.stage == "key"


# ---------------------------------------------------------------------- saving


def test_chat_is_restored(form: Form, rw: Runware, server: LocalServer) -> None:
    settings = {
        "system_prompt": "Be brief.", "max_tokens": 50, "temperature": 0.5, "max_rounds": 2, "timeout": 9.0,
        "extra": {"user": "me"}, "stop_sequences": ["END"],
    }  # fmt: skip
    chat = form.chat(rw, tools=[get_weather, {"type": "search"}], response_type=Forecast, **settings)
    form.send(chat, '[call:get_weather {"city": "Oslo"}] [answer {"city": "Oslo", "degrees": 3}]')
    data = json.loads(json.dumps(chat.to_dict()))
    restored = type(chat).from_dict(data, rw, tools=[get_weather], response_type=Forecast)
    assert restored.to_dict() == data
    assert restored.messages == chat.messages
    assert (restored.cost, restored.usage) == (chat.cost, chat.usage)
    assert form.send(restored, '[answer {"city": "Rome", "degrees": 4}]').parsed == Forecast("Rome", 4.0)
    last = requests(server)[-1]
    assert (last["max_tokens"], last["user"], last["stop"], len(last["tools"])) == (50, "me", ["END"], 2)
    assert restored.cost > chat.cost
    data["messages"].clear()
    assert chat.messages


def test_chat_is_restored_in_another_process(rw: Runware, server: LocalServer) -> None:
    chat = rw.chat(MODEL, tools=[get_weather, get_time, broken], response_type=Forecast)
    chat.send(f'{PROMPT} [answer {{"city": "Oslo", "degrees": 3}}]')
    code = """
import json, sys
from runware import Chat, Runware
from tests.test_chat import Forecast, broken, get_time, get_weather
rw = Runware(sys.argv[1], url=sys.argv[2])
chat = Chat.from_dict(json.load(sys.stdin), rw, tools=[get_weather, get_time, broken], response_type=Forecast)
answer = chat.send('[call:get_weather {"city": "Rome"}] [answer {"city": "Rome", "degrees": 4}]')
print(json.dumps([answer.parsed.city, answer.tool_calls[0].output, chat.cost, len(chat.messages)]))
rw.close()
"""
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code, server.api_key, server.url],
        input=json.dumps(chat.to_dict()),
        capture_output=True,
        text=True,
        check=True,
        cwd=pathlib.Path(__file__).parent.parent,
        timeout=GUARD * 2,
    )
    city, output, cost, count = json.loads(result.stdout)
    assert (city, output, count) == ("Rome", "7 degrees in Rome", len(chat.messages) + 4)
    assert cost == pytest.approx(server.ledger.billed)


@pytest.mark.parametrize(
    ("change", "given", "parameter"),
    [
        (lambda data: data.clear(), {}, "data"),
        (lambda data: data.update(version=9), {}, "data"),
        (lambda data: data.update(colour="red"), {}, "data"),
        (lambda data: data.update(messages=5), {}, "messages"),
        (lambda data: None, {"tools": []}, "tools"),
        (lambda data: None, {"response_type": None}, "response_type"),
    ],
)
def test_data_that_cannot_be_restored(
    rw: Runware, change: Callable[[dict[str, Any]], object], given: dict[str, Any], parameter: str
) -> None:
    data = rw.chat(MODEL, tools=[get_weather], response_type=Forecast).to_dict()
    change(data)
    with pytest.raises(ValidationError) as failure:
        Chat.from_dict(data, rw, **{"tools": [get_weather], "response_type": Forecast, **given})
    assert failure.value.parameter == parameter


def test_chat_with_something_that_json_cannot_hold(rw: Runware) -> None:
    chat = rw.chat(MODEL, extra={"x": object()})
    with pytest.raises(ValidationError):
        chat.to_dict()


# ---------------------------------------------------------------------- decorators, loading


def test_the_example_chats_with_a_pipe(tmp_path: pathlib.Path) -> None:
    example = pathlib.Path(__file__).parent.parent / "examples" / "chat_terminal.py"
    for count in (2, 8):
        result = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", str(example), "--local", "--file", "chat.json"],
            input="Hello\n" if count == 2 else 'Roll [call:roll_dice {"sides": 1, "count": 3}]\nBye\n',
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(example.parent.parent)},
            timeout=GUARD * 2,
        )
        assert f"{count} messages, $0.0" in result.stdout
    assert "[roll_dice: [1, 1, 1]]" in result.stdout
    assert "Going on with 2 messages." in result.stdout


def test_decorated_function_and_tool_object_are_called(form: Form, rw: Runware, server: LocalServer) -> None:
    @tool(name="weather", description="Tell the weather.")
    def look_up(city: str) -> str:
        return f"rain in {city}"

    assert look_up("Oslo") == "rain in Oslo"
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    by_hand = Tool(lambda **given: given, name="by_hand", parameters=schema)
    chat = form.chat(rw, tools=[look_up, by_hand])
    answer = form.send(chat, '[call:weather {"city": "Oslo"}] [call:by_hand {"x": 1, "y": [2]}]')
    assert [run.result for run in answer.tool_calls] == ["rain in Oslo", {"x": 1, "y": [2]}]
    sent = requests(server)[0]["tools"]
    assert sent[0]["function"]["description"] == "Tell the weather."
    assert sent[1]["function"]["parameters"] == schema


def test_dropped_stream_ends_its_connection(rw: Runware, server: LocalServer) -> None:
    chat = rw.chat(MODEL)
    with server.play("X21", form="silence", after=3):
        stream = chat.stream("Hello")
        next(stream)
        del stream
        gc.collect()
        server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 1)
    assert chat.send("Hello").text


def test_chat_in_flight_at_exit_is_logged(server: LocalServer) -> None:
    code = """
import sys
from runware import Runware
rw = Runware(sys.argv[1], url=sys.argv[2])
done = rw.chat("local-model").stream("Hello")
done.result()
stream = rw.chat("local-model").stream("Hello")
next(stream)
"""
    server.configure(spread=0.2)
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code, server.api_key, server.url],
        capture_output=True,
        text=True,
        check=True,
        timeout=GUARD * 2,
        cwd=pathlib.Path(__file__).parent.parent,
    )
    assert "1 stream in flight" in result.stderr
    assert "(a chat)" in result.stderr
    assert "Traceback" not in result.stderr


def test_interrupted_wait_leaves_a_usable_chat(rw: Runware, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a tool runs."""
    release = threading.Event()

    def wait() -> None:
        release.wait(GUARD)

    def on_event(run: ToolRun) -> None:
        if not run.done:
            signal.raise_signal(signal.SIGINT)

    chat = rw.chat(MODEL, tools=[wait], on_event=on_event)
    with pytest.raises(KeyboardInterrupt):
        chat.send("[call:wait {}]")
    release.set()
    chat.on_event = None
    assert chat.messages == [] or chat.messages[-1]["role"] == "tool"
    assert chat.send("Hello").text == "You wrote “Hello”, ☃."


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no SIGINT for another process")
@pytest.mark.parametrize("streaming", [False, True])
def test_interrupted_read_ends_the_connection(server: LocalServer, streaming: bool) -> None:
    """Ctrl-C while the model is silent. In another process, whose main thread may be anywhere when the signal comes."""
    code = """
import sys
from runware import Runware
rw = Runware(sys.argv[1], url=sys.argv[2])
chat = rw.chat("local-model")
try:
    chat.stream("Hello").result() if len(sys.argv) > 3 else chat.send("Hello")
except KeyboardInterrupt:
    print(chat.messages, flush=True)
sys.stdin.readline()
print(chat.send("Hello").text)
rw.close()
"""
    server.configure(delay=GUARD)
    arguments = [sys.executable, "-c", code, server.api_key, server.url, *(["stream"] if streaming else [])]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=pathlib.Path(__file__).parent.parent
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        server.ledger.wait_for(lambda ledger: ledger.executed == 1)
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "[]\n"
        server.configure(delay=0.0)
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.read() == "You wrote “Hello”, ☃.\n"


def test_chats_work_under_gevent(server: LocalServer) -> None:
    pytest.importorskip("gevent", reason="gevent is an optional part of the test environment")
    code = """
from gevent import monkey; monkey.patch_all()
import asyncio, sys
import gevent
from runware import Runware
rw = Runware(sys.argv[1], url=sys.argv[2])
def plain(x: int) -> int:
    return x
async def other(x: int) -> int:
    await asyncio.sleep(0.01)
    return x
def talk(number):
    chat = rw.chat("local-model", tools=[plain])
    return chat.send('[call:plain {"x": %d}]' % number).text
jobs = [gevent.spawn(talk, number) for number in range(5)]
gevent.joinall(jobs, raise_error=True)
chat = rw.chat("local-model", tools=[plain, other])
answer = chat.send('[call:plain {"x": 1}] [call:other {"x": 2}] [call:other {"x": 3}]')
with chat.stream("Hello") as stream:
    print([job.value for job in jobs][4], answer.text, "".join(stream.text()))
rw.close()
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, server.api_key, server.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD * 2,
        cwd=pathlib.Path(__file__).parent.parent,
    )
    assert result.stdout == "The tools say: 4 The tools say: 1; 2; 3 You wrote “Hello”, ☃.\n", result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # what the test is about
def test_chats_work_in_a_forked_child(rw: Runware, server: LocalServer) -> None:
    chat = rw.chat(MODEL, tools=[get_weather])
    chat.send("Hello")
    stream = chat.stream("And?")
    next(stream)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            other = Chat.from_dict(chat.to_dict(), rw, tools=[get_weather])
            text = other.send('[call:get_weather {"city": "Oslo"}]').text
            try:
                stream.result()
            except ClientClosedError:
                text += " closed"
            os.write(write, text.encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == "The tools say: 7 degrees in Oslo closed"
    os.waitpid(child, 0)
    assert stream.result().text == "You wrote “And?”, ☃."


def test_chats_load_when_used() -> None:
    code = """
import sys
import runware
runware.Runware("key")
print([name for name in sys.modules if name in ("runware.text.chat", "runware.text.tools", "httpx2")])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.fixture(autouse=True)
def no_errors_of_the_server(server: LocalServer) -> Iterator[None]:
    yield
    assert server.ledger.errors == []
