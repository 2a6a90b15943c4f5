"""Files on disk: names, atomic writing, and decoding of inline results."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from runware.errors import DownloadError, OverwriteError

__all__ = ["MAX_BYTES", "decode_base64", "safe_name", "target_path", "write_file"]

MAX_BYTES = 2 << 30
"""Default maximum size of a downloaded file: 2 GiB."""


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
            return base64.b64decode(text, validate=True)
        except ValueError:
            return base64.b64decode("".join(text.split()), validate=True)  # it may contain line breaks
    except (binascii.Error, ValueError) as error:
        raise DownloadError("The result's base64 data is invalid.") from error


_RESERVED = re.compile(r"(?i)con|prn|aux|nul|com\d|lpt\d")
"""Device names reserved by Windows, with any extension."""


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


def write_file(path: Path, chunks: Iterator[bytes], *, overwrite: bool) -> Path:
    """Write a file atomically: it appears complete or not at all.

    Raises:
        FileExistsError: The file exists and *overwrite* is false; nothing is downloaded.
        OSError: The file cannot be written.
    """
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not derived from the file name, which may have the maximum length already.
    part = path.with_name(f".runware-{os.urandom(8).hex()}.part")
    try:
        with part.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
        if overwrite:
            part.replace(path)
        else:
            _move_into_place(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


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
