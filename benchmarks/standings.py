"""The measurements of all clients, line by line: ratios, growth, and budgets. `tables.py` shows them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.harness import Better, Figure
from benchmarks.report import Budget, Verdict, judge

__all__ = [
    "BUDGETS",
    "BY_KEY",
    "LINES",
    "OFFICIAL",
    "TOP",
    "TRANSPORTS",
    "Board",
    "Boards",
    "Cell",
    "Line",
    "Standing",
    "Transport",
    "figures",
    "fit",
    "growth",
    "standing",
    "verdicts",
]

OFFICIAL = ("runware-sdk", "runware", "sdk-js")
Transport = Literal["plain", "tls"]
TRANSPORTS: dict[Transport, str] = {"plain": "plain", "tls": "over TLS 1.3"}
"""How the clients connect, and what the tables call it."""


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
        awaited: Whether the table on top compares the asyncio form of this client as well, on a row of its own.
    """

    key: str
    title: str
    unit: str
    ours: str = "ours-blocking"
    better: Better = "lower"
    means: bool = False
    awaited: bool = False

    @property
    def case(self) -> str:
        """The case that measures it."""
        return self.key.partition(".")[0]

    @property
    def tail(self) -> bool:
        """Whether it is a 99th percentile, which few samples say little about."""
        return self.key.endswith(".p99")


