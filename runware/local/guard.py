"""Refuse requests that a web page of somebody else makes a browser send.

Any page can open a WebSocket to this machine, or POST to it; the browser then names the page in `Origin`. A page whose
own name resolves to this machine (DNS rebinding) is of the same origin, but the browser names it in `Host`. Programs
send no `Origin`, and the name that they connect to in `Host`.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from runware.local.couriers import is_loopback

__all__ = ["refusal"]

_PORTS = {"http": 80, "https": 443}


def refusal(host: str | None, origin: str | None, allowed: Collection[str]) -> str | None:
    """Return why a request is refused; `None` if it is not.

    Args:
        host: Its `Host`, the name and perhaps the port that it was sent to.
        origin: Its `Origin`, the scheme, name and port of the page that made the browser send it.
        allowed: Further names, each with or without a port, that both may have.
    """
    if host is not None:
        name, port = _authority(host)
        if not (name is not None and (_is_local(name) or _matches(name, port, allowed))):
            return (
                "403: this server is for programs on its own machine, and the request's Host is another name. "
                "If it is yours, allow it: --allow-host NAME, or LocalServer(allowed_hosts=[NAME]).\n"
            )
    if origin is not None:
        scheme, separator, authority = origin.partition("://")
        name, port = _authority(authority) if separator else (None, None)
        default = _PORTS.get(scheme.lower())
        same = host is not None and name is not None and (name, port or default) == _with_default(host, default)
        if not same and not (name is not None and _matches(name, port or default, allowed)):
            return (
                "403: a web page of another origin made the browser send this request. If the page is yours, allow "
                "it: --allow-host NAME:PORT, or LocalServer(allowed_hosts=[NAME:PORT]).\n"
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
