"""Fetching results: over the client's own proxy and trust store, again after a passing failure, and without the key.

A result carries a small reference to its client's settings, a `Downloads`. It is shared by all results of the client.
Of a pickled result, only the name of the client's server goes along: the result is then fetched with the settings of
the environment.

The server chooses the URL, and whoever is behind that URL chooses where it redirects to, but the request is made from
inside the caller's network. So neither may lead into networks that the internet cannot reach:

- The URL of a result of a client whose server is on the internet must not lead to this machine or to a private or
  link-local address. If the client's own server is at such an address, as the local server is, it may lead to this
  machine and to private addresses. A result that no client brought has its URL from the caller, and is fetched.
- A redirect must not lead from one kind of network into another that the internet cannot reach, nor from https to http.

What counts is the address that a connection was made to, so that no name hides it; behind a proxy, which looks up names
itself, it is the address in the URL.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from runware._support.import_lock import loading
from runware.errors import ConfigurationError, DownloadError
from runware.media.inputs import Stop
from runware.options import Options, proxy_environment

if TYPE_CHECKING:
    import ssl

    import httpx2

__all__ = ["Downloads", "Session"]

_ATTEMPTS = 3
_PAUSE = 0.3
_LONGEST_PAUSE = 10.0
_REDIRECTS = 5
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
_GONE = frozenset((401, 403, 404, 410))


class Network(Enum):
    """From where an address can be reached; the value is how errors name the others."""

    INTERNET = "the internet"
    PRIVATE = "a private network"
    LINK = "the link-local network"
    MACHINE = "this machine"


def network_of(address: str) -> Network | None:
    """Return the network of an IP address in any notation that connecting accepts; `None` for a name."""
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
    # 198.18/15 is what VPN clients answer every lookup of a name with.
    if (ip.is_global and not ip.is_multicast and not getattr(ip, "is_site_local", False)) or ip in _MADE_UP:
        return Network.INTERNET
    return Network.PRIVATE


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_MADE_UP = ipaddress.IPv4Network("198.18.0.0/15")


def _network_of_host(host: str) -> Network:
    """Return the network of the host in a URL, as far as the URL tells."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return Network.MACHINE
    return network_of(name) or Network.INTERNET


