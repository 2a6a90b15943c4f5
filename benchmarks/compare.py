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
from benchmarks.clock import FULL, QUICK, Clock
from benchmarks.contest import CASES, CLIENTS, PLAIN_ONLY, Client, Stage
from benchmarks.environments import machine, make, versions
from benchmarks.harness import ROOT, Control, ServerProcess, part
from benchmarks.standings import TRANSPORTS, Board, Boards, Transport, verdicts
from benchmarks.tables import (
    budgets_table,
    case_table,
    equals_list,
    first_table,
    losses_list,
    missed_budgets_list,
    open_list,
    summary_table,
    times_table,
)
from benchmarks.tls import certify

FORMAT = 2
HEAD = """
How far ours is ahead of each official client: `2.00 x` means that the other one took twice as long, or moved half as
much. `±` is half the distance between the best and the worst run. **behind** means that the other one was ahead in
every run; **equal**, that the runs disagree, or that less than 2 % lie between them; **open**, that too little was
measured to say so.
"""
ABOUT_BUDGETS = """\
The limits of the design. Each figure is the median of the runs, or the worst one where no run may miss it. The distance
to the fastest bare loops, for which there is no limit, stands beside them.
""".strip()
READING = """\
- **Ratios are what counts.** `1.5 x` means that this client is ahead by that factor: the other one took 1.5 times as
  long, or moved 1/1.5 of the bytes. Below 1, this client is behind. Where clients alternate, they are divided slice by
  slice. Absolute figures depend on the machine and its load.
- `±` is half the distance between the best and the worst run, as a fraction of the median.
- **ahead, equal, behind**: this client is ahead, or behind, if every run says so. If the lowest and the highest factor
  of the runs have 1 between them, both are equal within the spread, and so they are if the median differs by less than
  2 %. With two runs, less than a tenth is equal.
- **open**: there was one run only. A 99th percentile needs three, each with 200 samples or more: in fewer, it is the
  largest or the next one, which says more about the machine.
- **Over TLS** means TLS 1.3, which the measuring server speaks itself, in memory, with a certificate that all clients
  trust. The server's part of the encryption is in the time of every client, and not in its CPU.
- **ours-blocking**, **-futures** and **-asyncio** are the three interface forms of this client; `+fast` is with the
  extra `fast` (orjson). The official Python clients have asyncio only. They are compared with the form of this client
  that fits the line best, and, in rows that end in *asyncio*, with that one. In the tables of the cases, the form
  without a ratio of its own is the one compared with.
- **bare**, **bare+orjson** and **bare-default** are limits, not clients: a loop on websocket-client that encodes and
  parses the same JSON and does nothing else, in its fastest and in its default configuration; in **http**, they are
  loops of httpx2 POSTs, with 100 threads for 100 at once. **socket** moves the bytes of the same messages through a
  bare socket, or an `SSLSocket`, without parsing them.
- **failed** says how a client failed; a time is the limit that it exceeded. Each client is used as its documentation
  describes, in the fastest way; `benchmarks/peers/` explains each choice.
- **growth** is the exponent of the time for all calls over their number, fitted to all numbers that a client
  completed; 1 is linear. The 100 ms timer of `sdk-js` hides its exponent below 10,000.
- **How often a task is polled** is in the table of its case, and not in the first one: this client polls six to
  twelve times as often, and so learns of results much earlier. The price is in the frames and the CPU per task.
- **import** of this client loads the names; what it needs besides is loaded when the first client is created, and
  counts in **start of the process to first result**, like everything that the others load later.
- A dash means that a client does not support it, or that a figure was not measured.
"""


