"""Describe what a model accepts, and what is wrong with a value.

Parameters have the names of Python code, as users of this server type them. The words are those of the client's own
check (`tests/test_local_models.py` compares them), so that a program gets the same message before and after it has sent
a task.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

__all__ = [
    "condition_words",
    "conflict_words",
    "contains_words",
    "either",
    "join",
    "missing_words",
    "named_paths",
    "option_words",
    "python_path",
    "size_words",
    "unknown_words",
    "value_words",
]

Schema = Mapping[str, Any]

_BORDERS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SECRET = re.compile(r"prompt|text|content|lyrics|message", re.IGNORECASE)
_TYPE_NAMES = {
    "string": "a str", "integer": "an integer", "number": "a number", "boolean": "True or False", "object": "a dict",
    "array": "a list", "null": "None",
}  # fmt: skip
_MOST_LISTED = 12
_LONGEST_SHOWN = 40


def join(path: str, name: str) -> str:
    """Return the path of a parameter inside another one."""
    return f"{path}.{name}" if path else name


def python_path(path: str) -> str:
    """Return a path of the API's names as Python code writes it: `inputs.seedImage` is `inputs.seed_image`."""
    return _BORDERS.sub("_", path).lower() if re.search("[A-Z]", path) else path


def either(words: Iterable[str]) -> str:
    """Return a list of alternatives in words."""
    *rest, last = [*words] or [""]
    return f"{', '.join(rest)} or {last}" if rest else last


# What a schema takes.


def _alternatives(schema: Schema) -> list[Any] | None:
    """Return the values that a schema lists, and the schemas of spans among them; `None` if it lists none."""
    for keyword in ("enum", "const"):
        if keyword in schema:
            return list(schema["enum"]) if keyword == "enum" else [schema["const"]]
    options = schema.get("oneOf") or []
    return [option.get("const", option) for option in options] if any("const" in option for option in options) else None


def _limits(schema: Schema) -> tuple[Any, Any, Any]:
    return schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")


def _type_words(schema: Schema) -> str:
    kinds = schema.get("type")
    return either(_TYPE_NAMES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds or []))


def takes_words(schema: Schema) -> str:
    """Return what a schema takes, in words; empty if it takes anything."""
    found = _alternatives(schema)
    if found is not None:
        spans = [takes_words(one) for one in found if isinstance(one, dict)]
        values = [repr(one) for one in found if not isinstance(one, dict)]
        others = [f"one of {len(values) - _MOST_LISTED} others"] if len(values) > _MOST_LISTED else []
        return either([*spans, *values[:_MOST_LISTED], *others])
    low, high, step = _limits(schema)
    kind = "an integer" if schema.get("type") == "integer" else "a number"
    if isinstance(step, int) and step > 1:
        kind = f"a multiple of {step}"
    match (low, high):
        case (None, None):
            if step is None:
                return _type_words(schema)
            return kind if isinstance(step, int) else f"a multiple of {step}"
        case (_, None):
            return f"{kind} of at least {low}"
        case (None, _):
            return f"{kind} of at most {high}"
        case _:
            return f"{kind} between {low} and {high}"


def _amount(low: int | None, high: int | None, what: str) -> str:
    plural = "" if (high if low is None else low) == 1 and (low is None or high in (low, None)) else "s"
    if low is not None and low == high:
        return f"exactly {low:,} {what}{plural}"
    if low is None:
        return f"at most {high:,} {what}{plural}"
    return f"at least {low:,} {what}{plural}" if high is None else f"{low:,} to {high:,} {what}s"


# What is wrong with a value.


def value_words(schema: Schema | bool, value: Any, path: str, model: str) -> str:
    """Return what is wrong with a value that its schema refuses."""
    name, got = python_path(path), _shown(value, path)
    if isinstance(schema, bool):
        return f"{name} is not accepted for {model}."
    found = _alternatives(schema)
    if found is not None:
        return f"{name} must be {_listed(found)} for {model}; got {got}.{_hint(_nearest_of(found, value))}"
    if "type" in schema and not _has_type(schema["type"], value):
        return f"{name} must be {_type_words(schema)} for {model}; got {got}."
    limited = any(limit is not None for limit in _limits(schema))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and limited:
        return f"{name} must be {takes_words(schema)} for {model}; got {value!r}.{_hint(_nearest(schema, value))}"
    if isinstance(value, (list, str)):
        return _size_or_form_words(schema, value, path, model)
    return f"{name} has a form that is not accepted for {model}."


