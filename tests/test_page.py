"""The JavaScript library's documentation page, its examples in Python, in every style."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from runware import AsyncRunware, IncompleteResultsError, Runware, RunwareError, ValidationError
from runware.local import LocalServer

from .conftest import Face

SQUARE = {"model": "runware:101@1", "width": 1024, "height": 1024}


def test_basic_setup(rw: Runware, face: Face) -> None:
    images = face(rw, "request_images", positive_prompt="A serene mountain landscape at sunset", **SQUARE)
    assert images[0].image_url.startswith("http")


class TestInitialization:
    def test_synchronous(self, server: LocalServer) -> None:
        rw = Runware(api_key=server.api_key, url=server.url, reconnect=True, max_retries=3)
        assert server.ledger.connections == 0
        images = rw.request_images(positive_prompt="A bustling city street at night", **SQUARE)
        assert images[0].url
        rw.disconnect()

    def test_asynchronous(self, server: LocalServer) -> None:
        async def main() -> None:
            rw = await AsyncRunware.initialize(api_key=server.api_key, url=server.url, timeout=60.0)
            assert server.ledger.connections == 1
            images = await rw.request_images(positive_prompt="Professional headshot portrait", **SQUARE)
            assert images[0].url
            await rw.disconnect()

        asyncio.run(main())

    def test_manual(self, server: LocalServer) -> None:
        rw = Runware(api_key=server.api_key, url=server.url)
        rw.ensure_connection()
        assert rw.submit.request_images(positive_prompt="Professional headshot portrait", **SQUARE).result()[0].url
        rw.disconnect()


def test_progressive_results(rw: Runware, server: LocalServer, face: Face) -> None:
    """The first result is there while the others still run, and progress is counted."""
    server.configure(frame_size=1)
    shown: list[str] = []
    progress: list[float] = []

    def on_partial(partial: Any, error: RunwareError | None) -> None:
        assert error is None
        shown.extend(image.url for image in partial)
        progress.append(partial.completed / partial.total)
        server.release(1)  # only now can the next one come
        if partial.completed == 5:
            told.set()

    told = threading.Event()
    with server.hold():
        first = threading.Thread(
            target=lambda: (server.ledger.wait_for(lambda ledger: ledger.held == 5), server.release(1))
        )
        first.start()
        images = face(
            rw, "request_images", positive_prompt="A collection of architectural sketches", **SQUARE,
            number_results=5, on_partial=on_partial,
        )  # fmt: skip
        first.join()
    assert told.wait(10)
    assert [image.url for image in images] == shown
    assert progress == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_concurrent_images(rw: Runware, face: Face) -> None:
    prompts = ["Abstract digital art", "Ocean waves", "Forest in autumn"]
    if face.name == "asyncio":

        async def main() -> list[Any]:
            return await asyncio.gather(
                *(rw.aio.request_images(positive_prompt=p, number_results=3, width=1024, height=1024) for p in prompts)
            )

        results = asyncio.run(main())
    elif face.name == "job":
        jobs = [rw.submit.request_images(positive_prompt=p, number_results=3, width=1024, height=1024) for p in prompts]
        results = [job.result() for job in jobs]
    else:
        results = [rw.request_images(positive_prompt=p, number_results=3, width=1024, height=1024) for p in prompts]
    assert [len(images) for images in results] == [3, 3, 3]


class TestErrorHandling:
    def test_the_message_and_the_uuid(self, rw: Runware, face: Face) -> None:
        with pytest.raises(RunwareError) as caught:
            face(
                rw, "request_images", positive_prompt="A detailed architectural rendering", model="runware:101@1",
                width=1000, height=1024, steps=50,
            )  # fmt: skip
        assert isinstance(caught.value, ValidationError)
        assert caught.value.message
        assert caught.value.task_uuid

    def test_partial_success_reaches_the_callback_and_the_error(self, rw: Runware, face: Face) -> None:
        told: list[tuple[int, RunwareError | None]] = []

        def on_partial(partial: Any, error: RunwareError | None) -> None:
            told.append((len(partial.all), error))

        with pytest.raises(IncompleteResultsError) as caught:
            face(
                rw, "request_images", positive_prompt="[fail:4] landscape photographs", width=1024, height=1024,
                number_results=4, retry=0, seed=1, on_partial=on_partial,
            )  # fmt: skip
        assert len(caught.value.results) == 3
        if face.name != "job":
            assert told[-1][0] == 3
            assert isinstance(told[-1][1], IncompleteResultsError)


def test_per_request_configuration(rw: Runware, server: LocalServer, face: Face) -> None:
    images = face(
        rw, "request_images", positive_prompt="Ultra-detailed fantasy artwork", **SQUARE, retry=5, include_cost=True,
        on_partial=lambda partial, error: None,
    )  # fmt: skip
    assert images.cost is not None
    assert server.ledger.received[-1]["includeCost"] is True
    assert "retry" not in server.ledger.received[-1]
