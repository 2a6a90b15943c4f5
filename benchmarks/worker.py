"""One case in a process of its own: `python -m benchmarks.worker CASE`. It prints its figures as JSON.

The JSON library is that of a plain installation unless specified, so that figures of machines with and without
orjson are comparable.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict

from benchmarks.harness import Context, Control, Figure, ServerProcess, part

__all__ = ["CASES"]

CASES: dict[str, tuple[str, str]] = {
    "codec": ("inside", "codec"),
    "session": ("inside", "session"),
    "serial": ("loopback", "serial"),
    "checks": ("loopback", "checks"),
    "flight": ("loopback", "flight"),
    "growth": ("loopback", "growth"),
    "asyncio": ("loopback", "asyncio_flight"),
    "large": ("loopback", "large"),
    "mixed": ("loopback", "mixed"),
    "http": ("over_http", "http"),
    "durable": ("durable", "durable"),
    "polled": ("timing", "polled"),
    "partial": ("timing", "partial"),
    "tokens": ("tokens", "tokens"),
    "drop": ("timing", "drop"),
    "idle": ("timing", "idle"),
    "close": ("timing", "close"),
    "memory": ("footprint", "memory"),
    "import": ("footprint", "import_time"),
}
"""Each case: its module in this package, and its function."""


def main() -> None:
    """Run one case."""
    parser = argparse.ArgumentParser(description="Run one case and print its figures as JSON.")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--library", choices=("json", "orjson"), default="json")
    arguments = parser.parse_args()
    if arguments.library == "json":
        sys.modules["orjson"] = None  # type: ignore[assignment]  # importing it fails as if it were missing
    module, name = CASES[arguments.case]
    case: Callable[[Context], list[Figure]] = getattr(__import__(f"benchmarks.{module}", fromlist=[name]), name)
    with ServerProcess() as ports:
        control = Control(ports["control"])
        os.sched_setaffinity(0, part(control("usage")["pid"]))
        figures = case(Context(ports, control, arguments.runs, arguments.quick))
        control.close()
    json.dump([asdict(figure) for figure in figures], sys.stdout)


if __name__ == "__main__":
    main()
