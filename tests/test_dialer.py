"""Connecting to peers that drip, stay silent or answer wrongly, and peers that misbehave once connected."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runware import ConnectionFailedError

from .conftest import until
from .net import listening, read_head, swallowing
from .test_io_loop import client_for, frame, read_frame, upgrade
from .test_three_interfaces import PICTURE

DIALS = "runware-dial"


def dial_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(DIALS)]


def drip(sock: socket.socket, head: bytes) -> None:
    """Send it byte by byte, without end."""
    sock.sendall(head)
    while True:
        sock.sendall(b"x")
        time.sleep(0.02)  # the pace of the drip


class Peer:
    """Records when its connections begin and end."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self.begun = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)

    def __call__(self, sock: socket.socket) -> None:
        try:
            sock.recv(1)
            self.begun.release()
            self._behave(sock)
        except OSError:
            pass
        finally:
            self.ended.release()


def silent(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


def drips_an_upgrade(sock: socket.socket) -> None:
    drip(sock, b"HTTP/1.1 101 Switching Protocols\r\nX-Drip: ")


def drips_a_status(sock: socket.socket) -> None:
    drip(sock, b"HTTP/1.1 503 Unavailable\r\nContent-Length: 100000\r\nX-Drip: ")


def drips_connect(sock: socket.socket) -> None:
    drip(sock, b"HTTP/1.1 200 OK\r\nX-Drip: ")


def drips_tls(sock: socket.socket) -> None:
    drip(sock, b"\x16\x03\x03\x40\x00")


def drips_socks(sock: socket.socket) -> None:
    sock.sendall(b"\x05\x00")
    drip(sock, b"\x05\x00\x00\x03\xff")


WAYS: dict[str, tuple[str, dict[str, str], Callable[[socket.socket], None], str]] = {
    "an upgrade that drips": ("ws://127.0.0.1:{port}/v1", {}, drips_an_upgrade, "upgrade"),
    "a refusal that drips": ("ws://127.0.0.1:{port}/v1", {}, drips_a_status, "upgrade"),
    "a silent upgrade": ("ws://127.0.0.1:{port}/v1", {}, silent, "upgrade"),
    "TLS that drips": ("wss://127.0.0.1:{port}/v1", {}, drips_tls, "TLS"),
    "silent TLS": ("wss://127.0.0.1:{port}/v1", {}, silent, "TLS"),
    "CONNECT that drips": ("wss://192.0.2.1/v1", {"proxy": "http://127.0.0.1:{port}"}, drips_connect, "proxy"),
    "a silent CONNECT": ("wss://192.0.2.1/v1", {"proxy": "http://127.0.0.1:{port}"}, silent, "proxy"),
    "SOCKS that drips": ("wss://192.0.2.1/v1", {"proxy": "socks5h://127.0.0.1:{port}"}, drips_socks, "proxy"),
    "silent SOCKS": ("wss://192.0.2.1/v1", {"proxy": "socks5h://127.0.0.1:{port}"}, silent, "proxy"),
}


@pytest.fixture(params=WAYS.values(), ids=list(WAYS))
def way(request: pytest.FixtureRequest) -> Iterator[tuple[Peer, str, dict[str, str], str]]:
    url, options, behave, stage = request.param
    peer = Peer(behave)
    with listening(peer) as port:
        given = {name: value.format(port=port) for name, value in options.items()}
        yield peer, url.format(port=port), given, stage


class TestPeerThatNeverFinishes:
    def test_connect_timeout_limits_the_attempt(self, way: tuple[Peer, str, dict[str, str], str]) -> None:
        peer, url, options, stage = way
        client = client_for(url, connect_timeout=0.4, **options)
        start = time.monotonic()
        with pytest.raises(ConnectionFailedError) as caught:
            client.connect()
        assert time.monotonic() - start < 10
        assert caught.value.stage == stage
        assert peer.ended.acquire(timeout=10)
        until(lambda: not dial_threads())
        client.close()

    def test_close_ends_the_attempt_at_once(self, way: tuple[Peer, str, dict[str, str], str]) -> None:
        peer, url, options, _ = way
        client = client_for(url, connect_timeout=60.0, **options)
        job = client.submit.image_inference(**PICTURE)
        assert peer.begun.acquire(timeout=10)
        start = time.monotonic()
        client.close()
        assert job.done()
        assert peer.ended.acquire(timeout=10)
        until(lambda: not dial_threads())
        assert time.monotonic() - start < 5


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
class TestUnansweredTcpConnect:
    def test_close_ends_the_attempt_at_once(self) -> None:
        with swallowing() as port:
            client = client_for(f"ws://127.0.0.1:{port}/v1", connect_timeout=60.0)
            client.submit.image_inference(**PICTURE)
            until(lambda: client._core.io_loop()._session._connection.stage == "TCP")
            client.close()
            until(lambda: not dial_threads())


class TestUpgradeResponse:
    def answer(self, reply: bytes | Callable[[str], bytes]) -> tuple[ConnectionFailedError, bytes]:
        """Return the client's error, and what the client sent after the response."""
        after: list[bytes] = []

        def handler(sock: socket.socket) -> None:
            head = read_head(sock).decode()
            key = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
            sock.sendall(reply if isinstance(reply, bytes) else reply(key))
            with contextlib.suppress(OSError):
                while data := sock.recv(65536):
                    after.append(data)

        with listening(handler) as port:
            client = client_for(f"ws://127.0.0.1:{port}/v1", connect_timeout=5.0)
            with pytest.raises(ConnectionFailedError) as caught:
                client.connect()
            client.close()
        assert caught.value.stage == "upgrade"
        return caught.value, b"".join(after)

    @pytest.mark.parametrize("status", [100, 200, 204, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 500, 503])
    @pytest.mark.parametrize("as_if", [False, True], ids=["alone", "with the headers of an upgrade"])
    def test_only_status_101_is_an_upgrade(self, status: int, as_if: bool) -> None:
        """websocket-client 1.8 accepts a redirect as one, so that the key was sent."""

        def reply(key: str) -> bytes:
            headers = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept(key)}\r\n"
            return (f"HTTP/1.1 {status} Something\r\nLocation: ws://127.0.0.1:9/\r\n{headers * as_if}\r\n").encode()

        error, after = self.answer(reply)
        assert f"responded with {status}" in str(error)
        assert after == b""
        assert error.retryable is (status not in (400, 401, 403))

    @pytest.mark.parametrize(
        "wrong", ["Sec-WebSocket-Accept: AAAA", "X: y", "Sec-WebSocket-Accept:"], ids=["wrong", "none", "empty"]
    )
    def test_wrong_accept_header_is_no_upgrade(self, wrong: str) -> None:
        head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{wrong}\r\n\r\n"
        error, after = self.answer(head.encode())
        assert "upgrade failed" in str(error)
        assert after == b""

    def test_correct_accept_header_is_an_upgrade(self) -> None:
        def reply(key: str) -> bytes:
            return (
                f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept(key)}\r\n\r\n"
            ).encode() + b"\xff"

        sent = threading.Event()

        def handler(sock: socket.socket) -> None:
            head = read_head(sock).decode()
            key = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
            sock.sendall(reply(key)[:-1])
            if b"rw-test-key" in read_frame(sock)[1]:
                sent.set()

        with listening(handler) as port:
            client = client_for(f"ws://127.0.0.1:{port}/v1", connect_timeout=5.0)
            client.submit.image_inference(**PICTURE)
            assert sent.wait(10)
            client.close()

    @pytest.mark.parametrize(
        "reply", [b"SSH-2.0-nothing\r\n\r\n", b"\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 x y\r\n\r\n"]
    )
    def test_response_that_is_not_http_is_rejected(self, reply: bytes) -> None:
        error, after = self.answer(reply)
        assert "did not respond in HTTP" in str(error)
        assert after == b""

    def test_endless_response_head_is_given_up(self) -> None:
        error, after = self.answer(b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-Long: y\r\n" * 50_000)
        assert "too long" in str(error)
        assert after == b""

    def test_bytes_after_the_upgrade_response_are_not_lost(self) -> None:
        """The server's first frame may be in the same packet."""
        seen = threading.Event()

        def handler(sock: socket.socket) -> None:
            class Joined:
                """Sends the response head together with a ping."""

                def __getattr__(self, name: str) -> Any:
                    return getattr(sock, name)

                def sendall(self, data: bytes) -> None:
                    sock.sendall(data + frame(0x89, b"early"))

            upgrade(Joined())  # type: ignore[arg-type]
            frames = [read_frame(sock), read_frame(sock)]
            if (0x8A, b"early") in frames:
                seen.set()
            sock.recv(1)

        with listening(handler) as port:
            client = client_for(f"ws://127.0.0.1:{port}/v1", connect_timeout=10.0)
            client.submit.image_inference(**PICTURE)
            assert seen.wait(10)
            client.close()


def accept(key: str) -> str:
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


def authenticate(sock: socket.socket) -> None:
    upgrade(sock)
    assert read_frame(sock)[0] == 0x81
    reply = {"data": [{"taskType": "authentication", "connectionSessionUUID": "s"}]}
    sock.sendall(frame(0x81, json.dumps(reply).encode()))


def answer_task(sock: socket.socket) -> None:
    """Answer every request with one result."""
    while True:
        opcode, text = read_frame(sock)
        if opcode != 0x81:
            return
        (task,) = json.loads(text)
        item = {**{name: task.get(name) for name in ("taskType", "taskUUID")}, "imageUUID": "i", "status": "success"}
        item["taskType"] = "imageInference"
        sock.sendall(frame(0x81, json.dumps({"data": [item]}).encode()))


class Deaf:
    """Sends malformed data after the first task of its first connection, and behaves on the next one."""

    def __init__(self, strange: Callable[[socket.socket], None]) -> None:
        self.strange = strange
        self.connections = 0
        self.lost = threading.Event()

    def __call__(self, sock: socket.socket) -> None:
        self.connections += 1
        if self.connections > 1:
            authenticate(sock)
            answer_task(sock)
            return
        authenticate(sock)
        read_frame(sock)
        try:
            self.strange(sock)
        except OSError:
            self.lost.set()


def until_it_fails(pieces: Callable[[], bytes], pause: float) -> Callable[[socket.socket], None]:
    def send(sock: socket.socket) -> None:
        while True:
            sock.sendall(pieces())
            time.sleep(pause)  # the pace of the peer

    return send


def begun(head: bytes, then: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def send(sock: socket.socket) -> None:
        sock.sendall(head)
        then(sock)

    return send


ENDLESS: dict[str, Callable[[socket.socket], None]] = {
    "a length of 2^40": begun(b"\x81\x7f" + struct.pack("!Q", 1 << 40), until_it_fails(lambda: b"x" * 1000, 0.01)),
    "a length with its highest bit set": begun(
        b"\x81\xff"[:1] + b"\x7f" + b"\xff" * 8, until_it_fails(lambda: b"x", 0.01)
    ),
    "a frame that trickles": begun(b"\x81\x7f" + struct.pack("!Q", 10_000_000), until_it_fails(lambda: b"x", 0.02)),
    "a frame above the cap that trickles": begun(
        b"\x81\x7f" + struct.pack("!Q", 300_000_000), until_it_fails(lambda: b"x", 0.02)
    ),
    "empty fragments": begun(b"\x01\x01x", until_it_fails(lambda: b"\x00\x00" * 100, 0.01)),
}


@pytest.mark.parametrize("strange", ENDLESS.values(), ids=list(ENDLESS))
def test_endless_message_is_no_sign_of_life(strange: Callable[[socket.socket], None]) -> None:
    peer = Deaf(strange)
    with listening(peer) as port:
        with client_for(f"ws://127.0.0.1:{port}/v1", liveness_timeout=1.0) as client:
            start = time.monotonic()
            client.image_inference(**PICTURE)
            assert time.monotonic() - start < 10
            assert client.stats.drops == 1
        assert peer.lost.wait(10)


def test_large_frame_over_a_slow_line_arrives() -> None:
    """At 64 KiB a second it takes several times `liveness_timeout`, and a ping is not answered before it ends."""

    def slow(sock: socket.socket) -> None:
        authenticate(sock)
        (task,) = json.loads(read_frame(sock)[1])
        item = {"taskType": "imageInference", "taskUUID": task["taskUUID"], "imageBase64Data": "A" * 160_000}
        text = json.dumps({"data": [item]}).encode()
        message = b"\x81\x7f" + struct.pack("!Q", len(text)) + text
        for place in range(0, len(message), 3200):
            sock.sendall(message[place : place + 3200])
            time.sleep(0.05)  # the line's speed
        sock.recv(1)

    with listening(slow) as port:
        client = client_for(f"ws://127.0.0.1:{port}/v1", liveness_timeout=0.6)
        (image,) = client.image_inference(**PICTURE, output_type="base64Data")
        assert len(image.base64_data or "") == 160_000
        assert client.stats.drops == 0
        client.close()


def test_ping_flood_of_a_peer_that_does_not_read_takes_no_memory() -> None:
    flooded = threading.Event()
    most: list[int] = [0]

    def flood(sock: socket.socket) -> None:
        authenticate(sock)
        read_frame(sock)
        pings = frame(0x89, b"p" * 100) * 600
        end = time.monotonic() + 20.0  # a guard
        while time.monotonic() < end and most[0] < 100 and client.stats.bytes_received < 5_000_000:
            sock.sendall(pings)
        flooded.set()
        sock.recv(1)

    with listening(flood) as port:
        client = client_for(f"ws://127.0.0.1:{port}/v1", liveness_timeout=20.0)
        client.submit.image_inference(**PICTURE)
        io_loop: Any = client._core.io_loop()
        while not flooded.wait(0.001):
            if (connection := io_loop._connection) is not None:
                most[0] = max(most[0], len(connection.writer.waiting))
        client.close()
    assert client.stats.bytes_received > 1_000_000
    assert most[0] <= 3


def test_flood_of_invalid_messages_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    strange = [b"not json", json.dumps({"errors": [{"code": "x", "taskUUID": "nobody"}]}).encode()]

    def handler(sock: socket.socket) -> None:
        authenticate(sock)
        text = read_frame(sock)[1]
        for _ in range(500):
            for one in strange:
                sock.sendall(frame(0x81, one))
        item = {**{name: json.loads(text)[0][name] for name in ("taskType", "taskUUID")}, "imageUUID": "i"}
        sock.sendall(frame(0x81, json.dumps({"data": [item]}).encode()))
        sock.recv(1)

    with listening(handler) as port, caplog.at_level(logging.WARNING):
        client = client_for(f"ws://127.0.0.1:{port}/v1")
        client.image_inference(**PICTURE)
        client.close()
    assert 10 <= len([record for record in caplog.records if record.name == "runware.session"]) <= 100


def test_rate_limited_warnings_are_counted() -> None:
    from runware._support.logs import RepeatLimit

    spare = RepeatLimit(most=3, period=10.0)

    def record(at: float, message: str = "strange: %s", level: int = logging.WARNING) -> logging.LogRecord:
        made = logging.LogRecord("x", level, __file__, 1, message, ("value",), None)
        made.created = at
        return made

    assert [spare.filter(record(100.0 + number)) for number in range(8)] == [True] * 3 + [False] * 5
    assert all(spare.filter(record(101.0, level=logging.INFO)) for _ in range(100))
    assert spare.filter(record(101.0, "other"))
    late = record(111.0)
    assert spare.filter(late)
    assert late.getMessage() == "strange: value (and 5 more like it, not logged)"
    assert spare.filter(record(112.0))
