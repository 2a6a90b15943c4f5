"""Objects that hold what was given, and leave the rest to their class.

A request has up to 60 fields, of which a few are given, and a result mostly half of its own. Making, checking and
writing a request took five times as long when each object had a value for every field.
"""

from __future__ import annotations

from typing import Any, TypeVar

import attrs

__all__ = ["fill", "put_defaults"]

T = TypeVar("T")


def put_defaults(cls: Any) -> None:
    """Give an attrs class without slots the defaults of its fields, where objects find what they do not hold."""
    for field in attrs.fields(cls):
        if not (field.default is attrs.NOTHING or isinstance(field.default, attrs.Factory)):  # type: ignore[arg-type]
            setattr(cls, field.name, field.default)


def fill(target: T, values: dict[str, Any]) -> T:
    """Let a new object hold these values, and nothing else; the dict is its own from now on."""
    object.__setattr__(target, "__dict__", values)
    return target
