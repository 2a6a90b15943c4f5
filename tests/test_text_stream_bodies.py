"""Bodies that are read past the HTTP library: however the bytes are cut, and when the library has to read them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

import httpcore2
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware.protocol.http_response import ResponseSyntaxError
from runware.text.bodies import AsyncBody, BlockingBody

SMALL = zlib.compress(b"abc")
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


class Network(httpcore2.NetworkStream):
    """A connection whose peer sends these parts, and reads everything."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = [part for part in parts if part]

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self.parts.pop(0) if self.parts else b""
        if len(data) > max_bytes:
            self.parts.insert(0, data[max_bytes:])
        return data[:max_bytes]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        pass

    def close(self) -> None:
        pass

    def get_extra_info(self, info: str) -> Any:
        return False


class AsyncNetwork(httpcore2.AsyncNetworkStream):
    def __init__(self, parts: list[bytes]) -> None:
        self.network = Network(parts)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.network.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def get_extra_info(self, info: str) -> Any:
        return False


URL = httpcore2.URL("http://localhost/")
REQUEST = httpcore2.Request("POST", URL, headers=[("Host", "localhost"), ("Content-Length", "0")])


def read_blocking(parts: list[bytes]) -> bytes:
    network = Network(parts)
    body = BlockingBody(network)
    response = httpcore2.HTTP11Connection(URL.origin, network).handle_request(REQUEST)
    stream: Any = response.stream
    body.begin(httpx2.Response(response.status, headers=response.headers, stream=Stream(stream)))
    return b"".join(iter(body.read, b""))


async def aread(parts: list[bytes]) -> bytes:
    network = AsyncNetwork(parts)
    body = AsyncBody(network)
    connection = httpcore2.AsyncHTTP11Connection(URL.origin, network)
    response = await connection.handle_async_request(REQUEST)
    stream: Any = response.stream
    body.begin(httpx2.Response(response.status, headers=response.headers, stream=AsyncStream(stream)))
    found = b""
    while part := await body.read():
        found += part
    return found


class Stream(httpx2.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __iter__(self) -> Any:
        return iter(self.stream)


class AsyncStream(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __aiter__(self) -> Any:
        return self.stream.__aiter__()


Read = Callable[[list[bytes]], bytes]
FORMS = [
    pytest.param(read_blocking, id="blocking"),
    pytest.param(lambda parts: asyncio.run(aread(parts)), id="asyncio"),
]


@given(st.lists(st.sampled_from([b"data: x\n\n", b"\r\n", b"0\r\n\r\n", b"a" * 300]), max_size=5), st.data())
def test_any_split_of_the_bytes_gives_the_same_body(contents: list[bytes], data: st.DataObject) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in contents)
    stream = b"HTTP/1.1 103 Hints\r\n\r\n" + HEAD + b"\r\n" + chunks + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read_blocking(parts) == b"".join(contents)


@pytest.mark.parametrize("read", FORMS)
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("stream", "body"),
    [
        (HEAD + b"\r\n5\r\nhello\r\n1\r\nx\r\n0\r\n\r\n", b"hellox"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\nabc", b"abc"),
        # These are left to the library.
        (b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", b"abc"),
        (HEAD + b"Content-Encoding: deflate\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(SMALL), SMALL), b"abc"),
    ],
)
def test_bodies_are_read_in_both_forms(read: Read, size: int, stream: bytes, body: bytes) -> None:
    assert read([stream[i : i + size] for i in range(0, len(stream), size)]) == body


@pytest.mark.parametrize("read", FORMS)
@pytest.mark.parametrize("rest", [b"5\r\nhel", b"5\r\nhello\r\n", b"zz\r\n", b""])
def test_body_that_breaks_off_or_is_malformed_is_an_error(read: Read, rest: bytes) -> None:
    with pytest.raises(ResponseSyntaxError):
        read([HEAD + b"\r\n", rest])
