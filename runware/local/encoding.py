"""Encode JSON as the API sends it: compact, with non-ASCII characters unescaped."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["encode_json"]

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
_SURROGATE = re.compile("[\ud800-\udfff]")


def encode_json(value: Any) -> str:
    """Encode a JSON value as text. Lone surrogates, which UTF-8 does not have, become escapes."""
    text = _encode(value)
    return text if text.isascii() else _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
