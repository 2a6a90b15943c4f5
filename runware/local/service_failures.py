"""Fail requests to the services that describe models, as fault X25 asks for it."""

from __future__ import annotations

import asyncio

from aiohttp import web

from runware.local.connection import reset_transport
from runware.local.faults import ServiceFault

__all__ = ["fail_service"]

_PAGE = "<!DOCTYPE html><html><body>We will be back soon.</body></html>"
_NONSENSE = '{"version":7,"models":"none","items":3,"requestSchema":[]}'
_BLOCK = b" " * 2**20
_MOST_BLOCKS = 64


async def fail_service(request: web.BaseRequest, fault: ServiceFault, body: str) -> web.StreamResponse:
    """Answer a request with a failure.

    Args:
        request: The request.
        fault: The failure.
        body: The answer that would be right.
    """
    match fault.form:
        case "html" | "error":
            return web.Response(status=fault.status, text=_PAGE, content_type="text/html")
        case "nonsense":
            return web.Response(text=_NONSENSE, content_type="application/json")
        case "stall":
            await asyncio.Event().wait()  # until the server stops
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        if fault.form == "huge":
            for _ in range(_MOST_BLOCKS):
                await response.write(_BLOCK)
        elif fault.form == "cut":
            await response.write(body[: len(body) // 2].encode())
            if request.transport is not None:
                reset_transport(request.transport)
        for character in body if fault.form == "drip" else "":
            await response.write(character.encode())
            await asyncio.sleep(fault.every)
    except ConnectionError:  # the client has read enough
        pass
    return response
