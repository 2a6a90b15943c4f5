"""Conversion between Python objects and the API's JSON: names, encoding, and the forms a message may have.

The API's names are used here and nowhere else. A Python name becomes camelCase, with `UUID`, `URL`, `URI` and `ID` in
capitals where the API has them so; exceptions are in `IRREGULAR`.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import attrs

from runware._support.api_names import wire_name
from runware._support.lazy_modules import lazy_module
from runware.errors import ValidationError
from runware.protocol.json_blobs import LONG, dumps_with, is_flat, loads_with

if TYPE_CHECKING:
    import cattrs
else:
    cattrs = lazy_module("cattrs")

__all__ = [
    "dumps",
    "finite_number",
    "form_of",
    "has_slots",
    "is_flat",
    "loads",
    "loads_leniently",
    "new_converter",
    "new_writer",
    "plain_form",
    "read_frame",
    "read_message",
    "rules",
    "structure",
]

log = logging.getLogger("runware.codec")

T = TypeVar("T")
Item = dict[str, Any]
Rule = tuple[str, frozenset[type], Callable[[Any], Any]]
"""The API's name of a field, the types whose values are kept as they are, and the converter for all others."""

orjson: Any
try:
    orjson = import_module("orjson")  # the extra `fast`
except ImportError:
    orjson = None

_BY_KIND = {"uuid": "UUID", "url": "URL", "base64_data": "Base64Data", "data_uri": "DataURI"}


def _result_wire_name(cls: type, name: str) -> str:
    # `Image.uuid` is `imageUUID`, `Video.url` is `videoURL`: the API puts the kind into the name.
    kind = getattr(cls, "kind", "")
    return kind + _BY_KIND[name] if kind and name in _BY_KIND else wire_name(name)


_SIMPLE = frozenset((str, int, float, bool, type(None)))
"""Types whose values are sent as they are."""
_DEEPEST = 100
"""The most levels of dicts and lists in one value: more than any model needs, fewer than would exhaust the stack."""
_TOO_DEEP = f"contains itself, or is nested more than {_DEEPEST} deep"


class _NotJsonError(Exception):
    """A value cannot be written as JSON; the text says why."""


def _finite(value: float) -> float:
    if not math.isfinite(value):  # orjson would send null for it
        raise _NotJsonError("contains NaN or an infinity, which JSON cannot represent")
    return value


Convert = Callable[[Any], Any]


def form_of(convert: Convert, given: object, whole: object, name: str) -> Any:
    """Convert one value of a request to JSON types.

    Args:
        convert: Converts the value.
        given: The value.
        whole: The request, and *name* the parameter, for the error.
        name: The name of the parameter.

    Raises:
        ValidationError: JSON cannot represent something in it; `parameter` is *name*.
    """
    try:
        return convert(given)
    except (_NotJsonError, RecursionError) as error:
        why = _TOO_DEEP if isinstance(error, RecursionError) else error
        message, kind = f"{type(whole).__name__}: {name} {why}.", getattr(whole, "task_type", None)
    raise ValidationError(message, code="invalidParameter", parameter=name, task_type=kind)


def plain_form(value: Any, convert: Convert, part: type, levels: int = _DEEPEST) -> Any:
    """Convert dicts and lists, whose values are mostly simple, to JSON types.

    Args:
        value: The dict or list.
        convert: Converts values of other types.
        part: A class of dicts that it converts too.
        levels: How many levels of dicts and lists it may have.
    """
    if type(value) in _SIMPLE:
        return _finite(value) if type(value) is float else value
    if isinstance(value, (Mapping, list, tuple)) and not isinstance(value, part):
        if not levels:
            raise _NotJsonError(_TOO_DEEP)
        if isinstance(value, Mapping):
            return {
                name if type(name) is str else _key(name, convert): plain_form(one, convert, part, levels - 1)
                for name, one in value.items()
            }
        return [plain_form(one, convert, part, levels - 1) for one in value]
    return convert(value)


def _key(name: object, convert: Convert) -> Any:
    form = convert(name)
    if form is not None and not isinstance(form, (str, int, float)):
        raise _NotJsonError(f"contains a dict with a {type(name).__name__} as a key, where JSON has text only")
    return form


@cache
def has_slots(cls: Any) -> bool:
    """Return whether objects of an attrs class have their values in slots. With another base, they have a dict, too."""
    in_slots = (isinstance(getattr(cls, field.name, None), MemberDescriptorType) for field in attrs.fields(cls))
    return cls.__dictoffset__ == 0 or any(in_slots)  # a class without fields has no slots, and perhaps no dict


