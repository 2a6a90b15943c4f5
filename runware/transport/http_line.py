"""One HTTP connection to the API, with the errors of requests over it, and the means to abort one."""

from __future__ import annotations

import math
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from runware._support.lazy_modules import lazy_module
from runware.errors import ConnectionFailedError, ConnectionLostError, RunwareError
from runware.options import Options
from runware.protocol.codec import dumps
from runware.transport.dialer import TLS_ADVICE, PermanentError, read_key, user_agent
from runware.transport.http_client import http_transport

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = lazy_module("httpx2")

__all__ = ["Answer", "HttpLine", "RequestError", "TooLargeError"]

"".encode("idna")  # the first name lookup imports the codec, which must not happen on a thread beside a fork

_SLOWEST_WRITE = 15.0
"""Seconds for which the network may take no output at all."""
_PERMANENT_PROXY_STATUSES = ("401", "403", "407")


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


class HttpLine:
    """Make one request after another. The connection is kept in between, for a few seconds.

    Only one thread may use it at a time, except for `abort`.

    Args:
        options: The client's options.
        max_body: The size limit of a response in bytes.

    Attributes:
        host: Host and port of the server.
        used: When the last response came, on the driver's clock, which sets it.
        opened: How many connections were made so far.
        connect_time: Seconds that the last one took, without TLS.

    Raises:
        ConfigurationError: The proxy cannot be used.
    """

    def __init__(self, options: Options, max_body: int) -> None:
        self._options = options
        self._max_body = max_body
        self._url = options.service_url("api")
        parts = urlsplit(self._url)
        self.host = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        self._transport = http_transport(options, self._url)
        self._target = httpx2.URL(self._url)
        self._key: str | None = None
        self._headers: dict[str, str] = {}
        self._aborted = False
        self._sock: socket.socket | None = None  # a duplicate: the TLS handshake replaces the original object
        self._originals: list[Any] = []
        self._stage = "TCP"
        self._sent = False
        self._is_task = False
        self._started = self.used = 0.0
        self.opened = 0
        self.connect_time = 0.0

    @property
    def key(self) -> str | None:
        """The API key in use; `None` before the first request."""
        return self._key

    def abort(self) -> None:
        """End the request at once, from any thread. The line is of no use afterwards."""
        self._aborted = True
        if (sock := self._sock) is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    @property
    def aborted(self) -> bool:
        """Whether `abort` was called."""
        return self._aborted

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):  # whatever state an abort left it in
            self._transport.close()
        self._forget()

    def drop(self) -> None:
        """In a forked child: close the descriptors of the parent's connection, and leave its locks alone."""
        for sock in self._originals:
            with suppress(OSError):
                sock.close()
        self._forget()

    def _forget(self) -> None:
        sock, self._sock = self._sock, None
        self._originals.clear()
        if sock is not None:
            sock.close()

    # ------------------------------------------------------------------ requests

    def check_key(self, timeout: float) -> Answer:
        """Make the request that only checks the key, which is free; raises as `post` does."""
        key = self._read_key()
        headers = {name: value for name, value in self._headers.items() if name != "Authorization"}
        return self._post(dumps([{"taskType": "authentication", "apiKey": key}]), headers, timeout)

    def post(self, body: bytes, silence: float | None) -> Answer:
        """Send tasks.

        Args:
            body: A JSON array of tasks.
            silence: Seconds to wait for each part of the response; `None` for no limit.

        Raises:
            RequestError: There is no response.
            TooLargeError: The response is too large.
        """
        self._read_key()
        return self._post(body, self._headers, silence)

    def _read_key(self) -> str:
        if self._key is None:
            try:
                self._key = read_key(self._options, self._key_error)
            except PermanentError as error:
                raise RequestError(error.error, sent=False, permanent=True) from None
            self._headers = {
                "User-Agent": user_agent(),
                "Accept-Encoding": "gzip, deflate",
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self._key}",
            }
            if self._options.dry_run:
                self._headers["X-Runware-Dry-Run"] = "1"
        return self._key

    def _key_error(self, what: str, cause: BaseException) -> ConnectionFailedError:
        error = ConnectionFailedError(f"Could not connect: {what} (stage 'key').", stage="key")
        error.__cause__ = cause.with_traceback(None)  # its frames may hold the key
        return error

    def _post(self, body: bytes, headers: Mapping[str, str], silence: float | None) -> Answer:
        self._sent = self._is_task = False
        self._started = time.monotonic()
        timeout = {"connect": self._options.connect_timeout, "write": _SLOWEST_WRITE, "read": silence, "pool": None}
        request = httpx2.Request(
            "POST",
            self._target,
            headers=headers,
            content=body,
            extensions={"timeout": timeout, "trace": self._trace},
        )
        failure: RequestError | None = None
        try:
            response = self._transport.handle_request(request)
            try:
                return Answer(response.status_code, self._read(response), _retry_after(response.headers))
            finally:
                response.close()
        except TooLargeError:
            raise
        except Exception as error:  # of httpx2, or of anything below it after an abort
            failure = self._failure(error)
        # Outside of `except`: httpx2's exceptions hold the request with the key, which error reporters would show.
        raise failure

    def _read(self, response: httpx2.Response) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in response.iter_bytes():
            size += len(part)
            if size > self._max_body:
                raise TooLargeError
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # ------------------------------------------------------------------ what happens on the way

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow a request: how far it is, and over which socket."""
        if event.endswith("send_request_body.complete"):
            self._sent = self._is_task
        elif event.endswith("send_request_headers.started"):
            self._is_task = info["request"].method == b"POST"  # a request to a proxy is none
            self._stage = "request" if self._is_task else "proxy"
        elif event.endswith("connect_tcp.started"):
            self._stage = "TCP"
        elif event.endswith("connect_tcp.complete"):
            self._connected(info["return_value"])
        elif event.endswith("start_tls.started"):
            self._stage = "TLS"
        elif event.endswith("start_tls.complete"):
            self._originals.append(info["return_value"].get_extra_info("socket"))

    def _connected(self, stream: Any) -> None:
        self._forget()
        self.opened += 1
        self.connect_time = time.monotonic() - self._started
        sock = stream.get_extra_info("socket")
        _check_with_keepalive(sock, self._options.liveness_timeout)
        self._originals.append(sock)
        self._sock = sock.dup()
        if self._aborted:
            self.abort()

    def _failure(self, error: Exception) -> RequestError:
        """Make the error of a request from an exception."""
        elapsed = time.monotonic() - self._started
        reason, stage = _reason_of(error), self._stage
        permanent = False
        if stage == "request":
            lost = ConnectionLostError(f"The response of {self.host} was lost: {reason}.", may_have_run=self._sent)
            if self._sent:
                return RequestError(lost, sent=True)
            reason = f"the request could not be written ({reason})"
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                why = getattr(cause, "verify_message", "") or cause
                reason, permanent = f"the certificate is not trusted ({why}). {TLS_ADVICE}".rstrip("."), True
            elif isinstance(cause, socket.gaierror):
                stage = "name lookup"
        if isinstance(error, httpx2.ProxyError):
            stage, permanent = "proxy", str(error).startswith(_PERMANENT_PROXY_STATUSES)
            reason = f"the proxy responded with {str(error)[:140]}"
        elif isinstance(error, httpx2.TimeoutException):
            reason = "no response in time"
        failed = ConnectionFailedError(
            f"Could not connect: {reason} (stage {stage!r} with {self.host}, after {elapsed:.1f} s).",
            stage=stage,
            host=self.host,
            elapsed=elapsed,
        )
        if permanent:
            failed.retryable = False
        return RequestError(failed, sent=False, permanent=permanent)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.append(one)
        one = one.__cause__ or one.__context__
    return found


def _reason_of(error: Exception) -> str:
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return (str(error) or type(error).__name__).rstrip(".")[:200]


def _check_with_keepalive(sock: socket.socket, limit: float) -> None:
    """Make the system find out within *limit* seconds that the other end is gone."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        idle, interval = math.ceil(limit * 2 / 3), math.ceil(limit / 9)
        for name, value in (("TCP_KEEPIDLE", idle), ("TCP_KEEPINTVL", interval), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in a Retry-After header, which may also be a date."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal() and len(value) < 10:
        return float(value)
    then = _date(value)
    if then is None:
        return None
    now = _date(headers.get("Date", ""))  # of the server, whose clock may differ
    return max(0.0, then - (time.time() if now is None else now))


def _date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
