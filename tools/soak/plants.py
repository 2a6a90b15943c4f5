"""Faults that are planted on purpose, to show that a soak finds each of them."""

from __future__ import annotations

import os
import random
import threading

from .call_log import CallLog
from .clients import Clients
from .threaded import check_seeds, picture_of

__all__ = ["PLANTS", "Plants"]

_EACH = 5
"""How many threads or descriptors one turn leaks, so that a few turns on a busy machine are enough."""
PLANTS = ("memory", "threads", "descriptors", "lost", "doubled", "hung")


class Plants:
    """A caller that makes small calls, and does with each what it must not.

    Args:
        clients: The clients.
        call_log: Where each call is recorded.
        planted: Some of `PLANTS`.
    """

    def __init__(self, clients: Clients, call_log: CallLog, planted: list[str]) -> None:
        self._rw = clients.main
        self._call_log = call_log
        self._planted = planted
        self._kept: list[object] = []

    def plant(self, _: random.Random) -> None:
        """Make one turn."""
        for planted in self._planted:
            getattr(self, f"_{planted}")()

    def _memory(self) -> None:
        self._kept += [[object()] for _ in range(1000)]

    def _threads(self) -> None:
        for _ in range(_EACH):
            threading.Thread(target=threading.Event().wait, name="planted", daemon=True).start()

    def _descriptors(self) -> None:
        self._kept += [os.open(os.devnull, os.O_RDONLY) for _ in range(_EACH)]

    def _lost(self) -> None:
        with self._call_log.call("planted loss") as call:
            check_seeds(call, [])

    def _doubled(self) -> None:
        with self._call_log.call("planted double") as call:
            for _ in range(2):
                check_seeds(call, self._rw.image_inference(**picture_of(call)))

    def _hung(self) -> None:
        self._call_log.begin("planted call that never ends")
