"""Python names in tasks given as dicts: `positive_prompt` is taken where the API says `positivePrompt`."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from runware._support.api_names import wire_name
from runware.media.inputs import StoredResult, holds_payload
from runware.models.wording import join_path

__all__ = ["as_sent", "stray_names", "to_api_names"]

_CONTENTS = frozenset(("tools", "jsonSchema", "json_schema"))
"""Parameters whose dicts have names of the user's own."""
_OF_CALL = {"task_type": "taskType", "task_uuid": "taskUUID"}
"""Parameters that every task has, whatever its schema lists."""
_OPEN = frozenset(("settings", "providerSettings", "inputs", "lora"))
"""Parameters whose dicts have names of the API, also where a schema does not list them."""

_OF_OTHERS = frozenset(("messages", "settings", "providerSettings"))
"""Parameters whose dicts may have names of other vendors, which may have underscores."""


def to_api_names(
    task: Mapping[str, Any], schema: Mapping[str, Any], kept: Collection[str] = frozenset()
) -> dict[str, Any]:
    """Return a task whose Python names are replaced by the API's, also inside objects and lists of objects.

    A name is replaced if the schema has the API's form of it. If the schema does not describe an object, all its names
    are replaced, since the API has no names with underscores. The user's own contents stay as they are: `tools`,
    `jsonSchema`, and other objects that the schema does not describe.

    Args:
        task: The task.
        schema: The request schema of its model; empty if that is not known.
        kept: Parameters that stay as they are.
    """
    properties = schema.get("properties") or {}
    made: dict[str, Any] = {}
    for name, value in task.items():
        if name in kept:
            made[name] = value
            continue
        api = _OF_CALL.get(name) or _api_name(name, task, properties)
        known = properties.get(api)
        made[api] = value if api in _CONTENTS else _inside(value, known, api in _OPEN)
    return made


def as_sent(value: Any) -> Any:
    """Return a value of a parameter as it would be sent, without reading media: a text stands for them."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {name: as_sent(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_sent(one) for one in value]
    if holds_payload(value) or isinstance(value, StoredResult):
        return "data:application/octet-stream;base64,"
    kind = type(value)
    if not kind.__name__.startswith("bool") and not hasattr(kind, "__len__"):  # not NumPy's bool, and not an array
        for convert in (operator.index, float):
            with suppress(TypeError, ValueError, OverflowError):
                return convert(value)
    return value


def stray_names(
    task: Mapping[str, Any],
    schema: Mapping[str, Any],
    kept: Collection[str] = frozenset(),
    objects: Collection[str] = frozenset(),
) -> Iterator[str]:
    """Yield the paths of names with an underscore that `to_api_names` has left, where the API cannot have such a name.

    Those are names of the task itself, and names in objects that its schema or the client describes.

    Args:
        task: The task, with API names.
        schema: The request schema of its model; empty if that is not known.
        kept: Parameters that stay as they are.
        objects: Parameters that the client describes.
    """
    properties = schema.get("properties") or {}
    for name, value in task.items():
        if name in kept or name in _CONTENTS or name in _OF_OTHERS:
            continue
        if "_" in str(name) and name not in properties:
            yield str(name)
        else:
            yield from _strays_inside(value, properties.get(name), name, name in objects)


def _strays_inside(value: Any, schema: Any, path: str, is_known: bool) -> Iterator[str]:
    facts: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
    if isinstance(value, Mapping):
        if is_known or facts.get("properties"):
            yield from (join_path(path, name) for name in stray_names(value, facts))
    elif isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            yield from _strays_inside(one, facts.get("items"), f"{path}[{number}]", is_known)


def _api_name(name: str, given: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    if not isinstance(name, str) or "_" not in name or name in properties:
        return name
    form = wire_name(name)
    return form if (form in properties or not properties) and form not in given else name


def _inside(value: Any, schema: Any, is_open: bool) -> Any:
    """Return a value with the API's names in it.

    Args:
        value: The value.
        schema: Its schema, or `None`.
        is_open: Whether the names of an object that the schema does not list are the API's.
    """
    facts: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
    if isinstance(value, Mapping):
        properties = facts.get("properties") or {}
        if not properties and not is_open:
            return value
        made: dict[str, Any] = {}
        for name, one in value.items():
            api = _api_name(name, value, properties)
            made[api] = one if api in _CONTENTS else _inside(one, properties.get(api), is_open)
        return made
    if isinstance(value, (list, tuple)):
        return [_inside(one, facts.get("items"), is_open) for one in value]
    return value
