"""Delays: polled tasks, partial results, a lost connection; and the cost of waiting and closing."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.baseline import PROMPT, Bare
from benchmarks.harness import Context, Figure, Stopwatch, cpu_of, percentile, waits_of
from benchmarks.loopback import client, io_thread, small
from runware import Runware, RunwareError

__all__ = ["close", "drop", "idle", "partial", "polled"]

NANO = 1e-9


# ---------------------------------------------------------------------- polled tasks


def polled(context: Context) -> list[Figure]:
    """The lag between the end of an asynchronous task at the server and its caller."""
    figures: list[Figure] = []
    seconds: list[float] = [0.3, 3.0]
    if not context.quick:
        seconds.append(8.0)
    with client(context) as rw:
        lags = _lags(rw, seconds, context.runs)
    for duration in seconds:
        runs = lags[duration]
        worst = [max(run) for run in runs]
        name = f"polled.{duration:g}s"
        note = f"of 20 tasks of {duration:g} s"
        figures += [
            Figure(f"{name}.lag", [percentile(run, 0.5) for run in runs], "s", "lower", f"median {note}"),
            Figure(f"{name}.worst", worst, "s", "lower", f"worst {note}"),
            Figure(f"{name}.part", [one / duration for one in worst], "x", "lower", "worst lag / duration of the task"),
        ]
    return figures


def _lags(rw: Runware, seconds: list[float], runs: int) -> dict[float, list[list[float]]]:
    """Run 20 tasks of each duration per run; all runs and durations at once, since waiting costs nothing."""
    lags: dict[float, list[list[float]]] = {duration: [[] for _ in range(runs)] for duration in seconds}
    jobs: list[Any] = []
    for number in range(20):
        for run in range(runs):
            for duration in seconds:
                job = rw.submit.image_inference(
                    **small(f"{PROMPT} #ms={round(duration * 1000)}"), delivery_method="async"
                )
                job.add_done_callback(_noting(lags[duration][run]))
                jobs.append(job)
            time.sleep(0.0037)
        time.sleep(0.0119 + number * 0.001)
    for job in jobs:
        job.result()
    deadline = time.monotonic() + 5
    while any(len(run) < 20 for of in lags.values() for run in of) and time.monotonic() < deadline:
        time.sleep(0.01)
    return lags


def _noting(lags: list[float]) -> Callable[[Any], object]:
    def told(job: Any) -> None:
        now = time.monotonic_ns()
        lags.append((now - job.result(0)[0].raw["doneNS"]) * NANO)

    return told


# ---------------------------------------------------------------------- partial results


def partial(context: Context) -> list[Figure]:
    """From the moment the server writes a result to the callback that receives it, for all three interface forms."""
    number, tasks = 20, 5 if context.quick else 10
    parameters = {**small(f"{PROMPT} #every=4"), "number_results": number}

    def noting(lags: list[float]) -> Callable[..., object]:
        def told(results: Any, error: RunwareError | None) -> None:
            now = time.monotonic_ns()
            assert error is None
            lags.extend((now - one.raw["sentNS"]) * NANO for one in results)

        return told

    def blocking(rw: Runware, lags: list[float]) -> None:
        for _ in range(tasks):
            rw.image_inference(**parameters, on_partial=noting(lags))

    def submitted(rw: Runware, lags: list[float]) -> None:
        for _ in range(tasks):
            rw.submit.image_inference(**parameters, on_partial=noting(lags)).result()

    def in_loop(rw: Runware, lags: list[float]) -> None:
        async def run() -> None:
            for _ in range(tasks):
                await rw.aio.image_inference(**parameters, on_partial=noting(lags))

        asyncio.run(run())

    figures: list[Figure] = []
    with client(context) as rw:
        for name, measure in (("blocking", blocking), ("submit", submitted), ("asyncio", in_loop)):
            runs: list[list[float]] = []
            for _ in range(context.runs):
                lags: list[float] = []
                measure(rw, lags)
                time.sleep(0.05)
                assert len(lags) >= (number - 1) * tasks
                runs.append([lag * 1e3 for lag in lags])
            note = "server's write to callback"
            figures += [
                Figure(f"partial.{name}.median", [percentile(run, 0.5) for run in runs], "ms", "lower", note),
                Figure(f"partial.{name}.p99", [percentile(run, 0.99) for run in runs], "ms", "lower", note),
            ]
    return figures


# ---------------------------------------------------------------------- a lost connection


def drop(context: Context) -> list[Figure]:
    """The server drops the connection with many calls in flight, and accepts connections again at once."""
    figures: list[Figure] = []
    for count in (100, 1_000):
        for name, after in (("late", count), ("midway", count // 2)):
            figures += _drops(context, f"drop.{count}.{name}", count, after)
    return figures


def _drops(context: Context, name: str, count: int, after: int) -> list[Figure]:
    """Drop it after a number of the tasks were received; those are executed, and none is answered."""
    delay = 0.5
    right: list[float] = []
    over: list[float] = []
    first: list[float] = []
    times: list[float] = []
    for _ in range(context.runs):
        with client(context, retry_delay=0.0, timeout=30.0) as rw:
            undisturbed = _dropped(context, rw, count, 0)[0]
        with client(context, retry_delay=0.0, timeout=30.0) as rw:
            taken, begun, good = _dropped(context, rw, count, after)
            first.append(begun * 1e3)
            times.append(taken / undisturbed)
            right.append(good)
        bound = delay / 10 + 2 * _round_trip(context)  # the first wait is a tenth at most
        waits: list[float] = []
        for _ in range(5):  # the backoff is random
            with client(context, retry_delay=delay, timeout=30.0) as rw:
                _, begun, good = _dropped(context, rw, count, after)
                waits.append(begun / bound)
                right.append(good)
        over.append(percentile(waits, 0.5))
    what = "after all of them were received" if after == count else "when half of them were received"
    return [
        Figure(f"{name}.right", [100 * one for one in right], "%", "higher", f"of {count} ended right, run once"),
        Figure(f"{name}.first_bytes", over, "x", "lower", "cut to first bytes / (first backoff + 2 round trips)"),
        Figure(f"{name}.overhead", first, "ms", "lower", "from the cut to first bytes, without backoff"),
        Figure(f"{name}.time", times, "x", "lower", f"cut {what} / undisturbed, without backoff"),
    ]


def _dropped(context: Context, rw: Runware, count: int, after: int) -> tuple[float, float, float]:
    """Return the seconds for all calls, those from the drop to the first bytes, and the fraction that succeeded."""
    rw.image_inference(**small())
    context.control("reset")
    if after:
        context.control("hold", count=10 * count)
        context.control("drop", after=after)
    parameters = small(f"{PROMPT} #hold")
    ended = 0
    with Stopwatch() as watch:
        jobs = [rw.submit.image_inference(**parameters) for _ in range(count)]
        for job in jobs:
            try:
                (image,) = job.result()
                ended += image.task_uuid == job.task_uuid
            except RunwareError:
                pass
    ledger = context.control("ledger")
    right = ended / count if ledger["executed"] == count else 0.0
    return watch.wall, (ledger["resumed_ns"] - ledger["dropped_ns"]) * NANO, right


def _round_trip(context: Context) -> float:
    bare = Bare(context.ports["port"])
    watch = bare.serial(20)
    bare.close()
    return watch.wall / 20


# ---------------------------------------------------------------------- waiting


def idle(context: Context) -> list[Figure]:
    """The cost of waiting calls while nothing happens: pushed ones, which need no timer, and polled ones."""
    seconds = 2.0 if context.quick else 4.0
    count = 1_000
    pushed: list[tuple[float, float]] = []
    for _ in range(context.runs):
        with client(context, long_timeout=300.0) as rw:
            context.control("reset")
            context.control("hold", count=10 * count)
            for _ in range(count):
                rw.submit.image_inference(**small(f"{PROMPT} #hold"))
            time.sleep(0.5)
            pushed.append(_watch(seconds))
    few, many = _polled(context, count, seconds), _polled(context, 5 * count, seconds)
    wakes = "of the I/O thread in a second"
    return [
        Figure("idle.wakeups", [waits for waits, _ in pushed], "1/s", "lower", wakes + ", 1,000 calls waiting"),
        Figure("idle.cpu", [cpu for _, cpu in pushed], "%", "lower", "of one core, 1,000 calls waiting"),
        *_polled_figures("idle.polled", few, "1,000"),
        *_polled_figures("idle.polled_5000", many, "5,000"),
        Figure(
            "idle.polled_growth",
            [_each(run) / _each(other) for run, other in zip(many, few, strict=True)],
            "x",
            "lower",
            "CPU of a question, at 5,000 tasks / at 1,000",
        ),
    ]


Polled = tuple[float, float, float, float]
"""Return waits per second, share of a core, tasks polled per second, frames sent per second."""


def _polled(context: Context, count: int, seconds: float) -> list[Polled]:
    found: list[Polled] = []
    for _ in range(1 if context.quick else context.runs):
        with client(context, long_timeout=300.0) as rw:
            context.control("reset")
            for _ in range(count):
                rw.submit.image_inference(**small(f"{PROMPT} #ms=900000"), delivery_method="async")
            time.sleep(6.5)  # by then each is polled about once a second
            before = context.control("ledger")
            waits, cpu = _watch(seconds)
            after = context.control("ledger")
            frames = (after["poll_frames"] - before["poll_frames"]) / seconds
            found.append((waits, cpu, (after["polls"] - before["polls"]) / seconds, frames))
    return found


def _each(run: Polled) -> float:
    return run[1] / 100 / run[2] * 1e6 if run[2] else 0.0


def _polled_figures(name: str, runs: list[Polled], count: str) -> list[Figure]:
    tasks = f"{count} polled tasks"
    return [
        Figure(f"{name}_wakeups", [run[0] for run in runs], "1/s", "lower", f"of the I/O thread in a second, {tasks}"),
        Figure(f"{name}_cpu", [run[1] for run in runs], "%", "lower", f"of one core, {tasks}"),
        Figure(f"{name}_questions", [run[2] for run in runs], "1/s", "lower", f"tasks asked for, {tasks}"),
        Figure(f"{name}_frames", [run[3] for run in runs], "1/s", "lower", f"frames they came in, {tasks}"),
        Figure(f"{name}_cpu_each", [_each(run) for run in runs], "us", "lower", "CPU of a question and its answer"),
    ]


def _watch(seconds: float) -> tuple[float, float]:
    """Count the I/O thread's waits per second, and its share of a core."""
    thread = io_thread()
    waits, cpu = waits_of(thread), cpu_of(thread)
    time.sleep(seconds)
    return (waits_of(thread) - waits) / seconds, (cpu_of(thread) - cpu) / seconds * 100


