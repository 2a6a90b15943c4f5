"""Downloads of results: through the client's proxy and trust store, with retries, and never with the API key.

Each result holds a reference to its client's download settings, a `Downloads`, shared by all results of the client.
Only the host name of the client's server is pickled with a result; an unpickled result is downloaded with the settings
of the environment.

The URL is chosen by the server, and redirects by whoever controls that URL, but the request is made from inside the
caller's network. To prevent server-side request forgery, neither may lead into networks that the internet cannot reach:

- If the client's server is on the internet, the URL of a result must not lead to this machine or to a private or
  link-local address. If the client's server itself is at such an address, as the local server is, the URL may lead to
  this machine and to private addresses. A result that was not received by a client has its URL from the caller, and is
  downloaded.
- A redirect must not lead to a different network that the internet cannot reach, nor from https to http.

The check uses the address of the established connection, so that DNS cannot bypass it. Behind a proxy, which resolves
names itself, it uses the host in the URL.
"""

from __future__ import annotations

import ipaddress
import random
import re
import socket
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import copy_context
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from runware._support.lazy_modules import lazy_module
from runware.errors import ConfigurationError, DownloadError
from runware.media.cancelling import CancelToken
from runware.options import Options, proxy_environment
from runware.protocol.retry_after import parse_retry_after

if TYPE_CHECKING:
    import ssl

    import httpx2

    from runware import events
    from runware.transport import dialer
    from runware.transport import http_client as http_clients
    from runware.transport.callbacks import EventFeed
else:
    events = lazy_module("runware.events")
    dialer = lazy_module("runware.transport.dialer")
    http_clients = lazy_module("runware.transport.http_client")
    httpx2 = lazy_module("httpx2")
    ssl = lazy_module("ssl")

__all__ = ["Downloads", "Session"]

_ATTEMPTS = 3
_PROGRESS = 1 << 20
"""New bytes after which the attempts are counted from the first again. Fewer could keep a download going for ever."""
_PAUSE = 0.3
_LONGEST_PAUSE = 10.0
_REDIRECTS = 5
_TRANSIENT_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504))
_EXPIRED_STATUSES = frozenset((401, 403, 404, 410))


class Network(Enum):
    """The network an address belongs to; the value names it in errors."""

    INTERNET = "the internet"
    PRIVATE = "a private network"
    LINK = "the link-local network"
    MACHINE = "this machine"


def network_of(address: str) -> Network | None:
    """Return the network of an IP address in any notation that `connect` accepts; `None` for a host name."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        try:
            ip = ipaddress.IPv4Address(socket.inet_aton(address))  # 127.1, 0x7f000001, 2130706433
        except (OSError, ValueError):
            return None
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(ip.packed[-4:]) if ip in _NAT64 else None)
        if inner is not None:
            ip = inner
    if ip.is_loopback or ip.is_unspecified:
        return Network.MACHINE
    if ip.is_link_local:
        return Network.LINK
    # Some VPN clients answer every DNS lookup with an address from 198.18/15.
    if (ip.is_global and not ip.is_multicast and not getattr(ip, "is_site_local", False)) or ip in _FAKE_DNS:
        return Network.INTERNET
    return Network.PRIVATE


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_FAKE_DNS = ipaddress.IPv4Network("198.18.0.0/15")


def _network_of_host(host: str) -> Network:
    """Return the network of the host in a URL, without resolving names."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return Network.MACHINE
    return network_of(name) or Network.INTERNET


