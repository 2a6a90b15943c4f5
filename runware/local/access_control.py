"""Deny requests that a foreign web page makes a browser send.

Any page can open a WebSocket to this machine, or POST to it; the browser then names the page in `Origin`. A page whose
own name resolves to this machine (DNS rebinding) has the same origin as the server, but the browser sends its name in
`Host`. Programs send no `Origin`, and in `Host` the name that they connect to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

__all__ = ["denial_reason", "is_loopback"]

_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str | None) -> bool:
    """Return whether a host name or IP address is one of this machine's loopback addresses."""
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def denial_reason(host: str | None, origin: str | None, allowed: Collection[str]) -> str | None:
    """Return the message that denies a request, or `None` if the request is allowed.

    Args:
        host: Its `Host` header: the name, and usually the port, that it was sent to.
        origin: Its `Origin` header: the scheme, name and port of the page that made the browser send it.
        allowed: Further names, each with or without a port, that are accepted in both headers.
    """
    if host is not None:
        name, port = _authority(host)
        if not (name is not None and (_is_local(name) or _matches(name, port, allowed))):
            return (
                "403: this server answers programs on its own machine only, and the Host header names another "
                "machine. If the name is yours, allow it: --allow-host NAME, or LocalServer(allowed_hosts=[NAME]).\n"
            )
    if origin is not None:
        scheme, separator, authority = origin.partition("://")
        name, port = _authority(authority) if separator else (None, None)
        default = _PORTS.get(scheme.lower())
        same = host is not None and name is not None and (name, port or default) == _with_default(host, default)
        if not same and not (name is not None and _matches(name, port or default, allowed)):
            return (
                "403: the Origin header names a web page of another origin. If the page is yours, allow it: "
                "--allow-host NAME:PORT, or LocalServer(allowed_hosts=[NAME:PORT]).\n"
            )
    return None


def _authority(text: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(f"//{text.strip()}")
        if parts.netloc != text.strip() or "@" in parts.netloc or not parts.hostname:
            return None, None
        return parts.hostname.rstrip("."), parts.port
    except ValueError:
        return None, None


def _with_default(host: str, default: int | None) -> tuple[str | None, int | None]:
    name, port = _authority(host)
    return name, port or default


def _is_local(name: str) -> bool:
    return is_loopback(name) or name.endswith(".localhost")


def _matches(name: str, port: int | None, allowed: Collection[str]) -> bool:
    return any(_authority(one.lower()) in ((name, port), (name, None)) for one in allowed)
