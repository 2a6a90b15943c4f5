"""Media in and out: what a caller may pass as an input, and how a result becomes bytes and files."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Union, runtime_checkable
from urllib.parse import urlsplit

from runware.errors import DownloadError, ValidationError

__all__ = ["Media", "ReadableFile", "encode_media", "holds_payload"]


@runtime_checkable
class ReadableFile(Protocol):
    """A file that was opened for reading in binary mode. It is read from where it stands."""

    def read(self, size: int = -1, /) -> bytes:
        """Give the bytes from where it stands."""
        ...


@runtime_checkable
class PictureLike(Protocol):
    """A PIL image."""

    mode: Any

    def tobytes(self) -> bytes: ...
    def save(self, fp: Any, format: str | None = None) -> None: ...  # noqa: A002 - it is PIL's name


@runtime_checkable
class StoredResult(Protocol):
    """One of our own results, named to the server by its UUID or, without one, its URL."""

    def as_input(self) -> str: ...


Media = Union[str, bytes, Path, ReadableFile, PictureLike, StoredResult]
"""What an input may be.

A `str` is a UUID, a URL, a data URI or base64, and is sent as it is: it is never opened as a file. A `Path`,
`bytes`, a binary file and a PIL image are encoded. One of our results is named by its UUID.
"""

_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png", ".png"),
    (0, b"\xff\xd8\xff", "image/jpeg", ".jpg"),
    (8, b"WEBP", "image/webp", ".webp"),
    (0, b"GIF8", "image/gif", ".gif"),
    (4, b"ftypavif", "image/avif", ".avif"),
    (4, b"ftypqt", "video/quicktime", ".mov"),
    (4, b"ftyp", "video/mp4", ".mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm", ".webm"),
    (8, b"WAVE", "audio/wav", ".wav"),
    (0, b"fLaC", "audio/flac", ".flac"),
    (0, b"OggS", "audio/ogg", ".ogg"),
    (0, b"ID3", "audio/mpeg", ".mp3"),
    (0, b"\xff\xfb", "audio/mpeg", ".mp3"),
    (0, b"\xff\xf3", "audio/mpeg", ".mp3"),
    (0, b"glTF", "model/gltf-binary", ".glb"),
    (0, b"%PDF", "application/pdf", ".pdf"),
    (0, b"<svg", "image/svg+xml", ".svg"),
    (0, b"<?xml", "image/svg+xml", ".svg"),
)
_OCTETS = ("application/octet-stream", "")


def sniff(data: bytes) -> tuple[str, str]:
    """Tell media type and file extension from the first bytes; the extension is empty when unknown."""
    for offset, mark, media_type, extension in _MAGIC:
        if data.startswith(mark, offset):
            return media_type, extension
    return _OCTETS


def holds_payload(value: object) -> bool:
    """Tell whether encoding a value reads a file or copies bytes, and so belongs off an event loop."""
    if isinstance(value, str):
        return len(value) > 65_536
    if isinstance(value, (list, tuple)):
        return any(map(holds_payload, value))
    if isinstance(value, dict):
        return any(map(holds_payload, value.values()))
    return isinstance(value, (bytes, Path, ReadableFile, PictureLike)) and not isinstance(value, StoredResult)


def encode_media(value: Any) -> str:
    """Turn one media input into the text that is sent.

    Raises:
        ValidationError: The file is missing, empty or a directory, or the object is of another kind. It names
            no parameter; the caller knows which one it was.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, StoredResult):
        try:
            return value.as_input()
        except DownloadError as error:
            raise _unusable("the result holds no media") from error
    if isinstance(value, Path):
        try:
            data = value.read_bytes()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise _unusable(f"the file {value.name!r} cannot be read ({reason})") from error
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
    elif isinstance(value, PictureLike):
        data = _picture_bytes(value)
    elif isinstance(value, ReadableFile):
        data = value.read()
        if not isinstance(data, bytes):
            raise _unusable("the file was opened in text mode; open it with mode 'rb'")
    else:
        raise _unusable(f"a {type(value).__name__} is not media; pass a Path, bytes, a file, an image or a str")
    if not data:
        raise _unusable("it is empty")
    media_type = sniff(data)[0]
    if media_type == _OCTETS[0] and isinstance(value, Path):
        import mimetypes

        media_type = mimetypes.guess_type(value.name)[0] or media_type
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _unusable(reason: str) -> ValidationError:
    return ValidationError(f"The media cannot be sent: {reason}.", code="invalidMedia")


def _picture_bytes(picture: PictureLike) -> bytes:
    import io

    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def decode_base64(text: str) -> bytes:
    """Turn base64, or a base64 data URI, into bytes.

    Raises:
        DownloadError: It is neither.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DownloadError("The result's base64 data is damaged.") from error


def download(url: str, *, timeout: float = 60.0, max_bytes: int = 2 << 30) -> Iterator[bytes]:
    """Yield the bytes behind an http(s) address as they come. The API key is not sent.

    Args:
        url: The address of a result.
        timeout: Seconds that connecting, and each wait for more bytes, may take.
        max_bytes: Size above which the download is given up.

    Raises:
        DownloadError: The address has expired or is refused, or the network failed.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError("Only http and https addresses are fetched.")
    import httpx2

    got = 0
    try:
        with httpx2.stream("GET", url, timeout=timeout, follow_redirects=True) as response:
            if response.status_code >= 400:
                hint = " It may have expired: results are kept for a limited time."
                raise DownloadError(
                    f"The result's address answered {response.status_code}."
                    + (hint if response.status_code in (403, 404, 410) else ""),
                    retryable=response.status_code >= 500,
                )
            for chunk in response.iter_bytes():
                got += len(chunk)
                if got > max_bytes:
                    raise DownloadError(f"The result is larger than {max_bytes:,} bytes; pass a larger max_bytes.")
                yield chunk
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise DownloadError(f"The result could not be fetched: {error or type(error).__name__}.") from error


def safe_name(text: str) -> str:
    """Make a name that the server chose fit for a file: no path, nothing hidden, of a bounded length."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:100] or "result"


def target_path(where: str | os.PathLike[str], stem: str, extension: str) -> Path:
    """Tell which file to write: *where* itself, or a file of its own inside when *where* is a directory.

    *where* means a directory when it is one, ends with a separator, or does not exist and has no extension.
    """
    path = Path(where)
    ends_as_directory = os.fspath(where).endswith(("/", os.sep))
    if path.is_dir() or ends_as_directory or (not path.suffix and not path.exists()):
        return path / (safe_name(stem) + extension)
    return path


def write_file(path: Path, chunks: Iterator[bytes], *, overwrite: bool) -> Path:
    """Write a file so that nobody ever sees half of it.

    Raises:
        FileExistsError: It exists and *overwrite* is false.
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not overwrite:
        # Takes the name before anything is fetched, so that two writers cannot both believe that it is free.
        path.open("xb").close()
    part = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with part.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        if not overwrite:
            path.unlink(missing_ok=True)
        raise
    return path
