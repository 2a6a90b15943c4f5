"""User-style code: what type checkers infer, in all three interface forms."""

import json
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, assert_type

from runware import (
    Answer,
    AsyncChat,
    AsyncRunware,
    Budget,
    Chat,
    ChatPiece,
    ControlNet,
    Image,
    ImageInference,
    Job,
    Lora,
    Model,
    ModelPage,
    Partial,
    Result,
    Results,
    RetryPolicy,
    Runware,
    RunwareError,
    Text,
    Tool,
    ToolRun,
    events,
    models,
    results,
    tool,
)
from runware.client import Submitter

rw = Runware("key", timeout=30.0, max_retries=RetryPolicy())


def blocking() -> None:
    images = rw.image_inference(positive_prompt="x", width=512, height=512)
    assert_type(images, Results[Image])
    assert_type(images[0], Image)
    assert_type(images[0].url, str | None)
    urls: list[str] = [image.get_url() for image in images]
    assert_type(urls, list[str])
    assert_type(images[0].positive_prompt, str | None)
    assert_type(images[0].embed(), Image)
    assert_type(images[0].to_dict(), dict[str, Any])
    assert_type(images.to_dicts(api_names=False), list[dict[str, Any]])
    assert_type(Image.from_dict(images[0].to_dict()), Image)
    assert_type(Image.from_json(images[0].to_json()), Image)
    assert_type(results.from_dict(images[0].to_dict()), Result)
    assert_type(results.from_dict(images.to_dicts()), Results[Any])
    assert_type(json.dumps(images, default=Result.to_dict), str)
    assert_type(dict(images[0]), dict[str, Any])
    assert_type(images.save_all("out", template="{index}{ext}"), list[Path])
    assert_type(images[0].save("out"), Path)
    assert_type(images.cost, float | None)
    assert_type(rw.request_images(positive_prompt="x"), Results[Image])
    assert_type(rw.run(ImageInference(positive_prompt="x")), Results[Image])
    assert_type(Runware.image_inference(rw, positive_prompt="x"), Results[Image])
    assert_type(Submitter.image_inference(rw.submit, positive_prompt="x"), Job[Results[Image]])
    Runware.image_inference(positive_prompt="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Runware.image_inference(rw, widht=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with Runware.initialize("key", timeout=3.0) as client:
        assert_type(client, Runware)


def jobs() -> None:
    job = rw.submit.image_inference(positive_prompt="x")
    assert_type(job, Job[Results[Image]])
    assert_type(job.result(), Results[Image])
    for image in job:
        assert_type(image, Image)
    assert_type(
        job.status, Literal["queued", "sent", "accepted", "running", "succeeded", "partial", "failed", "cancelled"]
    )
    if job.status == "done":  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]
        raise AssertionError
    assert_type(rw.submit.run(ImageInference(positive_prompt="x")), Job[Results[Image]])


def lists(images: Results[Image], texts: Results[Text], partial: Partial[Image], plain: list[Image]) -> None:
    assert_type(images[:2], Results[Image])
    assert_type(images[0], Image)
    assert_type(images[:2].save_all("out"), list[Path])
    assert_type(images + images, Results[Image])
    assert_type(images + plain, Results[Image])
    assert_type(images + texts, Results[Text | Image])
    assert_type(images * 2, Results[Image])
    assert_type(2 * images, Results[Image])
    assert_type(images.copy(), Results[Image])
    images += plain
    assert_type(images, Results[Image])
    assert_type(partial[:2], Results[Image])
    assert_type(partial.copy(), Partial[Image])
    assert_type({images[0]: 1}, dict[Image, int])
    assert_type(sum([images, images], Results[Image]()), Results[Image])


def pages(page: ModelPage) -> None:
    assert_type(page[0], Model)
    assert_type(page[:3], Sequence[Model])


