"""Plain and TLS streams over socket pairs: complete, in any pieces, bounded, unaffected by each other's failures."""

from __future__ import annotations

import contextlib
import random
import select
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import trustme

from runware import ConfigurationError, ConnectionFailedError, Runware
from runware.local import LocalServer
from runware.transport.dialer import Attempt
from runware.transport.poller import READ
from runware.transport.stream import WOULD_BLOCK, InputFirst, Stream, TlsStream, secure

from .net import listening

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1", "localhost")


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    return context


def client_context(kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    return context


def over_tcp() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


@contextlib.contextmanager
def tls_pair(context: ssl.SSLContext | None = None) -> Iterator[tuple[TlsStream, ssl.SSLSocket]]:
    """Yield a stream, and the server's end of it, which blocks."""
    near, far = over_tcp()
    made: list[ssl.SSLSocket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            made.append(server_context().wrap_socket(far, server_side=True))

    thread = threading.Thread(target=accept)
    thread.start()
    stream: Stream = Stream(near)
    try:
        secured = secure(stream, context or client_context(), "127.0.0.1", Attempt(20.0).wait)
        thread.join(20)
        yield secured, made[0]
    finally:
        stream.close()
        thread.join(20)
        far.close()
        for sock in made:
            sock.close()


def receive(stream: Stream, enough: Callable[[bytes], bool]) -> bytes:
    """Read as the I/O thread does, until there is enough or the stream ends."""
    data = b""
    while not enough(data):
        try:
            if not stream.pending:
                assert select.select([stream.sock], [], [], 20)[0]
            piece = stream.recv()
        except WOULD_BLOCK:
            continue
        if not piece:
            break
        data += piece
    return data


def send(stream: Stream, data: bytes) -> None:
    while data or stream.backlog:
        try:
            data = data[stream.send(data) :]
        except WOULD_BLOCK:
            assert select.select([], [stream.sock], [], 20)[1]
        except InputFirst:
            assert select.select([stream.sock], [], [], 20)[0]
            with contextlib.suppress(*WOULD_BLOCK):
                stream.push_back(stream.recv())


@contextlib.contextmanager
def plain_pair() -> Iterator[tuple[Stream, socket.socket]]:
    """Yield a stream, and the server's end of it, which blocks."""
    near, far = over_tcp()
    stream = Stream(near)
    try:
        yield stream, far
    finally:
        stream.close()
        far.close()


def receive_mixed(stream: Stream, rng: random.Random) -> tuple[bytes, int]:
    """Read to the end of the stream, sometimes into buffers; return the data and how often that was into one."""
    data, times = b"", 0
    while True:
        if not stream.pending:
            assert select.select([stream.sock], [], [], 20)[0]
        try:
            if rng.random() < 0.5:
                piece = stream.recv()
            else:
                space = bytearray(rng.choice([1, 100, 16_384, 50_000, 400_000]))
                piece = bytes(space[: stream.recv_into(memoryview(space))])
                times += 1
        except WOULD_BLOCK:
            continue
        if not piece:
            return data, times
        data += piece


@pytest.mark.parametrize("pair", [plain_pair, tls_pair])
@pytest.mark.parametrize("seed", range(4))
def test_bytes_received_into_buffers_are_complete_and_in_order(pair: Any, seed: int) -> None:
    rng = random.Random(seed)
    data = rng.randbytes(2_000_000)
    with pair() as (stream, peer):

        def write() -> None:
            place = 0
            while place < len(data):
                size = rng.choice([1, 300, 16_384, 70_000])
                peer.sendall(data[place : place + size])
                place += size
            if isinstance(peer, ssl.SSLSocket):
                with contextlib.suppress(OSError):  # the client does not answer it
                    peer.unwrap()
            peer.shutdown(socket.SHUT_WR)

        stream.push_back(b"ahead of the rest")
        thread = threading.Thread(target=write)
        thread.start()
        found, times = receive_mixed(stream, random.Random(seed))
        stream.close()
        thread.join(20)
        assert found == b"ahead of the rest" + data
        assert times > 3


def test_plaintext_that_does_not_fit_a_buffer_is_pending() -> None:
    with tls_pair() as (stream, peer):
        peer.sendall(b"x" * 1000)
        assert select.select([stream.sock], [], [], 20)[0]
        space = bytearray(600)
        count = 0
        while not count:  # a ticket of the server may come first
            with contextlib.suppress(*WOULD_BLOCK):
                count = stream.recv_into(memoryview(space))
        assert (count, stream.pending) == (600, True)
        assert stream.recv() == b"x" * 400
        assert not stream.pending


class TestTls:
    def test_tls_stream_carries_data_both_ways(self) -> None:
        rng = random.Random(5)
        data = rng.randbytes(3_000_000)
        with tls_pair() as (stream, peer):
            got: list[bytes] = []

            def echo() -> None:
                while sum(map(len, got)) < len(data):
                    got.append(peer.recv(65536))
                for start in range(0, len(data), 70_000):
                    peer.sendall(data[start : start + 70_000])

            thread = threading.Thread(target=echo)
            thread.start()
            place = 0
            while place < len(data):
                size = rng.choice([1, 100, 16_384, 16_385, 96_000])
                send(stream, data[place : place + size])
                place += size
            assert receive(stream, lambda found: len(found) == len(data)) == data
            thread.join(20)
            assert b"".join(got) == data

    def test_ciphertext_is_bounded_if_the_peer_does_not_read(self) -> None:
        """No byte counts as sent that cannot have left."""
        with tls_pair() as (stream, peer):
            stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
            data = random.Random(6).randbytes(1_000_000)
            place = 0
            with pytest.raises(BlockingIOError):
                while True:
                    place += stream.send(data[place : place + 50_000])
            assert len(stream._cipher) > 0  # encrypted, and not written
            assert len(stream._cipher) + stream._outgoing.pending < 60_000
            assert place < len(data)
            for _ in range(3):
                with pytest.raises(BlockingIOError):
                    stream.send(data[place : place + 50_000])
            assert len(stream._cipher) + stream._outgoing.pending < 60_000
            got = b""

            def read() -> None:
                nonlocal got
                while len(got) < len(data):
                    got += peer.recv(65536)

            thread = threading.Thread(target=read)
            thread.start()
            while place < len(data):
                try:
                    place += stream.send(data[place : place + 50_000])
                except WOULD_BLOCK:
                    assert select.select([], [stream.sock], [], 20)[1]
            thread.join(20)
            assert got == data
            assert not stream.backlog

    def test_bytes_count_as_sent_no_earlier_than_they_may_have_left(self) -> None:
        """What `send` has not returned was in no record that left completely."""
        with tls_pair() as (stream, peer):
            real = stream.sock

            class Slow:
                def send(self, data: memoryview) -> int:
                    return real.send(data[:1000])

            stream.sock = Slow()  # type: ignore[assignment]
            data = bytes(40_000)
            place, received = 0, 0
            peer.settimeout(0.0)
            while place < len(data):
                place += stream.send(data[place:])
                while True:
                    try:
                        received += len(peer.recv(65536))
                    except ssl.SSLWantReadError:
                        break
                assert received <= place
            peer.settimeout(20.0)
            while received < len(data):
                received += len(peer.recv(65536))

    @pytest.mark.parametrize("size", [0, 5, 40_000])
    def test_close_notify_ends_the_stream_after_earlier_data(self, size: int) -> None:
        with tls_pair() as (stream, peer):
            peer.sendall(bytes(size))
            peer.settimeout(0.0)
            with contextlib.suppress(OSError):
                peer.unwrap()
            # The socket itself stays open.
            assert receive(stream, lambda data: False) == bytes(size)
            assert stream.recv() == b""

    def test_end_of_the_socket_ends_the_stream(self) -> None:
        with tls_pair() as (stream, peer):
            peer.sendall(b"last words")
            peer.shutdown(socket.SHUT_RDWR)
            assert receive(stream, lambda data: False) == b"last words"

    def test_finish_sends_close_notify_and_close_sends_nothing(self) -> None:
        for polite in (True, False):
            with tls_pair() as (stream, peer):
                peer.suppress_ragged_eofs = False
                if polite:
                    stream.finish()
                stream.close()
                if polite:
                    assert peer.recv(10) == b""
                else:
                    with pytest.raises(OSError):  # an end without close_notify
                        peer.recv(10)

    def test_finish_adds_nothing_to_waiting_output(self) -> None:
        with tls_pair() as (stream, _):
            with pytest.raises(BlockingIOError):
                while True:
                    stream.send(bytes(90_000))
            waiting = len(stream._cipher) + stream._outgoing.pending
            stream.finish()
            assert len(stream._cipher) + stream._outgoing.pending == waiting

    def test_reset_of_one_stream_does_not_harm_another_of_the_same_thread(self) -> None:
        """With `SSLSocket` and OpenSSL 3.5 it did: python/cpython#148594."""
        with tls_pair() as (other, other_peer):
            for _ in range(3):
                with tls_pair() as (stream, peer):
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    peer.close()
                    with pytest.raises(ConnectionResetError):
                        receive(stream, bool)
                    with pytest.raises(OSError):
                        stream.send(b"too late")
                with pytest.raises(BlockingIOError):
                    other.recv()
                other_peer.sendall(b"still there")
                assert receive(other, bool) == b"still there"
                send(other, b"and here")
                assert other_peer.recv(100) == b"and here"

    def test_broken_record_is_an_error(self) -> None:
        near, far = over_tcp()
        with tls_pair() as (stream, _), near, far:
            far.sendall(b"this is not TLS at all")
            real, stream.sock = stream.sock, near
            try:
                assert select.select([near], [], [], 20)[0]
                with pytest.raises(ssl.SSLError):
                    stream.recv()
            finally:
                stream.sock = real

    def test_flood_of_input_that_tls_answers_is_given_up(self) -> None:
        with tls_pair() as (stream, peer):

            class Asking:
                """TLS that answers everything that arrives."""

                def read(self, size: int) -> bytes:
                    stream._outgoing.write(bytes(50_000))
                    raise ssl.SSLWantReadError

                def pending(self) -> int:
                    return 0

            stream._tls = Asking()  # type: ignore[assignment]
            with pytest.raises(ConnectionError, match="than it reads"):
                for _ in range(1000):
                    peer.sendall(b"?")
                    assert select.select([stream.sock], [], [], 20)[0]
                    with contextlib.suppress(BlockingIOError):
                        stream.recv()
            assert stream._outgoing.pending < 400_000

    def test_send_that_needs_input_first_is_not_a_full_network(self) -> None:
        with tls_pair() as (stream, _):

            class Renegotiating:
                def write(self, data: memoryview) -> int:
                    raise ssl.SSLWantReadError

            stream._tls = Renegotiating()  # type: ignore[assignment]
            with pytest.raises(InputFirst):
                stream.send(b"data")
            assert not stream.backlog


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize(("version", "command"), [("-tls1_3", "K"), ("-tls1_3", "k"), ("-tls1_2", "r")])
def test_key_updates_and_renegotiation_are_transparent(version: str, command: str, tmp_path: Any) -> None:
    CERTIFICATE.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # It writes what it is given, and takes lines of one letter as commands.
    command_line = ["openssl", "s_server", "-accept", str(port), "-cert", str(tmp_path / "server.pem"), version]
    server = subprocess.Popen(
        [*command_line, "-naccept", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                sock = socket.create_connection(("127.0.0.1", port), 20)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.02)  # it is not listening yet; nothing signals when it does
        stream = secure(Stream(sock), client_context(), "127.0.0.1", Attempt(20.0).wait)
        server.stdin.write(b"first\n")
        server.stdin.flush()
        assert receive(stream, lambda data: data.endswith(b"\n")) == b"first\n"  # and the session tickets before it
        for turn in range(3):
            server.stdin.write(f"{command}\n".encode())
            server.stdin.flush()
            Attempt(20.0).wait(stream.sock, READ)
            with pytest.raises(BlockingIOError):
                stream.recv()
            server.stdin.write(f"line {turn}\n".encode())
            server.stdin.flush()
            assert receive(stream, lambda data: data.endswith(b"\n")) == b"line %d\n" % turn
            send(stream, b"word %d\n" % turn)
            while server.stdout.readline() != b"word %d\n" % turn:
                pass
        stream.finish()
        stream.close()
    finally:
        server.kill()
        server.communicate()


class Verifying(ssl.SSLObject):
    """Verifies after the handshake, as truststore does."""

    asked: ClassVar[list[str]] = []
    refuses = False

    def do_handshake(self) -> None:
        super().do_handshake()
        self.asked.append(str(self.server_hostname))
        if self.refuses:
            raise ssl.SSLCertVerificationError("the operating system does not trust it")


class TestContexts:
    @pytest.fixture
    def server(self) -> Iterator[LocalServer]:
        with LocalServer(api_key="rw-test-key", ssl_context=server_context()) as server:
            yield server

    @pytest.mark.parametrize("refuses", [False, True])
    def test_verification_after_the_handshake_is_done(
        self, server: LocalServer, refuses: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Verifying, "refuses", refuses)
        monkeypatch.setattr(Verifying, "asked", [])
        context = client_context()
        context.sslobject_class = Verifying
        rw = Runware("rw-test-key", url=server.url, ssl_context=context, max_retries=0)
        if refuses:
            with pytest.raises(ConnectionFailedError, match="does not trust it") as caught:
                rw.connect()
            assert caught.value.stage == "TLS"
            assert not caught.value.retryable
        else:
            rw.connect()
        rw.close()
        assert Verifying.asked == ["127.0.0.1"]
        assert server.ledger.connections == (0 if refuses else 1)

    def test_truststore_context_works(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        truststore = pytest.importorskip("truststore")
        for context, trusted in (
            (truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT), False),
            (client_context(truststore.SSLContext), True),
        ):
            rw = Runware("rw-test-key", url=server.url, ssl_context=context, max_retries=0)
            if trusted:
                rw.connect()
            else:
                with pytest.raises(ConnectionFailedError, match="not trusted"):
                    rw.connect()
            rw.close()

    def test_context_that_verifies_sockets_only_is_refused(self, server: LocalServer) -> None:
        """Its check would not run over a BIO."""

        class Pinned(ssl.SSLContext):
            def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
                raise ssl.SSLError("not the pinned certificate")

        class PinnedSocket(ssl.SSLSocket):
            pass

        own = client_context()
        own.sslsocket_class = PinnedSocket
        for context in (client_context(Pinned), own):
            rw = Runware("rw-test-key", url=server.url, ssl_context=context, max_retries=0)
            with pytest.raises(ConfigurationError, match="wrap_bio"):
                rw.connect()
            rw.close()
        assert server.ledger.connections == 0

    def test_context_that_wraps_sockets_and_bios_is_accepted(self, server: LocalServer) -> None:
        class Both(ssl.SSLContext):
            def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
                raise AssertionError

            def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
                return super().wrap_bio(*args, **options)

        with Runware("rw-test-key", url=server.url, ssl_context=client_context(Both)) as rw:
            rw.connect()


def test_failed_verification_is_reported_to_the_server() -> None:
    said: list[str] = []

    def handler(sock: socket.socket) -> None:
        try:
            server_context().wrap_socket(sock, server_side=True).recv(1)
        except ssl.SSLError as error:
            said.append(error.reason)

    with listening(handler) as port:
        stream = Stream(socket.create_connection(("127.0.0.1", port)))
        with pytest.raises(ssl.SSLCertVerificationError):
            secure(stream, ssl.create_default_context(), "127.0.0.1", Attempt(20.0).wait)
        stream.close()
    assert said == ["TLSV1_ALERT_UNKNOWN_CA"]


class TestPlain:
    def test_bytes_read_too_early_come_first(self) -> None:
        near, far = over_tcp()
        with near, far:
            stream = Stream(near)
            far.sendall(b"later")
            stream.push_back(b"sooner")
            assert stream.pending
            assert stream.recv() == b"sooner"
            assert not stream.pending
            Attempt(20.0).wait(near, READ)
            assert stream.recv() == b"later"
            stream.close()
