"""Serialization of request objects to API objects."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import attrs

from runware._support.api_names import python_path, wire_name
from runware.errors import ValidationError
from runware.media.inputs import ReadableFile, encode_media, holds_payload
from runware.protocol.codec import form_of, has_slots, new_converter, new_writer, plain_form
from runware.requests.validation import SETTINGS, ObjectDict, number_of
from runware.results import Result

if TYPE_CHECKING:
    import cattrs

    from runware.requests.base import Task

__all__ = ["holds_payload_in", "sent_form", "to_wire"]

_PLAIN = frozenset((NoneType, str, int, float, bool))
_OF_JSON = _PLAIN | {dict, list, tuple}


def holds_payload_in(value: object) -> bool:
    """Return whether encoding a value, or anything in it, reads files or copies large data."""
    if type(value) in _PLAIN:  # most are; the protocol check below takes 30 µs, on the event loop
        return isinstance(value, str) and holds_payload(value)
    if attrs.has(type(value)) and not isinstance(value, Result):
        given = [one for name, one in _values(value).items() if name == "extra" or name not in SETTINGS]
        return any(map(holds_payload_in, given))
    if isinstance(value, (list, tuple)):
        return any(map(holds_payload_in, value))
    if isinstance(value, Mapping):
        return any(map(holds_payload_in, value.values()))
    return holds_payload(value)


def _values(value: Any) -> dict[str, Any]:
    """Return the given values of a request object, or all values of an object of a caller's own class with slots."""
    if has_slots(type(value)):  # type: ignore[arg-type]  # classes are hashable, objects are not
        return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    found: dict[str, Any] = vars(value)
    return found


@cache
def _writer(cls: Any) -> Any:
    return new_writer(cls, SETTINGS, _convert)


def _convert(value: object) -> Any:
    """Convert a value to JSON types. What JSON has itself needs no cattrs, which takes 15 ms to load."""
    return plain_form(value, _convert_other, ObjectDict) if type(value) in _OF_JSON else _convert_other(value)


def _convert_other(value: object) -> Any:
    if type(value) is ObjectDict:
        return value.wire(_convert)
    return _converter().unstructure(value)


@cache
def _converter() -> "cattrs.Converter":
    converter = new_converter(SETTINGS, _leaf, ObjectDict)
    for kind in (Result, Path, bytes, bytearray, memoryview, set, frozenset):  # a set is neither media nor JSON
        converter.register_unstructure_hook(kind, encode_media)
    converter.register_unstructure_hook(ObjectDict, lambda part: part.wire(converter.unstructure))
    return converter


def _leaf(value: object) -> object:
    """Encode a value that is neither an object nor JSON: a foreign number type, or media."""
    number = number_of(value)
    return encode_media(value) if number is value else number


def to_wire(task: "Task[Any]") -> dict[str, Any]:
    """Return the API object of a task, without its UUID: API names, media encoded as text, `extra` merged last.

    Raises:
        ValidationError: A media input cannot be read; `parameter` names it.
    """
    try:
        wire: dict[str, Any] = _writer(type(task))(task, {"taskType": task.task_type})  # type: ignore[arg-type]
        if task.always:
            for name in task.always:
                wire.setdefault(wire_name(name), getattr(task, name))
        if task.extra:
            wire.update(form_of(_convert, dict(task.extra), task, "extra"))
    except ValidationError as error:
        if error.parameter is not None:
            raise
        name = _find_unusable(task) or "extra"
        if task.plain:  # its parameters are in `body`
            name = python_path(name.removeprefix("body."))
        raise ValidationError(
            f"{type(task).__name__}: {name}: {error.message}",
            code=error.code,
            parameter=name,
            task_type=task.task_type,
        ) from error
    return wire


def sent_form(value: object) -> object:
    """Return a value of a parameter as it is sent. Of one that cannot be sent, or read only once, the class's name."""
    if isinstance(value, ReadableFile) and not isinstance(value, Path):
        return type(value).__name__
    try:
        return _convert(value)
    except ValidationError:
        return type(value).__name__


def _find_unusable(value: Any, path: str = "") -> str | None:
    """Return the path of the field whose media cannot be sent."""
    children: list[tuple[str, object]] = []
    if isinstance(value, (str, bool, int, float)) or value is None:
        return None
    if attrs.has(type(value)) and not isinstance(value, Result):
        names = (field.name for field in attrs.fields(type(value)) if field.name not in SETTINGS)
        children = [(f"{path}.{name}" if path else name, getattr(value, name)) for name in names]
    elif isinstance(value, (list, tuple)):
        children = [(f"{path}[{number}]", one) for number, one in enumerate(value)]
    elif isinstance(value, Mapping):
        children = [(f"{path}.{name}" if path else str(name), one) for name, one in value.items()]
    else:
        try:
            _leaf(value)
        except ValidationError:
            return path
        # A file can be read only once, so a second, empty read proves nothing.
        return path if isinstance(value, ReadableFile) and not isinstance(value, Path) else None
    return next((found for name, child in children if (found := _find_unusable(child, name))), None)
