"""The tables of a comparison: the first one, the long one, those of the cases, the budgets, and the time."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from benchmarks.reasons import BUDGET_REASONS, REASONS
from benchmarks.report import Verdict, number, show_limit
from benchmarks.standings import (
    BUDGETS,
    BY_KEY,
    LINES,
    OFFICIAL,
    TOP,
    TRANSPORTS,
    Board,
    Boards,
    Line,
    Standing,
    Transport,
    growth,
    verdicts,
)

__all__ = [
    "Contest",
    "budgets_table",
    "case_table",
    "contests",
    "equals_list",
    "first_table",
    "losses_list",
    "missed_budgets_list",
    "open_list",
    "summary_table",
    "table",
    "times_table",
]


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


def show_spread(values: Sequence[float]) -> str:
    """Return half of the distance between the extremes, as a percentage of the median."""
    median = statistics.median(values)
    return f" ±{50 * (max(values) - min(values)) / abs(median):.0f}%" if len(values) > 1 and median else ""


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
    value = f"{number(cell.figure.median)} {line.unit}".rstrip() + show_spread(cell.values)
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
    fewer = [
        f"{client} {cell.count} of {cell.wanted} times ({line.title})"
        for line in lines
        for client, cell in board.cells[line.key].items()
        if 0 < cell.count < cell.wanted and not cell.failed
    ]
    shown = sorted(notes) + ([f"- Measured less often, to keep to the time: {', '.join(fewer)}"] if fewer else [])
    return "\n".join([table(head, rows), *([""] if shown else []), *shown])


@dataclass(frozen=True)
class Contest:
    """A line on which this client and an official one were compared.

    Attributes:
        transport: How the clients were connected.
        line: The line, with the form of this client that was compared.
        client: The official client.
        factors: How far this client is ahead of it, one number per run.
        standing: Whether this client is ahead.
    """

    transport: Transport
    line: Line
    client: str
    factors: list[float]
    standing: Standing


def top_lines(boards: Boards) -> list[Line]:
    """Return the lines of the table on top: those that were measured and have a better and a worse way."""
    found = []
    for line in LINES:
        if line.means or not any(line.key in board.cells for board in boards.values()):
            continue
        found.append(line)
        if line.awaited and any(board.good(line.key, "ours-asyncio") for board in boards.values()):
            found.append(replace(line, title=f"{line.title}, asyncio", ours="ours-asyncio"))
    return found


def contests(boards: Boards) -> list[Contest]:
    """Return every line and official client that could be compared."""
    return [
        Contest(transport, line, client, factors, board.standing(line, client))
        for line in top_lines(boards)
        for transport, board in boards.items()
        for client in OFFICIAL
        if (factors := board.factor(line, client))
    ]


def losses_list(boards: Boards) -> str:
    """Return where an official client is ahead in every run, each line with the reason if it is known."""
    found: dict[tuple[str, str, str], list[Contest]] = {}
    for one in contests(boards):
        if one.standing == "behind":
            found.setdefault((one.line.key, one.line.ours, one.client), []).append(one)
    rows = []
    for key, here in found.items():
        why = REASONS.get(key, "The reason is not known yet.")
        rows.append(f"- **{here[0].line.title}**: behind {key[2]}, {'; '.join(map(_show_contest, here))}. {why}")
    return "\n".join(rows) or "No official client is ahead on any line."


def equals_list(boards: Boards) -> str:
    """Return on how many lines this client is ahead, equal, behind, and neither; and which are the equal ones."""
    everything = contests(boards)
    count = {name: sum(one.standing == name for one in everything) for name in get_args(Standing)}
    total = (
        f"Of {len(everything)} comparisons, this client is ahead in {count['ahead']}, equal within the spread in "
        f"{count['equal']}, and behind in {count['behind']}; {count['open']} are open."
    )
    rows = [f"- {one.line.title}: {one.client}, {_show_contest(one)}" for one in everything if one.standing == "equal"]
    return "\n".join([total, *([""] if rows else []), *rows])


def open_list(boards: Boards) -> str:
    """Return the comparisons that too little was measured for."""
    rows = [
        f"- {one.line.title}: {one.client}, {_show_contest(one)}, {_show_amount(boards[one.transport], one)}"
        for one in contests(boards)
        if one.standing == "open"
    ]
    return "\n".join(rows) or "None."


def _show_amount(board: Board, one: Contest) -> str:
    """Return how much was measured for a comparison."""
    runs = len(one.factors)
    text = "one run" if runs == 1 else f"{runs} runs"
    if one.line.tail:
        cells = [board.cell(one.line.key, client) for client in (one.line.ours, one.client)]
        fewest = min(cell.samples * min(len(run) for run in cell.runs if run) for cell in cells)
        text += f", {fewest} samples in a run"
    return text


def _show_contest(one: Contest) -> str:
    low, high = min(one.factors), max(one.factors)
    spread = f", {number(low)} to {number(high)}" if len(one.factors) > 1 else ""
    return f"{TRANSPORTS[one.transport]} {show_factor(one.factors)}{spread}"


def first_table(boards: Boards) -> str:
    """Return the lines that matter most, with the spread of each factor."""
    lines = [replace(BY_KEY[key], ours=ours) for key, ours in TOP]
    lines = [
        replace(line, title=f"{line.title}, asyncio") if line.ours == "ours-asyncio" != BY_KEY[line.key].ours else line
        for line in lines
        if any(board.good(line.key, line.ours) for board in boards.values())
    ]
    return _lines_table(boards, lines, spread=True)


def summary_table(boards: Boards) -> str:
    """Return how far this client is ahead of the official clients, line by line, for each transport side by side."""
    return _lines_table(boards, top_lines(boards), spread=False)


def _lines_table(boards: Boards, lines: Sequence[Line], *, spread: bool) -> str:
    rows = [
        [line.title, *(text for board in boards.values() for text in _standing(board, line, spread=spread))]
        for line in lines
    ]
    head = [""]
    for transport in boards:
        name = "" if transport == "plain" else f"{transport.upper()}: "
        head += [f"{name}{client}" for client in ("ours", *OFFICIAL)]
    return table(head, rows)


def _standing(board: Board, line: Line, *, spread: bool) -> list[str]:
    if line.key not in board.cells:
        return [""] * (1 + len(OFFICIAL))
    row = [show_cell(board, line, line.ours)]
    for client in OFFICIAL:
        cell = board.cells[line.key].get(client)
        factors = board.factor(line, client)
        if cell is None:
            row.append("")
        elif cell.failed:
            row.append("failed: " + _briefly(cell.failed, 40))
        elif factors:
            mark = "" if (found := board.standing(line, client)) == "ahead" else f" ({found})"
            row.append(show_factor(factors) + show_spread(factors) * spread + mark)
        else:
            row.append(show_cell(board, line, client))
    return row


def budgets_table(boards: Boards, *, everything: bool) -> str:
    """Return the budgets, each with its figure for each transport.

    Args:
        boards: The measurements.
        everything: Whether to show budgets that were not measured, too.
    """
    found = {
        transport: {verdict.figure.name: verdict for verdict in verdicts(board, transport)}
        for transport, board in boards.items()
    }
    rows = []
    for budget in BUDGETS:
        names = {name for verdict in found.values() for name, one in verdict.items() if one.budget == budget}
        for name in sorted(names, key=lambda name: "+orjson" in name) or [""] * everything:
            here = [verdict.get(name) for verdict in found.values()]
            unit = next((verdict.figure.unit for verdict in here if verdict), "")
            library = " (orjson)" if "+orjson" in name else ""
            limit = show_limit(budget, unit)
            rows.append([f"{budget.what}{library}: {limit}", *(text for one in here for text in _show_verdict(one))])
    behind = [sum(one.transport == name and one.standing == "behind" for one in contests(boards)) for name in boards]
    cells = [text for count in behind for text in (str(count), "no" if count else "yes")]
    rows.append(["lines on which an official client is ahead: at most 0", *cells])
    head = ["budget"]
    for transport in boards:
        head += [f"figure, {TRANSPORTS[transport]}", "holds?"]
    return table(head, rows)


def missed_budgets_list(boards: Boards) -> str:
    """Return why each budget that does not hold is missed, as far as that is known."""
    missed = {
        verdict.budget: None
        for transport, board in boards.items()
        for verdict in verdicts(board, transport)
        if not verdict.ok
    }
    rows = [
        f"- **{budget.what}**: {BUDGET_REASONS.get(budget.figure, 'the reason is not known yet.')}" for budget in missed
    ]
    return "\n".join(rows) or "Every budget holds."


def _show_verdict(verdict: Verdict | None) -> tuple[str, str]:
    if verdict is None:
        return "–", ""
    value = f"{number(verdict.value)} {verdict.figure.unit}".rstrip()
    holds = "" if verdict.budget.limit is None else "yes" if verdict.ok else "no"
    return value + show_spread(verdict.figure.values), holds


def times_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the seconds of each case, planned and taken, and those of each client in it."""
    clients = list(dict.fromkeys(client for row in rows for client in row["clients"]))
    found = []
    for row in rows:
        took = [f"{row['clients'][client]:.1f}" if client in row["clients"] else "" for client in clients]
        found.append([f"{row['case']}, {row['transport']}", f"{row['planned']:.0f}", f"{row['took']:.0f}", *took])
    sums = [sum(row["clients"].get(client, 0.0) for row in rows) for client in clients]
    total = [f"{sum(row[what] for row in rows):.0f}" for what in ("planned", "took")]
    found.append(["all", *total, *(f"{one:.0f}" for one in sums)])
    return table(["seconds", "planned", "took", *clients], found)
