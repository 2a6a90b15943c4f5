"""Remove the client's secrets, and media, from the server's errors.

A server, or a gateway before it, may echo the key or the message that it rejects. Only errors are cleaned; the data
of results stay as they came.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from runware._support.http_headers import encode_headers, secret_values
from runware.errors import RunwareError
from runware.options import Options, environment_proxy, split_proxy

__all__ = ["REDACTED", "Redactor", "secrets_of"]

T = TypeVar("T")
Item = dict[str, Any]

REDACTED = "<redacted>"
_REMEMBERED = 8
"""The most secrets kept at the same time: a function as `api_key` may return a new one for each connection."""
_SHORTEST = 6
"""The length of the shortest secret. A test's key that is shorter would match ordinary words."""
_PIECE = 8
"""The consecutive characters of a secret that are redacted; a server's own mask (`rw-7f...w0v5`) shows fewer."""

_LONGEST = 4096
_EXAMINED = 65_536
_DEEPEST = 32
_PLAIN = 16
"""The length below which a text can be neither a data URI nor relevant base64."""
_FAILED = ("error", "failed")
_DATA_URI = re.compile(r"(?i)data:[\w.+-]{1,100}/[\w.+-]{1,100}[;,][^\s\"'<>]*")
# Base64 of either alphabet, with its escapes. URLs have long parts as well, and are kept.
_BULK = re.compile(r"https?://[^\s\"'<>]{1,2048}|[A-Za-z0-9+/=_\\%-]{65,}")


def secrets_of(options: Options) -> list[str]:
    """Return the secrets among the options: the key, unless it comes from a function, the proxy's password, headers."""
    found = [options.api_key] if isinstance(options.api_key, str) else []
    found += secret_values(encode_headers(options.extra_headers))
    proxy = split_proxy(options.proxy, "proxy") if options.proxy else None
    if options.proxy is None:
        proxy = environment_proxy(options.environment)
    if proxy is not None and proxy.password:
        found.append(unquote(proxy.password))
    return found