def _size_or_form_words(schema: Schema, value: list[Any] | str, path: str, model: str) -> str:
    kind, what = ("Length", "character") if isinstance(value, str) else ("Items", "item")
    low, high = schema.get(f"min{kind}"), schema.get(f"max{kind}")
    if not (low or 0) <= len(value) <= (math.inf if high is None else high):
        count = f"{len(value):,}" if isinstance(value, str) else f"{len(value)}"
        return f"{python_path(path)} takes {_amount(low, high, what)} for {model}; got {count}."
    formats = [option.get("format") for option in schema.get("anyOf", [schema])]
    if isinstance(value, list) or not ("anyOf" in schema or "pattern" in schema or any(formats)):
        return f"{python_path(path)} has a form that is not accepted for {model}."
    words = either({"uuid": "a UUID", "uri": "a URL"}[one] for one in formats if one) or "in another form"
    return f"{python_path(path)} must be {words} for {model}; got {_shown(value, path)}."


def contains_words(path: str, model: str) -> str:
    """Return that a list lacks an item that it must have; models require only one that is not the last frame."""
    return f"{python_path(path)} must contain at least one item that is not the last frame for {model}."


def _listed(found: list[Any]) -> str:
    values = [repr(one) for one in found if not isinstance(one, dict)]
    spans = [takes_words(one) or "something else" for one in found if isinstance(one, dict)]
    more = len(values) - _MOST_LISTED
    if more > 0:
        return f"{', '.join([*spans, *values[:_MOST_LISTED]])} or one of {more} others"
    return either([*spans, *values])


