"""HTTP clients with the connection settings of a Runware client: its proxy, trust store and user agent.

Everything over HTTP goes through them: the HTTP transport, token streams, serverless apps, the catalogue. The API key
is not among their headers; each request adds it (`authorization`), so that it cannot reach another host.
"""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from runware._support.lazy_modules import lazy_module
from runware._support.threads import cannot_start
from runware.errors import ClientClosedError, ConfigurationError, ConnectionFailedError
from runware.options import KEY_VARIABLE, Options

if TYPE_CHECKING:
    import httpcore2
    import httpcore2._backends.sync as sync_backend
    import httpx2

    from runware.transport import addresses, dialer
    from runware.transport import attempt as attempts
else:
    addresses = lazy_module("runware.transport.addresses")
    attempts = lazy_module("runware.transport.attempt")
    httpcore2 = lazy_module("httpcore2")
    sync_backend = lazy_module("httpcore2._backends.sync")
    httpx2 = lazy_module("httpx2")
    dialer = lazy_module("runware.transport.dialer")

__all__ = [
    "Connecting",
    "Deadline",
    "KeyHeader",
    "OpenRequests",
    "async_http_client",
    "authorization",
    "bound_connecting",
    "http_client",
    "limit_network",
    "replace_descriptor",
]

_SLICE = 65_536
"""The bytes written before the deadline is looked at again."""


class Connecting:
    """The attempts of an HTTP client to connect, which another thread can end.

    There is no socket yet that it could shut down, or TLS has taken it over until its handshake is done.
    """

    def __init__(self) -> None:
        self._attempts: set[weakref.ref[attempts.Attempt]] = set()
        self._handshakes: set[socket.socket] = set()
        self._cancelled = False

    def attempt(self, timeout: float) -> attempts.Attempt:
        """Return a new attempt, which has *timeout* seconds."""
        attempt = attempts.Attempt(timeout)
        self._attempts.add(weakref.ref(attempt, self._attempts.discard))
        if self._cancelled:
            attempt.cancel()
        return attempt

    @contextmanager
    def handshake(self, sock: socket.socket) -> Iterator[None]:
        """Register a TLS handshake over a socket while it lasts, so that `cancel` ends it."""
        try:
            copy = sock.dup()  # of the descriptor: the handshake takes it away from the socket
        except OSError:  # there is none left
            yield
            return
        self._handshakes.add(copy)
        try:
            if self._cancelled:
                _shut_down(copy)
            yield
        finally:
            self._handshakes.discard(copy)
            copy.close()

    def cancel(self) -> None:
        """End the attempts at once, and all later ones; callable in any thread."""
        self._cancelled = True
        for one in tuple(self._attempts):
            if (attempt := one()) is not None:
                attempt.cancel()
        for sock in tuple(self._handshakes):
            _shut_down(sock)


def _shut_down(sock: socket.socket) -> None:
    """Shut a socket down, which wakes the thread that waits for it; closing would not."""
    with suppress(OSError):  # it is closed
        # Not `SSLSocket.shutdown`, which takes the TLS object away from a thread that reads.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def http_client(
    options: Options,
    url: str,
    *,
    timeout: httpx2.Timeout | float | None = None,
    connecting: Connecting | None = None,
) -> httpx2.Client:
    """Return a blocking HTTP client for requests to one host. The caller closes it.

    Args:
        options: The options of the Runware client.
        url: A URL on the host, which decides whether a proxy is used.
        timeout: Its timeouts in seconds; `None` means that the requests set theirs.
        connecting: Has its attempts to connect.

    Raises:
        ConfigurationError: The proxy cannot be used.
    """
    with _proxy_errors():
        client = httpx2.Client(**_settings(options, url), timeout=timeout)
    bound_connecting(client, connecting)
    return client


def async_http_client(
    options: Options, url: str, *, timeout: httpx2.Timeout | float | None = None
) -> httpx2.AsyncClient:
    """Return an HTTP client for the running event loop; see `http_client`."""
    with _proxy_errors():
        return httpx2.AsyncClient(**_settings(options, url), timeout=timeout)


