"""Remember which deliveries were handled, so that one that comes again is dropped."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Protocol

__all__ = ["DeliveryMemory", "RecentKeys"]

_MOST = 100_000


class DeliveryMemory(Protocol):
    """A memory of deliveries that several processes share, such as a table or a cache. It is used by any thread."""

    def add(self, key: str) -> bool:
        """Remember a key, in one atomic step; return whether it was new."""
        ...

    def discard(self, key: str) -> None:
        """Forget a key, because the delivery could not be handled and will come again."""


class RecentKeys:
    """The keys of recent deliveries, in this process.

    Args:
        lifetime: Seconds for which a key is remembered.
        most: The largest number of keys; above it, the oldest are forgotten.
    """

    def __init__(self, lifetime: float, most: int = _MOST) -> None:
        self._lifetime = lifetime
        self._most = most
        self._keys: OrderedDict[str, float] = OrderedDict()
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replace the lock, which another thread may have held when the process was forked."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._keys)

    def _drop_old(self, now: float) -> None:
        while self._keys and next(iter(self._keys.values())) <= now:
            self._keys.popitem(last=False)

    def add(self, key: str) -> bool:
        """Remember a key; return whether it was new."""
        now = time.monotonic()
        with self._lock:
            self._drop_old(now)
            if key in self._keys:
                return False
            if len(self._keys) >= self._most:
                self._keys.popitem(last=False)
            self._keys[key] = now + self._lifetime
            return True

    def discard(self, key: str) -> None:
        """Forget a key."""
        with self._lock:
            self._keys.pop(key, None)