class Downloads:
    """How a client's results are fetched. It holds settings only, and no key.

    Args:
        proxy: The client's `proxy`.
        environment: The proxy variables, as the client found them; `None` for those at the time of a download.
        ssl_context: The client's `ssl_context`.
        server: The host of the client's `url`; `None` when no client brought the results.
    """

    __slots__ = ("_environment", "proxy", "server", "ssl_context")

    def __init__(
        self,
        proxy: str | None,
        environment: Mapping[str, str] | None,
        ssl_context: ssl.SSLContext | None = None,
        server: str | None = None,
    ) -> None:
        self.proxy = proxy
        self._environment = environment
        self.ssl_context = ssl_context
        self.server = server

    @property
    def environment(self) -> Mapping[str, str]:
        """The proxy variables."""
        return proxy_environment() if self._environment is None else self._environment

    @classmethod
    def of(cls, options: Options) -> Downloads:
        """Take the settings of a client."""
        return cls(options.proxy, options.environment, options.ssl_context, urlsplit(options.url).hostname)

    @classmethod
    def of_environment(cls) -> Downloads:
        """Take the settings of the environment, for a result that belongs to no client here."""
        return cls(None, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return _elsewhere, (self.server,)

    def __deepcopy__(self, _: object) -> Downloads:
        return self

    @contextmanager
    def session(self, stop: Stop | None = None) -> Iterator[Session]:
        """Give what fetches files, over shared connections, for the length of a `with` block.

        Args:
            stop: What ends it before, from another thread.
        """
        session = Session(self, stop or Stop())
        try:
            yield session
        finally:
            session.close()


def _elsewhere(server: str | None) -> Downloads:
    """Make the settings of a result that was unpickled."""
    return Downloads(None, None, server=server)


def _nothing() -> None:
    """Stand for the settings in results that version 0.2.0 pickled."""


class Session:
    """Fetches files over connections that are kept until it is closed. It may be used from several threads.

    Args:
        settings: The way out.
        stop: What ends all waiting.
    """

    def __init__(self, settings: Downloads, stop: Stop) -> None:
        self._settings = settings
        self._stop = stop
        self._clients: dict[str | None, httpx2.Client] = {}
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._networks: dict[tuple[str, int], Network] = {}
        stop.then(self._hang_up)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            clients, self._clients = self._clients, {}
            sockets, self._sockets = self._sockets, []
        for client in clients.values():
            client.close()
        for sock in sockets:
            sock.close()

    def _hang_up(self) -> None:
        """Let no thread wait for a connection any more; to close it would not wake those that do."""
        # Without the lock, which is held while trust stores are loaded: an event loop may have said stop.
        for sock in tuple(self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _watch(self, where: tuple[str, int], came_from: Network | None) -> Callable[[str, Mapping[str, Any]], None]:
        """Return what httpx2 is to call with each step of a request that goes to its host without a proxy."""

        def watch(event: str, info: Mapping[str, Any]) -> None:
            self._keep(event, info)
            if event.endswith(".connect_tcp.complete"):
                stream = info["return_value"]
                try:
                    address = stream.get_extra_info("server_addr")[0]
                    self._networks[where] = network_of(address) or Network.INTERNET
                    self._check(self._networks[where], came_from, where[0])
                except BaseException:
                    stream.close()
                    raise
            elif event.endswith(".send_request_headers.started"):  # perhaps on a connection that was there already
                self._check(self._networks[where], came_from, where[0])

        return watch

    def _keep(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep hold of each new connection; told by httpx2 what it does."""
        if event.endswith(".connect_tcp.complete"):
            # A copy: the handshake of TLS puts another object in the place of the first.
            self._sockets.append(info["return_value"].get_extra_info("socket").dup())
            if self._stop.is_set():
                self._hang_up()

    def _check(self, network: Network, came_from: Network | None, host: str) -> None:
        """Check that a request may be made.

        Args:
            network: Where it goes.
            came_from: The network of the host that redirected it; `None` for the URL of a result.
            host: Its host, for the error.

        Raises:
            DownloadError: It may not.
        """
        if network is Network.INTERNET or network is came_from:
            return
        if came_from is not None:
            raise DownloadError(
                f"The result's address redirects to {host}, which is on {network.value}; this is not followed."
            )
        server = self._settings.server
        if server is not None and (network is Network.LINK or not self._is_inside(server)):
            raise DownloadError(
                f"The result's address leads to {host}, which is on {network.value}. Results of a server on the "
                "internet are not fetched from there."
            )

    def _is_inside(self, server: str) -> bool:
        """Tell whether the internet cannot reach the client's own server."""
        if _network_of_host(server) is not Network.INTERNET:
            return True
        try:
            found = {network_of(str(address[0])) for *_, address in socket.getaddrinfo(server, None)}
        except (OSError, UnicodeError):
            return False
        return Network.INTERNET not in found

    def fetch(self, url: str, *, timeout: float, max_bytes: int, task_uuid: str | None = None) -> Iterator[bytes]:
        """Yield the bytes behind an address as they come, and go on where it broke off after a passing failure.

        They are those of one file: where it cannot be made sure that the rest belongs to what came, nothing more comes.

        Args:
            url: The address of a result, http or https.
            timeout: Seconds that connecting, and each wait for more bytes, may take.
            max_bytes: Size above which the download is given up.
            task_uuid: The task to name in errors.

        Raises:
            DownloadError: The address has expired or is refused, the file is too large, or the network failed.
        """
        file = _File()
        attempt = 1
        while True:
            try:
                self._stop.check()
                for chunk in self._attempt(url, file, timeout):
                    file.add(chunk)
                    if file.got > max_bytes:
                        raise DownloadError(
                            f"The result is larger than {max_bytes:,} bytes; pass a larger max_bytes if you want it."
                        )
                    yield chunk
                if not file.got:
                    raise DownloadError("The result's address answered with an empty file.")
                return
            except DownloadError as error:
                error.task_uuid = task_uuid
                raise
            except _PassingError as passing:
                self._stop.check()  # which may be what broke it off
                if attempt == _ATTEMPTS:
                    raise DownloadError(
                        f"{passing} It was tried {attempt} times.", task_uuid=task_uuid, retryable=True
                    ) from passing.__cause__
                pause = passing.pause
            import random

            if pause is None:
                pause = _PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            self._stop.check(pause)
            attempt += 1

    def date_at(self, url: str, *, timeout: float) -> str:
        """Tell what time a server says it is, in HTTP's own form; empty when it does not say."""
        client, direct = self._client(url)
        watch = self._watch(_whereabouts(url), None) if direct else self._keep
        answer = client.head(url, timeout=timeout, extensions={"trace": watch})
        return str(answer.headers.get("Date", ""))

    def _attempt(self, url: str, file: _File, timeout: float) -> Iterator[bytes]:
        with loading:
            import httpx2
        # As it is stored: a count of decoded bytes would say nothing about where to go on.
        headers = {"Accept-Encoding": "identity"}
        if file.got and file.mark:
            headers |= {"Range": f"bytes={file.got}-", "If-Range": file.mark}
        came_from: Network | None = None
        try:
            for _ in range(_REDIRECTS + 1):
                client, direct = self._client(url)
                where = _whereabouts(url)
                network = _network_of_host(where[0])
                self._check(network, came_from, where[0])
                watch = self._watch(where, came_from) if direct else self._keep
                with client.stream(
                    "GET", url, timeout=timeout, headers=headers, extensions={"trace": watch}
                ) as response:
                    if response.is_redirect:
                        came_from = self._networks[where] if direct else network
                        url = _joined(url, response.headers.get("Location", ""))
                        continue
                    yield from _body(response, file, ranged="Range" in headers)
                    return
            raise DownloadError(f"The result's address leads from one place to the next, {_REDIRECTS} times over.")
        except (httpx2.InvalidURL, UnicodeError) as error:
            raise DownloadError("The result's address is not one that can be fetched.") from error
        except httpx2.HTTPError as error:
            raise _network_failure(error, url, timeout) from error

    def _client(self, url: str) -> tuple[httpx2.Client, bool]:
        """Return what makes requests to a URL, and whether it does so without a proxy."""
        host, port = _whereabouts(url)
        import httpx2

        from runware.transport.dialer import default_context, proxy_for, user_agent

        settings = self._settings
        found = proxy_for(settings.proxy, settings.environment, host, port)
        proxy = found.geturl() if found is not None else None
        with self._lock:
            client = self._clients.get(proxy)
            if client is None:
                try:
                    # Without the environment: it would add the password of a .netrc, and other proxies.
                    client = httpx2.Client(
                        proxy=proxy,
                        verify=settings.ssl_context or default_context(),
                        trust_env=False,
                        headers={"User-Agent": user_agent()},
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
                self._clients[proxy] = client
            return client, proxy is None


class _PassingError(Exception):
    """Trouble that may pass; *pause* is in how many seconds, where the server says so."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


def _whereabouts(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DownloadError("Only http and https addresses are fetched.")
        return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise DownloadError("The result's address is not one that can be fetched.") from error


class _File:
    """What has come of a file, and what tells whether something else is the rest of it.

    Attributes:
        got: How many bytes came.
        mark: The server's word for this state of the file, an ETag or a date; `None` when it gave none, or when what
            comes is not what is stored. The file is then fetched from its start again, and compared.
    """

    def __init__(self) -> None:
        self.got = 0
        self.mark: str | None = None
        self._sum = 0

    def add(self, chunk: bytes) -> None:
        """Note what came."""
        self.got += len(chunk)
        self._sum = zlib.crc32(chunk, self._sum)

    def is_rest(self, response: httpx2.Response) -> bool:
        """Tell whether an answer has all that is missing of this file, and nothing else."""
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", "").strip())
        name = "ETag" if (self.mark or "").startswith('"') else "Last-Modified"
        return (
            found is not None
            and (int(found[1]), int(found[2]) + 1) == (self.got, int(found[3]))
            and response.headers.get(name, self.mark) == self.mark
            and not _is_encoded(response)
        )

    def rest_of(self, response: httpx2.Response) -> Iterator[bytes]:
        """Give what is new in an answer that has the file from its start.

        Raises:
            DownloadError: It begins in another way than what came.
        """
        etag = response.headers.get("ETag", "")
        mark = (
            None if _is_encoded(response) else etag if etag.startswith('"') else response.headers.get("Last-Modified")
        )
        self.mark = None if self.got else mark  # not before it is known to be the same
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
        raise DownloadError("The result's file changed while it was fetched. Fetch it again.", retryable=True)


def _is_encoded(response: httpx2.Response) -> bool:
    return response.headers.get("Content-Encoding", "identity").lower() != "identity"


def _body(response: httpx2.Response, file: _File, *, ranged: bool) -> Iterator[bytes]:
    status = response.status_code
    if file.got and status == 416 and response.headers.get("Content-Range", "").strip() == f"bytes */{file.got}":
        return  # it broke off behind the last byte
    if status == 206 and ranged and file.is_rest(response):
        yield from response.iter_bytes()
        return
    if status == 206 or (ranged and status == 416):
        file.mark = None
        raise _PassingError("The result's address answered with another part of the file than was asked for.")
    if status >= 400:
        raise _refusal(status, response.headers.get("Retry-After", ""))
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise DownloadError("The result's address answered with a web page, not with a file.")
    yield from file.rest_of(response)


def _refusal(status: int, retry_after: str) -> DownloadError | _PassingError:
    if status not in _PASSING:
        hint = " It may have expired: results are kept for a limited time." if status in _GONE else ""
        return DownloadError(f"The result's address answered {status}.{hint}")
    pause = min(float(retry_after), _LONGEST_PAUSE) if retry_after.isdecimal() else None
    return _PassingError(f"The result's address answered {status}.", pause)


def _network_failure(error: httpx2.HTTPError, url: str, timeout: float) -> DownloadError | _PassingError:
    import ssl

    import httpx2

    host = urlsplit(url).hostname
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return DownloadError(
                f"The result could not be fetched from {host}: its certificate is not trusted "
                f"({cause.verify_message}). If your network inspects TLS, point SSL_CERT_FILE at its CA certificate."
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx2.TimeoutException):
        reason = f"no answer for {timeout:g} s"
    else:
        reason = str(error) or type(error).__name__
    message = f"The result could not be fetched from {host}: {reason.rstrip('.')}."
    return _PassingError(message) if isinstance(error, httpx2.TransportError) else DownloadError(message)


def _joined(url: str, location: str) -> str:
    try:
        joined = urljoin(url, location)
    except ValueError as error:
        raise DownloadError("The result's address leads to one that cannot be fetched.") from error
    if urlsplit(url).scheme == "https" and urlsplit(joined).scheme == "http":
        raise DownloadError("The result's address redirects from https to http; this is not followed.")
    return joined
