"""Create small but valid audio files without a codec."""

from __future__ import annotations

import io
import math
import struct
import wave
from array import array

__all__ = ["aac", "flac", "mp3", "ogg", "wav"]


def wav(seconds: float, pitch: float, rate: int = 22050) -> bytes:
    """Create a WAV file with a fading chord.

    Args:
        seconds: Its duration.
        pitch: The lowest tone in Hz.
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
    """Create an MP3 file with silence, 128 kbit/s at 44.1 kHz."""
    frame = b"\xff\xfb\x90\xc4" + bytes(413)
    return frame * max(1, math.ceil(seconds * 44100 / 1152))


def aac(seconds: float) -> bytes:
    """Create an AAC file (ADTS) with silence, mono at 44.1 kHz."""
    silence = bytes.fromhex("00c800802380")
    size = 7 + len(silence)
    # Sync word, MPEG-4 without a checksum; AAC LC, 44.1 kHz, one channel; the size of the frame; any buffer fullness.
    head = bytes((0xFF, 0xF1, 0x50, 0x40 | size >> 11, size >> 3 & 0xFF, (size & 7) << 5 | 0x1F, 0xFC))
    return (head + silence) * max(1, math.ceil(seconds * 44100 / 1024))


def flac(rate: int = 44100) -> bytes:
    """Create a FLAC file without samples."""
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
    """Create an Ogg file with the two header packets of an Opus stream."""
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
