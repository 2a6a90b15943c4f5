"""Connect to the server: name lookup, TCP, proxy, TLS and WebSocket upgrade, each stage with its own errors.

Dialling blocks, so it runs on a separate thread. websocket-client performs the upgrade, and nothing else.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import os
import platform
import re
import socket
import ssl
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

import websocket

from runware._support.lazy_modules import lazy_module
from runware._version import __version__
from runware.errors import ConfigurationError, ConnectionFailedError, RunwareError
from runware.options import KEY_VARIABLE, Options, environment_proxy, is_loopback, split_proxy
from runware.transport.addresses import UnreachableError, connect, look_up
from runware.transport.attempt import Attempt, CancelledError
from runware.transport.poller import READ, WRITE
from runware.transport.stream import WOULD_BLOCK, Stream, secure

if TYPE_CHECKING:
    import python_socks
    from python_socks import sync as python_socks_sync
else:
    python_socks = lazy_module("python_socks")
    python_socks_sync = lazy_module("python_socks.sync")


__all__ = [
    "Attempt",
    "Dialled",
    "PermanentError",
    "default_context",
    "dial",
    "open_stream",
    "proxy_for",
    "read_key",
    "user_agent",
]

if not (hasattr(websocket, "WebSocket") and hasattr(websocket, "WebSocketTimeoutException")):
    raise ImportError(
        "The module `websocket` is not that of websocket-client: another package of that name hides it. "
        "Run: pip uninstall websocket && pip install --force-reinstall websocket-client"
    )

_SDK = "runware-client"
_MAX_UNSENT = 256 * 1024
"""Limit in bytes on data in the kernel that was not sent yet."""
_MAX_HEAD = 64 * 1024
"""Limit in bytes on the head of an HTTP response."""
_MAX_SESSIONS = 64
_TLS_ADVICE = (
    "If your network inspects TLS, point SSL_CERT_FILE at its CA certificate, or pass "
    "ssl_context=ssl.create_default_context(cafile=...)."
)


_E = TypeVar("_E", bound=BaseException)
_T = TypeVar("_T")


class Dialled:
    """An upgraded connection, and the key to authenticate with."""

    __slots__ = ("key", "stream")

    stream: Stream

    def __init__(self, key: str) -> None:
        self.key = key


class _Stages:
    """The stage that an attempt has reached, for its error messages and events."""

    def __init__(self, report: Callable[[str, str], None], attempt: Attempt) -> None:
        self._report = report
        self.attempt = attempt
        self.stage = "key"
        self.host = ""
        self.by_proxy = False  # whether `host` is the proxy
        self.needs_context = False  # whether `default_context` will be used

    def enter(self, stage: str, host: str) -> None:
        self.attempt.check()
        self.stage, self.host = stage, host
        self._report(stage, host)

    def error(self, what: str, cause: BaseException | None = None) -> ConnectionFailedError:
        elapsed = time.monotonic() - self.attempt.started
        with_host = f" with {'the proxy ' if self.by_proxy else ''}{self.host}" if self.host else ""
        error = ConnectionFailedError(
            f"Could not connect: {what} (stage {self.stage!r}{with_host}, after {elapsed:.1f} s).",
            stage=self.stage,
            host=self.host,
            elapsed=elapsed,
        )
        error.__cause__ = cause
        return error


class PermanentError(Exception):
    """Wraps an error that another attempt would not avoid."""

    def __init__(self, error: RunwareError) -> None:
        super().__init__(str(error))
        self.error = error
        error.retryable = False


def dial(options: Options, report: Callable[[str, str], None], attempt: Attempt | None = None) -> Dialled:
    """Connect and upgrade. Blocks for at most `connect_timeout`, the name lookup included.

    Args:
        options: The client's options.
        report: Called with each stage as it begins, and its host.
        attempt: The deadline and the means to cancel; by default, a new one.

    Raises:
        ConnectionFailedError: It failed; another attempt may succeed.
        PermanentError: It failed, and another attempt would fail too.
    """
    stages = _Stages(report, attempt or Attempt(options.connect_timeout))
    return _with_typed_errors(stages, lambda: _dial(options, stages))


def open_stream(options: Options, url: SplitResult, attempt: Attempt) -> Stream:
    """Connect to the host of a URL, through the proxy if there is one, with TLS if its scheme says so; no upgrade.

    Raises:
        ConnectionFailedError: It failed; another attempt may succeed.
        PermanentError: It failed, and another attempt would fail too.
    """
    stages = _Stages(lambda stage, host: None, attempt)
    return _with_typed_errors(stages, lambda: _open(options, url, stages))


def _with_typed_errors(stages: _Stages, work: Callable[[], _T]) -> _T:
    try:
        return work()
    except (RunwareError, PermanentError) as error:
        raise _strip_tracebacks(error) from error.__cause__
    except CancelledError:
        failure = stages.error("the attempt was cancelled")
    except OSError as error:
        what = "no response in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        failure = _strip_tracebacks(stages.error(what, error))
    raise failure


def _dial(options: Options, stages: _Stages) -> Dialled:
    # The key gets no variable of its own: error reporters often include the variables of each frame.
    dialled = Dialled(read_key(options, stages.error))
    url = urlsplit(options.url)
    stream = _open(options, url, stages)
    try:
        _upgrade(stream, url, url.hostname or "", _port(url), options, stages)
    except BaseException:
        stream.close()
        raise
    dialled.stream = stream
    return dialled


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme in ("wss", "https") else 80)


def _open(options: Options, url: SplitResult, stages: _Stages) -> Stream:
    host, port = url.hostname or "", _port(url)
    stages.needs_context = url.scheme in ("wss", "https") and options.ssl_context is None
    proxy = proxy_for(options.proxy, options.environment, host, port)
    stream = _through_proxy(proxy, host, port, stages) if proxy else _tcp(host, port, stages)
    if url.scheme not in ("wss", "https"):
        return stream
    try:
        return _tls(stream, host, port, options, stages)
    except BaseException:
        stream.close()
        raise


def _strip_tracebacks(error: _E) -> _E:
    """Remove the tracebacks of an error and its causes: their frames hold the key, passwords and proxy URLs."""
    one: BaseException | None = error
    while one is not None:
        one.__traceback__ = None
        one.__context__ = None
        if isinstance(one, PermanentError):
            _strip_tracebacks(one.error)
        one = one.__cause__
    return error


def read_key(options: Options, failure: Callable[[str, BaseException], ConnectionFailedError]) -> str:
    """Return the API key. If it comes from a function, that is called, which may block.

    Args:
        options: The client's options.
        failure: Makes the error for an exception of the function, from a description and the exception.

    Raises:
        PermanentError: The function raised, or returned no key.
    """
    if isinstance(options.api_key, str):
        return options.api_key
    try:
        key = options.api_key()
    except Exception as error:
        # As a note, because the traceback is removed: its frames may hold the key.
        place = traceback.extract_tb(error.__traceback__)[-1]
        error.add_note(f"Raised in {place.name}, {place.filename}, line {place.lineno}.")
        raise PermanentError(failure(f"api_key() raised {type(error).__name__}", error)) from error
    if not isinstance(key, str) or not key.strip():
        raise PermanentError(
            ConfigurationError(
                f"api_key() returned no key. {KEY_VARIABLE} is not used when api_key is a function.",
                parameter="api_key",
            )
        )
    if not key.isprintable():  # in a header, a line break would end it
        raise PermanentError(
            ConfigurationError("api_key() returned a key with control characters.", parameter="api_key")
        )
    return key


def _tcp(host: str, port: int, stages: _Stages, *, reported: bool = True) -> Stream:
    """Connect to the first address that responds.

    Args:
        host: The host name.
        port: The port.
        stages: The stages of the attempt.
        reported: Whether the lookup and the connection are reported as stages.
    """
    name = f"{host}:{port}"
    if reported:
        stages.enter("name lookup", name)
    attempt = stages.attempt
    try:
        addresses = look_up(host, port, attempt)
    except TimeoutError as error:
        raise stages.error(f"the name {host!r} was not resolved in time", error) from error
    except (OSError, UnicodeError) as error:
        raise stages.error(f"could not resolve the name {host!r} ({error})", error) from error
    if reported:
        stages.enter("TCP", name)
    try:
        sock = connect(host, port, addresses, attempt, _load_context if stages.needs_context else lambda: None)
    except UnreachableError as error:
        raise stages.error(str(error), error.cause) from error.cause
    try:
        _set_socket_options(sock)
    except OSError:
        attempt.discard(sock)
        raise
    return Stream(sock)


def _set_socket_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if (low := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:
        # Data in our buffers, unlike data in the kernel, can still be dropped, and its progress is visible.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, low, _MAX_UNSENT)


def _tls(stream: Stream, host: str, port: int, options: Options, stages: _Stages) -> Stream:
    stages.by_proxy = False
    stages.enter("TLS", f"{host}:{port}")
    context = options.ssl_context or default_context()
    if _verifies_sockets_only(context):
        raise PermanentError(
            ConfigurationError(
                "ssl_context overrides wrap_socket or sslsocket_class, which is not used: TLS runs over wrap_bio. "
                "Override wrap_bio, or do_handshake of its sslobject_class, instead.",
                parameter="ssl_context",
            )
        )
    # The certificate of a resumed session is not verified again, so only our own context has sessions: the settings of
    # others may change. A session is taken out while it is tried, so that the attempt after a failure does without.
    session = None if options.ssl_context is not None else _sessions.pop((context, host, port), None)
    try:
        secured = secure(stream, context, host, stages.attempt.wait, session)
    except ssl.SSLCertVerificationError as error:
        why = getattr(error, "verify_message", "") or error  # verification by other libraries may not set it
        reason = f"the certificate is not trusted ({why}). {_TLS_ADVICE}"
        raise PermanentError(stages.error(reason.rstrip("."), error)) from error
    except ssl.SSLError as error:
        raise stages.error(f"TLS failed ({error.reason or error})", error) from error
    if options.ssl_context is None and (session := secured.session) is not None:
        if len(_sessions) >= _MAX_SESSIONS:
            _sessions.clear()
        _sessions[context, host, port] = session
    return secured


_sessions: dict[tuple[ssl.SSLContext, str, int], ssl.SSLSession] = {}
"""TLS sessions by context, host and port. Resuming one saves a round trip with TLS 1.2; with TLS 1.3 it would save
only 0.2 to 0.7 ms of CPU, so those are not kept."""


def _verifies_sockets_only(context: ssl.SSLContext) -> bool:
    """Return whether a context may make checks in `wrap_socket` that it does not make in `wrap_bio`."""
    kinds = [kind for kind in type(context).__mro__ if not kind.__module__.startswith("gevent.")]
    first = [
        next((number for number, kind in enumerate(kinds) if name in vars(kind)), len(kinds))
        for name in ("wrap_socket", "wrap_bio")
    ]
    used = getattr(context, "sslsocket_class", None) or ssl.SSLSocket
    own_class = used.__module__ != "ssl" and not used.__module__.startswith("gevent.")
    return first[0] < first[1] or (own_class and context.sslobject_class is ssl.SSLObject)


@cache
def default_context() -> ssl.SSLContext:
    """Return the shared context: the operating system's trust store, `SSL_CERT_FILE` and `SSL_CERT_DIR`."""
    os.close(
        os.open(os.devnull, os.O_RDONLY)
    )  # raises if no descriptor is left; the context would silently load no certificates
    return ssl.create_default_context()


