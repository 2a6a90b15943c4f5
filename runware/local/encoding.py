"""Encode JSON as the API sends it: compact, with non-ASCII characters unescaped."""

from __future__ import annotations

import json

__all__ = ["encode_json"]

encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
"""Encode a JSON value as text."""