def _has_type(kinds: str | list[str], value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    mine = {
        "string": isinstance(value, str),
        "integer": number and (isinstance(value, int) or value.is_integer()),
        "number": number,
        "boolean": isinstance(value, bool),
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
        "null": value is None,
    }
    return any(mine[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _hint(suggestion: Any) -> str:
    return "" if suggestion is None else f" Did you mean {suggestion!r}?"


def _nearest(schema: Schema, value: float) -> float:
    """Return the accepted number that is nearest; of two, the larger one."""
    low, high, step = _limits(schema)
    # An integer may be beyond all floats.
    value = value if high is None else min(value, high + (step or 0))
    found = value if step is None else math.floor(value / step + 0.5) * step
    if low is not None and found < low:
        found = low if step is None else math.ceil(low / step) * step
    if high is not None and found > high:
        found = high if step is None else math.floor(high / step) * step
    if schema.get("type") == "integer":
        return round(found)
    return found if isinstance(found, int) else round(found, 9)


def _nearest_of(found: list[Any], value: Any) -> Any:
    if isinstance(value, str):
        words = {one.lower(): one for one in found if isinstance(one, str)}
        return next((words[one] for one in get_close_matches(value.lower(), words, 1, cutoff=0.5)), None)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    numbers = [one for one in found if isinstance(one, (int, float)) and not isinstance(one, bool)]
    numbers += [_nearest(one, value) for one in found if isinstance(one, dict)]
    return min(numbers, key=lambda number: (abs(number - value), -number), default=None)


def _shown(value: Any, path: str) -> str:
    """Return a value for a message, in which texts of users must not appear."""
    if isinstance(value, str) and (len(value) > _LONGEST_SHOWN or _SECRET.search(path)):
        return f"a str of {len(value):,} characters"
    return "a dict" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)


def size_words(sizes: list[tuple[int, int]], width: Any, height: Any, model: str) -> str:
    """Return what is wrong with a width and height that are not a listed size; the nearest sizes come first."""
    near = list(sizes)
    if all(isinstance(side, (int, float)) and not isinstance(side, bool) and side > 0 for side in (width, height)):
        near.sort(key=lambda size: _distance(size, width, height))
    names = [f"{size[0]}x{size[1]}" for size in near]
    more = len(names) - 4
    words = f"{', '.join(names[:4])} or one of {more} others" if more > 0 else either(names)
    got = f"{_shown(width, 'width')}x{_shown(height, 'height')}"
    return f"width and height must be {words} for {model}; got {got}. Did you mean {names[0]}?"


def _distance(size: tuple[int, int], width: float, height: float) -> float:
    """Return how far two sizes are apart: by their shape first, then by their area."""
    shape = math.log(size[0] / size[1]) - math.log(width / height)
    return 4 * abs(shape) + abs(math.log(size[0] * size[1]) - math.log(width * height))


# What is wrong with names.


def missing_words(path: str, schema: Any, model: str, because: str = "") -> str:
    """Return that a parameter is missing, and what it takes."""
    words = takes_words(schema) if isinstance(schema, dict) else ""
    return f"{python_path(path)} is required for {model}{because}{f' ({words})' if words else ''}."


def unknown_words(path: str, name: str, properties: Schema, model: str) -> str:
    """Return that a parameter is not known, and which one may be meant."""
    words = f"{python_path(join(path, name))} is not a parameter of {model}"
    near = _similar(name, properties)
    if near is not None:
        return f"{words}; did you mean {python_path(join(path, near))}?"
    inside = next(_similar_inside(name, properties, path), None)
    if inside is not None:
        return f"{words}; it takes {python_path(inside)}."
    if "inputs" in properties and re.search("(Image|Video|Audio)s?$", name):
        return f"{words}; media go into inputs={{...}}."
    known = ", ".join(sorted(map(python_path, properties)))
    return f"{words}; {python_path(path)} takes {known}." if path and known else f"{words}."


def _similar(name: str, names: Iterable[str]) -> str | None:
    folded = {one.replace("_", "").lower(): one for one in names}
    found = get_close_matches(name.replace("_", "").lower(), folded, 1, cutoff=0.75)
    return folded[found[0]] if found else None


def _similar_inside(name: str, properties: Schema, path: str) -> Iterator[str]:
    for outer, schema in properties.items():
        inner = schema.get("properties") if isinstance(schema, dict) else None
        if inner:
            near = _similar(name, inner)
            if near is not None:
                yield join(join(path, outer), near)
            yield from _similar_inside(name, inner, join(path, outer))


# What is wrong between parameters.


def named_paths(rule: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of the parameters that a rule is about."""
    if not isinstance(rule, dict):
        return
    inner = {name: list(named_paths(one, join(path, name))) for name, one in rule.get("properties", {}).items()}
    yield from (join(path, name) for name in rule.get("required", ()) if not inner.get(name))
    for found in inner.values():
        yield from found
    parts = [one for keyword in ("allOf", "anyOf", "oneOf") for one in rule.get(keyword, ())]
    for one in [*parts, *(rule.get(keyword) for keyword in ("not", "if", "then"))]:
        yield from named_paths(one, path)


def condition_words(condition: Any, *, met: bool) -> str:
    """Return the condition under which a rule holds, in words."""
    names = [python_path(path) for path in dict.fromkeys(named_paths(condition))]
    positive = met != ("not" in condition)
    return f" {'with' if positive else 'without'} {either(names)}" if names else ""


def conflict_words(rule: Any, given: list[str], model: str, because: str = "") -> str:
    """Return that parameters exclude each other, or that one is not accepted."""
    names = [python_path(path) for path in given] or ["task"]
    if len(names) > 1 and "anyOf" not in rule:
        return f"{names[0]} cannot be combined with {either(names[1:])}{because} for {model}."
    return f"{names[0]} is not accepted{because} for {model}."


def option_words(options: list[Any], fitting: list[Any], path: str, model: str, because: str = "") -> str:
    """Return that none of several options is given, or more than one."""
    groups = [[python_path(join(path, one)) for one in named_paths(option)] for option in options]
    first = groups[0][0] if groups and groups[0] else "task"
    if len(fitting) > 1:
        both = [python_path(join(path, next(named_paths(option), ""))) for option in fitting]
        return f"{first} excludes the others: use only one of {' and '.join(both)} for {model}."
    words = either(" and ".join(group) for group in groups if group)
    return f"{first} is missing: {words} is required{because} for {model}."
