"""The client over the loopback interface: one call after another, many in flight, large results."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.baseline import PROMPT, Bare, Threaded, tcp_ping_pong
from benchmarks.harness import Column, Context, Figure, Stopwatch, cpu, cpu_of, interleave, percentile, wall
from runware import Runware

__all__ = ["asyncio_flight", "checks", "client", "flight", "growth", "io_thread", "large", "mixed", "serial", "small"]

MICRO = 1e6
MEGA = 1e6
LARGE = 2_000_000
INPUT = 5_000_000
HUGE = 20_000_000


@contextmanager
def client(context: Context, **options: Any) -> Iterator[Runware]:
    """Return a connected client."""
    with Runware("bench", url=context.url, **{"timeout": 300.0, **options}) as rw:
        yield rw


def small(prompt: str = PROMPT) -> dict[str, Any]:
    """Return the parameters of the task that all measurements of small tasks use."""
    return {"positive_prompt": prompt, "model": "runware:101@1", "width": 1024, "height": 1024}


def io_thread() -> threading.Thread:
    """Return the client's I/O thread."""
    return next(thread for thread in threading.enumerate() if thread.name == "runware-io")


# ---------------------------------------------------------------------- one after another


def serial(context: Context) -> list[Figure]:
    """Blocking calls, one after another, in short slices that alternate with those of the bare loops."""
    count, slices = 100, 20 if context.quick else 40
    with client(context) as rw:
        bare, threaded = Bare(context.ports["port"]), Threaded(context.ports["port"])
        default = Bare(context.ports["port"], lean=False)
        parameters = small()

        def ours() -> Stopwatch:
            with Stopwatch() as watch:
                for _ in range(count):
                    rw.image_inference(**parameters)
            return watch

        def ping_pong() -> Stopwatch:
            with Stopwatch() as watch:
                tcp_ping_pong(context.ports["echo"], count)
            return watch

        measured = interleave(
            context.runs,
            lambda: bare.serial(count),
            lambda: bare.serial_json(count),
            lambda: default.serial_json(count),
            lambda: threaded.serial(count),
            ping_pong,
            ours,
            slices=slices,
        )
        for limit in (threaded, default, bare):
            limit.close()

    lean, with_json, usual, floor, tcp, own = measured

    def per_call(name: str, values: list[float], note: str) -> Figure:
        return Figure(f"serial.{name}", [value / count * MICRO for value in values], "us", "lower", note)

    return [
        Figure("serial.ratio", own.over(lean, wall), "x", "lower", "ours / bare loop"),
        Figure("serial.ratio_json", own.over(with_json, wall), "x", "lower", "ours / bare loop with JSON"),
        Figure("serial.ratio_default", own.over(usual, wall), "x", "lower", "ours / that, websocket-client's defaults"),
        Figure("serial.floor", floor.over(lean, wall), "x", "lower", "a bare I/O thread / bare loop"),
        per_call("ours", own.each(wall), "a call"),
        per_call("bare", lean.each(wall), "send and receive"),
        per_call("bare_json", with_json.each(wall), "the same with JSON"),
        per_call("bare_default", usual.each(wall), "the same with JSON and websocket-client's defaults"),
        per_call("floor_wall", floor.each(wall), "through an I/O thread, nothing else"),
        per_call("tcp", tcp.each(wall), "plain TCP, 300 bytes there and back"),
        per_call("cpu", own.each(cpu), "CPU of a call, all threads"),
        per_call("cpu_bare", lean.each(cpu), "CPU of the bare loop"),
    ]


def checks(context: Context) -> list[Figure]:
    """Blocking calls, one after another, with and without checks of the requests."""
    count, slices = 100, 10 if context.quick else 20
    with client(context, check="warn") as checked, client(context, check="off") as unchecked:

        def calls(rw: Runware) -> Callable[[], Stopwatch]:
            def run() -> Stopwatch:
                with Stopwatch() as watch:
                    for seed in range(1, count + 1):
                        rw.image_inference(**small(), seed=seed)
                return watch

            return run

        warn, off = interleave(context.runs, calls(checked), calls(unchecked), slices=slices)
    return [
        Figure("checks.ratio", warn.over(off, wall), "x", "lower", "a call with checks / without"),
        Figure("checks.cpu", warn.over(off, cpu), "x", "lower", "CPU of a call with checks / without"),
    ]


