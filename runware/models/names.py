"""Python names in tasks given as plain dicts: `positive_prompt` is taken where the API says `positivePrompt`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runware.protocol.codec import wire_name

__all__ = ["to_api_names"]


def to_api_names(task: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task whose Python names are replaced by the API's, also inside objects and lists of objects.

    A name is replaced if the schema has the API's form of it, or if the schema does not know either and it is a
    parameter. Contents that the schema does not describe are the user's own, and stay as they are.
    """
    properties = schema.get("properties") or {}
    made: dict[str, Any] = {}
    for name, value in task.items():
        api = name
        if name not in properties:
            form = wire_name(name)
            if form in properties or not properties:
                api = form
        made[api] = _inside(value, properties.get(api))
    return made


def _inside(value: Any, schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, Mapping) and schema.get("properties"):
        return to_api_names(value, schema)
    if isinstance(value, (list, tuple)) and isinstance(schema.get("items"), Mapping):
        return [_inside(one, schema["items"]) for one in value]
    return value
