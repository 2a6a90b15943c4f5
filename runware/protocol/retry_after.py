"""The header `Retry-After`, which every HTTP service of the API may send."""

from __future__ import annotations

import math
from datetime import UTC
from typing import TYPE_CHECKING

from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    import email.utils as email_utils
else:
    email_utils = lazy_module("email.utils")

__all__ = ["LONGEST_RETRY_AFTER", "parse_http_date", "parse_retry_after"]

LONGEST_RETRY_AFTER = 60.0
"""The most seconds that a server may ask to wait before another attempt."""


def parse_retry_after(value: str, now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks for.

    Args:
        value: The header: seconds or a date; `""` if there is none.
        now: The time in seconds since 1970, by the clock that made the date.

    Returns:
        The seconds, 0.0 for a date that has passed; `None` if there is no header, or it is not understood.
    """
    try:
        seconds = float(value)
    except ValueError:
        then = parse_http_date(value)
        seconds = math.nan if then is None else then - now
    return max(0.0, seconds) if math.isfinite(seconds) else None


def parse_http_date(value: str) -> float | None:
    """Return a date of HTTP in seconds since 1970, UTC unless it names another zone; `None` if it is not one."""
    try:
        date = email_utils.parsedate_to_datetime(value)
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
