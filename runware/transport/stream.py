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
from typing import overload

from runware.transport.poller import READ, WRITE

__all__ = ["WOULD_BLOCK", "InputFirst", "Stream", "TlsStream", "secure"]

_READ = 64 * 1024  # for larger buffers, the allocator maps and unmaps memory at every read
_READ_INTO = 256 * 1024  # a tenth of a millisecond, so that a pass of the I/O loop stays short
_READ_TLS = 96 * 1024  # the fastest of 24 to 256 KiB, measured with 2 MB messages
_RECORD = 16 * 1024
"""The maximum plaintext of a TLS record in bytes."""
_CONTROL = 256 * 1024
"""The limit in bytes on pending TLS messages (responses to key updates) while the peer does not read."""

WOULD_BLOCK = (BlockingIOError, InterruptedError)
InputFirst = ssl.SSLWantReadError
"""Raised by `send` when TLS has to receive first (renegotiation). Retry after `recv`."""

Wait = Callable[[socket.socket, int], None]
"""Blocks until the socket is ready for an event, READ or WRITE."""


class Stream:
    """A non-blocking byte stream over a socket.

    Args:
        sock: A connected socket. The stream takes it over.

    Attributes:
        fd: The file descriptor to poll.
        pending: `recv` can return data even if the socket is not readable.
        backlog: `send` has buffered data to write, even if it is called with no bytes.
    """

    pending = False
    backlog = False

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self._ahead = b""

    def push_back(self, data: bytes) -> None:
        """Put back surplus data for the next `recv`."""
        self._ahead = data
        self.pending = bool(data)

    def recv(self) -> bytes:
        """Return the next bytes; `b""` at the end of the stream.

        Raises:
            BlockingIOError: No data is available yet.
            OSError: The connection failed.
        """
        if self._ahead:
            data, self._ahead, self.pending = self._ahead, b"", False
            return data
        return self.sock.recv(_READ)

    def recv_into(self, space: memoryview) -> int:
        """Write the next bytes into *space* and return their number; 0 at the end of the stream.

        Raises:
            BlockingIOError: No data is available yet.
            OSError: The connection failed.
        """
        return self._take_ahead(space) if self._ahead else self.sock.recv_into(space[:_READ_INTO])

    def _take_ahead(self, space: memoryview) -> int:
        data = self.recv()
        count = min(len(data), len(space))
        space[:count] = data[:count]
        if count < len(data):
            self.push_back(data[count:])
        return count

    def send(self, data: bytes | memoryview) -> int:
        """Write some of *data* and return how many bytes were taken. Call again with the rest, unchanged.

        Raises:
            BlockingIOError: The socket buffer is full.
            InputFirst: TLS has to receive first.
            OSError: The connection failed.
        """
        return self.sock.send(data)

    def finish(self) -> None:
        """Signal the end of the stream to the peer, if that is possible without blocking."""

    def close(self) -> None:
        """Close the connection and the socket. Nothing is written."""
        with suppress(OSError):
            # A forked child may hold the socket too, and then closing would not end the connection.
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class TlsStream(Stream):
    """A TLS stream.

    It encrypts only the data passed to `send`, and decrypts only what the last `recv` read from the socket.

    Args:
        stream: The plain stream, whose socket this one takes over.
        tls: The TLS object over the two BIOs, after its handshake.
        incoming: The BIO for received ciphertext.
        outgoing: The BIO for ciphertext to send.
    """

    def __init__(self, stream: Stream, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        super().__init__(stream.sock)
        self._tls, self._incoming, self._outgoing = tls, incoming, outgoing
        self._cipher = memoryview(b"")  # ciphertext not written yet
        self._encrypted = 0  # bytes of plaintext in it that `send` has not reported as taken
        self._ended = False
        self.pending = incoming.pending > 0 or tls.pending() > 0

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, if resuming it saves a round trip; with TLS 1.3 it saves none."""
        return None if self._tls.version() == "TLSv1.3" else self._tls.session

    def recv(self) -> bytes:
        """Return the next bytes of plaintext; `b""` at the end of the stream."""
        if self._ahead:
            data, self._ahead, self.pending = self._ahead, b"", self._ended
            return data
        if self._ended:
            return b""
        self._receive()
        incoming, tls = self._incoming, self._tls
        parts: list[bytes] = []
        while part := self._decrypt(_RECORD):
            parts.append(part)
            if not incoming.pending and not tls.pending():
                break  # the usual case of a short message; an incomplete record stays in the TLS object
        self._finish_read(received=bool(parts))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def recv_into(self, space: memoryview) -> int:
        """Decrypt the next bytes into *space* and return their number; 0 at the end of the stream."""
        if self._ahead:
            return self._take_ahead(space)
        if self._ended:
            return 0
        self._receive()
        incoming, tls = self._incoming, self._tls
        count, size = 0, len(space)
        while count < size and (read := self._decrypt(size - count, space[count:])):
            count += read
            if not incoming.pending and not tls.pending():
                break
        self._finish_read(received=count > 0)
        if count and (incoming.pending or tls.pending()):
            self.pending = True  # what follows the frame is here already: the socket need not become readable again
        return count

    def _receive(self) -> None:
        """Read ciphertext from the socket, unless some has been read that is not decrypted."""
        if self.pending:
            self.pending = False
        elif data := self.sock.recv(_READ_TLS):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    @overload
    def _decrypt(self, size: int) -> bytes: ...
    @overload
    def _decrypt(self, size: int, space: memoryview) -> int: ...
    def _decrypt(self, size: int, space: memoryview | None = None) -> bytes | int:
        """Decrypt up to *size* bytes of one record, into *space* if there is one.

        Returns:
            The bytes, or their number; nothing if no record is complete, or at the end of the stream, which is noted.
        """
        try:
            read = self._tls.read(size) if space is None else self._tls.read(size, space)
        except ssl.SSLWantReadError:
            return b""
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            read = b""
        if not read:
            self._ended = True  # close_notify, or without one
        return read

    def _finish_read(self, *, received: bool) -> None:
        """Answer messages of TLS itself, and note whether the end of the stream is to be returned next.

        Raises:
            BlockingIOError: Nothing was received, and the stream has not ended.
        """
        if self._outgoing.pending:
            self._answer()
        if not received and not self._ended:
            raise BlockingIOError
        self.pending = received and self._ended

    def _answer(self) -> None:
        """Write the messages of TLS itself (key update, renegotiation), or leave them to the next `send`."""
        if self._outgoing.pending > _CONTROL:
            raise ConnectionError("the server requests more TLS messages than it reads")
        with suppress(*WOULD_BLOCK):
            self._push()
        self.backlog = bool(self._cipher)

    def _push(self) -> int:
        """Write pending ciphertext; return how many bytes were written."""
        if not self._cipher:
            self._cipher = memoryview(self._outgoing.read())
        count = self.sock.send(self._cipher) if self._cipher else 0
        self._cipher = self._cipher[count:]
        return count

    def send(self, data: bytes | memoryview) -> int:
        """Encrypt *data* once, and write some of it."""
        if not self._cipher:
            try:
                while self._encrypted < len(data):
                    self._encrypted += self._tls.write(memoryview(data)[self._encrypted :])
            except ssl.SSLWantReadError:
                if not self._outgoing.pending:
                    raise
        count = self._push()
        self.backlog = bool(self._cipher) or self._outgoing.pending > 0
        # Report every byte that may have reached the server. Ciphertext is longer than its plaintext, in every record,
        # so *count* bytes of it cover at most *count* bytes of plaintext; no byte beyond those can be in a record that
        # was written completely. While ciphertext is left, one byte is held back, so that the caller calls again.
        taken = min(count, self._encrypted - 1) if self.backlog and self._encrypted else self._encrypted
        self._encrypted -= taken
        return taken

    def finish(self) -> None:
        """Send close_notify, if that is possible without blocking."""
        if self.backlog or self._encrypted:
            return
        with suppress(OSError):  # raised too if the peer has not sent its own
            self._tls.unwrap()
        with suppress(OSError):
            self._push()


def secure(
    stream: Stream, context: ssl.SSLContext, host: str, wait: Wait, session: ssl.SSLSession | None = None
) -> TlsStream:
    """Do the TLS handshake over a plain stream.

    Args:
        stream: The plain stream.
        context: Verifies the certificate, in `wrap_bio` or in `do_handshake` of its TLS objects.
        host: The name the certificate has to be valid for.
        wait: Called when the socket is not ready.
        session: The session of an earlier connection with the same context to the same host, which the server may
            resume; `None` for none.

    Raises:
        ssl.SSLError: The handshake failed, or the certificate is not trusted.
        OSError: The connection failed, or *wait* raised.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    if session is None:  # contexts with a method of their own may not know the parameter
        tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
    else:
        tls = context.wrap_bio(incoming, outgoing, server_hostname=host, session=session)
    done = False
    while not done:
        try:
            tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            with suppress(OSError):  # the alert that tells the server the reason
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