FAR = (
    Line("far.median", "the relay's own error, median", "ms", means=True),
    Line("far.p99", "the relay's own error, 99th percentile", "ms", means=True),
    Line("far-first.100", "line of 100 ms: new process to first result", "ms"),
    *(Line(f"far-first.{ms}.trips", f"line of {ms} ms: its round trips", "", means=True) for ms in (20, 100, 300)),
    Line("far-first.http", "line of 100 ms: new process to first result over HTTP", "ms"),
    Line("far-first.http.trips", "over HTTP: its round trips", "", means=True),
    Line("far-calls.100", "line of 100 ms: a call", "ms", "ours-futures"),
    *(Line(f"far-calls.{ms}.trips", f"line of {ms} ms: its round trips", "", means=True) for ms in (20, 100, 300)),
    Line("far-calls.100.flight", "line of 100 ms: 100 in flight", "ms", "ours-futures"),
    Line("far-calls.http", "line of 100 ms: a call over HTTP", "ms", "ours-futures"),
    Line("far-calls.http.trips", "over HTTP: its round trips", "", means=True),
    Line("far-calls.http.flight", "line of 100 ms: 100 over HTTP at once", "ms", "ours-futures"),
    Line("far-large.results", "line of 100 ms: a result of 2 MB", "ms", "ours-futures"),
    Line("far-large.inputs", "line of 100 ms: an input of 5 MB", "ms", "ours-futures"),
    Line("far-polled.100", "line of 100 ms: polled tasks, median lag", "ms", "ours-futures"),
    Line("far-polled.100.worst", "line of 100 ms: polled tasks, worst lag of 20", "ms", "ours-futures"),
    Line("far-polled.100.frames", "line of 100 ms: frames that ask", "", means=True),
    Line("far-drop.time", "line of 100 ms: reset with 100 in flight, until all have ended", "s", "ours-futures"),
    Line("far-drop.trips", "its round trips", "", means=True),
    Line("far-drop.lost", "reset with 100 in flight, ended with an error", "", "ours-futures"),
    Line("far-drop.doubled", "reset with 100 in flight, run twice", "", "ours-futures"),
    Line("far-drop.again.time", "line of 100 ms: reset before 100 arrived, until all ended", "s", "ours-futures"),
    Line("far-drop.again.trips", "its round trips", "", means=True),
    Line("far-drop.again.lost", "reset before 100 arrived, ended with an error", "", "ours-futures"),
    Line("far-drop.again.doubled", "reset before 100 arrived, run twice", "", "ours-futures"),
    Line("far-stall.time", "a stall, until 100 have ended", "s", "ours-futures", means=True),
    Line("far-stall.lost", "stall with 100 in flight, ended with an error", "", "ours-futures"),
    Line("far-stall.doubled", "stall with 100 in flight, run twice", "", "ours-futures"),
)
"""The lines with latency: see `far_cases.py`."""
LINES = (
    Line("serial.wall", "one call after another", "us", awaited=True),
    Line("serial.cpu", "one call after another, CPU", "us", awaited=True),
    Line("flight.100", "100 in flight, a task", "us", "ours-futures", awaited=True),
    Line("flight.1000", "1,000 in flight, a task", "us", "ours-futures", awaited=True),
    Line("flight.10000", "10,000 in flight, a task", "us", "ours-futures", awaited=True),
    Line("flight.100000", "100,000 in flight, a task", "us", "ours-futures", awaited=True),
    Line("flight.10000.cpu", "10,000 in flight, CPU a task", "us", "ours-futures", awaited=True),
    Line("growth.ratio", "100,000 at once, by as many a thousand at a time", "x", "ours-futures", means=True),
    Line("http.wall", "one call over HTTP after another", "us", awaited=True),
    Line("http.cpu", "one call over HTTP after another, CPU", "us", awaited=True),
    Line("http.100.first", "the first 100 over HTTP at once, which connect, a task", "us", "ours-futures", means=True),
    Line("http.100", "100 over HTTP at once, a task", "us", "ours-futures", awaited=True),
    Line("http.100.cpu", "100 over HTTP at once, CPU a task", "us", "ours-futures", awaited=True),
    Line("partial.median", "partial result, sent to callback, median", "ms", awaited=True),
    Line("partial.p99", "partial result, sent to callback, 99th percentile", "ms", awaited=True),
    Line("tokens.median", "piece of a streamed text, sent to caller, median", "ms", awaited=True),
    Line("tokens.p99", "piece of a streamed text, sent to caller, 99th percentile", "ms", awaited=True),
    Line("tokens.rate", "pieces of a streamed text a second, if all are there", "1/s", better="higher", awaited=True),
    Line("polled.0.3s.median", "polled tasks of 0.15 to 0.45 s, median lag", "s", "ours-futures"),
    Line("polled.0.3s.worst", "polled tasks of 0.15 to 0.45 s, worst lag of 20", "s", "ours-futures"),
    Line("polled.0.3s.part", "polled tasks of 0.15 to 0.45 s, worst lag by duration", "%", "ours-futures"),
    Line("polled.2s.median", "polled tasks of 1 to 3 s, median lag", "s", "ours-futures"),
    Line("polled.2s.worst", "polled tasks of 1 to 3 s, worst lag of 20", "s", "ours-futures"),
    Line("polled.2s.part", "polled tasks of 1 to 3 s, worst lag by duration", "%", "ours-futures"),
    Line("many.frames", "1,000 polled tasks, frames a task", "", "ours-futures"),
    Line("many.questions", "1,000 polled tasks, how often each is asked for", "", "ours-futures", means=True),
    Line("many.cpu", "1,000 polled tasks, CPU a task", "ms", "ours-futures"),
    Line("many.median", "1,000 polled tasks, lag, median", "s", "ours-futures"),
    Line("large.results", "2 MB results in base64", "MB/s", better="higher", awaited=True),
    Line("large.inputs", "5 MB inputs", "MB/s", better="higher", awaited=True),
    Line("mixed.median", "small calls beside 2 MB results, median", "ms", "ours-futures", awaited=True),
    Line("mixed.p99", "small calls beside 2 MB results, 99th percentile", "ms", "ours-futures", awaited=True),
    Line("mixed.moved", "2 MB results beside small calls", "MB/s", "ours-futures", better="higher", awaited=True),
    Line(
        "peak.ratio",
        "100 results of 2 MB at once, peak memory by what they hold",
        "x",
        "ours-futures",
        awaited=True,
    ),
    Line("timers.median", "a call beside 10,000 timers in the event loop, median", "us", "ours-asyncio"),
    Line("timers.p99", "a call beside 10,000 timers in the event loop, 99th percentile", "ms", "ours-asyncio"),
    Line("timers.cost", "a call beside 10,000 timers in the event loop, CPU", "us", "ours-asyncio"),
    Line("thread.median", "a call beside a thread that computes, median", "us", awaited=True),
    Line("thread.p99", "a call beside a thread that computes, 99th percentile", "ms", awaited=True),
    Line("thread.cost", "a call beside a thread that computes, CPU", "us", awaited=True),
    Line(
        "options.wall",
        "one call after another",
        "us",
        "ours-futures",
        means=True,
    ),
    Line("options.cpu", "one call after another, CPU", "us", "ours-futures", means=True),
    Line("options.1000", "1,000 in flight, a task", "us", "ours-futures", means=True),
    Line("options.1000.cpu", "1,000 in flight, CPU a task", "us", "ours-futures", means=True),
    Line("options.cold", "first check of a request in a process", "ms", "ours-futures", means=True),
    Line("told.1000", "1,000 in flight that are told to slow down, a task", "us", "ours-once", means=True),
    Line("told.ratio", "100,000 of them, by as many a thousand at a time", "x", "ours-once", means=True),
    Line("idle.wakeups", "1,000 waiting, wake-ups a second", "1/s", "ours-futures"),
    Line("idle.cpu", "1,000 waiting, CPU a second", "ms", "ours-futures"),
    Line("drop.time", "cut with 100 in flight, until all have ended", "s", "ours-futures"),
    Line("drop.lost", "cut with 100 in flight, ended with an error", "", "ours-futures"),
    Line("drop.doubled", "cut with 100 in flight, run twice", "", "ours-futures"),
    Line("start", "start of the process to first result", "ms", awaited=True),
    Line("import.time", "import", "ms"),
    Line("import.modules", "import, modules loaded", ""),
    Line("memory.call", "memory of a call in flight", "B", "ours-futures", awaited=True),
    Line("close.idle", "close(), nothing in flight", "s", means=True),
    Line("close.busy", "close(), 1,000 calls in flight", "s", means=True),
    Line("close.dialling", "close() while the server does not answer", "s", means=True),
    Line("dead.more", "first call to a name whose first address is dead: more time", "s", means=True),
    *FAR,
)
BY_KEY = {line.key: line for line in LINES}
TOP = (
    ("serial.wall", "ours-blocking"),
    ("serial.wall", "ours-asyncio"),
    ("flight.1000", "ours-futures"),
    ("flight.10000", "ours-futures"),
    ("flight.10000", "ours-asyncio"),
    ("flight.10000.cpu", "ours-futures"),
    ("memory.call", "ours-futures"),
    ("http.wall", "ours-blocking"),
    ("http.100", "ours-futures"),
    ("partial.median", "ours-blocking"),
    ("tokens.median", "ours-blocking"),
    ("tokens.rate", "ours-blocking"),
    ("polled.0.3s.median", "ours-futures"),
    ("polled.2s.median", "ours-futures"),
    ("many.cpu", "ours-futures"),
    ("large.results", "ours-blocking"),
    ("large.inputs", "ours-blocking"),
    ("mixed.p99", "ours-futures"),
    ("timers.median", "ours-asyncio"),
    ("thread.median", "ours-blocking"),
    ("idle.cpu", "ours-futures"),
    ("drop.time", "ours-futures"),
    ("start", "ours-blocking"),
    ("far-first.100", "ours-blocking"),
    ("far-drop.time", "ours-futures"),
)
"""The lines that matter most, each with the form of this client that is compared: the first table."""
Boards = Mapping[Transport, "Board"]
Standing = Literal["ahead", "equal", "behind", "open"]
SAME = 0.02
"""The part by which a factor may differ from 1 in every run, and both are equal all the same."""
ALONE = 0.1
"""The part by which a factor of two runs may be off, in place of their spread."""
RUNS, TAIL_RUNS = 2, 3
"""The runs that a standing needs, and those that it needs on a 99th percentile."""
SAMPLES = 200
"""The samples of which a run takes a 99th percentile, if it is to count for a standing."""


