"""Checks of what a task holds. What is allowed is data (see `tasks`); this module only knows how to check it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "DOCUMENTATION",
    "UUID4",
    "Field",
    "Rejected",
    "array",
    "boolean",
    "check",
    "media",
    "medium",
    "number",
    "obj",
    "text",
    "whole",
]

DOCUMENTATION = "https://runware.ai/docs/models-api/errors"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE).fullmatch
_ADDRESS = re.compile(r"https?://[^/\s]|data:[^,]*,", re.IGNORECASE).match
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
_HOLDERS = frozenset(("image", "inputImage", "video", "audio"))
# A text that begins so long like base64 is base64; there may be megabytes of it.
_LOOKED_AT = 4096

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE).fullmatch


class Rejected(Exception):  # noqa: N818 - an answer to the client, no error of the server
    """The server refuses or fails a task.

    Args:
        code: The wire's error code.
        message: What is wrong, for people.
        parameter: The parameter at fault, or several of them.
        details: Further fields of the error: `type`, `min`, `max`, `multiplier`, `allowedValues`, …
    """

    def __init__(self, code: str, message: str, parameter: str | list[str] | None = None, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.parameter = parameter
        self.details = details

    def wire(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Make the error object for a task."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)}
        if self.parameter is not None:
            error["parameter"] = self.parameter
        error |= self.details
        error["documentation"] = DOCUMENTATION
        for name in ("taskType", "taskUUID"):
            if isinstance(task.get(name), str):
                error[name] = task[name]
        return error


@dataclass(frozen=True, slots=True)
class Field:
    """What one parameter may hold.

    Attributes:
        name: The wire name.
        type: `string`, `integer`, `float`, `boolean`, `array`, `object`, `media`, or `any`.
        required: Whether it must be given.
        low: The least value, length or number of items. `None`: no limit.
        high: The greatest value, length or number of items. `None`: no limit.
        multiplier: The value must be a multiple of this. `None`: any value.
        values: The allowed values. `None`: all.
        items: What each item of an array may be. `None`: anything.
        fields: What an object may hold. `None`: anything.
        code: The error code for a wrong value, if it is not `invalid` and the name.
        length_code: The error code for a wrong length, if it is another one.
        missing_code: The error code when it is missing.
        pattern: What a string has to match. `None`: any string.
        medium: Whether a string has to mean a file.
        limits: How an error describes the limits; made from the others.
    """

    name: str
    type: str
    required: bool = False
    low: float | None = None
    high: float | None = None
    multiplier: int | None = None
    values: tuple[Any, ...] | None = None
    items: Field | None = None
    fields: Mapping[str, Field] | None = None
    code: str = ""
    length_code: str = ""
    missing_code: str = "missingParameter"
    pattern: re.Pattern[str] | None = None
    medium: bool = False
    limits: dict[str, Any] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.code:
            object.__setattr__(self, "code", f"invalid{self.name[0].upper()}{self.name[1:]}")
        found = {"min": self.low, "max": self.high, "multiplier": self.multiplier}
        object.__setattr__(self, "limits", {name: value for name, value in found.items() if value is not None})


def text(name: str, low: int | None = 1, high: int | None = None, **options: Any) -> Field:
    """A string with a length."""
    return Field(name, "string", low=low, high=high, **options)


def medium(name: str, **options: Any) -> Field:
    """A text that means a file."""
    return text(name, medium=True, **options)


def media(name: str) -> Field:
    """A text that means a file, an object that holds one, or a list of these."""
    return Field(name, "media")


def whole(name: str, low: int | None = None, high: int | None = None, **options: Any) -> Field:
    """An integer."""
    return Field(name, "integer", low=low, high=high, **options)


def number(name: str, low: float | None = None, high: float | None = None, **options: Any) -> Field:
    """An integer or a fraction."""
    return Field(name, "float", low=low, high=high, **options)


def boolean(name: str) -> Field:
    """A boolean."""
    return Field(name, "boolean")


def array(
    name: str, items: Field | None = None, low: int | None = None, high: int | None = None, **options: Any
) -> Field:
    """An array."""
    return Field(name, "array", items=items, low=low, high=high, **options)


def obj(name: str, *fields: Field, **options: Any) -> Field:
    """An object; without fields it may hold anything."""
    return Field(name, "object", fields={f.name: f for f in fields} or None, **options)


def _is_type(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "array":
        return isinstance(value, list)
    return kind == "any" or isinstance(value, dict)


def check(spec: Field, value: Any, path: str = "") -> None:
    """Check one value.

    Args:
        spec: What is allowed.
        value: The value.
        path: How an error names the parameter; the field's own name if empty.

    Raises:
        Rejected: The value is not allowed.
    """
    path = path or spec.name
    kind = spec.type
    if kind == "media":
        _check_media(spec, value, path)
        return
    if not _is_type(value, kind):
        raise Rejected(spec.code, f"'{path}' must be of type {kind}.", path, type=kind, **spec.limits)
    if spec.values is not None and value not in spec.values:
        allowed = list(spec.values)
        message = f"'{path}' must be one of {', '.join(map(str, allowed))}."
        raise Rejected(spec.code, message, path, type=kind, allowedValues=allowed)
    if kind in ("integer", "float"):
        _check_range(spec, value, path)
    elif kind in ("string", "array"):
        _check_length(spec, len(value), path)
        if spec.pattern is not None and not spec.pattern.fullmatch(value):
            raise Rejected(spec.code, f"'{path}' is not well formed.", path, type=kind)
        if spec.medium:
            _check_medium(spec, value, path)
    if kind == "array" and spec.items is not None:
        for position, item in enumerate(value):
            check(spec.items, item, f"{path}[{position}]")
    elif kind == "object" and spec.fields is not None:
        check_all(spec.fields.values(), value, f"{path}.")


def _check_media(spec: Field, value: Any, path: str) -> None:
    if isinstance(value, list):
        for position, item in enumerate(value):
            _check_media(spec, item, f"{path}[{position}]")
    elif isinstance(value, dict):  # such as a frame of a video and its place
        for name in _HOLDERS & value.keys():
            _check_medium(spec, value[name], f"{path}.{name}")
    else:
        _check_medium(spec, value, path)


def _check_medium(spec: Field, value: Any, path: str) -> None:
    if not isinstance(value, str) or not _means_a_file(value):
        wanted = "a UUID, an http(s) URL, a data URI or base64"
        raise Rejected(spec.code, f"'{path}' must be {wanted}.", path, type="string")


def _means_a_file(text: str) -> bool:
    if _UUID(text) or _ADDRESS(text):
        return True
    return len(text) % 4 == 0 and _BASE64(text[:_LOOKED_AT]) is not None


def check_all(specs: Iterable[Field], values: Mapping[str, Any], prefix: str = "") -> None:
    """Check the known parameters of an object, the missing ones first.

    Raises:
        Rejected: The first thing that is not allowed.
    """
    for spec in specs:
        if spec.name in values:
            check(spec, values[spec.name], prefix + spec.name)
        elif spec.required:
            path = prefix + spec.name
            raise Rejected(spec.missing_code, f"'{path}' is required.", path, type=spec.type, **spec.limits)


def _check_range(spec: Field, value: float, path: str) -> None:
    low, high, step = spec.low, spec.high, spec.multiplier
    too_low = low is not None and value < low
    too_high = high is not None and value > high
    if not too_low and not too_high and not (step and value % step):
        return
    wanted = f"'{path}' must be"
    if step:
        wanted += f" a multiple of {step}"
    if low is not None:
        wanted += f" at least {low}" if high is None else f" between {low} and {high}"
    elif high is not None:
        wanted += f" at most {high}"
    raise Rejected(spec.code, wanted + ".", path, type=spec.type, **spec.limits)


def _check_length(spec: Field, length: int, path: str) -> None:
    low, high = spec.low, spec.high
    if low is not None and length < low:
        code = "arrayTooSmall" if spec.type == "array" else spec.length_code or spec.code
        raise Rejected(code, f"'{path}' is too short: {length}, at least {low}.", path, type=spec.type, **spec.limits)
    if high is not None and length > high:
        code = spec.length_code or spec.code
        raise Rejected(code, f"'{path}' is too long: {length}, at most {high}.", path, type=spec.type, **spec.limits)
