"""This client through its asyncio interface."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from awaiting import AsyncPeer, serve_async
from ours import asked, make, read, small, telling
from serving import EVERY, NUMBER

from runware import Runware


class Async(AsyncPeer):
    """Calls that are awaited."""

    rw: Runware

    async def open(self, url: str) -> None:
        self.rw = make(url)
        if not url.startswith("http"):  # there, it would only check the key, by a request of its own
            await self.rw.aio.connect()

    def call(self, prompt: str, seed_image: str | None = None) -> Awaitable[Any]:
        if seed_image is None:
            return self.rw.aio.image_inference(positive_prompt=prompt, model="runware:101@1", width=1024, height=1024)
        return self.rw.aio.image_inference(**small(prompt, seed_image=seed_image))

    def data(self, results: Any) -> str:
        text: str = results[0].base64_data
        return text

    used = staticmethod(read)

    async def partial(self, told: Callable[[int], object]) -> None:
        await self.rw.aio.image_inference(**small(EVERY, number_results=NUMBER), on_partial=telling(told))

    async def stream(self, prompt: str, told: Callable[[str], object]) -> None:
        async with self.rw.aio.stream_text(**asked(prompt)) as stream:
            async for text in stream.text():
                told(text)

    async def polled(self, prompt: str) -> int:
        return (await self.rw.aio.image_inference(**small(prompt), delivery_method="async"))[0].seed or 0


if __name__ == "__main__":
    serve_async(Async())
