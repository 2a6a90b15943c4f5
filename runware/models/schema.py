"""Checking a task against the request schema of its model: every problem at once, in the words of Python code.

A schema uses the part of JSON Schema that Runware's schema service uses. Keywords that are not known here are ignored:
a newer schema must not make a good request look bad. Nothing is ever written into the task.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from runware._support.lazy_modules import lazy_module
from runware._support.unknown_names import fold_name
from runware.models.synonyms import SYNONYMS
from runware.protocol.codec import python_name, wire_name

if TYPE_CHECKING:
    import difflib
else:
    difflib = lazy_module("difflib")

__all__ = ["SIZES", "Problem", "Schema", "find_problems", "find_schema", "matches", "prepare", "takes"]

Schema = Mapping[str, Any]

SIZES = "x-sizes"
"""Keyword of prepared schemas: the sizes accepted, a dict from (width, height) to their name."""

_LONGEST_PATTERN = 10_000
"""Longer strings are media, whose pattern is not checked: it would take longer than the whole check."""
_OF_ITEMS = frozenset(("items", "minItems", "maxItems", "contains"))
_LISTED = 12
"""The most allowed values that a message lists."""
_STEP = re.compile(r"[^.\[\]]+")
_PROSE = re.compile("prompt|text|content|lyrics|message", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class Problem:
    """One thing that the model does not accept.

    Attributes:
        parameter: The parameter as Python code names it: `"width"`, `"settings.system_prompt"`, `"lora[0].weight"`.
        message: What is wrong and what would work, in one sentence.
        value: The value given; `None` if the parameter is missing.
        allowed: All values that are accepted, if there is a list of them.
        minimum: The smallest number accepted, if there is one.
        maximum: The largest number accepted, if there is one.
        suggestion: The nearest good value, or the right name for a wrong one; `None` if there is none.
    """

    parameter: str
    message: str
    value: Any = attrs.field(default=None, repr=False)
    allowed: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    suggestion: Any = None

    def __str__(self) -> str:
        return self.message


def find_problems(schema: Schema, task: Mapping[str, Any], model: str) -> list[Problem]:
    """Return everything in a task that its schema does not accept; empty if it is good.

    Args:
        schema: The request schema of the model.
        task: The task with API names.
        model: The name of the model, for messages.
    """
    found = _Check(model).object(schema, task, "")
    return list({(problem.parameter, problem.message): problem for problem in found}.values())


def prepare(schema: Any, enums: Mapping[str, list[Any]] | None = None) -> Any:
    """Return a schema in the form that is checked fastest: references resolved, lists of sizes as a dict.

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
    options = made.get("oneOf")
    if isinstance(options, list) and options and all(map(_size_of, options)):
        del made["oneOf"]
        made[SIZES] = {_size_of(one): one.get("title", "") for one in options}
    return made


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


# ---------------------------------------------------------------------- does a value match


def matches(schema: Any, value: Any) -> bool:
    """Return whether a value is valid, as JSON Schema defines it."""
    if isinstance(schema, bool):
        return schema
    return all(test(schema, schema[keyword], value) for keyword, test in _TESTS.items() if keyword in schema)