def new_writer(cls: Any, omit: frozenset[str], convert: Convert) -> Callable[..., Item]:
    """Make the function that writes request objects of a class, into a JSON object that may have values already.

    Args:
        cls: The class.
        omit: Field names that are settings of the call and are not sent.
        convert: Converts values that are not simple.
    """
    rows = {field.name: (wire_name(field.name), field.default) for field in attrs.fields(cls) if field.name not in omit}
    slots = has_slots(cls)  # a caller's own attrs class has them, unless it says slots=False

    def write(value: Any, wire: Item | None = None) -> Item:
        wire = {} if wire is None else wire
        values = {name: getattr(value, name) for name in rows} if slots else value.__dict__
        for name, given in values.items():
            row = rows.get(name)
            if row is not None and given != row[1]:
                wire[row[0]] = given if type(given) in _SIMPLE else form_of(convert, given, value, name)
        return wire

    return write


def new_converter(omit: frozenset[str], leaf: Callable[[object], object], part: type) -> cattrs.Converter:
    """Make the converter from request objects to JSON objects.

    Args:
        omit: Field names that are settings of the call and are not sent.
        leaf: Turns a value that is neither a request object nor JSON into text.
        part: A class of dicts that represent request objects, and have a hook of their own.
    """

    def finite_leaf(value: object) -> object:
        form = leaf(value)
        return _finite(form) if type(form) is float else form

    converter = cattrs.Converter(unstructure_fallback_factory=lambda _: finite_leaf)
    for plain in _SIMPLE - {float, int}:
        converter.register_unstructure_hook(plain, lambda value: value)
    # A NumPy number may be a subclass of float, which not every JSON encoder accepts.
    converter.register_unstructure_hook(int, int)
    converter.register_unstructure_hook(float, lambda value: _finite(float(value)))

    converter.register_unstructure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, (Mapping, list, tuple)),
        lambda value: plain_form(value, converter.unstructure, part),
    )
    converter.register_unstructure_hook_factory(attrs.has, lambda cls: new_writer(cls, omit, converter.unstructure))
    return converter


def _is_sequence(kind: object) -> bool:
    return get_origin(kind) is Sequence


@cache
def _reading() -> cattrs.Converter:
    """Make the converter for fields whose values are not kept as they are."""
    converter = cattrs.Converter(detailed_validation=False)

    @converter.register_structure_hook_factory(attrs.has)
    def _(cls: type[T]) -> Callable[[object, object], T]:
        # An object inside an item, in the same way; a value that is no object becomes one without values.
        return lambda value, _: structure(value if isinstance(value, dict) else {}, cls)

    @converter.register_structure_hook_factory(_is_sequence)
    def _(kind: object) -> Callable[[object, object], tuple[Any, ...]]:
        (item,) = get_args(kind)

        def read(value: object, _: object) -> tuple[Any, ...]:
            if not isinstance(value, list):  # the letters of a text, the names of an object
                raise TypeError
            return tuple(converter.structure(one, item) for one in value)

        return read

    for kind in (str, bool, int):
        converter.register_structure_hook(kind, _only(kind))
    converter.register_structure_hook(float, _number)
    return converter


def _only(kind: type[T]) -> Callable[[object, object], T]:
    """Accept values of this type only: `bool("false")` and `str({})` would invent a value."""

    def read(value: object, _: object) -> T:
        if type(value) is not kind:
            raise TypeError
        return value

    return read


def _number(value: object, _: object) -> float:
    if type(value) is float or (type(value) is int and abs(value) < 1 << 63):  # others may not fit a float
        return value
    raise TypeError


def finite_number(value: float) -> float | None:
    """Return a number; `None` for NaN and infinities, which JSON does not have, and which spoil sums."""
    return value if math.isfinite(value) else None


_PLAIN: dict[object, frozenset[type]] = {
    str | None: frozenset((str,)),
    int | None: frozenset((int,)),
    bool | None: frozenset((bool,)),
    Any: frozenset((str, int, float, bool, dict, list)),
}
"""Types whose values are kept as they are, by a field's declared type."""


@cache
def rules(cls: Any) -> dict[str, Rule]:
    """Return how to read each field of a class. It takes a millisecond, once, which is best spent before results come.

    Reading never fails: a value of an unexpected type becomes `None`, and stays in `raw`, so that a billed result is
    not lost because of it.
    """
    attrs.resolve_types(cls)

    def rule(field: Any) -> Rule:
        wire = _result_wire_name(cls, field.name)

        def make(value: Any) -> Any:
            try:
                return _reading().structure(value, field.type)
            except Exception as error:
                log.debug("%s.%s: %s does not fit: %s", cls.__name__, field.name, wire, type(error).__name__)
                return None

        if field.type == float | None:
            return wire, frozenset(), lambda value: finite_number(value) if type(value) is float else make(value)
        return wire, _PLAIN.get(field.type, frozenset()), make

    fields = (field for field in attrs.fields(cls) if field.name != "raw" and not field.name.startswith("_"))
    return {field.name: rule(field) for field in fields}


def structure(item: Item, cls: type[T]) -> T:
    """Make a result object from an item, whose fields it converts at their first use."""
    result = cls.__new__(cls)
    object.__setattr__(result, "raw", item)
    return result


