"""The life of a client over HTTP: threads, connections, processes, deadlines, keys, TLS, proxies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

import runware
from runware import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    ImageInference,
    PayloadTooLargeError,
    Runware,
    RunwareError,
    TaskTimeoutError,
    ValidationError,
    events,
)
from runware.local import LocalServer
from runware.transport import http_loop

from .conftest import INTERFACES, until
from .net import listening, pump, read_head, refusing_port
from .test_processes import environment, needs_fork, run, start
from .test_three_interfaces import PICTURE

HTTP = "rw = Runware(transport='http', timeout=20.0, retry_delay=0.05)\n"
Make = Callable[..., Runware]


@pytest.fixture
def make(server: LocalServer) -> Iterator[Make]:
    """Makes clients of the server."""
    made: list[Runware] = []

    def client(key: Any = "rw-test-key", **options: Any) -> Runware:
        usual = {"transport": "http", "url": server.url, "timeout": 20.0, "retry_delay": 0.02}
        made.append(Runware(key, **(usual | options)))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_loop, "LINGER", 0.05)


def own_threads() -> list[threading.Thread]:
    return [
        one for one in threading.enumerate() if one.is_alive() and one.name.startswith(("runware-io", "runware-http"))
    ]


def open_connections(server: LocalServer) -> int:
    """Return how many sockets of this process are connected to the server."""
    _, port = server.http_url.rsplit(":", 1)
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            copy = os.dup(int(descriptor))
        except OSError:  # it was closed meanwhile
            continue
        try:
            sock = socket.socket(fileno=copy)
        except OSError:  # not a socket
            os.close(copy)
            continue
        with sock, contextlib.suppress(OSError, TypeError, IndexError):
            found += sock.getpeername()[1] == int(port)
    return found


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize("given", ["HTTP", "https", "ws", "", None, 1])
def test_misspelt_transport_says_what_works(given: Any) -> None:
    if given is None:
        assert Runware("rw-test-key", transport=None)._core.options.transport == "websocket"
        return
    with pytest.raises(ConfigurationError, match='"websocket" or "http"') as caught:
        Runware("rw-test-key", transport=given)
    assert caught.value.parameter == "transport"


def test_transport_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_TRANSPORT", "http")
    assert "https://api.runware.ai/v1" in repr(Runware("rw-test-key"))
    assert "wss://" in repr(Runware("rw-test-key", transport="websocket"))
    monkeypatch.setenv("RUNWARE_TRANSPORT", "carrier pigeon")
    with pytest.raises(ConfigurationError, match="RUNWARE_TRANSPORT"):
        Runware("rw-test-key")


@pytest.mark.parametrize(
    ("url", "reached"),
    [
        ("wss://ws-api.runware.ai/v1", "https://api.runware.ai/v1"),
        ("https://api.runware.ai/v1", "https://api.runware.ai/v1"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("wss://example.com/v1", "https://example.com/v1"),
    ],
)
def test_url_may_be_that_of_either_transport(url: str, reached: str) -> None:
    assert reached in repr(Runware("rw-test-key", transport="http", url=url))


@pytest.mark.parametrize(
    "url", ["http://example.com/v1", "ftp://example.com", "https://", "https://a:b@example.com/v1"]
)
def test_url_that_would_be_unsafe_or_wrong_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Runware("rw-test-key", transport="http", url=url)
    assert caught.value.parameter == "url"


def test_http_url_without_the_transport_says_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match='transport="http"'):
        Runware("rw-test-key", url="https://api.runware.ai/v1")


# ---------------------------------------------------------------------- threads and connections


def test_nothing_runs_before_the_first_call_and_after_close(server: LocalServer, make: Make) -> None:
    rw = make()
    assert "not connected" in repr(rw)
    assert not own_threads()
    jobs = [rw.submit.image_inference(**PICTURE) for _ in range(20)]
    for job in jobs:
        job.result()
    assert "ready" in repr(rw)
    rw.close()
    assert not own_threads()
    assert open_connections(server) == 0
    assert "closed" in repr(rw)
    with pytest.raises(ClientClosedError):
        rw.image_inference(**PICTURE)


def test_idle_client_has_no_thread_and_no_connection(server: LocalServer, make: Make, short_linger: None) -> None:
    rw = make()
    for _ in range(3):
        rw.image_inference(**PICTURE)
        until(lambda: not own_threads())
        assert open_connections(server) == 0
    assert rw.stats.connections == 3


def test_connection_is_kept_between_calls(make: Make) -> None:
    rw = make()
    for _ in range(20):
        rw.image_inference(**PICTURE)
    assert rw.stats.connections <= 2


def test_at_most_a_hundred_calls_are_in_flight(server: LocalServer, make: Make) -> None:
    rw = make()
    with server.hold("imageInference"):
        jobs = [rw.submit.image_inference(**PICTURE, seed=seed) for seed in range(1, 151)]
        server.ledger.wait_for(lambda ledger: ledger.held == 100)
        assert rw.stats.in_flight == 100
        assert rw.stats.queued == 50
    assert [job.result()[0].seed for job in jobs] == list(range(1, 151))
    assert rw.stats.sent == 150


def test_max_in_flight_limits_requests(server: LocalServer, make: Make) -> None:
    rw = make(max_in_flight=3)
    with server.hold("imageInference"):
        jobs = [rw.submit.image_inference(**PICTURE) for _ in range(10)]
        server.ledger.wait_for(lambda ledger: ledger.held == 3)
        assert rw.stats.queued == 7
    for job in jobs:
        job.result()


def test_polled_tasks_need_no_thread_each(server: LocalServer, make: Make) -> None:
    rw = make(max_in_flight=None)
    with server.hold("videoInference"):
        jobs = [rw.submit.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5) for _ in range(200)]
        until(lambda: rw.stats.in_flight == 200)
        until(lambda: all(job.status in ("accepted", "running") for job in jobs))
    assert all(len(job.result()) == 1 for job in jobs)


@pytest.mark.parametrize("how", ["cancel", "deadline", "close", "asyncio"])
def test_request_is_aborted_at_once(server: LocalServer, make: Make, how: str) -> None:
    rw = make(max_retries=0)
    with server.hold("imageInference"):
        started = time.monotonic()
        if how == "asyncio":

            async def main() -> None:
                task = asyncio.ensure_future(rw.aio.image_inference(**PICTURE))
                await asyncio.to_thread(server.ledger.wait_for, lambda ledger: ledger.held == 1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

            asyncio.run(main())
        else:
            job = rw.submit.image_inference(**PICTURE, timeout=0.5 if how == "deadline" else 20.0)
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            if how == "cancel":
                job.cancel()
            elif how == "close":
                rw.close()
                with pytest.raises(ClientClosedError) as closed:
                    job.result()
                assert closed.value.may_have_run
                assert not own_threads()
            else:
                with pytest.raises(TaskTimeoutError) as late:
                    job.result()
                assert late.value.may_be_running
        until(lambda: open_connections(server) == 0)
        assert time.monotonic() - started < 5.0


def test_close_in_a_callback_of_its_own_thread(make: Make) -> None:
    rw = make()
    closed = threading.Event()

    def close(_: object) -> None:
        rw.close()
        closed.set()

    job = rw.submit.image_inference(**PICTURE)
    job.add_done_callback(close)
    assert closed.wait(10)
    until(lambda: not own_threads())


def test_dropped_client_leaves_nothing(server: LocalServer) -> None:
    rw = Runware("rw-test-key", transport="http", url=server.url)
    rw.image_inference(**PICTURE)
    assert own_threads()
    del rw
    until(lambda: not own_threads())


# ---------------------------------------------------------------------- keys, connect, dry runs


@pytest.mark.parametrize("interface", INTERFACES, ids=repr)
def test_rejected_key_fails_every_call(server: LocalServer, make: Make, interface: Any) -> None:
    rw = make("rw-wrong-key")
    with pytest.raises(AuthenticationError) as caught:
        rw.connect()
    assert not caught.value.may_have_run
    with pytest.raises(AuthenticationError) as caught:
        interface(rw, "image_inference", **PICTURE)
    assert not caught.value.may_have_run
    assert server.ledger.executed == 0
    assert rw.stats.retries == 0


def test_connect_is_free_and_finds_a_good_key(server: LocalServer, make: Make) -> None:
    with make() as rw:
        assert server.ledger.executed == 0
        assert server.ledger.http_requests == 1
        rw.connect()
        assert server.ledger.http_requests == 1


def test_key_of_a_function_is_asked_for_again_after_a_rejection(server: LocalServer, make: Make) -> None:
    keys = iter(["rw-old-key-1", "rw-test-key", "rw-test-key"])
    rw = make(lambda: next(keys))
    with pytest.raises(AuthenticationError):
        rw.image_inference(**PICTURE)
    assert len(rw.image_inference(**PICTURE)) == 1


@pytest.mark.parametrize("call", ["task", "poll", "connect"])
def test_key_that_was_rotated_is_read_again_on_a_kept_connection(server: LocalServer, make: Make, call: str) -> None:
    current = "rw-test-key"
    asked: list[str] = []

    def key() -> str:
        asked.append(current)
        return current

    rw = make(key)
    job = None
    if call == "connect":
        with pytest.raises(ValidationError):
            rw.image_inference(**PICTURE | {"positive_prompt": "a"})
    elif call == "poll":
        server.hold()
        job = rw.submit.image_inference(**PICTURE, delivery_method="async")
        until(lambda: server.ledger.executed == 1)
    else:
        rw.image_inference(**PICTURE)
    server.api_key = current = "rw-new-key"
    if call == "connect":
        rw.connect()
    elif job is not None:
        server.release()
        assert len(job.result()) == 1
    else:
        assert len(rw.image_inference(**PICTURE)) == 1
    assert asked[-1] == "rw-new-key"
    assert rw.stats.connections == 1
    assert rw.stats.retries == 0


def test_key_that_stays_the_same_is_rejected_once(server: LocalServer, make: Make) -> None:
    rw = make(lambda: "rw-test-key")
    rw.image_inference(**PICTURE)
    before = server.ledger.http_requests
    server.api_key = "rw-new-key"
    with pytest.raises(AuthenticationError):
        rw.image_inference(**PICTURE)
    assert server.ledger.http_requests == before + 1


def test_function_that_fails_after_a_rotation_ends_the_call(server: LocalServer, make: Make) -> None:
    keys = iter(["rw-test-key"])

    def key() -> str:
        for one in keys:
            return one
        raise OSError("no vault")

    rw = make(key)
    rw.image_inference(**PICTURE)
    server.api_key = "rw-new-key"
    with pytest.raises(ConnectionFailedError, match="OSError") as caught:
        rw.image_inference(**PICTURE)
    assert caught.value.stage == "key"


def test_key_of_a_function_is_asked_for_with_each_connection(server: LocalServer, make: Make) -> None:
    keys = iter(["rw-test-key", "rw-new-key"])
    rw = make(lambda: next(keys))
    rw.image_inference(**PICTURE)
    server.api_key = "rw-new-key"
    server.drop()
    until(lambda: open_connections(server) == 0 or server.ledger.connections == 0)
    assert len(rw.image_inference(**PICTURE)) == 1


def test_function_that_gives_no_key_is_a_typed_error(make: Make) -> None:
    def broken() -> str:
        raise OSError("no vault")

    with pytest.raises(ConnectionFailedError, match="OSError") as caught:
        make(broken).image_inference(**PICTURE)
    assert caught.value.stage == "key"
    with pytest.raises(ConfigurationError):
        make(lambda: "").image_inference(**PICTURE)


@pytest.mark.parametrize("delivery", ["sync", "async"])
def test_dry_run_executes_nothing(server: LocalServer, make: Make, delivery: str) -> None:
    rw = make(dry_run=True)
    assert len(rw.image_inference(**PICTURE, delivery_method=delivery)) == 1
    with pytest.raises(ValidationError):
        rw.image_inference(**PICTURE | {"positive_prompt": "a"})
    assert server.ledger.executed == 0
    assert rw.stats.questions == 0


def test_errors_hold_no_key(make: Make) -> None:
    rw = make("rw-test-key", url=f"http://127.0.0.1:{refusing_port()}/v1", max_retries=0)
    with pytest.raises(ConnectionFailedError) as caught:
        rw.image_inference(**PICTURE)
    one: BaseException | None = caught.value
    while one is not None:
        assert "rw-test-key" not in repr(vars(one)) + str(one)
        one = one.__cause__ or one.__context__


def test_logs_hold_neither_key_nor_prompt(server: LocalServer, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.play("X20")
    rw = make()
    rw.connect()
    rw.image_inference(**PICTURE | {"positive_prompt": "a secret kite"})
    with pytest.raises(ValidationError):
        rw.image_inference(**PICTURE | {"positive_prompt": "a secret kite [error:invalidWidth]"})
    rw.close()
    client_logs = [one.getMessage() for one in caplog.records if one.threadName != "runware-local"]
    assert len(client_logs) > 5
    assert not [line for line in client_logs if "rw-test-key" in line or "secret kite" in line]


# ---------------------------------------------------------------------- the network


def test_server_that_is_not_there_is_a_connection_failure(make: Make) -> None:
    rw = make(url=f"http://127.0.0.1:{refusing_port()}/v1", max_retries=1)
    with pytest.raises(ConnectionFailedError, match="refused") as caught:
        rw.image_inference(**PICTURE)
    assert (caught.value.stage, caught.value.retryable) == ("TCP", True)


def test_unknown_name_is_a_connection_failure(make: Make) -> None:
    rw = make(url="https://nowhere.invalid/v1", max_retries=0)
    with pytest.raises(ConnectionFailedError) as caught:
        rw.connect()
    assert caught.value.stage == "name lookup"


def test_server_that_comes_back_gets_the_calls_that_wait(server: LocalServer, make: Make, short_linger: None) -> None:
    rw = make()
    rw.image_inference(**PICTURE)
    server.unplug()
    job = rw.submit.image_inference(**PICTURE | {"positive_prompt": "another kite"})
    until(lambda: "backing off" in repr(rw))
    server.plug()
    assert len(job.result()) == 1
    assert server.ledger.executions_by_prompt()["another kite"] == 1


def test_connection_that_the_server_closes_between_calls_costs_nothing(make: Make) -> None:
    """It closes after each response, or without one: what was lost is asked for and not bought."""
    answers = 0
    body = b'{"data":[{"taskType":"authentication","connectionSessionUUID":"5b1f0c5e-6a0f-4d0e-9a5c-0c9a5c1d7e10"}]}'

    def once(sock: socket.socket) -> None:
        nonlocal answers
        head = read_head(sock)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while length > 0:
            length -= len(sock.recv(length))
        answers += 1
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with listening(once) as port:
        rw = make(url=f"http://127.0.0.1:{port}/v1")
        rw.connect()
        rw._core.io_loop()._session._connection.key_accepted = False  # type: ignore[attr-defined]
        rw.connect()
        rw.close()
    assert answers == 2


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "408 Request Timeout", "503 Service Unavailable"])
def test_server_that_is_not_the_api_is_not_asked_again_and_again(make: Make, status: str) -> None:
    """It might be the login page of a network."""
    requests = 0

    def serve(sock: socket.socket) -> None:
        nonlocal requests
        while head := read_head(sock):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            sock.recv(length, socket.MSG_WAITALL)
            requests += 1
            sock.sendall(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status.encode())

    with listening(serve) as port:
        rw = make(url=f"http://127.0.0.1:{port}/v1", max_retries=1, timeout=5.0)
        with pytest.raises(ConnectionFailedError, match="not as the API does"):
            rw.connect()
        rw.close()
    assert requests == 2


@pytest.mark.parametrize("more", ["an error", "half of one"])
def test_connection_with_more_than_the_response_is_not_used_again(make: Make, more: str) -> None:
    """Read as the answer to the next request, the error would be a verdict on a task that the server never saw."""
    error = b'{"errors":[{"code":"invalidWidth","message":"It is too wide.","parameter":"width"}]}'
    surplus = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(error), error)
    requests: list[list[str]] = []

    def serve(sock: socket.socket) -> None:
        tasks: list[str] = []
        requests.append(tasks)
        while head := read_head(sock):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = sock.recv(length, socket.MSG_WAITALL)
            (task,) = json.loads(body)
            tasks.append(task["taskUUID"])
            answer = {"taskType": "imageInference", "taskUUID": task["taskUUID"], "imageUUID": task["taskUUID"]}
            body = json.dumps({"data": [answer]}).encode()
            whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            sock.sendall(whole + (surplus if more == "an error" else surplus[:40]))

    with listening(serve) as port, contextlib.closing(make(url=f"http://127.0.0.1:{port}/v1")) as rw:
        for _ in range(2):
            assert len(rw.image_inference(**PICTURE)) == 1
    assert [len(tasks) for tasks in requests] == [1, 1]


def test_responses_are_asked_for_without_compression(make: Make) -> None:
    heads: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        heads.append(read_head(sock))

    with listening(serve) as port:
        rw = make(url=f"http://127.0.0.1:{port}/v1", max_retries=0, reconnect=False)
        with pytest.raises(RunwareError):
            rw.image_inference(**PICTURE)
        rw.close()
    assert b"accept-encoding: identity" in heads[0].lower()


@pytest.mark.parametrize("quoted", ["key", "status line"])
def test_errors_do_not_quote_the_key_of_a_function(make: Make, quoted: str) -> None:
    key = "rw-9f3c71ab" + ("\r\nX-More: 1" if quoted == "key" else "")

    def serve(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(f"HTTP/9 what is {key}?\r\n\r\n".encode())

    with listening(serve) as port:
        rw = make(lambda: key, url=f"http://127.0.0.1:{port}/v1", max_retries=0, reconnect=False)
        with pytest.raises(RunwareError) as caught:
            rw.image_inference(**PICTURE)
        rw.close()
    assert "9f3c71ab" not in str(caught.value)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[LocalServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    with LocalServer(api_key="rw-test-key", ssl_context=context) as server:
        yield server


def test_tls_with_an_own_context(tls_server: LocalServer, make: Make, authority: trustme.CA) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    rw = make(url=tls_server.url, ssl_context=context)
    jobs = [rw.submit.image_inference(**PICTURE) for _ in range(10)]
    assert all(len(job.result()) == 1 for job in jobs)
    with tls_server.hold("imageInference"):
        job = rw.submit.image_inference(**PICTURE)
        tls_server.ledger.wait_for(lambda ledger: ledger.held == 1)
        rw.close()
        assert not own_threads()
        with pytest.raises(ClientClosedError):
            job.result()


def test_untrusted_certificate_is_told_at_once_with_advice(tls_server: LocalServer, make: Make) -> None:
    rw = make(url=tls_server.url, max_retries=5)
    with pytest.raises(ConnectionFailedError, match="SSL_CERT_FILE") as caught:
        rw.image_inference(**PICTURE)
    assert (caught.value.stage, caught.value.retryable) == ("TLS", False)
    assert tls_server.ledger.executed == 0


def test_proxy_carries_the_requests(server: LocalServer, make: Make) -> None:
    seen: list[bytes] = []

    def proxy(sock: socket.socket) -> None:
        seen.append(read_head(sock).split(b"\r\n")[0])
        with socket.create_connection(("127.0.0.1", server.port)) as there:
            sock.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            pump(sock, there)

    with listening(proxy) as proxy_port:
        rw = make(proxy=f"http://127.0.0.1:{proxy_port}")
        assert len(rw.image_inference(**PICTURE)) == 1
        rw.close()
    assert seen == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1".encode()]


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_close_ends_an_attempt_to_connect(make: Make, scheme: str) -> None:
    """The other end accepts, and says nothing: neither a TLS handshake nor a response."""
    reached = threading.Event()

    def silent(sock: socket.socket) -> None:
        reached.set()
        while sock.recv(65536):
            pass

    with listening(silent) as port:
        rw = make(url=f"{scheme}://127.0.0.1:{port}/v1")
        job = rw.submit.image_inference(**PICTURE)
        assert reached.wait(10)
        rw.close()
        assert not own_threads()
        assert isinstance(job.exception(), ClientClosedError)


def test_proxy_that_refuses_is_no_bad_key(make: Make) -> None:
    def proxy(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with listening(proxy) as port:
        rw = make(url="https://api.example.com/v1", proxy=f"http://127.0.0.1:{port}", max_retries=3)
        with pytest.raises(ConnectionFailedError, match="407") as caught:
            rw.connect()
        rw.close()
    assert (caught.value.stage, caught.value.retryable) == ("proxy", False)


# ---------------------------------------------------------------------- events and counters


def test_events_of_a_call_and_of_a_failure(server: LocalServer, make: Make) -> None:
    seen: list[events.Event] = []
    rw = make(on_event=seen.append)
    rw.image_inference(**PICTURE)
    server.play("X20")
    rw.image_inference(**PICTURE)
    rw.close()
    kinds = [type(event) for event in seen]
    assert kinds[:3] == [events.Sent, events.Connected, events.Resolved]
    assert events.Disconnected in kinds
    (lost,) = [event for event in seen if isinstance(event, events.Disconnected)]
    assert (lost.stage, lost.in_flight) == (None, 1)
    stats = rw.stats
    assert (stats.calls, stats.succeeded, stats.drops) == (2, 2, 1)
    assert stats.bytes_sent > 0
    assert stats.bytes_received > 0


def test_partial_results_of_a_polled_task(server: LocalServer, make: Make) -> None:
    server.configure(spread=0.3)
    parts: list[int] = []
    rw = make()
    results = rw.image_inference(
        **PICTURE, number_results=3, delivery_method="async", on_partial=lambda new, error: parts.append(len(new))
    )
    assert len(results) == sum(parts) == 3
    assert len(parts) > 1


# ---------------------------------------------------------------------- processes


@needs_fork
def test_forked_children_make_connections_of_their_own(server: LocalServer) -> None:
    run(
        server,
        HTTP
        + """
