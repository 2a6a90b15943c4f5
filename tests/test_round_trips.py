"""Round trips to the first result, counted by a relay: how often the client waits before it sends more."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

import runware.transport.dialer as edge
from runware import ConnectionFailedError, Runware
from runware.local import LocalServer

from .net import listening
from .test_io_loop import client_for
from .test_three_interfaces import PICTURE


class Relay:
    """Carries bytes to a port, and notes for each connection which side sent.

    Attributes:
        connections: For each connection, one letter per piece, `c` from the client and `s` from the server. A piece is
            noted before it is passed on, so what a side sends in answer to it is always noted later.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: list[list[str]] = []

    def __call__(self, client: socket.socket) -> None:
        pieces: list[str] = []
        self.connections.append(pieces)
        with socket.create_connection(("127.0.0.1", self.port)) as server:

            def carry(source: socket.socket, target: socket.socket, who: str) -> None:
                with contextlib.suppress(OSError):
                    while data := source.recv(65536):
                        pieces.append(who)
                        target.sendall(data)
                for sock in (source, target):
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)

            back = threading.Thread(target=carry, args=(server, client, "s"), daemon=True)
            back.start()
            carry(client, server, "c")
            back.join(20)

    def flights(self) -> int:
        """Return how often the server has answered on the last connection. TCP takes one round trip more."""
        return [who for who, _ in itertools.groupby(self.connections[-1])].count("s")


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[trustme.CA]:
    """Return an authority that the default context trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setattr(edge, "_sessions", {})
    edge.default_context.cache_clear()
    yield authority
    edge.default_context.cache_clear()


@contextlib.contextmanager
def relayed(
    authority: trustme.CA, version: ssl.TLSVersion | None, **options: Any
) -> Iterator[tuple[Relay, Callable[[], Runware]]]:
    """Yield a relay before a server with a version of TLS or without it, and what makes a client of it."""
    context = None
    if version is not None:
        context = server_context(authority, version)
    with LocalServer(api_key="rw-test-key", ssl_context=context) as server:
        relay = Relay(int(server.url.rpartition(":")[2].partition("/")[0]))
        with listening(relay) as port:
            scheme = "http" if options.get("transport") == "http" else "ws"
            url = f"{scheme}{'s' if context else ''}://127.0.0.1:{port}/v1"
            yield relay, lambda: client_for(url, **options)


def server_context(authority: trustme.CA, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.minimum_version = context.maximum_version = version
    context.num_tickets = 0  # the client does not wait for those of TLS 1.3, which come at any time
    return context


def first_call(relay: Relay, make: Callable[[], Runware]) -> int:
    """Make a call with a new client, and return the flights until its result: closing makes some more."""
    with contextlib.closing(make()) as client:
        assert len(client.image_inference(**PICTURE)) == 1
        return relay.flights()


@pytest.mark.parametrize(
    ("transport", "version", "expected"),
    [
        ("websocket", None, ["upgrade", "authentication", "call"]),
        ("websocket", ssl.TLSVersion.TLSv1_3, ["TLS", "upgrade", "authentication", "call"]),
        ("websocket", ssl.TLSVersion.TLSv1_2, ["TLS", "TLS", "upgrade", "authentication", "call"]),
        ("http", None, ["call"]),
        ("http", ssl.TLSVersion.TLSv1_3, ["TLS", "call"]),
    ],
)
def test_first_result_takes_only_the_round_trips_of_the_protocol(
    authority: trustme.CA, transport: str, version: ssl.TLSVersion | None, expected: list[str]
) -> None:
    with relayed(authority, version, transport=transport) as (relay, make):
        assert first_call(relay, make) == len(expected)
        assert len(relay.connections) == 1


def test_call_on_an_open_connection_takes_one_round_trip(authority: trustme.CA) -> None:
    with relayed(authority, ssl.TLSVersion.TLSv1_3) as (relay, make), make() as client:
        client.image_inference(**PICTURE)
        before = relay.flights()
        client.image_inference(**PICTURE)
        assert relay.flights() == before + 1


class TestResumedSession:
    @pytest.mark.parametrize("transport", ["websocket", "http"])
    def test_second_connection_with_tls_1_2_saves_a_round_trip(self, authority: trustme.CA, transport: str) -> None:
        with relayed(authority, ssl.TLSVersion.TLSv1_2, transport=transport) as (relay, make):
            first, second, third = (first_call(relay, make) for _ in range(3))
        assert second == third == first - 1

    def test_sessions_of_tls_1_3_are_not_kept(self, authority: trustme.CA) -> None:
        with relayed(authority, ssl.TLSVersion.TLSv1_3) as (relay, make):
            first_call(relay, make)
        assert edge._sessions == {}

    def test_context_of_the_user_resumes_nothing(self, authority: trustme.CA) -> None:
        """Its settings may have changed, and a resumed session is not verified again."""
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with relayed(authority, ssl.TLSVersion.TLSv1_2, ssl_context=context) as (relay, make):
            assert first_call(relay, make) == first_call(relay, make)
        assert edge._sessions == {}

    def test_session_is_not_used_for_another_port(self, authority: trustme.CA) -> None:
        flights = []
        for _ in range(2):
            with relayed(authority, ssl.TLSVersion.TLSv1_2) as (relay, make):
                flights.append(first_call(relay, make))
        assert flights[0] == flights[1]

    def test_server_that_has_forgotten_the_session_gets_a_full_handshake(self, authority: trustme.CA) -> None:
        with relayed(authority, ssl.TLSVersion.TLSv1_2) as (relay, make):
            first = first_call(relay, make)
            # As after a restart of the server: the same name and port, and other keys for its tickets.
            context = server_context(authority, ssl.TLSVersion.TLSv1_2)
            with LocalServer(api_key="rw-test-key", ssl_context=context) as restarted:
                relay.port = int(restarted.url.rpartition(":")[2].partition("/")[0])
                assert first_call(relay, make) == first

    def test_failed_handshake_drops_the_session(self, authority: trustme.CA) -> None:
        with relayed(authority, ssl.TLSVersion.TLSv1_2) as (relay, make):
            first_call(relay, make)
            assert edge._sessions

            def hang_up(sock: socket.socket) -> None:
                sock.recv(65536)

            with listening(hang_up) as port:
                relay.port = port
                with contextlib.closing(make()) as client, pytest.raises(ConnectionFailedError):
                    client.connect()
        assert edge._sessions == {}
