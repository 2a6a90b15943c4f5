"""Headers that callers add to requests over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from runware import (
    ConfigurationError,
    ImageInference,
    Runware,
    RunwareError,
    TaskTimeoutError,
    UsageError,
    ValidationError,
)
from runware.local import LocalServer

from .net import listening, read_head
from .test_http_lifecycle import Make, make
from .test_three_interfaces import PICTURE

__all__ = ["make"]

TEXT: dict[str, Any] = {"model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "hello"}]}
HEADERS = {"X-Tenant": "kites", "X-Gateway-Token": "tk-81c5f0aa93"}


class Gateway:
    """Passes requests on to the server, and keeps their headers, and their tasks.

    Attributes:
        requests: Headers, with names in lower case, and bodies.
    """

    def __init__(self, server: LocalServer) -> None:
        self.requests: list[tuple[dict[str, str], str]] = []
        self._server = server

    def serve(self, sock: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._server.port)) as upstream:
            threading.Thread(target=_copy, args=(upstream, sock), daemon=True).start()
            rest = b""
            while True:
                while b"\r\n\r\n" not in rest:
                    if not (more := sock.recv(65536)):
                        return
                    rest += more
                head, _, rest = rest.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")[1:]
                found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                while len(rest) < int(found.get("content-length", 0)):
                    rest += sock.recv(65536)
                body, rest = rest[: int(found["content-length"])], rest[int(found["content-length"]) :]
                self.requests.append((found, body.decode()))
                upstream.sendall(head + b"\r\n\r\n" + body)

    def tenants(self, word: str = "") -> list[str | None]:
        """Return the tenant of each request whose body has a word."""
        return [headers.get("x-tenant") for headers, body in self.requests if word in body]


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def gateway(server: LocalServer) -> Iterator[tuple[Gateway, str]]:
    passed = Gateway(server)
    with listening(passed.serve) as port:
        yield passed, f"http://127.0.0.1:{port}/v1"


def test_headers_of_a_call_go_with_its_request(gateway: tuple[Gateway, str], make: Make) -> None:
    passed, url = gateway
    rw = make(url=url)
    rw.image_inference(**PICTURE, extra_headers=HEADERS)
    rw.image_inference(**PICTURE)
    asyncio.run(rw.aio.image_inference(**PICTURE, extra_headers={"x-tenant": "boats"}))
    rw.submit.image_inference(**PICTURE, extra_headers={"X-Tenant": ""}).result()
    rw.run(ImageInference(**PICTURE, extra_headers=HEADERS))
    rw.close()
    assert passed.tenants("imageInference") == ["kites", None, "boats", "", "kites"]
    (first, _), *_ = passed.requests
    assert first["x-gateway-token"] == "tk-81c5f0aa93"
    assert first["authorization"] == "Bearer rw-test-key"


def test_headers_of_with_options_go_with_its_calls_only(gateway: tuple[Gateway, str], make: Make) -> None:
    passed, url = gateway
    rw = make(url=url)
    tenant = rw.with_options(extra_headers=HEADERS)
    tenant.image_inference(**PICTURE)
    tenant.image_inference(**PICTURE, extra_headers={"x-tenant": "boats"})
    assert [len(images) for images in tenant.map(tenant.image_inference, [PICTURE])] == [1]
    tenant.with_options(extra_headers={}).image_inference(**PICTURE)
    rw.image_inference(**PICTURE)
    rw.close()
    assert passed.tenants() == ["kites", "boats", "kites", None, None]


def test_headers_of_with_options_go_with_connect(gateway: tuple[Gateway, str], make: Make) -> None:
    passed, url = gateway

    async def connect(rw: Runware) -> None:
        await rw.aio.connect()

    with_headers, from_asyncio, without = make(url=url), make(url=url), make(url=url)
    with_headers.with_options(extra_headers=HEADERS).connect()
    asyncio.run(connect(from_asyncio.with_options(extra_headers={"X-Tenant": "boats"})))
    without.connect()
    for rw in (with_headers, from_asyncio, without):
        rw.close()
    assert passed.tenants("authentication") == ["kites", "boats", None]


def test_timeout_of_with_options_ends_connect(make: Make) -> None:
    with listening(_stay_silent) as port:
        rw = make(url=f"http://127.0.0.1:{port}/v1", connect_timeout=600.0, timeout=600.0)
        with pytest.raises(TaskTimeoutError):
            rw.with_options(timeout=0.05).connect()


def test_view_with_headers_connects_a_websocket(server: LocalServer) -> None:
    with Runware("rw-test-key", url=server.url, timeout=20.0) as rw:
        rw.with_options(extra_headers=HEADERS).connect()


def test_polls_have_the_headers_of_their_calls(gateway: tuple[Gateway, str], make: Make) -> None:
    passed, url = gateway
    rw = make(url=url)
    sent = [{}, {"X-Tenant": "kites"}, {"X-Tenant": "boats"}]
    jobs = [rw.submit.image_inference(**PICTURE, delivery_method="async", extra_headers=one) for one in sent]
    refs = [job.ref for job in jobs]
    for job in jobs:
        job.result()
    rw.with_options(extra_headers={"X-Tenant": "trains"}).job(refs[0]).result()
    rw.close()
    by_uuid = {ref["task_uuid"]: one.get("X-Tenant") for ref, one in zip(refs, sent, strict=True)}
    polls = [(headers.get("x-tenant"), json.loads(body)) for headers, body in passed.requests if "getResponse" in body]
    assert {tenant for tenant, _ in polls} == {None, "kites", "boats", "trains"}
    for tenant, tasks in polls:
        assert tenant == "trains" or {by_uuid[task["taskUUID"]] for task in tasks} == {tenant}


@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_exact_estimate_is_asked_for_with_the_headers(gateway: tuple[Gateway, str], make: Make, transport: str) -> None:
    passed, url = gateway
    rw = make(url=url if transport == "http" else url.replace("http", "ws"), transport=transport)
    tenant = rw.with_options(extra_headers=HEADERS)
    for one in (
        tenant.estimate(ImageInference(**PICTURE), exact=True),
        tenant.estimate(ImageInference(**PICTURE, extra_headers={"x-tenant": "boats"}), exact=True),
        rw.estimate(ImageInference(**PICTURE, extra_headers=HEADERS), exact=True),
        rw.estimate(ImageInference(**PICTURE), exact=True),
    ):
        assert one.exact
    assert passed.tenants("imageInference") == ["kites", "boats", "kites", None]


@pytest.mark.parametrize("by", ["call", "options"])
def test_media_of_a_call_is_stored_with_its_headers(
    server: LocalServer, gateway: tuple[Gateway, str], make: Make, by: str
) -> None:
    passed, url = gateway
    rw = make(url=url, upload_inputs="once", check="off")
    media = b"\x89PNG\r\n\x1a\n" + bytes(200_000)
    for _ in range(2):
        if by == "call":
            rw.image_inference(**PICTURE, seed_image=media, extra_headers=HEADERS)
        else:
            rw.with_options(extra_headers=HEADERS).image_inference(**PICTURE, seed_image=media)
        server.forget_media()
    rw.close()
    assert passed.tenants("mediaStorage") == ["kites"] * 2  # the second time because the server had forgotten it
    assert set(passed.tenants()) == {"kites"}


@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_streams_and_chats_have_headers_over_either_transport(
    gateway: tuple[Gateway, str], make: Make, transport: str
) -> None:
    passed, url = gateway
    rw = make(url=url if transport == "http" else url.replace("http", "ws"), transport=transport)
    tenant = rw.with_options(extra_headers=HEADERS)
    with rw.stream_text(**TEXT, extra_headers=HEADERS) as stream:
        assert stream.result().text
    with tenant.stream_text(**TEXT) as stream:
        assert stream.result().text
    rw.submit.stream_text(**TEXT, extra_headers=HEADERS).result()

    async def read() -> None:
        async with rw.aio.stream_text(**TEXT, extra_headers=HEADERS) as stream:
            assert (await stream.result()).text
        assert (await tenant.aio.chat(TEXT["model"]).send("hello")).text

    asyncio.run(read())
    assert tenant.chat(TEXT["model"]).send("hello").text
    rw.close()
    assert passed.tenants() == ["kites"] * 6


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.parametrize("by", ["call", "options"])
def test_stream_that_breaks_is_asked_for_with_its_headers(
    server: LocalServer, gateway: tuple[Gateway, str], make: Make, transport: str, by: str
) -> None:
    passed, url = gateway
    rw = make(url=url if transport == "http" else server.url, transport=transport)
    server.play("X21", form="cut", after=4)
    view = rw.with_options(extra_headers=HEADERS)
    stream = rw.stream_text(**TEXT, extra_headers=HEADERS) if by == "call" else view.stream_text(**TEXT)
    assert stream.result().text
    rw.close()
    if transport == "http":
        assert set(passed.tenants()) == {"kites"}
        assert passed.tenants("getResponse")


def test_websocket_refuses_headers_of_tasks_before_anything_is_sent(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as rw:
        for call in (
            lambda: rw.image_inference(**PICTURE, extra_headers=HEADERS),
            lambda: rw.submit.image_inference(**PICTURE, extra_headers=HEADERS),
            lambda: asyncio.run(rw.aio.image_inference(**PICTURE, extra_headers=HEADERS)),
            lambda: rw.with_options(extra_headers=HEADERS).image_inference(**PICTURE),
            lambda: rw.with_options(extra_headers=HEADERS).job("1a1d7a3e-9a0c-4d0f-8f6b-0d9f3a0a5a11"),
        ):
            with pytest.raises(UsageError, match=r'transport="http"') as caught:
                call()
            assert caught.value.parameter == "extra_headers"
    assert server.ledger.executed == 0


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({"Authorization": "Bearer x"}, "pass api_key="),
        ({"authorization": "Bearer x"}, "pass api_key="),
        ({"User-Agent": "x"}, "pass app="),
        ({"X-Runware-Dry-Run": "1"}, "pass dry_run="),
        *(({name: "x"}, f"must not contain {name}") for name in ("Host", "content-length", "Content-Type", "TE")),
        *(({name: "x"}, f"must not contain {name}") for name in ("Transfer-Encoding", "Connection", "Upgrade")),
        ({"Proxy-Authorization": "x"}, "must not contain"),
        ({"X-A": "1", "x-a": "2"}, "twice"),
        ({"X-A": "1\r\nX-B: 2"}, "printable"),
        ({"X-A": "caf\xe9"}, "printable"),
        ({"X-A": " 1"}, "spaces"),
        ({"X A": "1"}, "no name of a header"),
        ({"X-A\n": "1"}, "no name of a header"),
        ({"": "1"}, "no name of a header"),
        ({"X-A": 1}, "names and values are str"),
        ({b"X-A": "1"}, "names and values are str"),
        ("X-A: 1", "must be a dict"),
    ],
)
def test_headers_that_would_break_a_request_are_refused(headers: Any, what: str) -> None:
    rw = Runware("key", transport="http", url="http://127.0.0.1:9/v1")
    with pytest.raises(ValidationError, match=what) as refused:
        rw.image_inference(**PICTURE, extra_headers=headers)
    assert refused.value.parameter == "extra_headers"
    with pytest.raises(ConfigurationError, match=what) as invalid:
        rw.with_options(extra_headers=headers)
    assert invalid.value.parameter == "extra_headers"


def test_value_that_is_refused_is_not_quoted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Runware("key").with_options(extra_headers={"X-Gateway-Token": "tk-81c5f0aa93\n"})
    assert "81c5f0aa93" not in str(caught.value)


@pytest.mark.parametrize("how", ["call", "options", "stream", "chat"])
def test_errors_and_logs_hold_no_secret_header(make: Make, how: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def echo(sock: socket.socket) -> None:
        head = read_head(sock).decode()
        error = {"code": "invalidThing", "message": f"You sent {head}", "parameter": head}
        body = json.dumps({"errors": [error]}).encode()
        kind = b"Content-Type: application/json\r\n"
        sock.sendall(b"HTTP/1.1 400 No\r\n" + kind + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    seen: list[Any] = []
    with listening(echo) as port:
        rw = make(url=f"http://127.0.0.1:{port}/v1", max_retries=0, on_event=seen.append)
        view = rw.with_options(extra_headers=HEADERS)
        with pytest.raises(RunwareError) as caught:
            if how == "call":
                rw.image_inference(**PICTURE, extra_headers=HEADERS)
            elif how == "options":
                view.image_inference(**PICTURE)
            elif how == "stream":
                rw.stream_text(**TEXT, extra_headers=HEADERS).result()
            else:
                view.chat(TEXT["model"]).send("hello")
        rw.close()
    error = caught.value
    assert "kites" in str(error)  # which is no secret, so that the answer stays readable
    told = f"{error!r} {vars(error)} {seen} {caplog.text} {view!r} {ImageInference(**PICTURE, extra_headers=HEADERS)}"
    assert "81c5f0aa93" not in told


def test_key_of_a_function_stays_hidden_after_calls_with_many_secret_headers(make: Make) -> None:
    def echo(sock: socket.socket) -> None:
        with suppress(OSError):
            while head := read_head(sock).decode():
                left = int(head.partition("Content-Length: ")[2].split()[0])
                while left:
                    left -= len(sock.recv(left))
                body = json.dumps({"errors": [{"code": "invalidThing", "message": f"You sent {head}"}]}).encode()
                sock.sendall(b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with listening(echo) as port:
        rw = make(lambda: "rw-5b1e77c0d4", url=f"http://127.0.0.1:{port}/v1", max_retries=0)
        for number in range(20):
            with pytest.raises(RunwareError, match="You sent") as caught:
                rw.image_inference(**PICTURE, extra_headers={"X-Token": f"{number:03}-81c5f0aa93"})
            assert "5b1e77c0d4" not in str(caught.value), number
            assert "81c5f0aa93" not in str(caught.value), number
        rw.close()


@pytest.mark.parametrize("name", ["default_headers", "headers", "extra_headers"])
def test_constructor_says_where_headers_go(name: str) -> None:
    with pytest.raises(UsageError, match=r"with_options\(extra_headers"):
        Runware("key", **{name: HEADERS})  # type: ignore[arg-type]


def test_apps_refuse_headers_instead_of_leaving_them_out(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as rw, pytest.raises(UsageError, match="apps have none"):
        rw.with_options(extra_headers=HEADERS).app("upscaler").call("run", {})


def test_client_with_headers_does_not_pickle() -> None:
    rw = Runware("key", transport="http")
    assert pickle.dumps(rw)
    with pytest.raises(TypeError, match="extra_headers"):
        pickle.dumps(rw.with_options(extra_headers=HEADERS))


def test_headers_given_to_with_options_are_copied(gateway: tuple[Gateway, str], make: Make) -> None:
    passed, url = gateway
    given = {"X-Tenant": "kites"}
    rw = make(url=url)
    tenant = rw.with_options(extra_headers=given)
    given["X-Tenant"] = "boats"
    tenant.image_inference(**PICTURE, extra_headers={"X-Other": "1"})
    rw.close()
    assert passed.tenants() == ["kites"]


def _stay_silent(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass
