"""UUIDs of version 4, as text. The standard library's module loads more than the rest of the package's start takes."""

from __future__ import annotations

import os
import random
import re

__all__ = ["is_uuid", "new_uuid"]

_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def new_uuid(rng: random.Random | None = None) -> str:
    """Make a UUID from the operating system's randomness, or from *rng*."""
    digits = (os.urandom(16) if rng is None else rng.randbytes(16)).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def is_uuid(text: object) -> bool:
    """Tell whether something is the usual text of a UUID."""
    return isinstance(text, str) and _FORM.fullmatch(text) is not None
