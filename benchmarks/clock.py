"""The time of a comparison: what each case may take, what each client took in it, and how the rest is shared.

A case has seconds of its own in a full comparison and in a quick one, measured on a quiet machine with two cores. A
client of a case gets twice its share of them, because the clients differ; one that has used that is not measured again
in the case. If the comparison is behind its time, all later shares shrink by the same factor, so that every table is
made on a busy machine too, from fewer measurements. Each client is measured at least once.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["FULL", "QUICK", "SECONDS", "Clock"]

FULL, QUICK = 1_680.0, 215.0
"""Seconds of a whole comparison, and of a quick one."""
SECONDS: dict[str, tuple[float, float]] = {
    "serial": (38, 8),
    "flight": (180, 12),
    "growth": (80, 3),
    "http": (36, 6),
    "partial": (25, 3),
    "tokens": (30, 3),
    "polled": (20, 4),
    "many": (45, 9),
    "large": (42, 8),
    "mixed": (35, 3),
    "timers": (15, 2),
    "thread": (28, 3),
    "options": (13, 3),
    "told": (25, 1),
    "peak": (20, 4),
    "idle": (16, 4),
    "drop": (80, 6),
    "start": (30, 3),
    "import": (12, 2),
    "memory": (20, 3),
    "close": (2, 1),
    "dead": (4, 1),
    "far": (5, 1),
    "far-first": (50, 8),
    "far-calls": (46, 9),
    "far-large": (30, 5),
    "far-polled": (25, 5),
    "far-drop": (55, 12),
    "far-stall": (16, 4),
}
"""Seconds of each case over plain TCP, in a full comparison and in a quick one."""
OVER_TLS = (0.8, 0.75)
"""What a case takes over TLS, as a part of that: fewer lines there, and one run in a quick comparison."""


class Clock:
    """The seconds of a comparison.

    Args:
        cases: Each transport and case that is to come, in their order.
        total: Seconds of the whole comparison.
        quick: Whether it is a quick one.
        now: The seconds of a monotonic clock.

    Attributes:
        now: The seconds of that clock.
        spent: The seconds of each transport, case and client. Clients that wait at the same time each have that time.
        took: The seconds of each transport and case.
    """

    def __init__(
        self,
        cases: Sequence[tuple[str, str]],
        total: float,
        *,
        quick: bool,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.planned = {
            (transport, case): SECONDS[case][quick] * (1.0 if transport == "plain" else OVER_TLS[quick])
            for transport, case in cases
        }
        self.spent: dict[tuple[str, str, str], float] = defaultdict(float)
        self.took: dict[tuple[str, str], float] = {}
        self._left = dict(self.planned)
        self.now = now
        self._end = now() + total
        self._case = ("", "")
        self._seconds = float("inf")

    @contextmanager
    def case(self, transport: str, case: str) -> Iterator[None]:
        """Measure a case, and share what is left of the time between it and those that follow."""
        began = self.now()
        scale = max(0.0, self._end - began) / sum(self._left.values())
        self._case = (transport, case)
        self._seconds = self._left.pop(self._case) * min(1.0, scale)
        try:
            yield
        finally:
            self.took[self._case] = self.now() - began

    @contextmanager
    def client(self, client: str) -> Iterator[None]:
        """Measure what a client takes of the case."""
        transport, case = self._case
        began = self.now()
        try:
            yield
        finally:
            self.spent[transport, case, client] += self.now() - began

    @property
    def seconds(self) -> float:
        """The seconds that the case may take."""
        return self._seconds

    def share(self, clients: int) -> float:
        """Return the seconds that each of this number of clients may take for the case, if they take turns."""
        return 2 * self._seconds / max(1, clients)

    def rows(self) -> list[dict[str, object]]:
        """Return what was planned and taken, in the form in which it is saved."""
        found: list[dict[str, object]] = []
        for (transport, case), took in self.took.items():
            clients = {name: round(one, 1) for (*key, name), one in self.spent.items() if key == [transport, case]}
            planned = round(self.planned[transport, case], 1)
            row = {"transport": transport, "case": case, "planned": planned, "took": round(took, 1)}
            found.append({**row, "clients": clients})
        return found
