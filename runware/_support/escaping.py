"""Make untrusted text safe to print: no control characters, no forged lines, a bounded length."""

from __future__ import annotations

import re

__all__ = ["escape_controls", "escape_json", "one_line", "plain_word"]

# C0, DEL and C1 (among them ESC and CSI), the bidirectional marks, the separators that some log
# viewers treat as line ends, and lone surrogates, which cannot be encoded.
_UNSAFE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROLS = re.compile(f"[{_UNSAFE}]")
_BREAKS = re.compile(f"[{_UNSAFE}\t\n]")
_WORD = re.compile(r"[\w.:@/+-]{1,100}", re.ASCII)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def escape_controls(text: str) -> str:
    """Escape control characters, except line feeds and tabs. Replace CRLF by a line feed."""
    return text if text.isprintable() else _CONTROLS.sub(_escape, text.replace("\r\n", "\n"))


def one_line(value: object, limit: int | None = 1000) -> str:
    """Escape line breaks and control characters, and truncate the text to *limit* characters."""
    text = str(value)
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]}... ({len(text)} characters)"
    return text if text.isprintable() else _BREAKS.sub(_escape, text)


def escape_json(text: str) -> str:
    """Escape the control characters that JSON allows unescaped but a terminal interprets."""
    return text if text.isprintable() else _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain_word(value: object) -> str:
    """Return a code, task type or UUID from the server unchanged, for a log; of any other text, only the length.

    Text that is not a single word may contain a prompt.
    """
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else f"<str of length {len(value)}>"
    return f"<{type(value).__name__}>"
