"""UUIDs of version 4, as text. Importing the standard library's module takes longer than the rest of this package."""

from __future__ import annotations

import os
import random
import re
from typing import TYPE_CHECKING, TypeGuard

from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    import hashlib
else:
    hashlib = lazy_module("hashlib")

__all__ = ["StableUUID", "derived_uuid", "is_uuid", "new_uuid", "task_uuid_for"]

_RANDOM = 0xFFFFFFFF_FFFF_0FFF_3FFF_FFFFFFFFFFFF
_VERSION_4 = 0x00000000_0000_4000_8000_000000000000
_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

# UUIDs must be unique, not unpredictable. Asking the operating system for each one releases the GIL, which costs a
# busy caller 35 µs; this costs 1 µs.
_random = random.Random(os.urandom(64))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(64)))


def new_uuid(rng: random.Random = _random) -> str:
    """Return a new UUID, unique across processes."""
    return _text(rng.getrandbits(128))


def derived_uuid(text: str) -> str:
    """Return the UUID that belongs to a text: always the same, with the bits of version 4."""
    return _text(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


class StableUUID(str):
    """A task UUID derived from a key: equal keys give equal UUIDs in every process. See `task_uuid_for`.

    The text has no mark of that: the API takes version 4 only, and with other bits, keys that were used before would
    name other tasks.
    """

    __slots__ = ()


def task_uuid_for(key: str) -> StableUUID:
    """Return the UUID for the task that a key of your own stands for, such as `"order-17/cover"`.

    A call with this `task_uuid` never buys the task twice, in whichever process and however often it is repeated: if
    the server has the UUID already, the call waits for that task's results instead of failing with `ConflictError`, for
    as long as the server remembers the task. So the key must name what is asked for, and a key with another prompt is
    another task.

    Give keys to other processes, and call this where the task is sent. A UUID is known to be one of a key by its class,
    which `pickle` keeps and JSON does not: a plain `str` with the same text is a UUID like any other.

    Args:
        key: Any text that identifies the task among all of the account.

    Returns:
        A UUID with the bits of version 4, which the API needs; a `str`.

    Raises:
        TypeError: *key* is not a `str`.
        ValueError: *key* is empty.
    """
    if not isinstance(key, str):
        raise TypeError(f"task_uuid_for() takes a str; got {type(key).__name__}.")
    if not key:
        raise ValueError("task_uuid_for() takes a key that identifies the task; got an empty one.")
    return StableUUID(derived_uuid(f"runware task {key}"))


def _text(bits: int) -> str:
    digits = f"{bits & _RANDOM | _VERSION_4:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_uuid(text: object) -> TypeGuard[str]:
    """Return whether a value is a UUID in its usual text form."""
    return isinstance(text, str) and _FORM.fullmatch(text) is not None
