"""Check the parameters of a task against a description of them; see `task_types` for the descriptions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runware.local.uuids import match_uuid

__all__ = [
    "DOCUMENTATION",
    "ApiError",
    "Field",
    "array",
    "boolean",
    "check",
    "check_all",
    "file_string",
    "file_value",
    "integer",
    "json_object",
    "number",
    "string",
]

DOCUMENTATION = "https://runware.ai/docs/models-api/errors"

_match_url = re.compile(r"https?://[^/\s]|data:[^,]*,", re.IGNORECASE).match
_match_base64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
# The keys of an object that stand for a file.
_FILE_KEYS = frozenset(("image", "inputImage", "video", "audio"))
# Only the first characters are compared with base64: there may be megabytes of them.
_CHECKED_CHARACTERS = 4096


class ApiError(Exception):
    """An error of the API: the server rejects a task, or the task fails.

    Args:
        code: The API's error code.
        message: A description for people.
        parameter: The wrong parameter, or several of them.
        details: Further fields of the error object: `type`, `min`, `max`, `multiplier`, `allowedValues`, …
    """

    def __init__(self, code: str, message: str, parameter: str | list[str] | None = None, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.parameter = parameter
        self.details = details

    def to_object(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Convert it to the API's error object for a task."""
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
    """The description of one parameter.

    Attributes:
        name: The API's name of the parameter.
        type: `string`, `integer`, `float`, `boolean`, `array`, `object`, `file` or `any`.
        required: Whether the parameter must be given.
        minimum: The smallest value, length or number of items. `None`: unlimited.
        maximum: The largest value, length or number of items. `None`: unlimited.
        multiplier: The number that the value must be a multiple of. `None`: any value.
        values: The allowed values. `None`: all.
        items: The description of each item of an array. `None`: any item.
        fields: The descriptions of the fields of an object by name. `None`: any field.
        code: The error code for a wrong value; by default `invalid` and the name.
        length_code: The error code for a wrong length; by default `code`.
        missing_code: The error code for a missing parameter.
        pattern: The pattern that a string must match completely. `None`: any string.
        is_file: Whether a string must stand for a file.
        limits: The limits as an error object describes them; made from the other attributes.
    """

    name: str
    type: str
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    multiplier: int | None = None
    values: tuple[Any, ...] | None = None
    items: Field | None = None
    fields: Mapping[str, Field] | None = None
    code: str = ""
    length_code: str = ""
    missing_code: str = "missingParameter"
    pattern: re.Pattern[str] | None = None
    is_file: bool = False
    limits: dict[str, Any] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.code:
            object.__setattr__(self, "code", f"invalid{self.name[0].upper()}{self.name[1:]}")
        found = {"min": self.minimum, "max": self.maximum, "multiplier": self.multiplier}
        object.__setattr__(self, "limits", {name: value for name, value in found.items() if value is not None})


def string(name: str, minimum: int | None = 1, maximum: int | None = None, **options: Any) -> Field:
    """Describe a string by its length."""
    return Field(name, "string", minimum=minimum, maximum=maximum, **options)


def file_string(name: str, **options: Any) -> Field:
    """Describe a string that stands for a file: a UUID, a URL, a data URI or base64."""
    return string(name, is_file=True, **options)


def file_value(name: str) -> Field:
    """Describe a string that stands for a file, an object that contains one, or an array of these."""
    return Field(name, "file")


def integer(name: str, minimum: int | None = None, maximum: int | None = None, **options: Any) -> Field:
    """Describe an integer by its range."""
    return Field(name, "integer", minimum=minimum, maximum=maximum, **options)


def number(name: str, minimum: float | None = None, maximum: float | None = None, **options: Any) -> Field:
    """Describe a number, whole or not, by its range."""
    return Field(name, "float", minimum=minimum, maximum=maximum, **options)


def boolean(name: str) -> Field:
    """Describe a boolean."""
    return Field(name, "boolean")


