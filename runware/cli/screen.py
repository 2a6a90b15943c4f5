"""Output for terminals: progress, tables and styled lines. None of it is written to a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from runware._support.escaping import one_line
from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    from rich import console as rich_console
    from rich import progress as rich_progress
    from rich import table as rich_table
    from rich import text as rich_text

    from runware import Job
else:
    rich_console = lazy_module("rich.console")
    rich_progress = lazy_module("rich.progress")
    rich_table = lazy_module("rich.table")
    rich_text = lazy_module("rich.text")

__all__ = ["JobProgress", "dollars", "is_terminal", "print_styled", "print_table", "waiting"]


_LEAST_WIDTH = 8


def is_terminal(*, err: bool = False) -> bool:
    """Return whether standard output, or standard error, is a terminal."""
    stream = sys.stderr if err else sys.stdout
    try:
        return stream.isatty()
    except ValueError:  # the stream is closed
        return False


def dollars(cost: float) -> str:
    """Format an amount of US dollars: two digits after the point, up to six if they say more."""
    if 0 < cost < 0.0000005:
        return "<$0.000001"
    whole, _, fraction = f"{cost:.6f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def _console(*, err: bool = False) -> rich_console.Console:
    return rich_console.Console(stderr=err, highlight=False, markup=False, emoji=False)


def print_styled(*parts: tuple[str, str], err: bool = False) -> None:
    """Print one line of text on a terminal, in parts with a style each.

    Args:
        parts: Pairs of a text that is safe to print, and its style, such as `"bold red"`.
        err: Print to standard error.
    """
    _console(err=err).print(rich_text.Text.assemble(*parts), soft_wrap=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, wrap: bool = False) -> None:
    """Print a table on a terminal, as wide as the terminal at most. Cells are escaped.

    Args:
        columns: The headings. The first column is not shortened, since it is what users copy.
        rows: The cells of each row.
        wrap: Wrap cells that are too long, instead of shortening them.
    """
    console = _console()
    table = rich_table.Table(box=None, header_style="bold", pad_edge=False)
    # In a narrow terminal, a long cell of the first column is folded: otherwise the other columns would have no room.
    most = console.width // 2 if wrap else console.width - _LEAST_WIDTH * (len(columns) - 1)
    whole = max((len(str(row[0])) for row in rows), default=0) <= most
    table.add_column(columns[0], no_wrap=whole, overflow="fold", style="bold cyan")
    # `no_wrap` is set for cells, not for columns: rich would narrow the first column before columns with `no_wrap`.
    how: dict[str, Any] = {"overflow": "fold"} if wrap else {"overflow": "ellipsis", "no_wrap": True}
    for name in columns[1:]:
        table.add_column(rich_text.Text(name, **how))
    for row in rows:
        first, *others = (one_line("" if cell is None else cell, limit=None) for cell in row)
        table.add_row(rich_text.Text(first), *(rich_text.Text(cell, **how) for cell in others))
    console.print(table)


@contextmanager
def waiting(words: str, *, shown: bool = True) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what the command waits for.

    Args:
        words: The text to show.
        shown: Whether to show it at all.

    Yields:
        A function that shows another text; `""` removes it.
    """
    if not (shown and is_terminal(err=True)):
        yield lambda _: None
        return

    with _console(err=True).status(rich_text.Text(one_line(words)), spinner="dots") as status:

        def show(words: str) -> None:
            if words:
                status.update(rich_text.Text(one_line(words)))
            else:
                status.stop()

        yield show


class JobProgress:
    """A line on the terminal with the progress of one job after the other.

    Args:
        shown: Whether to show it at all.
        jobs: How many jobs there are.
    """

    def __init__(self, shown: bool, jobs: int = 1) -> None:
        self._jobs = jobs
        self._ended = 0
        self._bar: Any = None
        self._line: Any = None
        if shown:
            self._bar = rich_progress.Progress(
                rich_progress.SpinnerColumn(),
                rich_progress.TextColumn("{task.description}", markup=False),
                rich_progress.BarColumn(bar_width=24),
                rich_progress.TextColumn("{task.fields[count]}", markup=False),
                console=_console(err=True),
                transient=True,
                auto_refresh=False,  # refreshed by this thread, so that none draws while it prints
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def draw(self, job: Job[Any]) -> None:
        """Draw the present state of a job."""
        now = job.progress
        done: float | None = None
        total: float | None = None
        if now.total > 1:
            done, total = now.completed, now.total
        elif now.percent is not None:
            done, total = now.percent, 100
        facts = [f"{now.completed} of {now.total}"] if now.total > 1 else []
        facts += [f"{now.percent:.0f} %"] if now.percent is not None else []
        facts += [f"task {self._ended + 1} of {self._jobs}"] if self._jobs > 1 else []
        line: dict[str, Any] = {
            "description": one_line(f"{job.task_type} {now.status}"),
            "completed": done or 0,
            "total": total,
            "count": ", ".join([*facts, f"{now.elapsed:.0f} s"]),
        }
        if self._line is None:  # a command that ends at once draws nothing
            self._line = self._bar.add_task(**line)
            self._bar.start()
        self._bar.update(self._line, refresh=True, **line)

    def next_job(self) -> None:
        """Note that a job has ended."""
        self._ended += 1
