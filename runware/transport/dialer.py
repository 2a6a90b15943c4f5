"""The way to the server: name lookup, TCP, proxy, TLS and the WebSocket upgrade, each with its own error.

Dialling blocks, so it runs on a thread of its own. websocket-client does the upgrade; nothing else uses it.
"""

from __future__ import annotations

import base64
import errno
import io
import math
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
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

import websocket

from runware._support.import_lock import loading
from runware._version import __version__
from runware.errors import ConfigurationError, ConnectionFailedError, RunwareError
from runware.options import KEY_VARIABLE, Options, environment_proxy, is_loopback, split_proxy
from runware.transport.poller import READ, WRITE, Poller
from runware.transport.stream import WOULD_BLOCK, Stream, secure

__all__ = ["Attempt", "Dialled", "PermanentError", "default_context", "dial", "proxy_for", "user_agent"]

if not (hasattr(websocket, "WebSocket") and hasattr(websocket, "WebSocketTimeoutException")):
    raise ImportError(
        "The module `websocket` is not that of websocket-client: another package of that name hides it. "
        "Run: pip uninstall websocket && pip install --force-reinstall websocket-client"
    )

_SDK = "runware-client"
_UNSENT = 256 * 1024
"""Bytes that may wait in the kernel for the network."""
_HEAD = 64 * 1024
"""Bytes that the head of an HTTP response may have."""
_LOOK = 0.25
"""Seconds after which a wait looks whether its attempt was cancelled, where a shutdown does not wake it."""
_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK))
_TLS_ADVICE = (
    "If your network inspects TLS, point SSL_CERT_FILE at its CA certificate, or pass "
    "ssl_context=ssl.create_default_context(cafile=...)."
)


_E = TypeVar("_E", bound=BaseException)


class Dialled:
    """A connection after its upgrade, and the key that goes with it."""

    __slots__ = ("key", "stream")

    stream: Stream

    def __init__(self, key: str) -> None:
        self.key = key


class _CancelledError(Exception):
    """The attempt was cancelled."""


class Attempt:
    """An attempt to connect: one deadline for all its waits, and another thread may cancel it at any time.

    Args:
        timeout: Seconds from now until the deadline.
        opened: Told each socket as it is made, so that a process forked meanwhile can close it.
    """

    def __init__(self, timeout: float, opened: Callable[[socket.socket], object] = lambda sock: None) -> None:
        self.started = time.monotonic()
        self._end = self.started + timeout
        self._opened = opened
        self._sock: socket.socket | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """End the attempt, whatever it waits for, unless that is a name lookup."""
        self._cancelled = True
        if self._sock is not None:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)  # this wakes the thread that waits for it

    def adopt(self, sock: socket.socket) -> None:
        """Note the socket that the attempt waits for from now on."""
        self._opened(sock)
        self._sock = sock
        sock.setblocking(False)
        self.check()

    def check(self) -> None:
        """Raise an exception if the attempt was cancelled."""
        if self._cancelled:
            raise _CancelledError

    def remaining(self) -> float:
        """Return the seconds until the deadline."""
        return max(0.0, self._end - time.monotonic())

    def wait(self, sock: socket.socket, event: int, timeout: float = math.inf) -> None:
        """Wait until a socket is ready.

        Args:
            sock: The socket.
            event: READ or WRITE.
            timeout: Seconds that this wait may take of the time that remains.

        Raises:
            TimeoutError: It did not become ready in time.
        """
        poller = Poller()
        poller.register(sock.fileno(), event)
        end = min(self._end, time.monotonic() + timeout)
        ready: list[Any] = []
        while not ready:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            ready = poller.poll(math.ceil(min(left, _LOOK) * 1000))
        self.check()


class _Stages:
    """Where an attempt stands, so that whatever fails can say so."""

    def __init__(self, report: Callable[[str, str], None], attempt: Attempt) -> None:
        self._report = report
        self.attempt = attempt
        self.stage = "key"
        self.host = ""
        self.by_proxy = False  # whether the host is that of the proxy

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
    """Carries an error that trying again cannot mend."""

    def __init__(self, error: RunwareError) -> None:
        super().__init__(str(error))
        self.error = error
        error.retryable = False


