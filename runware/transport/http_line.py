"""One HTTP connection to the API, with the errors of requests over it, and the means to abort one.

The dialer connects, as for the WebSocket: with the same stages, errors, proxies and cancellation, and with TLS over
`ssl.MemoryBIO` (see `runware.transport.stream`). httpcore2, which is below httpx2, speaks HTTP over that stream.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import httpcore2

from runware._support.http_headers import Headers
from runware.errors import ConnectionFailedError, ConnectionLostError, RunwareError
from runware.options import Options
from runware.protocol.codec import dumps
from runware.protocol.retry_after import parse_http_date, parse_retry_after
from runware.transport.dialer import Attempt, PermanentError, open_stream, read_key, user_agent
from runware.transport.poller import READ, WRITE, make_poller
from runware.transport.stream import WOULD_BLOCK, InputFirst, Stream

__all__ = ["Answer", "HttpLine", "RequestError", "TooLargeError"]

"".encode("idna")  # the first name lookup imports the codec, which must not happen on a thread beside a fork

_SLOWEST_WRITE = 15.0
"""Seconds for which the network may take no output at all."""


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


class _NetworkStream(httpcore2.NetworkStream):
    """A stream of the dialer, as httpcore2 uses one: blocking, with timeouts.

    Attributes:
        body_written: Bytes of the request's body that the network has taken.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.body_written = 0
        self._poller = make_poller()
        self._poller.register(stream.fd, READ)
        self._head_written = False
        self._closed = False

    def begin(self) -> None:
        """Prepare for the next request: what is written first is its head."""
        self.body_written = 0
        self._head_written = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes; `b""` at the end of the stream."""
        stream = self.stream
        try:
            while True:
                if not stream.pending:
                    self._wait(timeout, httpcore2.ReadTimeout)
                try:
                    data = stream.recv()
                except WOULD_BLOCK:
                    continue
                if len(data) > max_bytes:
                    stream.push_back(data[max_bytes:])
                return data[:max_bytes]
        except OSError as error:
            raise httpcore2.ReadError(error.strerror or str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all bytes."""
        stream, rest = self.stream, memoryview(buffer)
        try:
            while rest or stream.backlog:
                try:
                    count = stream.send(rest)
                except WOULD_BLOCK:
                    self._wait(timeout, httpcore2.WriteTimeout, WRITE)
                    continue
                except InputFirst:
                    self._wait(timeout, httpcore2.WriteTimeout)
                    with suppress(*WOULD_BLOCK):
                        stream.push_back(stream.recv())
                    continue
                rest = rest[count:]
                if self._head_written:
                    self.body_written += count
        except OSError as error:
            raise httpcore2.WriteError(error.strerror or str(error)) from error
        self._head_written = True

    def _wait(self, timeout: float | None, expired: type[Exception], event: int = READ) -> None:
        poller = self._poller
        if event != READ:
            poller.modify(self.stream.fd, event)
        try:
            if not poller.poll(None if timeout is None else math.ceil(timeout * 1000)):
                raise expired("timed out")
        finally:
            if event != READ:
                poller.modify(self.stream.fd, READ)

    def close(self) -> None:
        """Close the connection."""
        if not self._closed:
            self._closed = True
            self.stream.close()

    def start_tls(self, *_: object, **__: object) -> NoReturn:
        """Refuse: the dialer has done this."""
        raise NotImplementedError

    def get_extra_info(self, info: str) -> Any:
        """Return whether input is pending, which between two requests means that the server has closed."""
        return (self.stream.pending or bool(self._poller.poll(0))) if info == "is_readable" else None


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
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        # For httpcore2 it is always plain HTTP: the dialer does TLS.
        self._target = httpcore2.URL(scheme=b"http", host=(parts.hostname or "").encode(), port=port, target=target)
        self._key: str | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._connection: httpcore2.HTTP11Connection | None = None
        self._stream: _NetworkStream | None = None
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
        if (stream := self._stream) is not None:
            with suppress(OSError):
                stream.stream.sock.shutdown(socket.SHUT_RDWR)

    @property
    def aborted(self) -> bool:
        """Whether `abort` was called."""
        return self._aborted

    def close(self) -> None:
        """Close the connection."""
        self._connection = None
        if (stream := self._stream) is not None:
            stream.close()

    # ------------------------------------------------------------------ requests

    def check_key(self, timeout: float) -> Answer:
        """Make the request that only checks the key, which is free; raises as `post` does."""
        key = self._read_key()
        headers = [header for header in self._headers if header[0] != b"Authorization"]
        return self._post(dumps([{"taskType": "authentication", "apiKey": key}]), headers, timeout)

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
        self._read_key()
        return self._post(body, [*self._headers, *extra] if extra else self._headers, silence)

    def _read_key(self) -> str:
        if self._key is None:
            try:
                self._key = read_key(self._options, _key_error)
            except PermanentError as error:
                raise RequestError(error.error, sent=False, permanent=True) from None
            named = {
                "Host": self._parts.netloc,
                "User-Agent": user_agent(self._options.app),
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",  # without it, a server may compress
                "Authorization": f"Bearer {self._key}",
            }
            if self._options.dry_run:
                named["X-Runware-Dry-Run"] = "1"
            self._headers = [(name.encode(), value.encode()) for name, value in named.items()]
        return self._key

    def _connect(self) -> httpcore2.HTTP11Connection:
        """Return the connection, a new one if there is none that the server has left open.

        Raises:
            RequestError: It cannot be made.
        """
        connection = self._connection
        if connection is not None:
            if connection.is_idle() and not connection.has_expired():
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
        self._stream = _NetworkStream(stream)
        self._connection = httpcore2.HTTP11Connection(self._target.origin, self._stream)
        return self._connection

    def _post(self, body: bytes, headers: list[tuple[bytes, bytes]], silence: float | None) -> Answer:
        connection = self._connect()
        stream = self._stream
        assert stream is not None
        stream.begin()
        request = httpcore2.Request(
            "POST",
            self._target,
            headers=[*headers, (b"Content-Length", b"%d" % len(body))],
            content=body,
            extensions={"timeout": {"write": _SLOWEST_WRITE, "read": silence}},
        )
        reason = "the request was aborted"
        try:
            if not self._aborted:
                response = connection.handle_request(request)
                try:
                    return Answer(response.status, self._read(response), _retry_after(response.headers))
                finally:
                    response.close()
                    if _holds_more(connection):
                        self.close()
        except TooLargeError:
            raise
        except Exception as error:  # of httpcore2, or of anything below it after an abort
            reason = (str(error) or type(error).__name__).rstrip(".")[:200]
        self.close()
        # Outside of `except`: tracebacks show variables, and those of httpcore2 hold the request with the key.
        if stream.body_written >= len(body):
            raise RequestError(
                ConnectionLostError(f"The response of {self.host} was lost: {reason}.", may_have_run=True), sent=True
            )
        failed = ConnectionFailedError(
            f"The request to {self.host} could not be written: {reason}.", stage="request", host=self.host
        )
        raise RequestError(failed, sent=False)

    def _read(self, response: httpcore2.Response) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in response.iter_stream():
            size += len(part)
            if size > self._max_body:
                raise TooLargeError
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


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


def _holds_more(connection: httpcore2.HTTP11Connection) -> bool:
    """Return whether something follows the response, which would be read as the answer to the next request.

    What is still in the socket makes the connection expire, but what was read with the response does not, and only the
    parser has it. If it cannot be found there, the connection is not used again.
    """
    parser = getattr(connection, "_h11_state", None)
    return parser is None or bool(parser.trailing_data[0])


def _retry_after(headers: list[tuple[bytes, bytes]]) -> float | None:
    """Return the seconds that a response asks to wait."""
    named = {name.lower(): value.decode("latin-1") for name, value in headers}
    now = parse_http_date(named.get(b"date", ""))  # of the server, whose clock may differ
    return parse_retry_after(named.get(b"retry-after", ""), time.time() if now is None else now)
