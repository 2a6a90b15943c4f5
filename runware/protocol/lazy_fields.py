"""Objects that hold what was given, and leave the rest to their class.

A request has up to 60 fields, of which a few are given. Making, checking and writing it took five times as long when
each object had a value for every field. A result holds the wire item that it came as, and reads a field of it when
somebody asks: most are never asked for, and what is read is read by whoever wants it, not by the I/O thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from runware.protocol.codec import rules

__all__ = ["fill", "put_defaults", "put_readers"]

T = TypeVar("T")


def put_defaults(cls: Any) -> None:
    """Give an attrs class without slots the defaults of its fields, where objects find what they do not hold."""
    for field in attrs.fields(cls):
        if not (field.default is attrs.NOTHING or isinstance(field.default, attrs.Factory)):  # type: ignore[arg-type]
            setattr(cls, field.name, field.default)


def put_readers(cls: Any) -> None:
    """Let the fields of an attrs class without slots be looked up in `raw`, unless an object holds a value."""
    put_defaults(cls)
    for field in attrs.fields(cls):
        if field.name != "raw" and not field.name.startswith("_"):
            setattr(cls, field.name, _Reader(cls, field.name, field.default))


class _Reader:
    """A field that is read at its first use, and held then; it gives way to a value that the object holds."""

    __slots__ = ("_cls", "_default", "_name", "_rule")

    def __init__(self, cls: Any, name: str, default: Any) -> None:
        self._cls = cls
        self._name = name
        self._default = default
        self._rule: tuple[str, frozenset[type], Callable[[Any], Any]] | None = None

    def __get__(self, part: Any, owner: Any = None) -> Any:
        if part is None:
            return self._default
        value = self.own(part)
        if value is None:
            value = part._fallback(self._name)  # noqa: SLF001 - it is a part of the object
            if value is None:
                return self._default
        object.__setattr__(part, self._name, value)
        return value

    def own(self, part: Any) -> Any:
        """Give what the wire item has under the field's own name, or `None`."""
        wire, plain, make = self._rule or self._learn()
        value = part.raw.get(wire)
        return value if value is None or type(value) in plain else make(value)

    def _learn(self) -> tuple[str, frozenset[type], Callable[[Any], Any]]:
        self._rule = rules(self._cls)[self._name]
        return self._rule


def fill(target: T, values: dict[str, Any]) -> T:
    """Let a new object hold these values, and nothing else; the dict is its own from now on."""
    object.__setattr__(target, "__dict__", values)
    return target
