"""Charts of a comparison, as SVG files that are the same for the same figures. They need matplotlib."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import number
from benchmarks.standings import OFFICIAL, TRANSPORTS, Board, Boards

__all__ = ["apart", "draw"]

SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "runware",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
OURS, THEIRS, LIMIT = "#1b6ca8", "#b0562a", "#8a8a8a"
COUNTS = (100, 1_000, 10_000, 100_000)
SHAPES = {"ours-futures": "o", "ours-asyncio": "s", "ours-futures+fast": "^", "bare": "x", "bare-default": "+"}


def colour(client: str) -> str:
    """Return the colour of a client, by its origin."""
    return OURS if client.startswith("ours") else THEIRS if client in OFFICIAL else LIMIT


def values(board: Board, line: str, clients: Sequence[str]) -> list[tuple[str, float]]:
    """Return the medians of a line, for the clients that have one; 0 stands for those that failed."""
    cells = board.cells.get(line, {})
    tried = [(client, cells[client]) for client in clients if client in cells]
    return [(one, 0.0 if cell.failed else cell.figure.median) for one, cell in tried if cell.values or cell.failed]


def bars(axes: Any, found: Sequence[tuple[str, float]], title: str) -> None:
    """Draw bars, each with its name and number. A bar ten times as long as all others is cut off."""
    names, lengths = [name for name, _ in reversed(found)], [length for _, length in reversed(found)]
    *_, second, top = sorted([0.0, 0.0, *lengths])
    end = 1.5 * second if top > 10 * second > 0 else 1.25 * top or 1.0
    axes.barh(names, [min(length, end) for length in lengths], color=[colour(name) for name in names], height=0.7)
    axes.set_xlim(0, end)
    for place, length in enumerate(lengths):
        inside = length > end
        style = {"color": "white", "ha": "right"} if inside else {"color": "black", "ha": "left"}
        text = f"{number(length)} →" if inside else number(length) if length else "failed"
        shift = (-4 if inside else 4, 0)
        axes.annotate(text, (min(length, end), place), shift, textcoords="offset points", va="center", **style)
    axes.set_title(title, loc="left", fontsize=9)
    axes.tick_params(axis="y", length=0)


def serial(board: Board, axes: Any, how: str) -> bool:
    """Draw the cost of a call, one after another."""
    found = values(board, "serial.wall", list(board.cells.get("serial.wall", {})))
    if found:
        bars(axes[0], found, f"one call after another, {how}: microseconds a call (less is better)")
    return bool(found)


def flight(board: Board, axes: Any, how: str) -> bool:
    """Draw the cost of a task over the number in flight."""
    ends: list[tuple[float, int, str]] = []
    for client in ("ours-futures", "ours-futures+fast", "ours-asyncio", *OFFICIAL, "bare", "bare-default"):
        cells = [(count, board.good(f"flight.{count}", client)) for count in COUNTS]
        points = [(count, cell.figure.median) for count, cell in cells if cell]
        if points:
            style = {"marker": SHAPES.get(client, "D"), "markersize": 4, "linewidth": 1.2}
            axes[0].plot(*zip(*points, strict=True), color=colour(client), **style)
            ends.append((points[-1][1], points[-1][0], client))
    if not ends:
        return False
    axes[0].set_xscale("log")
    axes[0].set_yscale("log")
    axes[0].set_xlabel("calls in flight")
    axes[0].set_title(f"many in flight, {how}: microseconds a task (less is better)", loc="left", fontsize=9)
    low, high = (math.log(one) for one in axes[0].get_ylim())
    furthest = max(count for _, count, _ in ends)
    ends.sort()
    places = apart([(math.log(end) - low) / (high - low) for end, _, _ in ends], 0.08)
    for place, (_, count, client) in zip(places, ends, strict=True):
        text = client if count == furthest else f"{client}, up to {count:,}"
        axes[0].annotate(text, (1.02, place), xycoords="axes fraction", color=colour(client), va="center")
    return True


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Move ascending positions up until they are far enough apart, then down as far as the last is above 1."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + gap) if found else place)
    limit = 1.0
    for at, place in reversed(list(enumerate(found))):
        found[at] = min(place, limit)
        limit = found[at] - gap
    return found


def delays(board: Board, axes: Any, how: str) -> bool:
    """Draw the lag of polled tasks, and the duration of a drop."""
    drawn = False
    clients = ("ours-blocking", "ours-futures", "ours-asyncio", *OFFICIAL)
    titles = {
        "polled.0.3s.median": f"polled tasks of about 0.3 s:\nseconds from end to caller, {how}",
        "polled.2s.median": f"polled tasks of about 2 s:\nseconds from end to caller, {how}",
        "drop.time": f"100 in flight cut, {how}:\nseconds until all have ended",
    }
    for place, (line, title) in zip(axes, titles.items(), strict=True):
        if found := values(board, line, clients):
            bars(place, found, title)
            drawn = True
    return drawn


CHARTS = {"serial": (serial, 1, (6.6, 3.0)), "flight": (flight, 1, (6.6, 3.4)), "delays": (delays, 3, (9.6, 2.4))}


def draw(boards: Boards, directory: Path, kinds: Sequence[str] = ("svg",)) -> list[str]:
    """Draw the charts that have data, each transport's apart, and return the names of the files.

    Raises:
        RuntimeError: matplotlib is not installed.
    """
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ImportError:
        raise RuntimeError("the charts need matplotlib: pip install 'runware-client[benchmarks]'") from None
    matplotlib.use("agg")
    plots: Any = importlib.import_module("matplotlib.pyplot")
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    with matplotlib.rc_context(SETTINGS):
        for (what, (chart, count, size)), transport in itertools.product(CHARTS.items(), boards):
            name = what if transport == "plain" else f"{what}-{transport}"
            figure, axes = plots.subplots(1, count, figsize=size, squeeze=False, layout="constrained")
            if chart(boards[transport], axes[0], TRANSPORTS[transport]):
                for kind in kinds:
                    plain = {"Date": None, "Creator": None} if kind == "svg" else None
                    figure.savefig(directory / f"{name}.{kind}", metadata=plain, dpi=110)
                drawn.append(f"{name}.svg")
            plots.close(figure)
    return drawn
