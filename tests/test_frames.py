"""Frames: bytes in, messages out, and the reverse, however the bytes are cut."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websocket import ABNF

from runware.protocol.frames import CLOSE, OVERSIZED, PING, PONG, TEXT, FrameError, FrameReader, FrameWriter, _Message

SIZES = [0, 1, 125, 126, 127, 4096, 4097, 32_767, 32_768, 32_769, 65_535, 65_536, 98_304, 200_000, 300_001]


def server_frame(payload: bytes, opcode: int = TEXT, fin: int = 1) -> bytes:
    """Return a frame as a server sends it, made by websocket-client."""
    return bytes(ABNF(fin, 0, 0, 0, opcode, 0, payload).format())


def read(data: bytes, cuts: list[int] | None = None, cap: int = 1 << 20) -> list[tuple[int, bytes]]:
    reader = FrameReader(cap)
    found: list[tuple[int, bytes]] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    for start, end in pairwise(edges):
        if piece := data[start:end]:
            found += ((opcode, bytes(payload)) for opcode, payload in reader.feed(piece))
    return found


def begun(reader: FrameReader) -> _Message:
    """Return the message that is not complete."""
    assert reader._message is not None
    return reader._message


def read_into(data: bytes, takes: list[int], cap: int = 1 << 20) -> list[tuple[int, bytes]]:
    """Read as the I/O loop does: into the space of a large frame while there is one."""
    reader = FrameReader(cap)
    found: list[tuple[int, bytes]] = []
    place = turn = 0
    while place < len(data):
        space, most = reader.space(), takes[turn % len(takes)]
        piece = data[place : place + (most if space is None else min(most, len(space)))]
        if space is None:
            found += ((opcode, bytes(payload)) for opcode, payload in reader.feed(piece))
        else:
            with space:
                space[: len(piece)] = piece
            found += ((opcode, bytes(payload)) for opcode, payload in reader.filled(len(piece)))
        place, turn = place + len(piece), turn + 1
    assert reader.unfinished == 0
    return found


@given(
    st.lists(
        st.tuples(st.sampled_from([TEXT, PING, CLOSE]), st.sampled_from([0, 3, 120, 131_072, 200_000])), max_size=6
    ),
    st.lists(st.sampled_from([1, 2, 9, 10, 5000, 65_536, 131_073, 300_000]), min_size=1, max_size=6).filter(
        lambda takes: max(takes) > 4000
    ),
    st.randoms(use_true_random=False),
)
def test_frames_received_into_their_space_are_those_that_are_fed(
    messages: list[tuple[int, int]], takes: list[int], rng: Random
) -> None:
    """Large frames, whole and as fragments with control frames in between."""
    data, expected = b"", []
    for opcode, size in messages:
        payload = rng.randbytes(size if opcode == TEXT else min(size, 120))
        expected.append((opcode, payload))
        if opcode == TEXT and rng.random() < 0.5:
            cut = rng.randrange(size + 1)
            expected.insert(-1, (PING, b"?"))
            data += server_frame(payload[:cut], TEXT, 0) + server_frame(b"?", PING) + server_frame(payload[cut:], 0)
        else:
            data += server_frame(payload, opcode)
    assert read_into(data, takes) == expected == read(data, list(range(0, len(data), takes[0] + 5000)))


def test_large_frame_is_not_copied_while_it_is_received() -> None:
    data = server_frame(bytes(4_000_000))
    reader = FrameReader(1 << 23)
    tracemalloc.start()
    try:
        assert list(reader.feed(data[:65_536])) == []
        while (space := reader.space()) is not None:
            with space:
                count = min(65_536, len(space))
                space[:count] = data[reader.unfinished + 10 :][:count]
            found = reader.filled(count)
        ((opcode, payload),) = found
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (opcode, payload) == (TEXT, bytes(4_000_000))
    assert peak < 2.1 * 4_000_000  # the frame, and the slice of this test


@pytest.mark.parametrize("step", [1, 1_000_000, 5_000_000, 12_000_000])
def test_huge_frame_is_received_in_a_buffer_that_grows(step: int) -> None:
    payload = Random(step).randbytes(12_000_000)
    data = server_frame(payload) + server_frame(b"next")
    if step > 1:
        assert read(data, list(range(0, len(data), step)), cap=1 << 24) == [(TEXT, payload), (TEXT, b"next")]
    takes = [10, step] if step > 1 else [10, 4_194_303, 1, 1, 4_000_000]
    assert read_into(data, takes, cap=1 << 24) == [(TEXT, payload), (TEXT, b"next")]


def test_buffer_that_is_still_viewed_grows_nevertheless() -> None:
    payload = Random(1).randbytes(5_000_000)
    reader = FrameReader(1 << 24)
    data = server_frame(payload)
    assert list(reader.feed(data[:50_000])) == []
    view = reader.space()
    assert [bytes(found) for _, found in reader.feed(data[50_000:])] == [payload]
    assert view is not None


def test_length_of_a_frame_alone_takes_little_memory() -> None:
    reader = FrameReader(1 << 28)
    tracemalloc.start()
    try:
        assert list(reader.feed(b"\x81\x7f" + (200_000_000).to_bytes(8, "big") + b"x")) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_buffer_of_a_large_message_is_used_again() -> None:
    reader = FrameReader(1 << 23)
    seen: set[int] = set()
    for size in (2_000_000, 2_000_000, 1_500_000, 2_500_000):
        for start in range(0, size + 10, 65_536):
            for _, payload in reader.feed(server_frame(b"x" * size)[start : start + 65_536]):
                assert payload == b"x" * size
                seen.add(id(payload))
    assert len(seen) == 1


def test_buffer_that_is_still_viewed_is_not_used_again() -> None:
    reader = FrameReader(1 << 20)
    ((_, first),) = [*reader.feed(server_frame(b"x" * 200_000)[:-1]), *reader.feed(b"x")]
    view = memoryview(first)
    for piece in (server_frame(b"y" * 200_001)[:-1], b"y"):
        assert [bytes(payload) for _, payload in reader.feed(piece)] == [b"y" * 200_001] * (len(piece) == 1)
    assert bytes(view) == b"x" * 200_000


def test_large_frame_that_is_out_of_place_raises() -> None:
    reader = FrameReader(1 << 20)
    assert list(reader.feed(server_frame(b"x" * 200_000, 0)[:150_000])) == []
    with pytest.raises(FrameError, match="out of place"):
        list(reader.feed(b"x" * 60_000))


@pytest.mark.parametrize("size", SIZES)
def test_every_length_encoding_is_read(size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert read(server_frame(payload) + server_frame(b"next")) == [(TEXT, payload), (TEXT, b"next")]


@given(
    st.lists(st.tuples(st.sampled_from([TEXT, PING, PONG, CLOSE]), st.binary(max_size=120)), max_size=6),
    st.lists(st.integers(0, 1000), max_size=30),
)
def test_messages_do_not_depend_on_how_bytes_are_cut(messages: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(server_frame(payload, opcode) for opcode, payload in messages)
    assert read(data, cuts) == messages
    assert read(data, list(range(len(data)))) == messages


def test_control_frames_between_fragments_are_read() -> None:
    data = server_frame(b"one ", TEXT, 0) + server_frame(b"?", PING) + server_frame(b"two", 0, 0)
    assert read(data + server_frame(b"", 0)) == [(PING, b"?"), (TEXT, b"one two")]


def test_many_fragments_are_counted_once_each() -> None:
    looks = 0

    class Fragments(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal looks
            looks += 1
            return super().__iter__()

    reader = FrameReader(1 << 20)
    for number in range(1000):
        assert list(reader.feed(server_frame(b"abcd", 0 if number else TEXT, 0))) == []
        if not number:
            begun(reader)._pieces = Fragments(begun(reader)._pieces)  # type: ignore[arg-type]
    assert list(reader.feed(server_frame(b"end", 0))) == [(TEXT, b"abcd" * 1000 + b"end")]
    assert looks <= 1
    # The size of the first message does not count against the second.
    half = server_frame(b"x" * 600_000, TEXT, 0) + server_frame(b"x", 0)
    assert [len(payload) for data in (half, half) for _, payload in reader.feed(data)] == [600_001] * 2


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1\x00",
        b"\x81\x80\x00\x00\x00\x00",
        b"\x83\x00",
        b"\x80\x00",
        b"\x09\x00",
        b"\x89\x7e\x00\x80" + b"x" * 128,
        server_frame(b"a", TEXT, 0) + server_frame(b"b", TEXT),
        b"\x83\x7e\x07\xd0" + b"x" * 2000,
        server_frame(b"x" * 2000, 0),
    ],
    ids=[
        "reserved bits", "masked", "unknown opcode", "continuation of nothing", "fragmented ping", "long ping",
        "text inside fragments", "large and unknown", "large continuation of nothing",
    ],
)  # fmt: skip
def test_protocol_violations_raise(data: bytes) -> None:
    with pytest.raises(FrameError):
        read(data, cap=1000)


@given(st.binary(max_size=60), st.lists(st.integers(0, 100), max_size=10))
def test_garbage_becomes_messages_or_a_frame_error(data: bytes, cuts: list[int]) -> None:
    try:
        read(data, cuts)
    except FrameError:
        pass


def unmask(data: bytes) -> list[tuple[int, bytes]]:
    """Parse what a client wrote, with websocket-client's own frame buffer."""
    from websocket._abnf import frame_buffer

    position = 0

    def take(count: int) -> bytes:
        nonlocal position
        position += count
        if position > len(data):
            raise EOFError
        return data[position - count : position]

    buffer: Any = frame_buffer(take, skip_utf8_validation=True)
    found = []
    try:
        while True:
            frame = buffer.recv_frame()
            assert frame.mask_value
            found.append((frame.opcode, frame.data))
    except EOFError:
        return found


