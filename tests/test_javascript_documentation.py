"""The examples of the JavaScript library's documentation, in Python, in every style."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from runware import (
    AsyncRunware,
    Image,
    ImageInference,
    IncompleteResultsError,
    Partial,
    Results,
    Runware,
    RunwareError,
    Text,
    ValidationError,
    Video,
)
from runware.local import LocalServer

from .conftest import Interface

SQUARE = {"model": "runware:101@1", "width": 1024, "height": 1024}


def test_basic_setup_of_the_page_returns_image_urls(rw: Runware, interface: Interface) -> None:
    images = interface(rw, "request_images", positive_prompt="A serene mountain landscape at sunset", **SQUARE)
    assert images[0].image_url.startswith("http")


class TestInitialization:
    def test_blocking_client_connects_at_the_first_call(self, server: LocalServer) -> None:
        rw = Runware(api_key=server.api_key, url=server.url, reconnect=True, max_retries=3)
        assert server.ledger.connections == 0
        images = rw.request_images(positive_prompt="A bustling city street at night", **SQUARE)
        assert images[0].url
        rw.disconnect()

    def test_asyncio_client_connects_at_initialize(self, server: LocalServer) -> None:
        async def main() -> None:
            rw = await AsyncRunware.initialize(api_key=server.api_key, url=server.url, timeout=60.0)
            assert server.ledger.connections == 1
            images = await rw.request_images(positive_prompt="Professional headshot portrait", **SQUARE)
            assert images[0].url
            await rw.disconnect()

        asyncio.run(main())

    def test_ensure_connection_connects_before_the_first_call(self, server: LocalServer) -> None:
        rw = Runware(api_key=server.api_key, url=server.url)
        rw.ensure_connection()
        assert rw.submit.request_images(positive_prompt="Professional headshot portrait", **SQUARE).result()[0].url
        rw.disconnect()


def test_progressive_results_are_reported_as_they_arrive(
    rw: Runware, server: LocalServer, interface: Interface
) -> None:
    """The first result arrives while the others still run, and progress is counted."""
    server.configure(frame_size=1)
    shown: list[str] = []
    progress: list[float] = []

    def on_partial(partial: Any, error: RunwareError | None) -> None:
        assert error is None
        shown.extend(image.url for image in partial)
        progress.append(partial.completed / partial.total)
        server.release(1)  # only now can the next one arrive
        if partial.completed == 5:
            told.set()

    told = threading.Event()
    with server.hold():
        first = threading.Thread(
            target=lambda: (server.ledger.wait_for(lambda ledger: ledger.held == 5), server.release(1))
        )
        first.start()
        images = interface(
            rw, "request_images", positive_prompt="A collection of architectural sketches", **SQUARE,
            number_results=5, on_partial=on_partial,
        )  # fmt: skip
        first.join()
    assert told.wait(10)
    assert [image.url for image in images] == shown
    assert progress == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_images_are_generated_concurrently(rw: Runware, interface: Interface) -> None:
    prompts = ["Abstract digital art", "Ocean waves", "Forest in autumn"]
    if interface.name == "asyncio":

        async def main() -> list[Any]:
            return await asyncio.gather(
                *(rw.aio.request_images(positive_prompt=p, number_results=3, width=1024, height=1024) for p in prompts)
            )

        results = asyncio.run(main())
    elif interface.name == "job":
        jobs = [rw.submit.request_images(positive_prompt=p, number_results=3, width=1024, height=1024) for p in prompts]
        results = [job.result() for job in jobs]
    else:
        results = [rw.request_images(positive_prompt=p, number_results=3, width=1024, height=1024) for p in prompts]
    assert [len(images) for images in results] == [3, 3, 3]


class TestLongOperations:
    CLIP: ClassVar = {
        "positive_prompt": "A serene mountain landscape at sunset",
        "model": "klingai:5@3",
        "duration": 10,
    }
    PROMPTS = ("Ocean waves at sunset", "City traffic time-lapse", "Forest in autumn")

    def test_video_inference_waits_for_the_video(self, rw: Runware, server: LocalServer, interface: Interface) -> None:
        rw.connect()
        server.configure(delay=0.2)
        response = interface(rw, "video_inference", **self.CLIP, width=1920, height=1080)
        assert isinstance(response[0], Video)
        assert response[0].video_url.endswith(".mp4")
        assert server.ledger.polls(response[0].task_uuid) >= 1

    def test_video_call_waits_for_a_long_operation(self, server: LocalServer) -> None:
        rw = Runware(server.api_key, url=server.url, long_timeout=600.0, max_retries=3, retry_delay=2.0)
        rw.connect()
        response = rw.video_inference(
            positive_prompt="Complex cinematic sequence with multiple scenes",
            model="google:3@0",
            duration=8,
            width=1280,
            height=720,
        )
        assert response[0].url
        rw.disconnect()

    def test_three_videos_run_concurrently_as_jobs(self, rw: Runware, server: LocalServer) -> None:
        rw.connect()
        with server.hold():
            jobs = [
                rw.submit.video_inference(positive_prompt=prompt, model="klingai:5@3", duration=10)
                for prompt in self.PROMPTS
            ]
            server.ledger.wait_for(lambda ledger: ledger.held == 3)  # all of them run at the same time
        self.check([job.result() for job in jobs], server)

    def test_three_videos_run_concurrently_in_asyncio(self, rw: Runware, server: LocalServer) -> None:
        async def main() -> list[Results[Video]]:
            await rw.aio.connect()
            videos = asyncio.gather(
                *(
                    rw.aio.video_inference(positive_prompt=prompt, model="klingai:5@3", duration=10)
                    for prompt in self.PROMPTS
                )
            )
            await asyncio.to_thread(server.ledger.wait_for, lambda ledger: ledger.held == 3)
            server.release()
            return await videos

        with server.hold():
            results = asyncio.run(main())
        self.check(results, server)

    def test_three_videos_run_concurrently_in_blocking_code(self, rw: Runware, server: LocalServer) -> None:
        """With the caller's own threads, or with `map`."""
        with ThreadPoolExecutor(3) as pool, server.hold():
            calls = [
                pool.submit(rw.video_inference, positive_prompt=prompt, model="klingai:5@3", duration=10)
                for prompt in self.PROMPTS
            ]
            server.ledger.wait_for(lambda ledger: ledger.held == 3)
            server.release()
            results = [call.result() for call in calls]
        self.check(results, server)
        clips = [{"positive_prompt": prompt, "model": "klingai:5@3", "duration": 10} for prompt in self.PROMPTS]
        self.check(list(rw.map(rw.video_inference, clips)), server)

    def check(self, results: list[Results[Video]], server: LocalServer) -> None:
        assert [server.ledger.record(videos[0].task_uuid).prompt for videos in results] == list(self.PROMPTS)
        assert len({videos[0].video_url for videos in results}) == 3
        assert server.ledger.connections == 1


