"""Calls with a store: what it adds to each of 10,000 tasks in flight, and to one after another.

`RUNWARE_BENCH_STORE` names another database than a SQLite file, such as `postgresql+psycopg://...`.
"""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Context, Figure, Stopwatch, cpu, interleave, wall
from benchmarks.loopback import small
from runware import Runware
from runware.store.recorder import StoreRecorder

__all__ = ["durable"]

KEY = "rw-bench-key"
MILLI = 1e3


@contextmanager
def _clients(context: Context) -> Iterator[tuple[Runware, Runware]]:
    """Give a client without a store and one with it."""
    with tempfile.TemporaryDirectory() as folder:
        store = os.environ.get("RUNWARE_BENCH_STORE") or f"sqlite:///{Path(folder) / 'jobs.db'}"
        with (
            Runware(KEY, url=context.url, timeout=300.0, check="off", include_cost=True) as plain,
            Runware(KEY, url=context.url, timeout=300.0, check="off", store=store) as kept,
        ):
            yield plain, kept


def durable(context: Context) -> list[Figure]:
    """Measure tasks with and without a store."""
    count, few = (2_000 if context.quick else 10_000), 50
    parameters = small()

    def flight(rw: Runware) -> Stopwatch:
        with Stopwatch() as watch:
            for job in [rw.submit.image_inference(**parameters) for _ in range(count)]:
                job.result()
            if rw is kept:
                assert isinstance(recorder, StoreRecorder)
                recorder.flush(60.0)
        return watch

    def serial(rw: Runware) -> Stopwatch:
        with Stopwatch() as watch:
            for _ in range(few):
                rw.image_inference(**parameters)
        return watch

    with _clients(context) as (plain, kept):
        recorder = kept._core.keeper.recorder
        without, with_store = interleave(context.runs, lambda: flight(plain), lambda: flight(kept))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        flight(kept)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / count
        one, one_kept = interleave(context.runs, lambda: serial(plain), lambda: serial(kept), slices=3)

    def each(column: list[float], calls: int) -> list[float]:
        return [value / calls * MILLI for value in column]

    more = [a - b for a, b in zip(each(with_store.each(wall), count), each(without.each(wall), count), strict=True)]
    more_cpu = [a - b for a, b in zip(each(with_store.each(cpu), count), each(without.each(cpu), count), strict=True)]
    more_one = [a - b for a, b in zip(each(one_kept.each(wall), few), each(one.each(wall), few), strict=True)]
    return [
        Figure("durable.more", more, "ms", "lower", f"more a task, {count:,} in flight, until all is written"),
        Figure("durable.more_cpu", more_cpu, "ms", "lower", "CPU of that"),
        Figure("durable.serial_more", more_one, "ms", "lower", "more a call, one after another"),
        Figure("durable.grown", [grown], "B", "lower", f"memory for each of {count:,} further tasks"),
    ]
