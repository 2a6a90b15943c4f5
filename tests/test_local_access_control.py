"""The local server answers programs on its own machine, and denies requests of foreign web pages."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from runware import ConnectionFailedError, Runware
from runware.local import LocalServer
from runware.local.__main__ import create_parser
from runware.local.access_control import denial_reason

from .net import read_head
from .test_three_interfaces import PICTURE


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as server:
        yield server


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8080", None),
        ("localhost:8080", None),
        ("LOCALHOST.:8080", None),
        ("[::1]:8080", None),
        ("127.1.2.3", None),
        ("x.localhost:8080", None),
        (None, None),  # HTTP/1.0, which browsers do not use
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost:8080", "HTTP://LocalHost:8080"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "https://localhost:443"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_loopback_hosts_and_same_origins_are_allowed(host: str | None, origin: str | None) -> None:
    assert denial_reason(host, origin, ()) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example:8080", None),
        ("evil.example:8080", "http://evil.example:8080"),
        ("10.0.0.1:8080", None),
        ("0.0.0.0:8080", None),
        ("127.0.0.1.evil.example", None),
        ("localhost.evil.example:8080", None),
        ("localhost@evil.example", None),
        ("evil.example@localhost", None),
        ("localhost/evil", None),
        ("localhost:99999", None),
        ("", None),
        ("127.0.0.1:8080", "http://evil.example"),
        ("127.0.0.1:8080", "https://127.0.0.1.evil.example:8080"),
        ("127.0.0.1:8080", "http://localhost:8080"),
        ("localhost:8080", "http://localhost:3000"),
        ("localhost:8080", "http://localhost"),
        ("localhost:8080", "null"),
        ("localhost:8080", "file://"),
        ("localhost:8080", ""),
        (None, "http://localhost:8080"),
    ],
)
def test_foreign_hosts_and_origins_are_denied(host: str | None, origin: str | None) -> None:
    assert (denial_reason(host, origin, ()) or "").startswith("403: ")


def test_allowed_hosts_apply_to_host_and_origin() -> None:
    allowed = ("localhost:3000", "Host.Docker.Internal", "secure.example:443")
    assert denial_reason("localhost:8080", "http://localhost:3000", allowed) is None
    assert denial_reason("localhost:8080", "http://localhost:3001", allowed)
    assert denial_reason("host.docker.internal:8080", None, allowed) is None
    assert denial_reason("host.docker.internal:8080", "http://host.docker.internal:9", allowed) is None
    assert denial_reason("localhost:8080", "https://secure.example", allowed) is None
    assert denial_reason("localhost:8080", "http://secure.example", allowed)
    assert denial_reason("evil.example", None, allowed)
    with pytest.raises(TypeError, match="list of names"):
        LocalServer(allowed_hosts="localhost:3000")
    assert create_parser().parse_args(["--allow-host", "a", "--allow-host", "b:1"]).allow_host == ["a", "b:1"]


def asked(server: LocalServer, method: str, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        body = json.dumps([{"taskType": "ping", "ping": True}]) if method == "POST" else None
        sent = {"Authorization": f"Bearer {server.api_key}", "Content-Type": "text/plain", **headers}
        connection.request(method, path, body, sent)
        reply = connection.getresponse()
        return reply.status, reply.read().decode(errors="replace")
    finally:
        connection.close()


def upgraded(server: LocalServer, *headers: str) -> str:
    lines = ["GET /v1 HTTP/1.1", *headers, "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall("\r\n".join(lines).encode())
        return read_head(sock).decode()


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1"), ("OPTIONS", "/v1"), ("GET", "/"), ("HEAD", "/")])
def test_http_requests_of_foreign_pages_are_denied(server: LocalServer, method: str, path: str) -> None:
    assert asked(server, method, path, Origin="http://evil.example")[0] == 403
    assert asked(server, method, path, Host="evil.example")[0] == 403
    status, text = asked(server, "POST", "/v1", Host="evil.example", Origin="http://evil.example")
    assert (status, "--allow-host" in text) == (403, True)
    assert server.ledger.http_requests == 0


def test_files_are_denied_to_foreign_pages(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as rw:
        (image,) = rw.image_inference(**PICTURE)
    assert image.url is not None
    path = image.url.removeprefix(server.http_url)
    assert asked(server, "GET", path, Origin="http://evil.example")[0] == 403
    assert asked(server, "GET", path, Host=f"evil.example:{server.port}")[0] == 403
    assert asked(server, "GET", path)[0] == 200  # as an `img` element of a notebook requests it


def test_websocket_upgrades_of_foreign_pages_are_denied(server: LocalServer) -> None:
    host = f"Host: 127.0.0.1:{server.port}"
    for headers in (
        [host, "Origin: http://evil.example"],
        [host, "Origin: null"],
        ["Host: evil.example"],
        [f"Host: evil.example:{server.port}", f"Origin: http://evil.example:{server.port}"],
    ):
        head = upgraded(server, *headers)
        assert head.startswith("HTTP/1.1 403 ")
        assert "text/plain" in head
    assert server.ledger.connections == 0
    assert upgraded(server, host).startswith("HTTP/1.1 101 ")
    assert upgraded(server, host, f"Origin: http://127.0.0.1:{server.port}").startswith("HTTP/1.1 101 ")


def test_every_request_of_a_connection_is_checked(server: LocalServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for headers, status in ((dict[str, str](), 200), ({"Origin": "http://evil.example"}, 403), ({}, 200)):
        connection.request("GET", "/", headers=headers)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status
    connection.close()


def test_page_in_allowed_hosts_is_answered() -> None:
    with LocalServer(allowed_hosts=["localhost:3000"]) as server:
        host = f"Host: 127.0.0.1:{server.port}"
        assert upgraded(server, host, "Origin: http://localhost:3000").startswith("HTTP/1.1 101 ")
        assert asked(server, "POST", "/v1", Origin="http://localhost:3000")[0] == 200
        assert asked(server, "POST", "/v1", Origin="http://localhost:3001")[0] == 403


def test_client_error_shows_that_the_host_is_denied(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **opts: real("127.0.0.1", *more, **opts))
    rw = Runware("k" * 8, url=f"ws://evil.example:{server.port}", insecure_ws=True, max_retries=0)
    with pytest.raises(ConnectionFailedError, match="403"):
        rw.connect()
    rw.close()