# ---------------------------------------------------------------------- many in flight


def _futures(context: Context, rw: Runware, count: int, *, hold: bool) -> Stopwatch:
    """Start a number of calls, then wait for all; with *hold*, none is answered before the last has arrived."""
    context.control("reset")
    if hold:
        context.control("hold", count=count)
    parameters = small(PROMPT + " #hold" if hold else PROMPT)
    submit = rw.submit
    thread = io_thread()
    server, own = context.control("usage")["cpu"], cpu_of(thread)
    with Stopwatch() as watch:
        jobs = [submit.image_inference(**parameters) for _ in range(count)]
        for job in jobs:
            assert job.result()[0].url
    watch.io = cpu_of(thread) - own
    watch.server = context.control("usage")["cpu"] - server
    return watch


def _bare(context: Context, bare: Bare, count: int, *, hold: bool) -> Stopwatch:
    context.control("reset")
    if hold:
        context.control("hold", count=count)
    return bare.pipelined(count, PROMPT + " #hold" if hold else PROMPT)


def flight(context: Context) -> list[Figure]:
    """Thousands of calls in flight on one connection, as futures, against the bare pipelined loop."""
    figures: list[Figure] = []
    with client(context) as rw:
        bare, default = Bare(context.ports["port"]), Bare(context.ports["port"], lean=False)
        for count in (1_000, 10_000):
            for hold, name in ((True, f"flight.{count}"), (False, f"stream.{count}")):
                figures += _one_flight(context, rw, (bare, default), count, hold=hold, name=name)
        default.close()
        bare.close()
    return figures


def _one_flight(
    context: Context, rw: Runware, bare: tuple[Bare, Bare], count: int, *, hold: bool, name: str
) -> list[Figure]:
    limit, usual, own = interleave(
        context.runs,
        lambda: _bare(context, bare[0], count, hold=hold),
        lambda: _bare(context, bare[1], count, hold=hold),
        lambda: _futures(context, rw, count, hold=hold),
        slices=10_000 // count,
    )
    kind = "none answered before the last" if hold else "answered as they come"

    def per_task(what: str, values: list[float], note: str) -> Figure:
        return Figure(f"{name}.{what}", [value / count * MICRO for value in values], "us", "lower", note)

    return [
        Figure(f"{name}.speed", limit.over(own, wall), "x", "higher", f"tasks/s, ours / bare pipelined loop; {kind}"),
        Figure(f"{name}.speed_default", usual.over(own, wall), "x", "higher", "the same, websocket-client's defaults"),
        Figure(f"{name}.cpu_ratio", own.over(limit, cpu), "x", "lower", "CPU, ours / bare"),
        per_task("cpu", own.each(cpu), "CPU a task, all threads"),
        per_task("cpu_io", own.each(lambda watch: watch.io), "of which the I/O thread"),
        per_task("cpu_bare", limit.each(cpu), "CPU a task, bare"),
        per_task("cpu_server", own.each(lambda watch: watch.server), "CPU a task, server"),
        per_task("wall", own.each(wall), "a task"),
        per_task("wall_bare", limit.each(wall), "a task, bare"),
    ]


