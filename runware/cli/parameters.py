"""Parameters of a model on the command line: `width=1024 settings.quality=high lora.0.model=civitai:1@1`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runware import ValidationError
from runware._support.lazy_modules import lazy_module
from runware.media.kinds import EXTENSIONS
from runware.models.schema import find_schema, matches

if TYPE_CHECKING:
    from runware import models as knowledge
else:
    knowledge = lazy_module("runware.models")

__all__ = ["model_takes", "read_parameters"]

_MOST_ITEMS = 1000
_OF_MEDIA = EXTENSIONS | {".jpeg", ".tif"}


def model_takes(model: str, name: str) -> bool | None:
    """Return whether a model has a parameter, by its Python name; `None` if the model is not known."""
    known = knowledge.catalogue().catalogue.get(model)
    return None if known is None else any(one.name == name for one in known.parameters)


def read_parameters(pairs: Iterable[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request.

    Args:
        pairs: The arguments, each `NAME=VALUE`. A name is the API's or Python's, with dots for what is inside an
            object, and positions for what is inside a list. `@FILE` as the value is a file to send.
        schema: The request schema of the model, which tells numbers from texts; empty if it is not known.

    Raises:
        ValidationError: An argument has another form; `parameter` names it.
    """
    made: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        steps = name.split(".")
        if not equals or not all(steps):
            raise ValidationError(f"Parameters are NAME=VALUE, such as width=1024; got {pair!r}.", parameter=name)
        _put(made, steps, _value(text, find_schema(schema, name) or {}, name), name)
    return made


def _value(text: str, schema: Mapping[str, Any], name: str) -> Any:
    """Convert a text to the type that the schema has: `2024` is a number, but not as a prompt."""
    if text.startswith("@"):
        path = Path(text[1:])
        if path.is_file():
            return path
        if path.suffix.lower() in _OF_MEDIA:  # sent as text, it would be a task without its media, and billed
            raise ValidationError(f"{name} names a file, and there is no file {path}.", parameter=name)
    if schema.get("type") == "string":
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"true": True, "false": False}.get(text.lower(), text) if schema.get("type") == "boolean" else text
    return text if matches(schema, text) and not matches(schema, value) else value


def _put(made: dict[str, Any], steps: list[str], value: Any, name: str) -> None:
    """Set a value at a path, and create the objects and lists on the way."""
    inside: Any = made
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        fresh: Any = value if following is None else [] if following.isdigit() else {}
        if isinstance(inside, list):
            if not step.isdigit() or int(step) > min(len(inside), _MOST_ITEMS):
                raise _misplaced(name, f"{step!r} is not the next position of the list, which is {len(inside)}")
            position = int(step)
            if position == len(inside):
                inside.append(fresh)
            elif following is None:
                inside[position] = value
            inside = inside[position]
        elif isinstance(inside, dict):
            if following is None:
                inside[step] = value
            inside = inside.setdefault(step, fresh)
        else:
            raise _misplaced(name, "it is inside a parameter that has a value already")


def _misplaced(name: str, why: str) -> ValidationError:
    return ValidationError(f"{name} cannot be set: {why}.", parameter=name)