rw.image_inference(**PICTURE)
for _ in range(3):
    in_child(lambda: (rw.image_inference(**PICTURE), rw.close()))
    rw.image_inference(**PICTURE)
rw.close()
""",
    )
    assert server.ledger.executed == 7


@needs_fork
def test_fork_while_requests_run_fails_them_in_the_child_only(server: LocalServer) -> None:
    run(
        server,
        HTTP
        + """
jobs = [rw.submit.image_inference(**PICTURE) for _ in range(50)]
def child():
    for job in jobs:
        try:
            job.result(5)
        except ClientClosedError as error:
            assert "forked" in str(error)
    rw.image_inference(**PICTURE)
in_child(child)
for job in jobs:
    job.result()
rw.close()
""",
    )
    assert 51 <= server.ledger.executed <= 51


def test_client_pickles_with_its_transport(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    monkeypatch.setenv("RUNWARE_API_KEY", "rw-test-key")
    rw = make()
    copied = pickle.loads(pickle.dumps(rw))
    try:
        assert len(copied.image_inference(**PICTURE)) == 1
        assert copied._core.options.transport == "http"
    finally:
        copied.close()


def test_client_of_the_process_uses_the_environment(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
    monkeypatch.setenv("RUNWARE_URL", server.url)
    monkeypatch.setenv("RUNWARE_TRANSPORT", "http")
    client = runware.get_client()
    try:
        assert len(client.image_inference(**PICTURE)) == 1
        assert server.ledger.connections == 0
    finally:
        client.close()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
@pytest.mark.parametrize("when", ["idle", "in a call"])
def test_frozen_process_goes_on_with_its_next_call(server: LocalServer, when: str) -> None:
    """The server gives its connections up meanwhile, as the internet does."""
    script = start(
        server,
        HTTP
        + """