@functools.cache
def _backend_class() -> type[Any]:
    """Return the class of what makes connections for blocking clients, in the way of a WebSocket's."""
    stream_class = sync_backend.SyncStream

    class Stream(stream_class):  # type: ignore[misc, valid-type]  # it is loaded at its first use
        """A connection whose TLS handshake can be ended."""

        def __init__(self, sock: socket.socket, connecting: Connecting) -> None:
            super().__init__(sock)
            self._connecting = connecting

        def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
            with self._connecting.handshake(self.get_extra_info("socket")):
                return super().start_tls(ssl_context, server_hostname, timeout)

    class Backend(httpcore2.SyncBackend):
        """Connects to the first address that answers, within one timeout for that and the name lookup."""

        def __init__(self, connecting: Connecting) -> None:
            self._connecting = connecting

        def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Any = None,
        ) -> Any:
            if timeout is None or local_address is not None or socket_options:
                return super().connect_tcp(host, port, timeout, local_address, socket_options)
            attempt = self._connecting.attempt(timeout)
            try:
                found = addresses.look_up(host, port, attempt)
                sock = addresses.connect(host, port, found, attempt)
            except TimeoutError as error:
                raise httpcore2.ConnectTimeout(f"the lookup of {host} timed out") from error
            except addresses.UnreachableError as error:
                late = isinstance(error.cause, TimeoutError)
                raise (httpcore2.ConnectTimeout if late else httpcore2.ConnectError)(str(error)) from error.cause
            except attempts.CancelledError as error:
                raise httpcore2.ConnectError("the request was cancelled") from error
            except (OSError, UnicodeError) as error:
                raise httpcore2.ConnectError(str(error)) from error
            with suppress(OSError):  # macOS refuses it once the other end is gone
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Stream(sock, self._connecting)

    return Backend


