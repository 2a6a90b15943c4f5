"""The `doctor` command: check each step of a connection, with its duration, and advise on failures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import ssl
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs
import httpx2

from runware import AuthenticationError, ConfigurationError, ConnectionFailedError, Runware, RunwareError, __version__
from runware._support.escaping import one_line
from runware._support.lazy_modules import lazy_module
from runware.cli.key_sources import find_key
from runware.media.downloads import Downloads
from runware.options import KEY_VARIABLE, URL_VARIABLE, Options, read_options
from runware.protocol.redaction import Redactor, secrets_of
from runware.transport.dialer import PermanentError, default_context, dial, proxy_for

if TYPE_CHECKING:
    from runware import local as local_package
else:
    local_package = lazy_module("runware.local")

__all__ = ["Finding", "examine"]

_REQUIRED = ("attrs", "cattrs", "httpx2", "tenacity", "websocket-client")
_EXTRAS = ("aiohttp", "keyring", "orjson", "Pillow", "python-socks", "rich", "tqdm", "typer")
_CONFLICTING = {
    "runware": "It has the same import name. Run: pip uninstall runware runware-client && pip install runware-client",
    "runware-sdk": "It has the same import name. Run: pip uninstall runware-sdk runware-client && "
    "pip install runware-client",
    "websocket": "It shadows the required package. Run: pip uninstall websocket && "
    "pip install --force-reinstall websocket-client",
}
_ADVICE = {
    "name lookup": "The server's name cannot be resolved: check the network, DNS and, behind a proxy, HTTPS_PROXY.",
    "TCP": "No connection: a firewall may block it, or a proxy is needed (HTTPS_PROXY).",
    "proxy": "The proxy refused: check its URL, user name and password, and that it allows CONNECT to port 443.",
    "TLS": "If your network inspects TLS, point SSL_CERT_FILE at its CA certificate. Check this machine's clock, too.",
    "upgrade": "The server, or something in between, does not accept WebSockets. Check RUNWARE_URL.",
    "authentication": "Connected, but authentication was not answered. Try again in a minute.",
}
_MAX_CLOCK_SKEW = 120.0
_INDENT = 22


@attrs.frozen
class Finding:
    """Result of one check.

    Attributes:
        name: What was checked.
        value: The outcome.
        advice: What to do about a problem; empty if there is none.
        exit_code: Exit code of the command because of this check; 0 if it passed.
    """

    name: str
    value: str
    advice: str = ""
    exit_code: int = 0

    def as_text(self, width: int | None = None) -> str:
        """Return the check as a line of text, with the advice on a second line.

        Args:
            width: Wrap the line to this many columns, beside the name; `None` does not wrap it.
        """
        value = one_line(self.value)
        if width is not None:
            room = max(width - _INDENT, 20)
            value = f"\n{' ' * _INDENT}".join(textwrap.wrap(value, room, break_on_hyphens=False))
        line = f"{'FAIL' if self.exit_code else 'note' if self.advice else 'ok':4}  {self.name:15} {value}"
        return f"{line}\n      -> {self.advice}" if self.advice else line

    def as_json(self) -> dict[str, Any]:
        """Return the check as an object for `--json`."""
        return {"name": self.name, "ok": not self.exit_code, "value": self.value, "advice": self.advice or None}


def examine(local: bool) -> list[Finding]:
    """Run all checks. Checks that depend on a failed one are skipped."""
    with ExitStack() as stack:
        given: dict[str, Any] = {}
        if local:
            server = stack.enter_context(local_package.LocalServer())
            given = {"api_key": server.api_key, "url": server.url}
        return list(_findings(given))


def _findings(given: dict[str, Any]) -> Iterator[Finding]:
    yield Finding("runware-client", f"{__version__}, Python {platform.python_version()} on {platform.platform()}")
    yield from _packages()
    key = _key(given)
    yield key
    # All steps before authentication work without a key.
    try:
        found = given if given or key.exit_code else {"api_key": find_key().value}
        options = read_options({"api_key": "none", **found})
    except ConfigurationError as error:
        yield Finding("options", error.message, "Correct it and try again.", 2)
        return
    source = "--local" if given else URL_VARIABLE if os.environ.get(URL_VARIABLE) else "default"
    yield Finding("url", f"{options.server_url} ({source})")
    yield _proxy(options)
    if options.url.startswith(("wss:", "https:")):
        yield _trust()
    reached = True
    # Over HTTP, the error of the authentication says which step fails.
    for finding in () if options.transport == "http" else _steps(options):
        reached = reached and not finding.exit_code
        yield finding
    if reached:
        yield _clock(options)
    if reached and not key.exit_code:
        yield _sign_in(found)


def _packages() -> Iterator[Finding]:
    versions = {name: _installed(name) for name in (*_REQUIRED, *_EXTRAS)}
    missing = [name for name in _REQUIRED if versions[name] is None]
    yield Finding(
        "packages",
        ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items() if version or name in missing),
        "Reinstall: pip install --force-reinstall runware-client" if missing else "",
        1 if missing else 0,
    )
    for name, advice in _CONFLICTING.items():
        if (version := _installed(name)) is not None:
            yield Finding("in the way", f"{name} {version} is installed", advice)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _key(given: dict[str, Any]) -> Finding:
    if given:
        return Finding("key", "key of the temporary server on this machine")
    try:
        value, source = find_key()
    except ConfigurationError as error:
        return Finding("key", error.message, "Name a file that holds the API key and nothing else.", 3)
    if not value:
        return Finding(
            "key",
            f"{KEY_VARIABLE} is not set",
            "Create a key at https://my.runware.ai and set it. Without one, every command takes --local.",
            3,
        )
    if value != value.strip() or not value.isprintable():
        return Finding("key", f"{source} contains white space", "Copy the key again without it.", 3)
    return Finding("key", f"from {source}")


def _proxy(options: Options) -> Finding:
    url = urlsplit(options.url)
    found = proxy_for(options.proxy, options.environment, url.hostname or "", _port(options))
    if found is None:
        return Finding("proxy", "none")
    password = " with a password" if found.password else ""
    return Finding("proxy", f"{found.scheme}://{found.hostname}:{found.port or ''}{password}".rstrip(":"))


def _trust() -> Finding:
    paths = ssl.get_default_verify_paths()
    chosen = [f"{name}={os.environ[name]}" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    where = ", ".join(chosen) or paths.cafile or paths.capath or "the operating system"
    missing = [pair for pair in chosen if not os.path.exists(pair.partition("=")[2])]  # noqa: PTH110 - it is a str
    if missing:
        return Finding("trust store", where, f"{missing[0]} does not exist.", 4)
    loaded = default_context().cert_store_stats()["x509_ca"]
    return Finding("trust store", f"{where} ({loaded} authorities loaded; {ssl.OPENSSL_VERSION})")


def _steps(options: Options) -> Iterator[Finding]:
    begun: list[tuple[str, str, float]] = []
    try:
        dialled = dial(options, lambda stage, host: begun.append((stage, host, time.perf_counter())))
    except (RunwareError, PermanentError) as error:
        yield from _timed(begun[:-1], begun[-1][2] if begun else 0.0)  # the previous check failed
        failure = error.error if isinstance(error, PermanentError) else error
        stage = getattr(failure, "stage", "options")
        message = Redactor(secrets_of(options)).hide(failure.message)  # a proxy may echo its password
        yield Finding(stage, message, _ADVICE.get(stage, "Correct it and try again."), 4)
        return
    end = time.perf_counter()
    dialled.stream.close()
    yield from _timed(begun, end)


def _timed(begun: list[tuple[str, str, float]], end: float) -> Iterator[Finding]:
    ends = [*(start for _, _, start in begun[1:]), end]
    for (stage, host, start), until in zip(begun, ends, strict=False):
        yield Finding(stage, f"{1000 * (until - start):.1f} ms  {host}")


def _clock(options: Options) -> Finding:
    url = urlsplit(options.url)
    http_url = url._replace(scheme="https" if url.scheme in ("wss", "https") else "http", query="").geturl()
    try:
        with Downloads.of(options).session() as session:
            before = time.time()
            stamp = session.date_at(http_url, timeout=options.connect_timeout)
            after = time.time()
        there = parsedate_to_datetime(stamp)
    except (httpx2.HTTPError, RunwareError, TypeError, ValueError):
        return Finding("clock", f"{_now()}; the server sends no Date header")
    skew = (before + after) / 2 - there.timestamp() - 0.5  # the header has no fraction of a second
    value = f"{_now()}; within a few seconds of the server's" if abs(skew) < 5 else f"{_now()}; {skew:+.0f} s off"
    return Finding("clock", value, "Set this machine's clock." if abs(skew) > _MAX_CLOCK_SKEW else "")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _sign_in(given: dict[str, Any]) -> Finding:
    rw = Runware(max_retries=0, **given)
    try:
        taken = _time(rw.connect)
        answered = _time(lambda: rw.model_search(limit=1))
    except AuthenticationError as error:
        return Finding("sign-in", error.message, "Check the key at https://my.runware.ai.", 3)
    except ConnectionFailedError as error:
        return Finding("sign-in", error.message, _ADVICE.get(error.stage, _ADVICE["authentication"]), 4)
    except RunwareError as error:
        return Finding("sign-in", error.message, "The key was accepted, but a request failed.", 1)
    finally:
        rw.close()
    return Finding("sign-in", f"{1000 * taken:.1f} ms to connect; {1000 * answered:.1f} ms for a request")


def _time(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _port(options: Options) -> int:
    url = urlsplit(options.url)
    return url.port or (443 if url.scheme in ("wss", "https") else 80)
