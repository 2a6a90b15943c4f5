"""Media inputs: the types a caller may pass, and their encoding as text."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Protocol, Union, runtime_checkable

from runware._support.lazy_modules import lazy_module
from runware._support.pydantic_schemas import InstancesOf
from runware.errors import DownloadError, ValidationError
from runware.media.kinds import UNKNOWN, sniff

if TYPE_CHECKING:
    import mimetypes
else:
    mimetypes = lazy_module("mimetypes")

__all__ = ["LARGE_TEXT", "Media", "ReadableFile", "encode_media", "holds_payload", "may_be_media"]

LARGE_TEXT = 65_536
"""The length from which a text is copied elsewhere than on an event loop."""


@runtime_checkable
class ReadableFile(Protocol):
    """A file opened for reading in binary mode. It is read from its current position."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to *size* bytes from the current position."""
        ...


@runtime_checkable
class ImageLike(Protocol):
    """A PIL image."""

    mode: str

    def tobytes(self) -> bytes: ...
    def save(self, fp: IO[bytes], format: str | None = None) -> None: ...  # noqa: A002 - PIL's parameter name


@runtime_checkable
class StoredResult(Protocol):
    """A result of this package, sent as its UUID or, if it has none, its URL."""

    def as_input(self) -> str: ...


Media = Annotated[
    Union[str, bytes, bytearray, memoryview, Path, ReadableFile, ImageLike, StoredResult],
    InstancesOf("Media", str, bytes, bytearray, memoryview, Path, ReadableFile, ImageLike, StoredResult),
]
"""The types of a media input.

A `str` is a UUID, URL, data URI or base64 and is sent unchanged; it is never opened as a file. A `Path`, `bytes`, a
binary file and a PIL image are encoded. A result of this package is sent as its UUID.
"""

_BYTES = (bytes, bytearray, memoryview)
_MEDIA_TEXT = re.compile(r"(?i)data:|[a-z][a-z0-9+.-]*://|[a-z0-9+/_=\s-]*\Z")
"""Matches text that can be media: a data URI, a URL, or base64 of either alphabet, which includes UUIDs."""


def may_be_media(text: str) -> bool:
    """Return whether a short text can be media. If not, it is probably a file name."""
    return len(text) > 1024 or _MEDIA_TEXT.match(text) is not None


def holds_payload(value: object) -> bool:
    """Return whether encoding a value reads a file or copies bytes, and so must not run on an event loop."""
    if isinstance(value, str):
        return len(value) > LARGE_TEXT
    if isinstance(value, (list, tuple)):
        return any(map(holds_payload, value))
    if isinstance(value, dict):
        return any(map(holds_payload, value.values()))
    return isinstance(value, (*_BYTES, Path, ReadableFile, ImageLike)) and not isinstance(value, StoredResult)


def encode_media(value: object) -> str:
    """Encode a media input as the text to send.

    Raises:
        ValidationError: The file is missing, empty or a directory, or the type is not supported. The caller adds the
            name of the parameter.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, StoredResult):
        try:
            return value.as_input()
        except DownloadError as error:
            raise _unusable("the result has no UUID, URL or data") from error
    if isinstance(value, Path):
        try:
            data = value.read_bytes()
        except (OSError, ValueError) as error:
            hint = "; Path('~') is not your home directory: use path.expanduser()" if value.parts[:1] == ("~",) else ""
            name = value.name or str(value)
            raise _unusable(f"the file {name!r} cannot be read ({_reason(error)}){hint}") from error
    elif isinstance(value, _BYTES):
        data = bytes(value)
    elif isinstance(value, ImageLike):
        data = _image_bytes(value)
    elif isinstance(value, ReadableFile):
        content = _file_bytes(value)
        if not isinstance(content, bytes):
            raise _unusable("the file was opened in text mode; open it with mode 'rb'")
        data = content
    else:
        raise _unusable(
            f"{type(value).__name__} is neither media nor JSON; pass a Path, bytes, binary file, PIL image or str"
        )
    if not data:
        raise _unusable("it is empty")
    media_type = sniff(data)[0]
    if media_type == UNKNOWN[0] and isinstance(value, Path):
        media_type = mimetypes.guess_type(value.name)[0] or media_type
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _unusable(reason: str) -> ValidationError:
    return ValidationError(f"The media cannot be sent: {reason}.", code="invalidMedia")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _file_bytes(file: ReadableFile) -> bytes | str:
    try:
        return file.read()
    except UnicodeDecodeError:
        return ""  # opened in text mode; the caller reports that
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise _unusable(f"the file cannot be read ({_reason(error)})") from error


_PNG_MODES = {
    **dict.fromkeys(("CMYK", "YCbCr", "LAB", "HSV", "RGBX"), "RGB"),
    **dict.fromkeys(("PA", "RGBa"), "RGBA"),
    "La": "LA",
}
"""Image modes that PNG lacks, and the equivalent modes to convert to."""


def _image_bytes(image: Any) -> bytes:
    buffer = io.BytesIO()
    mode = image.mode
    try:
        if not all(image.size):  # old Pillow: "tile cannot extend outside image"
            raise ValueError("the image is empty")
        if mode in _PNG_MODES:
            image = image.convert(_PNG_MODES[mode])
            if mode in ("CMYK", "LAB"):
                image.info.pop("icc_profile", None)  # describes the old color space
        image.save(buffer, format="PNG")
    except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError and others
        advice = "; convert it to RGB first" if mode in ("I", "F") else ""
        raise _unusable(f"the image, of mode {mode}, cannot be written as PNG ({_reason(error)}){advice}") from error
    return buffer.getvalue()
