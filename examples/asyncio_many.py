"""Many pictures at once with asyncio, on one connection; each is shown as soon as it is there.

python examples/asyncio_many.py --local                # no key and no network: a server on this machine
RUNWARE_API_KEY=... python examples/asyncio_many.py    # the real thing
"""

from __future__ import annotations

import asyncio
import sys

from runware import AsyncRunware

SUBJECTS = ["a heron", "a harbour", "an orchard", "a glacier", "a night train", "a greenhouse"]


async def main(rw: AsyncRunware) -> None:
    async def paint(subject: str) -> None:
        (image,) = await rw.image_inference(
            positive_prompt=f"{subject}, woodcut", model="runware:101@1", width=512, height=512
        )
        print(f"{subject}: {image.url}")

    async with rw:
        await asyncio.gather(*(paint(subject) for subject in SUBJECTS))


if __name__ == "__main__":
    if "--local" in sys.argv:
        from runware.local import LocalServer

        with LocalServer(delay=lambda task: len(task["positivePrompt"]) / 40) as server:
            asyncio.run(main(AsyncRunware(server.api_key, url=server.url)))
    else:
        asyncio.run(main(AsyncRunware()))
