"""Measure the official clients beside this one: `python -m benchmarks.compare [--quick] [--results FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.charts import draw
from benchmarks.contest import CASES, CLIENTS, Client, Stage
from benchmarks.environments import machine, make, versions
from benchmarks.harness import ROOT, Control, ServerProcess, part
from benchmarks.standings import Board, budgets_table, case_table, summary_table, verdicts

FORMAT = 1
READING = """\
- **Ratios are what counts.** `1.5 x` in front of a value means that this client is ahead by that factor: the other
  one took 1.5 times as long, or moved 1/1.5 of the bytes. Below 1, this client is behind. Where clients alternate,
  they are divided slice by slice. Absolute figures depend on the machine and its load.
- `±` is half the distance between the best and the worst run, as a fraction of the median.
- **ours-blocking**, **-futures** and **-asyncio** are the three interface forms of this client; `+fast` is with the
  extra `fast` (orjson). The others are compared with the plain installation, in the interface form without a ratio of
  its own; the official Python clients have asyncio only.
- **bare**, **bare+orjson** and **bare-default** are limits, not clients: a loop on websocket-client that encodes and
  parses the same JSON and does nothing else, in its fastest and in its default configuration; **tcp** echoes 300
  bytes. In **http**, they are loops of httpx2 POSTs, with 100 threads for 100 at once.
- **failed** says how a client failed; a time is the limit that it exceeded. Each client is used as its documentation
  describes, in the fastest way; `benchmarks/peers/` explains each choice.
- **growth** is the exponent of the time for all calls over their number, fitted to all numbers that a client
  completed; 1 is linear. The 100 ms timer of `sdk-js` hides its exponent below 10,000.
- **How often a task is polled** is in the table of its case, and not in the first one: this client polls six to
  twelve times as often, and so learns of results much earlier. The price is in the frames and the CPU per task.
- **import** of this client loads the names; what it needs besides is loaded when the first client is created, and
  counts in **start of the process to first result**, like everything that the others load later.
- A dash means that a client does not support it.
"""


def main() -> int:
    """Measure, print the tables as they become available, and write the requested files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description="Measure clients side by side.")
    names = [client.name for client in CLIENTS]
    parser.add_argument("--quick", action="store_true", help="2 runs of less in place of 5")
    parser.add_argument("--runs", type=int, help="how often each quantity is measured")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--clients", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--share", action="store_true", help="let the server share processors with the clients")
    parser.add_argument("--environments", type=Path, metavar="DIR", help="where the clients are installed, and stay")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save what was measured")
    parser.add_argument("--results", type=Path, metavar="FILE", help="write the tables and, beside it, the charts")
    help_saved = "measure nothing, show what --json has saved; several are put together"
    parser.add_argument("--saved", type=Path, action="append", metavar="FILE", help=help_saved)
    arguments = parser.parse_args()
    runs = arguments.runs or (2 if arguments.quick else 5)
    if runs < 1:
        parser.error("--runs must be 1 or more")
    if arguments.saved:
        try:
            board, saved = together([json.loads(file.read_text(encoding="utf-8")) for file in arguments.saved])
        except ValueError as error:
            parser.error(str(error))
        for case in dict.fromkeys(line.partition(".")[0] for line in board.cells):
            print(f"\n{case}\n{case_table(board, case)}")
    else:
        directory = arguments.environments or Path(tempfile.gettempdir()) / "runware-compare"
        if directory.resolve().is_relative_to(ROOT.resolve()):
            parser.error("the environments must be outside this project")
        clients = [client for client in CLIENTS if client.name in (arguments.clients or names)]
        board = Board()
        cases = arguments.only or list(CASES)
        how = {"quick": arguments.quick, "pin": not arguments.share}
        about = measure(board, directory.resolve(), clients, cases, runs, **how)
        saved = {"format": FORMAT, **about, "cells": board.as_json(), "budgets": budgets(board)}
    print(f"\nours against the official clients\n{summary_table(board)}")
    print(f"\nbudgets\n{budgets_table(verdicts(board))}")
    if arguments.json:
        arguments.json.write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if arguments.results:
        write(board, saved, arguments.results)
    return 0


