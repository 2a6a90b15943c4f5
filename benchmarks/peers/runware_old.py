"""The older `runware` from PyPI, used as in its README: one client, `imageInference`, and `gather` for many.

Its settings, all documented (environment variables, which `compare` sets):
- `RUNWARE_MAX_CONCURRENT_REQUESTS`: the default allows 15 calls in flight.
- `RUNWARE_VIDEO_INITIAL_TIMEOUT`, `RUNWARE_VIDEO_POLLING_DELAY`: a second each. It overlooks a response with the status
  `processing`; by default, it waits 30 seconds for another one, and then 3 more before it polls again.
- A polled task is two of its calls, `imageInference` with `deliveryMethod="async"` and `getResponse`.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from awaiting import AsyncPeer, serve_async
from serving import EVERY, NUMBER, Cannot

sdk: Any = importlib.import_module("runware")  # theirs, not ours
types: Any = importlib.import_module("runware.types")


def small(prompt: str, **more: Any) -> Any:
    """Return the request that all clients send."""
    return types.IImageInference(positivePrompt=prompt, model="runware:101@1", width=1024, height=1024, **more)


class Old(AsyncPeer):
    """The client."""

    async def open(self, url: str) -> None:
        if url.startswith("http"):
            raise Cannot("HTTP for streams of text only")
        self.client = sdk.Runware(api_key="bench", url=url)
        await self.client.connect()

    def call(self, prompt: str, seed_image: str | None = None) -> Awaitable[Any]:
        if seed_image is None:
            return self.client.imageInference(requestImage=small(prompt))  # type: ignore[no-any-return]
        return self.client.imageInference(requestImage=small(prompt, seedImage=seed_image))  # type: ignore[no-any-return]

    def data(self, results: Any) -> str:
        return str(results[0].imageBase64Data)

    async def partial(self, told: Callable[[int], object]) -> None:
        def tell(images: Any, error: Any) -> None:
            for image in images:
                told(image.seed)

        request = small(EVERY, numberResults=NUMBER, onPartialImages=tell)
        await self.client.imageInference(requestImage=request)

    async def polled(self, prompt: str) -> int:
        accepted = await self.client.imageInference(requestImage=small(prompt, deliveryMethod="async"))
        return int((await self.client.getResponse(taskUUID=accepted.taskUUID))[0].seed)


if __name__ == "__main__":
    serve_async(Old())
