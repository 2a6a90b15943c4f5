"""Files on disk: names, atomic writing, and decoding of inline results."""

from __future__ import annotations

import binascii
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from runware._support.lazy_modules import lazy_module
from runware.errors import DownloadError, OverwriteError, ValidationError

if TYPE_CHECKING:
    import filecmp
else:
    filecmp = lazy_module("filecmp")

__all__ = [
    "MAX_BYTES",
    "MAX_EMBEDDED",
    "PARTS",
    "check_absent",
    "check_not_home",
    "decode_base64",
    "decoded_chunks",
    "keep_file",
    "name_problem",
    "safe_name",
    "target_path",
    "write_file",
]

MAX_BYTES = 2 << 30
"""Default maximum size of a downloaded file: 2 GiB."""
MAX_EMBEDDED = 8 << 20
"""Default maximum size of a file that is embedded in a notebook: 8 MiB."""
_CHUNK = 128 * 1024
"""Characters of base64 that are decoded at a time: less than half a millisecond, in which no other thread can run."""

PARTS = ".runware-*.part"
"""A pattern for the names of files that are being written."""


def decode_base64(text: str) -> bytes:
    """Decode base64 or a data URI.

    Raises:
        DownloadError: The text is neither.
    """
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            return unquote_to_bytes(text)
    try:
        try:
            # Not base64.b64decode, which copies the text first.
            return binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            return binascii.a2b_base64("".join(text.split()), strict_mode=True)  # it may contain line breaks
    except (binascii.Error, ValueError) as error:
        raise DownloadError("The result's base64 data is invalid.") from error


def decoded_chunks(text: str) -> Iterator[bytes]:
    """Decode base64 or a data URI in chunks, so that a large file is not in memory as a whole.

    Raises:
        DownloadError: The text is neither.
    """
    start = 0
    if text[:5].lower() == "data:":
        comma = text.find(",")
        if comma < 0 or not text[:comma].lower().endswith(";base64"):
            yield decode_base64(text)
            return
        start = comma + 1
    rest, padded = "", False
    for position in range(start, len(text), _CHUNK):
        piece = rest + "".join(text[position : position + _CHUNK].split())
        usable = len(piece) if position + _CHUNK >= len(text) else len(piece) // 4 * 4
        piece, rest = piece[:usable], piece[usable:]
        if not piece:
            continue
        if padded:  # only the last chunk may be padded, which the decoder cannot see
            raise DownloadError("The result's base64 data is invalid.")
        padded = piece.endswith("=")
        yield decode_base64(piece)


_RESERVED = re.compile(r"(?i)con|prn|aux|nul|com\d|lpt\d")
"""Device names reserved by Windows, with any extension."""
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')


def safe_name(text: str) -> str:
    """Return a file name for a name chosen by the server: no path, not hidden, of limited length."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:100] or "result"
    return f"{name}_" if _RESERVED.fullmatch(name) else name


def target_path(where: str | os.PathLike[str], stem: str, extension: str) -> Path:
    """Return the path of the file to write: *where* itself, or a file in it if *where* is a directory.

    *where* is a directory if it exists as one, ends with a separator, or does not exist and has no extension.
    """
    path = Path(where)
    ends_as_directory = os.fspath(where).endswith(("/", os.sep))
    if path.is_dir() or ends_as_directory or (not path.suffix and not path.exists()):
        return path / (safe_name(stem) + extension)
    return path


def name_problem(path: PurePath) -> str:
    """Return why Windows cannot have a file with this path, or would have it under another name; `""` if it can.

    A colon is the worst: `a:b.png` becomes a hidden stream of the file `a`.
    """
    for part in path.parts[1:] if path.anchor else path.parts:
        if found := _FORBIDDEN.search(part):
            return f"{part!r} has the character {found[0]!r}"
        if part.strip(".") and part[-1] in ". ":
            return f"{part!r} ends with a dot or a space"
        if _RESERVED.fullmatch(part.partition(".")[0].rstrip()):
            return f"{part!r} is the name of a device"
    return ""


def _on_windows() -> bool:
    return os.name == "nt"


def check_name(path: Path) -> None:
    """Check that the system can have a file with this path.

    Raises:
        ValidationError: It cannot.
    """
    if _on_windows() and (problem := name_problem(path)):
        raise ValidationError(
            f"{path} cannot be a file on Windows: {problem}. Choose another name.",
            code="invalidParameter",
            parameter="path",
        )


def check_not_home(where: str | os.PathLike[str], name: str) -> None:
    """Check that a place for files does not begin with `~`, which no call of the system takes for the home directory.

    Raises:
        ValidationError: It does; *name* is the parameter.
    """
    if Path(where).parts[:1] == ("~",):
        raise ValidationError(
            f"{name} begins with '~', which is not your home directory here: use "
            f"Path({os.fspath(where)!r}).expanduser().",
            code="invalidParameter",
            parameter=name,
        )


def check_absent(path: Path, *, overwrite: bool) -> None:
    """Check that a file may be written.

    Raises:
        ValidationError: The system cannot have a file with this name.
        FileExistsError: The file exists and *overwrite* is false.
    """
    check_name(path)
    if not overwrite and os.path.lexists(path):
        raise _exists(path)


def write_file(path: Path, chunks: Iterator[bytes], *, overwrite: bool) -> Path:
    """Write a file atomically: it appears complete or not at all.

    Raises:
        FileExistsError: The file exists and *overwrite* is false; nothing is downloaded.
        OSError: The file cannot be written.
    """
    check_absent(path, overwrite=overwrite)
    with _part_of(path) as part:
        with part.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
        if overwrite:
            part.replace(path)
        else:
            _move_into_place(part, path)
    return path


def keep_file(path: Path, chunks: Iterator[bytes], *, replace: bool) -> int:
    """Write a file that survives a power cut once this returns, and return its size.

    Args:
        path: Where to. A file there with the same contents is left as it is.
        chunks: The contents.
        replace: Whether a file there with other contents is replaced.

    Raises:
        FileExistsError: There is a file with other contents, and *replace* is false.
        ValidationError: The system cannot have a file with this name.
        OSError: The file cannot be written.
    """
    check_name(path)
    with _part_of(path) as part:
        with part.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        if replace:
            part.replace(path)
        elif not _same(part, path):
            try:
                _move_into_place(part, path)
            except FileExistsError:
                if not _same(part, path):  # else another process has saved the same result at this moment
                    raise OverwriteError(
                        f"Another file is at {path}; let save_to name each result differently.", filename=str(path)
                    ) from None
    return size


def _same(part: Path, path: Path) -> bool:
    """Return whether there is a file at the path, with the same contents."""
    try:
        return filecmp.cmp(part, path, shallow=False)
    except FileNotFoundError:
        return False


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """Make the directory of a file, and return the path under which it is written; nothing is left there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not derived from the file name, which may have the maximum length already.
    part = path.with_name(PARTS.replace("*", os.urandom(8).hex()))
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _move_into_place(part: Path, path: Path) -> None:
    """Move a finished file to its path, unless that path has been taken meanwhile."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:
        # A file system without hard links: create the file first, so that of two writers only one succeeds.
        path.open("xb").close()
        try:
            part.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _exists(path: Path) -> OverwriteError:
    return OverwriteError(f"The file {path} exists; pass overwrite=True to replace it.", filename=str(path))
