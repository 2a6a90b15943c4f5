"""Requests over one connection: what is written, what counts as sent, and which response is the answer."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware.options import DEFAULT_URL, Options
from runware.transport import http_line
from runware.transport.http_line import Answer, HttpLine, RequestError, TooLargeError
from runware.transport.stream import InputFirst, Stream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
FULL, FIRST, BROKEN, RESET = "full", "input first", "broken pipe", "reset"


class Network(Stream):
    """A stream that takes what its plan says in each call, and then everything."""

    def __init__(self, sock: socket.socket, plan: Sequence[int | str] = ()) -> None:
        super().__init__(sock)
        self.plan = list(plan)
        self.sends = 0
        self.written = b""

    def send(self, data: bytes | memoryview) -> int:
        self.sends += 1
        step = self.plan.pop(0) if self.plan else len(data)
        if step == FULL:
            raise BlockingIOError
        if step == FIRST:
            raise InputFirst
        if step == BROKEN:
            self.plan.append(BROKEN)
            raise BrokenPipeError("broken pipe")
        assert isinstance(step, int)
        self.written += data[:step]
        return min(step, len(data))


@contextlib.contextmanager
def connected(plan: Sequence[int | str] = (), answer: bytes = OK, url: str = DEFAULT_URL) -> Iterator[Line]:
    """Make a line whose connection is one end of a socket pair; the answer is there already."""
    near, far = socket.socketpair()
    with near, far:
        far.sendall(answer)
        far.shutdown(socket.SHUT_WR)
        network = Network(near, plan)
        line = Line(Options(api_key="rw-test-key", url=url), 1000, lambda _: None)
        line.network = network
        line.connection = http_line._Connection(network)
        yield line


class Line(HttpLine):
    """A line that is connected from the start."""

    network: Network
    connection: http_line._Connection

    def _connect(self) -> http_line._Connection:
        self._connection = self.connection
        return self.connection


def expected(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def test_request_is_one_write_with_all_headers() -> None:
    with connected() as line:
        assert line.post(b"[]", 5.0) == Answer(200, b"{}", None)
        assert line.network.sends == 1
        assert line._connection is line.connection
        head, _, rest = line.network.written.partition(b"Content-Length")
    assert head.startswith(b"POST /v1 HTTP/1.1\r\nHost: api.runware.ai\r\n")
    assert b"\r\nAuthorization: Bearer rw-test-key\r\n" in head
    assert b"Content-Length" + rest == expected(b"[]")


def test_url_is_quoted_as_a_request_line_needs_it() -> None:
    with connected(url="wss://example.com/a b/é%20{}") as line:
        line.post(b"[]", 5.0)
        assert line.network.written.startswith(b"POST /a%20b/%C3%A9%20%7B%7D HTTP/1.1\r\n")


@given(
    st.lists(st.one_of(st.integers(0, 100), st.sampled_from([FULL, FIRST])), max_size=30),
    st.sampled_from([0, 2, 64 * 1024 - 1, 64 * 1024, 200_000]),
)
def test_request_arrives_whole_however_the_network_takes_it(plan: list[int | str], size: int) -> None:
    body = b"x" * size
    # The response is there already: what TLS has to read first is put back.
    with connected(plan) as line:
        assert line.post(body, 5.0).body == b"{}"
        written = line.network.written
    assert written[written.index(b"Content-Length") :] == expected(body)


def test_answer_counts_although_the_request_could_not_be_written() -> None:
    with connected([10, BROKEN], b"HTTP/1.1 413 Too Large\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n") as line:
        assert line.post(b"[]", 5.0) == Answer(413, b"", 3.0)
        assert line._connection is None  # no further request may follow the half of one


@pytest.mark.parametrize("body", [b"[]", b"x" * 100_000])
@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("answer", [b"", OK[:-1], b"SSH-2.0\r\n\r\n"])
def test_request_without_an_answer_was_sent_if_its_last_byte_was(body: bytes, left: int, answer: bytes) -> None:
    with connected() as line:
        line.post(body, 5.0)
        size = len(line.network.written)
    first = min(size, size - len(body) + 64 * 1024)  # the rest of the body is a second write
    plan = [first - left, BROKEN] if first == size else [first, size - first - left, BROKEN]
    with connected(plan if left else [], answer) as line, pytest.raises(RequestError) as failure:
        line.post(body, 5.0)
    assert failure.value.sent is not bool(left)
    assert not failure.value.permanent


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"])
def test_server_that_takes_no_output_is_given_up_unless_it_has_answered(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_line, "_SLOWEST_WRITE", 0.01)
    near, far = socket.socketpair()
    with near, far:
        line = Line(Options(api_key="rw-test-key", url=DEFAULT_URL), 1000, lambda _: None)
        line.connection = http_line._Connection(Network(near, [10, *[FULL] * 1000]))
        with contextlib.suppress(BlockingIOError):
            while near.send(b"x" * 65_536):
                pass
        far.sendall(answer)
        if answer:
            assert line.post(b"[]", 5.0).status == 413
            assert line._connection is None
            return
        with pytest.raises(RequestError, match="timed out") as failure:
            line.post(b"[]", 5.0)
    assert not failure.value.sent


def test_silent_server_is_given_up_after_the_request_was_sent() -> None:
    near, far = socket.socketpair()
    with near, far:
        line = Line(Options(api_key="rw-test-key", url=DEFAULT_URL), 1000, lambda _: None)
        line.connection = http_line._Connection(Network(near))
        with pytest.raises(RequestError, match="timed out") as failure:
            line.post(b"[]", 0.01)
    assert failure.value.sent


def test_response_above_the_limit_is_refused() -> None:
    with connected(answer=b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001) as line, pytest.raises(TooLargeError):
        line.post(b"[]", 5.0)


@pytest.mark.parametrize(
    ("head", "wait"),
    [
        (b"Retry-After: 7", 7.0),
        (b"retry-after: Wed, 21 Oct 2015 07:28:10 GMT\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT", 10.0),
        (b"Retry-After: soon", None),
        (b"Date: Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_wait_that_the_server_asks_for_is_by_its_own_clock(head: bytes, wait: float | None) -> None:
    with connected(answer=b"HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n" + head + b"\r\n\r\n") as line:
        assert line.post(b"[]", 5.0).retry_after == wait
