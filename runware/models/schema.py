"""Request schemas of models: their form, and whether a value is valid.

A schema uses the part of JSON Schema that Runware's schema service uses. Keywords that are not known here are ignored:
a newer schema must not make a good request look bad.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from runware._support.api_names import wire_name

__all__ = [
    "SIZES",
    "TYPES",
    "Schema",
    "choices_of",
    "exact_limits",
    "find_schema",
    "has_type",
    "is_equal",
    "is_multiple",
    "is_number",
    "matches",
    "prepare",
]

Schema = Mapping[str, Any]
SIZES = "x-sizes"
"""Keyword of prepared schemas: the sizes accepted, a dict from (width, height) to their name."""
_LONGEST_PATTERN = 10_000
"""Longer strings are media, whose pattern is not checked: it would take longer than the whole check."""
_LIMITS = frozenset(("minimum", "maximum"))
_ROUNDED = {
    9223372036854776000: 2**63 - 1, 2**63: 2**63 - 1, -9223372036854776000: -(2**63), -(2**63): -(2**63),
    18446744073709552000: 2**64 - 1, 2**64: 2**64 - 1,
}  # fmt: skip
"""Limits of integers as JavaScript writes them, and what they were. The service makes its schemas with it."""
_STEP = re.compile(r"[^.\[\]]+")
_NUMBERS = (int, float)


def prepare(schema: Any, enums: Mapping[str, list[Any]] | None = None) -> Any:
    """Return a schema in a form that is fast to check: with references resolved, and lists of sizes as a dict.

    Limits that were rounded to a double are the integers again that they were.

    Args:
        schema: A schema as the service sends it, or as the snapshot has it.
        enums: The lists of values that `$ref` refers to.
    """
    if isinstance(schema, list):
        return [prepare(one, enums) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: prepare(one, enums) for name, one in schema.items()}
    if isinstance(reference := made.pop("$ref", None), str) and enums:
        made["enum"] = enums.get(reference.rpartition("/")[2], [])
    made |= exact_limits(made)
    options = made.get("oneOf")
    if isinstance(options, list) and options and all(map(_size_of, options)):
        del made["oneOf"]
        made[SIZES] = {_size_of(one): one.get("title", "") for one in options}
    return made


def exact_limits(schema: Schema) -> dict[str, Any]:
    """Return the limits of a schema, those that were rounded to a double as the integers that they were."""
    limits = {name: schema[name] for name in _LIMITS & schema.keys()}
    # What is no number is the schema of a parameter with such a name.
    return {name: _ROUNDED.get(limit, limit) if is_number(limit) else limit for name, limit in limits.items()}


def find_schema(schema: Schema, path: str) -> Schema | None:
    """Return the schema of a parameter inside objects and lists; `None` if there is none.

    Args:
        schema: The schema of the whole.
        path: Names, in Python's or the API's spelling, and positions: `"lora[0].weight"` or `"lora.0.weight"`.
    """
    found: Any = schema
    for step in _STEP.findall(path):
        if not isinstance(found, Mapping):
            return None
        if step.isdigit():
            found = found.get("items")
            continue
        properties = found.get("properties") or {}
        found = properties.get(step, properties.get(wire_name(step)))
    return found if isinstance(found, Mapping) else None


def matches(schema: Any, value: Any) -> bool:
    """Return whether a value is valid, as JSON Schema defines it."""
    if isinstance(schema, bool):
        return schema
    return all(test(schema, schema[keyword], value) for keyword, test in _TESTS.items() if keyword in schema)


def is_equal(one: Any, other: Any) -> bool:
    """Return whether two values are equal in JSON: 1 equals 1.0, but not `true`."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def is_number(value: Any) -> bool:
    """Return whether a value is a number of JSON, which `True` is not."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return is_number(value) and (isinstance(value, int) or value.is_integer())


TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": is_number,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, (list, tuple)),
    "null": lambda value: value is None,
}


def has_type(kinds: str | list[str], value: Any) -> bool:
    """Return whether a value has a type of JSON Schema, or one of several; types that are not known fit."""
    names = [kinds] if isinstance(kinds, str) else kinds
    return any(TYPES[name](value) for name in names if name in TYPES) or not any(name in TYPES for name in names)


def is_multiple(value: float, unit: float) -> bool:
    """Return whether a number is a multiple of *unit*, with a tolerance for binary floats such as 0.07 / 0.01."""
    if isinstance(value, int) and isinstance(unit, int):
        return value % unit == 0
    try:
        quotient = value / unit
    except OverflowError:  # an integer beyond all floats
        return False
    return math.isfinite(quotient) and abs(quotient - round(quotient)) <= 1e-9 * max(1.0, abs(quotient))


def _has_format(name: str, text: str) -> bool:
    if len(text) > _LONGEST_PATTERN:
        return True
    if name == "uuid":
        return re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None
    if name == "uri":
        return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:\S", text) is not None
    return True


def _fits_pattern(pattern: str, text: str) -> bool:
    if len(text) > _LONGEST_PATTERN:
        return True
    try:
        # The service's pattern for data URIs allows letters only, and image/svg+xml has a plus sign.
        return re.search(pattern, text) is not None or text.startswith("data:")
    except re.error:  # a pattern in another dialect of regular expressions cannot be checked
        return True


def _no_others(schema: Schema, allowed: Any, value: Mapping[str, Any]) -> bool:
    return allowed is not False or value.keys() <= schema.get("properties", {}).keys()


def _text(test: Callable[[Any, str], bool]) -> Callable[[Schema, Any, Any], bool]:
    return lambda _, expected, value: not isinstance(value, str) or test(expected, value)


def _number(test: Callable[[Any, Any], bool]) -> Callable[[Schema, Any, Any], bool]:
    return lambda _, expected, value: not is_number(value) or test(expected, value)


def _list(test: Callable[[Any, Any], bool]) -> Callable[[Schema, Any, Any], bool]:
    return lambda _, expected, value: not isinstance(value, (list, tuple)) or test(expected, value)


def _dict(test: Callable[[Schema, Any, Any], bool]) -> Callable[[Schema, Any, Any], bool]:
    return lambda schema, expected, value: not isinstance(value, Mapping) or test(schema, expected, value)


def _is_size(sizes: Mapping[tuple[Any, Any], str], width: Any, height: Any) -> bool:
    return is_number(width) and is_number(height) and (width, height) in sizes


def _conditional(schema: Schema, condition: Any, value: Any) -> bool:
    return matches(schema.get("then" if matches(condition, value) else "else", True), value)


_TESTS: dict[str, Callable[[Schema, Any, Any], bool]] = {
    "type": lambda _, expected, value: has_type(expected, value),
    "const": lambda _, expected, value: is_equal(expected, value),
    "enum": lambda _, expected, value: any(is_equal(one, value) for one in expected),
    "minimum": _number(lambda limit, value: value >= limit),
    "maximum": _number(lambda limit, value: value <= limit),
    "multipleOf": _number(lambda unit, value: is_multiple(value, unit)),
    "minLength": _text(lambda limit, text: len(text) >= limit),
    "maxLength": _text(lambda limit, text: len(text) <= limit),
    "format": _text(_has_format),
    "pattern": _text(_fits_pattern),
    "minItems": _list(lambda limit, items: len(items) >= limit),
    "maxItems": _list(lambda limit, items: len(items) <= limit),
    "items": _list(lambda schema, items: all(matches(schema, one) for one in items)),
    "contains": _list(lambda schema, items: any(matches(schema, one) for one in items)),
    "required": _dict(lambda _, names, value: all(name in value for name in names)),
    "properties": _dict(
        lambda _, schemas, value: all(matches(schemas[name], value[name]) for name in schemas if name in value)
    ),
    "additionalProperties": _dict(_no_others),
    "dependentRequired": _dict(
        lambda _, needs, value: all(other in value for name in needs if name in value for other in needs[name])
    ),
    "dependentSchemas": _dict(
        lambda _, schemas, value: all(matches(schemas[name], value) for name in schemas if name in value)
    ),
    "allOf": lambda _, options, value: all(matches(one, value) for one in options),
    "anyOf": lambda _, options, value: any(matches(one, value) for one in options),
    "oneOf": lambda _, options, value: sum(matches(one, value) for one in options) == 1,
    SIZES: _dict(lambda _, sizes, value: _is_size(sizes, value.get("width"), value.get("height"))),
    "not": lambda _, other, value: not matches(other, value),
    "if": _conditional,
}


def choices_of(schema: Schema) -> list[Any] | None:
    """Return the values a schema lists: constants, and schemas for spans of numbers; `None` if it lists none."""
    if "enum" in schema:
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    options = schema.get("oneOf")
    if options and any("const" in one for one in options):
        return [one.get("const", one) for one in options]
    return None


def _size_of(option: Any) -> tuple[Any, Any] | None:
    properties = option.get("properties", {}) if isinstance(option, Mapping) else {}
    try:
        return properties["width"]["const"], properties["height"]["const"]
    except (KeyError, TypeError):
        return None