rw.image_inference(**PICTURE)
print("called", flush=True)
sys.stdin.readline()
print(len(rw.image_inference(**PICTURE)), flush=True)
rw.close()
""",
    )
    with script:
        assert script.stdin is not None
        assert script.stdout is not None
        assert script.stdout.readline() == "called\n"
        held = server.hold("imageInference") if when == "in a call" else None
        if held is not None:
            script.stdin.write("\n")
            script.stdin.flush()
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
        script.send_signal(signal.SIGSTOP)
        server.unplug()
        if held is not None:
            held.release()
        server.plug()
        script.send_signal(signal.SIGCONT)
        if held is None:
            script.stdin.write("\n")
            script.stdin.flush()
        out, errors = script.communicate(timeout=40)
    assert (out, errors, script.returncode) == ("1\n", "", 0)
    assert server.ledger.executed == 2


def test_exit_without_close_waits_for_nothing(server: LocalServer) -> None:
    run(server, HTTP + "rw.image_inference(**PICTURE)")


def test_http_client_works_under_gevent(server: LocalServer) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed", exc_type=ImportError)
    code = """
from gevent import monkey; monkey.patch_all()
import gevent, os
from runware import Runware
rw = Runware(os.environ["RUNWARE_API_KEY"], url=os.environ["RUNWARE_URL"], transport="http", timeout=30.0)
ticks = 0
def tick():
    global ticks
    while True:
        gevent.sleep(0.001)
        ticks += 1
