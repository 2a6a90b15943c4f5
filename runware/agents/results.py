"""What a tool returns: a text for the model, with the objects behind it for the program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from runware.results import Result

__all__ = ["ToolResult"]


class ToolResult(str):
    """The text that a model gets from a tool. It is a `str`, so every framework takes it as it is.

    Attributes:
        results: The results behind it.
        paths: The files that were saved.
        error: Why the tool failed, or did so in part; `None` if it succeeded.
    """

    __slots__ = ("error", "paths", "results")

    results: Sequence[Result]
    paths: Sequence[Path]
    error: Exception | None

    def __new__(
        cls,
        text: str,
        *,
        results: Sequence[Any] = (),
        paths: Sequence[Path] = (),
        error: Exception | None = None,
    ) -> Self:
        """Make the text."""
        made = super().__new__(cls, text)
        made.results = results
        made.paths = paths
        made.error = error
        return made