def _encoder() -> Callable[[Any], str]:
    """Return a JSON encoder. `json.JSONEncoder` creates its C part for each message: a third of the time."""
    whole = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    parts: Any = json.encoder
    try:
        inner = parts.c_make_encoder(None, whole.default, parts.encode_basestring, None, ":", ",", False, False, False)
    except (AttributeError, TypeError):  # pragma: no cover - an interpreter without this C part
        return whole.encode

    def encode(value: Any) -> str:
        try:
            return "".join(inner(value, 0))
        except RecursionError:
            return whole.encode(value)  # which reports an object that contains itself

    return encode


_decode: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())[
    "scan_once"
]  # the function that `raw_decode` calls
_encode = _encoder()


def dumps(value: object, *, flat: bool = False) -> bytes:
    """Encode compact JSON in UTF-8.

    Args:
        value: The value to write.
        flat: Whether it is known to be a list of tasks that all pass `is_flat`.

    Raises:
        TypeError: It contains an object that cannot be written as JSON.
        ValueError: It contains NaN or an infinity.
    """
    if orjson is not None:
        try:
            data: bytes = orjson.dumps(value)
            return data
        except TypeError:  # integers of more than 64 bits, lone surrogates: the standard library can write them
            pass
    try:
        return _encode(value).encode() if flat else dumps_with(_encode, value)
    except UnicodeEncodeError:  # a lone surrogate, which can only be written as an escape
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _parsed(data: bytes | bytearray) -> Any:
    if orjson is not None:
        try:
            return orjson.loads(data)
        except ValueError:  # a lone surrogate, perhaps: the standard library can read it
            pass
    return json.loads(str(data, "utf-8"))


def loads(data: bytes | bytearray) -> Any:
    """Parse JSON.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return loads_with(_parsed, data) if len(data) > LONG else _parsed(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _any_number(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts to an int
        return float(digits)


_lenient = json.JSONDecoder(strict=False, parse_int=_any_number)


def _loads_damaged(data: bytes | bytearray) -> Any:
    """Parse damaged JSON: truncated UTF-8, control characters in strings, numbers of any length.

    A prompt that the server echoes may contain them, and the results beside it have been billed.
    """
    try:
        return _lenient.decode(str(data, "utf-8", "replace").lstrip("\ufeff"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def loads_leniently(data: bytes | bytearray) -> Any:
    """Parse JSON, or what is nearly JSON.

    Raises:
        ValueError: It is not JSON, not even nearly.
    """
    try:
        return loads(data)
    except ValueError:
        return _loads_damaged(data)


def named_tasks(data: bytes | bytearray) -> list[str]:
    """Return the UUIDs of the tasks that an unreadable message names, each once."""
    return list(dict.fromkeys(name.decode() for name in _TASK_UUID.findall(data)))


_TASK_UUID = re.compile(rb'"taskUUID"\s{0,8}:\s{0,8}"([0-9A-Fa-f-]{36})"')


def is_empty_answer(data: bytes | bytearray) -> bool:
    """Return whether a message without items and errors is an empty answer: `{"data": []}`, and nothing else."""
    return bool(loads(data) == {"data": []})


def _objects(value: object) -> list[Item]:
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    return []


def read_frame(data: bytes | bytearray) -> tuple[list[Item], list[Item]]:
    """Return the items and the errors of one message from the server, in any of its known forms.

    They are those of docs/protocol.md, section 3: `data` and `errors` in one frame both count, `error` may replace
    `errors`, either may be one object instead of a list, and all of it may be wrapped in a list.

    Raises:
        ValueError: It is not JSON, not even nearly.
    """
    text, message, end = "", None, -1
    if orjson is None and len(data) <= LONG:
        try:
            # json.loads does this too, but spends two thirds of its time on whitespace and other encodings.
            text = str(data, "utf-8")
            message, end = _decode(text, 0)
        except (ValueError, StopIteration, RecursionError):
            pass  # whitespace at the start, or not JSON: `loads` finds out
    if end != len(text):
        message = loads_leniently(data)
    if type(message) is dict and len(message) == 1:
        found = message.get("data")
        if type(found) is list and len(found) == 1 and type(found[0]) is dict:
            return found, []  # the usual case
    return read_message(message)


def read_message(message: Any) -> tuple[list[Item], list[Item]]:
    """Return the items and the errors of one message that is parsed already; see `read_frame`."""
    items: list[Item] = []
    errors: list[Item] = []
    for part in _objects(message):
        items += _objects(part.get("data"))
        for key in ("errors", "error"):
            value = part.get(key)
            if value is True:  # the 2024 form: the frame itself is the error
                errors.append(part)
            elif isinstance(value, str) and value:
                errors.append({"message": value})
            elif value:
                found = _objects(value)
                if key == "error" and len(found) == 1:
                    names: Item = {name: part[name] for name in ("taskUUID", "taskType") if name in part}
                    found = [{**names, **found[0]}]
                errors += found
    return items, errors
