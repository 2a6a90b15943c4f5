"""Describe parameters and values: their Python names, what a schema accepts, and the nearest accepted value."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from runware._support.api_names import python_name
from runware._support.lazy_modules import lazy_module
from runware._support.synonyms import SYNONYMS
from runware._support.unknown_names import fold_name
from runware.models.schema import Schema, choices_of, is_number

if TYPE_CHECKING:
    import difflib
else:
    difflib = lazy_module("difflib")

__all__ = [
    "LISTED",
    "either_of",
    "find_name",
    "join_path",
    "money",
    "nearest_choice",
    "nearest_number",
    "python_path",
    "right_name",
    "shown_value",
    "span_words",
    "takes",
    "type_words",
]

LISTED = 12
"""The most allowed values that a message lists."""
_PROSE = re.compile("prompt|text|content|lyrics|message", re.IGNORECASE)
_KINDS = {
    "string": "a str",
    "integer": "an integer",
    "number": "a number",
    "boolean": "True or False",
    "object": "a dict",
    "array": "a list",
    "null": "None",
}


def join_path(path: str, name: str) -> str:
    """Return the path of a name inside an object."""
    return f"{path}.{name}" if path else name


def python_path(path: str) -> str:
    """Return a path of API names as Python code writes it."""
    return ".".join(python_name(name) for name in path.split("."))


def right_name(name: str, known: Collection[str]) -> str | None:
    """Return the API name that another spelling, another vendor's name, or a misspelt name probably means."""
    by_form = {fold_name(one): one for one in known}
    form = fold_name(name)
    if form in by_form:
        return by_form[form]
    for meant in SYNONYMS.get(form, ()):
        if fold_name(meant) in by_form:
            return by_form[fold_name(meant)]
    near = difflib.get_close_matches(form, by_form, 1, cutoff=0.75)
    return by_form[near[0]] if near else None


def find_name(name: str, properties: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the paths of parameters inside objects that a name may refer to."""
    for outer, schema in properties.items():
        inner = schema.get("properties") if isinstance(schema, Mapping) else None
        if inner:
            right = right_name(name, inner)
            if right is not None:
                yield join_path(join_path(path, outer), right)
            yield from find_name(name, inner, join_path(path, outer))


def type_words(kinds: str | list[str]) -> str:
    """Describe one or several types of JSON."""
    return either_of([_KINDS.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def either_of(words: list[str]) -> str:
    """Return alternatives as a list in words."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else ""


def span_words(low: Any, high: Any, what: str) -> str:
    """Describe how many of something are accepted."""
    if low is not None and low == high:
        return f"exactly {low:,} {what}{'' if low == 1 else 's'}"
    if low is None:
        return f"at most {high:,} {what}{'' if high == 1 else 's'}"
    return f"at least {low:,} {what}{'' if low == 1 else 's'}" if high is None else f"{low:,} to {high:,} {what}s"


def takes(schema: Schema) -> str:
    """Describe what a schema accepts; empty if it accepts anything."""
    choices = choices_of(schema)
    if choices is not None:
        plain = [repr(one) for one in choices if not isinstance(one, Mapping)]
        spans = [takes(one) for one in choices if isinstance(one, Mapping)]
        more = [f"one of {len(plain) - LISTED} others"] if len(plain) > LISTED else []
        return either_of([*filter(None, spans), *plain[:LISTED], *more])
    low, high, unit = (schema.get(name) for name in ("minimum", "maximum", "multipleOf"))
    kind = "an integer" if schema.get("type") == "integer" else "a number"
    if isinstance(unit, int) and unit > 1:
        kind = f"a multiple of {unit}"
    if low is not None and high is not None:
        return f"{kind} between {low} and {high}"
    if low is not None:
        return f"{kind} of at least {low}"
    if high is not None:
        return f"{kind} of at most {high}"
    if unit is not None:
        return kind if isinstance(unit, int) else f"a multiple of {unit}"
    is_list = not {"items", "minItems", "maxItems"}.isdisjoint(schema)
    unsaid: list[str] = ["array"] if is_list else ["object"] if "properties" in schema else []
    return type_words(schema.get("type", unsaid))


def nearest_number(schema: Schema, value: float) -> float:
    """Return the nearest number that a schema accepts; of two, the larger one."""
    low, high, unit = (schema.get(name) for name in ("minimum", "maximum", "multipleOf"))
    near = value
    if low is not None:
        near = max(near, low)
    if high is not None:
        near = min(near, high)
    if unit is not None and unit > 0:
        near = _nearest_multiple(near, unit)
        if low is not None and near < low:
            near += unit
        if high is not None and near > high:
            near -= unit
    if schema.get("type") == "integer":
        return round(near)
    return round(near, 9) if isinstance(near, float) else near


def _nearest_multiple(value: float, unit: float) -> float:
    """Return the multiple of *unit* that is nearest to a number; of two, the larger one. Integers stay exact."""
    if isinstance(value, int) and isinstance(unit, int):
        return (2 * value + unit) // (2 * unit) * unit
    try:
        return round(math.floor(value / unit + 0.5) * unit, 9)
    except OverflowError:  # an integer beyond all floats
        return value


def nearest_choice(choices: list[Any], value: Any) -> Any:
    """Return the listed value that is nearest to one which is not listed; `None` if none is near."""
    if is_number(value):
        numbers: list[Any] = [one for one in choices if is_number(one)]
        numbers += [nearest_number(one, value) for one in choices if isinstance(one, Mapping)]
        return min(numbers, key=lambda one: (abs(one - value), -one), default=None)
    if isinstance(value, str):
        words = {one.lower(): one for one in choices if isinstance(one, str)}
        near = difflib.get_close_matches(value.lower(), words, 1, cutoff=0.5)
        return words[near[0]] if near else None
    return None


def shown_value(path: str, value: Any) -> str:
    """Return a value for a message, without any text of the user in it."""
    if isinstance(value, str) and (len(value) > 40 or _PROSE.search(path)):
        return f"a str of {len(value):,} characters"
    if isinstance(value, Mapping):
        return "a dict"
    if isinstance(value, (list, tuple)):
        return "a list"
    return repr(value)


def money(amount: float) -> str:
    """Return an amount of US dollars, with as many digits as it has, and two at least."""
    return f"${amount:.2f}" if math.isclose(round(amount, 2), amount, rel_tol=1e-6) else f"${amount:.6g}"