class Downloads:
    """Download settings of a client. Contains no key.

    Args:
        proxy: The client's `proxy`.
        environment: The proxy variables when the client was created; `None` reads them at each download.
        ssl_context: The client's `ssl_context`.
        server: Host name in the client's `url`; `None` if the results were not received by a client.
        feed: Receives an event of each download. It is referred to weakly: results must not keep a client alive.
    """

    __slots__ = ("_environment", "_feed", "proxy", "server", "ssl_context")

    def __init__(
        self,
        proxy: str | None,
        environment: Mapping[str, str] | None,
        ssl_context: ssl.SSLContext | None = None,
        server: str | None = None,
        feed: EventFeed | None = None,
    ) -> None:
        self.proxy = proxy
        self._feed = None if feed is None else weakref.ref(feed)
        self._environment = environment
        self.ssl_context = ssl_context
        self.server = server

    @property
    def environment(self) -> Mapping[str, str]:
        """The proxy variables."""
        return proxy_environment() if self._environment is None else self._environment

    @classmethod
    def of(cls, options: Options, feed: EventFeed | None = None) -> Downloads:
        """Return the download settings of a client with these options."""
        return cls(options.proxy, options.environment, options.ssl_context, urlsplit(options.url).hostname, feed)

    @classmethod
    def of_environment(cls) -> Downloads:
        """Return settings from the environment, for a result without a client."""
        return cls(None, None)

    @property
    def feed(self) -> EventFeed | None:
        """The feed, if events are wanted."""
        feed = None if self._feed is None else self._feed()
        return feed if feed is not None and feed.wanted else None

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickled_settings, (self.server,)

    def __deepcopy__(self, _: object) -> Downloads:
        return self

    @contextmanager
    def session(self, cancel: CancelToken | None = None) -> Iterator[Session]:
        """Open a download session, whose connections are shared, for the duration of a `with` block.

        Args:
            cancel: Token that cancels the session from another thread.
        """
        session = Session(self, cancel or CancelToken())
        try:
            yield session
        finally:
            session.close()


def _unpickled_settings(server: str | None) -> Downloads:
    """Return the settings of an unpickled result."""
    return Downloads(None, None, server=server)


def _nothing() -> None:
    """Stand in for the settings in results pickled by version 0.2.0."""


