"""Small but real files of sound, moving pictures and solid bodies, made without any codec."""

from __future__ import annotations

import io
import json
import math
import struct
import wave
import zipfile
from array import array
from collections.abc import Sequence

__all__ = ["flac", "glb", "mesh_text", "mp3", "mp4", "ogg", "tone", "webm", "zipped"]

_CUBE = [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
_FACES = [
    (0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1),
    (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3),
]  # fmt: skip


def tone(seconds: float, pitch: float, rate: int = 22050) -> bytes:
    """A WAV file with a fading chord.

    Args:
        seconds: Its length.
        pitch: The lowest tone, in Hz.
        rate: Samples per second.
    """
    total = int(seconds * rate)
    samples = array("h", bytes(2 * total))
    for position in range(total):
        t = position / rate
        level = math.exp(-3 * ((t * 2) % 1.0)) * 9000
        samples[position] = int(level * (math.sin(math.tau * pitch * t) + 0.6 * math.sin(math.tau * pitch * 1.5 * t)))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return buffer.getvalue()


def mp3(seconds: float) -> bytes:
    """Silent MPEG-1 layer III frames, 128 kbit/s at 44.1 kHz."""
    frame = b"\xff\xfb\x90\xc4" + bytes(413)
    return frame * max(1, math.ceil(seconds * 44100 / 1152))


def flac(rate: int = 44100) -> bytes:
    """A FLAC stream without samples."""
    packed = (rate << 44) | (0 << 41) | (15 << 36)
    info = struct.pack("!HH", 4096, 4096) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    return b"fLaC" + bytes((0x80, 0, 0, len(info))) + info


def _ogg_crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ 0x04C11DB7) & 0xFFFFFFFF if crc & 0x80000000 else (crc << 1) & 0xFFFFFFFF
    return crc


def ogg(seed: int) -> bytes:
    """An Ogg stream that holds the head and the tags of an Opus track."""
    packets = [
        b"OpusHead" + struct.pack("<BBHIHB", 1, 1, 312, 48000, 0, 0),
        b"OpusTags" + struct.pack("<I", 7) + b"runware" + struct.pack("<I", 0),
    ]
    pages = []
    for number, packet in enumerate(packets):
        flags = (2, 4)[number]
        head = b"OggS" + struct.pack("<BBqIII", 0, flags, 0, seed & 0xFFFFFFFF, number, 0) + bytes((1, len(packet)))
        page = bytearray(head + packet)
        page[22:26] = struct.pack("<I", _ogg_crc(bytes(page)))
        pages.append(bytes(page))
    return b"".join(pages)


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack("!I", len(body) + 8) + kind + body


def _full(kind: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack("!I", flags), *parts)


_MATRIX = struct.pack("!9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def mp4(frames: Sequence[bytes], width: int, height: int, rate: int, brand: bytes = b"isom") -> bytes:
    """Join JPEG pictures to a motion JPEG film.

    Args:
        frames: The pictures.
        width: Their width in pixels.
        height: Their height in pixels.
        rate: Pictures per second.
        brand: The kind of container, `isom` for MP4, `qt  ` for MOV.
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


def webm(frames: Sequence[bytes], width: int, height: int, rate: int) -> bytes:
    """Join lossy WebP pictures to a film: each holds exactly one VP8 key frame."""
    head = _element(
        "1A45DFA3", _element("4286", 1), _element("42F7", 1), _element("42F2", 4), _element("42F3", 8),
        _element("4282", b"webm"), _element("4287", 2), _element("4285", 2),
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


def glb(hue: tuple[float, float, float]) -> bytes:
    """A binary glTF file with a cube of the given colour (red, green, blue from 0 to 1)."""
    points = b"".join(struct.pack("<3f", *point) for point in _CUBE)
    faces = b"".join(struct.pack("<3H", *face) for face in _FACES)
    body = points + faces
    scene = {
        "asset": {"version": "2.0", "generator": "runware.local"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [*hue, 1.0]}, "doubleSided": True}],
        "accessors": [
            {
                "bufferView": 0, "componentType": 5126, "count": len(_CUBE), "type": "VEC3",
                "min": [-0.5] * 3, "max": [0.5] * 3,
            },
            {"bufferView": 1, "componentType": 5123, "count": 3 * len(_FACES), "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(points)},
            {"buffer": 0, "byteOffset": len(points), "byteLength": len(faces)},
        ],
        "buffers": [{"byteLength": len(body)}],
    }  # fmt: skip
    text = json.dumps(scene, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(body), 0x004E4942) + body
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def mesh_text(extension: str) -> bytes:
    """The cube as an `obj`, `ply` or `stl` file."""
    if extension == "obj":
        lines = [f"v {x} {y} {z}" for x, y, z in _CUBE] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in _FACES]
    elif extension == "ply":
        lines = ["ply", "format ascii 1.0", f"element vertex {len(_CUBE)}"]
        lines += [f"property float {axis}" for axis in "xyz"]
        lines += [f"element face {len(_FACES)}", "property list uchar int vertex_indices", "end_header"]
        lines += [f"{x} {y} {z}" for x, y, z in _CUBE] + [f"3 {a} {b} {c}" for a, b, c in _FACES]
    else:
        lines = ["solid cube"]
        for face in _FACES:
            corners = [f"vertex {x} {y} {z}" for x, y, z in (_CUBE[corner] for corner in face)]
            lines += ["facet normal 0 0 0", "outer loop", *corners, "endloop", "endfacet"]
        lines.append("endsolid cube")
    return "\n".join(lines).encode() + b"\n"


def zipped(name: str) -> bytes:
    """An uncompressed archive that holds the cube, as USDZ and 3MF files are archives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), mesh_text("obj"))
    return buffer.getvalue()
