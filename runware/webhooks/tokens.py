"""Sign the URLs of webhooks, and check them. Runware signs nothing itself, so the token is in the URL's query."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus, unquote_to_bytes, urlencode, urlsplit

from runware.errors import ConfigurationError, WebhookTokenError

__all__ = ["Secret", "secrets_of", "sign", "verify"]

Secret = str | bytes | Sequence[str | bytes]

_NAME = "runware_token"
_SHORTEST = 16
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def sign(url: str, secret: Secret, *, expires_in: float | None = 86_400.0) -> str:
    """Return a URL for `webhook_url` with a token in its query, which `verify` and `WebhookReceiver` accept.

    The token covers the path and the query, not the scheme and host, which proxies may change. Parameters keep their
    order, and the fragment its place. An older token is replaced, and characters outside ASCII are percent-encoded.

    Args:
        url: The public URL of the webhook.
        secret: The secret, at least 16 characters or bytes. Of several, the first one signs.
        expires_in: Seconds for which the token is valid; a day by default. It has to cover the task and the retries of
            the delivery. `None` makes a token that does not expire.

    Raises:
        ConfigurationError: The URL, the secret or the time is invalid; `parameter` names it.
    """
    _check_url(url)
    if expires_in is None:
        expiry = "0"
    elif type(expires_in) in (int, float) and math.isfinite(expires_in) and expires_in > 0:
        expiry = str(math.ceil(time.time() + expires_in))
    else:
        raise ConfigurationError(
            f"expires_in must be a number of seconds above 0, or None for a token that does not expire; got "
            f"{expires_in!r}.",
            parameter="expires_in",
        )
    base, mark, fragment = _ascii(url).partition("#")
    address, _, query = base.partition("?")
    kept, _ = _split_query(query)
    token = f"{_NAME}={expiry}.{_signature(secrets_of(secret)[0], urlsplit(base).path, kept, expiry)}"
    return f"{address}?{'&'.join([*kept, token])}{mark}{fragment}"


def verify(url: str, secret: Secret) -> None:
    """Check the token in the URL of a webhook. The comparison takes the same time for every token.

    Args:
        url: The URL of the request; the path and the query are enough. Each may be percent-encoded differently than it
            was when it was signed.
        secret: The secret. Of several, any may have signed, so that a new one can be put before the old one.

    Raises:
        WebhookTokenError: The token is missing, changed or expired; `reason` says which.
        ConfigurationError: The secret is invalid.
    """
    known = secrets_of(secret)
    base = url.partition("#")[0]
    _, _, query = base.partition("?")
    kept, tokens = _split_query(query)
    if not tokens:
        raise WebhookTokenError(f"The URL has no {_NAME}, so it was not made by sign().", reason="missing")
    expiry, _, signature = tokens[0].partition(".")
    given = signature.encode("utf-8", "replace")
    try:
        path = _path_of(base)
        matches = [hmac.compare_digest(given, _signature(one, path, kept, expiry).encode()) for one in known]
    except ValueError:  # it holds what no URL can hold
        matches = []
    if len(tokens) > 1 or not any(matches):
        raise WebhookTokenError(
            f"The {_NAME} does not fit the URL: one of them was changed, or another secret signed it. If a proxy "
            "changes the path, give the receiver the public one as path.",
            reason="changed",
        )
    if expiry != "0" and int(expiry) < time.time():
        raise WebhookTokenError(f"The {_NAME} of the URL has expired.", reason="expired")


def secrets_of(secret: Secret) -> list[bytes]:
    """Return the secrets as bytes.

    Raises:
        ConfigurationError: There is none, or one is no text or too short.
    """
    given: Any = [secret] if isinstance(secret, (str, bytes)) else secret
    if not isinstance(given, Sequence) or not given or not all(isinstance(one, (str, bytes)) for one in given):
        raise ConfigurationError("secret must be a str or bytes, or a list of them.", parameter="secret")
    found = [one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one for one in given]
    if min(map(len, found)) < _SHORTEST:
        raise ConfigurationError(
            f"secret must have at least {_SHORTEST} characters; secrets.token_urlsafe(32) makes one.",
            parameter="secret",
        )
    return found


def _check_url(url: object) -> None:
    try:
        parts = urlsplit(url) if isinstance(url, str) and url.isprintable() and " " not in url else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        # Not shown: its query may hold a secret.
        raise ConfigurationError(
            "url must be the public URL of the webhook, such as https://example.com/hook/.", parameter="url"
        )


def _ascii(url: str) -> str:
    """Encode what HTTP cannot send in a path and a query, as any client would, so that it arrives as it was signed."""
    start = len(urlsplit(url).netloc) + url.index("//") + 2
    return url[:start] + quote(url[start:], safe=_ASCII)


def _path_of(base: str) -> str:
    """Return the path of a URL, or of a path with a query. A path may begin with two slashes."""
    address = base.partition("?")[0]
    return address if address.startswith("/") else urlsplit(address).path


def _split_query(query: str) -> tuple[list[str], list[str]]:
    """Return the parameters of a query without the tokens, as they are, and the tokens."""
    parts = [(pair, *pair.partition("=")[::2]) for pair in (query.split("&") if query else ())]
    kept = [pair for pair, name, _ in parts if unquote_plus(name) != _NAME]
    return kept, [unquote_plus(value) for _, name, value in parts if unquote_plus(name) == _NAME]


def _signature(secret: bytes, path: str, kept: list[str], expiry: str) -> str:
    # Decoded and encoded again, because servers and proxies write the same URL in different ways.
    pairs = parse_qsl("&".join(kept), keep_blank_values=True, errors="surrogateescape")
    query = urlencode(pairs, errors="surrogateescape")
    message = b"\n".join((b"runware-webhook", expiry.encode(), query.encode(), unquote_to_bytes(path) or b"/"))
    return base64.urlsafe_b64encode(hmac.digest(secret, message, hashlib.sha256)).decode().rstrip("=")
