"""Reports: the tables, the budgets, and the comparison with a saved run."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.harness import Figure

__all__ = ["BUDGETS", "Budget", "Verdict", "as_json", "compare", "judge", "show_budgets", "show_figures", "show_limit"]

FORMAT = 1
NOTEWORTHY = 0.10


@dataclass(frozen=True)
class Budget:
    """A limit that the design sets for a figure.

    Attributes:
        what: A description.
        figure: The figure's name, without the JSON library.
        limit: The limit; `None` for a figure without one, which is shown beside the budgets.
        sense: Whether it is a maximum or a minimum.
        always: Whether every run must keep it, not only the median.
    """

    what: str
    figure: str
    limit: float | None
    sense: Literal["at most", "at least"] = "at most"
    always: bool = False


BUDGETS = (
    Budget("one call after another, blocking / bare loop", "serial.ratio_default", 1.3),
    Budget("the same / the fastest bare loop with JSON", "serial.ratio_json", None),
    Budget("one call after another: with checks / without", "checks.ratio", 1.05),
    Budget("10,000 in flight: tasks/s, ours / bare pipelined loop", "flight.10000.speed_default", 1.0, "at least"),
    Budget("the same / the fastest bare pipelined loop", "flight.10000.speed", None),
    Budget("10,000 in flight: CPU a task", "flight.10000.cpu", 45.0),
    Budget("100,000 / 1,000 in flight: time a task, blocking", "growth.blocking", 1.15),
    Budget("100,000 / 1,000 in flight: time a task, futures", "growth.futures", 1.15),
    Budget("100,000 / 1,000 in flight: time a task, asyncio", "growth.asyncio", 1.15),
    Budget("memory of a call in flight", "memory.traced", 4096),
    Budget("2 MB results: MB/s, ours / bare loop with JSON", "large.speed", 1.0, "at least"),
    Budget("small calls while 20 MB come in: p99", "mixed.in.p99", 100.0),
    Budget("small calls while 20 MB go out: p99", "mixed.out.p99", 100.0),
    Budget("one call over HTTP / bare httpx2 POST", "http.ratio", 1.2),
    Budget("10,000 in flight: ms more a task with a SQLite store", "durable.more", 0.5),
    Budget("polled task of 0.3 s: worst lag / duration", "polled.0.3s.part", 0.2),
    Budget("polled task of 3 s: worst lag / duration", "polled.3s.part", 0.2),
    Budget("polled task of 3 s: worst lag", "polled.3s.worst", 1.0, always=True),
    Budget("polled task of 8 s: worst lag", "polled.8s.worst", 1.0, always=True),
    Budget("drop with 100 in flight: ended right, run once", "drop.100.late.right", 100.0, "at least", always=True),
    Budget("drop midway through 100: ended right, run once", "drop.100.midway.right", 100.0, "at least", always=True),
    Budget("drop with 1,000 in flight: ended right, run once", "drop.1000.late.right", 100.0, "at least", always=True),
    Budget("drop midway through 1,000: ended right, once", "drop.1000.midway.right", 100.0, "at least", always=True),
    Budget("drop: first bytes / (first backoff + 2 round trips)", "drop.100.late.first_bytes", 1.0),
    Budget("partial result, wire to callback, blocking: median", "partial.blocking.median", 1.0),
    Budget("partial result, wire to callback, submit: median", "partial.submit.median", 1.0),
    Budget("partial result, wire to callback, asyncio: median", "partial.asyncio.median", 1.0),
    Budget("idle, 1,000 calls waiting: wake-ups", "idle.wakeups", 0.0, always=True),
    Budget("import runware", "import.time", 120.0),
    Budget("import runware: asyncio, HTTP client, PIL, tqdm loaded", "import.forbidden", 0.0, always=True),
    Budget("close(), nothing in flight", "close.idle", 0.5, always=True),
    Budget("close(), 1,000 calls in flight", "close.busy", 0.5, always=True),
    Budget("close() while a dial hangs", "close.dialling", 0.5, always=True),
)


@dataclass(frozen=True)
class Verdict:
    """A budget compared with the measurement."""

    budget: Budget
    figure: Figure
    value: float
    ok: bool


def judge(figures: list[Figure], budgets: Sequence[Budget] = BUDGETS) -> list[Verdict]:
    """Compare every budget with its figure, once per JSON library it was measured with."""
    verdicts: list[Verdict] = []
    for budget in budgets:
        for figure in figures:
            if plain_name(figure.name) != budget.figure:
                continue
            at_most = budget.sense == "at most"
            worst = max(figure.values) if at_most else min(figure.values)
            value, limit = worst if budget.always else figure.median, budget.limit
            ok = limit is None or (value <= limit if at_most else value >= limit)
            verdicts.append(Verdict(budget, figure, value, ok))
    return verdicts


def plain_name(name: str) -> str:
    """Return the name of a figure without the JSON library."""
    return name.replace("+orjson", "")


def number(value: float) -> str:
    """Format a number with three significant digits."""
    size = abs(value)
    if size < 1:
        return f"{value:.3g}"
    return f"{value:,.{2 if size < 10 else 1 if size < 100 else 0}f}"


def show_limit(budget: Budget, unit: str) -> str:
    """Return the limit of a budget in words."""
    return "no limit" if budget.limit is None else f"{budget.sense} {number(budget.limit)} {unit}".rstrip()


def show_figures(figures: list[Figure]) -> str:
    """Return figures as a table."""
    lines = []
    for figure in figures:
        spread = f"±{100 * figure.spread:.0f}%" if len(figure.values) > 1 else ""
        lines.append(f"  {figure.name:34} {number(figure.median):>9} {figure.unit:5} {spread:>6}  {figure.note}")
    return "\n".join(lines)


def show_budgets(verdicts: list[Verdict], cases: Collection[str]) -> str:
    """Return the budgets as a table; it names those whose cases were requested and not measured, too."""
    lines = []
    for verdict in verdicts:
        budget, unit = verdict.budget, verdict.figure.unit
        limit = show_limit(budget, unit)
        library = "orjson" if "+orjson" in verdict.figure.name else ""
        value = f"{number(verdict.value)} {unit}"
        state = "" if budget.limit is None else "ok" if verdict.ok else "MISSED"
        lines.append(f"  {budget.what:56} {library:6} {value:>11}  {limit:18} {state}")
    measured = {verdict.budget.figure for verdict in verdicts}
    lines += [
        f"  {budget.what:75}  not measured"
        for budget in BUDGETS
        if budget.figure not in measured and budget.figure.partition(".")[0] in cases
    ]
    missed = sum(not verdict.ok for verdict in verdicts)
    limited = sum(verdict.budget.limit is not None for verdict in verdicts)
    lines.append(f"  {limited - missed} ok, {missed} missed")
    return "\n".join(lines)


# ---------------------------------------------------------------------- saved runs


def as_json(figures: list[Figure], verdicts: list[Verdict], failed: dict[str, str], *, quick: bool, runs: int) -> Any:
    """Return a run in the form in which it is saved. It names versions, but neither the machine nor any path."""
    return {
        "format": FORMAT,
        "quick": quick,
        "runs": runs,
        "versions": versions(),
        "failed": sorted(failed),
        "budgets": [
            {
                "what": verdict.budget.what,
                "figure": verdict.figure.name,
                "value": _short(verdict.value),
                "unit": verdict.figure.unit,
                "limit": verdict.budget.limit,
                "sense": verdict.budget.sense,
                "ok": verdict.ok,
            }
            for verdict in verdicts
        ],
        "figures": [
            {
                **asdict(figure),
                "values": [_short(value) for value in figure.values],
                "median": _short(figure.median),
                "spread": _short(figure.spread),
            }
            for figure in figures
        ],
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def versions() -> dict[str, str]:
    """Describe what was measured, and with which versions."""
    from runware import __version__

    found = {"python": platform.python_version(), "runware-client": __version__}
    for name in ("websocket-client", "attrs", "cattrs", "orjson"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found


def compare(figures: list[Figure], base: Any) -> str:
    """Return the ratios that differ from a saved run's by more than a tenth. Only ratios, because machines differ."""
    saved = {entry["name"]: entry for entry in base["figures"]}
    lines: list[str] = []
    compared = 0
    for figure in figures:
        before = saved.get(figure.name)
        if figure.unit != "x" or before is None or not before["median"]:
            continue
        compared += 1
        change = figure.median / before["median"] - 1
        if abs(change) <= NOTEWORTHY:
            continue
        better = (change > 0) == (figure.better == "higher")
        doubt = ", within the spread" if abs(change) <= figure.spread + before["spread"] else ""
        was, now = number(before["median"]), number(figure.median)
        kind = "better" if better else "WORSE"
        lines.append(f"  {figure.name:34} {was:>8} -> {now:>8} x  {100 * change:+.0f}%  {kind}{doubt}")
    lines.append(f"  {compared} ratios compared, {len(lines)} differ by more than {100 * NOTEWORTHY:.0f}%")
    return "\n".join(lines)
