"""How HTTP requests fail, when a fault makes them."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from runware.local.connection import reset_transport
from runware.local.encoding import encode_json
from runware.local.faults import HttpFault
from runware.local.validation import ApiError

__all__ = ["STATUS_OF_CODE", "fail_request"]

STATUS_OF_CODE = {
    "insufficientCredits": 402,
    "rateLimitExceeded": 429,
    "internalServerError": 500,
    "providerInternalError": 500,
    "inferenceError": 500,
    "serviceUnavailable": 503,
    "timeoutProvider": 504,
}
"""The HTTP status of error codes; others have 400."""


async def fail_request(request: web.BaseRequest, fault: HttpFault, tasks: list[Any]) -> web.StreamResponse:
    """Fail a request that had some tasks."""
    if fault.how == "cut" and request.transport is not None:
        reset_transport(request.transport)
    while fault.how == "never" and request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    if fault.body == "text":
        return web.Response(status=fault.status, text="upstream unavailable", headers=headers)
    codes = {status: code for code, status in STATUS_OF_CODE.items()}
    error = ApiError(codes.get(fault.status, "internalServerError"), "A fault is played.")
    errors = [error.to_object(task) for task in tasks if isinstance(task, dict)]
    frame = {"errors": errors} if fault.body == "error" else {"data": []}
    body = b"" if fault.body == "empty" else encode_json(frame).encode()
    return web.Response(status=fault.status, body=body, content_type="application/json", headers=headers)
