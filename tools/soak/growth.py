"""What the client's process holds, measured while all callers are held, and whether it grows.

Why the thresholds are as they are: each is the growth over the whole time that is judged, after a warm-up of a
quarter. The growth must exceed it by two standard errors of the fit before it counts, so that noise fails few runs.

- `blocks` (`sys.getallocatedblocks`): objects of Python, 3,000. Caches that fill slowly, such as those of `re` and of
  SQLAlchemy's statements, take some hundred. In an hour of a million calls, a single object that stays for every 300
  calls exceeds it, or five objects for each of some 700 drops.
- `memory`: resident, 24 MiB. In a run of a million calls that is 25 bytes a call, less than the smallest object with
  its place in a list. It allows for the heap of glibc, which keeps fragments of large messages (several at once, of
  3 MB each) in the arena of each thread.
- `threads` and `descriptors`: 6. Threads and connections over HTTP end by themselves within five seconds, so that
  their number varies by up to ten.
"""

from __future__ import annotations

import gc
import itertools
import math
import os
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import attrs

from .server import resident

__all__ = ["THRESHOLDS", "Census", "Fit", "Sample", "fit", "fits_of"]

THRESHOLDS = {"blocks": 3000.0, "memory": 24.0, "threads": 6.0, "descriptors": 6.0}
"""The most that each may grow over the time that is judged."""
UNITS = {"blocks": "", "memory": " MiB", "threads": "", "descriptors": ""}
WARM_UP = 0.25
"""The share of the samples that is left out."""
_FEWEST = 4
"""Samples that a fit needs, with its two parameters and a correlation."""
_RESIDENT_FROM = 60.0
"""Seconds; in a shorter run, resident memory still grows by the first large messages."""


@attrs.frozen
class Sample:
    """What the process holds at one moment.

    Attributes:
        at: Seconds since the start.
        calls: Calls that had been made.
        threads: Threads of Python.
        descriptors: Open file descriptors.
        memory: Resident memory in MiB.
        blocks: Allocated blocks of Python's objects.
    """

    at: float
    calls: int
    threads: int
    descriptors: int
    memory: float
    blocks: int

    @classmethod
    def take(cls, start: float, calls: int) -> Sample:
        """Collect garbage, and measure. Call this while nothing else runs."""
        gc.collect()
        descriptors = len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 (one descriptor is that of the listing)
        blocks = sys.getallocatedblocks()
        return cls(time.monotonic() - start, calls, threading.active_count(), descriptors, resident(), blocks)


@attrs.frozen
class Fit:
    """A line through samples, by least squares.

    Attributes:
        name: What was measured.
        slope: Growth for each unit of x.
        error: The standard error of the slope.
        span: The length of the time that was judged, in units of x.
    """

    name: str
    slope: float
    error: float
    span: float

    @property
    def grown(self) -> float:
        """The growth over the time that was judged."""
        return self.slope * self.span

    @property
    def grows(self) -> bool:
        """Whether it exceeds its threshold by two standard errors."""
        return (self.slope - 2.0 * self.error) * self.span > THRESHOLDS[self.name]


def fit(name: str, x: list[float], y: list[float]) -> Fit:
    """Fit a line. The standard error allows for neighbouring samples that resemble each other.

    Raises:
        ValueError: There are fewer than four samples.
    """
    if len(x) < _FEWEST:
        raise ValueError(f"a fit needs {_FEWEST} samples; got {len(x)}")
    slope, intercept = statistics.linear_regression(x, y)
    residuals = [value - intercept - slope * at for at, value in zip(x, y, strict=True)]
    squares = math.fsum(residual * residual for residual in residuals)
    mean = statistics.fmean(x)
    spread = math.fsum((at - mean) ** 2 for at in x)
    error = math.sqrt(squares / (len(x) - 2) / spread)
    # With a correlation r of neighbours, n samples tell as much as n (1 - r) / (1 + r) independent ones.
    following = math.fsum(first * second for first, second in itertools.pairwise(residuals))
    correlation = min(0.9, max(0.0, following / squares)) if squares else 0.0
    return Fit(name, slope, error * math.sqrt((1.0 + correlation) / (1.0 - correlation)), x[-1] - x[0])


def judged(samples: list[Sample]) -> list[Sample]:
    """Return the samples after the warm-up."""
    return samples[int(len(samples) * WARM_UP) :]


def fits_of(samples: list[Sample]) -> list[tuple[Fit, Fit]]:
    """Return the growth of everything that is judged: for each million calls, and for each hour."""
    kept = judged(samples)
    if len(kept) < _FEWEST:
        return []
    names = [name for name in THRESHOLDS if name != "memory" or samples[-1].at >= _RESIDENT_FROM]
    calls = [sample.calls / 1e6 for sample in kept]
    hours = [sample.at / 3600.0 for sample in kept]
    found = []
    for name in names:
        values = [float(getattr(sample, name)) for sample in kept]
        found.append((fit(name, calls, values), fit(name, hours, values)))
    return found


class Census:
    """What there is, by kind: for the search of what grows."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        for one in gc.get_objects():
            self.counts[f"objects of {type(one).__module__}.{type(one).__qualname__}"] += 1
        for thread in threading.enumerate():
            self.counts[f"threads {thread.name.rstrip('0123456789-_')}"] += 1
        for path in Path("/proc/self/fd").iterdir():
            try:
                target = str(path.readlink())
            except OSError:  # that of the listing itself
                continue
            self.counts[f"descriptors {target.partition(':')[0]}"] += 1

    def grown_since(self, earlier: Census, count: int = 12) -> list[str]:
        """Return what there is more of than at an earlier time, the most first."""
        more = self.counts - earlier.counts
        return [f"{number:+,} {name}" for name, number in more.most_common(count)]
