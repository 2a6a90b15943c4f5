"""Requests that are made from the request schemas of models: at the limits of every parameter, and one step beyond."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Schema = dict[str, Any]
Task = dict[str, Any]

UUID = "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"
URL = "https://example.com/a.png"
_LIST_LENGTH = 2
_PATHS_OF_CALL = (("taskType",), ("taskUUID",), ("model",))


Problems = Callable[[Task], set[str]]
"""Returns what is wrong with a task."""


class Leaf(NamedTuple):
    """A parameter, with its path and its schema; width and height are one where only listed sizes are accepted."""

    path: tuple[str, ...]
    schema: Any


def leaves(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Yield every parameter, those of objects instead of the objects."""
    for name, facts in schema.get("properties", {}).items():
        inside = (*path, name)
        if inside not in _PATHS_OF_CALL:
            if isinstance(facts, dict) and facts.get("properties"):
                yield from leaves(facts, inside)
            else:
                yield Leaf(inside, facts)


def ruled_leaves(schema: Schema) -> Iterator[Leaf]:
    """Yield the parameters inside open objects that only the rules of a schema name."""
    properties = schema.get("properties", {})
    for name in dict.fromkeys(_named(schema.get("allOf", []))):
        outer, _, inner = name.partition(".")
        if inner and "." not in inner and inner not in properties.get(outer, {}).get("properties", {}):
            yield Leaf((outer, inner), {"type": "array" if inner.endswith("s") else "string"})


def _named(rule: Any, path: str = "") -> Iterator[str]:
    if isinstance(rule, list):
        for one in rule:
            yield from _named(one, path)
    elif isinstance(rule, dict):
        yield from (f"{path}{name}" for name in rule.get("required", ()))
        for name, one in rule.get("properties", {}).items():
            yield from _named(one, f"{path}{name}.")
        for keyword in ("allOf", "anyOf", "oneOf", "not", "if", "then", "else"):
            yield from _named(rule.get(keyword), path)


def with_value(task: Task, path: tuple[str, ...], value: Any) -> Task:
    """Return a task with one more value."""
    made = copy.deepcopy(task)
    inner = made
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    return made


def at_limit(facts: Any, name: str, *, high: bool) -> Any:
    """Return the smallest or the largest value that a schema accepts."""
    if not isinstance(facts, dict):
        return True
    options = facts.get("enum") or [one["const"] for one in facts.get("oneOf", ()) if "const" in one]
    if "const" in facts or options:
        return facts["const"] if "const" in facts else options[-1 if high else 0]
    kinds = facts.get("type", "string" if "maxItems" not in facts and "minItems" not in facts else "array")
    kind = kinds if isinstance(kinds, str) else kinds[-1 if high else 0]
    makers: dict[str, Callable[[], Any]] = {
        "integer": lambda: round(_number(facts, high=high)),
        "number": lambda: _number(facts, high=high),
        "boolean": lambda: high,
        "object": lambda: _object(facts, high=high),
        "array": lambda: _array(facts, name, high=high),
        "null": lambda: None,
    }
    return makers.get(kind, lambda: _text(facts, name, high=high))()


def _number(facts: Schema, *, high: bool) -> float:
    low, top, unit = facts.get("minimum"), facts.get("maximum"), facts.get("multipleOf")
    found = (top if top is not None else low) if high else (low if low is not None else top)
    if found is None:
        return 1
    if unit:
        count = math.floor(found / unit + 1e-9) if high and top is not None else math.ceil(found / unit - 1e-9)
        found = count * unit if isinstance(unit, int) else round(count * unit, 6)
    return found  # type: ignore[no-any-return]


def _text(facts: Schema, name: str, *, high: bool) -> str:
    formats = {one.get("format") for one in facts.get("anyOf", [facts])}
    if "uuid" in formats and (not high or "uri" not in formats):
        return UUID
    if "uri" in formats or name.endswith(("URL", "Endpoint")):
        return URL
    length = facts.get("maxLength" if high else "minLength")
    return "x" * (length if length is not None else 8)


def _object(facts: Schema, *, high: bool) -> Task:
    made = {name: at_limit(one, name, high=high) for name, one in facts.get("properties", {}).items()}
    if "oneOf" in facts:  # of several names, only one
        for other in facts["oneOf"][1:]:
            for name in other.get("required", ()):
                made.pop(name, None)
    return made


def _array(facts: Schema, name: str, *, high: bool) -> list[Any]:
    length = facts.get("maxItems" if high else "minItems")
    if length is None:
        length = max(_LIST_LENGTH if high else 1, facts.get("minItems", 0))
    if "items" in facts:
        return [at_limit(facts["items"], name, high=high)] * length
    if name == "messages":
        return [{"role": "user", "content": "Hello"}] * max(1, length)
    return [URL if name.lower().endswith(("images", "videos", "audios")) else {}] * length


# ---------------------------------------------------------------------- whole requests


def base(record: Schema) -> Task:
    """Return what every request has."""
    schema = record["schema"]
    kind = schema.get("properties", {}).get("taskType", {}).get("const") or record.get("taskType") or "tools"
    return {"taskType": kind, "taskUUID": UUID, "model": record["air"]}


