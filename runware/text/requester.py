"""What readers of streams and drivers of chats have in common: requests over HTTP with a deadline for each step."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from runware._support.http_headers import encode_headers
from runware._support.lazy_modules import lazy_module, load_module
from runware.errors import ConfigurationError, ConnectionFailedError, RunwareError
from runware.options import KEY_VARIABLE, Options
from runware.protocol.redaction import Redactor, secrets_of
from runware.protocol.retry_after import parse_retry_after
from runware.text.exchange import BrokenConnectionError, DeadlineError, Reply
from runware.transport.http_client import Connecting, authorization, http_client, replace_descriptor

if TYPE_CHECKING:
    import ssl

    import httpx2
else:
    httpx2 = lazy_module("httpx2")
    ssl = lazy_module("ssl")

__all__ = ["Requester", "abandoned", "load_http", "ready", "reply_of"]

abandoned: list[Any] = []
"""Parts of connections that belong to the parent of this process. Garbage collection would close them."""
ready: list[bool] = []
"""Has an element once the modules that a request needs are loaded."""


class Requester:
    """Makes requests to the API, one at a time, and translates what the HTTP library reports.

    Args:
        options: The options of the client.

    Attributes:
        ended_by: What ended it from outside; empty while nothing did.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._url = options.service_url("api")
        self._redactor = Redactor()
        self._headers = encode_headers(options.extra_headers)
        self._until = 0.0
        self._sent = False
        self._network: Any = None
        self._connecting = Connecting()
        self.ended_by = ""

    def abort(self, *, client: bool = False) -> None:
        """End what it does, and its connection; safe in any thread.

        Args:
            client: Whether the client is closed, and not only this stream or turn.
        """
        raise NotImplementedError

    def abandon(self) -> None:
        """After a fork, in the child: close the connection's descriptors without writing to it."""
        raise NotImplementedError

    def redact_secrets(self) -> Redactor:
        """Return the redactor of errors, once it knows the secrets of the client."""
        self._redactor.add(*secrets_of(self._options), lasting=True)
        return self._redactor

    def request_headers(self) -> dict[bytes, bytes]:
        """Return the headers of a request, with the key. They are bytes, as texts would be shown in tracebacks."""
        headers: dict[bytes, bytes] = {
            b"Accept": b"text/event-stream, application/json",
            b"Accept-Encoding": b"identity",  # compression would hold pieces back
            b"Cache-Control": b"no-cache",
            b"Content-Type": b"application/json",
        }
        if self._options.dry_run:
            headers[b"X-Runware-Dry-Run"] = b"1"
        header = self._authorization()
        if not header:
            raise ConfigurationError(
                f"api_key() returned no key, or one with control characters. {KEY_VARIABLE} is not used when api_key "
                "is a function.",
                parameter="api_key",
            )
        headers.update(self._headers)
        headers[b"Authorization"] = header
        return headers

    def _authorization(self) -> bytes:
        """Return the header with the key; empty if there is no usable one."""
        header = raised = ""
        try:
            header = authorization(self._options)["Authorization"]
        except RunwareError:
            raise
        except Exception as error:
            raised = type(error).__name__
        if raised:  # only that, and outside of `except`: the text and the frames of the exception may hold a key
            raise ConnectionFailedError(f"api_key() raised {raised}.", stage="key", retryable=False)
        key = header.removeprefix("Bearer ")
        self._redactor.add(key)
        return header.encode() if key.strip() and key != "None" and key.isprintable() else b""

    def connect_timeout(self, until: float) -> float:
        """Return the seconds that connecting may take, for a step that must be done at a time."""
        return max(0.001, min(self._options.connect_timeout, until - time.monotonic()))

    def left(self) -> float:
        """Return the seconds until the current step must be done."""
        return max(0.001, self._until - time.monotonic())

    def note(self, event: str, info: Mapping[str, Any]) -> Any:
        """Note what the HTTP library reports: a new connection, and that the request is being sent.

        Returns:
            The connection, if it is new.

        Raises:
            BrokenConnectionError: The request was ended from outside meanwhile.
        """
        connected = event.endswith((".connect_tcp.complete", ".start_tls.complete"))
        sending = event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT"
        if connected:
            self._network = info.get("return_value")
        if (connected or sending) and self.ended_by:
            raise BrokenConnectionError("closed")
        self._sent = self._sent or sending
        return self._network if connected else None

    def translated(self, error: Exception) -> Exception:
        """Return what an error of the HTTP library means for the steps."""
        if isinstance(error, (RunwareError, BrokenConnectionError, DeadlineError)):
            return error
        timed_out = isinstance(error, (TimeoutError, httpx2.TimeoutException))
        if self._sent:
            if timed_out and time.monotonic() >= self._until - 0.01:
                return DeadlineError()
            return BrokenConnectionError(self._redactor.hide(_words(error)))
        stage, cause = "TCP", _cause(error)
        if isinstance(error, httpx2.ProxyError):
            stage = "proxy"
        elif isinstance(cause, socket.gaierror):
            stage = "name lookup"
        elif isinstance(cause, ssl.SSLError):
            stage = "TLS"
        what = "no response in time" if timed_out else self._redactor.hide(_words(error))
        if isinstance(cause, ssl.SSLCertVerificationError):
            what = f"{cause.verify_message}. Behind a proxy that inspects TLS, set SSL_CERT_FILE to its certificate"
        host = httpx2.URL(self._url).netloc.decode()
        return ConnectionFailedError(
            f"Could not connect to {host}: {stage}: {what}. Nothing was sent.",
            stage=stage,
            host=host,
            retryable=not isinstance(cause, ssl.SSLCertVerificationError),
        )

    def shut_down(self) -> None:
        """End the connection under the thread that reads from it, or makes it. Closing it would not wake that."""
        self._connecting.cancel()
        if (network := self._network) is not None:
            with suppress(Exception):
                # Not the method of an SSLSocket, which changes its state under the thread that reads from it.
                socket.socket.shutdown(network.get_extra_info("socket"), socket.SHUT_RDWR)

    async def close_network(self) -> None:
        """Close the connection, if it is still open.

        Closing the HTTP client does not do that if the task was cancelled during the TLS handshake: its connection then
        belongs to nothing, and stays open until it is collected as garbage.
        """
        network, self._network = self._network, None
        with suppress(Exception):
            if network is not None:
                await network.aclose()

    def replace_descriptor(self) -> None:
        """Replace the descriptor of the connection in a forked child, if it belongs to an event loop."""
        network, self._network = self._network, None
        replace_descriptor(network)

    def close_descriptor(self) -> None:
        """Close the connection after a fork, in the child, without a word to the server."""
        network, self._network = self._network, None
        if network is not None:
            with suppress(Exception):
                network.get_extra_info("socket").close()


def _cause(error: BaseException) -> BaseException:
    """Return the first error of the operating system or TLS behind one of the HTTP library."""
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, OSError):
            return one
        one = one.__cause__ or one.__context__
    return error


def _words(error: Exception) -> str:
    cause = _cause(error)
    return (cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)) or type(error).__name__


def reply_of(response: httpx2.Response) -> Reply:
    """Return the head of a response."""
    headers = response.headers
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Reply(
        response.status_code, content_type, parse_retry_after(headers.get("Retry-After", ""), time.time()) or 0.0
    )


def load_http(options: Options) -> None:
    """Load the modules and certificates that requests need, which would hold up an event loop."""
    if not ready:
        http_client(options, options.service_url("api")).close()
        with suppress(ImportError):  # what anyio loads at its first use; the place may change
            load_module("anyio._backends._asyncio")
        ready.append(True)
