"""Byte streams over a connected, non-blocking socket: plain, and TLS over `ssl.MemoryBIO`.

`SSLSocket` is not used: with OpenSSL 3.5 and later, a reset leaves an entry in the thread's OpenSSL error queue that
CPython does not clear (python/cpython#148594), and every later `SSLSocket` of that thread fails at its first
would-block. Here the socket's errors never reach OpenSSL.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from runware.transport.poller import READ, WRITE

__all__ = ["WOULD_BLOCK", "InputFirst", "Stream", "TlsStream", "secure"]

_READ = 64 * 1024  # larger ones are mapped, shrunk and unmapped by the allocator at every read
_READ_TLS = 96 * 1024  # measured from 24 to 256 KiB, with 2 MB messages
_RECORD = 16 * 1024
"""Bytes of plaintext that a TLS record has at most."""
_CONTROL = 256 * 1024
"""Bytes that TLS may want to send of its own accord (answers to key updates) while the peer does not read."""

WOULD_BLOCK = (BlockingIOError, InterruptedError)
InputFirst = ssl.SSLWantReadError
"""Raised by `send`: TLS has to receive something (a renegotiation) before it can send on. Retry after `recv`."""

Wait = Callable[[socket.socket, int], None]
"""Blocks until the socket is ready for what the poller calls this event."""


class Stream:
    """Bytes from and to a socket, in order, without blocking.

    Args:
        sock: A connected socket, which from now on is the stream's.

    Attributes:
        fd: What to poll.
        pending: `recv` has something to return without the socket's having become readable.
        backlog: `send` has something of its own to write, even if it is called with nothing.
    """

    pending = False
    backlog = False

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self._ahead = b""

    def push_back(self, data: bytes) -> None:
        """Put back what was read too much, for the next `recv`."""
        self._ahead = data
        self.pending = bool(data)

    def recv(self) -> bytes:
        """Return the next bytes; none at the end of the stream.

        Raises:
            BlockingIOError: There are none yet.
            OSError: The connection is gone.
        """
        if self._ahead:
            data, self._ahead, self.pending = self._ahead, b"", False
            return data
        return self.sock.recv(_READ)

    def send(self, data: bytes | memoryview) -> int:
        """Write some of *data*; return how many of its bytes are taken. Call again with the rest, unchanged.

        Raises:
            BlockingIOError: The network takes nothing now.
            InputFirst: Something has to be received before.
            OSError: The connection is gone.
        """
        return self.sock.send(data)

    def finish(self) -> None:
        """Tell the peer that nothing more will come, if that can be done at once."""

    def close(self) -> None:
        """End the connection and give back the socket. Nothing is written."""
        with suppress(OSError):
            # A child that was forked meanwhile may hold the socket too; closing alone would not end the connection.
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class TlsStream(Stream):
    """A stream through TLS.

    Encrypts only as much as `send` is called with, and decrypts only what the last `recv` took from the socket.

    Args:
        stream: The plain stream below, of which this one takes over the socket.
        tls: A TLS object over the two BIOs, after its handshake.
        incoming: What it reads ciphertext from.
        outgoing: What it writes ciphertext to.
    """

    def __init__(self, stream: Stream, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        super().__init__(stream.sock)
        self._tls, self._incoming, self._outgoing = tls, incoming, outgoing
        self._cipher = memoryview(b"")  # on its way to the socket
        self._encrypted = 0  # bytes of plaintext in it that have not been returned by `send`
        self._ended = False
        self.pending = incoming.pending > 0 or tls.pending() > 0

    def recv(self) -> bytes:
        """Return the next bytes of plaintext; none at the end of the stream."""
        if self._ahead:
            data, self._ahead, self.pending = self._ahead, b"", self._ended
            return data
        if self._ended:
            return b""
        incoming = self._incoming
        if self.pending:  # what came with the end of the handshake
            self.pending = False
        elif data := self.sock.recv(_READ_TLS):
            incoming.write(data)
        else:
            incoming.write_eof()
        parts: list[bytes] = []
        read, tls = self._tls.read, self._tls
        try:
            while True:
                part = read(_RECORD)
                if not part:
                    self._ended = True  # close_notify
                    break
                parts.append(part)
                if not incoming.pending and not tls.pending():
                    break  # as the usual short message; the beginning of a record that is not whole stays in TLS
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self._ended = True
        if self._outgoing.pending:
            self._answer()
        if parts:
            self.pending = self._ended
            return parts[0] if len(parts) == 1 else b"".join(parts)
        if self._ended:
            self.pending = False
            return b""
        raise BlockingIOError

    def _answer(self) -> None:
        """Send what TLS itself has to say (a key update, a renegotiation), or leave it for the next `send`."""
        if self._outgoing.pending > _CONTROL:
            raise ConnectionError("the server asks for more TLS messages than it reads")
        with suppress(*WOULD_BLOCK):
            self._push()
        self.backlog = bool(self._cipher)

    def _push(self) -> int:
        """Write ciphertext until all is gone, or the network takes no more; return how many bytes went."""
        if not self._cipher:
            self._cipher = memoryview(self._outgoing.read())
        count = self.sock.send(self._cipher) if self._cipher else 0
        self._cipher = self._cipher[count:]
        return count

    def send(self, data: bytes | memoryview) -> int:
        """Encrypt *data*, once, and write some of it."""
        if not self._cipher:
            try:
                while self._encrypted < len(data):
                    self._encrypted += self._tls.write(memoryview(data)[self._encrypted :])
            except ssl.SSLWantReadError:
                if not self._outgoing.pending:
                    raise
        count = self._push()
        self.backlog = bool(self._cipher) or self._outgoing.pending > 0
        # Ciphertext is longer than its plaintext, at the end of each record as well: this many bytes may be there, and
        # of those beyond, none is in a record that has left to its last byte.
        taken = min(count, self._encrypted - 1) if self.backlog and self._encrypted else self._encrypted
        self._encrypted -= taken
        return taken

    def finish(self) -> None:
        """Send close_notify, if it goes at once."""
        if self.backlog or self._encrypted:
            return
        with suppress(OSError):  # among them that the peer's own has not come
            self._tls.unwrap()
        with suppress(OSError):
            self._push()


def secure(stream: Stream, context: ssl.SSLContext, host: str, wait: Wait) -> TlsStream:
    """Do the TLS handshake over a plain stream.

    Args:
        stream: The stream below.
        context: Verifies the certificate, in `wrap_bio` or in the `do_handshake` of the object that this returns.
        host: The name that the certificate is to have.
        wait: Called whenever the socket is not ready.

    Raises:
        ssl.SSLError: The handshake failed, or the certificate is not trusted.
        OSError: The connection is gone, or whatever *wait* raises.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
    done = False
    while not done:
        try:
            tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            with suppress(OSError):  # why we leave
                stream.send(outgoing.read())
            raise
        rest = outgoing.read()
        while rest:
            try:
                rest = rest[stream.send(rest) :]
            except WOULD_BLOCK:
                wait(stream.sock, WRITE)
        while not done:
            try:
                data = stream.recv()
            except WOULD_BLOCK:
                wait(stream.sock, READ)
                continue
            if data:
                incoming.write(data)
            else:
                incoming.write_eof()
            break
    return TlsStream(stream, tls, incoming, outgoing)