def _load_context() -> None:
    """Read the trust store, which takes 25 ms, while the server is on its way to answer."""
    with suppress(OSError):  # raised again where the context is used
        default_context()


class _BlockingStream:
    """A stream with the interface of a blocking socket, whose waits end with the attempt.

    Args:
        stream: The stream.
        attempt: The attempt.
    """

    def __init__(self, stream: Stream, attempt: Attempt) -> None:
        self._stream = stream
        self._attempt = attempt

    def recv(self, size: int) -> bytes:
        """Return up to *size* bytes."""
        data = self._next()
        if len(data) > size:
            self._stream.push_back(data[size:])
        return data[:size]

    def _next(self) -> bytes:
        while True:
            try:
                return self._stream.recv()
            except WOULD_BLOCK:
                self._attempt.wait(self._stream.sock, READ)

    def sendall(self, data: bytes) -> None:
        """Write all of *data*."""
        rest = memoryview(data)
        while rest or self._stream.backlog:
            try:
                rest = rest[self._stream.send(rest) :]
            except WOULD_BLOCK:
                self._attempt.wait(self._stream.sock, WRITE)

    def read_head(self) -> bytes:
        """Read exactly the head of an HTTP response; `b""` if the stream ends before."""
        head = bytearray()
        searched = 0
        while (end := _END_OF_HEAD.search(head, searched)) is None:
            if len(head) > _MAX_HEAD:
                raise OSError("the head of the response is too long")
            searched = max(0, len(head) - 2)
            data = self._next()
            if not data:
                return b""
            head += data
        self._stream.push_back(bytes(head[end.end() :]))
        return bytes(head[: end.end()])

    def close(self) -> None:
        """Do nothing: `dial` closes the stream."""