ticker = gevent.spawn(tick)
def calls(number):
    for turn in range(5):
        seed = 1000 * number + turn + 1
        (image,) = rw.image_inference(positive_prompt="a kite", model="runware:101@1", width=512, height=512, seed=seed)
        assert image.seed == seed
gevent.joinall([gevent.spawn(calls, number) for number in range(20)], raise_error=True)
ticker.kill()
assert ticks > 2, ticks
rw.close()
"""
    script = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False, env=environment(server)
    )
    assert (script.returncode, script.stderr) == (0, "")
    assert server.ledger.executed == 100


# ---------------------------------------------------------------------- many at once


def test_many_calls_while_responses_are_lost(server: LocalServer, make: Make) -> None:
    """Responses are lost again and again, and nothing is bought twice."""
    server.configure(delay=lambda task: 0.002 * (hash(task["taskUUID"]) % 50))
    rw = make(timeout=40.0, long_timeout=40.0)
    over = threading.Event()

    def disturb() -> None:
        for number in range(60):  # not for ever: the last call would be hit again and again
            over.wait(0.02)
            fault = server.play("X20", run=number % 2 == 0, **({"status": 502} if number % 3 == 0 else {}))
            over.wait(0.02)
            fault.stop()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        jobs = [
            rw.submit.image_inference(
                positive_prompt=f"kite {number}", model="runware:101@1", seed=number + 1,
                delivery_method="async" if number % 2 else "sync",
            )
            for number in range(200)
        ]  # fmt: skip
        seeds = [job.result()[0].seed for job in jobs]
    finally:
        over.set()
        disturber.join()
    assert seeds == list(range(1, 201))
    assert server.ledger.executions_by_prompt() == {f"kite {number}": 1 for number in range(200)}
    assert rw.stats.drops + rw.stats.questions > 100


def test_responses_that_come_twice_end_no_other_call(server: LocalServer, make: Make) -> None:
    server.play("X20:how=twice,times=none")
    rw = make()
    for seed in range(1, 21):
        (image,) = rw.image_inference(positive_prompt=f"kite {seed}", model="runware:101@1", seed=seed)
        assert image.seed == seed
    assert set(server.ledger.executions_by_prompt().values()) == {1}


def test_map_over_http_executes_each_request_once(server: LocalServer, make: Make) -> None:
    prompts = [f"kite {number}" for number in range(300)]
    rw = make(max_in_flight=20)
    tasks = (ImageInference(positive_prompt=prompt, model="runware:101@1") for prompt in prompts)
    assert len(list(rw.map(tasks))) == 300
    assert server.ledger.executions_by_prompt() == dict.fromkeys(prompts, 1)


def test_response_above_the_limit_is_a_typed_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_loop.HttpLoop, "max_message", 1000)
    rw = make()
    with pytest.raises(PayloadTooLargeError) as caught:
        rw.image_inference(**PICTURE, output_type="base64Data")
    assert caught.value.may_have_run
    assert len(rw.image_inference(**PICTURE)) == 1


def test_thread_that_cannot_be_started_is_a_typed_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("runware-http"):
            raise RuntimeError("can't start new thread")
        real(thread)

    rw = make(max_retries=0)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RunwareError, match="Could not start a thread"):
        rw.image_inference(**PICTURE)
    monkeypatch.undo()
    assert len(rw.image_inference(**PICTURE)) == 1


def test_exception_that_ends_a_thread_fails_the_calls_and_not_the_client(server: LocalServer, make: Make) -> None:
    """Such as from `sys.exit()` in a callback of a future, which runs on the thread that has the result."""
    rw = make()

    def leave(_: object) -> None:
        raise SystemExit

    with server.hold("imageInference"):
        job, other = rw.submit.image_inference(**PICTURE), rw.submit.image_inference(**PICTURE)
        job.add_done_callback(leave)
        server.ledger.wait_for(lambda ledger: ledger.held == 2)
    job.wait_done()
    assert other.exception(10) is None or isinstance(other.exception(), ClientClosedError)
    assert len(rw.image_inference(**PICTURE)) == 1


class Wakeup:
    """Counts its wake-ups, and may do something during the first one, as a signal handler does."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.count = 0
        self.meanwhile = meanwhile

    def wake(self) -> None:
        self.count += 1
        if self.count == 1:
            self.meanwhile()


