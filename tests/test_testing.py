"""The fake client for unit tests."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import pathlib
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image as Pillow

from runware import (
    AppTask,
    AsyncRunware,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    Image,
    ImageInference,
    IncompleteResultsError,
    Model,
    ModelPage,
    NotFoundError,
    ProviderError,
    RateLimitError,
    Runware,
    StreamText,
    TaskError,
    Text,
    TextPiece,
    ToolCall,
    Usage,
    ValidationError,
    get_client,
    requests,
)
from runware.testing import FakeRunware
from runware.text import TextStream

MODEL = {"model": "runware:101@1", "width": 512, "height": 512}


@pytest.fixture(autouse=True)
def no_thread_and_no_socket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail where the fake connects, or leaves a thread."""

    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("a fake client has no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def rw() -> FakeRunware:
    return FakeRunware()


def make(rw: Runware, **more: Any) -> Any:
    return rw.image_inference(**{"positive_prompt": "a red kite", **MODEL, **more})


def test_fake_client_returns_plausible_results(rw: FakeRunware) -> None:
    first, second = make(rw, number_results=2, seed=5, include_cost=True)
    assert isinstance(first, Image)
    assert first.url.startswith("https://fake.invalid/")
    assert (first.seed, second.seed, first.cost) == (5, 6, 0.0)
    assert first.uuid != second.uuid
    assert first.task_uuid == second.task_uuid == rw.calls[0].sent["taskUUID"]
    assert isinstance(rw, Runware)


def test_made_up_image_can_be_read_and_saved(rw: FakeRunware, tmp_path: pathlib.Path) -> None:
    for output in ("URL", "base64Data", "dataURI"):
        (image,) = make(rw, output_type=output)
        assert Pillow.open(io.BytesIO(image.read())).size == (1, 1)
        assert image.save(tmp_path / output).suffix == ".png"
        assert (image.url is None) == (output != "URL")


@pytest.mark.parametrize("operation", requests.OPERATIONS)
def test_every_operation_has_a_result_of_its_class(rw: FakeRunware, operation: str) -> None:
    kind = getattr(requests, requests.OPERATIONS[operation][0])
    given: dict[str, Any] = {
        "text_inference": {"model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "hello"}]},
        "prompt_enhance": {"prompt": "a kite"},
        "image_inference": {"model": "runware:101@1", "positive_prompt": "a kite"},
        "photo_maker": {"input_images": ["https://x.test/a.png"], "positive_prompt": "a kite"},
        "video_inference": {"model": "klingai:5@3", "positive_prompt": "waves"},
        "audio_inference": {"model": "elevenlabs:1@1", "positive_prompt": "waves"},
        "three_d_inference": {"model": "tripo:v3@0", "positive_prompt": "a vase"},
        "controlnet_preprocess": {"input_image": "https://x.test/a.png", "pre_processor_type": "canny"},
        "image_masking": {"input_image": "https://x.test/a.png", "model": "runware:35@1"},
        "vectorize": {"inputs": {"image": "https://x.test/a.png"}, "model": "recraft:1@1"},
        "tools": {"model": "runware:tools@1", "inputs": {"image": "https://x.test/a.png"}},
        "training": {"model": "runware:101@1"},
        "model_upload": {
            "category": "lora", "architecture": "flux1d", "format": "safetensors", "download_url": "https://x.test/a",
            "air": "mine:1@1", "name": "x", "version": "1", "unique_identifier": "1",
        },
        "model_search": {},
        "image_upload": {"image": "https://x.test/a.png"},
        "media_storage": {"operation": "upload", "media": "https://x.test/a.png"},
        "account_management": {"operation": "getDetails"},
    }.get(operation, {"input_image": "https://x.test/a.png"})  # fmt: skip
    if operation in ("get_response", "get_task_details"):
        make(rw)
        given = {"task_uuid": rw.calls[0].sent["taskUUID"]}
    result = getattr(rw, operation)(**given)
    assert rw.calls[-1].operation == operation
    one = result[0] if isinstance(result, list) else result
    assert isinstance(one, (kind.result_class, Image))


def test_calls_hold_requests_and_what_would_be_sent(rw: FakeRunware) -> None:
    make(rw)
    rw.request_images(positive_prompt="a heron", **MODEL)
    rw.run({"taskType": "imageInference", "positivePrompt": "a fox", **MODEL})
    rw.caption(input_image="https://x.test/a.png")
    kites = rw.calls_of("image_inference")
    assert [call.sent["positivePrompt"] for call in kites] == ["a red kite", "a heron", "a fox"]
    assert isinstance(kites[0].request, ImageInference)
    assert kites[0].request.positive_prompt == "a red kite"
    assert [call.operation for call in rw.calls] == ["image_inference"] * 3 + ["caption"]


def test_fields_that_are_given_replace_made_up_ones(rw: FakeRunware) -> None:
    rw.respond("image_inference", {"url": "https://cdn.test/a.jpg", "nsfw_content": True})
    rw.respond("image_inference", {"imageURL": "https://cdn.test/b.jpg"})
    rw.respond("image_inference", {"image_url": "https://cdn.test/c.jpg", "cost": 0.5})
    first, second, third = (make(rw)[0] for _ in range(3))
    assert (first.url, first.nsfw_content, first.data_uri) == ("https://cdn.test/a.jpg", True, None)
    assert second.url == "https://cdn.test/b.jpg"
    assert (third.url, third.cost) == ("https://cdn.test/c.jpg", 0.5)
    assert first.uuid
    assert make(rw)[0].url.startswith("https://fake.invalid/")


def test_results_that_are_given_are_returned(rw: FakeRunware) -> None:
    rw.respond("image_inference", [Image(url="https://cdn.test/a.jpg", seed=3), Image(seed=4)])
    first, second = make(rw, number_results=2)
    assert (first.url, first.seed, second.url, second.seed) == ("https://cdn.test/a.jpg", 3, None, 4)
    assert first.task_uuid == rw.calls[0].sent["taskUUID"]
    rw.respond("text_inference", Text(text="Four."))
    assert rw.text_inference(model="a:b@1", messages=[{"role": "user", "content": "2+2"}])[0].text == "Four."
    rw.respond("model_search", ModelPage(results=[Model(air="runware:101@1", name="FLUX")], total_results=1))
    assert [model.name for model in rw.model_search(search="flux").results] == ["FLUX"]


def test_errors_are_raised(rw: FakeRunware) -> None:
    rw.respond("image_inference", ProviderError("No GPU is left.", code="providerInternalError"))
    with pytest.raises(ProviderError, match="No GPU is left") as caught:
        make(rw)
    assert (caught.value.task_type, caught.value.task_uuid) == ("imageInference", rw.calls[0].sent["taskUUID"])
    rw.respond("image_inference", NotFoundError)
    with pytest.raises(NotFoundError):
        make(rw)
    assert len(make(rw)) == 1


def test_function_answers_by_the_request(rw: FakeRunware) -> None:
    def respond(request: Any) -> Any:
        return {"seed": request.width} if request.width > 512 else ProviderError("Too small.")

    rw.respond("image_inference", respond, times=None)
    assert make(rw, width=576)[0].seed == 576
    with pytest.raises(ProviderError, match="Too small"):
        make(rw)
    rw.respond("caption", lambda request: 5)
    with pytest.raises(TypeError, match="takes a result, a dict, a list of them, an error, or a function"):
        rw.caption(input_image="https://x.test/a.png")


def test_counted_responses_come_first_and_then_the_newest_of_the_others(rw: FakeRunware) -> None:
    rw.respond("image_inference", {"seed": 1}, times=None)
    rw.respond("image_inference", {"seed": 2}, times=None)
    rw.respond("image_inference", {"seed": 3}, times=2)
    assert [make(rw)[0].seed for _ in range(4)] == [3, 3, 2, 2]


def test_wrong_calls_are_refused_as_by_the_client(rw: FakeRunware) -> None:
    with pytest.raises(TypeError, match="did you mean 'positive_prompt'"):
        rw.image_inference(positiv_prompt="x", **MODEL)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        make(rw, width="wide")
    with pytest.raises(AttributeError):
        rw.image_inferense  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="FakeRunware has no"):
        FakeRunware(time_out=5)
    with pytest.raises(ConfigurationError):
        FakeRunware(timeout=-1)
    assert rw.calls == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("image_inferense",), ConfigurationError, "did you mean 'image_inference'"),
        (("image_inference", {"sed": 5}), TypeError, "Image has no field 'sed'; did you mean 'seed'"),
        (("image_inference", [{"seed": 5}, {"ur": "x"}]), TypeError, "Image has no field 'ur'"),
        (("image_inference", "https://cdn.test/a.jpg"), TypeError, "takes a result, a dict, .*; got str"),
        (("image_inference", Image), TypeError, "got Image"),
        (("image_inference", ValueError("x")), TypeError, "got ValueError"),
    ],
)
def test_wrong_responses_are_refused(rw: FakeRunware, arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rw.respond(*arguments)
    with pytest.raises(ConfigurationError, match="times must be 1 or more"):
        rw.respond("caption", times=0)


def test_wrong_number_of_results_is_explained(rw: FakeRunware) -> None:
    rw.respond("image_inference", [{"seed": 1}, {"seed": 2}])
    with pytest.raises(ConfigurationError, match="given 2 results, and the call asks for 3"):
        make(rw, number_results=3)


def test_jobs_are_done_and_run_their_callbacks(rw: FakeRunware) -> None:
    seen: list[Any] = []
    job = rw.submit.image_inference(
        positive_prompt="a red kite", number_results=2, on_partial=lambda part, error: seen.append(len(part)), **MODEL
    )
    job.add_done_callback(lambda done: seen.append(done.status))
    assert (job.done(), job.status, len(job.result())) == (True, "succeeded", 2)
    assert seen == [2, "succeeded"]
    assert [image.seed for image in job] == [1, 2]
    assert not job.cancel()
    assert rw.job(job.ref).result()[0].uuid == job.result()[0].uuid
    with pytest.raises(NotFoundError):
        rw.job("5a3b1f0e-6f0c-4d5e-9f57-9d8d2b0f9a11").result()


def test_fake_client_returns_acknowledgements_and_raises_given_errors(rw: FakeRunware) -> None:
    job = rw.submit.video_inference(model="klingai:5@3", positive_prompt="waves", skip_response=True)
    assert type(job.result()[0]).__name__ == "Acknowledgement"
    rw.respond("image_inference", IncompleteResultsError("Half of it."))
    with pytest.raises(IncompleteResultsError, match="Half of it"):
        make(rw)


def test_asyncio_client_shares_calls_and_responses(rw: FakeRunware) -> None:
    rw.respond("image_inference", {"seed": 8})

    async def main(client: AsyncRunware) -> Any:
        async with client:
            return await client.image_inference(positive_prompt="a red kite", **MODEL)

    assert asyncio.run(main(rw.aio))[0].seed == 8
    assert rw.calls[0].request.width == 512
    assert rw.closed


def test_map_and_context_manager_and_dry_run(rw: FakeRunware) -> None:
    with rw:
        found = list(rw.map(ImageInference, ["a kite", "a fox"], common=MODEL))
        assert [call.sent["positivePrompt"] for call in rw.calls] == ["a kite", "a fox"]
        assert len(found) == 2
        assert make(rw, dry_run=True)
        assert len(rw.calls) == 3
    with pytest.raises(ClientClosedError):
        make(rw)


def test_code_that_closes_its_client_can_run_twice_with_the_installed_one(rw: FakeRunware) -> None:
    """A web service closes the client of the process at its end, and a test may start it more than once."""

    async def serve() -> None:
        await get_client().aio.connect()
        await get_client().aio.image_inference(positive_prompt="a red kite", **MODEL)
        await get_client().aio.close()
        assert rw.closed

    rw.respond("image_inference", {"seed": 7}, times=None)
    with rw.installed():
        asyncio.run(serve())
        asyncio.run(serve())
        assert make(get_client())[0].seed == 7
    assert len(rw.calls) == 3


def test_get_client_returns_the_installed_one(rw: FakeRunware) -> None:
    with rw.installed():
        make(get_client())
        assert get_client()._core is rw._core
    assert len(rw.calls) == 1
    with pytest.raises(ConfigurationError):
        get_client()


TALK: dict[str, Any] = {"model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "hello"}]}


def test_stream_is_made_up_and_recorded(rw: FakeRunware) -> None:
    with rw.stream_text(**TALK, include_cost=True) as stream:
        pieces = [piece.text for piece in stream]
        text = stream.result()
    assert isinstance(stream, TextStream)
    assert len(pieces) > 2
    assert "".join(pieces) == text.text == "a made-up text"
    assert (text.finish_reason, text.cost) == ("stop", 0.0)
    (call,) = rw.calls_of("stream_text")
    assert call.request.messages == TALK["messages"]
    assert call.sent["deliveryMethod"] == "stream"
    assert rw.job(stream.ref).result()[0].text == text.text
    assert rw.calls_of(StreamText) == [call]


def test_stream_gives_what_the_test_says_in_all_forms(rw: FakeRunware) -> None:
    usage = {"promptTokens": 3, "completionTokens": 4}
    rw.respond("stream_text", "It is  raining.\nStay in.")
    rw.respond(
        "stream_text", Text(text="Four.", reasoning_content="2 and 2", finish_reason="length", usage=Usage(raw=usage))
    )
    rw.respond("stream_text", ["Fi", {"text": "ve", "reasoning": "hm"}, TextPiece(text=".")])
    rw.respond(StreamText, lambda request: request.messages[0]["content"].upper())
    first = rw.stream_text(**TALK)
    assert [piece.text for piece in first] == ["It ", "is  ", "raining.\n", "Stay ", "in.", ""]
    second = rw.submit.stream_text(**TALK)
    assert second.done()
    text = second.result()
    assert (text.text, text.reasoning, text.finish_reason) == ("Four.", "2 and 2", "length")
    assert text.usage is not None
    assert text.usage.total_tokens is None
    assert text.usage.output_tokens == 4

    async def read() -> tuple[list[str], Text, Text]:
        async with rw.aio.stream_text(**TALK) as stream:
            pieces = [piece.text async for piece in stream]
            whole = await stream.result()
        async with rw.aio.stream_text(**TALK) as stream:
            return pieces, whole, await stream.result()

    pieces, third, fourth = asyncio.run(read())
    assert pieces == ["Fi", "ve", ".", ""]
    assert (third.text, third.reasoning, fourth.text) == ("Five.", "hm", "HELLO")


def test_stream_fails_at_once_or_after_some_pieces(rw: FakeRunware) -> None:
    for error in (ProviderError("No GPU is left."), ConnectionFailedError("No network.", stage="TCP"), RateLimitError):
        rw.respond("stream_text", error)
        with pytest.raises(error if isinstance(error, type) else type(error)):
            rw.stream_text(**TALK).result()
    rw.respond("stream_text", ["It ", "is ", ConnectionLostError("It broke off.", may_have_run=True)])
    stream = rw.stream_text(**TALK)
    pieces: list[str] = []
    with pytest.raises(ConnectionLostError, match="broke off") as caught:
        pieces += (piece.text for piece in stream)
    assert caught.value.task_uuid == stream.task_uuid
    assert caught.value.results[0].text == stream.received.text == "It is "
    rw.respond("stream_text", ["It ", ProviderError("No GPU is left.")])
    job = rw.submit.stream_text(**TALK)
    assert isinstance(job.exception(), ProviderError)


def test_chat_answers_and_keeps_its_history(rw: FakeRunware) -> None:
    rw.respond("chat", "Hello!")
    rw.respond("chat", {"text": "Four.", "reasoning": "2 and 2", "cost": 0.25, "usage": {"total_tokens": 9}})
    chat = rw.chat("google-gemma-4-31b", system_prompt="Be brief.")
    assert chat.send("Hi").text == "Hello!"
    answer = chat.send("2+2?")
    assert (answer.text, answer.reasoning, answer.cost, answer.finish_reason) == ("Four.", "2 and 2", 0.25, "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 9
    assert [message["content"] for message in chat.messages] == ["Hi", "Hello!", "2+2?", "Four."]
    first, second = rw.calls_of("chat")
    assert (first.request.text, second.request.text) == ("Hi", "2+2?")
    assert first.request.messages[0] == {"role": "system", "content": "Be brief."}
    assert second.sent["model"] == "google-gemma-4-31b"
    assert chat.send("More?").text == "a made-up text"


def test_chat_streams_in_both_forms(rw: FakeRunware) -> None:
    rw.respond("chat", "It is raining.", times=2)
    with rw.chat("google-gemma-4-31b").stream("Hi") as stream:
        assert [piece.text for piece in stream] == ["It ", "is ", "raining."]
        assert stream.result().text == "It is raining."

    async def read() -> list[str]:
        async with rw.aio.chat("google-gemma-4-31b").stream("Hi") as stream:
            return [piece.text async for piece in stream]

    assert asyncio.run(read()) == ["It ", "is ", "raining."]


@pytest.mark.parametrize("streaming", [False, True])
def test_chat_runs_its_tools(rw: FakeRunware, streaming: bool) -> None:
    async def get_weather(city: str) -> str:
        """Return the weather."""
        return f"rain in {city}"

    rw.respond("chat", {"tool_calls": [ToolCall(name="get_weather", input={"city": "Oslo"})]})
    rw.respond("chat", lambda request: f"I see {request.text}.")
    chat = rw.aio.chat("google-gemma-4-31b", tools=[get_weather])

    async def ask() -> Any:
        if streaming:
            async with chat.stream("Weather?") as stream:
                return await stream.result()
        return await chat.send("Weather?")

    answer = asyncio.run(ask())
    assert answer.text == "I see rain in Oslo."
    assert [(run.name, run.input, run.result) for run in answer.tool_calls] == [
        ("get_weather", {"city": "Oslo"}, "rain in Oslo")
    ]
    assert [call.request.tools for call in rw.calls] == [["get_weather"]] * 2


def test_chat_converts_answers_to_a_type(rw: FakeRunware) -> None:
    @dataclasses.dataclass
    class City:
        name: str
        people: int

    rw.respond("chat", '{"name": "Oslo", "people": 717710}')
    assert rw.chat("google-gemma-4-31b", response_type=City).send("Norway?").parsed == City("Oslo", 717710)


def test_chat_fails_as_the_test_says(rw: FakeRunware) -> None:
    chat = rw.chat("google-gemma-4-31b")
    for error in (ProviderError("No GPU is left."), ConnectionFailedError("No network.", stage="TCP")):
        rw.respond("chat", error)
        with pytest.raises(type(error)):
            chat.send("Hi")
        assert chat.messages == []
    rw.respond("chat", ["It ", "is ", ConnectionLostError("It broke off.")])
    with chat.stream("Hi") as stream, pytest.raises(ConnectionLostError):
        stream.result()
    assert chat.messages == []


def test_app_returns_what_the_test_says_in_all_forms(rw: FakeRunware) -> None:
    rw.respond("app", {"output": {"url": "https://x.test/a.png"}})
    rw.respond("app", AppTask(output=[1, 2]))
    rw.respond("app", lambda request: {"output": request.payload["scale"]})
    app = rw.app("my-upscaler", environment="staging")
    task = app.call("run", image=b"x", scale=2)
    assert (task.output, task.status, task.app_id, task.endpoint) == (
        {"url": "https://x.test/a.png"}, "completed", "my-upscaler", "run"
    )  # fmt: skip
    job = rw.submit.app("my-upscaler").call("run", {"scale": 3})
    assert job.done()
    assert job.result().output == [1, 2]
    assert asyncio.run(rw.aio.app("my-upscaler").call(scale=4)).output == 4
    assert app.call("run").output == {}
    first, second, third, _ = (call.request for call in rw.calls_of("app"))
    assert (first.app, first.environment, first.endpoint, first.payload["scale"]) == (
        "my-upscaler",
        "staging",
        "run",
        2,
    )
    assert (second.payload, third.endpoint, second.environment) == ({"scale": 3}, None, None)
    assert app.task(task.id).output == task.output
    assert [one.id for one in app.tasks()][-1] == task.id


def test_app_fails_as_the_test_says(rw: FakeRunware) -> None:
    app = rw.app("my-upscaler")
    rw.respond("app", {"status": "failed", "error": {"message": "no face found"}})
    with pytest.raises(TaskError, match="no face found"):
        app.call("run")
    rw.respond("app", ConnectionFailedError("No network.", stage="TCP"))
    with pytest.raises(ConnectionFailedError, match="No network"):
        app.call("run")
    rw.respond("app", NotFoundError)
    assert isinstance(rw.submit.app("my-upscaler").call("run").exception(), NotFoundError)
    with pytest.raises(NotFoundError):
        app.task("5a3b1f0e-6f0c-4d5e-9f57-9d8d2b0f9a11")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stream_text", {"txt": "x"}), "Text has no field 'txt'"),
        (("stream_text", [{"txt": "x"}]), "TextPiece has no field 'txt'"),
        (("stream_text", 5), "or a text; got int"),
        (("chat", {"tool_call": []}), "has no field 'tool_call'"),
        (("app", {"result": 1}), "AppTask has no field 'result'"),
        (("app", "done"), "got str"),
    ],
)
def test_wrong_responses_of_streams_chats_and_apps_are_refused(rw: FakeRunware, arguments: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        rw.respond(*arguments)


def test_wrong_response_of_a_function_is_no_failure_of_the_network(rw: FakeRunware) -> None:
    rw.respond("chat", lambda request: 5)
    with pytest.raises(ConfigurationError, match="or a text; got int"):
        rw.chat("google-gemma-4-31b").send("Hi")


def test_what_is_not_faked_says_what_to_use(rw: FakeRunware) -> None:
    with pytest.raises(ConfigurationError, match="The pytest fixture runware_server"):
        rw.estimate(ImageInference(positive_prompt="a kite", **MODEL), exact=True)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(rw)
    assert rw.estimate(ImageInference(positive_prompt="a kite", **MODEL)).cost is not None


def test_closed_fake_client_answers_nothing(rw: FakeRunware) -> None:
    chat, app = rw.chat("google-gemma-4-31b"), rw.app("my-upscaler")
    rw.close()
    for action in (lambda: chat.send("Hi"), lambda: app.call("run"), lambda: rw.stream_text(**TALK)):
        with pytest.raises(ClientClosedError):
            action()


def test_import_of_the_package_does_not_load_it() -> None:
    code = "import runware, sys; assert 'runware.testing' not in sys.modules; runware.testing.FakeRunware()"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
