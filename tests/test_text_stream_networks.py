"""Streams over odd networks: scripted servers, TLS, proxies, and deadlines that peers cannot extend."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from runware import Runware
from runware.errors import ConnectionFailedError, ConnectionLostError, RateLimitError, TaskTimeoutError
from runware.local import LocalServer

from .net import listening, pump, read_head, refusing_port
from .test_text_streams import ANSWER, FORMS, Form, asked

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"delta": {"text": text}}, ensure_ascii=False).encode() + b"\n\n"


@pytest.fixture(params=FORMS.values(), ids=list(FORMS))
def read(request: pytest.FixtureRequest) -> Form:
    form: Form = request.param
    return form


def client(port: int, **options: Any) -> Runware:
    return Runware("rw-test-key", url=f"ws://127.0.0.1:{port}/v1", retry_delay=0.01, **options)


def read_request(sock: socket.socket) -> bytes:
    """Read a request with its body, and return the body."""
    head = read_head(sock)
    if not head:
        raise ConnectionError("the client has given up before it sent anything")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += sock.recv(65536)
    return body


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    """Answer each connection with the next of these, byte by byte if it is short."""
    left = list(answers)

    def handle(sock: socket.socket) -> None:
        read_request(sock)
        answer = left.pop(0)
        for at in range(len(answer)):
            sock.sendall(answer[at : at + 1])

    return handle


def test_stream_that_comes_byte_by_byte(read: Form) -> None:
    body = b"".join(chunk(event(part)) for part in ("Grüße ", "aus ☃ ", "🏔")) + chunk(b"data: [DONE]\n\n") + END
    with listening(answering(HEAD + body)) as port:
        rw = client(port)
        assert read(rw, **asked()).text == "Grüße aus ☃ 🏔"
        rw.close()


def test_retry_after_of_a_refusal_is_waited_for(read: Form) -> None:
    refusal = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0.3\r\nContent-Length: 0\r\n\r\n"
    stream = HEAD + chunk(event("Hi") + b"data: [DONE]\n\n") + END
    with listening(answering(refusal, stream)) as port:
        rw = client(port)
        began = time.monotonic()
        assert read(rw, **asked()).text == "Hi"
        assert time.monotonic() - began >= 0.3
        rw.close()
    with listening(answering(refusal.replace(b"0.3", b"30"))) as port:
        rw = client(port)
        assert isinstance(read(rw, **asked(timeout=10.0)).error, RateLimitError)
        rw.close()


def drips_head(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        sock.sendall(b"X-Drip: 1\r\n")
        time.sleep(0.05)  # slower than nothing, faster than any timeout of a single read


def drips_comments(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(HEAD)
    while True:
        sock.sendall(chunk(b":"))
        time.sleep(0.05)


def drips_refusal(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(b"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\n\r\n")
    while True:
        sock.sendall(b" ")
        time.sleep(0.05)


def silent(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


def drips_reading(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while sock.recv(64):
        time.sleep(0.05)


@pytest.mark.parametrize(
    "handler", [drips_head, drips_comments, drips_refusal, silent, drips_reading], ids=lambda handler: handler.__name__
)
def test_no_peer_extends_the_deadline(read: Form, handler: Callable[[socket.socket], None]) -> None:
    prompt = "x" * 8_000_000 if handler is drips_reading else "x"
    with listening(handler) as port:
        rw = client(port)
        began = time.monotonic()
        outcome = read(rw, **asked(prompt, timeout=1.5))  # enough to send the request on a busy machine
        assert time.monotonic() - began < 6.0
        assert isinstance(outcome.error, (TaskTimeoutError, ConnectionLostError))
        assert outcome.error.may_have_run
        rw.close()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[LocalServer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with LocalServer(api_key="rw-test-key", ssl_context=context) as server:
        yield server


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_stream_over_tls(tls_server: LocalServer, authority: trustme.CA, read: Form) -> None:
    with Runware("rw-test-key", url=tls_server.url, ssl_context=trusting(authority)) as rw:
        assert read(rw, **asked()).text == ANSWER.format("Tell me about the sea")
        tls_server.play("X21", form="cut", after=3)
        assert read(rw, **asked()).text == ANSWER.format("Tell me about the sea")


@pytest.mark.parametrize("what", ["stream", "chat"])
def test_task_cancelled_during_the_tls_handshake_closes_its_connection(authority: trustme.CA, what: str) -> None:
    greeted, ended = threading.Event(), threading.Event()

    def never_answer(sock: socket.socket) -> None:
        if sock.recv(65536):  # the first message of the handshake
            greeted.set()
            while sock.recv(65536):
                pass
            ended.set()

    async def main(port: int) -> None:
        url = f"wss://127.0.0.1:{port}/v1"
        rw = Runware("rw-test-key", url=url, ssl_context=trusting(authority))

        async def read() -> None:
            if what == "chat":
                await rw.aio.chat("google:gemma@4-31b").send("Hello")
            else:
                await rw.aio.stream_text(**asked()).result()

        reading = asyncio.create_task(read())
        assert await asyncio.to_thread(greeted.wait, 20.0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await asyncio.to_thread(ended.wait, 20.0)
        rw.close()

    with listening(never_answer) as port:
        gc.disable()  # a collection would close the connection, too late
        try:
            asyncio.run(main(port))
        finally:
            gc.enable()


def test_closing_the_client_ends_a_read_over_tls(tls_server: LocalServer, authority: trustme.CA, read: Form) -> None:
    import threading

    rw = Runware("rw-test-key", url=tls_server.url, ssl_context=trusting(authority))
    tls_server.play("X21", form="silence", after=3)
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(read(rw, **asked())))
    thread.start()
    tls_server.ledger.wait_for(lambda ledger: ledger.streams == 1)
    rw.close()
    thread.join(10)
    assert type(outcomes[0].error).__name__ == "ClientClosedError"
    tls_server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 1)


def test_certificate_that_is_not_trusted_is_not_retried(tls_server: LocalServer, read: Form) -> None:
    rw = Runware("rw-test-key", url=tls_server.url, ssl_context=ssl.create_default_context(), retry_delay=30.0)
    error = read(rw, **asked()).error
    rw.close()
    assert isinstance(error, ConnectionFailedError)
    assert error.stage == "TLS"
    assert "rw-test-key" not in str(error)


@pytest.fixture
def proxy() -> Iterator[tuple[int, list[bytes]]]:
    heads: list[bytes] = []

    def handle(sock: socket.socket) -> None:
        head = read_head(sock)
        heads.append(head)
        if b"cHJveHk6c2VjcmV0LXdvcmQ=" not in head:  # proxy:secret-word
            sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required secret-word\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = head.split()[1].decode().partition(":")
        with socket.create_connection((host, int(port))) as target:
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            pump(sock, target)

    with listening(handle) as port:
        yield port, heads


def test_stream_through_a_proxy(
    tls_server: LocalServer, authority: trustme.CA, proxy: tuple[int, list[bytes]], read: Form
) -> None:
    port, heads = proxy
    address = f"http://proxy:secret-word@127.0.0.1:{port}"
    rw = Runware("rw-test-key", url=tls_server.url, ssl_context=trusting(authority), proxy=address)
    outcome = read(rw, **asked())
    rw.close()
    assert outcome.text == ANSWER.format("Tell me about the sea")
    assert heads[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"rw-test-key" not in b"".join(heads)


def test_proxy_that_refuses_is_a_typed_error(
    tls_server: LocalServer, authority: trustme.CA, proxy: tuple[int, list[bytes]], read: Form
) -> None:
    address = f"http://proxy:other-secret@127.0.0.1:{proxy[0]}"
    rw = Runware("rw-test-key", url=tls_server.url, ssl_context=trusting(authority), proxy=address, retry_delay=0.01)
    error = read(rw, **asked()).error
    rw.close()
    assert isinstance(error, ConnectionFailedError)
    assert error.stage == "proxy"
    assert not error.may_have_run
    assert "other-secret" not in str(error)


def test_proxy_that_is_not_there_is_a_typed_error(server: LocalServer, read: Form) -> None:
    rw = Runware("rw-test-key", url="wss://192.0.2.1/v1", proxy=f"http://127.0.0.1:{refusing_port()}", retry_delay=0.01)
    error = read(rw, **asked()).error
    rw.close()
    assert isinstance(error, ConnectionFailedError)
    assert not error.may_have_run


def test_no_frame_of_an_error_holds_the_key(read: Form) -> None:
    """Error reporters show the variables of every frame."""
    rw = client(refusing_port(), max_retries=0)
    error: BaseException | None = read(rw, **asked()).error
    rw.close()
    assert isinstance(error, ConnectionFailedError)
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        trace = error.__traceback__
        while trace is not None:
            if "runware" in trace.tb_frame.f_code.co_filename and "tests" not in trace.tb_frame.f_code.co_filename:
                for name, value in trace.tb_frame.f_locals.items():
                    assert "rw-test-key" not in repr(value), name
            trace = trace.tb_next
        error = error.__cause__ or error.__context__


def test_loop_that_ends_with_an_open_stream_leaves_nothing(server: LocalServer, rw: Runware) -> None:
    server.play("X21", form="silence", after=3)

    async def main() -> None:
        stream = rw.aio.stream_text(**asked())
        await anext(stream)
        await stream.close()

    asyncio.run(main())
    server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 1)
