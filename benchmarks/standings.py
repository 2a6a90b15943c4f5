"""The measurements of all clients, line by line: ratios, growth, budgets, and the tables that show them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.harness import Better, Figure
from benchmarks.report import Budget, Verdict, judge, number

__all__ = [
    "BUDGETS",
    "LINES",
    "OFFICIAL",
    "Board",
    "Cell",
    "Line",
    "budgets_table",
    "case_table",
    "figures",
    "fit",
    "summary_table",
    "table",
    "verdicts",
]

OFFICIAL = ("runware-sdk", "runware", "sdk-js")


@dataclass(frozen=True)
class Line:
    """A quantity measured for every client.

    Attributes:
        key: The case, a dot, and the quantity.
        title: A description.
        unit: Unit of the values.
        ours: The interface form of this client that the others are compared with.
        better: Which way is better.
        means: Whether it is a means, not a cost: it is shown with its case only, without a ratio.
    """

    key: str
    title: str
    unit: str
    ours: str = "ours-blocking"
    better: Better = "lower"
    means: bool = False

    @property
    def case(self) -> str:
        """The case that measures it."""
        return self.key.partition(".")[0]


FAR = (
    Line("far.median", "the relay's own error, median", "ms", means=True),
    Line("far.p99", "the same, 99th percentile", "ms", means=True),
    *(Line(f"far-first.{ms}", f"line of {ms} ms: new process to first result", "ms") for ms in (20, 100, 300)),
    Line("far-first.100.trips", "the same in round trips", ""),
    *(Line(f"far-first.tls.{ms}", f"line of {ms} ms, TLS: new process to first result", "ms") for ms in (20, 100, 300)),
    Line("far-first.tls.100.trips", "the same in round trips", ""),
    Line("far-first.http", "line of 100 ms, HTTP: new process to first result", "ms"),
    Line("far-first.http.trips", "the same in round trips", ""),
    *(Line(f"far-calls.{ms}", f"line of {ms} ms: a call", "ms", "ours-futures") for ms in (20, 100, 300)),
    Line("far-calls.100.trips", "the same in round trips", "", "ours-futures"),
    *(Line(f"far-calls.{ms}.flight", f"line of {ms} ms: 100 in flight", "ms", "ours-futures") for ms in (20, 100, 300)),
    Line("far-calls.http", "line of 100 ms: a call over HTTP", "ms", "ours-futures"),
    Line("far-calls.http.trips", "the same in round trips", "", "ours-futures"),
    Line("far-calls.http.flight", "line of 100 ms: 100 over HTTP at once", "ms", "ours-futures"),
    Line("far-large.results", "line of 100 ms: a result of 2 MB", "ms", "ours-futures"),
    Line("far-large.inputs", "line of 100 ms: an input of 5 MB", "ms", "ours-futures"),
    Line("far-polled.median", "line of 100 ms: polled tasks of 0.5 to 1.5 s, lag, median", "ms", "ours-futures"),
    Line("far-polled.worst", "the same, worst of 20", "ms", "ours-futures"),
    Line("far-polled.frames", "the same, frames that ask", "", "ours-futures", means=True),
    Line("far-drop.time", "line of 100 ms: reset with 100 in flight, until all have ended", "s", "ours-futures"),
    Line("far-drop.trips", "the same in round trips", "", "ours-futures", means=True),
    Line("far-drop.lost", "of 100, ended with an error", "", "ours-futures"),
    Line("far-drop.doubled", "of 100, run twice", "", "ours-futures"),
    Line("far-stall.time", "line of 100 ms with jitter: stall of 2 s, until 100 have ended", "s", "ours-futures"),
    Line("far-stall.lost", "of 100, ended with an error", "", "ours-futures"),
    Line("far-stall.doubled", "of 100, run twice", "", "ours-futures"),
)
LINES = (
    Line("serial.wall", "one call after another", "us"),
    Line("serial.cpu", "its CPU", "us"),
    Line("flight.100", "100 in flight, a task", "us", "ours-futures"),
    Line("flight.1000", "1,000 in flight, a task", "us", "ours-futures"),
    Line("flight.10000", "10,000 in flight, a task", "us", "ours-futures"),
    Line("flight.100000", "100,000 in flight, a task", "us", "ours-futures"),
    Line("flight.10000.cpu", "10,000 in flight, CPU a task", "us", "ours-futures"),
    Line("growth.ratio", "100,000 at once, by as many a thousand at a time", "x", "ours-futures", means=True),
    Line("http.wall", "one call over HTTP after another", "us"),
    Line("http.cpu", "the same, CPU", "us"),
    Line("http.100", "100 over HTTP at once, a task", "us", "ours-futures"),
    Line("http.100.cpu", "100 over HTTP at once, CPU a task", "us", "ours-futures"),
    Line("partial.median", "partial result, sent to callback, median", "ms"),
    Line("partial.p99", "the same, 99th percentile", "ms"),
    Line("tokens.median", "piece of a streamed text, sent to caller, median", "ms"),
    Line("tokens.p99", "the same, 99th percentile", "ms"),
    Line("tokens.rate", "pieces of a streamed text a second, if all are there", "1/s", better="higher", means=True),
    Line("polled.0.3s.median", "polled tasks of 0.15 to 0.45 s, lag, median", "s", "ours-futures"),
    Line("polled.0.3s.worst", "the same, worst of 20", "s", "ours-futures"),
    Line("polled.0.3s.part", "the same, worst part of the duration", "%", "ours-futures"),
    Line("polled.2s.median", "polled tasks of 1 to 3 s, lag, median", "s", "ours-futures"),
    Line("polled.2s.worst", "the same, worst of 20", "s", "ours-futures"),
    Line("polled.2s.part", "the same, worst part of the duration", "%", "ours-futures"),
    Line("many.frames", "1,000 polled tasks, frames a task", "", "ours-futures"),
    Line("many.questions", "1,000 polled tasks, how often each is asked for", "", "ours-futures", means=True),
    Line("many.cpu", "1,000 polled tasks, CPU a task", "ms", "ours-futures"),
    Line("many.median", "1,000 polled tasks, lag, median", "s", "ours-futures"),
    Line("large.results", "2 MB results in base64", "MB/s", better="higher"),
    Line("large.inputs", "5 MB inputs", "MB/s", better="higher"),
    Line("idle.wakeups", "1,000 waiting, wake-ups a second", "1/s", "ours-futures"),
    Line("idle.cpu", "1,000 waiting, CPU a second", "ms", "ours-futures"),
    Line("drop.time", "cut with 100 in flight, until all have ended", "s", "ours-futures"),
    Line("drop.lost", "of 100, ended with an error", "", "ours-futures"),
    Line("drop.doubled", "of 100, run twice", "", "ours-futures"),
    Line("start", "start of the process to first result", "ms"),
    Line("import.time", "import", "ms"),
    Line("import.modules", "modules loaded by it", ""),
    Line("memory.call", "memory of a call in flight", "B", "ours-futures"),
    *FAR,
)
BY_KEY = {line.key: line for line in LINES}


@dataclass
class Cell:
    """A line of a client.

    Attributes:
        runs: The values, slice by slice, of each run.
        failed: How it failed, if it did.
        note: A remark, such as why there is nothing to measure.
    """

    runs: list[list[float]] = field(default_factory=list)
    failed: str = ""
    note: str = ""

    @property
    def values(self) -> list[float]:
        """One value per run, the median of its slices."""
        return [statistics.median(run) for run in self.runs if run]

    @property
    def figure(self) -> Figure:
        """The values with their median and spread."""
        return Figure("", self.values, "")


class Board:
    """All lines of all clients."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[str, Cell]] = {}

    def cell(self, line: str, client: str) -> Cell:
        """Return the cell of a line and a client, empty at first."""
        return self.cells.setdefault(line, {}).setdefault(client, Cell())

    def begin(self, lines: Sequence[str], client: str) -> None:
        """Begin a run."""
        for line in lines:
            self.cell(line, client).runs.append([])

    def good(self, line: str, client: str) -> Cell | None:
        """Return a cell if it has values and did not fail."""
        cell = self.cells.get(line, {}).get(client)
        return cell if cell is not None and cell.values and not cell.failed else None

    def ratio(self, line: str, one: str, other: str) -> list[float]:
        """Divide one client's values by another's, slice by slice; return one number per run, or none."""
        left, right = self.good(line, one), self.good(line, other)
        if left is None or right is None:
            return []
        found = []
        for ours, theirs in zip(left.runs, right.runs, strict=False):
            pairs = list(zip(ours, theirs, strict=False))
            if pairs and all(divisor for _, divisor in pairs):
                found.append(statistics.median(value / divisor for value, divisor in pairs))
        return found

    def factor(self, line: Line, client: str) -> list[float]:
        """Return how far this client is ahead of another one (above 1), or behind (below 1); one number per run."""
        pair = (client, line.ours) if line.better == "lower" else (line.ours, client)
        return self.ratio(line.key, *pair)

    # ------------------------------------------------------------------ saving

    def as_json(self) -> list[dict[str, Any]]:
        """Return everything in the form in which it is saved."""
        found = []
        for key, cells in self.cells.items():
            for client, cell in cells.items():
                entry: dict[str, Any] = {"line": key, "client": client}
                if cell.values:
                    entry |= {"median": _short(cell.figure.median), "spread": _short(cell.figure.spread)}
                    entry["runs"] = [[_short(value) for value in run] for run in cell.runs]
                if key in BY_KEY and (factors := self.factor(BY_KEY[key], client)):
                    entry["factor"] = _short(statistics.median(factors))
                entry |= {name: text for name in ("failed", "note") if (text := getattr(cell, name))}
                found.append(entry)
        return found

    def extend(self, saved: list[dict[str, Any]], before: int) -> None:
        """Add saved cells as further runs.

        Args:
            saved: The cells.
            before: The number of earlier runs. Clients not measured in all of them get empty ones, so that alternating
                slices stay side by side.
        """
        for entry in saved:
            cell = self.cell(entry["line"], entry["client"])
            cell.runs += [[] for _ in range(before - len(cell.runs))]
            cell.runs += entry.get("runs", [])
            cell.failed = cell.failed or entry.get("failed", "")
            cell.note = cell.note or entry.get("note", "")


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def fit(points: Sequence[tuple[float, float]]) -> float:
    """Return the exponent of the growth of *y* over *x*, by least squares of the logarithms."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x, mean_y = (statistics.fmean(one[axis] for one in logs) for axis in (0, 1))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def growth(board: Board, client: str) -> float | None:
    """Return the exponent of the time for all calls over the number in flight; 1 is linear."""
    counts = (100, 1_000, 10_000, 100_000)
    found = [(count, board.good(f"flight.{count}", client)) for count in counts]
    points = [(float(count), cell.figure.median * count) for count, cell in found if cell]
    return fit(points) if len(points) > 1 else None


# ---------------------------------------------------------------------- budgets

BUDGETS = (
    Budget("one call after another, blocking / bare loop", "serial.default", 1.3),
    Budget("the same / the fastest bare loop", "serial.lean", 1.3),
    Budget("10,000 in flight: tasks/s, ours / bare pipelined loop", "flight.default", 1.0, "at least"),
    Budget("the same / the fastest bare pipelined loop", "flight.speed", 1.0, "at least"),
    Budget("10,000 in flight: CPU a task", "flight.cpu", 45.0),
    Budget("100,000 / 1,000 in flight: time a task", "flight.growth", 1.3),
    Budget("one call over HTTP / bare httpx2 POST", "http.ratio", 1.2),
    Budget("memory of a call in flight (growth of the process)", "memory.call", 4096),
    Budget("2 MB results: MB/s, ours / bare loop", "large.speed", 1.0, "at least"),
    Budget("polled tasks of 0.15 to 0.45 s: worst lag / duration", "polled.0.3s", 20.0),
    Budget("polled tasks of 1 to 3 s: worst lag / duration", "polled.2s", 20.0),
    Budget("polled tasks of 1 to 3 s: worst lag", "polled.lag", 1.0, always=True),
    Budget("drop with 100 in flight: lost or run twice", "drop.wrong", 0.0, always=True),
    Budget("partial result, sent to callback: median", "partial.median", 1.0),
    Budget("piece of a streamed text, sent to caller: median", "tokens.median", 1.0),
    Budget("idle, 1,000 calls waiting: wake-ups a second", "idle.wakeups", 0.0, always=True),
    Budget("import runware", "import.time", 120.0),
    Budget("new process to first result, line of 100 ms: beside 4 round trips", "far-first.over", 0.15),
    Budget("the same over TLS: beside 5 round trips", "far-first.tls.over", 0.15),
    Budget("reset or stall with 100 in flight, line of 100 ms: lost or run twice", "far.wrong", 0.0, always=True),
)


def figures(board: Board) -> list[Figure]:
    """Return the figures that the budgets are about."""
    found: list[Figure] = []

    def add(name: str, unit: str, values: list[float]) -> None:
        if values:
            found.append(Figure(name, values, unit))

    def add_line(name: str, line: str, client: str) -> None:
        if cell := board.good(line, client):
            add(name, BY_KEY[line].unit, cell.values)

    for fast in ("", "+fast"):
        mark, bare = ("+orjson", "bare+orjson") if fast else ("", "bare")
        add(f"serial{mark}.lean", "x", board.ratio("serial.wall", f"ours-blocking{fast}", bare))
        add(f"flight{mark}.speed", "x", board.ratio("flight.10000", bare, f"ours-futures{fast}"))
        add_line(f"flight{mark}.cpu", "flight.10000.cpu", f"ours-futures{fast}")
        add_line(f"flight{mark}.growth", "growth.ratio", f"ours-futures{fast}")
        add(f"http{mark}.ratio", "x", board.ratio("http.wall", f"ours-blocking{fast}", bare))
        add(f"large{mark}.speed", "x", board.ratio("large.results", f"ours-blocking{fast}", bare))
    add("serial.default", "x", board.ratio("serial.wall", "ours-blocking", "bare-default"))
    add("flight.default", "x", board.ratio("flight.10000", "bare-default", "ours-futures"))
    add_line("memory.call", "memory.call", "ours-futures")
    add_line("polled.0.3s", "polled.0.3s.part", "ours-futures")
    add_line("polled.2s", "polled.2s.part", "ours-futures")
    add_line("polled.lag", "polled.2s.worst", "ours-futures")
    lost, doubled = board.good("drop.lost", "ours-futures"), board.good("drop.doubled", "ours-futures")
    if lost and doubled:
        add("drop.wrong", "", [one + abs(two) for one, two in zip(lost.values, doubled.values, strict=True)])
    add_line("partial.median", "partial.median", "ours-blocking")
    add_line("tokens.median", "tokens.median", "ours-blocking")
    add_line("idle.wakeups", "idle.wakeups", "ours-futures")
    add_line("import.time", "import.time", "ours-blocking")
    for name, trips in (("far-first", 4), ("far-first.tls", 5)):
        if cell := board.good(f"{name}.100", "ours-blocking"):
            add(f"{name}.over", "s", [(ms - 100 * trips) / 1e3 for ms in cell.values])
    bad = [
        board.good(f"far-{case}.{what}", "ours-futures") for case in ("drop", "stall") for what in ("lost", "doubled")
    ]
    add("far.wrong", "", [abs(value) for cell in bad if cell for value in cell.values])
    return found


def verdicts(board: Board) -> list[Verdict]:
    """Compare the budgets with the measurements."""
    return judge(figures(board), BUDGETS)


# ---------------------------------------------------------------------- tables


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    texts = [[one.replace("|", "/") for one in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    lines = [
        "| " + " | ".join(one.ljust(width) for one, width in zip(row, widths, strict=True)) + " |" for row in texts
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def show_factor(values: Sequence[float]) -> str:
    """Return how far this client is ahead."""
    return f"{number(statistics.median(values))} x" if values else ""


def _briefly(text: str, length: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def show_cell(board: Board, line: Line, client: str) -> str:
    """Return the value of a line, preceded by how far this client is ahead."""
    cell = board.cells.get(line.key, {}).get(client)
    if cell is None:
        return ""
    if cell.failed:
        return "failed: " + _briefly(cell.failed)
    if not cell.values:
        return "–"
    spread = f" ±{100 * cell.figure.spread:.0f}%" if len(cell.values) > 1 else ""
    value = f"{number(cell.figure.median)} {line.unit}".rstrip() + spread
    factor = show_factor(board.factor(line, client)) if client != line.ours else ""
    return f"{factor} · {value}" if factor else value


def case_table(board: Board, case: str) -> str:
    """Return everything about a case: a row per client, a column per line, then the notes."""
    lines = [line for line in LINES if line.case == case and line.key in board.cells]
    clients = list(dict.fromkeys(client for line in lines for client in board.cells[line.key]))
    head = ["client", *(line.title for line in lines)]
    rows = [[client, *(show_cell(board, line, client) for line in lines)] for client in clients]
    if case == "flight":
        head.append("growth")
        for client, row in zip(clients, rows, strict=True):
            exponent = growth(board, client)
            row.append("" if exponent is None else f"n^{exponent:.2f}")
    notes = {
        f"- {client}: {_briefly(cell.note, 200)}"
        for line in lines
        for client, cell in board.cells[line.key].items()
        if cell.note
    }
    return "\n".join([table(head, rows), *([""] if notes else []), *sorted(notes)])


def summary_table(board: Board) -> str:
    """Return how far this client is ahead of the official clients, line by line."""
    rows = []
    for line in LINES:
        if line.key not in board.cells or line.means:
            continue
        row = [line.title, show_cell(board, line, line.ours)]
        for client in OFFICIAL:
            cell = board.cells[line.key].get(client)
            factors = board.factor(line, client)
            if cell is None:
                row.append("")
            elif cell.failed:
                row.append("failed: " + _briefly(cell.failed, 40))
            elif factors:
                behind = " (behind)" if statistics.median(factors) < 1 else ""
                row.append(show_factor(factors) + behind)
            else:
                row.append(show_cell(board, line, client))
        rows.append(row)
    return table(["", "ours", *OFFICIAL], rows)


def budgets_table(found: Sequence[Verdict]) -> str:
    """Return the budgets, each with its figure."""
    rows = []
    for verdict in found:
        unit = verdict.figure.unit
        library = " (orjson)" if "+orjson" in verdict.figure.name else ""
        limit = f"{verdict.budget.sense} {number(verdict.budget.limit)} {unit}".rstrip()
        value = f"{number(verdict.value)} {unit}".rstrip()
        rows.append([verdict.budget.what + library, value, limit, "ok" if verdict.ok else "missed"])
    return table(["budget", "measured", "limit", ""], rows)