@pytest.fixture
def idle_loop(make: Make) -> Iterator[Any]:
    """A loop after its first call, of which no thread runs."""
    loop: Any = http_loop.HttpLoop(make()._core.options)
    loop._thread = threading.current_thread()
    yield loop
    loop._thread = None


def test_every_state_of_a_worker_can_be_reached_and_ends() -> None:
    states, following = set(http_loop.WorkerState), http_loop.FOLLOWING
    assert following.keys() == states
    reached = {http_loop._Worker().state}
    for _ in states:
        reached |= {after for state in reached for after in following[state]}
    assert reached == states
    assert [state for state in states if not following[state]] == [http_loop.WorkerState.ENDED]


def test_worker_refuses_a_state_that_does_not_follow() -> None:
    worker = http_loop._Worker()
    with pytest.raises(RuntimeError, match="from driving to taken"):
        worker.enter(http_loop.WorkerState.TAKEN)


def idle_workers(loop: Any, *wakeups: Wakeup) -> None:
    for wakeup in wakeups:
        worker = http_loop._Worker()
        worker.wakeup = wakeup  # type: ignore[assignment]
        loop._idle.append(worker)


def test_many_posts_wake_one_worker_until_it_looks_into_the_inbox(idle_loop: Any) -> None:
    first, second = Wakeup(), Wakeup()
    idle_workers(idle_loop, second, first)
    for _ in range(3):
        idle_loop._wake()
    assert (first.count, second.count) == (1, 0)
    idle_loop._drive()
    idle_loop._wake()
    assert (first.count, second.count) == (1, 1)