def groups(record: Schema) -> list[list[Leaf]]:
    """Return the parameters of a model, those together that only go together: width and height."""
    found = [*leaves(record["schema"]), *ruled_leaves(record["schema"])]
    sides = [one for one in found if one.path in (("width",), ("height",))]
    return [sides, *([one] for one in found if one not in sides)] if sides else [[one] for one in found]


def put(task: Task, group: list[Leaf], record: Schema, *, high: bool) -> Task:
    """Return a task with a group at its limits."""
    sizes = record.get("dimensions")
    for leaf in group:
        value = at_limit(leaf.schema, leaf.path[-1], high=high)
        if len(group) > 1 and sizes:
            value = sizes[-1 if high else 0][leaf.path[-1]]
        task = with_value(task, leaf.path, value)
    return task


def grown(
    record: Schema,
    wanted: list[list[Leaf]],
    problems: Problems,
    *,
    high: bool,
    task: Task | None = None,
    stop_when_good: bool = False,
) -> Task:
    """Return a request with as many groups as go together, the first ones surely; or with as few as it needs."""
    task = base(record) if task is None else task
    whole = task
    for group in wanted:
        whole = put(whole, group, record, high=high)
    if not stop_when_good and not problems(whole):
        return whole
    left, now = list(wanted), problems(task)
    while now or not stop_when_good:
        step = _next_step(record, left, problems, now, task, high=high)
        if step is None:
            return task
        group, task, now = step
        left.remove(group)
    return task


def _next_step(
    record: Schema, left: list[list[Leaf]], problems: Problems, now: set[str], task: Task, *, high: bool
) -> tuple[list[Leaf], Task, set[str]] | None:
    """Return the group that solves most problems of a task, or else one that makes none; `None` if there is neither."""
    best = None
    for group in left:
        more = put(task, group, record, high=high)
        found = problems(more)
        if found <= now and (best is None or len(found) < len(best[2])):
            best = group, more, found
            if not now:
                break
    return best


def requests_at_limits(record: Schema, problems: Problems, *, high: bool) -> list[Task]:
    """Return requests that together have every parameter at its limit."""
    all_groups = groups(record)
    made = [grown(record, all_groups, problems, high=high)]
    for group in all_groups:
        if not any(has(task, group[0].path) for task in made):
            others = [one for one in all_groups if one is not group]
            first = put(base(record), group, record, high=high)
            made.append(grown(record, others, problems, high=high, task=first))
    return made


def has(task: Any, path: tuple[str, ...]) -> bool:
    """Return whether a task has a parameter."""
    for name in path:
        if not isinstance(task, dict) or name not in task:
            return False
        task = task[name]
    return True


# ---------------------------------------------------------------------- one step beyond


def beyond(facts: Any, name: str) -> Iterator[Any]:
    """Yield values that a schema just does not accept."""
    if not isinstance(facts, dict):
        return
    listed = facts.get("enum") or ([facts["const"]] if "const" in facts else [])
    options = [one for one in facts.get("oneOf", ()) if "const" in one or "minimum" in one]
    if listed or options:
        yield "no such value"
        numbers = [one for one in listed if isinstance(one, (int, float)) and not isinstance(one, bool)]
        numbers += [one[side] for one in options for side in ("minimum", "maximum") if side in one]
        yield from [min(numbers) - 1, max(numbers) + 1] if numbers else []
        return
    kinds = facts.get("type", ())
    if kinds in ("integer", "number"):
        yield from _beyond_number(facts)
    elif kinds == "array" or "maxItems" in facts:
        yield from _beyond_array(facts, name)
    elif kinds == "boolean":
        yield "yes"
    elif kinds == "object":
        yield "text"
        if facts.get("additionalProperties") is False:
            yield {"zzzzUnknown": 1}
    elif kinds == "string":
        yield 7
        yield from _beyond_text(facts)


def _beyond_number(facts: Schema) -> Iterator[Any]:
    unit = facts.get("multipleOf")
    step = unit or 1
    if "minimum" in facts:
        yield facts["minimum"] - step
    if "maximum" in facts:
        yield facts["maximum"] + step if facts["maximum"] < 2**53 else facts["maximum"] * 2
    if isinstance(unit, float) or (unit or 1) > 1:
        yield at_limit(facts, "", high=False) + step / 2
    elif facts["type"] == "integer":
        yield 1.5
    yield "many"


def _beyond_array(facts: Schema, name: str) -> Iterator[Any]:
    one = (_array({**facts, "minItems": 1, "maxItems": 1}, name, high=True) or [{}])[0]
    if facts.get("minItems", 0) > 0:
        yield [one] * (facts["minItems"] - 1)
    if "maxItems" in facts:
        yield [one] * (facts["maxItems"] + 1)
    if facts.get("type") == "array":
        yield "text"
    items = facts.get("items", {})
    for inner, schema in items.get("properties", {}).items():
        for value in beyond(schema, inner):
            yield [{**one, inner: value}]
    for inner in items.get("required", ()):
        yield [{key: value for key, value in one.items() if key != inner}]


def _beyond_text(facts: Schema) -> Iterator[str]:
    if facts.get("minLength", 0) > 0:
        yield "x" * (facts["minLength"] - 1)
    if "maxLength" in facts:
        yield "x" * (facts["maxLength"] + 1)
    if "format" in facts or any("format" in one for one in facts.get("anyOf", ())):
        yield "no such form"
