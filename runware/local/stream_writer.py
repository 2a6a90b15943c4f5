"""Write token streams to their clients."""

from __future__ import annotations

import asyncio

from aiohttp import web

from runware.local.connection import reset_transport
from runware.local.stream_plan import StreamPlan

__all__ = ["write_stream"]


async def write_stream(request: web.BaseRequest, response: web.StreamResponse, plan: StreamPlan, spread: float) -> None:
    """Write a stream.

    Args:
        request: The request.
        response: The response, which was prepared.
        plan: What to write.
        spread: Seconds between two writes; 0 leaves them to the plan.

    Raises:
        ConnectionError: The client has left.
    """
    transport = request.transport
    for position, chunk in enumerate(plan.chunks()):
        if position:
            # Chunks written in one step of the loop would reach the client together.
            await asyncio.sleep(spread or plan.pause)
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        await response.write(chunk)
    if transport is None:
        return
    if plan.end == "rst":
        reset_transport(transport)
    elif plan.end == "fin":
        transport.close()
    elif plan.end != "done":
        while not transport.is_closing():
            await asyncio.sleep(0.01)
            if plan.end == "pings":
                await response.write(b": ping\n\n")
        raise ConnectionResetError