async def asynchronous() -> None:
    call: Coroutine[Any, Any, Results[Image]] = rw.aio.image_inference(positive_prompt="x")
    assert_type(await call, Results[Image])
    async with AsyncRunware() as client:
        assert_type(client, AsyncRunware)
        assert_type(await client.request_images(positive_prompt="x"), Results[Image])
        assert_type(await client.submit.image_inference(positive_prompt="x"), Results[Image])
        async for image in client.submit.image_inference(positive_prompt="x"):
            assert_type(image, Image)
    assert_type(await AsyncRunware.initialize("key"), AsyncRunware)


def watch(event: events.Event) -> None:
    if isinstance(event, events.Resolved):
        assert_type(event.elapsed, float)
        assert_type(event.error, str | None)


def watching() -> None:
    client = Runware("key", on_event=watch)
    assert_type(client.stats, events.Stats)
    assert_type(client.aio.stats.retries, int)
    Runware("key", on_event=lambda: None)  # type: ignore[misc, arg-type]  # pyright: ignore[reportArgumentType]


def show(partial: Partial[Image], error: RunwareError | None) -> None:
    assert_type(partial[0], Image)


def inputs() -> None:
    rw.image_inference(
        positive_prompt="x",
        seed_image=Path("a.png"),
        mask_image=b"...",
        reference_images=["uuid", Path("b.png"), Image()],
        control_net=[ControlNet(model="m", guide_image=Path("c.png")), {"model": "n"}],
        lora=[Lora(model="m", weight=0.5)],
        provider_settings={"bfl": {"promptUpsampling": True}},
        on_partial=show,
        extra={"novel": 1},
    )
    rw.image_inference(model="m", output_format="TIFF")
    rw.image_inference(model="m", output_format="a new one")
    rw.video_inference(model="m", duration="auto")


def many(flag: bool) -> None:
    requests = [ImageInference(positive_prompt="x")]
    assert_type(rw.map(requests), Iterator[Results[Image]])
    assert_type(rw.map(ImageInference, ["x"], common={"width": 512}), Iterator[Results[Image]])
    assert_type(rw.map(rw.image_inference, ["x"], concurrency=4), Iterator[Results[Image]])
    assert_type(rw.map(rw.caption, ["x"], return_exceptions=False), Iterator[Text])
    assert_type(rw.map(requests, return_exceptions=True), Iterator[Results[Image] | Exception])
    assert_type(rw.map(ImageInference, ["x"], return_exceptions=True), Iterator[Results[Image] | Exception])
    assert_type(rw.map(rw.caption, ["x"], return_exceptions=True, common={"model": "m"}), Iterator[Text | Exception])
    assert_type(rw.map(rw.caption, ["x"], return_exceptions=flag), Iterator[Text | Exception])
    assert_type(rw.map(rw.caption, ["x"], run="r", budget=1.0, save_to="out/", retry_failed=True), Iterator[Text])
    assert_type(rw.map(requests, run="r", budget=Budget(1.0), save_to=Path("out")), Iterator[Results[Image]])
    assert_type(rw.runs.get("r").cost, float | None)
    assert_type(Image().path, Path | None)
    rw.map(requests, run=7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    for answer in rw.map(rw.caption, ["x"], return_exceptions=True):
        answer.text  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue, reportUnusedExpression]
    rw.map(rw.caption, ["x"], concurency=4)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    rw.map(requests, common={"width": 512})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def many_in_a_loop() -> None:
    requests = [ImageInference(positive_prompt="x")]
    assert_type(rw.aio.map(requests), AsyncIterator[Results[Image]])
    assert_type(rw.aio.map(ImageInference, ["x"], ordered=False), AsyncIterator[Results[Image]])
    assert_type(rw.aio.map(rw.aio.caption, ["x"], common={"model": "m"}), AsyncIterator[Text])
    assert_type(rw.aio.map(requests, return_exceptions=True), AsyncIterator[Results[Image] | Exception])
    assert_type(rw.aio.map(ImageInference, ["x"], return_exceptions=True), AsyncIterator[Results[Image] | Exception])
    assert_type(rw.aio.map(rw.aio.caption, ["x"], return_exceptions=True), AsyncIterator[Text | Exception])
    assert_type(rw.aio.map(rw.aio.caption, ["x"], run="r", save_to="out/"), AsyncIterator[Text])
    assert_type((await rw.aio.runs.get("r")).failed, int)