def standing(factors: Sequence[float], least: int = RUNS) -> Standing:
    """Return how this client stands against another one, given how far it is ahead in each run.

    It is ahead, or behind, if every run says so; if the runs disagree, both are equal within the spread. So they are if
    the median is within a fiftieth. Two runs have no spread to judge by: then it must be ahead or behind by more than a
    tenth. With fewer runs than *least*, nothing is said.
    """
    if len(factors) < least:
        return "open"
    if abs(statistics.median(factors) - 1) < SAME:
        return "equal"
    low, high = min(factors), max(factors)
    if len(factors) < 3:
        low, high = low * (1 - ALONE), high * (1 + ALONE)
    return "ahead" if low > 1 else "behind" if high < 1 else "equal"


@dataclass
class Cell:
    """A line of a client.

    Attributes:
        runs: The values, slice by slice, of each run.
        failed: How it failed, if it did.
        note: A remark, such as why there is nothing to measure.
        wanted: The number of measurements that were wanted; there are fewer if the time was up. 0 if it is not known.
        samples: The number of samples that a percentile of one slice was taken of; 0 if it is not one.
    """

    runs: list[list[float]] = field(default_factory=list)
    failed: str = ""
    note: str = ""
    wanted: int = 0
    samples: int = 0

    @property
    def count(self) -> int:
        """The number of measurements."""
        return sum(map(len, self.runs))

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

    def ratio(self, line: str, one: str, other: str, samples: int = 0) -> list[float]:
        """Divide one client's values by another's, slice by slice; return one number per run, or none.

        Args:
            line: The line.
            one: The client whose values are divided.
            other: The client whose values divide them.
            samples: Leave out runs whose percentiles were taken of fewer samples than this.
        """
        left, right = self.good(line, one), self.good(line, other)
        if left is None or right is None:
            return []
        found = []
        for ours, theirs in zip(left.runs, right.runs, strict=False):
            pairs = list(zip(ours, theirs, strict=False))
            enough = len(pairs) * min(left.samples, right.samples) >= samples
            if enough and pairs and all(divisor for _, divisor in pairs):
                found.append(statistics.median(value / divisor for value, divisor in pairs))
        return found

    def difference(self, line: str, one: str, other: str) -> list[float]:
        """Subtract another client's values from one's, slice by slice; return one number per run, or none."""
        left, right = self.good(line, one), self.good(line, other)
        if left is None or right is None:
            return []
        pairs = [list(zip(ours, theirs, strict=False)) for ours, theirs in zip(left.runs, right.runs, strict=False)]
        return [statistics.median(value - less for value, less in pair) for pair in pairs if pair]

    def factor(self, line: Line, client: str, samples: int = 0) -> list[float]:
        """Return how far this client is ahead of another one (above 1), or behind (below 1); one number per run."""
        pair = (client, line.ours) if line.better == "lower" else (line.ours, client)
        found = self.ratio(line.key, *pair, samples)
        return found if all(value > 0 for value in found) else []

    def standing(self, line: Line, client: str) -> Standing:
        """Return how this client stands against another one on a line."""
        if line.tail:
            return standing(self.factor(line, client, SAMPLES), TAIL_RUNS)
        return standing(self.factor(line, client))

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
                entry |= {
                    name: value for name in ("failed", "note", "wanted", "samples") if (value := getattr(cell, name))
                }
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
            cell.wanted += entry.get("wanted", 0)
            samples = entry.get("samples", 0)
            cell.samples = min(cell.samples, samples) if before else samples


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
    Budget("one call after another, blocking / the fastest bare loop", "serial.lean", None),
    Budget("10,000 in flight: tasks/s, ours / bare pipelined loop", "flight.default", 1.0, "at least"),
    Budget("10,000 in flight: tasks/s, ours / the fastest bare loop", "flight.speed", None),
    Budget("10,000 in flight: CPU a task", "flight.cpu", 45.0),
    Budget("10,000 in flight: time a task, asyncio / futures", "flight.asyncio", 1.3),
    Budget("100,000 / 1,000 in flight: time a task, blocking", "growth.blocking", 1.15),
    Budget("100,000 / 1,000 in flight: time a task, futures", "growth.futures", 1.15),
    Budget("100,000 / 1,000 in flight: time a task, asyncio", "growth.asyncio", 1.15),
    Budget("one call over HTTP / bare httpx2 POST", "http.ratio", 1.2),
    Budget("memory of a call in flight, futures", "memory.futures", 4096),
    Budget("memory of a call in flight, asyncio", "memory.asyncio", 2048),
    Budget("2 MB results: MB/s, ours / bare loop", "large.speed", 1.0, "at least"),
    Budget("2 MB results over TLS: MB/s, ours / bare SSLSocket loop", "large.socket", 0.9, "at least"),
    Budget("2 MB results in a used process: MB/s, orjson / json", "large.orjson", 1.0, "at least"),
    Budget("100 results of 2 MB: peak of the memory / what they hold", "peak.ratio", 1.3),
    Budget("small calls beside 2 MB results: p99, blocking", "mixed.blocking", 50.0),
    Budget("small calls beside 2 MB results: p99, futures", "mixed.futures", 50.0),
    Budget("small calls beside 2 MB results: p99, asyncio", "mixed.asyncio", 50.0),
    Budget("a call with checks of its request: more time", "options.check", 100.0),
    Budget("first check of a request in a process", "options.cold", 30.0),
    Budget("a call with a store (SQLite): more time", "options.store", 0.5),
    Budget("a call with a store, 1,000 in flight: more time", "options.store_1000", 0.5),
    Budget("told to slow down, 100,000 / 1,000: time a task", "told.ratio", 1.3),
    Budget("polled tasks of 0.15 to 0.45 s: worst lag / duration", "polled.0.3s", 20.0),
    Budget("polled tasks of 1 to 3 s: worst lag / duration", "polled.2s", 20.0),
    Budget("polled tasks of 1 to 3 s: worst lag", "polled.lag", 1.0, always=True),
    Budget("drop with 100 in flight: lost or run twice", "drop.wrong", 0.0, always=True),
    Budget("partial result, sent to callback: median, blocking", "partial.blocking", 1.0),
    Budget("partial result, sent to callback: median, futures", "partial.futures", 1.0),
    Budget("partial result, sent to callback: median, asyncio", "partial.asyncio", 1.0),
    Budget("piece of a streamed text: median, blocking", "tokens.blocking", 1.0),
    Budget("piece of a streamed text: median, futures", "tokens.futures", 1.0),
    Budget("piece of a streamed text: median, asyncio", "tokens.asyncio", 1.0),
    Budget("idle, 1,000 calls waiting: wake-ups a second", "idle.wakeups", 0.0, always=True),
    Budget("import runware", "import.time", 120.0),
    Budget("close(), nothing in flight", "close.idle", 0.5, always=True),
    Budget("close(), 1,000 calls in flight", "close.busy", 0.5, always=True),
    Budget("close() while the server does not answer", "close.dialling", 0.5, always=True),
    Budget("first call to a name whose first address is dead: more time", "dead.more", 0.35),
    Budget("new process to first result, line of 100 ms: beside the round trips", "far-first.over", 0.15),
    Budget("reset or stall with 100 in flight, line of 100 ms: lost or run twice", "far.wrong", 0.0, always=True),
)
"""The budgets of the design. They hold for each transport; a figure that one of them does not have is not judged."""
FORMS = ("blocking", "futures", "asyncio")


