"""Run different operations concurrently on one connection: with jobs, and with asyncio.

python examples/concurrent_operations.py --local                # against a local server: no key, no network
RUNWARE_API_KEY=... python examples/concurrent_operations.py    # against the API
"""

from __future__ import annotations

import asyncio
import sys

from runware import Image, Runware


def with_jobs(rw: Runware, source: Image) -> None:
    images = rw.submit.image_inference(
        positive_prompt="abstract digital art", number_results=3, width=1024, height=1024
    )
    upscaled = rw.submit.upscale(input_image=source, upscale_factor=4)  # a result can be the input of another task
    cut_out = rw.submit.remove_background(input_image=source)
    caption = rw.submit.caption(input_image=source)

    print(f"  caption: {caption.result()}")
    print(f"  upscaled: {upscaled.result().url}")
    print(f"  without background: {cut_out.result().url}")
    for image in images:  # each as soon as it arrives
        print(f"  image: {image.url}")


async def with_asyncio(rw: Runware, source: Image) -> None:
    images, upscaled, cut_out, caption = await asyncio.gather(
        rw.aio.image_inference(positive_prompt="abstract digital art", number_results=3, width=1024, height=1024),
        rw.aio.upscale(input_image=source, upscale_factor=4),
        rw.aio.remove_background(input_image=source),
        rw.aio.caption(input_image=source),
    )
    print(f"  {len(images)} images, {upscaled.url}, {cut_out.url}, {caption}")


def main(rw: Runware) -> None:
    with rw:
        (source,) = rw.image_inference(
            positive_prompt="a red kite over dunes", model="runware:101@1", width=1024, height=1024
        )
        print("With jobs:")
        with_jobs(rw, source)
        print("With asyncio:")
        asyncio.run(with_asyncio(rw, source))


if __name__ == "__main__":
    if "--local" in sys.argv:
        from runware.local import LocalServer

        with LocalServer(delay=0.2, spread=0.1) as server:
            main(Runware(server.api_key, url=server.url))
    else:
        main(Runware())