_END_OF_HEAD = re.compile(rb"\n\r?\n")


def _status(head: bytes) -> tuple[str, str]:
    """Return the status code and reason of an HTTP response; an empty code if it is not HTTP."""
    words = head.split(b"\n", 1)[0].decode("latin-1").strip().split(" ", 2)
    is_http = words[0].startswith("HTTP/") and len(words) > 1 and words[1].isdecimal()
    return (words[1], " ".join(words[2:])) if is_http else ("", "")


class _UpgradeSocket:
    """The socket for websocket-client: it can read the head of a 101 response and nothing else."""

    def __init__(self, line: _BlockingStream, stages: _Stages) -> None:
        self._line = line
        self._stages = stages
        self._head: io.BytesIO | None = None

    def send(self, data: bytes) -> int:
        """Write all of *data*."""
        self._line.sendall(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return the next bytes of the head.

        Raises:
            ConnectionFailedError: The status is not 101. (websocket-client 1.8 takes redirections for an upgrade.)
            PermanentError: It is one that another attempt would get again.
        """
        if self._head is None:
            head = self._line.read_head()
            code, _ = _status(head)
            if head and not code:
                raise self._stages.error("the server did not respond in HTTP")
            if code not in ("", "101"):
                refused = self._stages.error(f"the server responded with {code[:3]}")
                permanent = code.startswith("4") and code not in ("408", "425", "429")
                raise PermanentError(refused) if permanent else refused
            self._head = io.BytesIO(head)
        return self._head.read(size)

    def gettimeout(self) -> None:
        """Return `None`: reading blocks."""

    def close(self) -> None:
        """Do nothing: `dial` closes the stream."""


def _upgrade(stream: Stream, url: SplitResult, host: str, port: int, options: Options, stages: _Stages) -> None:
    stages.by_proxy = False
    stages.enter("upgrade", f"{host}:{port}")
    query = f"sdk={_SDK}&version={quote(__version__)}" + ("&dryRun=1" if options.dry_run else "")
    query = f"{url.query}&{query}" if url.query else query
    connection: Any = websocket.WebSocket(enable_multithread=False)
    failure: ConnectionFailedError | None = None
    try:
        connection.connect(
            url._replace(query=query).geturl(),
            socket=_UpgradeSocket(_BlockingStream(stream, stages.attempt), stages),
            header=[
                f"User-Agent: {user_agent(options.app)}",
                f"X-SDK-Name: {_SDK}",
                f"X-SDK-Version: {__version__}",
            ],
            suppress_origin=True,
            redirect_limit=0,  # a redirection could take the key to another server
        )
    except websocket.WebSocketTimeoutException as error:
        raise TimeoutError from error
    except websocket.WebSocketException as error:
        failure = stages.error(f"the upgrade failed ({str(error)[:200]})")
    finally:
        connection.sock = None  # breaks a reference cycle that would keep the I/O loop until garbage collection
    # Outside of `except`: websocket-client's exceptions contain the raw response, which a traceback would print.
    if failure is not None:
        raise failure


def user_agent(app: str | None = None) -> str:
    """Return the User-Agent header.

    Args:
        app: The user's own product, such as `"shop/1.2"`, which comes first; `None` for none.
    """
    system = f"{platform.system()} {platform.machine()}"
    own = f"{_SDK}/{__version__} (python/{platform.python_version()}; {system})"
    return own if app is None else f"{app} {own}"


# ---------------------------------------------------------------------- proxies


def proxy_for(given: str | None, environment: Mapping[str, str], host: str, port: int) -> SplitResult | None:
    """Return the URL of the proxy for a host; `None` for a direct connection.

    Args:
        given: The client option `proxy`.
        environment: The proxy variables.
        host: The host name.
        port: The port.

    Raises:
        ConfigurationError: The proxy URL is not valid.
    """
    if given is not None:
        return split_proxy(given, "proxy") if given else None
    found = environment_proxy(environment)
    if found is None or is_loopback(host):
        return None
    return None if _is_excepted(host, port, environment.get("NO_PROXY", "")) else found


def _is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Return whether `NO_PROXY` names a host, in any of the forms that curl, requests, httpx and Go take.

    Commas and white space separate its entries. `*` is every host; `name`, `.name` and `*.name` are that host and all
    hosts under it; addresses may be networks (`10.0.0.0/8`), and IPv6 may stand in brackets. With a port, an entry is
    for that port only. Host names are not resolved.
    """
    name = host.lower().rstrip(".")
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    with suppress(ValueError):  # it is a name
        address = ipaddress.ip_address(name)
    for entry in re.split(r"[\s,]+", no_proxy.lower()):
        if entry.startswith("["):
            target, _, its_port = entry[1:].partition("]")
            its_port = its_port.removeprefix(":")
        elif entry.count(":") == 1:
            target, _, its_port = entry.partition(":")
        else:  # without a port, or IPv6 without brackets
            target, its_port = entry, ""
        if its_port not in ("", str(port)):
            continue
        if target == "*":
            return True
        if address is None:
            domain = target.lstrip("*.").rstrip(".")
            if domain and (name == domain or name.endswith(f".{domain}")):
                return True
        else:
            with suppress(ValueError):
                if address in ipaddress.ip_network(target, strict=False):
                    return True
    return False


def _through_proxy(proxy: SplitResult, host: str, port: int, stages: _Stages) -> Stream:
    proxy_host, proxy_port = proxy.hostname or "", proxy.port or (1080 if proxy.scheme.startswith("socks") else 80)
    stages.by_proxy = True
    if proxy.scheme.startswith("socks"):
        return _socks(proxy, host, port, stages)
    if proxy.scheme != "http":
        raise PermanentError(
            ConfigurationError(
                f"Proxies with {proxy.scheme}:// are not supported; use http:// or socks5h://.", parameter="proxy"
            )
        )
    stream = _tcp(proxy_host, proxy_port, stages)
    try:
        stages.enter("proxy", f"{proxy_host}:{proxy_port}")
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", f"User-Agent: {user_agent()}"]
        if proxy.username is not None:
            pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
        line = _BlockingStream(stream, stages.attempt)
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        code, reason = _status(line.read_head())
        if not code:
            raise stages.error("the proxy did not respond in HTTP")
        if not code.startswith("2"):
            refused = stages.error(f"the proxy responded with {code[:3]} {reason}"[:140].strip())
            raise PermanentError(refused) if code in ("401", "403", "407") else refused
    except BaseException:
        stream.close()
        raise
    return stream


class _ProxyConnector:
    """Connects to the proxy on behalf of python-socks."""

    def __init__(self, stages: _Stages) -> None:
        self._stages = stages
        self.stream: Stream | None = None

    def connect(self, dest_host: str, dest_port: int, timeout: float | None = None) -> _BlockingStream:  # noqa: ARG002
        """Connect within the deadline of the attempt."""
        self.stream = _tcp(dest_host, dest_port, self._stages, reported=False)
        return _BlockingStream(self.stream, self._stages.attempt)


def _socks(proxy: SplitResult, host: str, port: int, stages: _Stages) -> Stream:
    stages.enter("proxy", f"{proxy.hostname}:{proxy.port or 1080}")
    try:
        create = python_socks_sync.Proxy.create
    except ImportError as error:
        raise PermanentError(
            ConfigurationError("A SOCKS proxy needs an extra: pip install 'runware-client[socks]'.", parameter="proxy")
        ) from error
    kind = python_socks.ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else python_socks.ProxyType.SOCKS5
    hop: Any = _ProxyConnector(stages)
    try:
        create(
            kind,
            proxy.hostname or "",
            proxy.port or 1080,
            username=unquote(proxy.username) if proxy.username else None,
            password=unquote(proxy.password) if proxy.password else None,
            rdns=proxy.scheme in ("socks4a", "socks5h"),
            forward=hop,
        ).connect(host, port)
        stream: Stream = hop.stream
        return stream
    except BaseException as error:
        if hop.stream is not None:
            hop.stream.close()
        if isinstance(error, python_socks.ProxyTimeoutError):
            raise TimeoutError from error
        if isinstance(error, python_socks.ProxyError):
            raise stages.error(f"the proxy failed ({error})", error) from error
        if isinstance(error, (OSError, RunwareError, PermanentError, CancelledError)) or not isinstance(
            error, Exception
        ):
            raise
        # The message of other errors may contain the password, for instance if it cannot be encoded.
        raise stages.error(f"the proxy failed ({type(error).__name__})") from None