def dial(options: Options, report: Callable[[str, str], None], attempt: Attempt | None = None) -> Dialled:
    """Connect, and do the upgrade. Blocks for at most `connect_timeout` (a name lookup may take longer).

    Args:
        options: The client's options.
        report: Told each stage as it begins, and the host it is with.
        attempt: Its deadline, and what cancels it.

    Raises:
        ConnectionFailedError: It failed; another attempt may work.
        PermanentError: It failed, and another attempt would too.
    """
    stages = _Stages(report, attempt or Attempt(options.connect_timeout))
    try:
        return _dial(options, stages)
    except (RunwareError, PermanentError) as error:
        raise _without_frames(error) from error.__cause__
    except _CancelledError:
        failure = stages.error("the attempt was cancelled")
    except OSError as error:
        what = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        failure = _without_frames(stages.error(what, error))
    raise failure


def _dial(options: Options, stages: _Stages) -> Dialled:
    stream: Stream | None = None
    try:
        # Not a variable of its own: what reports errors often tells the variables along their way.
        dialled = Dialled(_key(options, stages))
        url = urlsplit(options.url)
        host = url.hostname or ""
        port = url.port or (443 if url.scheme == "wss" else 80)
        proxy = proxy_for(options.proxy, options.environment, host, port)
        stream = _through_proxy(proxy, host, port, stages) if proxy else _tcp(host, port, stages)
        if url.scheme == "wss":
            stream = _tls(stream, host, port, options, stages)
        _upgrade(stream, url, host, port, options, stages)
        dialled.stream = stream
        return dialled
    except BaseException:
        if stream is not None:
            stream.close()
        raise


def _without_frames(error: _E) -> _E:
    """Cut the tracebacks of an error and its causes: variables along the way hold the key, passwords and proxy URLs."""
    one: BaseException | None = error
    while one is not None:
        one.__traceback__ = None
        one.__context__ = None
        if isinstance(one, PermanentError):
            _without_frames(one.error)
        one = one.__cause__
    return error


def _key(options: Options, stages: _Stages) -> str:
    if isinstance(options.api_key, str):
        return options.api_key
    try:
        key = options.api_key()
    except Exception as error:
        # In words, as its frames are cut: they may hold the key.
        place = traceback.extract_tb(error.__traceback__)[-1]
        error.add_note(f"It was raised in {place.name}, {place.filename}, line {place.lineno}.")
        raise PermanentError(stages.error(f"api_key() raised {type(error).__name__}", error)) from error
    if not isinstance(key, str) or not key.strip():
        raise PermanentError(
            ConfigurationError(f"api_key() returned no key; {KEY_VARIABLE} is not looked at then.", parameter="api_key")
        )
    return key


