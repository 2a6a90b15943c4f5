"""One HTTP connection to the API, with the errors of requests over it, and the means to abort one.

The dialer connects, as for the WebSocket: with the same stages, errors, proxies and cancellation, and with TLS over
`ssl.MemoryBIO` (see `runware.transport.stream`). A request is one write, its headers made once for each connection.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from runware._support.http_headers import Headers
from runware.errors import ConnectionFailedError, ConnectionLostError, RunwareError
from runware.options import Options
from runware.protocol.codec import dumps
from runware.protocol.http_response import ResponseParser
from runware.protocol.retry_after import parse_http_date, parse_retry_after
from runware.transport.dialer import Attempt, PermanentError, open_stream, read_key, user_agent
from runware.transport.poller import READ, WRITE, make_poller
from runware.transport.stream import WOULD_BLOCK, InputFirst, Stream

__all__ = ["Answer", "HttpLine", "RequestError", "TooLargeError"]

# The first name lookup imports a codec, and the first date its parser. That must not happen on a thread beside a fork.
"".encode("idna")
parse_http_date("")

_SLOWEST_WRITE = 15.0
"""Seconds for which the network may take no output at all."""
_IN_PATH = "/:@!$&'()*+,;=%"
"""What needs no quoting in the path of a URL, or is part of a quotation."""
_TOGETHER = 64 * 1024
"""Bytes of the body that are copied, to be written together with the head."""


class Answer(NamedTuple):
    """A response.

    Attributes:
        status: The HTTP status.
        body: The whole body.
        retry_after: Seconds that the server asks to wait; `None` if it does not.
    """

    status: int
    body: bytes
    retry_after: float | None


class RequestError(Exception):
    """A request brought no response.

    Attributes:
        error: The cause, for the caller.
        sent: Whether the server may have the request: it was written to its last byte.
        permanent: Whether another attempt would fail too.
    """

    def __init__(self, error: RunwareError, *, sent: bool, permanent: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.sent = sent
        self.permanent = permanent


class TooLargeError(Exception):
    """The response is larger than allowed."""


class _Connection:
    """A stream of the dialer with blocking reads and writes, which have timeouts.

    Args:
        stream: The stream.

    Attributes:
        stream: The same.
        unsent: Bytes of the last output that the network has not taken.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.unsent = 0
        self._poller = make_poller()
        self._poller.register(stream.fd, READ)

    @property
    def idle(self) -> bool:
        """Whether no input is pending; between two requests, there is some if the server has closed."""
        return not (self.stream.pending or self._poller.poll(0))

    def read(self, timeout: float | None) -> bytes:
        """Return the next bytes; `b""` at the end of the stream."""
        stream = self.stream
        while True:
            if not stream.pending:
                self._wait(timeout)
            try:
                return stream.recv()
            except WOULD_BLOCK:
                continue

    def write(self, *parts: bytes | memoryview) -> None:
        """Write all bytes."""
        stream = self.stream
        self.unsent = sum(map(len, parts))
        for part in parts:
            rest = memoryview(part)
            while rest or stream.backlog:
                try:
                    count = stream.send(rest)
                except WOULD_BLOCK:
                    self._wait(_SLOWEST_WRITE, WRITE)
                    continue
                except InputFirst:
                    self._wait(_SLOWEST_WRITE)
                    with suppress(*WOULD_BLOCK):
                        stream.push_back(stream.recv())
                    continue
                rest = rest[count:]
                self.unsent -= count

    def _wait(self, timeout: float | None, event: int = READ) -> None:
        poller = self._poller
        if event != READ:
            poller.modify(self.stream.fd, event)
        try:
            if not poller.poll(None if timeout is None else math.ceil(timeout * 1000)):
                raise TimeoutError("timed out")
        finally:
            if event != READ:
                poller.modify(self.stream.fd, READ)