# ---------------------------------------------------------------------- closing


def close(context: Context) -> list[Figure]:
    """Seconds of `close()`: idle, with 1,000 calls in flight, while a dial hangs. And of a first result."""
    values: dict[str, list[float]] = {"idle": [], "busy": [], "dialling": [], "first": []}
    for _ in range(context.runs):
        started = time.perf_counter()
        rw = Runware("bench", url=context.url)
        rw.image_inference(**small())
        values["first"].append((time.perf_counter() - started) * 1e3)
        values["idle"].append(_close(rw))
        context.control("reset")
        context.control("hold", count=10_000)
        rw = Runware("bench", url=context.url)
        rw.connect()
        jobs = [rw.submit.image_inference(**small(f"{PROMPT} #hold")) for _ in range(1_000)]
        values["busy"].append(_close(rw))
        assert all(isinstance(job.exception(1), RunwareError) for job in jobs)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            rw = Runware("bench", url=f"ws://127.0.0.1:{silent.getsockname()[1]}/v1")
            waiting = rw.submit.image_inference(**small())
            time.sleep(0.1)
            values["dialling"].append(_close(rw))
            assert waiting.exception(1) is not None
    time.sleep(0.2)
    left = sum(thread.name == "runware-io" for thread in threading.enumerate())
    return [
        Figure("close.idle", values["idle"], "s", "lower", "connected, nothing in flight"),
        Figure("close.busy", values["busy"], "s", "lower", "1,000 calls in flight"),
        Figure("close.dialling", values["dialling"], "s", "lower", "while the server does not answer the dial"),
        Figure("close.left", [float(left)], "", "lower", "I/O threads left over"),
        Figure("close.first_result", values["first"], "ms", "lower", "from nothing to a first result, loopback"),
    ]


def _close(rw: Runware) -> float:
    started = time.perf_counter()
    rw.close()
    return time.perf_counter() - started
