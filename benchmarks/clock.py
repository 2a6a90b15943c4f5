"""The time of a comparison: what each case may take, what each client took in it, and how the rest is shared.

A case has seconds of its own in a full comparison and in a quick one, measured on a quiet machine with two cores. They
are enough for three runs of the slowest client; what is left goes to the others, the fast ones first, up to all runs.
What a case does not need goes to those after it, up to twice their seconds. If the comparison is behind its time, all
later shares shrink by the same factor, so that every table is made on a busy machine too, from fewer measurements. Each
client is measured at least once.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Generic, TypeVar

__all__ = ["FULL", "LEAST", "QUICK", "SECONDS", "Clock", "Pace", "fill"]

T = TypeVar("T", bound=Hashable)

FULL, QUICK = 1_560.0, 180.0
"""Seconds of a whole comparison, and of a quick one."""
SECONDS: dict[str, tuple[float, float, float]] = {
    "serial": (28, 24, 6),
    "flight": (250, 195, 12),
    "growth": (62, 0, 2),
    "http": (24, 20, 5),
    "partial": (26, 22, 3),
    "tokens": (18, 16, 2),
    "polled": (17, 17, 4),
    "many": (44, 44, 6),
    "large": (22, 22, 6),
    "mixed": (28, 24, 3),
    "timers": (15, 14, 1.5),
    "thread": (48, 46, 3),
    "options": (12, 0, 3),
    "told": (22, 0, 1),
    "peak": (14, 19, 3),
    "idle": (13, 13, 3),
    "drop": (76, 30, 5),
    "start": (18, 16, 4),
    "import": (10, 0, 2),
    "memory": (20, 21, 3),
    "close": (2, 0, 1),
    "dead": (4, 0, 1),
    "far": (8, 0, 2),
    "far-first": (40, 34, 7),
    "far-calls": (28, 0, 8),
    "far-large": (22, 0, 4),
    "far-polled": (14, 0, 4),
    "far-drop": (45, 40, 11),
    "far-stall": (13, 0, 3),
}
"""Seconds of each case in a full comparison, plain and over TLS, and in a quick one. 0: it is not measured over TLS."""
QUICK_OVER_TLS = 0.7
"""What a case takes over TLS in a quick comparison, as a part of what it takes without: it has one run there."""
LEAST = 3
"""Runs that each client has if the seconds of the case are enough: fewer show no spread."""


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
        self.planned = {(transport, case): _planned(transport, case, quick=quick) for transport, case in cases}
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
        self._seconds = self._left.pop(self._case) * min(2.0, scale)
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

    def rows(self) -> list[dict[str, object]]:
        """Return what was planned and taken, in the form in which it is saved."""
        found: list[dict[str, object]] = []
        for (transport, case), took in self.took.items():
            clients = {name: round(one, 1) for (*key, name), one in self.spent.items() if key == [transport, case]}
            planned = round(self.planned[transport, case], 1)
            row = {"transport": transport, "case": case, "planned": planned, "took": round(took, 1)}
            found.append({**row, "clients": clients})
        return found


def _planned(transport: str, case: str, *, quick: bool) -> float:
    plain, tls, short = SECONDS[case]
    if quick:
        return short if transport == "plain" else short * QUICK_OVER_TLS
    return plain if transport == "plain" else tls


def fill(seconds: float, wanted: Mapping[T, float], least: Mapping[T, float]) -> dict[T, float]:
    """Divide seconds among clients: each gets what it can use, up to a limit that is the same for all.

    Args:
        seconds: The seconds to divide.
        wanted: The seconds that each client can use.
        least: The seconds that each client gets even above the limit. If their sum is more than there is, they are
            divided in place of *wanted*.
    """
    if sum(least.values()) > seconds:
        wanted, least = least, dict.fromkeys(least, 0.0)
    if sum(wanted.values()) <= seconds:
        return dict(wanted)
    low, high = 0.0, max(wanted.values())
    for _ in range(50):
        limit = (low + high) / 2
        shares = {one: min(most, max(limit, least[one])) for one, most in wanted.items()}
        if sum(shares.values()) > seconds:
            high = limit
        else:
            low = limit
    return {one: min(most, max(low, least[one])) for one, most in wanted.items()}


class Pace(Generic[T]):
    """Which clients that take turns, slice by slice and run by run, have time for another turn.

    One that is slow has fewer slices in each run, at least one, and then fewer runs.

    Args:
        clients: The clients.
        seconds: What all of them together may take.
        runs: The number of runs.
        slices: The number of turns of each client in a run.
    """

    def __init__(self, clients: Sequence[T], seconds: float, runs: int, slices: int) -> None:
        self._seconds = seconds
        self._runs, self._slices = runs, slices
        self._turns: dict[T, list[float]] = {client: [] for client in clients}
        self._run = 0

    def next_run(self) -> list[T]:
        """Begin a run, and return the clients that have time for it."""
        self._run += 1
        return [client for client, turns in self._turns.items() if not turns or self._fits(client, self._runs)]

    def has_turn(self, client: T) -> bool:
        """Return whether there is time for another turn of a client in this run."""
        return self._fits(client, self._run)

    def took(self, client: T, seconds: float) -> None:
        """Add what a turn of a client took."""
        self._turns[client].append(seconds)

    def leave(self, client: T) -> None:
        """Leave the time of a client that takes part no more to the others."""
        self._seconds -= sum(self._turns.pop(client))

    def _fits(self, client: T, run: int) -> bool:
        """Return whether another turn is within what a client may have taken by the end of a run."""
        turns = self._turns[client]
        return sum(turns) + fmean(turns) <= self._share(client) * run / self._runs * (1 + 1e-9)

    def _share(self, client: T) -> float:
        """Return the seconds of a client, without a limit if there is enough for all that is wanted of it."""
        usual = fmean([fmean(turns) for turns in self._turns.values() if turns])
        each = {one: fmean(turns) if turns else usual for one, turns in self._turns.items()}
        wanted = {one: turn * self._runs * self._slices for one, turn in each.items()}
        least = {one: turn * min(LEAST, self._runs) for one, turn in each.items()}
        share = fill(self._seconds, wanted, least)[client]
        return share if share < wanted[client] else math.inf