def main() -> int:
    """Measure, print the tables as they become available, and write the requested files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description="Measure clients side by side.")
    names = [client.name for client in CLIENTS]
    parser.add_argument("--quick", action="store_true", help="2 runs of less in place of 5, and one over TLS")
    parser.add_argument("--runs", type=int, help="how often each quantity is measured")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--clients", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    help_over = "plain or tls; both if not given"
    parser.add_argument("--over", action="append", choices=TRANSPORTS, metavar="TRANSPORT", help=help_over)
    help_minutes = "what the whole may take: with less, measurements are left out, not cases; 26, or 3 if quick"
    parser.add_argument("--minutes", type=float, help=help_minutes)
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
    boards: Boards
    if arguments.saved:
        try:
            boards, saved = together([json.loads(file.read_text(encoding="utf-8")) for file in arguments.saved])
        except ValueError as error:
            parser.error(str(error))
        for transport, board in boards.items():
            for case in cases_of(board):
                print(f"\n{case}, {TRANSPORTS[transport]}\n{case_table(board, case)}")
    else:
        directory = arguments.environments or Path(tempfile.gettempdir()) / "runware-compare"
        if directory.resolve().is_relative_to(ROOT.resolve()):
            parser.error("the environments must be outside this project")
        clients = [client for client in CLIENTS if client.name in (arguments.clients or names)]
        boards = {transport: Board() for transport in TRANSPORTS if transport in (arguments.over or TRANSPORTS)}
        cases = arguments.only or list(CASES)
        seconds = arguments.minutes * 60 if arguments.minutes else QUICK if arguments.quick else FULL
        how: dict[str, Any] = {"quick": arguments.quick, "pin": not arguments.share, "seconds": seconds}
        about = measure(boards, directory.resolve(), clients, cases, runs, **how)
        saved = {"format": FORMAT, **about, **results(boards)}
    print(f"\nours against the official clients\n{first_table(boards)}\n\n{summary_table(boards)}")
    print(f"\nbehind\n{losses_list(boards)}\n\n{equals_list(boards)}")
    print(f"\nbudgets\n{budgets_table(boards, everything=arguments.only is None)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if arguments.results:
        write(boards, saved, arguments.results)
    return 0


def together(found: list[dict[str, Any]]) -> tuple[Boards, dict[str, Any]]:
    """Merge the runs of several measurements, as if they were those of one.

    Raises:
        ValueError: They measured different things, or on different machines.
    """
    boards: dict[Transport, Board] = {}
    saved = {**found[0], "runs": 0, "seconds": 0, "times": [], "load": 0.0}
    for one in found:
        for what in ("format", "quick", "pinned", "machine", "versions", "broken"):
            if one[what] != saved[what]:
                raise ValueError(f"--saved: the {what} of one is not that of another")
        for transport, cells in one["cells"].items():
            boards.setdefault(transport, Board()).extend(cells, saved["runs"])
        saved["runs"] += one["runs"]
        saved["seconds"] += one["seconds"]
        saved["load"] = max(saved["load"], one.get("load", 0.0))
        saved["times"] += one.get("times", [])
    return boards, {**saved, **results(boards)}


def measure(
    boards: Boards,
    directory: Path,
    clients: list[Client],
    cases: list[str],
    runs: int,
    *,
    quick: bool,
    pin: bool,
    seconds: float,
) -> dict[str, Any]:
    """Create the environments, run the cases, and return what was measured and where."""
    made = time.monotonic()
    wanted = list(dict.fromkeys(client.environment for client in clients))
    broken = make(directory, wanted)
    found = versions(directory, [name for name in wanted if name not in broken])
    about = {"quick": quick, "runs": runs, "pinned": pin, "machine": machine(), "versions": found}
    load = os.getloadavg()[0]
    started = time.monotonic()
    print(f"environments, {started - made:.0f} s: {json.dumps(about)}", flush=True)
    if load > 0.5:
        print(f"The machine is busy (load {load:.1f}): absolute figures are too high, ratios are noisy.")
    for name, error in broken.items():
        print(f"{name} could not be installed: {error}", flush=True)
    able = [client for client in clients if client.environment not in broken]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        certificate = _certify(folder) if "tls" in boards else None
        over: list[Transport] = [transport for transport in boards if transport == "plain" or certificate is not None]
        coming = [
            (transport, case)
            for transport in over
            for case in CASES
            if case in cases and (transport == "plain" or case not in PLAIN_ONLY)
        ]
        clock = Clock(coming, seconds, quick=quick)
        with ServerProcess(certificate) as ports:
            control = Control(ports["control"])
            cores = part(control("usage")["pid"]) if pin else os.sched_getaffinity(0)
            for transport in over:
                board = boards[transport]
                stage = Stage(
                    ports, control, directory, able, runs, quick, board, cores, folder, transport, clock, certificate
                )
                try:
                    _run(stage, [case for here, case in coming if here == transport])
                finally:
                    stage.close()
            control.close()
    taken = round(time.monotonic() - started)
    print(f"\n{taken} s without the environments\n{times_table(clock.rows())}")
    return {**about, "broken": sorted(broken), "seconds": taken, "load": round(load, 1), "times": clock.rows()}


def _certify(folder: Path) -> Path | None:
    try:
        return certify(folder)
    except RuntimeError as error:
        print(f"nothing over TLS: {error}", flush=True)
        return None


def _run(stage: Stage, cases: list[str]) -> None:
    for case in cases:
        try:
            with stage.clock.case(stage.transport, case):
                CASES[case](stage)
        except Exception as error:  # the others are measured all the same
            print(f"\n{case}, {TRANSPORTS[stage.transport]}: {type(error).__name__}: {error}", flush=True)
            stage.dismiss()
        if case in cases_of(stage.board):
            head = f"{case}, {TRANSPORTS[stage.transport]}, {stage.clock.took[stage.transport, case]:.0f} s"
            print(f"\n{head}\n{case_table(stage.board, case)}", flush=True)


def results(boards: Boards) -> dict[str, Any]:
    """Return the measurements and the budgets in the form in which they are saved."""
    cells = {transport: board.as_json() for transport, board in boards.items()}
    return {"cells": cells, "budgets": {transport: _budgets(board, transport) for transport, board in boards.items()}}


def _budgets(board: Board, transport: Transport) -> list[dict[str, Any]]:
    return [
        {"what": one.budget.what, "figure": one.figure.name, "value": float(f"{one.value:.4g}"), "ok": one.ok}
        for one in verdicts(board, transport)
    ]


def write(boards: Boards, saved: dict[str, Any], file: Path) -> None:
    """Write the results as Markdown, and the charts beside them."""
    try:
        charts = draw(boards, file.parent / "charts")
    except RuntimeError as error:
        print(f"no charts: {error}", file=sys.stderr)
        charts = []
    file.write_text(markdown(boards, saved, charts), encoding="utf-8")


def cases_of(board: Board) -> list[str]:
    """Return the cases that a board has, in their order."""
    found = dict.fromkeys(line.partition(".")[0] for line in board.cells)
    return [case for case in CASES if case in found]


def markdown(boards: Boards, saved: dict[str, Any], charts: list[str]) -> str:
    """Return the results as Markdown."""
    parts = [
        "# Against the official clients",
        "Written by `python -m benchmarks.compare --results benchmarks/RESULTS.md`; do not edit it.",
        HEAD.strip(),
        first_table(boards),
        equals_list(boards).partition("\n")[0] + " The lists are below the long table.",
        "## What was measured, and on what",
        _about(saved),
        *(f"![{name.removesuffix('.svg')}](charts/{name})" for name in charts),
        "## Budgets",
        ABOUT_BUDGETS,
        budgets_table(boards, everything=True),
        "### Missed budgets",
        missed_budgets_list(boards),
        "## How to read it",
        READING.strip(),
        "## Every line",
        summary_table(boards),
        "### Behind",
        losses_list(boards),
        "### Equal within the spread",
        equals_list(boards),
        "### Open",
        open_list(boards),
        "## Every case and client",
    ]
    for case in dict.fromkeys(case for board in boards.values() for case in cases_of(board)):
        parts += [f"### {case}", " ".join((CASES[case].__doc__ or "").split())]
        for transport, board in boards.items():
            if case in cases_of(board):
                parts += [f"{TRANSPORTS[transport][0].upper()}{TRANSPORTS[transport][1:]}:", case_table(board, case)]
    if "times" in saved:
        parts += ["## Where the time went", times_table(saved["times"])]
    return "\n\n".join(parts) + "\n"


def _about(saved: dict[str, Any]) -> str:
    on = saved["machine"]
    what = "A quick run, not one to quote" if saved["quick"] else f"Medians of {saved['runs']} runs"
    minutes = saved["seconds"] / 60
    where = "the server tied to a core of its own" if saved["pinned"] else "the server in a process of its own"
    load = f" The load of the machine was {saved['load']:.1f} before." if "load" in saved else ""
    rows = [
        f"- {what}, on {on['cpu']}, {on['cores']} cores, {on['kernel']}; {where}. It took {minutes:.0f} minutes.{load}",
        "- All clients talk to the same server on the loopback interface, in turn, in short slices that alternate.",
    ]
    rows += [
        f"- {name}: " + ", ".join(f"{package} {version}" for package, version in found.items())
        for name, found in saved["versions"].items()
    ]
    rows += [f"- {name} could not be installed." for name in saved["broken"]]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
