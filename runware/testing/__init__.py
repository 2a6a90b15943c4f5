"""A client for unit tests, which answers its calls itself: no server, no network, no thread.

    from runware.testing import FakeRunware

    rw = FakeRunware()
    rw.respond("image_inference", {"url": "https://cdn.test/kite.jpg"})
    assert paint(rw, "a red kite") == "https://cdn.test/kite.jpg"
    assert rw.calls[0].request.positive_prompt == "a red kite"

It is a real client up to the point where a request would be sent: parameters are checked, results are parsed, and jobs
and asyncio work. What happens on the network is the business of `runware.local`.
"""

from __future__ import annotations

from runware.testing.client import FakeRunware
from runware.testing.http_service import AppRequest, ChatRequest
from runware.testing.responses import FakeCall, FakeResponse

__all__ = ["AppRequest", "ChatRequest", "FakeCall", "FakeResponse", "FakeRunware"]
