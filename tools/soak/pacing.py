"""When callers make their turns: at a rate, and not while all of them are held."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator

__all__ = ["Gate", "Pace"]

_LOOK = 0.02
"""Seconds after which a coroutine looks at a closed gate again."""


class Gate:
    """Lets callers begin their turns, unless it is closed."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._changed = threading.Condition()
        self._closed = False
        self._inside = 0

    def close(self, timeout: float) -> bool:
        """Hold all callers, and wait until their turns have ended; return whether they have."""
        with self._changed:
            self._closed = True
            return self._changed.wait_for(lambda: not self._inside, timeout)

    def open(self) -> None:
        """Let all callers go on."""
        with self._changed:
            self._closed = False
            self._changed.notify_all()

    def end(self) -> None:
        """Let no caller begin another turn."""
        self.over.set()
        self.open()

    def enter(self) -> bool:
        """Begin a turn, as soon as the gate is open; `False` at the end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            return self._count_in()

    async def enter_async(self) -> bool:
        """Do what `enter` does, in an event loop."""
        while True:
            with self._changed:
                if not self._closed:
                    return self._count_in()
            await asyncio.sleep(_LOOK)

    def _count_in(self) -> bool:
        if self.over.is_set():
            return False
        self._inside += 1
        return True

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """End the turn with the block."""
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()


class Pace:
    """The turns of one caller: at random times, with a mean rate. What was missed is not made up for.

    Args:
        gate: The gate.
        rate: Turns a second.
        seed: Of the random times.
    """

    def __init__(self, gate: Gate, rate: float, seed: str) -> None:
        self._gate = gate
        self._rate = rate
        self._random = random.Random(seed)
        # Each caller begins soon, so that a short run has a turn of every kind.
        self._next = time.monotonic() + self._random.uniform(0.0, min(1.0, 1.0 / rate))

    def _pause(self) -> float:
        return max(0.0, self._next - time.monotonic())

    def _plan(self) -> None:
        # Behind by more than a second after a drop: go on from now, so that the load stays bounded.
        self._next = max(self._next, time.monotonic() - 1.0) + self._random.expovariate(self._rate)

    def turns(self) -> Iterator[random.Random]:
        """Yield a source of random numbers for each turn."""
        while not self._gate.over.wait(self._pause()) and self._gate.enter():
            with self._gate.inside():
                yield self._random
            self._plan()

    async def turns_async(self) -> AsyncIterator[random.Random]:
        """Do what `turns` does, in an event loop."""
        while True:
            # The end comes from another thread, so it is looked for now and then.
            while (pause := self._pause()) and not self._gate.over.is_set():  # noqa: ASYNC110
                await asyncio.sleep(min(pause, 0.25))
            if not await self._gate.enter_async():
                return
            with self._gate.inside():
                yield self._random
            self._plan()
