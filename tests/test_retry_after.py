"""Reading of the header `Retry-After`."""

from __future__ import annotations

import pytest

from runware.protocol.retry_after import parse_http_date, parse_retry_after

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        (" 0.5 ", 0.5),
        ("-1", 0.0),
        ("9999", 9999.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 09:28:30 +0200", 30.0),
        ("Wed, 21 Oct 2015 07:28:30", 30.0),  # without a zone it is UTC, wherever the client runs
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Fri, 01 Jan 99999999999999999999 00:00:00 GMT", None),
    ],
)
def test_header_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW) == seconds


def test_date_that_is_none_is_not_read() -> None:
    assert parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT") == NOW
    assert parse_http_date("yesterday") is None
