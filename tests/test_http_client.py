"""HTTP clients with a client's connection settings, and the URLs of the API's services."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runware import ClientClosedError, DownloadError, Image, Runware
from runware.errors import ConfigurationError, ConnectionFailedError
from runware.options import DEFAULT_URL, Options
from runware.transport.http_client import authorization, http_client

from .net import listening, read_head, swallowing
from .test_addresses import needs_silent_ports, v4


def options(url: str = DEFAULT_URL, **given: object) -> Options:
    return Options(api_key="rw-test-key", url=url, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "service", "expected"),
    [
        (DEFAULT_URL, "api", "https://api.runware.ai/v1"),
        (DEFAULT_URL, "serverless", "https://api.serverless.runware.ai"),
        (DEFAULT_URL, "content", "https://content.runware.ai"),
        (DEFAULT_URL, "schemas", "https://schemas.runware.ai"),
        ("ws://127.0.0.1:8080/v1", "api", "http://127.0.0.1:8080/v1"),
        ("ws://127.0.0.1:8080/v1/", "serverless", "http://127.0.0.1:8080"),
        ("wss://runware.example.com/v1", "content", "https://runware.example.com"),
    ],
)
def test_services_are_found_from_the_url(url: str, service: str, expected: str) -> None:
    assert options(url).service_url(service) == expected  # type: ignore[arg-type]


def test_http_client_has_the_options_of_its_client_and_no_key() -> None:
    context = ssl.create_default_context()
    with http_client(options(ssl_context=context, proxy=""), "https://api.runware.ai/v1") as client:
        assert client.headers["User-Agent"].startswith("runware-client/")
        assert "Authorization" not in client.headers
        assert not client.follow_redirects
        assert not client.trust_env


def test_key_may_come_from_a_function() -> None:
    assert authorization(options()) == {"Authorization": "Bearer rw-test-key"}
    keyed = Options(api_key=lambda: "rw-other", url=DEFAULT_URL)
    assert authorization(keyed) == {"Authorization": "Bearer rw-other"}


def test_proxy_that_http_cannot_use_is_a_typed_error() -> None:
    with pytest.raises(ConfigurationError, match="kind of proxy") as failure:
        http_client(options(proxy="socks4://127.0.0.1:1"), "https://api.runware.ai/v1")
    assert failure.value.parameter == "proxy"


def use(kind: str, host: str, port: int) -> None:
    """Use a host over blocking HTTP in one of several ways, with one second for each."""
    rw = Runware("rw-test-key", url=f"ws://{host}:{port}/v1", insecure_ws=True, max_retries=0)
    with contextlib.closing(rw):
        if kind == "download":
            Image(url=f"http://{host}:{port}/").read(timeout=1.0)
        elif kind == "chat":
            rw.chat("local-model").send("Hello", timeout=1.0)
        elif kind == "stream":
            message = {"role": "user", "content": "Hello"}
            rw.stream_text(model="google:gemma@4-31b", messages=[message], timeout=1.0).result()
        else:
            rw.app("my-upscaler").call("run", timeout=1.0)


@pytest.mark.parametrize("kind", ["chat", "stream", "app", "download"])
def test_host_whose_name_cannot_be_looked_up_is_a_typed_error(kind: str) -> None:
    with pytest.raises((ConnectionFailedError, DownloadError), match=r"label|is not valid"):
        use(kind, "api..example.com", 80)


@needs_silent_ports
@pytest.mark.parametrize("kind", ["chat", "stream", "app", "download"])
def test_addresses_of_a_host_share_the_time_for_connecting(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with swallowing() as port:
        found = [v4(port)] * 8
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: found[:1] if host[0] == "1" else found)
        monkeypatch.setattr("runware.media.downloads._ATTEMPTS", 1)
        began = time.monotonic()
        with pytest.raises((ConnectionFailedError, DownloadError)):
            use(kind, "api.example.com", port)
        assert time.monotonic() - began < 4.0


@pytest.mark.parametrize("kind", ["chat", "stream", "app", "download"])
def test_name_lookup_that_hangs_ends_with_the_time_for_connecting(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    answered = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        answered.wait(20)
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr("runware.media.downloads._ATTEMPTS", 1)
    began = time.monotonic()
    try:
        with pytest.raises((ConnectionFailedError, DownloadError)):
            use(kind, f"{kind}.hangs.example.com", 80)
        assert time.monotonic() - began < 8.0
    finally:
        answered.set()


@contextlib.contextmanager
def one_address_of_two_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield a port at which the first address of every host never answers, and the second one does."""

    def answer(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            with sock:
                read_head(sock)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    with swallowing() as port, socket.create_server(("127.0.0.2", port)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        found: list[Any] = [v4(port), v4(port, "127.0.0.2")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: [v4(port, host)] if host[0] == "1" else found)
        yield port
        thread.join(10)


@needs_silent_ports
def test_address_after_one_that_does_not_answer_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_address_of_two_answers(monkeypatch) as port:
        url = f"http://api.example.com:{port}"
        with http_client(options(proxy=""), url, timeout=httpx2.Timeout(5.0, connect=1.0)) as client:
            assert client.get(url).text == "hi"


@needs_silent_ports
def test_address_that_does_not_answer_delays_a_download_little(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_address_of_two_answers(monkeypatch) as port:
        began = time.monotonic()
        assert Image(url=f"http://download.example.com:{port}/").read(timeout=60.0) == b"hi"
        assert time.monotonic() - began < 10.0


async def stream_in_loop(rw: Runware) -> None:
    async with rw.aio.stream_text(**TALK) as stream:
        async for _ in stream:
            pass


TALK: dict[str, Any] = {"model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "Hello"}]}
CALLS: dict[str, Callable[[Runware], object]] = {
    "stream": lambda rw: rw.stream_text(**TALK).result(),
    "job": lambda rw: rw.submit.stream_text(**TALK).result(),
    "chat": lambda rw: rw.chat("local-model").send("Hello"),
    "app": lambda rw: rw.app("my-upscaler").call("run"),
    "estimate": lambda rw: rw.estimate(model="civitai:1@1", task_type="imageInference", exact=True),
    "refresh": lambda rw: rw.models.refresh(60.0),
    "asyncio": lambda rw: asyncio.run(stream_in_loop(rw)),
}


@needs_silent_ports
@pytest.mark.parametrize("call", CALLS)
def test_closed_client_ends_what_connects(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    looked_up = threading.Event()
    ended: list[float] = []

    def resolve(*_: object, **__: object) -> list[Any]:
        looked_up.set()
        return [v4(port)]

    def run() -> None:
        with contextlib.suppress(ClientClosedError):
            CALLS[call](rw)
        ended.append(time.monotonic())

    with swallowing() as port:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        url = f"ws://{call}.closes.example.com:{port}/v1"
        rw = Runware("rw-test-key", url=url, insecure_ws=True, timeout=60.0, connect_timeout=30.0)
        thread = threading.Thread(target=run)
        thread.start()
        assert looked_up.wait(10)
        closed = time.monotonic()
        rw.close()
        thread.join(50)
    assert ended[0] - closed < 15.0


@pytest.mark.parametrize("call", CALLS)
def test_closed_client_ends_a_tls_handshake(call: str) -> None:
    began = threading.Event()

    def stall(sock: socket.socket) -> None:
        while sock.recv(65536):
            began.set()

    with listening(stall) as port, ThreadPoolExecutor(1) as pool:
        rw = Runware("rw-test-key", url=f"wss://127.0.0.1:{port}/v1", timeout=60.0, connect_timeout=60.0)
        outcome = pool.submit(CALLS[call], rw)
        assert began.wait(20.0)
        rw.close()
        with pytest.raises(ClientClosedError):
            outcome.result(20.0)


@pytest.mark.parametrize("stage", ["lookup", pytest.param("connection", marks=needs_silent_ports)])
def test_cancelled_download_that_connects_keeps_no_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: str
) -> None:
    looked_up, end = threading.Event(), threading.Event()

    def resolve(*_: object, **__: object) -> list[Any]:
        looked_up.set()
        if stage == "lookup":
            end.wait(40)
        return [v4(port)]

    async def cancel_a_save() -> None:
        save = asyncio.ensure_future(Image(url=f"http://{stage}.example.com:{port}/").asave(tmp_path, timeout=40.0))
        await asyncio.to_thread(looked_up.wait, 10)
        save.cancel()
        await asyncio.wait([save])

    with swallowing() as port:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        began = time.monotonic()
        asyncio.run(cancel_a_save())  # it waits for the threads of the event loop
        assert time.monotonic() - began < 20.0
        end.set()
