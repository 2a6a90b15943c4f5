"""Many calls that are all rate-limited, over a real socket."""

from __future__ import annotations

import time

import pytest

from runware import RateLimitError, Runware, RunwareError
from runware.local import LocalServer

PICTURE = {"model": "runware:101@1", "width": 512, "height": 512}


def test_call_with_a_short_deadline_ends_in_time_among_thousands_of_rate_limited_ones() -> None:
    with (
        LocalServer(api_key="rw-test-key") as server,
        Runware(server.api_key, url=server.url, timeout=60.0, max_retries=100, retry_delay=0.05) as rw,
    ):
        told = {**PICTURE, "positive_prompt": "[rate-limit] a kite"}
        jobs = [rw.submit.image_inference(**told) for _ in range(5000)]
        start = time.monotonic()
        with pytest.raises(RunwareError) as caught:
            rw.image_inference(**told, timeout=1.0)
        took = time.monotonic() - start
        assert isinstance(caught.value, (RateLimitError, TimeoutError))
        assert took < 10.0  # a guard against work that grows with their number; benchmarks measure it
        for job in jobs:
            job.cancel()
        (image,) = rw.image_inference(**PICTURE, positive_prompt="a heron")
        assert image.url