def together(found: list[dict[str, Any]]) -> tuple[Board, dict[str, Any]]:
    """Merge the runs of several measurements, as if they were those of one.

    Raises:
        ValueError: They measured different things, or on different machines.
    """
    board, saved = Board(), {**found[0], "runs": 0, "seconds": 0}
    for one in found:
        for what in ("format", "quick", "pinned", "machine", "versions", "broken"):
            if one[what] != saved[what]:
                raise ValueError(f"--saved: the {what} of one is not that of another")
        board.extend(one["cells"], saved["runs"])
        saved["runs"] += one["runs"]
        saved["seconds"] += one["seconds"]
    return board, {**saved, "cells": board.as_json(), "budgets": budgets(board)}


def measure(
    board: Board, directory: Path, clients: list[Client], cases: list[str], runs: int, *, quick: bool, pin: bool
) -> dict[str, Any]:
    """Create the environments, run the cases, and return what was measured and where."""
    started = time.monotonic()
    wanted = list(dict.fromkeys(client.environment for client in clients))
    broken = make(directory, wanted)
    found = versions(directory, [name for name in wanted if name not in broken])
    about = {"quick": quick, "runs": runs, "pinned": pin, "machine": machine(), "versions": found}
    print(f"environments, {time.monotonic() - started:.0f} s: {json.dumps(about)}", flush=True)
    if os.getloadavg()[0] > 0.5:
        print(f"The machine is busy (load {os.getloadavg()[0]:.1f}): absolute figures are too high, ratios are noisy.")
    for name, error in broken.items():
        print(f"{name} could not be installed: {error}", flush=True)
    with ServerProcess() as ports:
        control = Control(ports["control"])
        cores = part(control("usage")["pid"]) if pin else os.sched_getaffinity(0)
        able = [client for client in clients if client.environment not in broken]
        stage = Stage(ports, control, directory, able, runs, quick, board, cores)
        try:
            for case, work in CASES.items():
                if case in cases:
                    began = time.monotonic()
                    work(stage)
                    print(f"\n{case}, {time.monotonic() - began:.0f} s\n{case_table(board, case)}", flush=True)
        finally:
            stage.dismiss()
            control.close()
    return {**about, "broken": sorted(broken), "seconds": round(time.monotonic() - started)}


def budgets(board: Board) -> list[dict[str, Any]]:
    """Return the budgets in the form in which they are saved."""
    return [
        {"what": one.budget.what, "figure": one.figure.name, "value": float(f"{one.value:.4g}"), "ok": one.ok}
        for one in verdicts(board)
    ]


def write(board: Board, saved: dict[str, Any], file: Path) -> None:
    """Write the results as Markdown, and the charts beside them."""
    try:
        charts = draw(board, file.parent / "charts")
    except RuntimeError as error:
        print(f"no charts: {error}", file=sys.stderr)
        charts = []
    file.write_text(markdown(board, saved, charts), encoding="utf-8")


def markdown(board: Board, saved: dict[str, Any], charts: list[str]) -> str:
    """Return the results as Markdown."""
    on = saved["machine"]
    what = "a quick run, not one to quote" if saved["quick"] else f"medians of {saved['runs']} runs"
    where = "the server tied to a core of its own" if saved["pinned"] else "the server in a process of its own"
    parts = [
        "# Against the official clients",
        (
            "Written by `python -m benchmarks.compare --results benchmarks/RESULTS.md`; do not edit it. "
            f"{what[0].upper()}{what[1:]}, on {on['cpu']}, {on['cores']} cores, {on['kernel']}; {where}."
        ),
        "## Ours ahead by",
        summary_table(board),
        *(f"![{name.removesuffix('.svg')}](charts/{name})" for name in charts),
        "## Budgets",
        budgets_table(verdicts(board)),
        "## How to read it",
        READING.strip(),
        "## Everything",
    ]
    for case in dict.fromkeys(line.partition(".")[0] for line in board.cells):
        doc = " ".join((CASES[case].__doc__ or "").split())
        parts += [f"### {case}", doc, case_table(board, case)]
    rows = [
        f"- {name}: " + ", ".join(f"{package} {version}" for package, version in found.items())
        for name, found in saved["versions"].items()
    ]
    parts += ["## Versions", "\n".join(rows)]
    parts += [f"{name} could not be installed." for name in saved["broken"]]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