@pytest.mark.parametrize("size", SIZES)
def test_written_frames_can_be_read(size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    writer = FrameWriter()
    writer.put(TEXT, b"before")
    writer.put(TEXT, payload)
    writer.put(PING, b"")
    written = b""
    while chunk := writer.chunk():
        assert len(chunk) < 300_000
        written += chunk
    assert unmask(written) == [(TEXT, b"before"), (TEXT, payload), (PING, b"")]


@given(st.lists(st.sampled_from([0, 5, 200, 70_000, 140_000]), max_size=8), st.randoms(use_true_random=False))
def test_writer_reports_messages_as_they_leave(sizes: list[int], rng: Random) -> None:
    writer = FrameWriter()
    for number, size in enumerate(sizes):
        writer.put(TEXT, bytes(size), number)
    done: list[int] = []
    ends = []
    total = 0
    for size in sizes:
        total += size + 6 + (0 if size < 126 else 2 if size < 65_536 else 8)
        ends.append(total)
    sent = 0
    while chunk := writer.chunk():
        while chunk:
            count = rng.choice([1, 7, 1000, len(chunk)])
            count = min(count, len(chunk))
            chunk = chunk[count:]
            sent += count
            done += writer.written(count)
            assert done == [number for number, end in enumerate(ends) if end <= sent]
            assert done + writer.unwritten() == list(range(len(sizes)))
    assert sent == total


class TestDiscardedMessages:
    """Messages that are no longer wanted are discarded if none of their bytes was written."""

    def rest(self, writer: FrameWriter, written: bytes = b"") -> list[bytes]:
        while chunk := writer.chunk():
            written += chunk
        return [payload for _, payload in unmask(written)]

    @pytest.mark.parametrize("unwanted", ["a", "b", "c"])
    def test_unwanted_message_is_discarded(self, unwanted: str) -> None:
        left_out: list[str] = []
        writer = FrameWriter(lambda token, payload: token not in left_out)
        for token in "abc":
            writer.put(TEXT, token.encode() * 9, token)
        left_out.append(unwanted)
        assert self.rest(writer) == [token.encode() * 9 for token in "abc" if token != unwanted]
        left_out.clear()
        writer.put(TEXT, b"later", unwanted)
        assert self.rest(writer) == [b"later"]

    def test_unwanted_message_that_has_begun_is_completed(self) -> None:
        left_out: list[str] = []
        writer = FrameWriter(lambda token, payload: token not in left_out)
        writer.put(TEXT, bytes(300_000), "a")
        writer.put(TEXT, b"second", "b")
        begun = writer.chunk()
        left_out.append("a")
        assert self.rest(writer, begun) == [bytes(300_000), b"second"]

    def test_discarded_messages_do_not_count_as_written(self) -> None:
        writer = FrameWriter(lambda token, payload: token != "a")
        for token in "ab":
            writer.put(TEXT, bytes(9), token)
        assert writer.unwritten() == ["a", "b"]
        assert writer.written(len(writer.chunk())) == ["b"]
        assert writer.unwritten() == []

    @pytest.mark.parametrize("begun", [False, True])
    def test_leave_out_rest_discards_all_that_has_not_begun(self, begun: bool) -> None:
        writer = FrameWriter()
        writer.put(TEXT, bytes(300_000), "a")
        writer.put(TEXT, b"second", "b")
        written = writer.chunk() if begun else b""
        writer.leave_out_rest()
        writer.put(CLOSE, b"", None)
        assert self.rest(writer, written) == [*([bytes(300_000)] if begun else []), b""]


NAME, OTHER = "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01", "1c6e4d2f-8b63-4d2e-8b51-7e2a3c9f1b02"
LARGE = b'{"data":[{"taskUUID":"%s","x":"%s"},{"taskUUID" : "%s"}]}' % (NAME.encode(), b"A" * 900, OTHER.encode())
PASSED = (OVERSIZED, f"{NAME} {OTHER}".encode())


class TestMessagesAboveTheCap:
    def check(self, data: bytes, cuts: list[int] | None = None) -> None:
        around = server_frame(b"before") + data + server_frame(b"after")
        assert read(around, cuts, cap=500) == [(TEXT, b"before"), PASSED, (TEXT, b"after")]

    @given(st.lists(st.integers(0, 2000), max_size=12))
    def test_oversized_frame_is_skipped_and_its_tasks_are_named(self, cuts: list[int]) -> None:
        self.check(server_frame(LARGE), cuts)

    def test_oversized_frame_is_skipped_byte_by_byte(self) -> None:
        self.check(server_frame(LARGE), list(range(2000)))

    @given(
        st.lists(st.integers(1, len(LARGE) - 1), min_size=1, max_size=5), st.lists(st.integers(0, 2000), max_size=12)
    )
    def test_oversized_fragmented_message_is_skipped(self, breaks: list[int], cuts: list[int]) -> None:
        edges = [0, *sorted(set(breaks)), len(LARGE)]
        parts = [LARGE[start:end] for start, end in pairwise(edges)]
        frames = [
            server_frame(part, 0 if number else TEXT, int(number == len(parts) - 1))
            for number, part in enumerate(parts)
        ]
        self.check(b"".join(frames), cuts)

    def test_ping_between_oversized_fragments_is_read(self) -> None:
        data = server_frame(LARGE[:800], TEXT, 0) + server_frame(b"?", PING) + server_frame(LARGE[800:], 0)
        assert read(data, cap=500) == [(PING, b"?"), PASSED]

    @pytest.mark.parametrize("last", [1, 2, 3])
    def test_oversized_message_is_reported_with_its_last_byte(self, last: int) -> None:
        reader = FrameReader(500)
        data = server_frame(LARGE)
        assert list(reader.feed(data[:-last])) == []
        assert list(reader.feed(data[-last:])) == [PASSED]

    def test_oversized_message_is_not_kept(self) -> None:
        reader = FrameReader(1000)
        head = bytes((0x81, 127)) + (1 << 29).to_bytes(8, "big")
        assert list(reader.feed(head)) == []
        for _ in range(50):
            assert list(reader.feed(b"x" * 100_000)) == []
        message = begun(reader)
        assert sum(map(len, reader._chunks + message._pieces)) + len(message._tail) < 200


class TestMemoryBounds:
    """Whatever arrives, memory is bounded, and endless data is detected."""

    @pytest.mark.parametrize("length", [1 << 63, (1 << 63) + 5, (1 << 64) - 1])
    def test_length_with_its_highest_bit_set_breaks_the_protocol(self, length: int) -> None:
        with pytest.raises(FrameError, match="highest bit"):
            read(b"\x81\x7f" + length.to_bytes(8, "big"))

    @pytest.mark.parametrize("length", [1 << 40, (1 << 63) - 1, (1 << 30) + 1])
    def test_frame_far_above_the_cap_breaks_the_protocol(self, length: int) -> None:
        with pytest.raises(FrameError, match="bytes"):
            read(b"\x82\x7f" + length.to_bytes(8, "big"), cap=1000)

    def test_fragments_that_are_too_large_together_break_the_protocol(self) -> None:
        reader = FrameReader(1000)
        half = (1 << 29).to_bytes(8, "big")
        list(reader.feed(b"\x01\x7f" + half))
        begun(reader).skip, begun(reader).received = 0, 1 << 29  # as after so many bytes
        list(reader.feed(b"\x00\x7f" + half))
        begun(reader).skip, begun(reader).received = 0, 1 << 30
        with pytest.raises(FrameError, match="more than"):
            list(reader.feed(b"\x80\x01x"))

    def test_empty_fragments_are_no_progress_and_take_no_memory(self) -> None:
        reader = FrameReader(1 << 20)
        list(reader.feed(server_frame(b"begun", TEXT, 0)))
        for _ in range(100):
            assert list(reader.feed(server_frame(b"", 0, 0) * 1000)) == []
            assert reader.unfinished == 5
            assert len(begun(reader)._pieces) == 1
        assert list(reader.feed(server_frame(b" and done", 0))) == [(TEXT, b"begun and done")]
        assert reader.unfinished == 0

    def test_small_fragments_take_little_more_memory_than_their_content(self) -> None:
        reader = FrameReader(1 << 20)
        list(reader.feed(server_frame(b"x", TEXT, 0)))
        for _ in range(200):
            assert list(reader.feed(server_frame(b"y", 0, 0) * 1000)) == []
        assert len(begun(reader)._pieces) < 10
        assert reader.unfinished == 200_001
        assert list(reader.feed(server_frame(b"z", 0))) == [(TEXT, b"x" + b"y" * 200_000 + b"z")]

    def test_frame_in_small_pieces_takes_little_more_memory_than_its_content(self) -> None:
        reader = FrameReader(1 << 20)
        data = server_frame(bytes(100_000))
        for start in range(0, len(data) - 2, 2):
            assert list(reader.feed(data[start : start + 2])) == []
            assert len(reader._chunks) < 10
        assert [len(payload) for _, payload in reader.feed(data[-2:])] == [100_000]

    def test_task_names_in_a_skipped_message_are_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("runware.protocol.frames._MOST_NAMES", 50)
        names = [f"0b5f3c1e-7a52-4c1d-9a40-{number:012x}" for number in range(1000)]
        data = b",".join(b'{"taskUUID":"%s"}' % name.encode() for name in names)
        reader = FrameReader(500)
        found = [message for start in range(0, len(data), 100) for message in self.feed_part(reader, data, start)]
        ((opcode, payload),) = found
        assert opcode == OVERSIZED
        assert 50 <= len(payload.split()) <= 60

    def feed_part(self, reader: FrameReader, data: bytes, start: int) -> list[tuple[int, bytes]]:
        head = server_frame(data)[: -len(data)] if start == 0 else b""
        return list(reader.feed(head + data[start : start + 100]))

    def test_unfinished_grows_with_a_frame_and_with_a_skipped_message(self) -> None:
        for cap in (500, 1 << 20):
            reader = FrameReader(cap)
            data = server_frame(LARGE)
            grown = []
            for start in range(0, len(data) - 100, 100):
                list(reader.feed(data[start : start + 100]))
                grown.append(reader.unfinished)
            assert grown == sorted(set(grown))


class TestPongs:
    def test_only_the_newest_of_several_waiting_pongs_is_written(self) -> None:
        writer = FrameWriter()
        writer.put(TEXT, b"before", "before")
        for number in range(10_000):
            writer.pong(b"%d" % number)
        writer.put(TEXT, b"after", "after")
        assert len(writer.waiting) == 3
        data = writer.chunk()
        assert unmask(data) == [(TEXT, b"before"), (PONG, b"9999"), (TEXT, b"after")]
        assert writer.written(len(data)) == ["before", None, "after"]

    def test_pong_that_has_begun_is_completed_and_the_next_follows(self) -> None:
        writer = FrameWriter()
        writer.pong(b"one")
        data = writer.chunk()
        writer.pong(b"two")
        assert unmask(data + writer.chunk()) == [(PONG, b"one"), (PONG, b"two")]

    def test_waiting_pong_is_discarded_with_the_rest(self) -> None:
        writer = FrameWriter()
        writer.pong(b"one")
        writer.leave_out_rest()
        assert writer.chunk() == b""
        writer.pong(b"two")
        assert unmask(writer.chunk()) == [(PONG, b"two")]
