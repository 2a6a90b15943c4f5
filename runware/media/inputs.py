"""Media in and out: what a caller may pass as an input, and how a result becomes bytes and files."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Protocol, TypeVar, Union, runtime_checkable

from runware._support.pydantic_schemas import InstancesOf
from runware.errors import DownloadError, ValidationError

__all__ = ["MAX_BYTES", "Media", "ReadableFile", "encode_media", "holds_payload", "may_be_media"]

T = TypeVar("T")

MAX_BYTES = 2 << 30
"""Bytes a file that is fetched may have, unless the caller says otherwise."""


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


Media = Annotated[
    Union[str, bytes, bytearray, memoryview, Path, ReadableFile, PictureLike, StoredResult],
    InstancesOf("Media", str, bytes, bytearray, memoryview, Path, ReadableFile, PictureLike, StoredResult),
]
"""What an input may be.

A `str` is a UUID, a URL, a data URI or base64, and is sent as it is: it is never opened as a file. A `Path`,
`bytes`, a binary file and a PIL image are encoded. One of our results is named by its UUID.
"""

_BYTES = (bytes, bytearray, memoryview)
_TEXT = re.compile(r"(?i)data:|[a-z][a-z0-9+.-]*://|[a-z0-9+/_=\s-]*\Z")
"""What text that is media looks like: a data URI, an address, or base64 of either alphabet, as a UUID does too."""


def may_be_media(text: str) -> bool:
    """Tell whether a short text can be media at all. Most often it is the name of a file when it cannot."""
    return len(text) > 1024 or _TEXT.match(text) is not None


# How each kind of file begins, the most frequent first. A text can begin with "BM", "ID3" or "ftyp" too, so that each
# row asks for more. Why no library: puremagic takes 200 µs where this takes 0.5, takes a text "BMW" for a BMP and zeros
# for a sound, calls MP3 .mpga or .mp1, changes its answers between releases, and does not know GLB; filetype has had no
# release since 2022, and knows neither GLB nor SVG.
_KINDS: tuple[tuple[bytes, str, str], ...] = (
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
    # Two reserved fields of zero, and a header of a size that there is.
    (rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", "image/bmp", ".bmp"),
    (rb"%PDF-", "application/pdf", ".pdf"),
    # Behind a declaration and comments; other XML is no picture.
    (
        rb"(?:\xef\xbb\xbf)?\s*+(?:(?><\?.*?\?>|<!--.*?-->)\s*+)*+<(?:svg[\s/>]|!DOCTYPE\s+svg\b)",
        "image/svg+xml",
        ".svg",
    ),
)
_KIND = re.compile(b"|".join(b"(%b)" % pattern for pattern, _, _ in _KINDS), re.DOTALL)
TELLING = 4096
"""Bytes at the start of a file that tell what it is. Most need 20; an SVG may begin with a long comment."""
_OCTETS = ("application/octet-stream", "")


def extension_of(data: bytes, address: str) -> str:
    """Tell the extension for a file from its first bytes, or else from its address."""
    return sniff(data)[1] or url_extension(address) or ".bin"


def url_extension(address: str) -> str:
    """Tell the extension in an address, in small letters; empty when there is none."""
    path = address.partition("?")[0].partition("#")[0].rpartition("/")[2]
    found = PurePosixPath(path).suffix.lower()
    return found if re.fullmatch(r"\.[a-z0-9]{1,8}", found) else ""


def sniff(data: bytes) -> tuple[str, str]:
    """Tell media type and file extension from the first bytes; the extension is empty when unknown."""
    found = _KIND.match(data, 0, TELLING)
    return _OCTETS if found is None else _KINDS[found.lastindex - 1][1:]  # type: ignore[operator] # one has matched


def holds_payload(value: object) -> bool:
    """Tell whether encoding a value reads a file or copies bytes, and so belongs off an event loop."""
    if isinstance(value, str):
        return len(value) > 65_536
    if isinstance(value, (list, tuple)):
        return any(map(holds_payload, value))
    if isinstance(value, dict):
        return any(map(holds_payload, value.values()))
    return isinstance(value, (*_BYTES, Path, ReadableFile, PictureLike)) and not isinstance(value, StoredResult)


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
        except (OSError, ValueError) as error:
            raise _unusable(f"the file {value.name or str(value)!r} cannot be read ({_reason(error)})") from error
    elif isinstance(value, _BYTES):
        data = bytes(value)
    elif isinstance(value, PictureLike):
        data = _picture_bytes(value)
    elif isinstance(value, ReadableFile):
        data = _file_bytes(value)
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


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _file_bytes(file: ReadableFile) -> Any:
    try:
        return file.read()
    except UnicodeDecodeError:
        return ""  # text, if it could be read
    except (OSError, ValueError) as error:  # the second when it is closed
        raise _unusable(f"the file cannot be read ({_reason(error)})") from error


_AS = {
    **dict.fromkeys(("CMYK", "YCbCr", "LAB", "HSV", "RGBX"), "RGB"),
    **dict.fromkeys(("PA", "RGBa"), "RGBA"),
    "La": "LA",
}
"""Modes of pictures that PNG does not have, and those that say the same."""


def _picture_bytes(picture: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    mode = picture.mode
    try:
        if not all(picture.size):  # older versions of Pillow call that "tile cannot extend outside image"
            raise ValueError("the image is empty")
        if mode in _AS:
            picture = picture.convert(_AS[mode])
            if mode in ("CMYK", "LAB"):
                picture.info.pop("icc_profile", None)  # of the colours that it had
        picture.save(buffer, format="PNG")
    except Exception as error:  # Pillow has no class for them: OSError, ValueError, SyntaxError and others
        advice = "; convert it to RGB first" if mode in ("I", "F") else ""
        raise _unusable(f"the picture, of mode {mode}, cannot be written as PNG ({_reason(error)}){advice}") from error
    return buffer.getvalue()


def decode_base64(text: str) -> bytes:
    """Turn base64, or a data URI, into bytes.

    Raises:
        DownloadError: It is neither.
    """
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            from urllib.parse import unquote_to_bytes

            return unquote_to_bytes(text)
    try:
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            return base64.b64decode("".join(text.split()), validate=True)  # it may have been wrapped in lines
    except (binascii.Error, ValueError) as error:
        raise DownloadError("The result's base64 data is damaged.") from error


_RESERVED = re.compile(r"(?i)con|prn|aux|nul|com\d|lpt\d")
"""Names that Windows keeps for devices, with any extension."""


def safe_name(text: str) -> str:
    """Make a name that the server chose fit for a file: no path, nothing hidden, of a bounded length."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:100] or "result"
    return f"{name}_" if _RESERVED.fullmatch(name) else name


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
        FileExistsError: It exists and *overwrite* is false. Nothing is fetched then.
        OSError: It cannot be written.
    """
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not after the file: with a name of the greatest length, there is no room for more.
    part = path.with_name(f".runware-{os.urandom(8).hex()}.part")
    try:
        with part.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
        if overwrite:
            part.replace(path)
        else:
            _put(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _put(part: Path, path: Path) -> None:
    """Give a file its name, unless somebody else has taken that meanwhile."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:
        # A file system without links: take the name first, so that two writers cannot both believe it free.
        path.open("xb").close()
        try:
            part.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "The file is there already; pass overwrite=True to replace it", str(path))