def array(
    name: str, items: Field | None = None, minimum: int | None = None, maximum: int | None = None, **options: Any
) -> Field:
    """Describe an array by its items and its length."""
    return Field(name, "array", items=items, minimum=minimum, maximum=maximum, **options)


def json_object(name: str, *fields: Field, **options: Any) -> Field:
    """Describe an object by its fields; without fields it may contain anything."""
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
        spec: The description of the parameter.
        value: The value.
        path: The name of the parameter in an error; by default the name in its description.

    Raises:
        ApiError: The value is not allowed.
    """
    path = path or spec.name
    kind = spec.type
    if kind == "file":
        _check_files(spec, value, path)
        return
    if not _is_type(value, kind):
        raise ApiError(spec.code, f"'{path}' must be of type {kind}.", path, type=kind, **spec.limits)
    if spec.values is not None and value not in spec.values:
        allowed = list(spec.values)
        message = f"'{path}' must be one of {', '.join(map(str, allowed))}."
        raise ApiError(spec.code, message, path, type=kind, allowedValues=allowed)
    if kind in ("integer", "float"):
        _check_range(spec, value, path)
    elif kind in ("string", "array"):
        _check_length(spec, len(value), path)
        if spec.pattern is not None and not spec.pattern.fullmatch(value):
            raise ApiError(spec.code, f"'{path}' is not well formed.", path, type=kind)
        if spec.is_file:
            _check_file(spec, value, path)
    if kind == "array" and spec.items is not None:
        for position, item in enumerate(value):
            check(spec.items, item, f"{path}[{position}]")
    elif kind == "object" and spec.fields is not None:
        check_all(spec.fields.values(), value, f"{path}.")


def _check_files(spec: Field, value: Any, path: str) -> None:
    if isinstance(value, list):
        for position, item in enumerate(value):
            _check_files(spec, item, f"{path}[{position}]")
    elif isinstance(value, dict):  # such as a frame of a video, with its position
        for name in _FILE_KEYS & value.keys():
            _check_file(spec, value[name], f"{path}.{name}")
    else:
        _check_file(spec, value, path)


def _check_file(spec: Field, value: Any, path: str) -> None:
    if not isinstance(value, str) or not _is_file(value):
        wanted = "a UUID, an http(s) URL, a data URI or base64"
        raise ApiError(spec.code, f"'{path}' must be {wanted}.", path, type="string")


def _is_file(text: str) -> bool:
    if match_uuid(text) or _match_url(text):
        return True
    return len(text) % 4 == 0 and _match_base64(text[:_CHECKED_CHARACTERS]) is not None


def check_all(specs: Iterable[Field], values: Mapping[str, Any], prefix: str = "") -> None:
    """Check the described parameters of an object.

    Raises:
        ApiError: A value is not allowed, or a required one is missing.
    """
    for spec in specs:
        if spec.name in values:
            check(spec, values[spec.name], prefix + spec.name)
        elif spec.required:
            path = prefix + spec.name
            raise ApiError(spec.missing_code, f"'{path}' is required.", path, type=spec.type, **spec.limits)


def _check_range(spec: Field, value: float, path: str) -> None:
    low, high, step = spec.minimum, spec.maximum, spec.multiplier
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
    raise ApiError(spec.code, wanted + ".", path, type=spec.type, **spec.limits)


def _check_length(spec: Field, length: int, path: str) -> None:
    low, high = spec.minimum, spec.maximum
    if low is not None and length < low:
        code = "arrayTooSmall" if spec.type == "array" else spec.length_code or spec.code
        raise ApiError(code, f"'{path}' is too short: {length}, at least {low}.", path, type=spec.type, **spec.limits)
    if high is not None and length > high:
        code = spec.length_code or spec.code
        raise ApiError(code, f"'{path}' is too long: {length}, at most {high}.", path, type=spec.type, **spec.limits)