def figures(board: Board, transport: Transport = "plain") -> list[Figure]:
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
        add(f"flight{mark}.asyncio", "x", board.ratio("flight.10000", f"ours-asyncio{fast}", f"ours-futures{fast}"))
        add(f"http{mark}.ratio", "x", board.ratio("http.wall", f"ours-blocking{fast}", bare))
        add(f"large{mark}.speed", "x", board.ratio("large.results", f"ours-blocking{fast}", bare))
        if transport == "tls":
            add(f"large{mark}.socket", "x", board.ratio("large.results", f"ours-blocking{fast}", "socket"))
        add_line(f"peak{mark}.ratio", "peak.ratio", f"ours-futures{fast}")
    for form in FORMS:
        add_line(f"growth.{form}", "growth.ratio", f"ours-{form}")
        add_line(f"memory.{form}", "memory.call", f"ours-{form}")
        add_line(f"mixed.{form}", "mixed.p99", f"ours-{form}")
        add_line(f"partial.{form}", "partial.median", f"ours-{form}")
        add_line(f"tokens.{form}", "tokens.median", f"ours-{form}")
    add("serial.default", "x", board.ratio("serial.wall", "ours-blocking", "bare-default"))
    add("flight.default", "x", board.ratio("flight.10000", "bare-default", "ours-futures"))
    add("large.orjson", "x", board.ratio("large.results", "ours-blocking+fast", "ours-blocking"))
    add("options.check", "us", board.difference("options.wall", "ours-futures", "ours-unchecked"))
    add_line("options.cold", "options.cold", "ours-futures")
    add_line("told.ratio", "told.ratio", "ours-once")
    for name, line in (("options.store", "options.wall"), ("options.store_1000", "options.1000")):
        add(name, "ms", [more / 1e3 for more in board.difference(line, "ours-store", "ours-futures")])
    add_line("polled.0.3s", "polled.0.3s.part", "ours-futures")
    add_line("polled.2s", "polled.2s.part", "ours-futures")
    add_line("polled.lag", "polled.2s.worst", "ours-futures")
    lost, doubled = board.good("drop.lost", "ours-futures"), board.good("drop.doubled", "ours-futures")
    if lost and doubled:
        add("drop.wrong", "", [one + abs(two) for one, two in zip(lost.values, doubled.values, strict=True)])
    add_line("idle.wakeups", "idle.wakeups", "ours-futures")
    add_line("import.time", "import.time", "ours-blocking")
    for name in ("close.idle", "close.busy", "close.dialling", "dead.more"):
        add_line(name, name, "ours-blocking")
    if cell := board.good("far-first.100", "ours-blocking"):
        trips = 4 if transport == "plain" else 5  # TCP, TLS, the upgrade, the authentication, the task
        add("far-first.over", "s", [(ms - 100 * trips) / 1e3 for ms in cell.values])
    wrong = [f"far-{case}.{what}" for case in ("drop", "drop.again", "stall") for what in ("lost", "doubled")]
    bad = [board.good(line, "ours-futures") for line in wrong]
    add("far.wrong", "", [abs(value) for cell in bad if cell for value in cell.values])
    return found


def verdicts(board: Board, transport: Transport = "plain") -> list[Verdict]:
    """Compare the budgets with the measurements."""
    return judge(figures(board, transport), BUDGETS)
