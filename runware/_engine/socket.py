"""The way to the server: name lookup, TCP, proxy, TLS and the WebSocket upgrade, each with its own error.

Dialling blocks, so it runs on a thread of its own. websocket-client does the upgrade; nothing else uses it.
"""

from __future__ import annotations

import base64
import platform
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

import websocket

from runware._engine.loading import loading
from runware._version import __version__
from runware.errors import ConfigurationError, ConnectionFailedError, RunwareError
from runware.options import KEY_VARIABLE, Options, environment_proxy, is_loopback, split_proxy

__all__ = ["Dialled", "default_context", "dial", "proxy_for", "user_agent"]

if not (hasattr(websocket, "WebSocket") and hasattr(websocket, "WebSocketBadStatusException")):
    raise ImportError(
        "The module `websocket` is not that of websocket-client: another package of that name hides it. "
        "Run: pip uninstall websocket && pip install --force-reinstall websocket-client"
    )

_SDK = "runware-client"
_UNSENT = 256 * 1024
"""Bytes that may wait in the kernel for the network."""
_TLS_ADVICE = (
    "If your network inspects TLS, point SSL_CERT_FILE at its CA certificate, or pass "
    "ssl_context=ssl.create_default_context(cafile=...)."
)


class Dialled:
    """A connection after its upgrade, and the key that goes with it."""

    __slots__ = ("key", "sock")

    sock: socket.socket

    def __init__(self, key: str) -> None:
        self.key = key


class _Stages:
    """Where an attempt stands, so that whatever fails can say so."""

    def __init__(
        self, report: Callable[[str, str], None], opened: Callable[[socket.socket], object], timeout: float
    ) -> None:
        self._report = report
        self.opened = opened
        self._started = time.monotonic()
        self._timeout = timeout
        self.stage = "key"
        self.host = ""
        self.by_proxy = False  # whether the host is that of the proxy

    def enter(self, stage: str, host: str) -> None:
        self.stage, self.host = stage, host
        self._report(stage, host)

    def remaining(self) -> float:
        return max(0.05, self._timeout - (time.monotonic() - self._started))

    def error(self, what: str, cause: BaseException | None = None) -> ConnectionFailedError:
        elapsed = time.monotonic() - self._started
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


def dial(
    options: Options,
    report: Callable[[str, str], None],
    opened: Callable[[socket.socket], object] = lambda sock: None,
) -> Dialled:
    """Connect, and do the upgrade. Blocks for at most about `connect_timeout` (a name lookup may take longer).

    Args:
        options: The client's options.
        report: Told each stage as it begins, and the host it is with.
        opened: Told each socket as it is made, so that a process forked meanwhile can close it.

    Raises:
        ConnectionFailedError: It failed; another attempt may work.
        PermanentError: It failed, and another attempt would too.
    """
    stages = _Stages(report, opened, options.connect_timeout)
    sock: socket.socket | None = None
    try:
        # Not a variable of its own: what reports errors often tells the variables along their way.
        dialled = Dialled(_key(options, stages))
        url = urlsplit(options.url)
        host = url.hostname or ""
        port = url.port or (443 if url.scheme == "wss" else 80)
        proxy = proxy_for(options.proxy, options.environment, host, port)
        sock = _through_proxy(proxy, host, port, stages) if proxy else _tcp(host, port, stages)
        if url.scheme == "wss":
            sock = _tls(sock, host, port, options, stages)
        _upgrade(sock, url, host, port, options, stages)
        sock.setblocking(False)
        dialled.sock = sock
        return dialled
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, OSError):
            if isinstance(error, RunwareError):
                raise
            what = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise stages.error(what, error) from error
        raise


def _key(options: Options, stages: _Stages) -> str:
    if isinstance(options.api_key, str):
        return options.api_key
    try:
        key = options.api_key()
    except Exception as error:
        raise PermanentError(stages.error(f"api_key() raised {type(error).__name__}", error)) from error
    if not isinstance(key, str) or not key.strip():
        raise PermanentError(
            ConfigurationError(f"api_key() returned no key; {KEY_VARIABLE} is not looked at then.", parameter="api_key")
        )
    return key


