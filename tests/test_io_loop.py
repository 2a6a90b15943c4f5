"""The I/O loop over real sockets: connecting, TLS, proxies, large frames, drops, and its end."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import pathlib
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trustme

import runware.transport.dialer as edge
from runware import (
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    ImageInference,
    PayloadTooLargeError,
    Runware,
    RunwareError,
    TaskTimeoutError,
)
from runware.events import Resolved
from runware.local import LocalServer
from runware.protocol.call import Call
from runware.protocol.session import Session
from runware.transport.io_loop import IOLoop
from runware.transport.poller import READ
from runware.webhooks import WebhookReceiver

from .conftest import Interface, until
from .net import listening, pump, read_head, refusing_port
from .test_three_interfaces import PICTURE

TEXT: dict[str, Any] = {"model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "Hello"}]}
CALL = '[call:{} {{"port": "Oslo"}}]'
PICTURE_UUID = "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"


def tide(port: str) -> str:
    """Return the tide of a port."""
    return port


async def ebb(port: str) -> str:
    """Return the ebb of a port."""
    return port


async def awaited(method: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Any:
    return await method(*arguments, **named)


async def first(items: AsyncIterator[Any]) -> Any:
    return await anext(aiter(items))


def client_for(url: str, **options: Any) -> Runware:
    return Runware("rw-test-key", url=url, **{"timeout": 20.0, "retry_delay": 0.02, "max_retries": 0, **options})


class TestConnectionStages:
    def fail(self, url: str, *, retryable: bool = True, **options: Any) -> ConnectionFailedError:
        client = client_for(url, **options)
        try:
            with pytest.raises(ConnectionFailedError) as caught:
                client.image_inference(**PICTURE)
        finally:
            client.close()
        assert caught.value.retryable is retryable
        assert "rw-test-key" not in str(caught.value)
        return caught.value

    def test_failed_name_lookup_reports_its_stage(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_name(*args: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(edge.socket, "getaddrinfo", no_name)
        error = self.fail("wss://no-such-host.invalid/v1")
        assert (error.stage, error.host) == ("name lookup", "no-such-host.invalid:443")
        assert isinstance(error.__cause__, socket.gaierror)

    def test_refused_tcp_connect_reports_its_stage(self) -> None:
        port = refusing_port()
        error = self.fail(f"ws://127.0.0.1:{port}/v1")
        assert (error.stage, error.host) == ("TCP", f"127.0.0.1:{port}")
        assert isinstance(error.__cause__, ConnectionRefusedError)
        assert "refused" in str(error)

    @pytest.mark.parametrize("status", ["404 Not Found", "503 Service Unavailable", "302 Found", "200 OK"])
    def test_refused_upgrade_reports_its_stage(self, status: str) -> None:
        def handler(sock: socket.socket) -> None:
            read_head(sock)
            sock.sendall(f"HTTP/1.1 {status}\r\nLocation: ws://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n".encode())

        with listening(handler) as port:
            error = self.fail(f"ws://127.0.0.1:{port}/v1", retryable=not status.startswith("404"))
        assert error.stage == "upgrade"

    def test_unanswered_upgrade_reports_its_stage(self) -> None:
        with listening(lambda sock: sock.recv(1 << 20) and read_head(sock) and None) as port:
            start = time.monotonic()
            error = self.fail(f"ws://127.0.0.1:{port}/v1", connect_timeout=0.3)
        assert error.stage == "upgrade"
        assert time.monotonic() - start < 10

    def test_unanswered_authentication_reports_its_stage(self, server: LocalServer) -> None:
        server.play("X1")
        error = self.fail(server.url, connect_timeout=0.3)
        assert error.stage == "authentication"

    def test_hanging_name_lookup_is_given_up_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        go_on = threading.Event()

        def hang(*args: Any) -> Any:
            go_on.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "later")

        monkeypatch.setattr(edge.socket, "getaddrinfo", hang)
        error = self.fail("ws://127.0.0.1:9/v1", connect_timeout=0.3)
        go_on.set()
        assert error.stage == "name lookup"

    def test_key_function_that_returns_nothing_or_raises_fails_the_call(self, server: LocalServer) -> None:
        keys = iter(["", "rw-test-key"])
        client = Runware(lambda: next(keys), url=server.url)
        with pytest.raises(ConfigurationError, match="api_key"):
            client.image_inference(**PICTURE)
        assert len(client.image_inference(**PICTURE)) == 1
        client.close()

        def broken() -> str:
            raise RuntimeError("vault is sealed")

        client = Runware(broken, url=server.url)
        with pytest.raises(ConnectionFailedError) as caught:
            client.image_inference(**PICTURE)
        assert caught.value.stage == "key"
        client.close()


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def tls_server(self, authority: trustme.CA) -> Iterator[LocalServer]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        with LocalServer(api_key="rw-test-key", ssl_context=context) as server:
            yield server

    def test_private_authority_of_an_ssl_context_is_trusted(
        self, tls_server: LocalServer, authority: trustme.CA
    ) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with client_for(tls_server.url, ssl_context=context) as client:
            (image,) = client.image_inference(**PICTURE, output_type="base64Data", output_format="PNG")
            assert image.read().startswith(b"\x89PNG")

    def test_authority_in_ssl_cert_file_is_trusted(
        self, tls_server: LocalServer, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        edge.default_context.cache_clear()
        try:
            with client_for(tls_server.url) as client:
                assert len(client.image_inference(**PICTURE)) == 1
        finally:
            edge.default_context.cache_clear()

    def test_unknown_authority_fails_at_once_with_advice(self, tls_server: LocalServer) -> None:
        client = client_for(tls_server.url, max_retries=5)
        with pytest.raises(ConnectionFailedError, match="SSL_CERT_FILE") as caught:
            client.image_inference(**PICTURE)
        assert caught.value.stage == "TLS"
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        client.close()

    def test_twenty_megabytes_arrive_while_small_calls_run(
        self, tls_server: LocalServer, authority: trustme.CA
    ) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        large(tls_server)
        with client_for(tls_server.url, ssl_context=context) as client:
            big = client.submit.image_inference(positive_prompt="large image", timeout=55.0)
            small = [client.submit.image_inference(**PICTURE, seed=seed) for seed in range(1, 201)]
            assert [job.result()[0].seed for job in small] == list(range(1, 201))
            (image,) = big.result()
            assert len(image.base64_data or "") == 20_000_000
        assert tls_server.ledger.connections == 1

    def test_io_thread_sleeps_only_with_nothing_left_to_do_over_tls(
        self, tls_server: LocalServer, authority: trustme.CA
    ) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with client_for(tls_server.url, ssl_context=context, max_in_flight=2) as client:
            watch_sleep(client, tls_server)


def test_io_thread_sleeps_only_with_nothing_left_to_do(server: LocalServer) -> None:
    with client_for(server.url, max_in_flight=2) as client:
        watch_sleep(client, server)


def watch_sleep(client: Runware, server: LocalServer) -> None:
    """Run many tasks with several results, some of them queued, and check the state at each sleep of the I/O thread."""
    naps: list[float] = []
    late: list[str] = []

    class Watched:
        def __init__(self, io_loop: Any) -> None:
            self.io_loop = io_loop
            self.real = io_loop._poller

        def poll(self, timeout: float | None) -> Any:
            io_loop, connection = self.io_loop, self.io_loop._connection
            if timeout != 0 and connection is not None:
                naps.extend([timeout] * (timeout == 1))
                unwritten = connection.writer.waiting or connection.chunk
                late.extend(["a message"] * bool(unwritten and connection.interest == READ))
                late.extend(["a caller"] * bool(io_loop._to_wake))
                late.extend(["bytes in TLS"] * connection.stream.pending)
                late.extend(["whoever posts"] * (not io_loop._asleep and not io_loop._inbox))
            return self.real.poll(timeout)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    client.connect()
    io_loop: Any = client._core.io_loop()
    io_loop._poller = Watched(io_loop)
    server.configure(spread=0.002)
    told: list[int] = []

    def on_partial(results: Any, error: Any) -> None:
        told.extend([len(results)])
        more.append(client.submit.image_inference(**PICTURE))  # while the thread may be in its short sleep

    more: list[Any] = []
    for _ in range(30):  # on a busy machine there may be no moment for a short sleep
        told.clear()
        jobs = [client.submit.image_inference(**PICTURE, number_results=4, on_partial=on_partial) for _ in range(5)]
        assert [len(job.result()) for job in jobs] == [4] * 5
        asleep(lambda: sum(told) == 20)
        assert [len(job.result()) for job in more] == [1] * len(more)
        if naps:
            break
    assert naps
    assert not late


def asleep(condition: Callable[[], bool]) -> None:
    """Poll for a condition that nothing signals."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def large(server: LocalServer) -> None:
    """Answer the prompt `large image` with 20 MB."""

    def script(task: dict[str, Any]) -> list[Any] | None:
        if task.get("positivePrompt") != "large image":
            return None
        names = {"taskType": "imageInference", "taskUUID": task["taskUUID"], "imageUUID": task["taskUUID"]}
        return [{"data": [{**names, "imageBase64Data": "iVBO" * 5_000_000}]}]

    server.script(script)