def growth(context: Context) -> list[Figure]:
    """Whether 100,000 calls in flight cost as much per call as 1,000, in each interface form; 20,000 if quick."""
    count = 20_000 if context.quick else 100_000
    runs = min(context.runs, 3)  # a run takes most of a minute
    figures: list[Figure] = []
    with client(context) as rw:
        bare = Bare(context.ports["port"])
        forms: dict[str, Callable[[int], float]] = {
            "blocking": lambda number: _mapped(context, rw, number),
            "futures": lambda number: _futures(context, rw, number, hold=True).wall,
            "asyncio": lambda number: _gathered(context, rw, number).wall,
        }
        for name, fly in forms.items():

            def thousands(fly: Callable[[int], float] = fly) -> float:
                return sum(fly(1_000) for _ in range(count // 2_000))

            # As many by the thousand as at once, half before and half after: the speed of a machine changes.
            before, many, after, limit = interleave(
                runs,
                thousands,
                lambda fly=fly: fly(count),  # type: ignore[misc]
                thousands,
                lambda: _bare(context, bare, count, hold=True).wall,
                dry=not context.quick,
            )
            few = [one + two for one, two in zip(before.turns, after.turns, strict=True)]
            note = f"{name}: time of {count:,} at once, by as many a thousand at a time"
            figures += [
                Figure(f"growth.{name}", [one / two for one, two in zip(many.turns, few, strict=True)], "x", note=note),
                Figure(f"growth.{name}_1000", [one / count * MICRO for one in few], "us", note="a task, by thousands"),
                Figure(
                    f"growth.{name}_many", [one / count * MICRO for one in many.turns], "us", note="a task, at once"
                ),
                Figure(
                    f"growth.{name}_speed",
                    [two / one for one, two in zip(many.turns, limit.turns, strict=True)],
                    "x",
                    "higher",
                    "tasks/s at once, ours / bare",
                ),
            ]
        bare.close()
    return figures


def _mapped(context: Context, rw: Runware, count: int) -> float:
    """Make blocking calls, all at once, of which none is answered before the last has arrived; return the seconds."""
    context.control("reset")
    context.control("hold", count=count)
    inputs = [small(PROMPT + " #hold")] * count
    with Stopwatch() as watch:
        for results in rw.map(rw.image_inference, inputs, concurrency=count):
            assert results[0].url
    return watch.wall


def _gathered(context: Context, rw: Runware, count: int) -> Stopwatch:
    """Gather a number of coroutines, of which none is answered before the last has arrived."""
    context.control("reset")
    context.control("hold", count=count)
    parameters = small(PROMPT + " #hold")

    async def gather() -> Stopwatch:
        with Stopwatch() as watch:
            found = await asyncio.gather(*(rw.aio.image_inference(**parameters) for _ in range(count)))
            assert all(results[0].url for results in found)
        return watch

    return asyncio.run(gather())


def asyncio_flight(context: Context) -> list[Figure]:
    """10,000 coroutines on one connection, gathered."""
    count = 10_000
    with client(context) as rw:
        bare = Bare(context.ports["port"])
        limit, own = interleave(
            context.runs,
            lambda: _bare(context, bare, count, hold=True),
            lambda: _gathered(context, rw, count),
        )
        bare.close()
    each = [value / count * MICRO for value in own.each(cpu)]
    return [
        Figure("asyncio.10000.speed", limit.over(own, wall), "x", "higher", "tasks/s, ours / bare pipelined loop"),
        Figure("asyncio.10000.cpu", each, "us", "lower", "CPU a task, all threads"),
    ]


# ---------------------------------------------------------------------- large


def large(context: Context) -> list[Figure]:
    """Results of 2 MB in base64, one after another and all requested at once; and inputs of 5 MB."""
    count = 10
    medium = base64.b64encode(os.urandom(INPUT * 3 // 4)).decode()
    with client(context) as rw:
        bare = Bare(context.ports["port"])
        parameters = small(f"#size={LARGE}")

        def in_turn() -> Stopwatch:
            with Stopwatch() as watch:
                for _ in range(count):
                    _check(rw.image_inference(**parameters)[0].base64_data)
            return watch

        def together() -> Stopwatch:
            with Stopwatch() as watch:
                jobs = [rw.submit.image_inference(**parameters) for _ in range(count)]
                for job in jobs:
                    _check(job.result()[0].base64_data)
            return watch

        def upload() -> Stopwatch:
            with Stopwatch() as watch:
                for _ in range(4):
                    rw.image_inference(**small(), seed_image=medium)
            return watch

        bare_turn, own_turn, bare_all, own_all, bare_up, own_up = interleave(
            context.runs,
            lambda: bare.large(count, LARGE),
            in_turn,
            lambda: bare.large_together(count, LARGE),
            together,
            lambda: bare.upload(4, medium),
            upload,
            slices=4,
        )
        bare.close()

    def rate(name: str, column: Column[Stopwatch], note: str) -> Figure:
        rates = column.each(lambda watch: count * LARGE / MEGA / watch.wall)
        return Figure(f"large.{name}", rates, "MB/s", "higher", note)

    return [
        Figure("large.speed", bare_turn.over(own_turn, wall), "x", "higher", "MB/s, ours / bare; one after another"),
        Figure("large.together", bare_all.over(own_all, wall), "x", "higher", "MB/s, ours / bare; asked for at once"),
        Figure("large.upload", bare_up.over(own_up, wall), "x", "higher", "MB/s of 5 MB inputs, ours / bare"),
        Figure("large.cpu_ratio", own_turn.over(bare_turn, cpu), "x", "lower", "CPU, ours / bare"),
        rate("rate", own_turn, "one after another"),
        rate("rate_bare", bare_turn, "one after another, bare with JSON"),
        rate("rate_together", own_all, "asked for at once"),
        rate("rate_together_bare", bare_all, "asked for at once, bare with JSON"),
    ]


def _check(data: str | None) -> None:
    assert data is not None
    assert len(data) == LARGE


# ---------------------------------------------------------------------- small beside large


def mixed(context: Context) -> list[Figure]:
    """The duration of small calls while 20 MB messages arrive or are sent without a pause."""
    seconds = 1.5 if context.quick else 3.0
    medium = base64.b64encode(os.urandom(HUGE * 3 // 4)).decode()
    with client(context) as rw:
        incoming = small(f"#size={HUGE}")
        outgoing = {**small(), "seed_image": medium}
        moves: list[tuple[str, Callable[[], Any]]] = [
            ("still", lambda: time.sleep(0.05)),
            ("in", lambda: rw.image_inference(**incoming)),
            ("out", lambda: rw.image_inference(**outgoing)),
        ]
        figures: list[Figure] = []
        for name, move in moves:
            found = [_beside(rw, move, seconds) for _ in range(context.runs)]
            note = {"still": "nothing else", "in": "20 MB results", "out": "20 MB inputs"}[name]
            figures += [
                Figure(f"mixed.{name}.p50", [percentile(run, 0.5) * 1e3 for run, _ in found], "ms", "lower", note),
                Figure(f"mixed.{name}.p99", [percentile(run, 0.99) * 1e3 for run, _ in found], "ms", "lower", note),
            ]
            if name != "still":
                figures.append(Figure(f"mixed.{name}.rate", [rate for _, rate in found], "MB/s", "higher", note))
    return figures


def _beside(rw: Runware, move: Callable[[], Any], seconds: float) -> tuple[list[float], float]:
    """Start a small call every 2 ms during a transfer; return their durations, and the MB/s of the transfer."""
    stop = threading.Event()
    jobs: list[Any] = []
    taken: list[float] = []
    parameters = small()

    def one() -> None:
        started = time.perf_counter()
        job = rw.submit.image_inference(**parameters)
        job.add_done_callback(lambda _: taken.append(time.perf_counter() - started))
        jobs.append(job)

    def pace() -> None:
        while not stop.wait(0.002):
            one()

    pacer = threading.Thread(target=pace)
    moved = 0
    end = time.perf_counter() + seconds
    began = time.perf_counter()
    pacer.start()
    while time.perf_counter() < end:
        move()
        moved += 1
    took = time.perf_counter() - began
    stop.set()
    pacer.join()
    for job in jobs:
        job.result()
    deadline = time.perf_counter() + 5
    while len(taken) < len(jobs) and time.perf_counter() < deadline:
        time.sleep(0.01)
    return taken, moved * HUGE / MEGA / took
