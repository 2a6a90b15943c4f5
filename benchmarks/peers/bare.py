"""The limits: `lean` and `default` are loops on websocket-client with JSON (see `baseline.py`), `tcp` is bytes only.

For the URL of HTTP, both are loops of httpx2 POSTs.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2
from serving import HOLD, Cannot, Peer, medium, serve

from benchmarks.baseline import PROMPT, Bare, dumps, loads, request, tcp_ping_pong, uuids
from benchmarks.harness import Stopwatch


class Posts:
    """What a program does without a client: encode a task, post it, and parse the answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        headers = {"Authorization": "Bearer bench", "Content-Type": "application/json"}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        self.http = httpx2.Client(headers=headers, limits=limits, timeout=60.0, trust_env=False)
        self.pool = ThreadPoolExecutor(100)

    def post(self, prompt: str) -> None:
        """Run a task."""
        uuid = uuids(1)[0]
        answer = loads(self.http.post(self.url, content=dumps([request(uuid, prompt)])).content)
        assert answer["data"][0]["taskUUID"] == uuid

    def serial_json(self, count: int) -> Stopwatch:
        """Run one task after another."""
        with Stopwatch() as watch:
            for _ in range(count):
                self.post(PROMPT)
        return watch

    def pipelined(self, count: int, prompt: str) -> Stopwatch:
        """Run all at once, each in a thread."""
        with Stopwatch() as watch:
            for done in [self.pool.submit(self.post, prompt) for _ in range(count)]:
                done.result()
        return watch


class Loop(Peer):
    """A loop that does nothing else: no callbacks, no polling, no second connection."""

    def __init__(self, *, lean: bool) -> None:
        self.lean = lean

    def open(self, url: str) -> None:
        over_http = url.startswith("http:")
        self.bare: Any = Posts(url) if over_http else Bare(urlsplit(url).port or 0, lean=self.lean)

    def do_serial(self, count: int, seconds: float) -> dict[str, Any]:
        return {"count": count, "wall": self.bare.serial_json(count).wall}

    def do_flight(self, count: int, *, surviving: bool = False) -> dict[str, Any]:
        return {"wall": self.bare.pipelined(count, HOLD).wall, "right": count}

    def do_large(self, count: int, size: int, *, plain: bool = False) -> dict[str, Any]:
        return {"wall": self.bare.large(count, size).wall}

    def do_upload(self, count: int, size: int) -> dict[str, Any]:
        return {"wall": self.bare.upload(count, medium(size)).wall}


class Tcp(Peer):
    """Round trips of bytes."""

    def do_open(self, url: str) -> dict[str, Any]:
        self.port = urlsplit(url).port or 0
        return {}

    def do_serial(self, count: int, seconds: float) -> dict[str, Any]:
        return {"count": count, "wall": tcp_ping_pong(self.port, count)}

    def do_large(self, count: int, size: int, *, plain: bool = False) -> dict[str, Any]:
        raise Cannot("bytes only")

    def do_upload(self, count: int, size: int) -> dict[str, Any]:
        raise Cannot("bytes only")


if __name__ == "__main__":
    kind = sys.argv[1]
    serve(Tcp() if kind == "tcp" else Loop(lean=kind == "lean"))
