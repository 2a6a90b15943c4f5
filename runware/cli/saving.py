"""Where `-o` saves results: a directory, a file, a file for each result, or standard output."""

from __future__ import annotations

import os
import string
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from runware import MediaResult, Results, ValidationError
from runware.media.files import decoded_chunks, safe_name
from runware.media.kinds import SNIFFED_BYTES, sniff, url_extension

__all__ = ["FIELDS", "Target", "actual_format"]

FIELDS = ("number", "seed", "uuid", "ext")
"""The fields that a template may have in braces."""

_EXAMPLE = {"number": 1, "seed": 1, "uuid": "uuid", "ext": "ext"}
_UNIQUE = frozenset(("number", "seed", "uuid"))
_SAME = {".jpeg": ".jpg", ".tif": ".tiff", ".m4v": ".mp4", ".htm": ".html"}
_FORMATS = {".jpg": "JPG", ".tiff": "TIFF"}


@attrs.frozen
class Target:
    """Destination of the results of a command.

    Attributes:
        text: The value of `-o`. `None` saves nothing.
        overwrite: Replace existing files.
    """

    text: str | None
    overwrite: bool = False

    @property
    def is_stream(self) -> bool:
        """Whether results go to standard output."""
        return self.text == "-"

    @property
    def is_template(self) -> bool:
        """Whether the name has a field in braces."""
        return self.text is not None and "{" in self.text

    @property
    def file(self) -> Path | None:
        """The one file to write; `None` for a directory, a template or standard output."""
        if self.text is None or self.is_stream or self.is_template:
            return None
        path = Path(self.text)
        is_directory = self.text.endswith(("/", "\\")) or path.is_dir() or (not path.suffix and not path.exists())
        return None if is_directory else path

    @property
    def extension(self) -> str:
        """The extension for the files, in lower case; `""` if it is not given."""
        text = self.text or ""
        if self.is_stream or (self.file is None and not self.is_template):
            return ""
        found = Path(text).suffix.lower()
        return "" if "{" in found else _SAME.get(found, found)

    def check(self, results: int) -> None:
        """Check the name before anything is sent.

        Args:
            results: How many results the command may get.

        Raises:
            ValidationError: Several results would have one name, a file is there already, or a template is wrong.
        """
        if self.text is None:
            return
        if self.is_template:
            self._check_template(results)
            self._check_folder(self._fill(_EXAMPLE).parent)
        elif (file := self.file) is not None or self.is_stream:
            if results > 1:
                advice = (
                    "a directory (-o out/)" if file is None else f"-o '{file.with_suffix('')}-{{number}}{file.suffix}'"
                )
                raise _invalid(f"{self.text} is one file, and there will be {results} results; use {advice}.")
            if file is not None and file.exists() and not file.is_file():
                raise _invalid(f"{file} is no regular file; -o - writes to standard output.")
            if file is not None and file.exists() and not self.overwrite:
                raise _invalid(f"{file} exists; --overwrite replaces it.")
            if self.is_stream and sys.stdout.isatty():
                raise _invalid("Media on a terminal is unreadable; redirect standard output, or name a file.")
        if not self.is_stream and not self.is_template:
            self._check_folder(Path(self.text) if self.file is None else self.file.parent)

    @staticmethod
    def _check_folder(folder: Path) -> None:
        """Check that a directory exists, or can be created, and takes files."""
        there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
        if not there.is_dir():
            raise _invalid(f"{there} is a file, and results cannot be saved in it.")
        if not os.access(there, os.W_OK):
            raise _invalid(f"{there} is a directory that this user cannot write to.")

    def _check_template(self, results: int) -> None:
        fields = ", ".join(f"{{{name}}}" for name in FIELDS)
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(self.text or "") if name is not None]
            if unknown := [name for name in names if name not in FIELDS]:
                raise _invalid(f"{self.text} may hold {fields} in braces; got {{{unknown[0]}}}.")
            self._fill(_EXAMPLE)
        except (KeyError, IndexError, ValueError) as error:
            raise _invalid(f"{self.text} may hold {fields} in braces: {error}.") from None
        if "seed" not in names and "uuid" not in names and "ext" not in names and not self.overwrite:
            paths = (self._fill({"number": number, "ext": ""}) for number in range(1, results + 1))
            if (taken := next((path for path in paths if path.suffix and path.exists()), None)) is not None:
                raise _invalid(f"{taken} exists; --overwrite replaces it.")
        if results > 1 and not _UNIQUE.intersection(names):
            raise _invalid(
                f"{self.text} would be the same for {results} results; add {{number}}, {{seed}} or {{uuid}}."
            )

    def _fill(self, values: dict[str, Any]) -> Path:
        path = Path((self.text or "").format_map(values))
        return path if path.suffix else path.with_name(f"{path.name}.{values['ext']}")

    def save(self, files: Results[MediaResult], paths: MutableMapping[int, Path]) -> None:
        """Save results, and note the path of each by its `id`.

        Raises:
            DownloadError: A result could not be downloaded. The others are saved nevertheless.
            OSError: A file could not be written.
        """
        if self.is_stream:
            for one in files:
                for chunk in one.iter_bytes():
                    sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        elif self.is_template or self.file is not None:
            self._save_each(files, paths)
        else:
            where = Path(self.text or ".")
            where.mkdir(parents=True, exist_ok=True)
            saved = files.save_all(where, overwrite=self.overwrite)
            paths.update((id(one), path) for one, path in zip(files, saved, strict=True))

    def _save_each(self, files: Sequence[MediaResult], paths: MutableMapping[int, Path]) -> None:
        first: Exception | None = None
        for number, one in enumerate(files, 1):
            path = self.file or self._fill(_values(one, number))
            try:
                paths[id(one)] = one.save(path, overwrite=self.overwrite)
            except Exception as error:  # the other results have been billed, too
                first = first or error
        if first is not None:
            raise first


class _NoSeed(str):
    """The seed of a result without one, whatever format a template has for the number: a paid result needs a name."""

    __slots__ = ()

    def __format__(self, _: str) -> str:
        return str(self)


def _values(one: MediaResult, number: int) -> dict[str, Any]:
    inline = one.base64_data or one.data_uri
    extension = sniff(next(decoded_chunks(inline), b""))[1] if inline else url_extension(one.url or "")
    seed = getattr(one, "seed", None)
    return {
        "number": number,
        "seed": seed if isinstance(seed, int) else _NoSeed("no-seed"),
        "uuid": safe_name(one.uuid or str(number)),
        "ext": extension.lstrip(".") or "bin",
    }


def actual_format(path: Path) -> str | None:
    """Return the format of a file if its name has another one, such as `"JPG"`; `None` if the name is right."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        found = sniff(file.read(SNIFFED_BYTES))[1]
    suffix = path.suffix.lower()
    if not found or found == _SAME.get(suffix, suffix):
        return None
    return _FORMATS.get(found, found[1:].upper())


def _invalid(message: str) -> ValidationError:
    return ValidationError(message, parameter="-o")