class TestConcurrentOperations:
    """Images, an upscale, a background removal and a caption concurrently, on one connection."""

    ABSTRACT: ClassVar = {"positive_prompt": "Abstract digital art", "number_results": 3, "width": 1024, "height": 1024}
    SOME_UUID = "cc000000-0000-4000-8000-000000000001"

    def test_different_operations_run_concurrently_in_asyncio(self, rw: Runware, server: LocalServer) -> None:
        async def main() -> Any:
            together = asyncio.gather(
                rw.aio.request_images(**self.ABSTRACT),
                rw.aio.upscale_gan(input_image=self.SOME_UUID, upscale_factor=4),
                rw.aio.remove_image_background(input_image=self.SOME_UUID),
                rw.aio.request_image_to_text(input_image=self.SOME_UUID),
            )
            await asyncio.to_thread(server.ledger.wait_for, lambda ledger: ledger.held == 6)
            server.release()
            return await together

        with server.hold():
            self.check(asyncio.run(main()), server)

    def test_different_operations_run_concurrently_as_jobs(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            jobs = (
                rw.submit.request_images(**self.ABSTRACT),
                rw.submit.upscale_gan(input_image=self.SOME_UUID, upscale_factor=4),
                rw.submit.remove_image_background(input_image=self.SOME_UUID),
                rw.submit.request_image_to_text(input_image=self.SOME_UUID),
            )
            server.ledger.wait_for(lambda ledger: ledger.held == 6)
        self.check([job.result() for job in jobs], server)

    def test_different_operations_run_concurrently_in_blocking_code(self, rw: Runware, server: LocalServer) -> None:
        with ThreadPoolExecutor(4) as pool, server.hold():
            calls = (
                pool.submit(rw.request_images, **self.ABSTRACT),
                pool.submit(rw.upscale_gan, input_image=self.SOME_UUID, upscale_factor=4),
                pool.submit(rw.remove_image_background, input_image=self.SOME_UUID),
                pool.submit(rw.request_image_to_text, input_image=self.SOME_UUID),
            )
            server.ledger.wait_for(lambda ledger: ledger.held == 6)
            server.release()
            self.check([call.result() for call in calls], server)

    def check(self, results: Any, server: LocalServer) -> None:
        images, upscaled, cut_out, caption = results
        assert [type(image) for image in images] == [Image] * 3
        assert isinstance(upscaled, Image)
        assert isinstance(cut_out, Image)
        assert isinstance(caption, Text)
        assert upscaled.input_image_uuid == cut_out.input_image_uuid == self.SOME_UUID
        assert caption.text
        assert server.ledger.connections == 1
        # A workflow: the result of one operation is the input of the next.
        with Runware(server.api_key, url=server.url) as rw:
            larger = rw.upscale_gan(input_image=images[0], upscale_factor=2)
            assert larger.input_image_uuid == images[0].uuid


class TestErrorHandling:
    def test_error_has_message_and_uuid(self, rw: Runware, interface: Interface) -> None:
        with pytest.raises(RunwareError) as caught:
            interface(
                rw, "request_images", positive_prompt="A detailed architectural rendering", model="runware:101@1",
                width=1000, height=1024, steps=50,
            )  # fmt: skip
        assert isinstance(caught.value, ValidationError)
        assert caught.value.message
        assert caught.value.task_uuid

    def test_partial_success_reaches_the_callback_and_the_error(self, rw: Runware, interface: Interface) -> None:
        told: list[tuple[int, RunwareError | None]] = []

        def on_partial(partial: Any, error: RunwareError | None) -> None:
            told.append((len(partial.all), error))

        with pytest.raises(IncompleteResultsError) as caught:
            interface(
                rw, "request_images", positive_prompt="[fail:4] landscape photographs", width=1024, height=1024,
                number_results=4, retry=0, seed=1, on_partial=on_partial,
            )  # fmt: skip
        assert len(caught.value.results) == 3
        if interface.name != "job":
            assert told[-1][0] == 3
            assert isinstance(told[-1][1], IncompleteResultsError)


def test_timeout_and_retry_can_be_set_per_request(rw: Runware, server: LocalServer, interface: Interface) -> None:
    images = interface(
        rw, "request_images", positive_prompt="Ultra-detailed fantasy artwork", **SQUARE, retry=5, include_cost=True,
        on_partial=lambda partial, error: None,
    )  # fmt: skip
    assert images.cost is not None
    assert server.ledger.received[-1]["includeCost"] is True
    assert "retry" not in server.ledger.received[-1]


def test_parameters_can_be_a_request_object(rw: Runware, interface: Interface) -> None:
    """`tests/typing/javascript_documentation.py` checks what type checkers make of this."""
    request = ImageInference(
        positive_prompt="A professional product photograph", model="runware:101@1", width=1024, height=1024, steps=30
    )
    told: list[str] = []

    def handle(partial: Partial[Image], error: RunwareError | None) -> None:
        if error:
            told.append(f"Task {error.task_uuid} failed: {error.message}")

    images = interface(rw, "run", task=request)
    assert isinstance(images, Results)
    assert isinstance(images[0], Image)
    failing = ImageInference(positive_prompt="[unsafe] a product", model="runware:101@1", on_partial=handle)
    with pytest.raises(RunwareError) as caught:
        interface(rw, "run", task=failing)
    if interface.name != "job":
        assert told == [f"Task {caught.value.task_uuid} failed: {caught.value.message}"]
