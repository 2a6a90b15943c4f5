"""Chats over odd networks: scripted servers, TLS, proxies, and deadlines that peers cannot extend."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from runware import (
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    Runware,
    RunwareError,
    ServerError,
    TaskTimeoutError,
)
from runware.local import LocalServer

from .net import listening, read_head, refusing_port
from .test_chat import Form, get_weather
from .test_text_stream_networks import HEAD, authority, chunk, proxy, read_request, tls_server, trusting  # noqa: F401

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(params=[Form("blocking"), Form("asyncio")], ids=repr)
def form(request: pytest.FixtureRequest) -> Form:
    return request.param


def client(port: int, **options: Any) -> Runware:
    return Runware("rw-test-key", url=f"ws://127.0.0.1:{port}/v1", retry_delay=0.01, **options)


def reply(**message: Any) -> bytes:
    body = json.dumps({"choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop"}]}).encode()
    return JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body


def calling(name: str) -> bytes:
    function = {"name": name, "arguments": '{"city": "Oslo"}'}
    return reply(content=None, tool_calls=[{"id": "1", "type": "function", "function": function}])


def data(text: str) -> bytes:
    return b"data: " + text.encode() + b"\n\n"


def once(answer: bytes) -> Callable[[socket.socket], None]:
    """Answer each connection once, byte by byte."""

    def handle(sock: socket.socket) -> None:
        read_request(sock)
        for at in range(len(answer)):
            sock.sendall(answer[at : at + 1])

    return handle


def error_of(form: Form, rw: Runware, *, streaming: bool = False, **settings: Any) -> RunwareError:
    with pytest.raises(RunwareError) as failure:
        (form.stream if streaming else form.send)(form.chat(rw, **settings), "Hello")
    return failure.value


def test_stream_that_comes_byte_by_byte(form: Form) -> None:
    pieces = ["Grüße ", "aus ☃ ", "🏔"]
    chunks = [data(json.dumps({"choices": [{"delta": {"content": piece}}]}, ensure_ascii=False)) for piece in pieces]
    body = b"".join(map(chunk, chunks)) + chunk(data("[DONE]")) + b"0\r\n\r\n"
    with listening(once(HEAD + body)) as port:
        rw = client(port)
        assert form.stream(form.chat(rw), "Hello")[1].text == "Grüße aus ☃ 🏔"
        rw.close()


@pytest.mark.parametrize(
    "answer",
    [
        JSON + b"Content-Length: 2\r\n\r\n{}",
        JSON + b"Content-Length: 15\r\n\r\n" + b'{"choices": []}',
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        HEAD + chunk(data("[DONE]")) + b"0\r\n\r\n",
        HEAD + b"0\r\n\r\n",
        HEAD + chunk(data("{")) + b"0\r\n\r\n",
        JSON + b"Content-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\n",
        b"no HTTP at all\r\n\r\n",
        b"",
    ],
    ids=["object", "choices", "html", "done", "nothing", "garbage", "short", "head", "noise", "closed"],
)  # fmt: skip
@pytest.mark.parametrize("streaming", [False, True])
def test_incomplete_response_is_a_lost_connection(form: Form, answer: bytes, streaming: bool) -> None:
    with listening(once(answer)) as port:
        rw = client(port)
        error = error_of(form, rw, streaming=streaming)
        rw.close()
    assert isinstance(error, ConnectionLostError)
    assert error.may_have_run


def test_answer_that_is_no_stream_although_one_was_asked_for(form: Form) -> None:
    with listening(once(reply(content="whole"))) as port:
        rw = client(port)
        pieces, answer = form.stream(form.chat(rw), "Hello")
        assert [piece.text for piece in pieces] == [answer.text] == ["whole"]
        rw.close()


def test_rounds_share_a_connection(form: Form) -> None:
    connections: list[int] = []

    def handle(sock: socket.socket) -> None:
        connections.append(1)
        read_request(sock)
        sock.sendall(calling("get_weather"))
        sent = json.loads(read_request(sock))
        sock.sendall(reply(content=sent["messages"][-1]["content"]))

    with listening(handle) as port:
        rw = client(port)
        assert form.send(form.chat(rw, tools=[get_weather]), "Hello").text == "7 degrees in Oslo"
        rw.close()
    assert connections == [1]


def test_connection_that_was_closed_between_rounds_is_replaced(form: Form) -> None:
    closed = threading.Event()
    answers = [calling("wait"), reply(content="done")]

    def handle(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(answers.pop(0))
        sock.shutdown(socket.SHUT_RDWR)
        closed.set()

    def wait(city: str) -> str:
        assert closed.wait(10)
        return city

    with listening(handle) as port:
        rw = client(port)
        assert form.send(form.chat(rw, tools=[wait]), "Hello").text == "done"
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


def drips_body(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(JSON + b"\r\n")
    while True:
        sock.sendall(b" ")
        time.sleep(0.05)


def silent(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


@pytest.mark.parametrize("handler", [drips_head, drips_comments, drips_body, silent], ids=lambda one: one.__name__)
def test_no_peer_extends_the_deadline(form: Form, handler: Callable[[socket.socket], None]) -> None:
    with listening(handler) as port:
        rw = client(port)
        began = time.monotonic()
        error = error_of(form, rw, timeout=0.5)
        assert time.monotonic() - began < 5.0
        assert isinstance(error, TaskTimeoutError)
        assert error.may_have_run
        rw.close()


def test_retry_after_is_waited_for(form: Form) -> None:
    refusal = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n"
    answers = [refusal % b"0.3", reply(content="Hi"), refusal % b"30"]

    def handle(sock: socket.socket) -> None:
        with contextlib.suppress(ValueError):  # the client has left
            while True:
                read_request(sock)
                sock.sendall(answers.pop(0))

    with listening(handle) as port:
        rw = client(port)
        began = time.monotonic()
        assert form.send(form.chat(rw), "Hello").text == "Hi"
        assert time.monotonic() - began >= 0.3
        assert type(error_of(form, rw, timeout=10.0)).__name__ == "RateLimitError"
        rw.close()


def test_redirection_is_not_followed_and_costs_nothing(form: Form) -> None:
    def handle(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 6\r\n\r\n<html>")

    with listening(handle) as port:
        rw = client(port)
        error = error_of(form, rw)
        rw.close()
    assert isinstance(error, ServerError)
    assert "302" in error.message
    assert "url" in error.message
    assert not error.may_have_run


@pytest.mark.parametrize("status", [400, 500])
def test_secrets_that_the_server_echoes_are_redacted(form: Form, status: int) -> None:
    def handle(sock: socket.socket) -> None:
        head = read_head(sock).decode()
        key = head.lower().partition("authorization: ")[2].partition("\r\n")[0]
        body = json.dumps({"error": {"message": f"{key} sent {'A' * 500}", "code": key}}).encode()
        sock.sendall(b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    with listening(handle) as port:
        rw = client(port)
        error = error_of(form, rw, retry=0)
        rw.close()
    assert "rw-test-key" not in f"{error!s} {error!r} {error.raw} {error.code}"
    assert "AAAA" not in str(error)


def test_chat_over_tls(
    tls_server: LocalServer,  # noqa: F811
    authority: trustme.CA,  # noqa: F811
    form: Form,
) -> None:
    rw = Runware("rw-test-key", url=tls_server.url, ssl_context=trusting(authority))
    chat = form.chat(rw, tools=[get_weather])
    assert form.send(chat, '[call:get_weather {"city": "Oslo"}]').text == "The tools say: 7 degrees in Oslo"
    tls_server.configure(delay=20.0)
    errors: list[BaseException] = []

    def send() -> None:
        try:
            form.send(chat, "Hello")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    tls_server.ledger.wait_for(lambda ledger: ledger.executed == 3)
    rw.close()
    thread.join(10)
    assert [type(error) for error in errors] == [ClientClosedError]


def test_certificate_that_is_not_trusted_is_not_retried(tls_server: LocalServer, form: Form) -> None:  # noqa: F811
    rw = Runware("rw-test-key", url=tls_server.url, ssl_context=ssl.create_default_context(), retry_delay=30.0)
    error = error_of(form, rw)
    rw.close()
    assert isinstance(error, ConnectionFailedError)
    assert error.stage == "TLS"


def test_chat_through_a_proxy(
    tls_server: LocalServer,  # noqa: F811
    authority: trustme.CA,  # noqa: F811
    proxy: tuple[int, list[bytes]],  # noqa: F811
    form: Form,
) -> None:
    port, heads = proxy
    address = f"http://proxy:secret-word@127.0.0.1:{port}"
    rw = Runware("rw-test-key", url=tls_server.url, ssl_context=trusting(authority), proxy=address)
    assert form.send(form.chat(rw), "Hello").text == "You wrote “Hello”, ☃."
    rw.close()
    assert heads[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"rw-test-key" not in b"".join(heads)


def test_proxy_that_is_not_there_is_a_typed_error(form: Form) -> None:
    rw = Runware("rw-test-key", url="wss://192.0.2.1/v1", proxy=f"http://127.0.0.1:{refusing_port()}", retry_delay=0.01)
    error = error_of(form, rw)
    rw.close()
    assert isinstance(error, ConnectionFailedError)
    assert not error.may_have_run
