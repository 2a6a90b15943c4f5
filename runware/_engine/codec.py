"""Between Python objects and the wire: the names, the JSON, and the shapes a frame may have.

Wire names live here and nowhere else. A Python name becomes camelCase with `UUID`, `URL`, `URI` and `ID` in capitals
where the wire has them so; what does not follow the rule stands in `IRREGULAR`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from runware._engine.splicing import LONG, dumps_with, loads_with

__all__ = ["dumps", "loads", "new_converter", "prepare", "read_frame", "structure", "wire_name"]

log = logging.getLogger("runware.codec")

T = TypeVar("T")
Item = dict[str, Any]

orjson: Any
try:
    orjson = import_module("orjson")  # the extra `fast`
except ImportError:
    orjson = None

IRREGULAR = {
    "cfg_scale": "CFGScale",
    "true_cfg_scale": "trueCFGScale",
    "cfg_start_step": "CFGStartStep",
    "cfg_start_step_percentage": "CFGStartStepPercentage",
    "default_cfg": "defaultCFG",
    "check_nsfw": "checkNSFW",
    "nsfw_content": "NSFWContent",
    "instant_id": "instantID",
    "air_source": "AIRSource",
    "high_threshold_canny": "highThresholdCanny",
    # Snake case on the wire as well.
    **{name: name for name in ("x_min", "y_min", "x_max", "y_max")},
}
_CAPITALS = {"uuid": "UUID", "url": "URL", "uri": "URI"}
_BY_KIND = {"uuid": "UUID", "url": "URL", "base64_data": "Base64Data", "data_uri": "DataURI"}


@cache
def wire_name(name: str) -> str:
    """Tell what a Python field is called on the wire: `task_uuid` is `taskUUID`, `cfg_scale` is `CFGScale`."""
    if name in IRREGULAR:
        return IRREGULAR[name]
    first, *rest = name.split("_")
    return first + "".join(_CAPITALS.get(word, word.capitalize()) for word in rest)


def _result_wire_name(cls: type, name: str) -> str:
    # `Image.uuid` is `imageUUID`, `Video.url` is `videoURL`: the wire puts the kind into the name.
    kind = getattr(cls, "kind", "")
    return kind + _BY_KIND[name] if kind and name in _BY_KIND else wire_name(name)


_SIMPLE = (str, int, float, bool, type(None))


def _is_simple(expected: Any) -> bool:
    """Tell whether all values of a type go on the wire as they are."""
    if get_origin(expected) in (Union, UnionType):
        return all(map(_is_simple, get_args(expected)))
    return expected in _SIMPLE or get_origin(expected) is Literal


def new_converter(omit: frozenset[str], leaf: Callable[[Any], Any]) -> cattrs.Converter:
    """Make the converter from request objects to wire objects.

    Args:
        omit: Field names that are settings of the call and do not go on the wire.
        leaf: Turns a value that is neither a request object nor JSON into text.
    """
    converter = cattrs.Converter(unstructure_fallback_factory=lambda _: leaf)
    for plain in _SIMPLE:
        converter.register_unstructure_hook(plain, identity)

    @converter.register_unstructure_hook_factory(attrs.has)
    def _(cls: type) -> Callable[[Any], Item]:
        attrs.resolve_types(cls)
        names = {
            field.name: override(
                rename=wire_name(field.name),
                omit=field.name in omit or None,
                unstruct_hook=identity if _is_simple(field.type) else None,  # cattrs would look at a union each time
            )
            for field in attrs.fields(cls)
        }
        return make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True, **names)  # type: ignore[arg-type]

    return converter


_reading = cattrs.Converter(detailed_validation=False)


def _plain(*kinds: type) -> Callable[[Any, Any], Any]:
    """Read a value of the usual types as it is. cattrs looks at a union anew each time, for ten times as long."""
    allowed = frozenset((*kinds, type(None)))

    def check(value: Any, _: Any) -> Any:
        if type(value) in allowed:
            return value
        raise TypeError(type(value).__name__)

    return check


_PLAIN: dict[Any, Callable[[Any, Any], Any]] = {
    str | None: _plain(str),
    int | None: _plain(int),
    float | None: _plain(float, int),
    bool | None: _plain(bool),
}


@_reading.register_structure_hook_factory(attrs.has)
def _(cls: type[Any]) -> Callable[[Any, Any], Any]:
    # An object inside an item, by the same rules; what is no object becomes one without values.
    return lambda value, _: structure(value if isinstance(value, dict) else {}, cls)


@cache
def _reader(cls: Any) -> tuple[Callable[[Any, Any], Any], dict[str, tuple[str, Any]]]:
    attrs.resolve_types(cls)
    fields = {
        field.name: (_result_wire_name(cls, field.name), field.type)
        for field in attrs.fields(cls)
        if field.name != "raw" and field.init
    }
    names = {name: override(rename=wire, struct_hook=_PLAIN.get(expected)) for name, (wire, expected) in fields.items()}
    fast: Callable[[Any, Any], Any] = make_dict_structure_fn(
        cls,
        _reading,
        _cattrs_detailed_validation=False,
        raw=override(omit=True),
        **names,  # type: ignore[arg-type]
    )
    return fast, fields


def prepare(cls: type) -> None:
    """Get ready to read results of a class. It takes a millisecond, once, which is better spent before they come."""
    _reader(cls)


def structure(item: Item, cls: type[T]) -> T:
    """Make a result object from a wire item. It never fails: what does not fit is `None`, and stays in `raw`."""
    fast, fields = _reader(cls)  # type: ignore[arg-type]  # every class can be hashed
    result: T
    try:
        result = fast(item, cls)
    except Exception:
        # A field of another type than expected: a paid result must not be lost because of it.
        fitting: dict[str, Any] = {}
        for name, (wire, expected) in fields.items():
            if item.get(wire) is not None:
                try:
                    fitting[name] = _reading.structure(item[wire], expected)
                except Exception as error:
                    log.debug("%s.%s: the value of %s does not fit: %s", cls.__name__, name, wire, type(error).__name__)
        result = cls(**fitting)
    object.__setattr__(result, "raw", item)
    return result


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def dumps(value: Any) -> bytes:
    """Write compact JSON in UTF-8.

    Raises:
        TypeError: It holds an object that JSON has no form for.
        ValueError: It holds NaN or an infinity.
    """
    if orjson is not None:
        try:
            data: bytes = orjson.dumps(value)
            return data
        except TypeError:  # integers of more than 64 bits, lone surrogates: the standard library can
            pass
    try:
        return dumps_with(_encode, value)
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can carry
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def loads(data: bytes | memoryview) -> Any:
    """Read JSON. Raises `ValueError` for anything else."""
    try:
        if len(data) > LONG:
            return loads_with(json.loads if orjson is None else orjson.loads, str(data, "utf-8"))
        return json.loads(str(data, "utf-8")) if orjson is None else orjson.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _objects(value: Any) -> list[Item]:
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    return []


def read_frame(data: bytes | memoryview) -> tuple[list[Item], list[Item]]:
    """Take the items and the errors out of one message from the server, in any of the shapes it is seen in.

    They are those of the protocol reference, section 3.2: `data` and `errors` in one frame both count, `error`
    may stand for `errors`, either may be one object instead of a list, and all of it may be wrapped in a list.

    Raises:
        ValueError: It is not JSON.
    """
    message = loads(data)
    if type(message) is dict and len(message) == 1:
        found = message.get("data")
        if type(found) is list and len(found) == 1 and type(found[0]) is dict:
            return found, []  # the usual case
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
