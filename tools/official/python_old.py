"""Use the older `runware`. It runs in an environment of its own; see `tools/official_clients.py`."""

# ruff: noqa: INP001, T201 - a script, which prints its results

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import json
import sys
from collections.abc import Awaitable
from typing import Any

sdk: Any = importlib.import_module("runware")  # theirs, not ours
types: Any = importlib.import_module("runware.types")

SOURCE = "cc000000-0000-4000-8000-000000000001"


def picture(**more: Any) -> Any:
    """Return an image request."""
    given = {"positivePrompt": "a red kite", "model": "runware:101@1", "width": 512, "height": 512}
    return types.IImageInference(**{**given, **more})


async def video(client: Any) -> Any:
    """Generate a video.

    This client returns the acknowledgement by default, and polls on request. It overlooks a response with the status
    `processing`, and polls again after 30 seconds.
    """
    request = types.IVideoInference(
        positivePrompt="waves", model="klingai:5@3", duration=5, width=1280, height=720, numberResults=1
    )
    accepted = await client.videoInference(requestVideo=request)
    return await client.getResponse(taskUUID=accepted.taskUUID, numberResults=1)


async def main(url: str, _: str, key: str) -> dict[str, Any]:
    """Run all steps, and print their results."""
    client = sdk.Runware(api_key=key, url=url)
    await client.connect()
    told: dict[str, Any] = {"version": importlib.metadata.version("runware")}

    async def step(name: str, call: Awaitable[Any], field: str = "") -> None:
        try:
            found = await asyncio.wait_for(call, 60)
            items = found if isinstance(found, list) else [found]
            told[name] = {"text": items[0].text} if not field else {"urls": [getattr(item, field) for item in items]}
        except Exception as error:
            wire = getattr(error, "error_data", None)
            if name == "validation error" and isinstance(wire, dict):
                told[name] = {"code": wire.get("code"), "parameter": wire.get("parameter")}
            else:
                told[name] = {"failed": f"{type(error).__name__}: {error}"}

    await step("image", client.imageInference(requestImage=picture()), "imageURL")
    await step("several images", client.imageInference(requestImage=picture(numberResults=3)), "imageURL")
    await step("video", video(client), "videoURL")
    await step("caption", client.imageCaption(requestImageToText=types.IImageCaption(inputImage=SOURCE)))
    upscale = types.IImageUpscale(inputImage=SOURCE, upscaleFactor=2)
    await step("upscale", client.imageUpscale(upscaleGanPayload=upscale), "imageURL")
    await step("validation error", client.imageInference(requestImage=picture(width=5)), "imageURL")
    await client.disconnect()
    return told


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
