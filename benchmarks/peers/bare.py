"""The limits: `lean` and `default` are loops on websocket-client with JSON (see `baseline.py`), `socket` is bytes only.

For the URL of HTTP, the first two are loops of httpx2 POSTs.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2
from serving import HOLD, Peer, medium, serve

from benchmarks.baseline import PROMPT, Bare, dumps, loads, request, uuids
from benchmarks.harness import Stopwatch


class Posts:
    """What a program does without a client: encode a task, post it, and parse the answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        headers = {"Authorization": "Bearer bench", "Content-Type": "application/json"}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        verify = ssl.create_default_context()
        self.http = httpx2.Client(headers=headers, limits=limits, timeout=60.0, trust_env=False, verify=verify)
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
        scheme, port = urlsplit(url).scheme, urlsplit(url).port or 0
        over_http = scheme.startswith("http")
        self.bare: Any = Posts(url) if over_http else Bare(port, lean=self.lean, secure=scheme == "wss")

    def do_serial(self, count: int, seconds: float) -> dict[str, Any]:
        return {"count": count, "wall": self.bare.serial_json(count).wall}

    def do_flight(self, count: int, *, surviving: bool = False) -> dict[str, Any]:
        return {"wall": self.bare.pipelined(count, HOLD).wall, "right": count}

    def do_large(self, count: int, size: int, *, plain: bool = False) -> dict[str, Any]:
        return {"wall": self.bare.large(count, size).wall}

    def do_upload(self, count: int, size: int) -> dict[str, Any]:
        return {"wall": self.bare.upload(count, medium(size)).wall}


UPGRADE = (
    b"GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: cnVud2FyZS1ydW53YXJlLQ==\r\n\r\n"
)


def frame(task: dict[str, Any]) -> bytes:
    """Return the frame of a task, with a mask of zeros, which changes nothing."""
    payload = dumps([task])
    length = len(payload)
    size = (127, length.to_bytes(8, "big")) if length > 65_535 else (126, length.to_bytes(2, "big"))
    return bytes((0x81, 0x80 | size[0])) + size[1] + bytes(4) + payload


class Socket(Peer):
    """The bytes of the same messages through a bare `socket`, or over TLS an `SSLSocket`.

    The requests are encoded before, and the responses are read into the same memory each time, and not parsed.
    """

    def open(self, url: str) -> None:
        place = urlsplit(url)
        self.sock = socket.create_connection((place.hostname, place.port), timeout=60.0)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if place.scheme == "wss":
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=place.hostname)
        self.sock.settimeout(None)
        self.space = memoryview(bytearray(4_000_000))
        self.sock.sendall(UPGRADE)
        while not bytes(self.space[: self.sock.recv_into(self.space)]).endswith(b"\r\n\r\n"):
            pass

    def exchange(self, frames: list[bytes]) -> float:
        """Send each frame and read the one that answers it; return the seconds."""
        send, read, space = self.sock.sendall, self.sock.recv_into, self.space
        started = time.perf_counter()
        for one in frames:
            send(one)
            have = read(space)
            head = {126: 4, 127: 10}.get(space[1], 2)
            need = head + (int.from_bytes(space[2:head], "big") if head > 2 else space[1])
            while have < need:
                have += read(space[have:])
        return time.perf_counter() - started

    def do_serial(self, count: int, seconds: float) -> dict[str, Any]:
        return {"count": count, "wall": self.exchange([frame(request(uuid)) for uuid in uuids(count)])}

    def do_large(self, count: int, size: int, *, plain: bool = False) -> dict[str, Any]:
        return {"wall": self.exchange([frame(request(uuid, f"#size={size}")) for uuid in uuids(count)])}

    def do_upload(self, count: int, size: int) -> dict[str, Any]:
        seed_image = medium(size)
        return {"wall": self.exchange([frame({**request(uuid), "seedImage": seed_image}) for uuid in uuids(count)])}


if __name__ == "__main__":
    kind = sys.argv[1]
    serve(Socket() if kind == "socket" else Loop(lean=kind == "lean"))