class TestProxies:
    @pytest.fixture
    def proxy(self) -> Iterator[tuple[int, list[bytes]]]:
        heads: list[bytes] = []

        def handler(sock: socket.socket) -> None:
            head = read_head(sock)
            heads.append(head)
            expected = base64.b64encode(b"user name:pass:word")
            if b"Proxy-Authorization: Basic " + expected not in head:
                sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                return
            host, port = head.split()[1].decode().rsplit(":", 1)
            with socket.create_connection((host, int(port)), 5) as target:
                sock.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
                pump(sock, target)

        with listening(handler) as port:
            yield port, heads

    def test_connect_request_authenticates_at_the_proxy(
        self, server: LocalServer, proxy: tuple[int, list[bytes]]
    ) -> None:
        port, heads = proxy
        with client_for(server.url, proxy=f"http://user%20name:pass%3Aword@127.0.0.1:{port}") as client:
            assert len(client.image_inference(**PICTURE)) == 1
            assert "pass" not in repr(client._core.options)
        assert heads[0].startswith(b"CONNECT 127.0.0.1:")

    def test_refusal_of_the_proxy_fails_the_call_and_names_it(
        self, server: LocalServer, proxy: tuple[int, list[bytes]]
    ) -> None:
        client = client_for(server.url, proxy=f"http://127.0.0.1:{proxy[0]}", max_retries=5)
        with pytest.raises(ConnectionFailedError, match="407") as caught:
            client.image_inference(**PICTURE)
        assert (caught.value.stage, caught.value.host) == ("proxy", f"127.0.0.1:{proxy[0]}")
        client.close()

    def test_server_that_is_no_proxy_is_reported(self, server: LocalServer) -> None:
        with listening(lambda sock: sock.sendall(b"SSH-2.0-nothing\r\n\r\n")) as port:
            client = client_for(server.url, proxy=f"http://127.0.0.1:{port}")
            with pytest.raises(ConnectionFailedError, match="did not respond in HTTP"):
                client.image_inference(**PICTURE)
            client.close()

    @pytest.mark.parametrize(
        ("variables", "used"),
        [
            ({"HTTPS_PROXY": "http://proxy.example:3128"}, "proxy.example"),
            ({"https_proxy": "proxy.example:3128"}, "proxy.example"),
            ({"ALL_PROXY": "socks5h://socks.example"}, "socks.example"),
            ({"HTTPS_PROXY": "http://a.example", "ALL_PROXY": "http://b.example"}, "a.example"),
            ({"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "runware.ai"}, None),
            ({"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "*"}, None),
            ({"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "example.com"}, "proxy.example"),
            ({}, None),
        ],
        ids=str,
    )
    def test_proxy_variables_of_the_environment_are_used(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], used: str | None
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        options = client_for("wss://ws-api.runware.ai/v1")._core.options
        found = edge.proxy_for(options.proxy, options.environment, "ws-api.runware.ai", 443)
        assert (found.hostname if found else None) == used
        assert edge.proxy_for(options.proxy, options.environment, "127.0.0.1", 80) is None
        switched_off = client_for("wss://ws-api.runware.ai/v1", proxy="")._core.options
        assert edge.proxy_for(switched_off.proxy, switched_off.environment, "ws-api.runware.ai", 443) is None

    @pytest.mark.parametrize(
        ("no_proxy", "host", "is_excepted"),
        [
            ("*.runware.ai", "ws-api.runware.ai", True),
            (".runware.ai", "ws-api.runware.ai", True),
            ("RUNWARE.AI.", "WS-API.runware.ai.", True),
            ("ws-api.runware.ai:443", "ws-api.runware.ai", True),
            ("ws-api.runware.ai:8443", "ws-api.runware.ai", False),
            ("localhost, *, 10.0.0.1", "ws-api.runware.ai", True),
            ("localhost runware.ai", "ws-api.runware.ai", True),
            ("notrunware.ai,ware.ai,a.ws-api.runware.ai, ,.", "ws-api.runware.ai", False),
            ("10.0.0.0/8", "10.1.2.3", True),
            ("10.0.0.0/8,2.3,1.2.3", "11.1.2.3", False),
            ("10.1.2.3:443", "10.1.2.3", True),
            ("fd00::/8", "fd00::1", True),
            ("[FD00::1]", "fd00::1", True),
            ("[fd00::1]:443", "fd00::1", True),
            ("[fd00::1]:80,10.0.0.0/8", "fd00::1", False),
            ("fd00:0::1", "fd00::1", True),
        ],
    )
    def test_no_proxy_takes_every_usual_form(self, no_proxy: str, host: str, is_excepted: bool) -> None:
        environment = {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": no_proxy}
        assert (edge.proxy_for(None, environment, host, 443) is None) is is_excepted

    def test_socks_proxy_is_used(self, server: LocalServer) -> None:
        def handler(sock: socket.socket) -> None:
            _, count = sock.recv(2)
            sock.recv(count)
            sock.sendall(b"\x05\x00")
            _, _, _, kind = sock.recv(4)
            host = sock.recv(sock.recv(1)[0]).decode() if kind == 3 else socket.inet_ntoa(sock.recv(4))
            (port,) = struct.unpack("!H", sock.recv(2))
            with socket.create_connection((host, port), 5) as target:
                sock.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
                pump(sock, target)

        with listening(handler) as port:
            for scheme in ("socks5", "socks5h"):
                with client_for(server.url, proxy=f"{scheme}://127.0.0.1:{port}") as client:
                    assert len(client.image_inference(**PICTURE)) == 1

    def test_unreachable_socks_proxy_reports_its_stage(self, server: LocalServer) -> None:
        client = client_for(server.url, proxy=f"socks5h://127.0.0.1:{refusing_port()}")
        with pytest.raises(ConnectionFailedError) as caught:
            client.image_inference(**PICTURE)
        assert caught.value.stage == "proxy"
        client.close()


class TestLargeMessages:
    def test_twenty_megabytes_are_sent_while_small_calls_run(self, rw: Runware, server: LocalServer) -> None:
        data = os.urandom(15_000_000)
        server.script(lambda task: None)
        big = rw.submit.image_inference(positive_prompt="from an image", seed_image=data, timeout=55.0)
        small = [rw.submit.image_inference(**PICTURE, seed=seed) for seed in range(1, 51)]
        assert [job.result(50)[0].seed for job in small] == list(range(1, 51))
        assert len(big.result(55)) == 1
        (sent,) = [task for task in server.ledger.received if task.get("positivePrompt") == "from an image"]
        assert base64.b64decode(sent["seedImage"].partition(",")[2]) == data

    def test_request_above_the_cap_raises_before_it_is_sent(
        self, rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runware.transport.io_loop.IOLoop.max_message", 1000)
        with pytest.raises(PayloadTooLargeError, match="UUIDs or URLs"):
            rw.image_inference(positive_prompt="x" * 1000)
        assert server.ledger.received == []

    def test_response_above_the_cap_ends_only_its_call(
        self, interface: Interface, rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No other call ends, and the connection stays."""
        monkeypatch.setattr("runware.transport.io_loop.IOLoop.max_message", 20_000)
        server.configure(delay=0.3)
        others = [rw.submit.image_inference(**PICTURE) for _ in range(5)]
        with pytest.raises(PayloadTooLargeError, match="output_type") as caught:
            interface(rw, "image_inference", **{**PICTURE, "width": 1024, "height": 1024}, output_type="base64Data")
        assert server.ledger.executions(str(caught.value.task_uuid)) == 1
        assert all(len(job.result(20)) == 1 for job in others)
        assert rw.stats.connections == 1

    def test_responses_that_are_too_large_together_are_asked_for_one_by_one(
        self, rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small = {**PICTURE, "width": 128, "height": 128, "output_type": "base64Data", "delivery_method": "async"}
        (sample,) = rw.image_inference(**small)
        monkeypatch.setattr("runware.transport.io_loop.IOLoop.max_message", 2 * len(sample.base64_data or ""))
        with Runware(server.api_key, url=server.url, timeout=20.0) as client:
            jobs = [client.submit.image_inference(**small) for _ in range(8)]
            assert all(len(job.result(20)) == 1 for job in jobs)
        assert set(server.ledger.executions_by_prompt().values()) == {9}

    def test_fragmented_messages_with_pings_arrive_byte_by_byte(self) -> None:
        """Fragments, protocol pings between them, one byte at a time."""
        with listening(picky_server) as port, client_for(f"ws://127.0.0.1:{port}/v1") as client:
            (image,) = client.image_inference(positive_prompt="in pieces")
            assert image.url == "https://im.runware.ai/i/1.png"

    def test_protocol_violation_of_the_server_fails_the_call(self) -> None:
        def handler(sock: socket.socket) -> None:
            upgrade(sock)
            sock.sendall(b"\xf1\x00")

        with listening(handler) as port:
            client = client_for(f"ws://127.0.0.1:{port}/v1")
            with pytest.raises(ConnectionFailedError, match="reserved bits"):
                client.image_inference(**PICTURE)
            client.close()


def upgrade(sock: socket.socket) -> None:
    import hashlib

    head = read_head(sock).decode()
    if not head:
        raise ConnectionResetError  # a client that was closed while it connected again
    key = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    assert "x-sdk-name: runware-client" in head.lower()
    assert "sdk=runware-client&version=" in head
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    sock.sendall(
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )


def read_frame(sock: socket.socket) -> tuple[int, bytes]:
    first, second = sock.recv(2, socket.MSG_WAITALL)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", sock.recv(2, socket.MSG_WAITALL))
    key = sock.recv(4, socket.MSG_WAITALL)
    data = sock.recv(length, socket.MSG_WAITALL) if length else b""
    return first, bytes(byte ^ key[place % 4] for place, byte in enumerate(data))


def frame(first: int, data: bytes) -> bytes:
    length = len(data)
    return bytes([first, length]) + data if length < 126 else bytes([first, 126]) + struct.pack("!H", length) + data


def picky_server(sock: socket.socket) -> None:
    upgrade(sock)
    assert read_frame(sock)[0] == 0x81
    reply = json.dumps({"data": [{"taskType": "authentication", "connectionSessionUUID": "s"}]}).encode()
    for byte in frame(0x81, reply):
        sock.sendall(bytes([byte]))
    _, text = read_frame(sock)
    (task,) = json.loads(text)
    item = {**{key: task[key] for key in ("taskType", "taskUUID")}, "imageURL": "https://im.runware.ai/i/1.png"}
    result = json.dumps({"data": [item]}).encode()
    half = len(result) // 2
    sock.sendall(frame(0x01, result[:half]) + frame(0x89, b"are you there") + frame(0x00, b""))
    assert read_frame(sock) == (0x8A, b"are you there")
    sock.sendall(frame(0x80, result[half:]))
    assert read_frame(sock)[0] == 0x88


class TestDrops:
    @pytest.mark.parametrize("how", ["rst", "fin"])
    def test_call_survives_a_drop_and_is_executed_once(self, rw: Runware, server: LocalServer, how: str) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE, seed=5)
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            server.drop(how)
            server.ledger.wait_for(lambda ledger: ledger.connections == 2)
        (image,) = job.result(20)
        assert image.seed == 5
        assert server.ledger.executions(job.task_uuid) == 1

    def test_clean_close_counts_as_a_drop(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            server.close_connections(1000)
            server.ledger.wait_for(lambda ledger: ledger.connections == 2)
        assert len(job.result(20)) == 1
        assert server.ledger.executions(job.task_uuid) == 1

    def test_drop_without_reconnect_fails_calls_in_flight(self, server: LocalServer) -> None:
        client = client_for(server.url, reconnect=False)
        with server.hold():
            job = client.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            server.drop()
            with pytest.raises(ConnectionLostError) as caught:
                job.result(20)
        assert caught.value.may_have_run
        assert len(client.image_inference(**PICTURE)) == 1
        client.close()

    def test_failed_write_is_reported_at_once(self, server: LocalServer) -> None:
        class Broken:
            def __init__(self, stream: Any) -> None:
                self.stream = stream

            def __getattr__(self, name: str) -> Any:
                return getattr(self.stream, name)

            def send(self, _: bytes) -> int:
                raise BrokenPipeError(32, "Broken pipe")

        with client_for(server.url, reconnect=False, timeout=60.0) as rw, server.hold(), ThreadPoolExecutor() as pool:
            held = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            waiting = pool.submit(held.exception)
            asleep(lambda: bool(held.waiting()))
            io_loop = rw._core.io_loop()
            assert io_loop._connection is not None
            io_loop._connection.stream = Broken(io_loop._connection.stream)  # type: ignore[assignment]
            with pytest.raises(ConnectionLostError) as lost:
                rw.image_inference(**PICTURE)
            assert not lost.value.may_have_run
            error = waiting.result(10)
            assert isinstance(error, ConnectionLostError)
            assert error.may_have_run

    def test_hundred_calls_survive_a_drop(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            jobs = [rw.submit.image_inference(**PICTURE, seed=seed) for seed in range(1, 101)]
            server.ledger.wait_for(lambda ledger: ledger.held == 100)
            server.drop()
            server.ledger.wait_for(lambda ledger: ledger.connections == 2)
        assert [job.result(30)[0].seed for job in jobs] == list(range(1, 101))
        assert all(server.ledger.executions(job.task_uuid) == 1 for job in jobs)

    def test_client_waits_for_a_server_that_is_away(self, rw: Runware, server: LocalServer) -> None:
        rw.connect()
        server.stop()
        job = rw.submit.image_inference(**PICTURE)
        with pytest.raises(TimeoutError):
            job.result(0.2)
        server.start()
        assert len(job.result(20)) == 1

    def test_half_open_connection_is_detected(self, server: LocalServer) -> None:
        client = client_for(server.url, liveness_timeout=0.6)
        server.play("X3")
        client.connect()
        job = client.submit.image_inference(**PICTURE)
        server.ledger.wait_for(lambda ledger: ledger.connections == 2)
        server.stop_faults()
        assert len(job.result(20)) == 1
        client.close()


class TestClose:
    def threads(self) -> list[threading.Thread]:
        ours = ("runware-io", "runware-dial", "runware-callbacks")
        return [thread for thread in threading.enumerate() if thread.name.startswith(ours)]

    def test_close_ends_the_thread_and_the_sockets(self, server: LocalServer) -> None:
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        client = client_for(server.url)
        client.image_inference(**PICTURE)
        io_loop = client._core._io_loop
        assert io_loop is not None
        assert io_loop._thread is not None
        client.close()
        assert not io_loop._thread.is_alive()
        if before:
            until(lambda: len(os.listdir("/proc/self/fd")) <= before)  # the server's side may linger a moment

    def test_close_ends_an_attempt_to_connect_that_hangs(self) -> None:
        entered = threading.Event()

        def handler(sock: socket.socket) -> None:
            read_head(sock)
            entered.set()
            sock.recv(1)

        with listening(handler) as port:
            client = client_for(f"ws://127.0.0.1:{port}/v1", connect_timeout=20.0)
            job = client.submit.image_inference(**PICTURE)
            assert entered.wait(10)
            client.close()
            io_loop = client._core._io_loop
            assert io_loop is not None
            assert io_loop._thread is not None
            assert not io_loop._thread.is_alive()
            assert job.done()

    def test_dropped_client_is_collected(self, server: LocalServer) -> None:
        client = client_for(server.url)
        client.image_inference(**PICTURE)
        io_loop = client._core._io_loop
        assert io_loop is not None
        thread = io_loop._thread
        assert thread is not None
        del client, io_loop
        gc.collect()
        thread.join(5)
        assert not thread.is_alive()

    def test_error_in_the_io_thread_ends_every_call(
        self, rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            io_loop = rw._core._io_loop
            assert io_loop is not None
            monkeypatch.setattr(io_loop._session, "cancel", lambda call, now: 1 / 0)
            other = rw.submit.image_inference(**PICTURE)
            other.cancel()
            with pytest.raises(Exception, match="closed"):
                job.result(10)
        assert "the I/O thread failed" in caplog.text


class TestUnexpectedMessages:
    def test_message_that_cannot_be_processed_ends_no_other_call(
        self, rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        take = Session.frame_received

        def strict(self: Session, data: bytes, now: float) -> None:
            if b"secret" in data:
                raise LookupError(str(bytes(data)))
            take(self, data, now)

        def script(task: dict[str, Any]) -> list[Any] | None:
            strange = {"data": [{"taskType": "strange", "taskUUID": "secret"}]}
            if task["taskType"] != "imageInference":
                return None
            item = {"taskType": "imageInference", "taskUUID": task["taskUUID"], "imageUUID": "u"}
            return [strange, {"data": [item]}]

        monkeypatch.setattr(Session, "frame_received", strict)
        server.script(script)
        assert rw.image_inference(**PICTURE)[0].uuid == "u"
        assert "processing a message failed with an unexpected LookupError" in caplog.text
        assert "secret" not in caplog.text

    def test_result_that_cannot_be_made_ends_only_its_call(
        self, rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(item: Any) -> Any:
            raise NotImplementedError("no class for it")

        task = ImageInference(**PICTURE, number_results=2)
        with monkeypatch.context() as patch:
            patch.setattr(ImageInference, "class_of", staticmethod(refuse))
            with pytest.raises(RunwareError, match="Could not parse the response") as caught:
                rw.run(task)
        assert len(caught.value.raw["data"]) == 2  # billed, and not lost
        assert "making the result of" in caplog.text
        assert len(rw.run(task)) == 2
        assert server.ledger.connections == 1

    def test_callback_of_a_closed_event_loop_disturbs_no_other_call(self, rw: Runware, server: LocalServer) -> None:
        import asyncio

        async def main() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(rw.aio.image_inference(**PICTURE, on_partial=lambda *_: None), 0.1)

        with server.hold():
            asyncio.run(main())
        assert len(rw.image_inference(**PICTURE)) == 1


class Tireless:
    """A job whose calls end at once, because their UUID is in use, and that submits another whenever one has ended."""

    def __init__(self, io_loop: IOLoop, taken: str) -> None:
        self.io_loop, self.taken = io_loop, taken
        self.stop = threading.Event()
        self.failed = threading.Semaphore(0)

    def submit(self) -> None:
        self.io_loop.submit(Call(uuid=self.taken, text=b"[]", task_type="imageInference", timeout=20.0, job=self))

    def call_arrived(self, call: Call) -> None:
        raise AssertionError(call)

    def call_ended(self, call: Call, error: RunwareError | None) -> list[Tireless]:
        return [] if self.stop.is_set() else [self]

    def release(self) -> None:
        self.failed.release()
        self.submit()


def test_calls_that_end_at_once_do_not_starve_the_others(rw: Runware, server: LocalServer) -> None:
    with server.hold("imageInference"):
        job = rw.submit.image_inference(**PICTURE)
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        tireless = Tireless(rw._core.io_loop(), job.task_uuid)
        try:
            tireless.submit()
            for _ in range(100):
                assert tireless.failed.acquire(timeout=20)
            server.release()
            assert len(job.result(20)) == 1
        finally:
            tireless.stop.set()


def test_deadline_is_kept_while_something_is_always_ready(server: LocalServer) -> None:
    class Busy:
        def __init__(self, real: Any) -> None:
            self.real = real

        def poll(self, timeout: float | None) -> Any:
            return self.real.poll(min(timeout or 0, 1)) or [(-1, READ)]  # an event of another descriptor

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    with client_for(server.url) as client, server.hold("imageInference"):
        io_loop: Any = client._core.io_loop()
        io_loop._poller = Busy(io_loop._poller)
        job = client.submit.image_inference(**PICTURE, timeout=0.3)
        assert isinstance(job.exception(20), TaskTimeoutError)


class TestThreadsThatCannotBeStarted:
    """The system allows no more of them, or the interpreter is shutting down."""

    @staticmethod
    def refuse_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        start = threading.Thread.start
        refused: list[threading.Thread] = []

        def refusing(self: threading.Thread) -> None:
            if self.name.startswith(name) and not refused:
                refused.append(self)
                raise RuntimeError("can't start new thread")
            start(self)

        monkeypatch.setattr(threading.Thread, "start", refusing)

    def test_io_thread_that_cannot_start_fails_the_call_and_the_next_one_works(
        self, rw: Runware, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.refuse_once(monkeypatch, "runware-io")
        with pytest.raises(RunwareError, match="can't start new thread"):
            rw.image_inference(**PICTURE)
        assert len(rw.image_inference(**PICTURE)) == 1

    def test_dial_thread_that_cannot_start_is_retried(self, rw: Runware, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuse_once(monkeypatch, "runware-dial")
        assert len(rw.image_inference(**PICTURE)) == 1

    def test_callback_thread_that_cannot_start_loses_one_callback_only(
        self, rw: Runware, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.refuse_once(monkeypatch, "runware-callbacks")
        told = threading.Event()
        rw.submit.image_inference(**PICTURE, on_partial=lambda results, error: None).result(20)
        rw.submit.image_inference(**PICTURE, on_partial=lambda results, error: told.set()).result(20)
        assert told.wait(20)

    @pytest.mark.parametrize(
        ("thread", "call"),
        [
            ("runware-progress", lambda rw: rw.image_inference(**PICTURE, progress=lambda now: None)),
            ("runware-elsewhere", lambda rw: asyncio.run(awaited(rw.aio.image_inference, **PICTURE))),
            ("runware-elsewhere", lambda rw: asyncio.run(awaited(rw.aio.connect))),
            ("runware-elsewhere", lambda rw: asyncio.run(first(rw.aio.map(rw.aio.image_inference, [PICTURE])))),
            ("runware-elsewhere", lambda rw: asyncio.run(first(rw.aio.stream_text(**TEXT)))),
            ("runware-elsewhere", lambda rw: asyncio.run(awaited(rw.aio.app("my-upscaler").call, "run", n=1))),
            ("runware-stream", lambda rw: rw.submit.stream_text(**TEXT).result(20)),
            ("runware-tool", lambda rw: rw.chat(model=TEXT["model"], tools=[tide]).send(CALL.format("tide"))),
            ("runware-tools", lambda rw: rw.chat(model=TEXT["model"], tools=[ebb]).send(CALL.format("ebb"))),
            ("runware-app-call", lambda rw: rw.submit.app("my-upscaler").call("run", n=1).result(20)),
            ("runware-webhooks", lambda rw: WebhookReceiver(secret="long enough a secret").expect(PICTURE_UUID)),
        ],
        ids=[
            "progress", "asyncio", "connect", "map", "stream", "asyncio app", "stream job", "tool", "async tool", "app",
            "webhook",
        ],
    )  # fmt: skip
    def test_each_kind_is_a_typed_error_and_the_client_goes_on(
        self, thread: str, call: Callable[[Runware], object], server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runware.serverless.apps._loaded", [])
        monkeypatch.setattr("runware.text.readers.ready", [])
        server.app("my-upscaler", {"run": lambda payload: payload})
        client = client_for(server.url)
        self.refuse_once(monkeypatch, thread)
        with pytest.raises(RunwareError, match="can't start new thread") as caught:
            call(client)
        assert caught.value.retryable
        assert not server.ledger.tasks("imageInference")
        assert len(client.image_inference(**PICTURE)) == 1
        client.close()

    @pytest.mark.parametrize("form", ["save_all", "asave_all", "asave"])
    def test_saving_is_a_typed_error_and_can_be_repeated(
        self, form: str, rw: Runware, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        images = rw.image_inference(**PICTURE, number_results=3)

        def save() -> Any:
            if form == "save_all":
                return images.save_all(tmp_path, overwrite=True)
            method = images[0].asave if form == "asave" else images.asave_all
            return asyncio.run(awaited(method, tmp_path, overwrite=True))

        self.refuse_once(monkeypatch, "runware-save" if form == "save_all" else "asyncio")
        with pytest.raises(RunwareError, match="can't start new thread"):
            save()
        assert save()


def test_failed_io_loop_is_replaced_for_the_next_call(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    with client_for(server.url, on_event=seen.append) as client:
        client.connect()
        failed = client._core.io_loop()
        monkeypatch.setattr(failed, "_read", None)
        with pytest.raises(ClientClosedError):
            client.image_inference(**PICTURE)
        until(lambda: failed.stopped)
        assert len(client.image_inference(**PICTURE)) == 1
        assert not client.closed
        until(lambda: any(isinstance(event, Resolved) and event.status == "succeeded" for event in seen))


def test_close_wakes_the_loop_even_if_a_post_before_was_interrupted(server: LocalServer) -> None:
    client = client_for(server.url)
    client.connect()
    io_loop: Any = client._core.io_loop()
    asleep(lambda: bool(io_loop._asleep))
    io_loop._asleep = False  # Ctrl-C came before the wake-up
    client.close()
    until(lambda: not io_loop._thread.is_alive())


def test_address_of_an_unsupported_family_is_skipped(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    addresses = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
    ]

    class OnlyOld(socket.socket):
        def __init__(self, family: int = -1, *rest: Any, **more: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, *rest, **more)

    monkeypatch.setattr(edge.socket, "getaddrinfo", lambda *_: addresses)
    monkeypatch.setattr(edge.socket, "socket", OnlyOld)
    with client_for(server.url) as client:
        client.connect()


def test_signal_handler_may_close_the_client_during_a_call(rw: Runware) -> None:
    rw.connect()
    io_loop = rw._core.io_loop()

    class Interrupting(deque[Any]):
        def append(self, post: Any) -> None:
            if post[0] == io_loop._session.submit:
                rw.close()  # like a signal handler that runs between two steps of `submit`, on its thread
            super().append(post)

    io_loop._inbox = Interrupting()
    with pytest.raises(ClientClosedError):
        rw.image_inference(**PICTURE)


def test_signal_handler_may_close_the_client_while_its_thread_starts(
    rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    io_loop = rw._core.io_loop()
    start = io_loop._start

    def interrupted() -> None:
        rw.close()
        start()

    monkeypatch.setattr(io_loop, "_start", interrupted)
    with pytest.raises(ClientClosedError):
        rw.image_inference(**PICTURE)
    assert io_loop._thread is not None
    io_loop._thread.join(20)
    assert not io_loop._thread.is_alive()
    assert server.ledger.executed == 0
