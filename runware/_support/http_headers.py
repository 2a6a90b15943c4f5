"""Headers that callers add to requests over HTTP: which ones are accepted, and which hold secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["Headers", "encode_headers", "header_problem", "secret_values"]

Headers = tuple[tuple[bytes, bytes], ...]
"""Names and values, as they are sent."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110."""
_RESERVED = {
    "authorization": "the client sends the key itself; pass api_key=",
    "user-agent": "pass app= when you create the client",
    "x-runware-dry-run": "pass dry_run=",
}
_OF_CONNECTION = frozenset(
    (
        *("accept", "accept-encoding", "cache-control", "connection", "content-encoding", "content-length"),
        *("content-type", "expect", "host", "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding"),
        "upgrade",
    )
)
_SECRET = re.compile(r"auth|bearer|cookie|credential|jwt|key|pass|secret|session|sign|token", re.IGNORECASE)


def header_problem(headers: object) -> str:
    """Return what is wrong with headers, without their values, or `""`."""
    if not isinstance(headers, Mapping):
        return f"must be a dict of header names and values; got {type(headers).__name__}"
    seen: set[object] = set()
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            return "must be a dict whose names and values are str"
        if name.lower() in seen:
            return f"has {name[:40]!r} twice"
        seen.add(name.lower())
        if wrong := _problem_of(name, value):
            return wrong
    return ""


def _problem_of(name: str, value: str) -> str:
    folded = name.lower()
    if not _NAME.fullmatch(name):
        return f"has {name[:40]!r}, which is no name of a header"
    if folded in _RESERVED:
        return f"must not contain {name}: {_RESERVED[folded]}"
    if folded in _OF_CONNECTION or folded.startswith("proxy-"):
        return f"must not contain {name}, which the client sets for each request"
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        return f"has a value of {name} that is not printable ASCII, or is surrounded by spaces"
    return ""


def encode_headers(*given: Mapping[str, str] | None) -> Headers:
    """Return headers as they are sent. Of a name that is there more than once, in any case, the last one counts."""
    found: dict[str, tuple[bytes, bytes]] = {}
    for headers in given:
        for name, value in (headers or {}).items():
            found[name.lower()] = (name.encode(), value.encode())
    return tuple(found.values())


def secret_values(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """Return the values of headers whose names say that they are secret.

    Other values are left alone: a trace ID or the UUID of a task must stay readable where a server repeats it.
    """
    return [
        value.decode()
        for name, value in headers
        if _SECRET.search(name.decode()) and name.lower() != b"idempotency-key"
    ]
