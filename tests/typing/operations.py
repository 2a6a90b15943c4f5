"""Checked by mypy and pyright, never run: what the interface forms infer. Expected errors are marked as ignored."""

from __future__ import annotations

from typing import assert_type

from runware import (
    Account,
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
    TaskDetails,
    Text,
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
    assert_type(rw.run({"taskType": "imageInference"}), Results[Result])


def jobs(rw: Runware) -> None:
    assert_type(rw.submit.video_inference(model="m"), Job[Results[Video]])
    assert_type(rw.submit.upscale_gan(input_image="u"), Job[Image | Video])
    assert_type(rw.submit.caption(input_image="u").result(), Text)
    for video in rw.submit.video_inference(model="m"):
        assert_type(video, Video)


async def asyncio(rw: Runware) -> None:
    assert_type(await rw.aio.video_inference(model="m"), Results[Video])
    assert_type(await rw.aio.model_search(), ModelPage)


def refused(rw: Runware) -> None:
    rw.video_inference(modell="m")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.video_inference(model=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rw.video_inference()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.get_response()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.submit.upscale(input_image=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rw.aio.caption(image="u")  # type: ignore[call-arg, unused-coroutine]  # pyright: ignore[reportCallIssue, reportUnusedCoroutine]
    rw.image_inferense  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnusedExpression]