def get_weather(city: str) -> str:
    return city


class Forecast:
    city: str


def chats(stored: dict[str, Any]) -> None:
    chat = rw.chat("m", tools=[get_weather, Tool(get_weather), {"type": "search"}], on_event=show_run)
    assert_type(chat, Chat[None])
    answer = chat.send("x", images=[Path("a.png"), Image()])
    assert_type(answer, Answer[None])
    assert_type(answer.text, str)
    assert_type(answer.cost, float | None)
    assert_type(chat.send(["x", Image(), b"...", {"type": "text", "text": "y"}]).tool_calls, Sequence[ToolRun])
    assert_type(rw.chat("m", response_type=Forecast).send("x").parsed, Forecast)
    assert_type(rw.chat(model="m", response_type=list[Forecast]).send("x").parsed, list[Forecast])
    with rw.chat("m", response_type=int).stream("x") as stream:
        for piece in stream:
            assert_type(piece, ChatPiece)
        assert_type(stream.text(), Iterator[str])
        assert_type(stream.result(), Answer[int])
    assert_type(tool(get_weather), Tool)
    assert_type(tool(name="x")(get_weather), Tool)
    assert_type(Chat[None].from_dict(chat.to_dict(), rw, tools=[get_weather]), Chat[None])
    assert_type(AsyncChat[None].from_dict(stored, AsyncRunware("key")), AsyncChat[None])
    rw.chat("m", temprature=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    rw.chat("m", tools=get_weather)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def show_run(run: ToolRun) -> None:
    assert_type(run.name, str)
    assert_type(run.error, BaseException | None)


async def chats_in_a_loop() -> None:
    chat = rw.aio.chat("m", response_type=Forecast)
    assert_type(chat, AsyncChat[Forecast])
    assert_type(await chat.send("x"), Answer[Forecast])
    async with chat.stream("x") as stream:
        async for piece in stream:
            assert_type(piece.text, str)
        assert_type(await stream.result(), Answer[Forecast])
    assert_type(AsyncRunware("key").chat("m"), AsyncChat[None])


def rejected() -> None:
    rw.image_inference(positive_promt="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.photo_maker(input_images=["uuid"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.image_inference(positive_prompt=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rw.image_inference(positive_prompt="x", width="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rw.submit.image_inference(positive_prompt="x", output_type="url")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Runware(tiemout=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Runware.initialize(tiemout=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def knowledge(model: models.Model) -> None:
    assert_type(rw.models.get("runware:101@1"), models.Model)
    assert_type(rw.models.list(category="image"), Sequence[models.Model])
    assert_type(models.get("runware:101@1"), models.Model)
    assert_type(model.check(width=1000), list[models.Problem])
    assert_type(model.estimate(width=1000), models.Estimate)
    assert_type(rw.check({"model": "runware:101@1"}), list[models.Problem])
    assert_type(rw.estimate({"model": "runware:101@1"}, exact=True), models.Estimate)
    assert_type(model.examples[0].run(rw), Results[Any])
    assert_type(model.examples[0].run(rw.submit), Job[Results[Any]])
    Runware(check="error")
    Runware(check="loud")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def knowledge_in_asyncio(client: AsyncRunware) -> None:
    assert_type(await client.models.get("runware:101@1"), models.Model)
    assert_type(await client.models.list(q="flux"), Sequence[models.Model])
    assert_type(client.check({"model": "runware:101@1"}), list[models.Problem])
    assert_type(await client.estimate({"model": "runware:101@1"}), models.Estimate)
    assert_type(await client.models.get("x", examples=True), models.Model)
