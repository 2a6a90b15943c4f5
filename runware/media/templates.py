"""File names from templates, such as `"{task_type}/{index:03}-{seed}{ext}"`."""

from __future__ import annotations

import string
from typing import Any

from runware.errors import ValidationError
from runware.media.files import safe_name

__all__ = ["FileTemplate", "with_extension"]

_EXTENSION = "\0"
"""Stands in a name for the extension, which is known when the file has arrived."""
_FIELDS = ("index", "seed", "uuid", "task_uuid", "task_type", "kind", "model", "ext")


def with_extension(name: str, extension: str) -> str:
    """Return a name of a template with an extension (`".png"`, or `""`), for `{ext}` and `.{ext}` alike."""
    return name.replace(f".{_EXTENSION}", extension).replace(_EXTENSION, extension)


class FileTemplate:
    """A template for file names. Values that a server chose never lead into another folder.

    Args:
        text: The template.

    Raises:
        ValidationError: It is not a template, or names an unknown field.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
            unknown = [name for name in names if name not in _FIELDS]
            if not unknown:
                self._format(dict.fromkeys(_FIELDS, "x") | {"index": 1, "seed": 1})
        except (LookupError, ValueError, TypeError) as error:
            raise _invalid(f"template {text!r} is not a format string: {error}") from error
        if unknown:
            raise _invalid(
                f"template has no field {{{unknown[0]}}}; it may have {', '.join(f'{{{n}}}' for n in _FIELDS)}"
            )

    def name(self, result: Any, index: int = 0) -> str:
        """Return the name for a result, relative to the folder, for `with_extension`.

        Args:
            result: The result. What it does not have is called "unknown"; a missing seed is 0.
            index: Its number among those that are saved together, from 0.
        """
        model = result.meta.request.get("model") if hasattr(result, "meta") else None
        facts = {name: getattr(result, name, None) for name in ("uuid", "task_uuid", "task_type", "kind")}
        named = {
            name: safe_name(str(value)) if value else "unknown" for name, value in {**facts, "model": model}.items()
        }
        name = self._format({**named, "index": index, "seed": getattr(result, "seed", None) or 0, "ext": _EXTENSION})
        if not name.strip() or name.endswith(("/", "\\")):
            raise _invalid("template must end with a file name")
        return name

    def names(self, results: list[Any]) -> list[str]:
        """Return the names for results that are saved together.

        Raises:
            ValidationError: Two of them have the same name.
        """
        names = [self.name(result, index) for index, result in enumerate(results)]
        if len({name.casefold() for name in names}) < len(names):
            raise _invalid("template gives several results the same name; add {index} or {uuid}")
        return names

    def _format(self, values: dict[str, Any]) -> str:
        return self._text.format(**values)


def _invalid(message: str) -> ValidationError:
    return ValidationError(f"{message}.", code="invalidParameter", parameter="template")
