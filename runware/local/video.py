"""Create small but valid video files from encoded images, without a codec."""

from __future__ import annotations

import struct
from collections.abc import Sequence

__all__ = ["mp4", "webm"]


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack("!I", len(body) + 8) + kind + body


def _full(kind: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack("!I", flags), *parts)


_MATRIX = struct.pack("!9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def mp4(frames: Sequence[bytes], width: int, height: int, rate: int, brand: bytes = b"isom") -> bytes:
    """Create an MP4 or MOV file (motion JPEG) from JPEG images.

    Args:
        frames: The images.
        width: Their width in pixels.
        height: Their height in pixels.
        rate: Frames per second.
        brand: The brand of the container: `isom` for MP4, `qt  ` for MOV.
    """
    start = _box(b"ftyp", brand, struct.pack("!I", 512), brand, b"mp41")
    length = len(frames)
    name = b"\x0cPhoto - JPEG".ljust(32, b"\0")
    entry = _box(
        b"jpeg",
        bytes(6) + struct.pack("!H", 1) + bytes(16),
        struct.pack("!HHIIIH", width, height, 0x480000, 0x480000, 0, 1),
        name + struct.pack("!Hh", 24, -1),
    )

    def movie(offset: int) -> bytes:
        table = _box(
            b"stbl",
            _full(b"stsd", struct.pack("!I", 1), entry),
            _full(b"stts", struct.pack("!III", 1, length, 1)),
            _full(b"stsc", struct.pack("!IIII", 1, 1, length, 1)),
            _full(b"stsz", struct.pack("!II", 0, length), *(struct.pack("!I", len(f)) for f in frames)),
            _full(b"stco", struct.pack("!II", 1, offset)),
        )
        data = _box(b"dinf", _full(b"dref", struct.pack("!I", 1), _full(b"url ", flags=1)))
        media = _box(
            b"mdia",
            _full(b"mdhd", struct.pack("!IIIIHH", 0, 0, rate, length, 0x55C4, 0)),
            _full(b"hdlr", bytes(4) + b"vide" + bytes(12) + b"video\0"),
            _box(b"minf", _full(b"vmhd", bytes(8), flags=1), data, table),
        )
        screen = struct.pack("!II", width << 16, height << 16)
        track = _full(b"tkhd", struct.pack("!IIIII", 0, 0, 1, 0, length), bytes(16), _MATRIX, screen, flags=3)
        head = struct.pack("!IIIIIH", 0, 0, rate, length, 0x10000, 0x100) + bytes(10) + _MATRIX + bytes(24)
        return _box(b"moov", _full(b"mvhd", head, struct.pack("!I", 2)), _box(b"trak", track, media))

    offset = len(start) + len(movie(0)) + 8
    return start + movie(offset) + _box(b"mdat", *frames)


def _element(identifier: str, *parts: bytes | int) -> bytes:
    body = b"".join(
        part if isinstance(part, bytes) else part.to_bytes(max(1, (part.bit_length() + 7) // 8), "big")
        for part in parts
    )
    return bytes.fromhex(identifier) + (len(body) | 1 << 56).to_bytes(8, "big") + body


def webm(frames: Sequence[bytes], width: int, height: int, rate: int, document: bytes = b"webm") -> bytes:
    """Create a WebM or Matroska file from lossy WebP images, each of which contains exactly one VP8 key frame.

    Args:
        frames: The images.
        width: Their width in pixels.
        height: Their height in pixels.
        rate: Frames per second.
        document: The type of the file: `webm` or `matroska`.
    """
    head = _element(
        "1A45DFA3", _element("4282", document), _element("4286", 1), _element("42F7", 1), _element("42F2", 4),
        _element("42F3", 8), _element("4287", 2), _element("4285", 2),
    )  # fmt: skip
    seconds = struct.pack("!d", len(frames) * 1000 / rate)
    info = _element("1549A966", _element("2AD7B1", 1_000_000), _element("4489", seconds), _element("4D80", b"local"))
    video = _element("E0", _element("B0", width), _element("BA", height))
    entry = _element("AE", _element("D7", 1), _element("73C5", 1), _element("83", 1), _element("86", b"V_VP8"), video)
    blocks = []
    for number, frame in enumerate(frames):
        start = frame.index(b"VP8 ")
        size = int.from_bytes(frame[start + 4 : start + 8], "little")
        blocks.append(
            _element(
                "A3", b"\x81" + struct.pack("!hB", number * 1000 // rate, 0x80), frame[start + 8 : start + 8 + size]
            )
        )
    cluster = _element("1F43B675", _element("E7", 0), *blocks)
    return head + _element("18538067", info, _element("1654AE6B", entry), cluster)