def _equal(one: Any, other: Any) -> bool:
    """Compare as JSON does: 1 equals 1.0, but not `true`."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


_NUMBERS = (int, float)


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, (list, tuple)),
    "null": lambda value: value is None,
}


def _has_type(kinds: str | list[str], value: Any) -> bool:
    names = [kinds] if isinstance(kinds, str) else kinds
    return any(_TYPES[name](value) for name in names if name in _TYPES) or not any(name in _TYPES for name in names)


def _is_multiple(value: float, unit: float) -> bool:
    """Return whether a number is a multiple of *unit*, with a tolerance for binary floats such as 0.07 / 0.01."""
    if isinstance(value, int) and isinstance(unit, int):
        return value % unit == 0
    quotient = value / unit
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
        # The service's pattern for data URIs knows letters only, which image/svg+xml is not.
        return re.search(pattern, text) is not None or text.startswith("data:")
    except re.error:  # a pattern of another dialect says nothing
        return True


def _no_others(schema: Schema, allowed: Any, value: Mapping[str, Any]) -> bool:
    return allowed is not False or value.keys() <= schema.get("properties", {}).keys()


def _text(test: Callable[[Any, str], bool]) -> Callable[[Schema, Any, Any], bool]:
    return lambda _, expected, value: not isinstance(value, str) or test(expected, value)


def _number(test: Callable[[Any, Any], bool]) -> Callable[[Schema, Any, Any], bool]:
    return lambda _, expected, value: not _is_number(value) or test(expected, value)


def _list(test: Callable[[Any, Any], bool]) -> Callable[[Schema, Any, Any], bool]:
    return lambda _, expected, value: not isinstance(value, (list, tuple)) or test(expected, value)


def _dict(test: Callable[[Schema, Any, Any], bool]) -> Callable[[Schema, Any, Any], bool]:
    return lambda schema, expected, value: not isinstance(value, Mapping) or test(schema, expected, value)


def _is_size(sizes: Mapping[tuple[Any, Any], str], width: Any, height: Any) -> bool:
    return _is_number(width) and _is_number(height) and (width, height) in sizes


def _conditional(schema: Schema, condition: Any, value: Any) -> bool:
    return matches(schema.get("then" if matches(condition, value) else "else", True), value)


_TESTS: dict[str, Callable[[Schema, Any, Any], bool]] = {
    "type": lambda _, expected, value: _has_type(expected, value),
    "const": lambda _, expected, value: _equal(expected, value),
    "enum": lambda _, expected, value: any(_equal(one, value) for one in expected),
    "minimum": _number(lambda limit, value: value >= limit),
    "maximum": _number(lambda limit, value: value <= limit),
    "multipleOf": _number(lambda unit, value: _is_multiple(value, unit)),
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


# ---------------------------------------------------------------------- what is wrong with it


class _Check:
    """Finds the problems of one task.

    Args:
        model: The name of the model, for messages.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._for = f" for {model}"

    def object(self, schema: Schema, value: Mapping[str, Any], path: str) -> Iterator[Problem]:
        """Yield the problems of an object: its names, its values, and the rules between them."""
        properties = schema.get("properties", {})
        for name, one in value.items():
            if name in properties:
                yield from self.value(properties[name], one, _join(path, name))
            else:
                yield from self._unknown(schema, properties, name, one, path)
        for name in schema.get("required", ()):
            if name not in value and name != "taskUUID":
                yield self._missing(properties.get(name, {}), _join(path, name), "")
        yield from self._rules(schema, value, path)

    def value(self, schema: Any, value: Any, path: str) -> Iterator[Problem]:
        """Yield the problems of a value."""
        if schema is False:
            yield self._problem(path, f"is not accepted{self._for}", value)
            return
        if schema is True or _plain(schema, value):
            return
        wrong = self._wrong_value(schema, value, path)
        if wrong is not None:
            yield wrong
        elif isinstance(value, Mapping):
            yield from self.object(schema, value, path)
        elif isinstance(value, (list, tuple)):
            yield from self._items(schema, value, path)

    def _items(self, schema: Schema, items: Any, path: str) -> Iterator[Problem]:
        low, high = schema.get("minItems"), schema.get("maxItems")
        if (low is not None and len(items) < low) or (high is not None and len(items) > high):
            span = _span(low, high, "item")
            yield self._problem(path, f"takes {span}{self._for}; got {len(items)}", items, limits=(low, high))
        for number, one in enumerate(items):
            yield from self.value(schema.get("items", True), one, f"{path}[{number}]")
        if "contains" in schema and not any(matches(schema["contains"], one) for one in items):
            yield self._problem(path, f"must contain at least one item that is not the last frame{self._for}", items)

    # ------------------------------------------------------------------ names

    def _unknown(
        self, schema: Schema, properties: Mapping[str, Any], name: str, value: Any, path: str
    ) -> Iterator[Problem]:
        right = _right_name(name, properties)
        closed = schema.get("additionalProperties") is False
        if right is None and not (closed and properties):
            return  # an open object, whose names are not all known
        parameter = _join(path, name)
        inside = _python(path) if path else ""
        if right is not None:
            yield self._problem(
                parameter,
                f"is not a parameter of {self._model}; did you mean {_python(_join(path, right))}?",
                value,
                suggestion=python_name(right),
            )
            return
        elsewhere = next(iter(_find_name(name, properties, path)), None)
        if elsewhere is not None:
            hint = f"; it takes {_python(elsewhere)}"
            yield self._problem(parameter, f"is not a parameter of {self._model}{hint}", value, suggestion=elsewhere)
            return
        known = ", ".join(sorted(python_name(one) for one in properties)) if inside else ""
        hint = f"; {inside} takes {known}" if known else ""
        yield self._problem(parameter, f"is not a parameter of {self._model}{hint}", value)

    def _missing(self, schema: Any, path: str, why: str) -> Problem:
        facts = schema if isinstance(schema, Mapping) else {}
        words = takes(facts)
        about = f" ({words})" if words else ""
        return self._problem(path, f"is required{self._for}{why}{about}", None, schema=facts)

    # ------------------------------------------------------------------ values

    def _wrong_value(self, schema: Schema, value: Any, path: str) -> Problem | None:
        """Return what is wrong with a value itself, apart from what is inside it."""
        choices = _choices(schema)
        if choices is not None:
            good = any(matches(one, value) if isinstance(one, Mapping) else _equal(one, value) for one in choices)
            return None if good else self._not_among(choices, value, path)
        if "type" in schema and not _has_type(schema["type"], value):
            message = f"must be {_kinds(schema['type'])}{self._for}; got {_shown(path, value)}"
            return self._problem(path, message, value)
        wrong = None
        if _is_number(value):
            wrong = self._wrong_number(schema, value, path)
        elif isinstance(value, str):
            wrong = self._wrong_text(schema, value, path)
        if wrong is not None:
            return wrong
        # What is inside an object or a list is looked at afterwards, part by part.
        rest = schema
        if isinstance(value, Mapping):
            rest = {name: schema[name] for name in ("anyOf",) if name in schema}
        elif isinstance(value, (list, tuple)):
            rest = {name: schema[name] for name in schema if name not in _OF_ITEMS}
        if matches(rest, value):
            return None
        return self._problem(path, f"has a form that is not accepted{self._for}", value)

    def _not_among(self, choices: list[Any], value: Any, path: str) -> Problem:
        plain = [one for one in choices if not isinstance(one, Mapping)]
        spans = [one for one in choices if isinstance(one, Mapping)]
        near = _nearest_choice(choices, value)
        listed = plain if len(plain) <= _LISTED else plain[:_LISTED]
        words = [takes(one) or "something else" for one in spans] + [repr(one) for one in listed]
        more = f" or one of {len(plain) - len(listed)} others" if len(plain) > len(listed) else ""
        message = f"must be {_either(words)}{more}{self._for}; got {_shown(path, value)}"
        limits = (spans[0].get("minimum"), spans[0].get("maximum")) if spans else (None, None)
        return self._problem(path, message, value, allowed=tuple(plain), limits=limits, suggestion=near)

    def _wrong_number(self, schema: Schema, value: float, path: str) -> Problem | None:
        low, high, unit = (schema.get(name) for name in ("minimum", "maximum", "multipleOf"))
        good = (
            (low is None or value >= low)
            and (high is None or value <= high)
            and (unit is None or _is_multiple(value, unit))
        )
        if good:
            return None
        near = _nearest_number(schema, value)
        message = f"must be {takes(schema)}{self._for}; got {value!r}"
        return self._problem(path, message, value, limits=(low, high), suggestion=near)

    def _wrong_text(self, schema: Schema, text: str, path: str) -> Problem | None:
        low, high = schema.get("minLength"), schema.get("maxLength")
        if (low is not None and len(text) < low) or (high is not None and len(text) > high):
            span = _span(low, high, "character")
            message = f"takes {span}{self._for}; got {len(text):,}"
            return self._problem(path, message, text, limits=(low, high))
        if all(matches({name: schema[name]}, text) for name in ("format", "pattern", "anyOf") if name in schema):
            return None
        formats = [one.get("format") for one in schema.get("anyOf", [schema])]
        kinds = {"uuid": "a UUID", "uri": "a URL"}
        words = _either([kinds[one] for one in formats if one in kinds]) or "in another form"
        return self._problem(path, f"must be {words}{self._for}; got {_shown(path, text)}", text)

    # ------------------------------------------------------------------ rules between parameters

    def _rules(self, schema: Schema, value: Mapping[str, Any], path: str) -> Iterator[Problem]:
        for name, others in schema.get("dependentRequired", {}).items():
            if name in value:
                for other in others:
                    if other not in value and other not in schema.get("required", ()):
                        yield self._missing({}, _join(path, other), f" together with {python_name(name)}")
        for name, more in schema.get("dependentSchemas", {}).items():
            if name in value:
                yield from self._rule(more, value, path, because=f" with {python_name(name)}")
        if "if" in schema:
            met = matches(schema["if"], value)
            branch = schema.get("then" if met else "else", True)
            yield from self._rule(branch, value, path, because=_because(schema["if"], met=met))
        if "not" in schema and matches(schema["not"], value):
            yield self._conflict(schema["not"], value, path)
        for one in schema.get("allOf", ()):
            yield from self._rule(one, value, path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema and not matches({keyword: schema[keyword]}, value):
                yield from self._no_option(schema[keyword], value, path, "")

    def _rule(self, rule: Any, value: Mapping[str, Any], path: str, because: str = "") -> Iterator[Problem]:
        """Yield what a part of a schema that applies to the whole object does not accept."""
        if matches(rule, value):
            return
        if not isinstance(rule, Mapping):
            yield self._problem(path or "task", f"is not accepted{because}{self._for}", None)
            return
        for name in rule.get("required", ()):
            if name not in value:
                wanted = next(_named({"required": [name], "properties": rule.get("properties", {})}), name)
                yield self._missing({}, _join(path, wanted), because)
        for name, one in rule.get("properties", {}).items():
            if name in value:
                yield from self.value(one, value[name], _join(path, name))
        if SIZES in rule and not matches({SIZES: rule[SIZES]}, value):
            yield self._wrong_size(rule[SIZES], value)
        for keyword in ("oneOf", "anyOf"):
            if keyword in rule and not matches({keyword: rule[keyword]}, value):
                yield from self._no_option(rule[keyword], value, path, because)
        inner = {
            name: rule[name]
            for name in ("dependentRequired", "dependentSchemas", "if", "then", "else", "allOf")
            if name in rule
        }
        if inner:
            yield from self._rules(inner, value, path)
        if "not" in rule and matches(rule["not"], value):
            yield self._conflict(rule["not"], value, path, because)

    def _wrong_size(self, sizes: Mapping[tuple[int, int], str], value: Mapping[str, Any]) -> Problem:
        width: Any = value.get("width")
        height: Any = value.get("height")
        if not (_is_number(width) and _is_number(height) and min(width, height) > 0):
            near = list(sizes)
        else:
            near = sorted(sizes, key=lambda size: _distance(size, (width, height)))
        listed = [f"{size[0]}x{size[1]}" for size in near[:4]]
        more = f" or one of {len(near) - 4} others" if len(near) > 4 else ""
        return Problem(
            parameter="width",
            message=f"width and height must be {_either(listed) if not more else ', '.join(listed) + more}{self._for}; "
            f"got {_shown('width', width)}x{_shown('height', height)}. Did you mean {listed[0]}?",
            value=(width, height),
            allowed=tuple(sizes),
            suggestion=near[0],
        )

    def _no_option(self, options: list[Any], value: Mapping[str, Any], path: str, because: str) -> Iterator[Problem]:
        names = [list(_named(one)) for one in options]
        words = _either([" and ".join(_python(_join(path, name)) for name in group) for group in names if group])
        present = [group for group, one in zip(names, options, strict=True) if matches(one, value)]
        first = names[0][0] if names and names[0] else "task"
        if len(present) > 1:
            both = " and ".join(_python(_join(path, group[0])) for group in present if group)
            yield self._problem(_join(path, first), f"excludes the others: use only one of {both}{self._for}", None)
        elif words:
            yield self._problem(_join(path, first), f"is missing: {words} is required{because}{self._for}", None)

    def _conflict(self, rule: Any, value: Mapping[str, Any], path: str, because: str = "") -> Problem:
        given = [name for name in dict.fromkeys(_named(rule)) if _reach(value, name)]
        names = [_python(_join(path, name)) for name in given]
        either = isinstance(rule, Mapping) and "anyOf" in rule  # one of them is enough to be refused
        if either:
            message = f"is not accepted{because}{self._for}"
        elif len(names) > 1:
            message = f"cannot be combined with {_either(names[1:])}{because}{self._for}"
        else:
            message = f"is not accepted{because}{self._for}"
        return self._problem(_join(path, given[0]) if given else path or "task", message, None)

    # ------------------------------------------------------------------ words

    def _problem(
        self,
        path: str,
        what: str,
        value: Any,
        *,
        allowed: tuple[Any, ...] = (),
        limits: tuple[float | None, float | None] = (None, None),
        suggestion: Any = None,
        schema: Schema | None = None,
    ) -> Problem:
        suggest = suggestion is not None and value is not None and "parameter of" not in what
        parameter = _python(path)
        if schema:
            allowed = tuple(one for one in _choices(schema) or () if not isinstance(one, Mapping))
            limits = schema.get("minimum"), schema.get("maximum")
        hint = f" Did you mean {suggestion!r}?" if suggest else ""
        return Problem(
            parameter=parameter,
            message=f"{parameter} {what}{'' if what.endswith('?') else '.'}{hint}",
            value=value,
            allowed=allowed,
            minimum=limits[0],
            maximum=limits[1],
            suggestion=suggestion,
        )


# ---------------------------------------------------------------------- parts of schemas


_QUICK = frozenset(("string", "boolean"))
_TEXT_LIMITS = frozenset(("minLength", "maxLength", "format", "pattern", "anyOf", "oneOf", "const", "enum"))


def _plain(schema: Schema, value: Any) -> bool:
    """Return whether a value needs no further check, as most do."""
    kind = schema.get("type")
    return isinstance(kind, str) and kind in _QUICK and _TYPES[kind](value) and _TEXT_LIMITS.isdisjoint(schema)


def _choices(schema: Schema) -> list[Any] | None:
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


def _distance(size: tuple[float, float], given: tuple[float, float]) -> float:
    """Return how far two sizes are apart: first by their shape, then by their area."""
    shape = math.log(size[0] / size[1]) - math.log(given[0] / given[1])
    return 4.0 * abs(shape) + abs(math.log(size[0] * size[1]) - math.log(given[0] * given[1]))


def _named(rule: Any, path: str = "") -> Iterator[str]:
    """Yield the paths that a condition is about."""
    if not isinstance(rule, Mapping):
        return
    nested = rule.get("properties", {})
    for name in rule.get("required", ()):
        if not any(True for _ in _named(nested.get(name))):  # else what is inside it says more
            yield _join(path, name)
    for name, one in nested.items():
        yield from _named(one, _join(path, name))
    for keyword in ("allOf", "anyOf", "oneOf"):
        for one in rule.get(keyword, ()):
            yield from _named(one, path)
    for keyword in ("not", "if", "then"):
        yield from _named(rule.get(keyword), path)


def _because(condition: Any, *, met: bool) -> str:
    """Return the words for the condition under which a rule holds."""
    negated = isinstance(condition, Mapping) and "not" in condition
    names = [_python(name) for name in dict.fromkeys(_named(condition))]
    if not names:
        return ""
    return f" {'with' if met != negated else 'without'} {_either(names)}"


def _reach(value: Any, path: str) -> bool:
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True


# ---------------------------------------------------------------------- names


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _python(path: str) -> str:
    """Return a path of API names as Python code writes it."""
    return ".".join(python_name(name) for name in path.split("."))


def _right_name(name: str, known: Collection[str]) -> str | None:
    """Return the API name that was meant by another spelling, another vendor's name, or a typing error."""
    by_form = {fold_name(one): one for one in known}
    form = fold_name(name)
    if form in by_form:
        return by_form[form]
    for meant in SYNONYMS.get(form, ()):
        if fold_name(meant) in by_form:
            return by_form[fold_name(meant)]
    near = difflib.get_close_matches(form, by_form, 1, cutoff=0.75)
    return by_form[near[0]] if near else None


def _find_name(name: str, properties: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the paths of parameters inside objects that a name may have meant."""
    for outer, schema in properties.items():
        inner = schema.get("properties") if isinstance(schema, Mapping) else None
        if inner:
            right = _right_name(name, inner)
            if right is not None:
                yield _join(_join(path, outer), right)
            yield from _find_name(name, inner, _join(path, outer))


# ---------------------------------------------------------------------- values in words


_KINDS = {
    "string": "a str",
    "integer": "an integer",
    "number": "a number",
    "boolean": "True or False",
    "object": "a dict",
    "array": "a list",
    "null": "None",
}


def _kinds(kinds: str | list[str]) -> str:
    return _either([_KINDS.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else ""


def _span(low: Any, high: Any, what: str) -> str:
    if low is not None and low == high:
        return f"exactly {low:,} {what}{'' if low == 1 else 's'}"
    if low is None:
        return f"at most {high:,} {what}{'' if high == 1 else 's'}"
    return f"at least {low:,} {what}{'' if low == 1 else 's'}" if high is None else f"{low:,} to {high:,} {what}s"


def takes(schema: Schema) -> str:
    """Return what a schema takes, in words; empty if it takes anything."""
    choices = _choices(schema)
    if choices is not None:
        plain = [repr(one) for one in choices if not isinstance(one, Mapping)]
        spans = [takes(one) for one in choices if isinstance(one, Mapping)]
        more = [f"one of {len(plain) - _LISTED} others"] if len(plain) > _LISTED else []
        return _either([*filter(None, spans), *plain[:_LISTED], *more])
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
    return _kinds(schema["type"]) if "type" in schema else "a list" if is_list else ""


def _nearest_number(schema: Schema, value: float) -> float:
    """Return the nearest number that a schema accepts; of two, the larger one."""
    low, high, unit = (schema.get(name) for name in ("minimum", "maximum", "multipleOf"))
    near = value
    if unit is not None and unit > 0:
        near = math.floor(near / unit + 0.5) * unit
    if low is not None and near < low:
        near = low if unit is None else math.ceil(low / unit) * unit
    if high is not None and near > high:
        near = high if unit is None else math.floor(high / unit) * unit
    if schema.get("type") == "integer":
        return round(near)
    return round(near, 9) if isinstance(near, float) else near


def _nearest_choice(choices: list[Any], value: Any) -> Any:
    """Return the listed value that is nearest to one which is not listed; `None` if none is near."""
    if _is_number(value):
        numbers: list[Any] = [one for one in choices if _is_number(one)]
        numbers += [_nearest_number(one, value) for one in choices if isinstance(one, Mapping)]
        return min(numbers, key=lambda one: (abs(one - value), -one), default=None)
    if isinstance(value, str):
        words = {one.lower(): one for one in choices if isinstance(one, str)}
        near = difflib.get_close_matches(value.lower(), words, 1, cutoff=0.5)
        return words[near[0]] if near else None
    return None


def _shown(path: str, value: Any) -> str:
    """Return a value for a message, without any text of the user in it."""
    if isinstance(value, str) and (len(value) > 40 or _PROSE.search(path)):
        return f"a str of {len(value):,} characters"
    if isinstance(value, Mapping):
        return "a dict"
    if isinstance(value, (list, tuple)):
        return "a list"
    return repr(value)