def _tcp(host: str, port: int, stages: _Stages, *, told: bool = True) -> Stream:
    """Connect to the first address that answers.

    Args:
        host: The host's name.
        port: Its port.
        stages: Where the attempt stands.
        told: Whether the lookup and the connection are stages of their own.
    """
    name = f"{host}:{port}"
    if told:
        stages.enter("name lookup", name)
    with loading:
        "".encode("idna")  # the lookup would import it, and a fork in the middle of that leave the child without it
    try:
        addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise stages.error(f"the name {host!r} is not known ({error})", error) from error
    if told:
        stages.enter("TCP", name)
    attempt = stages.attempt
    failure: OSError | None = None
    for number, (family, kind, proto, _, address) in enumerate(addresses):
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, kind, proto)
            attempt.adopt(sock)
            code = sock.connect_ex(address)
            if code in _IN_PROGRESS:
                # The addresses share the time, so that one that swallows packets does not use it up.
                attempt.wait(sock, WRITE, attempt.remaining() / (len(addresses) - number))
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            _tune(sock)
            return Stream(sock)
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not isinstance(error, OSError):
                raise
            failure = error
    raise failure or OSError("the name has no address")


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if (low := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:
        # What waits here, and not in the kernel, can be left out, and its progress be seen.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, low, _UNSENT)


def _tls(stream: Stream, host: str, port: int, options: Options, stages: _Stages) -> Stream:
    stages.by_proxy = False
    stages.enter("TLS", f"{host}:{port}")
    context = options.ssl_context or default_context()
    if _verifies_sockets_only(context):
        raise PermanentError(
            ConfigurationError(
                "ssl_context has a wrap_socket or an sslsocket_class of its own, which is not used here: TLS runs over "
                "wrap_bio. Do the same in wrap_bio, or in the do_handshake of its sslobject_class.",
                parameter="ssl_context",
            )
        )
    try:
        return secure(stream, context, host, stages.attempt.wait)
    except ssl.SSLCertVerificationError as error:
        why = getattr(error, "verify_message", "") or error  # what others raise need not have it
        reason = f"the certificate is not trusted ({why}). {_TLS_ADVICE}"
        raise PermanentError(stages.error(reason.rstrip("."), error)) from error
    except ssl.SSLError as error:
        raise stages.error(f"TLS failed ({error.reason or error})", error) from error


def _verifies_sockets_only(context: ssl.SSLContext) -> bool:
    """Return whether a context may check in `wrap_socket` what it does not check in `wrap_bio`."""
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
    """The operating system's trust store, and `SSL_CERT_FILE` and `SSL_CERT_DIR`; made once, never changed."""
    os.close(os.open(os.devnull, os.O_RDONLY))  # with no descriptor left to read its files, it would stay empty
    return ssl.create_default_context()


class _Blocking:
    """A stream in the form of a blocking socket, each wait of which ends with the attempt.

    Args:
        stream: The stream.
        attempt: The attempt that it is made in.
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
        """Return the head of an HTTP response, and leave there what comes after it; nothing if it breaks off."""
        head = bytearray()
        searched = 0
        while (end := _END_OF_HEAD.search(head, searched)) is None:
            if len(head) > _HEAD:
                raise OSError("the head of the response is too long")
            searched = max(0, len(head) - 2)
            data = self._next()
            if not data:
                return b""
            head += data
        self._stream.push_back(bytes(head[end.end() :]))
        return bytes(head[: end.end()])

    def close(self) -> None:
        """Do nothing: whoever dials closes the stream."""


_END_OF_HEAD = re.compile(rb"\n\r?\n")


def _status(head: bytes) -> tuple[str, str]:
    """Return the status code of an HTTP response and its reason; an empty code if it is no HTTP."""
    words = head.split(b"\n", 1)[0].decode("latin-1").strip().split(" ", 2)
    is_http = words[0].startswith("HTTP/") and len(words) > 1 and words[1].isdecimal()
    return (words[1], " ".join(words[2:])) if is_http else ("", "")


class _Upgrading:
    """The socket that websocket-client sees: it gets nothing to read but the head of an upgrade."""

    def __init__(self, line: _Blocking, stages: _Stages) -> None:
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
            ConnectionFailedError: The server answered with another status than 101, which websocket-client 1.8 takes
                for an upgrade if it is a redirection.
            PermanentError: It did, with one that will stay so.
        """
        if self._head is None:
            head = self._line.read_head()
            code, _ = _status(head)
            if head and not code:
                raise self._stages.error("the server did not answer in HTTP")
            if code not in ("", "101"):
                refused = self._stages.error(f"the server answered {code[:3]}")
                permanent = code.startswith("4") and code not in ("408", "425", "429")
                raise PermanentError(refused) if permanent else refused
            self._head = io.BytesIO(head)
        return self._head.read(size)

    def gettimeout(self) -> None:
        """Say that reading blocks."""

    def close(self) -> None:
        """Do nothing: whoever dials closes the stream."""


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
            socket=_Upgrading(_Blocking(stream, stages.attempt), stages),
            header=[
                f"User-Agent: {user_agent()}",
                f"X-SDK-Name: {_SDK}",
                f"X-SDK-Version: {__version__}",
            ],
            suppress_origin=True,
            redirect_limit=0,  # the key would follow
        )
    except websocket.WebSocketTimeoutException as error:
        raise TimeoutError from error
    except websocket.WebSocketException as error:
        failure = stages.error(f"the upgrade failed ({str(error)[:200]})")
    finally:
        connection.sock = None  # it refers to itself, and would keep the engine until a collection
    # Here, because websocket-client's exceptions hold the answer as it came, which a traceback would print.
    if failure is not None:
        raise failure