def bound_connecting(client: httpx2.Client, connecting: Connecting | None = None) -> None:
    """Make a client connect as a WebSocket does: to the first address that answers, within one timeout for everything.

    The HTTP library tries one address after another, gives each the whole timeout, and the name lookup none. It has no
    setting for that. If its parts are not as expected, it keeps its own way.

    Args:
        client: The client.
        connecting: Has its attempts to connect.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - see above
        pool: Any = getattr(transport, "_pool", None)
        if isinstance(getattr(pool, "_network_backend", None), httpcore2.SyncBackend):
            with suppress(ImportError, AttributeError):
                pool._network_backend = _backend_class()(connecting or Connecting())  # noqa: SLF001 - see above


def limit_network(network: Any, left: Callable[[], float]) -> None:
    """Bound each read and write of a connection by the time that is left for the whole request.

    The HTTP library applies one timeout to each of them, which a peer that sends or takes a few bytes at a time extends
    without end.

    Args:
        network: The connection, as the HTTP library reports it.
        left: Returns the seconds that are left.
    """
    read, write = network.read, network.write

    def limited_read(max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG001 - the interface
        seconds = left()
        if seconds <= 0:
            raise httpcore2.ReadTimeout("timed out")
        received: bytes = read(max_bytes, seconds)
        return received

    def limited_write(buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG001 - the interface
        for start in range(0, len(buffer), _SLICE):
            seconds = left()
            if seconds <= 0:
                raise httpcore2.WriteTimeout("timed out")
            write(buffer[start : start + _SLICE], seconds)

    network.read, network.write = limited_read, limited_write


def replace_descriptor(network: Any) -> None:
    """Replace the descriptor of an event loop's connection with the null device, in a forked child.

    As long as a child has the descriptor, the connection stays open although the parent closes it. The number stays
    taken: the child's copy of the event loop would close whatever had it next. The server is told nothing.

    Args:
        network: The connection, as the HTTP library reports it.
    """
    with suppress(Exception):
        number = network.get_extra_info("socket").fileno()
        null = os.open(os.devnull, os.O_RDWR)
        try:
            os.dup2(null, number, inheritable=False)
        finally:
            os.close(null)


def authorization(options: Options) -> dict[str, str]:
    """Return the header with the API key. If the key comes from a function, it is called, which may block."""
    key = options.api_key
    return {"Authorization": f"Bearer {key() if callable(key) else key}"}


class KeyHeader:
    """The header with the API key, in an object: error reporters show the variables of each frame.

    Args:
        options: The options of the client. If the key comes from a function, it is called, which may block.

    Attributes:
        headers: The header.

    Raises:
        ConnectionFailedError: The function raised.
        ConfigurationError: It returned no key.
    """

    __slots__ = ("headers",)

    def __init__(self, options: Options) -> None:
        try:
            self.headers = authorization(options)
        except Exception as error:
            failed = ConnectionFailedError(f"api_key() raised {type(error).__name__}.", stage="key", retryable=False)
            raise failed from error.with_traceback(None)  # its frames may hold the key
        if not self.key:
            raise ConfigurationError(
                f"api_key() returned no key, or one with control characters. {KEY_VARIABLE} is not used when api_key "
                "is a function.",
                parameter="api_key",
            )

    @property
    def key(self) -> str:
        """The key; empty if there is no usable one."""
        key = self.headers["Authorization"].removeprefix("Bearer ")
        return key if key.strip() and key != "None" and key.isprintable() else ""


class OpenRequests:
    """The blocking requests of a client that closing it ends: those with a `Deadline`.

    It has no lock: a child that was forked while another thread held it would wait for ever.
    """

    def __init__(self) -> None:
        self._open: set[Deadline] = set()
        self.closed = False

    def add(self, requests: Deadline) -> None:
        """Add requests that begin.

        Raises:
            ClientClosedError: The client is closed.
        """
        self._open.add(requests)
        if self.closed:  # looked at last, so that `close` ends the requests, or this finds it closed
            self.discard(requests)
            self.check()

    def discard(self, requests: Deadline) -> None:
        """Remove requests that are over."""
        self._open.discard(requests)

    def check(self) -> None:
        """Raise `ClientClosedError` if the client is closed."""
        if self.closed:
            raise ClientClosedError("The client is closed. Create a new one for further calls.")

    def close(self) -> None:
        """End all requests at once, and refuse later ones."""
        self.closed = True
        for requests in tuple(self._open):
            requests.end()

    def abandon(self) -> None:
        """Reset after a fork, in the child: the requests are those of the parent."""
        parents, self._open = self._open, set()
        for requests in parents:
            requests.abandon()


class Deadline:
    """Ends the blocking requests of one block of code in time, also those whose server sends a byte now and then.

    The timeouts of an HTTP client are for single steps, so that a server that drips could hold a request for hours.

    Args:
        seconds: The time for everything in the block.
        requests: The requests of the client, which ends them when it is closed.

    Attributes:
        connecting: What an HTTP client of the block must be given, so that its attempts to connect can be ended.
    """

    def __init__(self, seconds: float, requests: OpenRequests) -> None:
        self.seconds = seconds
        self.connecting = Connecting()
        self._requests = requests
        self._ends = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._requests.add(self)
        try:
            self._timer.start()
        except RuntimeError as error:
            self._requests.discard(self)
            raise cannot_start(error, "to watch the time") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.discard(self)
        self._timer.cancel()
        self._sockets.clear()

    @property
    def left(self) -> float:
        """Seconds until the end; 0 or less if it has passed."""
        return self._ends - time.monotonic()

    @property
    def extensions(self) -> dict[str, Any]:
        """What each request must be given as its `extensions`."""
        return {"trace": self._trace}

    def check_open(self) -> None:
        """Raise `ClientClosedError` if the client was closed meanwhile, which fails a request in some way."""
        self._requests.check()

    def _trace(self, _event: str, facts: Mapping[str, Any]) -> None:
        stream: Any = facts.get("return_value")
        if hasattr(stream, "get_extra_info"):  # a new connection, or TLS over it
            self._sockets.append(stream.get_extra_info("socket"))
            if self.left <= 0:  # it was made at the last moment
                self._end()

    def end(self) -> None:
        """End the requests at once, as their deadline would; callable in any thread."""
        self._ends = time.monotonic()
        self._end()

    def abandon(self) -> None:
        """Close the connections after a fork, in the child: in this process only, and without a word to the server."""
        while self._sockets:
            self._sockets.pop().close()

    def _end(self) -> None:
        self.connecting.cancel()
        for sock in tuple(self._sockets):
            _shut_down(sock)


def _settings(options: Options, url: str) -> dict[str, Any]:
    if (transport := options.http_transport()) is not None:
        return {"transport": transport, "trust_env": False, "follow_redirects": False}
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = dialer.proxy_for(options.proxy, options.environment, parts.hostname or "", port)
    return {
        "proxy": None if proxy is None else proxy.geturl(),
        "verify": options.ssl_context or dialer.default_context(),
        # Without the environment, which would add passwords from .netrc and other proxies.
        "trust_env": False,
        "headers": {"User-Agent": dialer.user_agent(options.app)},
        # The API has no redirects, and following one could send the key elsewhere.
        "follow_redirects": False,
    }


@contextmanager
def _proxy_errors() -> Iterator[None]:
    """Raise typed errors for proxies that httpx2 refuses."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            "HTTP over a SOCKS proxy needs an extra: pip install 'runware-client[socks]'.", parameter="proxy"
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            "HTTP requests cannot use this kind of proxy; use http:// or socks5h://.", parameter="proxy"
        ) from error
