"""Memory of a call in flight, and the cost of importing the package. Every value comes from a fresh process."""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from benchmarks.harness import Context, Figure, environment

__all__ = ["import_time", "memory"]

IMPORT = """
import json, sys, time
if {plain}: sys.modules["orjson"] = None
before = set(sys.modules)
started = time.perf_counter()
import runware
taken = time.perf_counter() - started
print(json.dumps([taken, sorted(name for name in set(sys.modules) - before)]))
"""
UNWANTED = ("asyncio", "httpx2", "httpx", "aiohttp", "requests", "PIL", "tqdm", "tenacity", "websocket", "ssl")
"""Modules that `import runware` must not load (the first ones), or should not."""
FORBIDDEN = frozenset(UNWANTED[:7])


def _run(*command: str) -> Any:
    """Run a Python process and parse the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, *command], env=environment(), capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


# ---------------------------------------------------------------------- memory


def memory(context: Context) -> list[Figure]:
    """Bytes per call in flight: as Python's allocator counts, and as the kernel does."""
    count = 10_000
    library = "json" if sys.modules.get("orjson", ...) is None else "orjson"
    values: dict[str, list[float]] = {}
    for _ in range(context.runs):
        for what in ("traced", "resident", "future_traced", "future_resident"):
            context.control("reset")
            context.control("hold", count=10 * count)
            found = _run("-m", "benchmarks.footprint", what, context.url, str(count), library)
            values.setdefault(what, []).append(found)
    ratio = [one / other for one, other in zip(values["traced"], values["future_traced"], strict=True)]
    return [
        Figure("memory.traced", values["traced"], "B", "lower", "a call in flight, as tracemalloc counts"),
        Figure("memory.resident", values["resident"], "B", "lower", "a call in flight, growth of the process"),
        Figure("memory.future", values["future_traced"], "B", "lower", "a bare Future, as tracemalloc counts"),
        Figure("memory.future_resident", values["future_resident"], "B", "lower", "the same, growth of the process"),
        Figure("memory.ratio", ratio, "x", "lower", "a call in flight / a bare Future"),
    ]


def _resident() -> int:
    """Return the resident memory of this process in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


def _hold(url: str, count: int, *, traced: bool, futures: bool) -> float:
    """Put a number of calls in flight, or create as many bare futures, and return the bytes that each takes."""
    from benchmarks.baseline import PROMPT
    from benchmarks.loopback import small
    from runware import Runware

    kept: list[Any] = []
    with Runware("bench", url=url, timeout=300.0) as rw:
        parameters = small(PROMPT + " #hold")

        def add(number: int) -> None:
            make: Any = Future if futures else lambda: rw.submit.image_inference(**parameters)
            kept.extend(make() for _ in range(number))

        add(200)  # what is created once does not count
        gc.collect()
        if traced:
            tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0] if traced else _resident()
        add(count)
        if not futures:
            _settle(url, kept)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0] if traced else _resident()
    return (after - before) / count


def _settle(url: str, jobs: list[Any]) -> None:
    """Wait until everything is written: until then, messages are held twice."""
    import time

    deadline = time.monotonic() + 30
    while any(job.status == "queued" for job in jobs[-100:]) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)


# ---------------------------------------------------------------------- import


def import_time(context: Context) -> list[Figure]:
    """Seconds of `import runware` in a fresh process, the best of several per run, and the modules it loads."""
    plain = sys.modules.get("orjson", ...) is None
    tries = 5 if context.quick else 10
    times: list[float] = []
    loaded: list[str] = []
    starts: list[float] = []
    for _ in range(context.runs):
        found = [_run("-c", IMPORT.format(plain=plain)) for _ in range(tries)]
        times.append(min(taken for taken, _ in found) * 1e3)
        loaded = found[-1][1]
        starts.append(min(_run("-c", ATTRS)[0] for _ in range(tries)) * 1e3)
    unwanted = [name for name in UNWANTED if name in loaded]
    forbidden = [name for name in unwanted if name in FORBIDDEN]
    note = "loads " + ", ".join(unwanted) if unwanted else "none of " + ", ".join(UNWANTED)
    return [
        Figure("import.time", times, "ms", "lower", "in a fresh process, best of several"),
        Figure("import.attrs", starts, "ms", "lower", "`import attrs, json, logging` alone"),
        Figure("import.ratio", [one / two for one, two in zip(times, starts, strict=True)], "x", "lower", "of these"),
        Figure("import.modules", [len(loaded)], "", "lower", "modules loaded that were not there before"),
        Figure("import.forbidden", [len(forbidden)], "", "lower", note),
    ]


ATTRS = """
import json, sys, time
started = time.perf_counter()
import attrs, json, logging
print(json.dumps([time.perf_counter() - started]))
"""


def main() -> None:
    """Measure one value in this process and print it."""
    parser = argparse.ArgumentParser(description="Measure bytes a call in flight.")
    parser.add_argument("what", choices=("traced", "resident", "future_traced", "future_resident"))
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("library")
    arguments = parser.parse_args()
    if arguments.library == "json":
        sys.modules["orjson"] = None  # type: ignore[assignment]  # importing it fails as if it were missing
    what = arguments.what
    print(_hold(arguments.url, arguments.count, traced="traced" in what, futures="future" in what))


if __name__ == "__main__":
    main()