def _tcp(host: str, port: int, stages: _Stages) -> socket.socket:
    name = f"{host}:{port}"
    stages.enter("name lookup", name)
    with loading:
        "".encode("idna")  # the lookup would import it, and a fork in the middle of that leave the child without it
    try:
        addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise stages.error(f"the name {host!r} is not known ({error})", error) from error
    stages.enter("TCP", name)
    failure: OSError | None = None
    for number, (family, kind, proto, _, address) in enumerate(addresses):
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, kind, proto)
            stages.opened(sock)
            # The addresses share the time, so that one that swallows packets does not use it up.
            sock.settimeout(stages.remaining() / (len(addresses) - number))
            sock.connect(address)
        except OSError as error:
            if sock is not None:
                sock.close()
            failure = error
            continue
        sock.settimeout(stages.remaining())
        _tune(sock)
        return sock
    raise failure or OSError("the name has no address")


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if (low := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:
        # What waits here, and not in the kernel, can be left out, and its progress be seen.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, low, _UNSENT)


def _tls(sock: socket.socket, host: str, port: int, options: Options, stages: _Stages) -> socket.socket:
    stages.by_proxy = False
    stages.enter("TLS", f"{host}:{port}")
    try:
        # The handshake is left to it: what verifies certificates in other ways does so in this method, after it.
        wrapped = (options.ssl_context or default_context()).wrap_socket(sock, server_hostname=host)
        stages.opened(wrapped)
        return wrapped
    except ssl.SSLCertVerificationError as error:
        reason = f"the certificate is not trusted ({error.verify_message}). {_TLS_ADVICE}"
        raise PermanentError(stages.error(reason.rstrip("."), error)) from error
    except ssl.SSLError as error:
        raise stages.error(f"TLS failed ({error.reason or error})", error) from error


@cache
def default_context() -> ssl.SSLContext:
    """The operating system's trust store, and `SSL_CERT_FILE` and `SSL_CERT_DIR`; made once, never changed."""
    return ssl.create_default_context()


def _upgrade(sock: socket.socket, url: SplitResult, host: str, port: int, options: Options, stages: _Stages) -> None:
    stages.by_proxy = False
    stages.enter("upgrade", f"{host}:{port}")
    sock.settimeout(stages.remaining())
    query = f"sdk={_SDK}&version={quote(__version__)}" + ("&dryRun=1" if options.dry_run else "")
    query = f"{url.query}&{query}" if url.query else query
    connection: Any = websocket.WebSocket(enable_multithread=False)
    failure: ConnectionFailedError | None = None
    permanent = False
    try:
        connection.connect(
            url._replace(query=query).geturl(),
            socket=sock,
            header=[
                f"User-Agent: {user_agent()}",
                f"X-SDK-Name: {_SDK}",
                f"X-SDK-Version: {__version__}",
            ],
            suppress_origin=True,
            redirect_limit=0,  # the key would follow
        )
    except websocket.WebSocketBadStatusException as error:
        status = error.status_code
        failure = stages.error(f"the server answered {status}")
        permanent = 400 <= status < 500 and status not in (408, 425, 429)
    except websocket.WebSocketException as error:
        failure = stages.error(f"the upgrade failed ({str(error)[:200]})")
    # Here, because websocket-client's exceptions hold the answer as it came, which a traceback would print.
    if failure is not None:
        raise PermanentError(failure) if permanent else failure


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


def _through_proxy(proxy: SplitResult, host: str, port: int, stages: _Stages) -> socket.socket:
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
    sock = _tcp(proxy_host, proxy_port, stages)
    stages.enter("proxy", f"{proxy_host}:{proxy_port}")
    try:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", f"User-Agent: {user_agent()}"]
        if proxy.username is not None:
            pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = _read_head(sock)
        status = answer.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        code = status[1] if len(status) > 1 else ""
        if not status[0].startswith("HTTP/") or not code.isdigit():
            raise stages.error("the proxy did not answer in HTTP")
        if not code.startswith("2"):
            refused = stages.error(f"the proxy answered {' '.join(status[1:])[:100]}")
            raise PermanentError(refused) if code in ("401", "403", "407") else refused
    except BaseException:
        sock.close()
        raise
    return sock


def _read_head(sock: socket.socket) -> bytes:
    # Byte by byte: what comes after the head belongs to the server behind the proxy.
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte or len(head) > 65_536:
            break
        head += byte
    return bytes(head)


def _socks(proxy: SplitResult, host: str, port: int, stages: _Stages) -> socket.socket:
    stages.enter("proxy", f"{proxy.hostname}:{proxy.port or 1080}")
    try:
        with loading:
            from python_socks import ProxyType
            from python_socks.sync import Proxy
    except ImportError as error:
        raise PermanentError(
            ConfigurationError("A SOCKS proxy needs an extra: pip install 'runware-client[socks]'.", parameter="proxy")
        ) from error
    kind = ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5
    try:
        made: Any = Proxy.create(
            kind,
            proxy.hostname or "",
            proxy.port or 1080,
            username=unquote(proxy.username) if proxy.username else None,
            password=unquote(proxy.password) if proxy.password else None,
            rdns=proxy.scheme in ("socks4a", "socks5h"),
        )
        sock: socket.socket = made.connect(host, port, timeout=stages.remaining())
        stages.opened(sock)
    except OSError:
        raise
    except Exception as error:
        raise stages.error(f"the proxy failed ({error})", error) from error
    _tune(sock)
    return sock