class Stop:
    """The word to a thread that nobody waits for its work any more."""

    def __init__(self) -> None:
        self._said = threading.Event()
        self._lock = threading.Lock()
        self._acts: list[Callable[[], object]] = []

    def set(self) -> None:
        """Say it, and do what was to be done then."""
        with self._lock:
            self._said.set()
            acts, self._acts = self._acts, []
        for act in acts:
            act()

    def is_set(self) -> bool:
        """Tell whether it was said."""
        return self._said.is_set()

    def then(self, act: Callable[[], object]) -> None:
        """Have something done when it is said; at once if it was."""
        with self._lock:
            if not self._said.is_set():
                self._acts.append(act)
                return
        act()

    def check(self, seconds: float = 0.0) -> None:
        """Go on unless it is said within so many seconds.

        Raises:
            DownloadError: It is.
        """
        if self._said.wait(seconds) if seconds else self._said.is_set():
            raise DownloadError("The download was cancelled.")


def until(stop: Stop, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks until somebody says stop.

    Raises:
        DownloadError: Somebody did, perhaps after the last one: what was made of them is not wanted either.
    """
    for chunk in chunks:
        stop.check()
        yield chunk
    stop.check()


async def in_thread(work: Callable[[Stop], T]) -> T:
    """Do blocking work on a thread of the running loop's executor.

    Args:
        work: Called with what says stop when the waiting is cancelled; the work is to end soon then.
    """
    import asyncio

    stop = Stop()
    try:
        return await asyncio.get_running_loop().run_in_executor(None, work, stop)
    except asyncio.CancelledError:
        stop.set()
        raise


async def step_in_thread(make: Callable[[Stop], Generator[bytes, None, None]]) -> AsyncIterator[bytes]:
    """Yield what a generator yields, which works on a thread of the running loop's executor.

    Args:
        make: Makes the generator; called with what says stop when nobody wants more.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    stop = Stop()
    chunks = make(stop)
    lock = threading.Lock()  # a step may still run when nobody waits for it any more

    def step() -> bytes | None:
        with lock:
            return next(chunks, None)

    def end() -> None:
        with lock:
            chunks.close()

    try:
        while (chunk := await loop.run_in_executor(None, step)) is not None:
            yield chunk
    finally:
        stop.set()
        loop.run_in_executor(None, end)