def user_agent() -> str:
    """What we call ourselves in HTTP headers."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{_SDK}/{__version__} (python/{platform.python_version()}; {system})"


# ---------------------------------------------------------------------- proxies


def proxy_for(given: str | None, environment: Mapping[str, str], host: str, port: int) -> SplitResult | None:
    """Tell which proxy leads to a host, if one does.

    Args:
        given: The client's `proxy`.
        environment: The proxy variables.
        host: The host's name.
        port: Its port.

    Raises:
        ConfigurationError: What should be the address of a proxy is none.
    """
    if given is not None:
        return split_proxy(given, "proxy") if given else None
    found = environment_proxy(environment)
    if found is None or is_loopback(host):
        return None
    with loading:
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    no_proxy = environment.get("NO_PROXY", "")
    if no_proxy and proxy_bypass_environment(f"{host}:{port}", {"no": no_proxy}):
        return None
    return found


def _through_proxy(proxy: SplitResult, host: str, port: int, stages: _Stages) -> Stream:
    proxy_host, proxy_port = proxy.hostname or "", proxy.port or (1080 if proxy.scheme.startswith("socks") else 80)
    stages.by_proxy = True
    if proxy.scheme.startswith("socks"):
        return _socks(proxy, host, port, stages)
    if proxy.scheme != "http":
        raise PermanentError(
            ConfigurationError(
                f"A proxy with {proxy.scheme}:// is not supported; use http:// or socks5h://.", parameter="proxy"
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
        line = _Blocking(stream, stages.attempt)
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        code, reason = _status(line.read_head())
        if not code:
            raise stages.error("the proxy did not answer in HTTP")
        if not code.startswith("2"):
            refused = stages.error(f"the proxy answered {code[:3]} {reason}"[:140].strip())
            raise PermanentError(refused) if code in ("401", "403", "407") else refused
    except BaseException:
        stream.close()
        raise
    return stream


class _Hop:
    """What python-socks asks for a connection to the proxy."""

    def __init__(self, stages: _Stages) -> None:
        self._stages = stages
        self.stream: Stream | None = None

    def connect(self, dest_host: str, dest_port: int, timeout: float | None = None) -> _Blocking:  # noqa: ARG002
        """Connect to the proxy, within the time of the attempt."""
        self.stream = _tcp(dest_host, dest_port, self._stages, told=False)
        return _Blocking(self.stream, self._stages.attempt)


def _socks(proxy: SplitResult, host: str, port: int, stages: _Stages) -> Stream:
    stages.enter("proxy", f"{proxy.hostname}:{proxy.port or 1080}")
    try:
        with loading:
            from python_socks import ProxyError, ProxyTimeoutError, ProxyType
            from python_socks.sync import Proxy
    except ImportError as error:
        raise PermanentError(
            ConfigurationError("A SOCKS proxy needs an extra: pip install 'runware-client[socks]'.", parameter="proxy")
        ) from error
    kind = ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5
    hop: Any = _Hop(stages)
    try:
        Proxy.create(
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
        if isinstance(error, ProxyTimeoutError):
            raise TimeoutError from error
        if isinstance(error, ProxyError):
            raise stages.error(f"the proxy failed ({error})", error) from error
        if isinstance(error, (OSError, PermanentError, _CancelledError)) or not isinstance(error, Exception):
            raise
        # Another error may quote the password that it could not encode.
        raise stages.error(f"the proxy failed ({type(error).__name__})") from None