class Redactor:
    """Replaces the secrets of one client, whole or in pieces, also in base64, hexadecimal digits and URLs.

    Not safe for several threads at once, except that one may read while another adds.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lasting: list[str] = []
        self._secrets: list[str] = []
        self._forms: dict[str, int] = {}
        self._probes: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None
        self.add(*secrets, lasting=True)

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._lasting) + len(self._secrets)} secrets>"

    def add(self, *secrets: str, lasting: bool = False) -> None:
        """Add secrets.

        Args:
            secrets: The secrets.
            lasting: Whether to keep them for good. Of the others, only the newest are kept.
        """
        known = self._lasting + self._secrets
        new = [secret for secret in secrets if secret not in known and len(secret) >= _SHORTEST]
        if not new:
            return
        if lasting:
            self._lasting = [*self._lasting, *new]
        else:
            self._secrets = [*self._secrets, *new][-_REMEMBERED:]
        forms = {form: size for secret in self._lasting + self._secrets for form, size in _forms(secret)}
        # A piece of `size` characters contains one of these probes, wherever it was cut. Searching for them first takes
        # a microsecond for a text without a secret, and nearly all texts have none.
        self._forms, self._pattern = forms, None
        probes = {
            form[at : at + half].lower()
            for form, size in forms.items()
            for half in (size if len(form) == size else (size + 1) // 2,)
            for at in range(0, len(form) - half + 1, half)
        }
        self._probes = tuple(sorted(probes))

    def hide(self, text: str) -> str:
        """Replace every secret, and every piece of one, in a text."""
        if not self._may_hold_one(text):
            return text
        if self._pattern is None:  # compiled when it is first needed, because that takes milliseconds
            pieces = {form[at : at + size] for form, size in self._forms.items() for at in range(len(form) - size + 1)}
            self._pattern = re.compile("(?=(" + "|".join(map(re.escape, sorted(pieces))) + "))", re.IGNORECASE)
        parts: list[str] = []
        end = 0
        for found in self._pattern.finditer(text):
            if not parts or found.start() > end:
                parts += (text[end : found.start()], REDACTED)
            end = max(end, found.end(1))
        return "".join((*parts, text[end:]))

    def clean(self, value: T) -> T:
        """Return an error object of the server without secrets, base64 and data URIs, and with shortened texts."""
        texts: list[str] = []
        if _gather(value, texts, _DEEPEST) and not self._may_hold_one("\n".join(texts)):
            return value  # the usual case, in a tenth of the time
        cleaned: T = self._clean(value, self._shortened, _DEEPEST)
        return cleaned

    def clean_frame(self, items: list[Item], errors: list[Item]) -> list[Item]:
        """Return the errors of one message cleaned, and clean those among its items in place.

        Args:
            items: The items of the message.
            errors: The errors beside them.
        """
        for item in items:
            self._clean_item(item)
            if "response" in item:  # getTaskDetails: a task's request and response
                if "request" in item:
                    item["request"] = self._clean(item["request"], self.hide, 10 * _DEEPEST)
                for part in _objects(item["response"]):
                    for name in ("error", "errors"):
                        if name in part:
                            part[name] = self.clean(part[name])
                    for one in _objects(part.get("data")):
                        self._clean_item(one)
        return self.clean(errors) if errors else errors

    def _clean_item(self, item: Item) -> None:
        """Clean an item of a failed result, with or without an error object."""
        status = item.get("status")
        if status in _FAILED or ("error" in item and status != "success"):
            for name, value in item.items():
                item[name] = self.clean(value)

    def clean_error(self, error: RunwareError) -> None:
        """Remove secrets from the message of an error that was raised while connecting."""
        hidden = self.hide(error.message)
        if hidden != error.message:
            error.message = hidden
            error.args = (hidden,)

    def _may_hold_one(self, text: str) -> bool:
        lowered = text.lower()
        for probe in self._probes:  # noqa: SIM110 - a generator takes twice as long
            if probe in lowered:
                return True
        return False

    def _shortened(self, text: str) -> str:
        return self.hide(text if len(text) < _PLAIN else _shortened(text))

    def _clean(self, value: Any, clean_text: Callable[[str], str], levels: int) -> Any:
        if isinstance(value, str):
            return clean_text(value)
        if isinstance(value, (dict, list)) and not levels:
            return f"<{type(value).__name__} nested too deeply>"
        if isinstance(value, dict):
            return {self.hide(name): self._clean(one, clean_text, levels - 1) for name, one in value.items()}
        return [self._clean(one, clean_text, levels - 1) for one in value] if isinstance(value, list) else value


def _objects(value: object) -> list[Item]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _gather(value: object, texts: list[str], levels: int) -> bool:
    """Collect the texts of an object; return whether that is complete, and no text has to be shortened."""
    if isinstance(value, str):
        texts.append(value)
        long = len(value) >= _PLAIN
        return not long or (len(value) <= _LONGEST and not _DATA_URI.search(value) and not _BULK.search(value))
    if isinstance(value, (dict, list)):
        if not levels:
            return False
        if isinstance(value, dict):
            texts += value
        for part in value.values() if isinstance(value, dict) else value:
            if not _gather(part, texts, levels - 1):
                return False
    return True


def _shortened(text: str) -> str:
    length = len(text)
    text = _DATA_URI.sub(lambda found: f"<data URI of length {len(found[0])}>", text[:_EXAMINED])
    text = _BULK.sub(lambda found: found[0] if found[0][:4] == "http" else f"<base64 of length {len(found[0])}>", text)
    if length > _EXAMINED or len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... ({length} characters)"
    return text


def _forms(secret: str) -> list[tuple[str, int]]:
    """Return the forms in which a secret may be echoed, each with the length of the pieces to redact."""
    data = secret.encode("utf-8", "surrogatepass")
    forms = [(secret, min(len(secret), _PIECE)), (data.hex(), 2 * min(len(data), _PIECE))]
    if (quoted := quote(secret, safe="", errors="replace")) != secret:
        forms.append((quoted, _PIECE))
    for shift in range(3):  # the position in the encoded data decides which bits share a letter
        encoded = base64.b64encode(bytes(shift) + data).decode()
        whole = encoded[-(-shift * 4 // 3) : len(encoded) - (0, 3, 2)[(len(data) + shift) % 3]]
        size = min(len(whole), 12)
        forms += [(whole, size), (whole.replace("+", "-").replace("/", "_"), size)]
    return [(form, size) for form, size in forms if size >= _SHORTEST]