def test_post_by_a_signal_handler_in_the_middle_of_a_wakeup_wakes_a_thread_too(idle_loop: Any) -> None:
    first, second = Wakeup(meanwhile=idle_loop._wake), Wakeup()
    idle_workers(idle_loop, second, first)
    idle_loop._wake()
    assert (first.count, second.count) == (1, 1)


def test_wakeup_that_an_exception_ends_is_repeated_by_the_next_post(idle_loop: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    first, second = Wakeup(meanwhile=interrupt), Wakeup()
    idle_workers(idle_loop, second, first)
    with pytest.raises(KeyboardInterrupt):
        idle_loop._wake()
    idle_loop._wake()
    assert second.count == 1


def test_worker_whose_wakeup_was_interrupted_ends_as_others_do(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_loop, "LINGER", 0.5)
    monkeypatch.setattr(http_loop, "_LATEST_WAKEUP", 0.05)
    rw = make()
    rw.image_inference(**PICTURE)
    loop: Any = rw._core.io_loop()
    until(lambda: loop._idle)
    wakeup, wake = loop._idle[0].wakeup, http_loop._Wakeup.wake
    interrupts: list[int] = []

    def interrupted(self: Any) -> None:
        if self is wakeup and threading.current_thread() is threading.main_thread() and not interrupts:
            interrupts.append(1)
            raise KeyboardInterrupt
        wake(self)

    monkeypatch.setattr(http_loop._Wakeup, "wake", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rw.image_inference(**PICTURE)
    until(lambda: not own_threads())
    assert rw.image_inference(**PICTURE)
