"""The bare limits: the least work that any Python client on websocket-client must do for the same tasks.

websocket-client is used in its fastest configuration: no UTF-8 check, no lock, no timeout on the socket (which would
cost a system call per read), no delay of small packets. With its defaults it takes two to four times as long, which is
measured as well.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib import import_module
from typing import Any

import websocket

from benchmarks.harness import Stopwatch

orjson: Any
try:
    orjson = import_module("orjson")
except ImportError:
    orjson = None

__all__ = ["JSON_LIBRARY", "PROMPT", "Bare", "Threaded", "dumps", "loads", "request", "tcp_ping_pong", "uuids"]

JSON_LIBRARY = "json" if orjson is None else "orjson"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

dumps: Callable[[Any], bytes]
loads: Callable[[bytes], Any]
if orjson is None:

    def dumps(value: Any) -> bytes:
        """Encode JSON with the standard library."""
        return _encode(value).encode()

    def loads(data: bytes) -> Any:
        """Parse JSON with the standard library."""
        return json.loads(data.decode())

else:
    dumps, loads = orjson.dumps, orjson.loads

PROMPT = "a lighthouse at dusk, waves, long exposure, film grain"


def request(uuid: str, prompt: str = PROMPT) -> dict[str, Any]:
    """Return the task that all measurements of small tasks use."""
    return {
        "taskType": "imageInference",
        "taskUUID": uuid,
        "positivePrompt": prompt,
        "model": "runware:101@1",
        "width": 1024,
        "height": 1024,
    }


def uuids(count: int) -> list[str]:
    """Return some UUIDs."""
    found = []
    for _ in range(count):
        digits = os.urandom(16).hex()
        found.append(f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}")
    return found


class Bare:
    """A bare websocket-client connection, authenticated.

    Args:
        port: The server's port.
        lean: Whether to configure it for speed; otherwise, as a program gets it that only sets a timeout.
        secure: Whether to connect over TLS.
    """

    def __init__(self, port: int, *, lean: bool = True, secure: bool = False) -> None:
        options: dict[str, Any] = {}
        if lean:
            nodelay = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            options = {"skip_utf8_validation": True, "enable_multithread": False, "sockopt": (nodelay,)}
        self.ws: Any = websocket.create_connection(f"ws{'s' * secure}://127.0.0.1:{port}/v1", timeout=60, **options)
        if lean:
            self.ws.settimeout(None)
        self.ws.send(dumps([{"taskType": "authentication", "apiKey": "bench"}]), websocket.ABNF.OPCODE_TEXT)
        self.ws.recv_data()

    def close(self) -> None:
        """Close the socket without a closing handshake."""
        self.ws.shutdown()

    def serial(self, count: int) -> Stopwatch:
        """Send and receive one after another; messages are encoded before, and responses not parsed."""
        ws = self.ws
        messages = [dumps([request(uuid)]) for uuid in uuids(count)]
        with Stopwatch() as watch:
            for message in messages:
                ws.send(message, websocket.ABNF.OPCODE_TEXT)
                ws.recv_data()
        return watch

    def serial_json(self, count: int) -> Stopwatch:
        """The same, with the UUID and the JSON of each request encoded, and each response parsed, in the loop."""
        ws = self.ws
        with Stopwatch() as watch:
            for _ in range(count):
                uuid = uuids(1)[0]
                ws.send(dumps([request(uuid)]), websocket.ABNF.OPCODE_TEXT)
                answer = loads(ws.recv_data()[1])
                assert answer["data"][0]["taskUUID"] == uuid
        return watch

    def pipelined(self, count: int, prompt: str = PROMPT) -> Stopwatch:
        """Send all, then receive all, with the JSON of both."""
        ws = self.ws
        names = uuids(count)
        waiting: dict[str, Any] = dict.fromkeys(names)
        with Stopwatch() as watch:
            for uuid in names:
                ws.send(dumps([request(uuid, prompt)]), websocket.ABNF.OPCODE_TEXT)
            for _ in range(count):
                answer = loads(ws.recv_data()[1])["data"][0]
                waiting[answer["taskUUID"]] = answer
        assert None not in waiting.values()
        return watch

    def large(self, count: int, size: int) -> Stopwatch:
        """Receive large results one after another, and parse their JSON."""
        ws = self.ws
        messages = [dumps([request(uuid, f"#size={size}")]) for uuid in uuids(count)]
        with Stopwatch() as watch:
            for message in messages:
                ws.send(message, websocket.ABNF.OPCODE_TEXT)
                answer = loads(ws.recv_data()[1])
                assert len(answer["data"][0]["imageBase64Data"]) == size
        return watch

    def large_together(self, count: int, size: int) -> Stopwatch:
        """Receive large results that were all requested at once, and parse their JSON."""
        ws = self.ws
        messages = [dumps([request(uuid, f"#size={size}")]) for uuid in uuids(count)]
        with Stopwatch() as watch:
            for message in messages:
                ws.send(message, websocket.ABNF.OPCODE_TEXT)
            for _ in messages:
                answer = loads(ws.recv_data()[1])
                assert len(answer["data"][0]["imageBase64Data"]) == size
        return watch

    def upload(self, count: int, medium: str) -> Stopwatch:
        """Send large inputs one after another, and wait for each response, with the JSON of both."""
        with Stopwatch() as watch:
            for _ in range(count):
                task = {**request(uuids(1)[0]), "seedImage": medium}
                self.ws.send(dumps([task]), websocket.ABNF.OPCODE_TEXT)
                loads(self.ws.recv_data()[1])
        return watch


class Threaded:
    """The least that a client with one I/O thread can do: the cost of one hand-over in each direction.

    The thread owns the socket, is woken by a byte, and signals the response through a lock. Nothing is encoded, looked
    up or kept.
    """

    def __init__(self, port: int) -> None:
        self._bare = Bare(port)
        self._sock: socket.socket = self._bare.ws.sock
        self._sock.setblocking(False)
        self._bell = socket.socketpair()
        self._inbox: deque[bytes] = deque()
        self._done = threading.Lock()
        self._done.acquire()
        self.answer = b""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._bell[0], selectors.EVENT_READ)
            selector.register(self._sock, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._sock:
                        self.answer = self._sock.recv(65_536)
                        if not self.answer:
                            return
                        self._done.release()
                        continue
                    if not self._bell[0].recv(4096):
                        return
                    while self._inbox:
                        self._sock.send(self._inbox.popleft())

    def serial(self, count: int) -> Stopwatch:
        """Send and receive one after another, through the thread."""
        create = websocket.ABNF.create_frame
        messages = [create(dumps([request(uuid)]), websocket.ABNF.OPCODE_TEXT).format() for uuid in uuids(count)]
        with Stopwatch() as watch:
            for message in messages:
                self._inbox.append(message)
                self._bell[1].send(b"\0")
                self._done.acquire()
        return watch

    def close(self) -> None:
        """End the thread and close the socket."""
        self._bell[1].close()
        self._thread.join(5)
        self._bell[0].close()
        self._bare.close()


def tcp_ping_pong(port: int, count: int, size: int = 300) -> float:
    """Return the seconds for round trips over plain TCP, one after another."""
    message = b"x" * size
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(None)
        started = time.perf_counter()
        for _ in range(count):
            sock.sendall(message)
            have = 0
            while have < size:
                have += len(sock.recv(65_536))
        return time.perf_counter() - started
