"""Parse the body of a message: an array of tasks."""

from __future__ import annotations

import json
from typing import Any

from runware.local.switches import Switches
from runware.local.validation import DOCUMENTATION

__all__ = ["bad_request", "parse_tasks"]


def bad_request(switches: Switches, message: str) -> dict[str, Any]:
    """Create the error object for a malformed message or task."""
    return {"code": switches.q14, "message": message, "documentation": DOCUMENTATION}


def parse_tasks(switches: Switches, payload: bytes) -> tuple[dict[str, Any] | None, list[Any]]:
    """Parse a message; return an error object or `None`, and the tasks."""
    try:
        body = json.loads(payload.decode())
    except (ValueError, RecursionError):
        return bad_request(switches, "The message is not JSON."), []
    if not isinstance(body, list):
        return bad_request(switches, "An array is required."), []
    if switches.q15 and len(body) > switches.q15:
        return bad_request(switches, f"At most {switches.q15} tasks in one message."), []
    return None, body
