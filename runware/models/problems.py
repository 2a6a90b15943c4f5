"""Find everything that is wrong with a task, in terms of Python code. The task is not changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from runware._support.api_names import python_name
from runware.models.schema import SIZES, TYPES, Schema, choices_of, has_type, is_equal, is_multiple, is_number, matches
from runware.models.wording import (
    LISTED,
    either_of,
    find_name,
    join_path,
    nearest_choice,
    nearest_number,
    python_path,
    right_name,
    shown_value,
    span_words,
    takes,
    type_words,
)

__all__ = ["Problem", "find_problems"]

_OF_ITEMS = frozenset(("items", "minItems", "maxItems", "contains"))
_MEDIA = ("Image", "Images", "Video", "Videos", "Audio", "Audios")
"""Endings of the parameters that newer models take inside `inputs`."""
_QUICK = frozenset(("string", "boolean"))
_TEXT_LIMITS = frozenset(("minLength", "maxLength", "format", "pattern", "anyOf", "oneOf", "const", "enum"))


@attrs.frozen(kw_only=True, repr=False)
class Problem:
    """One reason why a model does not accept a request.

    Attributes:
        parameter: The parameter as Python code names it: `"width"`, `"settings.system_prompt"`, `"lora[0].weight"`.
        message: What is wrong and what would work, in one sentence.
        value: The value given; `None` if the parameter is missing.
        allowed: All values that are accepted, if there is a list of them.
        minimum: The smallest number accepted, if there is one.
        maximum: The largest number accepted, if there is one.
        suggestion: The nearest accepted value, or the right name for a wrong one; `None` if there is none.
    """

    parameter: str
    message: str
    value: Any = None
    allowed: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    suggestion: Any = None

    def __repr__(self) -> str:
        return f"<Problem: {self.message}>"

    def __str__(self) -> str:
        return self.message


def find_problems(schema: Schema, task: Mapping[str, Any], model: str) -> list[Problem]:
    """Return every problem of a task; empty if its schema accepts it.

    Args:
        schema: The request schema of the model.
        task: The task with API names.
        model: The name of the model, for messages.
    """
    found = _Check(model).object(schema, task, "")
    return list({(problem.parameter, problem.message): problem for problem in found}.values())


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
                yield from self.value(properties[name], one, join_path(path, name))
            else:
                yield from self._unknown(schema, properties, name, one, path)
        for name in schema.get("required", ()):
            if name not in value and name != "taskUUID":
                yield self._missing(properties.get(name, {}), join_path(path, name), "")
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
            span = span_words(low, high, "item")
            yield self._problem(path, f"takes {span}{self._for}; got {len(items)}", items, limits=(low, high))
        for number, one in enumerate(items):
            yield from self.value(schema.get("items", True), one, f"{path}[{number}]")
        if "contains" in schema and not any(matches(schema["contains"], one) for one in items):
            yield self._problem(path, f"must contain at least one item that is not the last frame{self._for}", items)

    # ------------------------------------------------------------------ names

    def _unknown(
        self, schema: Schema, properties: Mapping[str, Any], name: str, value: Any, path: str
    ) -> Iterator[Problem]:
        right = right_name(name, properties)
        closed = schema.get("additionalProperties") is False
        if right is None and not (closed and properties):
            return  # an open object, whose names are not all known
        parameter = join_path(path, name)
        inside = python_path(path) if path else ""
        if right is not None:
            yield self._problem(
                parameter,
                f"is not a parameter of {self._model}; did you mean {python_path(join_path(path, right))}?",
                value,
                suggestion=python_name(right),
            )
            return
        elsewhere = next(iter(find_name(name, properties, path)), None)
        if elsewhere is not None:
            hint = f"; it takes {python_path(elsewhere)}"
            yield self._problem(parameter, f"is not a parameter of {self._model}{hint}", value, suggestion=elsewhere)
            return
        known = ", ".join(sorted(python_name(one) for one in properties)) if inside else ""
        hint = f"; {inside} takes {known}" if known else ""
        if name.endswith(_MEDIA) and "inputs" in properties:
            hint = "; media go into inputs={...}"
        yield self._problem(parameter, f"is not a parameter of {self._model}{hint}", value)

    def _missing(self, schema: Any, path: str, why: str) -> Problem:
        facts = schema if isinstance(schema, Mapping) else {}
        words = takes(facts)
        about = f" ({words})" if words else ""
        return self._problem(path, f"is required{self._for}{why}{about}", None, schema=facts)

    # ------------------------------------------------------------------ values

    def _wrong_value(self, schema: Schema, value: Any, path: str) -> Problem | None:
        """Return the problem of a value itself, without those of its items or fields."""
        choices = choices_of(schema)
        if choices is not None:
            good = any(matches(one, value) if isinstance(one, Mapping) else is_equal(one, value) for one in choices)
            return None if good else self._not_among(choices, value, path)
        if "type" in schema and not has_type(schema["type"], value):
            message = f"must be {type_words(schema['type'])}{self._for}; got {shown_value(path, value)}"
            return self._problem(path, message, value)
        wrong = None
        if is_number(value):
            wrong = self._wrong_number(schema, value, path)
        elif isinstance(value, str):
            wrong = self._wrong_text(schema, value, path)
        if wrong is not None:
            return wrong
        # The items of a list and the fields of an object are checked later, one by one.
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
        near = nearest_choice(choices, value)
        listed = plain if len(plain) <= LISTED else plain[:LISTED]
        words = [takes(one) or "something else" for one in spans] + [repr(one) for one in listed]
        more = len(plain) - len(listed)
        allowed = f"{', '.join(words)} or one of {more} others" if more else either_of(words)
        message = f"must be {allowed}{self._for}; got {shown_value(path, value)}"
        limits = (spans[0].get("minimum"), spans[0].get("maximum")) if spans else (None, None)
        return self._problem(path, message, value, allowed=tuple(plain), limits=limits, suggestion=near)

    def _wrong_number(self, schema: Schema, value: float, path: str) -> Problem | None:
        low, high, unit = (schema.get(name) for name in ("minimum", "maximum", "multipleOf"))
        good = (
            (low is None or value >= low)
            and (high is None or value <= high)
            and (unit is None or is_multiple(value, unit))
        )
        if good:
            return None
        near = nearest_number(schema, value)
        message = f"must be {takes(schema)}{self._for}; got {value!r}"
        return self._problem(path, message, value, limits=(low, high), suggestion=near)

    def _wrong_text(self, schema: Schema, text: str, path: str) -> Problem | None:
        low, high = schema.get("minLength"), schema.get("maxLength")
        if (low is not None and len(text) < low) or (high is not None and len(text) > high):
            span = span_words(low, high, "character")
            message = f"takes {span}{self._for}; got {len(text):,}"
            return self._problem(path, message, text, limits=(low, high))
        if all(matches({name: schema[name]}, text) for name in ("format", "pattern", "anyOf") if name in schema):
            return None
        formats = [one.get("format") for one in schema.get("anyOf", [schema])]
        kinds = {"uuid": "a UUID", "uri": "a URL"}
        words = either_of([kinds[one] for one in formats if one in kinds]) or "in another form"
        return self._problem(path, f"must be {words}{self._for}; got {shown_value(path, text)}", text)

    # ------------------------------------------------------------------ rules between parameters

    def _rules(self, schema: Schema, value: Mapping[str, Any], path: str) -> Iterator[Problem]:
        for name, others in schema.get("dependentRequired", {}).items():
            if name in value:
                for other in others:
                    if other not in value and other not in schema.get("required", ()):
                        yield self._missing({}, join_path(path, other), f" together with {python_name(name)}")
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
        """Yield the problems that a rule of a schema finds in an object as a whole."""
        if matches(rule, value):
            return
        if not isinstance(rule, Mapping):
            yield self._problem(path or "task", f"is not accepted{because}{self._for}", None)
            return
        for name in rule.get("required", ()):
            if name not in value:
                wanted = next(_named({"required": [name], "properties": rule.get("properties", {})}), name)
                yield self._missing({}, join_path(path, wanted), because)
        for name, one in rule.get("properties", {}).items():
            if name in value:
                yield from self.value(one, value[name], join_path(path, name))
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
        if not (is_number(width) and is_number(height) and min(width, height) > 0):
            near = list(sizes)
        else:
            near = sorted(sizes, key=lambda size: _distance(size, (width, height)))
        listed = [f"{size[0]}x{size[1]}" for size in near[:4]]
        more = f" or one of {len(near) - 4} others" if len(near) > 4 else ""
        sizes_in_words = ", ".join(listed) + more if more else either_of(listed)
        return Problem(
            parameter="width",
            message=f"width and height must be {sizes_in_words}{self._for}; "
            f"got {shown_value('width', width)}x{shown_value('height', height)}. Did you mean {listed[0]}?",
            value=(width, height),
            allowed=tuple(sizes),
            suggestion=near[0],
        )

    def _no_option(self, options: list[Any], value: Mapping[str, Any], path: str, because: str) -> Iterator[Problem]:
        names = [list(_named(one)) for one in options]
        words = either_of(
            [" and ".join(python_path(join_path(path, name)) for name in group) for group in names if group]
        )
        present = [group for group, one in zip(names, options, strict=True) if matches(one, value)]
        first = names[0][0] if names and names[0] else "task"
        if len(present) > 1:
            both = " and ".join(python_path(join_path(path, group[0])) for group in present if group)
            yield self._problem(join_path(path, first), f"excludes the others: use only one of {both}{self._for}", None)
        elif words:
            yield self._problem(join_path(path, first), f"is missing: {words} is required{because}{self._for}", None)

    def _conflict(self, rule: Any, value: Mapping[str, Any], path: str, because: str = "") -> Problem:
        given = [name for name in dict.fromkeys(_named(rule)) if _reach(value, name)]
        names = [python_path(join_path(path, name)) for name in given]
        # With `anyOf`, each parameter is refused alone, so the message says nothing of a combination.
        if len(names) > 1 and not (isinstance(rule, Mapping) and "anyOf" in rule):
            message = f"cannot be combined with {either_of(names[1:])}{because}{self._for}"
        else:
            message = f"is not accepted{because}{self._for}"
        return self._problem(join_path(path, given[0]) if given else path or "task", message, None)

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
        parameter = python_path(path)
        if schema:
            allowed = tuple(one for one in choices_of(schema) or () if not isinstance(one, Mapping))
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


def _plain(schema: Schema, value: Any) -> bool:
    """Return whether a value needs no further check, which is true of most values."""
    kind = schema.get("type")
    return isinstance(kind, str) and kind in _QUICK and TYPES[kind](value) and _TEXT_LIMITS.isdisjoint(schema)


def _distance(size: tuple[float, float], given: tuple[float, float]) -> float:
    """Return how far two sizes are apart: first by their shape, then by their area."""
    shape = math.log(size[0] / size[1]) - math.log(given[0] / given[1])
    return 4.0 * abs(shape) + abs(math.log(size[0] * size[1]) - math.log(given[0] * given[1]))


def _named(rule: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of the parameters in a condition."""
    if not isinstance(rule, Mapping):
        return
    nested = rule.get("properties", {})
    for name in rule.get("required", ()):
        if not any(True for _ in _named(nested.get(name))):  # otherwise, its nested conditions are more specific
            yield join_path(path, name)
    for name, one in nested.items():
        yield from _named(one, join_path(path, name))
    for keyword in ("allOf", "anyOf", "oneOf"):
        for one in rule.get(keyword, ()):
            yield from _named(one, path)
    for keyword in ("not", "if", "then"):
        yield from _named(rule.get(keyword), path)


def _because(condition: Any, *, met: bool) -> str:
    """Return the words for the condition under which a rule holds."""
    negated = isinstance(condition, Mapping) and "not" in condition
    names = [python_path(name) for name in dict.fromkeys(_named(condition))]
    if not names:
        return ""
    return f" {'with' if met != negated else 'without'} {either_of(names)}"


def _reach(value: Any, path: str) -> bool:
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True