class Session:
    """Downloads files over persistent connections. Thread-safe.

    Args:
        settings: Proxy, trust store and server.
        cancel: Token that cancels all transfers.
    """

    def __init__(self, settings: Downloads, cancel: CancelToken) -> None:
        self._settings = settings
        self._cancel = cancel
        self._clients: dict[str | None, httpx2.Client] = {}
        self._connecting = http_clients.Connecting()
        self._streams: set[weakref.ref[Any]] = set()
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._networks: dict[tuple[str, int], Network] = {}
        # Of the code that saves: the threads that share the session have a context of their own.
        self._context = None if settings.feed is None else copy_context()
        cancel.on_cancel(self._disconnect)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            clients, self._clients = self._clients, {}
            sockets, self._sockets = self._sockets, set()
        for client in clients.values():
            client.close()
        for sock in sockets:
            sock.close()

    def _disconnect(self) -> None:
        """Shut down the connections, which wakes blocked threads; closing a socket would not."""
        # Without the lock, which is held while trust stores load: cancellation may come from an event loop.
        self._connecting.cancel()
        for sock in tuple(self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for reference in tuple(self._streams):
            stream: Any = reference()
            with suppress(Exception):  # it is gone, or closed
                # Not the method of an SSLSocket, which changes its state under the thread that reads from it.
                socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)

    def _tracer(self, where: tuple[str, int], came_from: Network | None) -> Callable[[str, Mapping[str, Any]], None]:
        """Return a trace callback for a direct request (no proxy), which checks the address of the connection."""
        register = self._registrar()

        def trace(event: str, info: Mapping[str, Any]) -> None:
            register(event, info)
            if event.endswith(".connect_tcp.complete"):
                stream = info["return_value"]
                try:
                    address = stream.get_extra_info("server_addr")[0]
                    self._networks[where] = network_of(address) or Network.INTERNET
                    self._check(self._networks[where], came_from, where[0])
                except BaseException:
                    stream.close()
                    register("connect_tcp.failed", {})
                    raise
            elif event.endswith(".send_request_headers.started"):  # possibly on a reused connection
                self._check(self._networks[where], came_from, where[0])

        return trace

    def _registrar(self) -> Callable[[str, Mapping[str, Any]], None]:
        """Return a trace callback for one request: it registers a new connection, so that it can be shut down."""
        connecting: list[socket.socket] = []

        def register(event: str, info: Mapping[str, Any]) -> None:
            if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
                self._streams.add(weakref.ref(info["return_value"], self._streams.discard))
            if event.endswith(".connect_tcp.complete"):
                try:
                    # A duplicate: the TLS handshake takes the socket away from the stream.
                    connecting.append(info["return_value"].get_extra_info("socket").dup())
                except OSError as error:
                    info["return_value"].close()
                    raise DownloadError(
                        f"The result could not be downloaded: {error.strerror}.", retryable=True
                    ) from error
                self._sockets.add(connecting[-1])
            elif event.endswith((".start_tls.complete", ".failed")) or (
                event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT"
            ):
                while connecting:  # it would keep the connection open, and a descriptor taken, for the whole session
                    sock = connecting.pop()
                    self._sockets.discard(sock)
                    sock.close()
            if self._cancel.is_set() and event.endswith(".complete"):
                self._disconnect()

        return register

    def _check(self, network: Network, came_from: Network | None, host: str) -> None:
        """Check that a request may be made.

        Args:
            network: Network of the destination.
            came_from: Network of the host that redirected here; `None` for the URL of a result.
            host: Host name for the error.

        Raises:
            DownloadError: The request is not allowed.
        """
        if network is Network.INTERNET or network is came_from:
            return
        if came_from is not None:
            raise DownloadError(
                f"The result's URL redirects to {host}, which is on {network.value}; the redirect is not followed."
            )
        server = self._settings.server
        if server is not None and (network is Network.LINK or not self._is_inside(server)):
            raise DownloadError(
                f"The result's URL leads to {host}, which is on {network.value}. Results of a server on the "
                "internet are not downloaded from there."
            )

    def _is_inside(self, server: str) -> bool:
        """Return whether the client's server cannot be reached from the internet."""
        if _network_of_host(server) is not Network.INTERNET:
            return True
        try:
            found = {network_of(str(address[0])) for *_, address in socket.getaddrinfo(server, None)}
        except (OSError, UnicodeError):
            return False
        return Network.INTERNET not in found

    def fetch(
        self, url: str, *, timeout: float, max_bytes: int, task_uuid: str | None = None, is_json: bool = True
    ) -> Iterator[bytes]:
        """Yield the contents of a URL in chunks, resuming the transfer after a transient failure.

        All chunks belong to the same version of the file. If that cannot be verified after a failure, the download
        fails.

        Args:
            url: URL of a result, http or https.
            timeout: Seconds allowed for connecting, and for each wait for more data.
            max_bytes: Maximum size; a larger download is aborted.
            task_uuid: UUID of the task, for errors.
            is_json: Whether the file may be JSON. If not, JSON is an error that the server reports.

        Raises:
            DownloadError: The URL has expired or is not allowed, the file is too large or is not what it must be, or
                the network failed.
        """
        chunks = self._fetch(url, timeout=timeout, max_bytes=max_bytes, task_uuid=task_uuid, is_json=is_json)
        return chunks if self._context is None else self._reported(chunks, url, task_uuid)

    def _reported(self, chunks: Iterator[bytes], url: str, task_uuid: str | None) -> Iterator[bytes]:
        """Yield the chunks of a download, and report its end."""
        started, size, error = time.monotonic(), 0, "cancelled"
        try:
            for chunk in chunks:
                size += len(chunk)
                yield chunk
        except Exception as failure:
            error = "cancelled" if self._cancel.is_set() else type(failure).__name__
            raise
        else:
            error = ""
        finally:
            if (feed := self._settings.feed) is not None:
                facts = {
                    "task_uuid": task_uuid,
                    "host": _host_and_port(url)[0],
                    "size": size,
                    "elapsed": time.monotonic() - started,
                    "error": error or None,
                    "context": self._context,
                }
                feed.report(events.Downloaded, facts)

    def _fetch(
        self, url: str, *, timeout: float, max_bytes: int, task_uuid: str | None, is_json: bool
    ) -> Iterator[bytes]:
        file = _File()
        attempt, counted = 1, 0
        while True:
            try:
                self._cancel.check()
                for chunk in self._attempt(url, file, timeout):
                    if not file.got and not is_json and _JSON.match(chunk):
                        raise DownloadError("The result's URL returned JSON instead of a file.")
                    file.add(chunk)
                    if file.got > max_bytes:
                        raise DownloadError(
                            f"The result is larger than {max_bytes:,} bytes; pass a larger max_bytes to download it."
                        )
                    yield chunk
                if not file.got:
                    raise DownloadError("The result's URL returned an empty file.")
                return
            except DownloadError as error:
                error.task_uuid = task_uuid
                raise
            except _TransientError as failure:
                self._cancel.check()  # cancellation may have caused the failure
                if file.got - counted >= _PROGRESS:
                    attempt, counted = 1, file.got
                if attempt == _ATTEMPTS:
                    raise DownloadError(
                        f"{failure} Gave up after {attempt} attempts.", task_uuid=task_uuid, retryable=True
                    ) from failure.__cause__
                pause = failure.pause
            if pause is None:
                pause = _PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            self._cancel.check(pause)
            attempt += 1

    def date_at(self, url: str, *, timeout: float) -> str:
        """Return the `Date` header of a server; `""` if it sends none."""
        client, direct = self._client(url)
        trace = self._tracer(_host_and_port(url), None) if direct else self._registrar()
        answer = client.head(url, timeout=timeout, extensions={"trace": trace})
        return str(answer.headers.get("Date", ""))

    def _attempt(self, url: str, file: _File, timeout: float) -> Iterator[bytes]:
        # Without compression: an offset into decoded bytes could not be used to resume.
        headers = {"Accept-Encoding": "identity"}
        if file.got and file.mark:
            headers |= {"Range": f"bytes={file.got}-", "If-Range": file.mark}
        came_from: Network | None = None
        try:
            for _ in range(_REDIRECTS + 1):
                client, direct = self._client(url)
                where = _host_and_port(url)
                network = _network_of_host(where[0])
                self._check(network, came_from, where[0])
                trace = self._tracer(where, came_from) if direct else self._registrar()
                with client.stream(
                    "GET", url, timeout=timeout, headers=headers, extensions={"trace": trace}
                ) as response:
                    if response.is_redirect:
                        came_from = self._networks[where] if direct else network
                        url = _redirect_target(url, response.headers.get("Location", ""))
                        continue
                    yield from _body(response, file, client.headers["Accept-Encoding"], ranged="Range" in headers)
                    return
            raise DownloadError(f"The result's URL redirects more than {_REDIRECTS} times.")
        except (httpx2.InvalidURL, UnicodeError) as error:
            raise DownloadError("The result's URL is not valid.") from error
        except httpx2.HTTPError as error:
            raise _network_error(error, url, timeout) from error

    def _client(self, url: str) -> tuple[httpx2.Client, bool]:
        """Return the HTTP client for a URL, and whether it connects directly (without a proxy)."""
        host, port = _host_and_port(url)
        settings = self._settings
        found = dialer.proxy_for(settings.proxy, settings.environment, host, port)
        proxy = found.geturl() if found is not None else None
        with self._lock:
            client = self._clients.get(proxy)
            if client is None:
                try:
                    # Without the environment, which would add passwords from .netrc and other proxies.
                    client = httpx2.Client(
                        proxy=proxy,
                        verify=settings.ssl_context or dialer.default_context(),
                        trust_env=False,
                        headers={"User-Agent": dialer.user_agent()},
                    )
                except ImportError as error:
                    raise ConfigurationError(
                        "Downloads over a SOCKS proxy need an extra: pip install 'runware-client[socks]'.",
                        parameter="proxy",
                    ) from error
                except ValueError as error:
                    raise ConfigurationError(
                        "Results cannot be downloaded over this kind of proxy; use http:// or socks5h://.",
                        parameter="proxy",
                    ) from error
                http_clients.bound_connecting(client, self._connecting)
                self._clients[proxy] = client
            return client, proxy is None


