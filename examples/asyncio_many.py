"""Generate many images concurrently with asyncio, on one connection; print each URL as soon as it arrives.

python examples/asyncio_many.py --local                # against a local server: no key, no network
RUNWARE_API_KEY=... python examples/asyncio_many.py    # against the API
"""

from __future__ import annotations

import asyncio
import sys

from runware import AsyncRunware

SUBJECTS = ["a heron", "a harbour", "an orchard", "a glacier", "a night train", "a greenhouse"]


async def main(rw: AsyncRunware) -> None:
    async def generate(subject: str) -> None:
        (image,) = await rw.image_inference(
            positive_prompt=f"{subject}, woodcut", model="runware:101@1", width=512, height=512
        )
        print(f"{subject}: {image.url}")

    async with rw:
        await asyncio.gather(*(generate(subject) for subject in SUBJECTS))


if __name__ == "__main__":
    if "--local" in sys.argv:
        from runware.local import LocalServer

        with LocalServer(delay=lambda task: len(task["positivePrompt"]) / 40) as server:
            asyncio.run(main(AsyncRunware(server.api_key, url=server.url)))
    else:
        asyncio.run(main(AsyncRunware()))