class HttpLine:
    """Make one request after another. The connection is kept in between.

    Only one thread may use it at a time, except for `abort`.

    Args:
        options: The client's options.
        max_body: The size limit of a response in bytes.
        opened: Called with each new socket, so that a process forked meanwhile can close it.

    Attributes:
        host: Host and port of the server.
        used: When the last response came, on the driver's clock, which sets it.
        opened: How many connections were made so far.
        connect_time: Seconds that the last one took.
    """

    def __init__(self, options: Options, max_body: int, opened: Callable[[socket.socket], object]) -> None:
        self._options = options
        self._max_body = max_body
        self._report_socket = opened
        parts = self._parts = urlsplit(options.service_url("api"))
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self.host = f"{parts.hostname}:{port}"
        self._key: str | None = None
        self._head = b""
        self._connection: _Connection | None = None
        self._attempt: Attempt | None = None
        self._aborted = False
        self.used = 0.0
        self.opened = 0
        self.connect_time = 0.0

    @property
    def key(self) -> str | None:
        """The API key in use; `None` before the first request."""
        return self._key

    def abort(self) -> None:
        """End the request at once, from any thread, also while it connects. The line is of no use afterwards."""
        self._aborted = True
        if (attempt := self._attempt) is not None:
            attempt.cancel()
        if (connection := self._connection) is not None:
            with suppress(OSError):
                connection.stream.sock.shutdown(socket.SHUT_RDWR)

    @property
    def aborted(self) -> bool:
        """Whether `abort` was called."""
        return self._aborted

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.stream.close()

    # ------------------------------------------------------------------ requests

    def check_key(self, timeout: float, extra: Headers = ()) -> Answer:
        """Make the request that only checks the key, which is free; raises as `post` does."""
        return self._with_key(
            lambda key: self._post(dumps([{"taskType": "authentication", "apiKey": key}]), timeout, extra)
        )

    def post(self, body: bytes, silence: float | None, extra: Headers = ()) -> Answer:
        """Send tasks.

        Args:
            body: A JSON array of tasks.
            silence: Seconds to wait for each part of the response; `None` for no limit.
            extra: Further headers.

        Raises:
            RequestError: There is no response.
            TooLargeError: The response is too large.
        """
        return self._with_key(lambda _: self._post(body, silence, extra))

    def _with_key(self, send: Callable[[str], Answer]) -> Answer:
        """Make a request; if a key that a function returned for an earlier one is rejected, repeat it with a new one.

        The function may rotate keys, and is only called for each connection. A request that is refused with its key has
        run nothing, so that it may be repeated.
        """
        key = self._key
        if key is None or (callable(self._options.api_key) and not self._connected):
            return send(self._read_key())
        answer = send(key)
        if answer.status == 401 and callable(self._options.api_key) and (new := self._read_key()) != key:
            return send(new)
        return answer

    def _read_key(self) -> str:
        """Read the API key, and make the headers with it.

        Raises:
            RequestError: A function that returns it raised, or returned none.
        """
        try:
            key = self._key = read_key(self._options, _key_error)
        except PermanentError as error:
            raise RequestError(error.error, sent=False, permanent=True) from None
        parts = self._parts
        named = {
            "Host": parts.netloc,
            "User-Agent": user_agent(self._options.app),
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",  # without it, a server may compress
            "Authorization": f"Bearer {key}",
        }
        if self._options.dry_run:
            named["X-Runware-Dry-Run"] = "1"
        lines = [
            f"POST {quote(parts.path or '/', _IN_PATH)} HTTP/1.1",
            *(f"{name}: {value}" for name, value in named.items()),
        ]
        self._head = "\r\n".join([*lines, "Content-Length: "]).encode()
        return key

    @property
    def _connected(self) -> bool:
        return self._connection is not None and self._connection.idle

    def _connect(self) -> _Connection:
        """Return the connection, a new one if there is none that the server has left open.

        Raises:
            RequestError: It cannot be made.
        """
        connection = self._connection
        if connection is not None:
            if connection.idle:
                return connection
            self.close()
        attempt = self._attempt = Attempt(self._options.connect_timeout, self._report_socket)
        if self._aborted:
            attempt.cancel()
        try:
            stream = open_stream(self._options, self._parts, attempt)
        except PermanentError as error:
            raise RequestError(error.error, sent=False, permanent=True) from None
        except RunwareError as error:
            raise RequestError(error, sent=False) from None
        finally:
            self._attempt = None
        _check_with_keepalive(stream.sock, self._options.liveness_timeout)
        self.opened += 1
        self.connect_time = time.monotonic() - attempt.started
        self._connection = _Connection(stream)
        return self._connection

    def _post(self, body: bytes, silence: float | None, extra: Headers = ()) -> Answer:
        connection = self._connect()
        connection.unsent = 1  # until it is known how many there are
        reason = "the request was aborted"
        try:
            if not self._aborted:
                rest = b"".join((b"%d\r\n" % len(body), *(b"%b: %b\r\n" % header for header in extra), b"\r\n"))
                try:
                    connection.write(b"".join((self._head, rest, body[:_TOGETHER])), memoryview(body)[_TOGETHER:])
                except (ConnectionError, TimeoutError) as error:
                    # A server may answer a request before it has read all of it, and then close, or read no more.
                    if isinstance(error, TimeoutError) and connection.idle:
                        raise
                return self._read(connection, silence)
        except TooLargeError:
            raise
        except Exception as error:  # of the network or the response, or of anything after an abort
            strerror = error.strerror if isinstance(error, OSError) else None
            reason = (strerror or str(error) or type(error).__name__).rstrip(".")[:200]
        self.close()
        if not connection.unsent:
            raise RequestError(
                ConnectionLostError(f"The response of {self.host} was lost: {reason}.", may_have_run=True), sent=True
            )
        failed = ConnectionFailedError(
            f"The request to {self.host} could not be written: {reason}.", stage="request", host=self.host
        )
        raise RequestError(failed, sent=False)

    def _read(self, connection: _Connection, silence: float | None) -> Answer:
        """Read a response, and close the connection if it cannot be used again."""
        response = ResponseParser()
        parts: list[bytes] = []
        size = 0
        while not response.complete:
            if data := connection.read(silence):
                part = response.feed(data)
                size += len(part)
                if size > self._max_body:
                    raise TooLargeError
                parts.append(part)
            else:
                response.close()
        if connection.unsent or not response.reusable:
            self.close()
        return Answer(response.status, b"".join(parts), _retry_after(response.headers))


def _key_error(what: str, cause: BaseException) -> ConnectionFailedError:
    error = ConnectionFailedError(f"Could not connect: {what} (stage 'key').", stage="key")
    error.__cause__ = cause.with_traceback(None)  # its frames may hold the key
    return error


def _check_with_keepalive(sock: socket.socket, limit: float) -> None:
    """Make the system find out within *limit* seconds that the other end is gone."""
    idle, interval = math.ceil(limit * 2 / 3), math.ceil(limit / 9)
    for name, value in (("TCP_KEEPIDLE", idle), ("TCP_KEEPINTVL", interval), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    """Return the seconds that a response asks to wait."""
    value = headers.get(b"retry-after")
    if value is None:
        return None
    now = parse_http_date(headers.get(b"date", b"").decode("latin-1"))  # of the server, whose clock may differ
    return parse_retry_after(value.decode("latin-1"), time.time() if now is None else now)
