"""The parser of HTTP responses: every way to write them, to cut them, and to get them wrong."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware.protocol.http_response import ResponseParser, ResponseSyntaxError

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def parse(*parts: bytes) -> tuple[ResponseParser, bytes]:
    parser = ResponseParser()
    return parser, b"".join(parser.feed(part) for part in parts)


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(cuts)
    return [stream[start:end] for start, end in zip([0, *ends], [*ends, len(stream)], strict=True)]


def by_h11(stream: bytes) -> tuple[int, bytes]:
    """Return the status and the body, as another parser finds them."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(stream)
    status, body = 0, b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
    return status, body


@pytest.mark.parametrize(
    ("stream", "status", "body", "reusable"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", True),
        (OK + b"content-LENGTH:\t5 \r\n\r\nhello", 200, b"hello", True),
        (OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True),
        (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True),
        (b"HTTP/1.1 429 \r\nContent-Length: 1\r\n\r\nx", 429, b"x", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + CHUNKED + b"0\r\n\r\n", 200, b"", True),
        (OK + b"X: a\r\n b\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True),
        (CHUNKED + b"5\r\nhello\r\n6;name=value\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", 200, b"hello\r\n\r\n\r\n", True),
        (CHUNKED + b"00A\r\n0123456789\r\n1 \r\nx\r\n000\r\nTrailer: 1\r\nMore: 2\r\n\r\n", 200, b"0123456789x", True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, b"", True),
        # What makes the connection useless for another request.
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, b"", False),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204, b"", False),
        (OK + b"Connection: Close\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False),
        (OK + b"Connection: x, close\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False),
        (OK + b"Content-Length: 1\r\n\r\nxHTTP/1.1 400 Bad Request\r\n", 200, b"x", False),
        (CHUNKED + b"1\r\nx\r\n0\r\n\r\nH", 200, b"x", False),
        (OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200, b"x", False),
    ],
)
def test_responses_are_parsed_however_they_are_written_and_cut(
    stream: bytes, status: int, body: bytes, reusable: bool
) -> None:
    for parts in ([stream], [stream[i : i + 1] for i in range(len(stream))]):
        parser, found = parse(*parts)
        assert (parser.status, found, parser.complete, parser.reusable) == (status, body, True, reusable)
        parser.close()


def test_body_without_a_length_ends_with_the_connection() -> None:
    parser, body = parse(OK + b"\r\nhel", b"lo")
    assert (body, parser.complete) == (b"hello", False)
    parser.close()
    assert (parser.complete, parser.reusable) == (True, False)


def test_headers_are_found_by_their_lower_case_names() -> None:
    parser, _ = parse(OK + b"Retry-After: 3\r\nX: 1\r\nx:2\r\nFolded: a\r\n\t b\r\n\r\n")
    assert parser.headers == {b"retry-after": b"3", b"x": b"1, 2", b"folded": b"a b"}


def test_surplus_that_comes_later_makes_the_connection_useless() -> None:
    parser, _ = parse(OK + b"Content-Length: 1\r\n\r\nx")
    assert parser.reusable
    assert parser.feed(b"y") == b""
    assert not parser.reusable


@pytest.mark.parametrize(
    "stream",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b": no name\r\n\r\n",
        OK + b"space : x\r\n\r\n",
        OK + b"A: b\nContent-Length: 9\r\n\r\n",
        OK + b"Content-Length: 0\r\nA\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 0\r\nA: b\rTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 0\r\nA b: c\r\n\r\n",
        OK + b"Content-Length: 0\r\nConnect\0on: close\r\n\r\n",
        OK + b"Content-Length: 0\r\nConnection: \0close\r\n\r\n",
        b"HTTP/1.1 200 OK\rContent-Length: 9\r\nContent-Length: 0\r\n\r\n",
        OK + b"Content-Length: x\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: +1\r\n\r\n",
        OK + b"Content-Length: 1_0\r\n\r\n",
        OK + b"Content-Length: \r\n\r\n",
        OK + b"Content-Length: 1, 2\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"X: " + b"x" * 70_000,
        OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"-1\r\nx",
        CHUNKED + b"0x1\r\nx",
        CHUNKED + b"1_0\r\nx",
        CHUNKED + b"1\nx",
        CHUNKED + b"1\r\nxy\r\n",
        CHUNKED + b"1\r\nx\n1\r\n",
        CHUNKED + b"f" * 40 + b"\r\n",
        CHUNKED + b"1;" + b"x" * 5000,
        CHUNKED + b"0\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_no_response_is_refused(stream: bytes) -> None:
    for size in (len(stream), 7, 1 if len(stream) < 200 else 777):
        with pytest.raises(ResponseSyntaxError):
            parse(*(stream[i : i + size] for i in range(0, len(stream), size)))


@pytest.mark.parametrize(
    "stream", [OK + b"Content-Length: 5\r\n\r\nhello", CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n"]
)
def test_response_that_breaks_off_anywhere_is_incomplete(stream: bytes) -> None:
    for end in range(len(stream)):
        parser, body = parse(stream[:end])
        assert b"hello".startswith(body)
        with pytest.raises(ResponseSyntaxError, match="closed the connection"):
            parser.close()


@given(
    st.lists(st.sampled_from([b"\r\n", b"0\r\n\r\n", b"\n", b"data: x\n\n", b"1\r\n", b"a" * 300, b""])),
    st.booleans(),
    st.data(),
)
def test_any_split_of_the_bytes_gives_the_same_body(contents: list[bytes], chunked: bool, data: st.DataObject) -> None:
    body = b"".join(contents)
    if chunked:
        extension = data.draw(st.sampled_from([b"", b";x", b';x="y"']))
        chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(one), extension, one) for one in contents if one)
        stream = CHUNKED + chunks + data.draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n"]))
    else:
        stream = OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    parser, found = parse(*cut(stream, data.draw(st.lists(st.integers(0, len(stream)), max_size=8))))
    assert (found, parser.complete, parser.reusable) == (body, True, True)
    assert by_h11(stream) == (200, body)


@given(st.lists(st.sampled_from([OK, CHUNKED, b"\r\n", b"1", b"0", b"f", b";", b"a", b"\r", b"\n", b" "])), st.data())
def test_any_split_of_any_bytes_gives_the_same_verdict(parts: list[bytes], data: st.DataObject) -> None:
    def verdict(*given: bytes) -> object:
        try:
            parser, body = parse(*given)
        except ResponseSyntaxError:
            return "refused"
        return parser.status, parser.headers, body, parser.complete, parser.reusable

    stream = b"".join(parts)
    assert verdict(*cut(stream, data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))) == verdict(stream)
