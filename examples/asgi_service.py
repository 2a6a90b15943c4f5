"""A web service that generates images: plain ASGI, so that it runs under uvicorn, hypercorn or Django's own server.

python examples/asgi_service.py --local                              # local server: 20 concurrent requests
RUNWARE_API_KEY=... uvicorn asgi_service:app --app-dir examples      # against the API; GET /?prompt=a+red+kite

All requests of a process share one client and its connection, which is created when the service starts.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, quote

from runware import ImageInference, RunwareError, ValidationError, get_client

Message = MutableMapping[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        query = parse_qs(scope["query_string"].decode())
        status, answer = await generate(query.get("prompt", [""])[0])
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def lifespan(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            await get_client().aio.connect()  # a wrong key stops the service here, instead of failing requests
        else:
            await get_client().aio.close()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


async def generate(prompt: str) -> tuple[int, dict[str, Any]]:
    if len(prompt) < 2:
        return 400, {"error": "The prompt is too short.", "parameter": "positive_prompt"}
    try:
        task = ImageInference(positive_prompt=prompt, model="runware:101@1", width=512, height=512, timeout=60)
        (image,) = await get_client().aio.run(task)
    except ValidationError as error:
        return 400, {"error": error.message, "parameter": error.parameter}
    except RunwareError as error:
        return 502, {"error": error.message, "task_uuid": error.task_uuid}
    return 200, {"url": image.url, "seed": image.seed}


async def ask(scope: Message) -> list[Message]:
    """Act as the server for one request, and return the messages that the service sends."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "lifespan.shutdown" if sent else "lifespan.startup"}

    await app(scope, receive, send)
    return sent


async def run_locally() -> None:
    await get_client().aio.connect()
    prompts = [f"kite {number}" for number in range(20)]
    answers = await asyncio.gather(
        *(ask({"type": "http", "query_string": f"prompt={quote(prompt)}".encode()}) for prompt in prompts)
    )
    print(f"{sum(start['status'] == 200 for start, _ in answers)} of {len(answers)} requests got an image")
    print(answers[0][1]["body"].decode())
    start, body = await ask({"type": "http", "query_string": b""})
    print(f"without a prompt: {start['status']} {body['body'].decode()}")
    await ask({"type": "lifespan"})


if __name__ == "__main__":
    if "--local" not in sys.argv:
        sys.exit("Run it with uvicorn (see above), or try it with --local.")
    from runware.local import LocalServer

    with LocalServer(delay=0.2) as server:
        os.environ.update(RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url)
        asyncio.run(run_locally())
