"""`runware-sdk` from PyPI, used as in its README: one client, `run()`, and `gather` for many.

Its settings:
- The transport is WebSocket, or REST for a URL of HTTP.
- `taskType` is set, so that nothing is looked up, and `deliveryMethod: "sync"`, its "single-roundtrip delivery"; its
  default polls, after a second at the earliest. That is so over REST too, where its default is a POST for the
  acknowledgement and more POSTs to poll: with `sync`, a call is one POST, as for the others.
- Polled tasks, and calls that should survive a lost connection, use its default, `async`: only those are documented to
  be sent again.
- 2 MB results need a custom `ws_connect`, without the limit of `websockets` of 1 MiB per message.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from awaiting import AsyncPeer, serve_async
from serving import EVERY, NUMBER

sdk: Any = importlib.import_module("runware")  # theirs, not ours
websockets: Any = importlib.import_module("websockets")


def small(prompt: str, **more: Any) -> dict[str, Any]:
    """Return the parameters of the task that all clients run."""
    task = {"taskType": "imageInference", "positivePrompt": prompt, "model": "runware:101@1", "width": 1024}
    return {**task, "height": 1024, **more}


def http(url: str) -> str:
    """Give the URL for its streams, which are apart from the WebSocket."""
    return url.replace("ws", "http", 1)


class Sdk(AsyncPeer):
    """The client."""

    async def open(self, url: str) -> None:
        self.url = url
        self.unlimited: Any = None
        if url.startswith("http"):
            self.client = sdk.Runware(api_key="bench", transport="rest", http_base_url=url)
        else:
            self.client = sdk.Runware(api_key="bench", transport="websocket", ws_base_url=url, http_base_url=http(url))
        await self.client.connect()

    def call(self, prompt: str, seed_image: str | None = None) -> Awaitable[Any]:
        if seed_image is None:
            return self.client.run(small(prompt, deliveryMethod="sync"))  # type: ignore[no-any-return]
        return self.client.run(small(prompt, deliveryMethod="sync", seedImage=seed_image))  # type: ignore[no-any-return]

    def surviving(self, prompt: str) -> Awaitable[Any]:
        return self.client.run(small(prompt))  # type: ignore[no-any-return]

    def data(self, results: Any) -> str:
        return str(results[0]["imageBase64Data"])

    async def partial(self, told: Callable[[int], object]) -> None:
        options = sdk.RunOptions(on_result=lambda item: told(item["seed"]))
        await self.client.run(small(EVERY, deliveryMethod="sync", numberResults=NUMBER), options)

    async def stream(self, prompt: str, told: Callable[[str], object]) -> None:
        messages = [{"role": "user", "content": prompt}]
        task = {"taskType": "textInference", "model": "google:gemma@4-31b", "messages": messages}
        stream = await self.client.stream(task)
        async for text in stream.text_stream:
            told(text)

    async def polled(self, prompt: str) -> int:
        return int((await self.client.run(small(prompt)))[0]["seed"])

    @asynccontextmanager
    async def wide(self) -> AsyncIterator[None]:
        usual = self.client
        if self.unlimited is None:
            connect = sdk.RuntimeDependencies(ws_connect=lambda url: websockets.connect(url, max_size=None))
            how = {"transport": "websocket", "ws_base_url": self.url, "dependencies": connect}
            self.unlimited = sdk.Runware(api_key="bench", **how)
            await self.unlimited.connect()
        self.client = self.unlimited
        try:
            yield
        finally:
            self.client = usual


if __name__ == "__main__":
    serve_async(Sdk())
