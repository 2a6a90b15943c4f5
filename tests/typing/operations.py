"""Checked by mypy and pyright, never run: what the interface forms infer. Expected errors are marked as ignored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

from runware import (
    Account,
    AppJob,
    AppTask,
    AsyncTextStream,
    Audio,
    GuideImage,
    Image,
    ImageInference,
    Job,
    MaskImage,
    Model3D,
    ModelPage,
    Result,
    Results,
    Runware,
    StoredMedia,
    StreamJob,
    StreamText,
    TaskDetails,
    Text,
    TextPiece,
    TextStream,
    ToolOutput,
    TrainedModel,
    UploadedModel,
    Video,
)


def blocking(rw: Runware) -> None:
    assert_type(rw.image_inference(positive_prompt="x"), Results[Image])
    assert_type(rw.request_images(positive_prompt="x"), Results[Image])
    assert_type(rw.video_inference(model="m"), Results[Video])
    assert_type(rw.audio_inference(model="m"), Results[Audio])
    assert_type(rw.three_d_inference(model="m"), Results[Model3D])
    assert_type(rw.text_inference(model="m", messages=[{"role": "user", "content": "x"}]), Results[Text])
    assert_type(rw.upscale(input_image="u", upscale_factor=2), Image | Video)
    assert_type(rw.remove_image_background(input_image="u"), Image | Video)
    assert_type(rw.caption(input_image="u"), Text)
    assert_type(rw.prompt_enhance(prompt="x"), Results[Text])
    assert_type(rw.controlnet_preprocess(input_image="u", pre_processor_type="canny"), GuideImage)
    assert_type(rw.image_masking(inputs={"image": "u"}), MaskImage)
    assert_type(rw.photo_maker(positive_prompt="x", input_images=["u"]), Results[Image])
    assert_type(rw.vectorize(inputs={"image": "u"}), Image)
    assert_type(rw.tools(inputs={"video": "u"}), ToolOutput)
    assert_type(rw.training(model="m"), TrainedModel)
    assert_type(
        rw.model_upload(category="lora", architecture="sdxl", name="n", version="v", download_url="u"), UploadedModel
    )
    assert_type(rw.model_search(search="x"), ModelPage)
    assert_type(rw.image_upload(image=b"x"), StoredMedia)
    assert_type(rw.media_storage(media=b"x"), StoredMedia)
    assert_type(rw.get_response(task_uuid="u"), Results[Result])
    assert_type(rw.get_task_details(task_uuid="u"), TaskDetails)
    assert_type(rw.account_management(), Account)
    assert_type(rw.run(ImageInference(positive_prompt="x")), Results[Image])
    assert_type(rw.run({"taskType": "imageInference"}), Results[Any])


def jobs(rw: Runware) -> None:
    assert_type(rw.submit.video_inference(model="m"), Job[Results[Video]])
    assert_type(rw.submit.upscale_gan(input_image="u"), Job[Image | Video])
    assert_type(rw.submit.caption(input_image="u").result(), Text)
    for video in rw.submit.video_inference(model="m"):
        assert_type(video, Video)


async def asyncio(rw: Runware) -> None:
    assert_type(await rw.aio.video_inference(model="m"), Results[Video])
    assert_type(await rw.aio.model_search(), ModelPage)


def streams(rw: Runware) -> None:
    messages = [{"role": "user", "content": "x"}]
    with rw.stream_text(model="m", messages=messages) as stream:
        assert_type(stream, TextStream)
        for piece in stream:
            assert_type(piece, TextPiece)
            assert_type(piece.text, str)
        assert_type(stream.text(), Iterator[str])
        assert_type(stream.result(), Text)
    job = rw.submit.stream_text(model="m", messages=messages)
    assert_type(job, StreamJob)
    assert_type(job.result(), Text)
    for piece in job:
        assert_type(piece, TextPiece)
    task = StreamText(model="m", messages=messages)
    assert_type(rw.run(task), Text)
    assert_type(rw.stream(task), TextStream)


async def streams_in_a_loop(rw: Runware) -> None:
    async with rw.aio.stream_text(model="m", messages=[{"role": "user", "content": "x"}]) as stream:
        assert_type(stream, AsyncTextStream)
        async for piece in stream:
            assert_type(piece, TextPiece)
        assert_type([text async for text in stream.text()], list[str])
        assert_type(await stream.result(), Text)
    async for piece in rw.submit.stream_text(model="m", messages=[]):
        assert_type(piece, TextPiece)


def refused(rw: Runware) -> None:
    rw.video_inference(modell="m")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.video_inference(model=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rw.video_inference()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.get_response()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.submit.upscale(input_image=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rw.aio.caption(image="u")  # type: ignore[call-arg, unused-coroutine]  # pyright: ignore[reportCallIssue, reportUnusedCoroutine]
    rw.stream_text(model="m", messages=[], number_results=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.stream_text(model="m", messages=[], on_partial=print)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.image_inferense  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnusedExpression]


async def apps(rw: Runware) -> None:
    assert_type(rw.app("my-upscaler").call("run", scale=2), AppTask)
    assert_type(rw.app("my-upscaler").call("run", {"scale": 2}, wait=False), AppTask)
    assert_type(next(rw.app("my-upscaler").tasks()), AppTask)
    assert_type(await rw.aio.app("my-upscaler").call("run", scale=2), AppTask)
    assert_type([task async for task in rw.aio.app("my-upscaler").tasks()], list[AppTask])
    assert_type(rw.submit.app("my-upscaler").call("run", scale=2), AppJob)
    assert_type(rw.submit.app("my-upscaler").call("run", scale=2).result(), AppTask)
    assert_type(await rw.submit.app("my-upscaler").task("uuid"), AppTask)
    rw.app(7)  # type: ignore[arg-type]
    rw.app("my-upscaler").call(7)  # type: ignore[arg-type]
