"""The parser of server-sent events: every way to write them, and every way to cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware.text.sse import EventParser, EventTooLargeError


def parse(*chunks: bytes) -> list[str]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a":1}\n\n', ['{"a":1}']),
        (b'data:{"a":1}\n\n', ['{"a":1}']),
        (b"data:  two spaces\n\n", [" two spaces"]),
        (b"data: 1\r\n\r\ndata: 2\r\n\r\n", ["1", "2"]),
        (b"data: 1\r\rdata: 2\r\r", ["1", "2"]),
        (b"data: 1\n\r\n\rdata: 2\n\n", ["1", "2"]),
        (b"data: 1\ndata: 2\n\n", ["1\n2"]),
        (b": ping\n\n:\n\ndata: 1\n\n", ["1"]),
        (b"event: x\nid: 7\nretry: 100\ndata: 1\n\n", ["1"]),
        (b"database: 1\nDATA: 2\n\ndata: 3\n\n", ["3"]),
        (b"data\n\n", [""]),
        (b"data: \n\n", [""]),
        (b"\n\n\n", []),
        (b"\xef\xbb\xbfdata: 1\n\n", ["1"]),
        ("data: ☃ é\n\n".encode(), ["☃ é"]),
        (b"data: \xff\n\n", ["\ufffd"]),
        # Line separators of Unicode are part of the data.
        ("data: a\u2028b\x0bc\u0085d\n\n".encode(), ["a\u2028b\x0bc\u0085d"]),
        # The input may end within an event.
        (b"data: 1\n\ndata: [DONE]", ["1", "[DONE]"]),
        (b"data: 1\n", ["1"]),
        (b"data: 1", ["1"]),
        (b": pin", []),
        (b"", []),
    ],
)
def test_events_are_parsed_however_they_are_written_and_cut(stream: bytes, events: list[str]) -> None:
    assert parse(stream) == events
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == events


@given(
    st.lists(
        st.sampled_from(
            [
                b"data: ",
                b"data:",
                b"data",
                b"\r",
                b"\n",
                b"\r\n",
                b"\n\n",
                b": ping",
                b"x",
                " ☃".encode(),
                b"\xef\xbb\xbf",
            ]
        )
    ),
    st.data(),
)
def test_any_split_of_the_bytes_gives_the_same_events(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert parse(*chunks) == parse(stream)


def test_events_come_as_soon_as_they_are_complete() -> None:
    parser = EventParser()
    assert parser.feed(b"data: 1\n") == []
    assert parser.feed(b"\n") == ["1"]
    assert parser.feed(b"data: 2\r\n\r") == ["2"]
    assert parser.feed(b"\ndata: 3\r\r") == ["3"]


@pytest.mark.parametrize(
    "piece", [b"data: " + b"x" * 60, b"data: " + b"x" * 60 + b"\n", b":" + b"x" * 60, b"data\n" * 60]
)
def test_events_without_an_end_are_refused_at_the_limit(piece: bytes) -> None:
    parser = EventParser(max_event=100)
    with pytest.raises(EventTooLargeError):
        for _ in range(3):
            parser.feed(piece)


def test_many_events_within_the_limit_are_not_too_large() -> None:
    parser = EventParser(max_event=100)
    for _ in range(50):
        assert parser.feed(b"data: " + b"x" * 40) == []
        assert parser.feed(b"y" * 40 + b"\n\n") == ["x" * 40 + "y" * 40]
        assert parser.feed(b": ping " * 4) == []
        assert parser.feed(b"\n") == []