class _TransientError(Exception):
    """A transient failure; *pause* is the delay in seconds requested by the server, if any."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DownloadError("Only http and https URLs are downloaded.")
        return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise DownloadError("The result's URL is not valid.") from error


class _File:
    """Progress of a download, with what is needed to verify that a later response continues it.

    Attributes:
        got: Number of bytes received.
        mark: Validator of this version of the file, an ETag or a date. `None` if the server sent none, or if the
            content is encoded; the file is then downloaded from its start again and compared.
    """

    def __init__(self) -> None:
        self.got = 0
        self.mark: str | None = None
        self._sum = 0

    def add(self, chunk: bytes) -> None:
        """Count and checksum a received chunk."""
        self.got += len(chunk)
        self._sum = zlib.crc32(chunk, self._sum)

    def is_rest(self, response: httpx2.Response) -> bool:
        """Return whether a partial response contains exactly the missing rest of this file."""
        found = re.fullmatch(
            r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", response.headers.get("Content-Range", "").strip()
        )
        name = "ETag" if (self.mark or "").startswith('"') else "Last-Modified"
        return (
            found is not None
            and (int(found[1]), int(found[2]) + 1) == (self.got, int(found[3]))
            and response.headers.get(name, self.mark) == self.mark
            and not _codings(response)
        )

    def rest_of(self, response: httpx2.Response) -> Iterator[bytes]:
        """Yield the new part of a response that contains the file from its start.

        Raises:
            DownloadError: The file starts differently from what was received.
        """
        etag = response.headers.get("ETag", "")
        mark = None if _codings(response) else etag if etag.startswith('"') else response.headers.get("Last-Modified")
        self.mark = None if self.got else mark  # only once this response is known to match
        behind, checked = self.got, 0
        for chunk in response.iter_bytes():
            new = chunk
            if behind:
                seen, new = chunk[:behind], chunk[behind:]
                checked = zlib.crc32(seen, checked)
                behind -= len(seen)
                if behind:
                    continue
                if checked != self._sum:
                    break
                self.mark = mark
            if new:
                yield new
        else:
            if not behind:
                return
        raise DownloadError("The file changed during the download. Download it again.", retryable=True)


_NO_CODINGS = frozenset(("", "identity", "aws-chunked", "binary", "none", "utf-8"))
"""What `Content-Encoding` may say of a file that is not encoded: S3 keeps `aws-chunked`, by which it received one."""


def _codings(response: httpx2.Response) -> list[str]:
    """Return how the content is encoded."""
    given = response.headers.get("Content-Encoding", "").lower()
    return [name for name in re.split(r"[\s,]+", given) if name not in _NO_CODINGS]


def _check_decodable(response: httpx2.Response, decodable: str) -> None:
    """Check that the content is decoded; httpx2 passes on what it cannot decode.

    Args:
        response: The response.
        decodable: The codings that the client decodes, as it would ask for them.

    Raises:
        DownloadError: It is not.
    """
    if unknown := set(_codings(response)).difference(decodable.split(", ")):
        raise DownloadError(
            f"The result's URL returned a file that cannot be decoded: its Content-Encoding is {min(unknown)[:40]!r}, "
            "which was not asked for."
        )


_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[]")


def _body(response: httpx2.Response, file: _File, decodable: str, *, ranged: bool) -> Iterator[bytes]:
    status = response.status_code
    if file.got and status == 416 and response.headers.get("Content-Range", "").strip() == f"bytes */{file.got}":
        return  # the transfer broke off after the last byte
    if status == 206 and ranged and file.is_rest(response):
        yield from response.iter_bytes()
        return
    if status == 206 or (ranged and status == 416):
        file.mark = None
        raise _TransientError("The result's URL returned a different part of the file than requested.")
    if status >= 400:
        raise _status_error(status, response.headers.get("Retry-After", ""))
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise DownloadError("The result's URL returned a web page instead of a file.")
    _check_decodable(response, decodable)
    yield from file.rest_of(response)


def _status_error(status: int, retry_after: str) -> DownloadError | _TransientError:
    if status not in _TRANSIENT_STATUSES:
        hint = " It may have expired: results are stored for a limited time." if status in _EXPIRED_STATUSES else ""
        return DownloadError(f"The result's URL returned HTTP {status}.{hint}")
    asked = parse_retry_after(retry_after, time.time())
    pause = None if asked is None else min(asked, _LONGEST_PAUSE)
    return _TransientError(f"The result's URL returned HTTP {status}.", pause)


def _network_error(error: httpx2.HTTPError, url: str, timeout: float) -> DownloadError | _TransientError:
    host = urlsplit(url).hostname
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return DownloadError(
                f"The result could not be downloaded from {host}: its certificate is not trusted "
                f"({cause.verify_message}). If your network inspects TLS, point SSL_CERT_FILE at its CA certificate."
            )
        if isinstance(cause, UnicodeError):  # of the host
            return DownloadError("The result's URL is not valid.")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx2.TimeoutException):
        reason = f"no data for {timeout:g} s"
    else:
        reason = str(error) or type(error).__name__
    message = f"The result could not be downloaded from {host}: {reason.rstrip('.')}."
    return _TransientError(message) if isinstance(error, httpx2.TransportError) else DownloadError(message)


def _redirect_target(url: str, location: str) -> str:
    try:
        joined = urljoin(url, location)
    except ValueError as error:
        raise DownloadError("The result's URL redirects to an invalid URL.") from error
    if urlsplit(url).scheme == "https" and urlsplit(joined).scheme == "http":
        raise DownloadError("The result's URL redirects from https to http; the redirect is not followed.")
    return joined
