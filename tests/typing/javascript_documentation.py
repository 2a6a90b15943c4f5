"""The page's typed example: parameters, results and errors, as type checkers see them."""

from concurrent.futures import as_completed
from typing import assert_type

from runware import Image, ImageInference, Partial, Results, Runware, RunwareError, Text, Video

rw = Runware("key")

request = ImageInference(
    positive_prompt="A professional product photograph", model="runware:101@1", width=1024, height=1024, steps=30
)


def handle_streaming_error(partial: Partial[Image], error: RunwareError | None) -> None:
    if error:
        print(f"Task {error.task_uuid} failed: {error.message}")
    for image in partial.all:
        assert_type(image, Image)


def typed_usage() -> None:
    images = rw.run(request)
    assert_type(images, Results[Image])
    assert_type(images[0].image_url, str | None)
    assert_type(images[0].meta.elapsed, float)
    rw.request_images(positive_prompt="x", on_partial=handle_streaming_error)


def other_operations() -> None:
    assert_type(rw.request_image_to_text(input_image="u"), Text)
    assert_type(rw.video_inference(model="klingai:5@3", positive_prompt="x")[0], Video)
    assert_type(rw.upscale_gan(input_image="u", upscale_factor=4), Image | Video)


def several_at_once() -> None:
    jobs = [rw.submit.video_inference(model="klingai:5@3", positive_prompt=prompt) for prompt in ("waves", "traffic")]
    for job in as_completed(jobs):
        assert_type(job.result(), Results[Video])


def mistakes() -> None:
    ImageInference(positive_prompt="x", width="1024")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ImageInference(positive_promt="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rw.request_images(positive_prompt="x", number_results="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
