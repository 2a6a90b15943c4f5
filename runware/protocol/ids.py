"""UUIDs of version 4, as text. Importing the standard library's module takes longer than the rest of this package."""

from __future__ import annotations

import os
import random
import re
from typing import TypeGuard

__all__ = ["is_uuid", "new_uuid"]

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
    digits = f"{rng.getrandbits(128) & _RANDOM | _VERSION_4:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_uuid(text: object) -> TypeGuard[str]:
    """Return whether a value is a UUID in its usual text form."""
    return isinstance(text, str) and _FORM.fullmatch(text) is not None
