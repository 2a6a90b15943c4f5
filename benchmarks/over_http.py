"""Calls over HTTP against bare `httpx2` requests, one after another and a hundred at once.

The server is `runware.local` in a process of its own, which speaks HTTP as the API does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2

from benchmarks.baseline import request
from benchmarks.harness import Column, Context, Figure, Stopwatch, cpu, environment, interleave, wall
from benchmarks.loopback import MICRO, small
from runware import Runware

__all__ = ["http"]

KEY = "rw-bench-key"
AT_ONCE = 100
_SERVER = f"""
import sys
from runware.local import LocalServer

with LocalServer(api_key={KEY!r}) as server:
    print(server.http_url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def _server() -> Iterator[str]:
    """Run a server, and give its URL."""
    command = [sys.executable, "-c", _SERVER]
    process = subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        yield f"{process.stdout.readline().strip()}/v1"
        process.stdin.close()


class _BarePost:
    """What a program does without a client: encode a task, post it, and decode the answer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.client = httpx2.Client(
            headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            timeout=60.0,
        )

    def __call__(self) -> str:
        body = json.dumps([request(str(uuid.uuid4()))]).encode()
        url: str = self.client.post(self._url, content=body).json()["data"][0]["imageURL"]
        return url


def http(context: Context) -> list[Figure]:
    """One call over HTTP after another, and a hundred at once."""
    count, slices = 50, 10 if context.quick else 20
    with (
        _server() as url,
        Runware(KEY, transport="http", url=url, timeout=300.0, max_in_flight=AT_ONCE) as rw,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        bare = _BarePost(url)
        parameters = small()

        def bare_serial() -> Stopwatch:
            with Stopwatch() as watch:
                for _ in range(count):
                    bare()
            return watch

        def own_serial() -> Stopwatch:
            with Stopwatch() as watch:
                for _ in range(count):
                    rw.image_inference(**parameters)
            return watch

        def bare_together() -> Stopwatch:
            with Stopwatch() as watch:
                for done in [pool.submit(bare) for _ in range(5 * AT_ONCE)]:
                    done.result()
            return watch

        def own_together() -> Stopwatch:
            with Stopwatch() as watch:
                for job in [rw.submit.image_inference(**parameters) for _ in range(5 * AT_ONCE)]:
                    job.result()
            return watch

        usual, own = interleave(context.runs, bare_serial, own_serial, slices=slices)
        many, own_many = interleave(context.runs, bare_together, own_together, slices=3)
        bare.client.close()

    def per_call(name: str, column: Column[Stopwatch], calls: int, note: str) -> Figure:
        return Figure(f"http.{name}", [one / calls * MICRO for one in column.each(wall)], "us", "lower", note)

    return [
        Figure("http.ratio", own.over(usual, wall), "x", "lower", "one call after another / bare httpx2 POST"),
        Figure("http.cpu", own.over(usual, cpu), "x", "lower", "CPU of that"),
        Figure("http.100.ratio", own_many.over(many, wall), "x", "lower", "100 at once / the same with 100 threads"),
        per_call("ours", own, count, "a call"),
        per_call("bare", usual, count, "a bare httpx2 POST"),
        per_call("100.ours", own_many, 5 * AT_ONCE, "a call, 100 at once"),
        per_call("100.bare", many, 5 * AT_ONCE, "a bare POST, 100 threads"),
    ]
