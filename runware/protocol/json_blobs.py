"""Long strings in JSON: base64 is cut out before the rest is parsed, and inserted after the rest is written.

A JSON parser examines every character of a string while it holds the GIL, so 20 MB block all other calls: 25 ms to
read and 60 ms to write with the standard library. Finding the end of a string, and checking that nothing in it needs an
escape, takes less than half of that; for 2 MB, a quarter, which is less than orjson takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["LONG", "dumps_with", "is_flat", "loads_with"]

LONG = 64 * 1024
"""The length from which a string is cut out."""
_STRINGS = 1000
"""The number of strings after which the search stops: in a message of many short ones it costs more than it saves."""
_STAND_IN = f"string {os.urandom(16).hex()} "
_FLAT = frozenset((int, float, bool, type(None)))
_BACKSLASH = ord("\\")
_ESCAPED = bytes(range(32)) + b'"\\'


def dumps_with(encode: Callable[[object], str], value: object) -> bytes:
    """Write JSON in UTF-8.

    Args:
        encode: Writes the rest, without the long strings.
        value: The value to write.
    """
    if isinstance(value, list) and all(isinstance(one, dict) and is_flat(one) for one in value):
        return encode(value).encode()
    cut: list[bytes] = []
    rest = encode(_without(value, cut)).encode()
    if not cut:
        return rest
    pieces: list[bytes] = []
    for number, data in enumerate(cut, 1):
        before, _, rest = rest.partition(f'"{_STAND_IN}{number}"'.encode())
        pieces += [before, b'"', data, b'"']
    return b"".join([*pieces, rest])


def _without(part: object, cut: list[bytes]) -> object:
    """Return a value with stand-ins for its long strings, which are appended to *cut*.

    Not a closure that calls itself: such a closure is a reference cycle, and keeps the strings in memory until the
    garbage collector runs.
    """
    if isinstance(part, str):
        if len(part) > LONG:
            data = part.encode()
            if len(data.translate(None, _ESCAPED)) == len(data):
                cut.append(data)
                return f"{_STAND_IN}{len(cut)}"
        return part
    if isinstance(part, dict):
        return {name: _without(one, cut) for name, one in part.items()}
    return [_without(one, cut) for one in part] if isinstance(part, (list, tuple)) else part


def is_flat(task: Mapping[str, object]) -> bool:
    """Return whether a task has neither objects nor lists nor long texts, as most have none."""
    for value in task.values():  # `all` with a generator takes three times as long
        kind = type(value)
        if kind is str:
            if len(value) > LONG:  # type: ignore[arg-type]  # it is a str
                return False
        elif kind not in _FLAT:
            return False
    return True


def loads_with(decode: Callable[[bytes | bytearray], Any], data: bytes | bytearray) -> Any:
    """Read JSON in UTF-8.

    Args:
        decode: Reads the rest, without the long strings.
        data: The JSON. A long string is copied once, into the `str` that is returned.
    """
    cut: dict[str, str] = {}
    pieces: list[memoryview | bytes] = []
    start = end = 0
    view = memoryview(data)
    for _ in range(_STRINGS):
        begin = data.find(b'"', end) + 1
        end = data.find(b'"', begin) + 1
        if not begin or not end:
            break
        if data[end - 2] == _BACKSLASH:  # the quotation mark may be a part of the string
            return decode(data)
        if end - begin > LONG and data.find(b"\\", begin, end) < 0:
            name = f"{_STAND_IN}{len(cut)}"
            cut[name] = str(view[begin : end - 1], "utf-8")
            pieces += [view[start:begin], name.encode()]
            start = end - 1
    if not cut:
        return decode(data)
    return _whole(decode(b"".join([*pieces, view[start:]])), cut)


def _whole(part: object, cut: dict[str, str]) -> object:
    """Return a value with the long strings in place of their stand-ins."""
    if isinstance(part, str):
        return cut.get(part, part)
    if isinstance(part, dict):
        return {cut.get(name, name): _whole(one, cut) for name, one in part.items()}
    return [_whole(one, cut) for one in part] if isinstance(part, list) else part
