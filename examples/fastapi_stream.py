"""A web service that passes a text on while it is generated, as server-sent events.

python examples/fastapi_stream.py --local                                     # try it here
RUNWARE_API_KEY=... uvicorn fastapi_stream:app --app-dir examples             # against the API
curl -N 'http://127.0.0.1:8000/answer?question=Why+is+the+sea+salty'

When the client disconnects, the server stops reading, and the connection to Runware ends too.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator

from runware import RunwareError, get_client

try:
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
except ImportError as missing:
    print(f"skipped: this example needs FastAPI ({missing}): pip install fastapi uvicorn")
    sys.exit(0)

MODEL = "google:gemma@4-31b"
app = FastAPI()


@app.get("/answer")
async def answer(question: str) -> StreamingResponse:
    return StreamingResponse(events(question), media_type="text/event-stream")


async def events(question: str) -> AsyncIterator[str]:
    messages = [{"role": "user", "content": question}]
    try:
        async with get_client().aio.stream_text(model=MODEL, messages=messages, timeout=300) as stream:
            async for text in stream.text():
                yield event(text=text)
            whole = await stream.result()
        yield event(finish_reason=whole.finish_reason)
    except RunwareError as error:
        # The status is sent already, so the error is an event too.
        yield event(error=error.message)


def event(**fields: str | None) -> str:
    return f"data: {json.dumps(fields)}\n\n"


async def try_it() -> None:
    async def read(question: str) -> str:
        response = await answer(question)
        parts = [json.loads(str(part).removeprefix("data: ")) async for part in response.body_iterator]
        assert parts[-1] == {"finish_reason": "stop"}
        return "".join(part.get("text", "") for part in parts)

    answers = await asyncio.gather(*(read(f"question {number}") for number in range(20)))
    print(f"{len(answers)} answers at once; the first one: {answers[0]}")
    print(await anext(events("What is wrong? [error:invalidModel]")), end="")


if __name__ == "__main__":
    if "--local" not in sys.argv:
        sys.exit("Run it with uvicorn (see above), or try it with --local.")
    from runware.local import LocalServer

    with LocalServer() as server:
        os.environ.update(RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url)
        asyncio.run(try_it())
        get_client().close()
