"""Media types and file extensions, recognized by the first bytes of a file or by its URL."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

__all__ = ["EXTENSIONS", "SNIFFED_BYTES", "UNKNOWN", "extension_of", "sniff", "url_extension"]

# Signatures, most frequent first. Text may also begin with "BM", "ID3" or "ftyp", so each row requires more than that.
#
# Why no library: puremagic takes 200 µs instead of 0.5, reports a text "BMW" as BMP and zeros as audio, gives MP3 the
# extension .mpga or .mp1, changes its answers between releases, and does not know GLB. filetype has had no release
# since 2022 and knows neither GLB nor SVG.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x89PNG\r\n\x1a\n", "image/png", ".png"),
    (rb"\xff\xd8\xff", "image/jpeg", ".jpg"),
    (rb"RIFF.{4}WEBP", "image/webp", ".webp"),
    (rb"\0.{3}ftypavi[fs]", "image/avif", ".avif"),
    (rb"\0.{3}ftyphe[iv]", "image/heic", ".heic"),
    (rb"\0.{3}ftypm(?:if|sf)1", "image/heif", ".heif"),
    (rb"\0.{3}ftypM4[AB]", "audio/mp4", ".m4a"),
    (rb"\0.{3}(?:ftypqt|wide|moov|mdat)", "video/quicktime", ".mov"),
    (rb"\0.{3}ftyp", "video/mp4", ".mp4"),
    (rb"\x1aE\xdf\xa3.{,60}matroska", "video/x-matroska", ".mkv"),
    (rb"\x1aE\xdf\xa3", "video/webm", ".webm"),
    (rb"RIFF.{4}WAVE", "audio/wav", ".wav"),
    (rb"fLaC", "audio/flac", ".flac"),
    (rb"OggS\0", "audio/ogg", ".ogg"),
    (rb"ID3[\2-\4]|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", "audio/mpeg", ".mp3"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "audio/aac", ".aac"),
    (rb"glTF[\1\2]", "model/gltf-binary", ".glb"),
    (rb"GIF8[79]a", "image/gif", ".gif"),
    (rb"II[*+]\0|MM\0[*+]", "image/tiff", ".tiff"),
    # Two reserved fields of zero, and one of the header sizes in use.
    (rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", "image/bmp", ".bmp"),
    (rb"%PDF-", "application/pdf", ".pdf"),
    # After an optional declaration and comments; other XML is not an image.
    (
        rb"(?:\xef\xbb\xbf)?\s*+(?:(?><\?.*?\?>|<!--.*?-->)\s*+)*+<(?:svg[\s/>]|!DOCTYPE\s+svg\b)",
        "image/svg+xml",
        ".svg",
    ),
)
_PATTERN = re.compile(b"|".join(b"(%b)" % pattern for pattern, _, _ in _SIGNATURES), re.DOTALL)
EXTENSIONS = frozenset(extension for _, _, extension in _SIGNATURES)
"""The extensions of the files that are recognized."""
SNIFFED_BYTES = 4096
"""Bytes needed to recognize a file. Most signatures take 20, but an SVG may begin with a long comment."""
UNKNOWN = ("application/octet-stream", "")
"""Media type and extension of an unrecognized file."""


def extension_of(data: bytes, url: str) -> str:
    """Return the file extension for a file, from its first bytes or else from its URL."""
    return sniff(data)[1] or url_extension(url) or ".bin"


def url_extension(url: str) -> str:
    """Return the file extension in a URL, in lower case; `""` if there is none."""
    path = url.partition("?")[0].partition("#")[0].rpartition("/")[2]
    found = PurePosixPath(path).suffix.lower()
    return found if re.fullmatch(r"\.[a-z0-9]{1,8}", found) else ""


def sniff(data: bytes) -> tuple[str, str]:
    """Return the media type and file extension for the first bytes of a file; the extension is `""` if unknown."""
    found = _PATTERN.match(data, 0, SNIFFED_BYTES)
    return UNKNOWN if found is None else _SIGNATURES[found.lastindex - 1][1:]  # type: ignore[operator] # a group has matched
