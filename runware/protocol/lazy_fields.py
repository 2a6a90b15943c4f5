"""Objects that store only the values given, and find the others on their class.

A request has up to 60 fields, of which a few are given. Making, checking and writing it took five times as long when
each object had a value for every field. A result stores the item as it was received, and converts a field at its first
use: most fields are never used, and the conversion runs on the caller's thread, not on the I/O thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import attrs

from runware.protocol.codec import Rule, rules

__all__ = ["put_defaults", "put_readers", "stored_items"]


def put_defaults(cls: type[attrs.AttrsInstance]) -> None:
    """Set the defaults of an attrs class without slots as class attributes, for objects that do not store a value."""
    for field in attrs.fields(cls):
        if not (field.default is attrs.NOTHING or isinstance(field.default, attrs.Factory)):  # type: ignore[arg-type]
            setattr(cls, field.name, field.default)


def put_readers(cls: type[attrs.AttrsInstance]) -> None:
    """Read the fields of an attrs class without slots from `raw`, unless an object stores a value."""
    put_defaults(cls)
    for field in attrs.fields(cls):
        if field.name != "raw" and not field.name.startswith("_"):
            setattr(cls, field.name, _Reader(cls, field.name, field.default))


def stored_items(part: _Part) -> Iterator[tuple[str, object]]:
    """Yield the API's name and the value of each field that an object was given beside its item.

    Values that were read from the item are left out, as are those that a fallback found elsewhere.
    """
    stored = vars(part)
    for name, (wire, plain, make) in rules(type(part)).items():
        value = stored.get(name)
        if value is None or value == part._fallback(name):  # noqa: SLF001 - the two classes are one mechanism
            continue
        own = part.raw.get(wire)
        if own is None or value != (own if type(own) in plain else make(own)):
            yield wire, value


class _Part(Protocol):
    """An object in a response."""

    @property
    def raw(self) -> Mapping[str, Any]: ...

    def _fallback(self, name: str) -> object: ...


class _Reader:
    """A descriptor that converts a field at its first use, and stores the value; a value stored on the object wins."""

    __slots__ = ("_cls", "_default", "_name", "_rule")

    def __init__(self, cls: type[attrs.AttrsInstance], name: str, default: object) -> None:
        self._cls = cls
        self._name = name
        self._default = default
        self._rule: Rule | None = None

    def __get__(self, part: _Part | None, owner: type[object] | None = None) -> object:
        if part is None:
            return self._default
        value = self.own(part)
        if value is None:
            value = part._fallback(self._name)  # noqa: SLF001 - the two classes are one mechanism
            if value is None:
                return self._default
        object.__setattr__(part, self._name, value)
        return value

    def own(self, part: _Part) -> object:
        """Return the item's value under the field's own name, or `None`."""
        wire, plain, make = self._rule or self._learn()
        value = part.raw.get(wire)
        return value if value is None or type(value) in plain else make(value)

    def _learn(self) -> Rule:
        self._rule = rules(self._cls)[self._name]
        return self._rule
