"""Use `runware-sdk`. It runs in an environment of its own; see `tools/official_clients.py`."""

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

PICTURE = {
    "taskType": "imageInference",
    "model": "runware:101@1",
    "positivePrompt": "a red kite",
    "width": 512,
    "height": 512,
}
SOURCE = "cc000000-0000-4000-8000-000000000001"


async def main(url: str, http_url: str, key: str) -> dict[str, Any]:
    """Run all steps, and print their results."""
    client = sdk.Runware(api_key=key, transport="websocket", ws_base_url=url, http_base_url=f"{http_url}/v1")
    told: dict[str, Any] = {"version": importlib.metadata.version("runware-sdk")}

    async def step(name: str, call: Awaitable[Any], field: str = "") -> None:
        try:
            found = await asyncio.wait_for(call, 60)
            told[name] = {"text": found[0]["text"]} if not field else {"urls": [item[field] for item in found]}
        except Exception as error:
            if name == "validation error" and isinstance(error, sdk.RunwareError):
                told[name] = {"code": error.code, "parameter": error.parameter}
            else:
                told[name] = {"failed": f"{type(error).__name__}: {error}"}

    await step("image", client.run(PICTURE), "imageURL")
    await step("several images", client.run({**PICTURE, "numberResults": 3}), "imageURL")
    clip = {"taskType": "videoInference", "model": "klingai:5@3", "positivePrompt": "waves", "duration": 5}
    await step("video", client.run(clip), "videoURL")
    await step("caption", client.run({"taskType": "caption", "model": "runware:150@1", "inputs": {"image": SOURCE}}))
    upscale = {"taskType": "upscale", "model": "runware:501@1", "inputs": {"image": SOURCE}, "upscaleFactor": 2}
    await step("upscale", client.run(upscale), "imageURL")
    await step("validation error", client.run({**PICTURE, "width": 5}), "imageURL")
    await client.close()
    http = sdk.Runware(api_key=key, transport="rest", http_base_url=f"{http_url}/v1", serverless_base_url=http_url)
    await step("HTTP image", http.run(PICTURE), "imageURL")
    await step("HTTP video", http.run(clip), "videoURL")
    told["stream"] = await safely(streamed(http))
    told["serverless"] = await safely(http.invoke("kite-factory", "paint", {"colour": "red"}))
    await http.close()
    return told


async def streamed(client: Any) -> dict[str, Any]:
    """Stream a text."""
    question = {"role": "user", "content": "What is a lighthouse?"}
    stream = await client.stream(
        {"taskType": "textInference", "model": "google:gemma@4-31b", "messages": [question], "numberResults": 1}
    )
    pieces = [piece async for piece in stream.text_stream]
    result = await stream.result()
    return {
        "pieces": len(pieces),
        "joined": "".join(pieces),
        "text": result.text,
        "finish": result.finish_reason,
    }


async def safely(call: Awaitable[Any]) -> dict[str, Any]:
    """Return the result of a call, or that it failed."""
    try:
        return dict(await asyncio.wait_for(call, 60))
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
