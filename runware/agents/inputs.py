"""Images that a model names: files in allowed folders, URLs, and results. No other file is ever opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from runware._support.escaping import one_line
from runware.errors import ValidationError
from runware.media import Media
from runware.media.kinds import SNIFFED_BYTES, sniff
from runware.protocol.ids import is_uuid

__all__ = ["InputFiles"]

_SCHEME = re.compile(r"(?:([a-z][a-z0-9+.-]+)://|(data):)", re.IGNORECASE)
_MAX_BYTES = 32 * 2**20


class InputFiles:
    """Decides which files a model may name.

    Args:
        folders: The folders whose images it may name. A relative path is looked for in each.
    """

    def __init__(self, folders: Iterable[str | os.PathLike[str]]) -> None:
        self.folders = [Path(folder).expanduser().resolve() for folder in folders]

    def media(self, text: str, parameter: str = "image") -> Media:
        """Return the image that a model names.

        Args:
            text: The id of a result, a URL, or a path.
            parameter: The name of the parameter, for errors.

        Raises:
            ValidationError: It is none of these, is outside the allowed folders, or is not an image.
        """
        text = text.strip()
        if is_uuid(text):
            return text
        scheme = _SCHEME.match(text)
        kind = (scheme[1] or scheme[2]).lower() if scheme is not None else ""
        if kind in ("http", "https"):
            return text
        if kind not in ("", "file"):
            raise self._refused(f"{one_line(kind, 20)}: URLs are not accepted", parameter)
        try:
            wanted = url2pathname(urlsplit(text).path) if kind == "file" else text
        except (OSError, ValueError) as error:  # a host that is none; on Windows, a path that is none
            raise self._refused(f"{one_line(repr(text), 200)} is not a path", parameter) from error
        path = self._allowed(wanted, parameter)
        try:
            with path.open("rb") as file:
                head = file.read(SNIFFED_BYTES)
                if not sniff(head)[0].startswith("image/"):
                    raise self._refused(f"{path} is not an image", parameter)
                data = head + file.read(_MAX_BYTES)
        except OSError as error:
            raise self._refused(f"{path} cannot be read ({error.strerror})", parameter) from error
        if len(data) > _MAX_BYTES:
            raise self._refused(f"{path} has more than {_MAX_BYTES // 2**20} MiB", parameter)
        return data

    def _allowed(self, text: str, parameter: str) -> Path:
        """Return the file inside an allowed folder that a path leads to, after all links."""
        shown = one_line(repr(text), 200)
        try:
            wanted = Path(text).expanduser()
            # Whether a file exists is looked at only inside the folders: the answer would tell of the rest of the disk.
            inside = [
                path
                for folder in self.folders
                if (path := (folder / wanted).resolve()).is_relative_to(folder) and path != folder
            ]
            found = next((path for path in inside if path.is_file()), None)
        except (OSError, ValueError, RuntimeError) as error:  # a NUL, a loop of links, an unknown user
            raise self._refused(f"{shown} is not a path", parameter) from error
        if found is not None:
            return found
        if inside:
            raise self._refused(f"there is no file {shown}", parameter)
        raise self._refused(f"{shown} is outside the folders that may be read", parameter)

    def _refused(self, why: str, parameter: str) -> ValidationError:
        folders = " or ".join(map(str, self.folders))
        files = f"the path of an image in {folders}, " if folders else ""
        return ValidationError(
            f"{parameter}: {why}. Pass {files}an https:// URL, or the id of an earlier result.",
            code="invalidMedia",
            parameter=parameter,
        )
