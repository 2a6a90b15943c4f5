"""Measure the client: `python -m benchmarks.run [--quick] [--json FILE] [--compare FILE] [--only NAME]`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

from benchmarks.harness import Figure, environment
from benchmarks.report import as_json, compare, judge, show_budgets, show_figures, versions
from benchmarks.worker import CASES

LIMIT = 600.0
"""Seconds that one case may take."""
WITH_JSON = frozenset(("codec", "serial", "flight", "asyncio", "large", "mixed"))
"""Cases in which the JSON library matters; they are run with each available one."""
WITH_JSON_QUICKLY = WITH_JSON - {"asyncio", "mixed"}


def measure(case: str, library: str, runs: int, *, quick: bool) -> list[Figure]:
    """Run one case in a process of its own.

    Raises:
        RuntimeError: It failed; the message is the end of its output.
    """
    command = [sys.executable, "-m", "benchmarks.worker", case, "--runs", str(runs), "--library", library]
    if quick:
        command.append("--quick")
    try:
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not through after {LIMIT:g} s") from None
    if done.returncode:
        raise RuntimeError("\n".join(done.stderr.strip().splitlines()[-6:]))
    figures = [Figure(**found) for found in json.loads(done.stdout)]
    if library == "orjson":
        for figure in figures:
            figure.name = figure.name.replace(".", "+orjson.", 1)
    return figures


def main() -> int:
    """Measure, and print the results as they become available."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure the client.")
    parser.add_argument("--quick", action="store_true", help="3 runs of less in place of 5")
    parser.add_argument("--runs", type=int, help="how often each quantity is measured")
    parser.add_argument("--only", action="append", choices=CASES, metavar="NAME", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the run")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="compare its ratios with a saved run")
    arguments = parser.parse_args()
    runs = arguments.runs or (3 if arguments.quick else 5)
    if runs < 1:
        parser.error("--runs must be 1 or more")
    base = json.loads(arguments.compare.read_text(encoding="utf-8")) if arguments.compare else None
    libraries = ["json", "orjson"] if importlib.util.find_spec("orjson") else ["json"]

    print(", ".join(f"{name} {version or '-'}" for name, version in versions().items()))
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        print(f"The machine is busy (load {os.getloadavg()[0]:.1f}): absolute figures are too high, ratios are noisy.")
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    cases: Collection[str] = arguments.only or CASES
    both = WITH_JSON_QUICKLY if arguments.quick else WITH_JSON
    for case in cases:
        for library in libraries if case in both else libraries[:1]:
            started = time.monotonic()
            name = f"{case} ({library})" if case in both else case
            try:
                found = measure(case, library, runs, quick=arguments.quick)
            except RuntimeError as error:
                failed[name] = str(error)
                print(f"\n{name}: FAILED\n{error}", flush=True)
                continue
            figures += found
            print(f"\n{name}, {time.monotonic() - started:.0f} s\n{show_figures(found)}", flush=True)

    verdicts = judge(figures)
    print(f"\nbudgets\n{show_budgets(verdicts, cases)}")
    if base is not None:
        print(f"\ncompared with {arguments.compare.name}\n{compare(figures, base)}")
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    if arguments.json:
        saved = as_json(figures, verdicts, failed, quick=arguments.quick, runs=runs)
        arguments.json.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
